// SPDX-License-Identifier: Apache-2.0
// Expected numbers were computed with Python's math from the formulas of the header.
#include "controlplane/analysis/outcome_evidence.h"

#include <cmath>
#include <functional>
#include <random>

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

using Random = std::mt19937_64;
using Draw = std::function<double(Random&)>;

OutcomeClaim Claim(const char* metric, double threshold, bool is_below) {
  return {*ParseMetric(metric), threshold, is_below};
}

TEST(OutcomeEvidence, MatchesTheFormula) {
  const double rho_squared = BestRhoSquared(0.001, 1000);
  EXPECT_NEAR(rho_squared, 0.01594926604300506, 1e-15);
  Arms arms;  // a thousand values, mean 0.5, sample variance 4
  arms.canary.outcomes["x"] = {1000, 500, 4 * 999 + 250};
  EXPECT_NEAR(LnOutcomeEvidence(arms, Claim("x", 0.3, false), rho_squared), 3.973945794824348,
              1e-9);
  EXPECT_EQ(LnOutcomeEvidence(arms, Claim("x", 0.3, true), rho_squared), -INFINITY);
  EXPECT_NEAR(OneSidedMargin(1000, rho_squared, 0.001), 4.02706118187497, 1e-12);
}

TEST(OutcomeEvidence, ReachesOneOverAlphaWhereTheSequenceExcludesTheThreshold) {
  for (const double n : {100.0, 1000.0, 50'000.0}) {
    for (const double alpha : {0.05, 1e-4, 1e-8}) {
      const double rho_squared = BestRhoSquared(alpha, 1000);
      const double end = OneSidedMargin(n, rho_squared, alpha) * std::sqrt(4 / n);
      Arms arms;
      arms.canary.outcomes["x"] = {static_cast<uint64_t>(n), 0, 4 * (n - 1)};
      EXPECT_NEAR(LnOutcomeEvidence(arms, Claim("x", end, true), rho_squared), -std::log(alpha),
                  1e-9);
    }
  }
}

TEST(OutcomeEvidence, QuotientsHaveTheVarianceOfTheirSums) {
  telemetry::Series arm;
  arm.outcomes["clicks"] = {300, 300, 300};
  arm.outcomes["views"] = {10'000, 10'000, 10'000};
  const auto estimate = EstimateOf(arm, {}, *ParseMetric("clicks/views"), 0.03);
  ASSERT_TRUE(estimate.has_value());
  EXPECT_DOUBLE_EQ(estimate->value, 0.03);
  EXPECT_DOUBLE_EQ(estimate->variance, 3.09e-06);
}

TEST(OutcomeEvidence, SaysNothingOfTooFewOrOfValuesWithoutChance) {
  Arms arms;
  arms.canary.outcomes["x"] = {kLeastOutcomes - 1, 0, 1e6};
  EXPECT_EQ(LnOutcomeEvidence(arms, Claim("x", 50, true), 0.02), -INFINITY);
  arms.canary.outcomes["x"] = {1000, 900, 810};  // always 0.9
  EXPECT_EQ(LnOutcomeEvidence(arms, Claim("x", 0.95, true), 0.02), -INFINITY);
  arms.canary.outcomes["x"] = {1000, 0, 0};  // only zeros, of something that is 0 or 1
  const double ln_e = LnOutcomeEvidence(arms, Claim("x", 0.001, true), 0.02);
  EXPECT_LT(ln_e, 0);  // a thousand zeros at one in a thousand: nothing unusual
  EXPECT_GT(LnOutcomeEvidence(arms, Claim("x", 0.1, true), 0.02), 20);
  EXPECT_EQ(LnOutcomeEvidence(arms, Claim("x_ratio", 0.9, true), 0.02), -INFINITY);
}

// How many of `runs` sequences of 2000 values ever exclude their own mean, looked at every 10.
int Excluded(const Draw& draw, double mean, bool is_below, double alpha, int runs) {
  Random random(11);
  const double rho_squared = BestRhoSquared(alpha, 1000);
  const OutcomeClaim claim = Claim("x", mean, is_below);
  int excluded = 0;
  for (int run = 0; run < runs; ++run) {
    Arms arms;
    for (int i = 1; i <= 2000; ++i) {
      arms.canary.outcomes["x"].Add(draw(random));
      if (i % 10 == 0 && LnOutcomeEvidence(arms, claim, rho_squared) >= -std::log(alpha)) {
        ++excluded;
        break;
      }
    }
  }
  return excluded;
}

// alpha = 0.05 of 500: 25, and 3 standard errors (4.9) more for chance.
TEST(OutcomeEvidence, CoversTheMeanOfWhateverDistribution) {
  const Draw normal = [](Random& r) { return std::normal_distribution<double>(3, 2)(r); };
  const Draw revenue = [](Random& r) { return std::exponential_distribution<double>(0.1)(r); };
  const Draw yes_no = [](Random& r) { return std::bernoulli_distribution(0.05)(r) ? 1.0 : 0.0; };
  for (const bool is_below : {true, false}) {
    EXPECT_LE(Excluded(normal, 3, is_below, 0.05, 500), 40);
    EXPECT_LE(Excluded(revenue, 10, is_below, 0.05, 500), 40);
    EXPECT_LE(Excluded(yes_no, 0.05, is_below, 0.05, 500), 40);
  }
  EXPECT_GT(Excluded(normal, 3, true, 0.05, 500), 0);  // it is a bound that can be reached
}

// Both arms alike, 60 periods, alarms at a sum of 200: 0.3 alarms a run at most.
TEST(OutcomeDetector, AlarmsNoMoreOftenThanItsBudget) {
  Random random(12);
  std::bernoulli_distribution yes(0.9);
  int alarms = 0;
  for (int run = 0; run < 100; ++run) {
    OutcomeDetector detector(Claim("x_ratio", 1, true), 1000, 200);
    for (int tick = 1; tick <= 600; ++tick) {
      telemetry::Series stable;
      telemetry::Series canary;
      for (int i = 0; i < 8; ++i) stable.outcomes["x"].Add(yes(random) ? 1 : 0);
      for (int i = 0; i < 4; ++i) canary.outcomes["x"].Add(yes(random) ? 1 : 0);
      detector.Add(tick * 100, stable, canary);
      if (detector.LnRatio() >= 0) {
        ++alarms;
        break;
      }
    }
  }
  EXPECT_LE(alarms, 30);
}

TEST(OutcomeDetector, NoticesACanaryThatTurnsBadLate) {
  Random random(13);
  OutcomeDetector detector(Claim("x", 0.9, true), 10'000, 1e5);
  const auto tick = [&](int at, double rate) {
    telemetry::Series canary;
    for (int i = 0; i < 5; ++i) {
      canary.outcomes["x"].Add(std::bernoulli_distribution(rate)(random) ? 1 : 0);
    }
    detector.Add(at * 100, {}, canary);
    return detector.LnRatio() >= 0;
  };
  int at = 0;
  for (; at < 3000; ++at) ASSERT_FALSE(tick(at, 0.95));
  const int turned = at;
  while (!tick(at, 0.7) && at < turned + 1000) ++at;
  EXPECT_LT(at - turned, 300);  // three periods; over the whole it would be 15,000 good values
  EXPECT_GT(detector.Leading()->start_ms, 0);
}

TEST(OutcomeDetector, RestoresToTheLastBit) {
  Random random(14);
  std::normal_distribution<double> value(1, 0.3);
  OutcomeDetector whole(Claim("x_ratio", 0.95, true), 5'000, 1e5);
  for (int i = 1; i <= 1000; ++i) {
    telemetry::Series stable;
    telemetry::Series canary;
    stable.outcomes["x"].Add(value(random));
    canary.outcomes["x"].Add(value(random) - 0.1);
    whole.Add(i * 100, stable, canary);
    if (i % 100 != 0) continue;
    OutcomeDetector again(Claim("x_ratio", 0.95, true), 5'000, 1e5);
    again.Restore(nlohmann::json::parse(whole.Save(i * 100).dump()), 7);
    ASSERT_EQ(again.LnSum(), whole.LnSum());
    ASSERT_EQ(again.Save(7), whole.Save(i * 100));
  }
  EXPECT_GT(whole.LnSum(), 0);
  EXPECT_ANY_THROW(whole.Restore(nlohmann::json::object(), 0));
  EXPECT_ANY_THROW(whole.Restore(nlohmann::json::parse(R"([[1,"x","y"]])"), 0));
}

}  // namespace
}  // namespace weir::control::analysis
