// SPDX-License-Identifier: Apache-2.0
// The table is the design's, computed apart from this code; do not change.
#include "controlplane/analysis/eprocess.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

TEST(BlockEProcess, ReproducesThePrintedValues) {
  EXPECT_NEAR(LnTwoSample({95, 0, 5, 0}, 0.001, 0.05), -0.005917506289, 5e-13);
  EXPECT_NEAR(LnTwoSample({95, 0, 5, 2}, 0.001, 0.05), 5.437054701, 5e-10);
  EXPECT_NEAR(LnTwoSample({950, 1, 50, 3}, 0.001, 0.05), 6.864453553, 5e-10);
}

// Sum over all outcomes of P(outcome) e, both arms with the true rate `p`.
double ExpectedTwoSample(uint64_t a, uint64_t b, double p, double theta_a, double theta_b) {
  const auto ln_pmf = [p](uint64_t n, uint64_t x) {
    const auto dn = static_cast<double>(n);
    const auto dx = static_cast<double>(x);
    return std::lgamma(dn + 1) - std::lgamma(dx + 1) - std::lgamma(dn - dx + 1) + dx * std::log(p) +
           (dn - dx) * std::log1p(-p);
  };
  double sum = 0;
  for (uint64_t x_a = 0; x_a <= a; ++x_a) {
    for (uint64_t x_b = 0; x_b <= b; ++x_b) {
      sum += std::exp(ln_pmf(a, x_a) + ln_pmf(b, x_b) +
                      LnTwoSample({a, x_a, b, x_b}, theta_a, theta_b));
    }
  }
  return sum;
}

TEST(BlockEProcess, HasExpectationAtMostOneWhereTheArmsAreEqual) {
  for (const double p : {0.001, 0.02, 0.3}) {
    for (const double theta_a : {0.001, 0.02, 0.3}) {
      for (const double ratio : kOddsRatios) {
        EXPECT_LE(ExpectedTwoSample(19, 4, p, theta_a, OddsTimes(theta_a, ratio)), 1 + 1e-9)
            << p << " " << theta_a << " " << ratio;
      }
    }
  }
}

TEST(BlockEProcess, OneSampleHasExpectationOneAtItsNull) {
  const double p0 = 0.05;
  for (const double ratio : kOddsRatios) {
    const double q = OddsTimes(p0, ratio);
    const double one =
        (1 - p0) * std::exp(LnOneSample(1, 0, p0, q)) + p0 * std::exp(LnOneSample(1, 1, p0, q));
    EXPECT_NEAR(one, 1, 1e-12);
  }
}

TEST(BlockEProcess, SaysNothingWithoutRequestsInBothArms) {
  EXPECT_EQ(LnTwoSample({0, 0, 50, 50}, 0.001, 0.5), 0);
  EXPECT_EQ(LnTwoSample({50, 0, 0, 0}, 0.001, 0.5), 0);
}

TEST(BlockEProcess, NullsAndThresholds) {
  EXPECT_DOUBLE_EQ(SmoothedRate(0, 0), 0.5);
  EXPECT_DOUBLE_EQ(SmoothedRate(9, 9999), 9.5 / 10000);
  EXPECT_DOUBLE_EQ(FrozenNull(0.001), 0.006);
  EXPECT_DOUBLE_EQ(FrozenNull(0.02), 0.03);
  EXPECT_DOUBLE_EQ(AlarmThreshold(1, 30LL * 86'400'000, 100), 2.592e7);
  EXPECT_DOUBLE_EQ(AlarmThreshold(3, 30LL * 86'400'000, 100), 7.776e7);
}

TEST(Detector, StaysFiniteAtExtremes) {
  Detector d;
  for (int i = 0; i < 1000; ++i) {
    d.AddTwoSample({0, 0, 10, 10}, 0.999999, {});
    d.AddTwoSample({1000000, 1000000, 1000000, 0}, 1.0, {});
    d.AddTwoSample({1000000, 0, 1000000, 1000000}, 0.0, {});
    d.AddOneSample(1000000, 1000000, 0.0, {});
  }
  EXPECT_TRUE(std::isfinite(d.LnMeanS()));
  EXPECT_TRUE(std::isfinite(d.LnMeanM()));
}

TEST(Detector, StartsItsSpanAnewWhenEvidenceIsGone) {
  Detector d;
  for (int i = 0; i < 100; ++i) d.AddTwoSample({950, 1, 50, 0}, 0.001, {});
  for (int i = 0; i < 3; ++i) d.AddTwoSample({950, 1, 50, 25}, 0.001, {7, 8});
  const Detector::Span& span = d.Leading();
  EXPECT_EQ(span.counts.canary_requests, 150u);
  EXPECT_EQ(span.counts.canary_bad, 75u);
  EXPECT_EQ(span.counts.stable_requests, 2850u);
  EXPECT_EQ(span.bad_keys, (std::vector<uint32_t>{7, 8}));
}

TEST(Detector, RestoresToTheLastBit) {
  std::mt19937_64 random(5);
  Detector d;
  for (uint32_t i = 0; i < 500; ++i) d.AddTwoSample({95, random() % 3, 5, random() % 2}, 0.01, {i});
  auto again = Detector::Restore(nlohmann::json::parse(d.Save().dump()));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->Save(), d.Save());
  for (int i = 0; i < 500; ++i) {
    const Block block{95, random() % 3, 5, random() % 2};
    d.AddTwoSample(block, 0.01, {});
    again->AddTwoSample(block, 0.01, {});
    ASSERT_EQ(d.LnMeanS(), again->LnMeanS());
    ASSERT_EQ(d.LnMeanM(), again->LnMeanM());
  }
}

TEST(Detector, RefusesWhatItDidNotSave) {
  EXPECT_FALSE(Detector::Restore(nlohmann::json::object()).ok());
  nlohmann::json saved = Detector().Save();
  saved["ln_s"] = {1, 2};
  EXPECT_FALSE(Detector::Restore(saved).ok());
  saved = Detector().Save();
  saved["spans"].erase(0);
  EXPECT_FALSE(Detector::Restore(saved).ok());
  saved = Detector().Save();
  saved["spans"][3][1] = "x";
  EXPECT_FALSE(Detector::Restore(saved).ok());
}

}  // namespace
}  // namespace weir::control::analysis
