// SPDX-License-Identifier: Apache-2.0
// What must hold for every key, seed and percentage, on keys and percentages drawn from fixed
// seeds: the same ones in every run, so that a bound of 4 sigma never fails by chance.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "shared/decision/bucket.h"
#include "shared/decision/decide.h"

namespace weir::decision {
namespace {

std::vector<std::string> SomeKeys(size_t count, uint64_t seed) {
  std::mt19937_64 draw(seed);
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) {
    switch (draw() % 3) {
      case 0:
        keys.push_back("user-" + std::to_string(i));
        break;
      case 1:
        keys.push_back(std::to_string(draw()));
        break;
      default:
        keys.push_back("f" + std::to_string(i) + "@example.org/" + std::to_string(draw() % 977));
    }
  }
  return keys;
}

domain::FlagEntry FlagAt(domain::FinePercent threshold, const std::string& seed) {
  domain::FlagEntry flag;
  flag.name = "f";
  flag.enabled = true;
  flag.threshold = threshold;
  flag.seed = seed;
  return flag;
}

TEST(FlagProperty, RaisingAPercentageNeverEjectsAKey) {
  std::mt19937_64 draw(1);
  std::vector<domain::FinePercent> ramp = {0, 1, 2, 999, 1000, 1001, 50'000, 99'999, 100'000};
  for (int i = 0; i < 60; ++i) ramp.push_back(draw() % (domain::kFineAll + 1));
  std::sort(ramp.begin(), ramp.end());
  const auto keys = SomeKeys(2000, 2);
  std::vector<bool> in(keys.size(), false);
  for (const domain::FinePercent threshold : ramp) {
    Ruleset rules;
    rules.Set(FlagAt(threshold, "ramp"));
    for (size_t i = 0; i < keys.size(); ++i) {
      const bool now = DecideFlag(rules, "f", keys[i], 0).enabled;
      ASSERT_TRUE(now || !in[i]) << keys[i] << " is ejected at " << threshold;
      in[i] = now;
    }
  }
  EXPECT_TRUE(std::all_of(in.begin(), in.end(), [](bool x) { return x; }));
}

// One thousandth of a percent more lets in exactly the keys of that bucket.
TEST(FlagProperty, AThousandthOfAPercentIsOneBucket) {
  for (const std::string& key : SomeKeys(2000, 3)) {
    const domain::FinePercent bucket = FineBucket(HashPrefix(key, "thousandths"));
    Ruleset rules;
    rules.Set(FlagAt(bucket, "thousandths"));
    ASSERT_FALSE(DecideFlag(rules, "f", key, 0).enabled) << key;
    rules.Set(FlagAt(bucket + 1, "thousandths"));
    ASSERT_TRUE(DecideFlag(rules, "f", key, 0).enabled) << key;
  }
}

TEST(FlagProperty, DistributionIsWithinFourSigmaForManyPercentagesAndSeeds) {
  const auto keys = SomeKeys(20'000, 4);
  const double count = static_cast<double>(keys.size());
  for (const domain::FinePercent threshold :
       {100u, 1000u, 2500u, 10'000u, 33'333u, 50'000u, 66'667u, 90'000u, 99'000u}) {
    for (const char* seed : {"ttft-pipeline-2025-01-08", "qos-monitor-2025-01-08", "a", ""}) {
      Ruleset rules;
      rules.Set(FlagAt(threshold, seed));
      const auto in = std::count_if(keys.begin(), keys.end(), [&](const std::string& key) {
        return DecideFlag(rules, "f", key, 0).enabled;
      });
      const double p = threshold / 100'000.0;
      EXPECT_NEAR(static_cast<double>(in), count * p, 4 * std::sqrt(count * p * (1 - p)))
          << threshold << " with seed \"" << seed << "\"";
    }
  }
}

// Buckets fill evenly: chi-square over the 100 coarse ones has mean 99 and deviation sqrt(2 * 99).
TEST(FlagProperty, BucketsFillEvenly) {
  const auto keys = SomeKeys(50'000, 5);
  for (const char* seed : {"one", "two", "three"}) {
    std::vector<double> filled(100, 0);
    for (const std::string& key : keys) filled[CoarseBucket(HashPrefix(key, seed))] += 1;
    const double expected = static_cast<double>(keys.size()) / 100;
    double chi_square = 0;
    for (const double n : filled) chi_square += (n - expected) * (n - expected) / expected;
    EXPECT_NEAR(chi_square, 99, 4 * std::sqrt(2 * 99.0)) << seed;
  }
}

// With seeds of their own, being in one flag says nothing about being in another: the correlation
// of n independent pairs has deviation 1/sqrt(n). With one seed they are the same users.
TEST(FlagProperty, SeedsAreIndependent) {
  const auto keys = SomeKeys(20'000, 6);
  std::vector<std::vector<double>> buckets;
  for (const char* seed : {"s", "s2", "t", "ttft-pipeline-2025-01-08", "ttft-pipeline-2025-01-09",
                           "qos-monitor-2025-01-08"}) {
    auto& of_seed = buckets.emplace_back();
    for (const std::string& key : keys) of_seed.push_back(FineBucket(HashPrefix(key, seed)));
  }
  const auto correlation = [&](const std::vector<double>& a, const std::vector<double>& b) {
    const double n = static_cast<double>(a.size());
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      sa += a[i], sb += b[i];
      saa += a[i] * a[i], sbb += b[i] * b[i], sab += a[i] * b[i];
    }
    return (sab - sa * sb / n) / std::sqrt((saa - sa * sa / n) * (sbb - sb * sb / n));
  };
  const double bound = 4 / std::sqrt(static_cast<double>(keys.size()));
  for (size_t i = 0; i < buckets.size(); ++i) {
    EXPECT_NEAR(correlation(buckets[i], buckets[i]), 1, 1e-9);
    for (size_t j = 0; j < i; ++j) {
      EXPECT_NEAR(correlation(buckets[i], buckets[j]), 0, bound) << i << " and " << j;
    }
  }
}

// The share of two flags together is the product of their shares.
TEST(FlagProperty, TwoFlagsMeetAsOftenAsChanceSays) {
  const auto keys = SomeKeys(40'000, 7);
  const double count = static_cast<double>(keys.size());
  for (const domain::FinePercent first : {10'000u, 50'000u}) {
    for (const domain::FinePercent second : {5000u, 30'000u}) {
      Ruleset a;
      a.Set(FlagAt(first, "seed-a"));
      Ruleset b;
      b.Set(FlagAt(second, "seed-b"));
      const auto both = std::count_if(keys.begin(), keys.end(), [&](const std::string& key) {
        return DecideFlag(a, "f", key, 0).enabled && DecideFlag(b, "f", key, 0).enabled;
      });
      const double p = first / 100'000.0 * second / 100'000.0;
      EXPECT_NEAR(static_cast<double>(both), count * p, 4 * std::sqrt(count * p * (1 - p)));
    }
  }
}

TEST(FlagProperty, AChildIsOnOnlyWhereAllItsParentsAre) {
  std::mt19937_64 draw(8);
  const auto keys = SomeKeys(300, 9);
  for (int round = 0; round < 30; ++round) {
    Ruleset rules;
    for (int i = 0; i < 12; ++i) {  // each may need any of those before it
      domain::FlagEntry flag = FlagAt(40'000 + draw() % 60'001, std::to_string(draw()));
      flag.name = "f" + std::to_string(i);
      flag.enabled = draw() % 8 != 0;
      for (int parent = 0; parent < i; ++parent) {
        if (draw() % 5 == 0) flag.parents.push_back("f" + std::to_string(parent));
      }
      rules.Set(flag);
    }
    for (const std::string& key : keys) {
      rules.flags().ForEach([&](const Flag& flag) {
        const FlagDecision decision = DecideFlag(rules, flag.name, key, 0);
        bool parents = true;
        for (const auto& parent : flag.parents)
          parents = parents && DecideFlag(rules, parent, key, 0).enabled;
        const bool alone = flag.enabled && FineBucket(HashPrefix(key, flag.seed)) < flag.threshold;
        ASSERT_EQ(decision.enabled, parents && alone) << flag.name << " for " << key;
      });
    }
  }
}

}  // namespace
}  // namespace weir::decision
