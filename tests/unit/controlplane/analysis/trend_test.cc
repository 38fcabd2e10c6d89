// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/trend.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

constexpr int64_t kWindowMs = 300'000;

// A value a quarter of a minute apart.
std::vector<TrendPoint> Line(int n, double first, double per_minute) {
  std::vector<TrendPoint> out;
  for (int i = 0; i < n; ++i) out.push_back({1'000'000 + i * 15'000, first + per_minute * i / 4});
  return out;
}

TEST(Trend, ForetellsWhenALineMeetsTheThreshold) {
  const auto trend = FindTrend(Line(9, 0.026, 0.004), 0.05, true, kWindowMs);  // now 0.034
  ASSERT_TRUE(trend.has_value());
  EXPECT_NEAR(trend->per_minute, 0.004, 1e-12);
  EXPECT_NEAR(static_cast<double>(trend->reaches_in_ms), 240'000, 1);
  EXPECT_EQ(TrendText(*trend, 0.05), "rises 0.004 a minute, would reach 0.05 in about 4m");
}

TEST(Trend, FallsTowardsALowerThreshold) {
  const auto trend = FindTrend(Line(9, 0.99, -0.01), 0.95, false, kWindowMs);
  ASSERT_TRUE(trend.has_value());
  EXPECT_EQ(TrendText(*trend, 0.95), "falls 0.01 a minute, would reach 0.95 in about 2m");
  EXPECT_FALSE(FindTrend(Line(9, 0.99, 0.01), 0.95, false, kWindowMs).has_value());
}

TEST(Trend, IsNoneOfTooFewPointsNorFarAwayNorTooLate) {
  EXPECT_FALSE(FindTrend(Line(7, 0.03, 0.004), 0.05, true, kWindowMs).has_value());
  EXPECT_TRUE(FindTrend(Line(8, 0.03, 0.004), 0.05, true, kWindowMs).has_value());
  EXPECT_FALSE(FindTrend(Line(9, 0.002, 0.008), 0.05, true, kWindowMs).has_value());  // now 0.018
  EXPECT_FALSE(FindTrend(Line(9, 0.03, 0.001), 0.05, true, kWindowMs).has_value());   // in 18 m
  EXPECT_FALSE(FindTrend(Line(9, 0.03, 0), 0.05, true, kWindowMs).has_value());
  EXPECT_FALSE(FindTrend({}, 0.05, true, kWindowMs).has_value());
  EXPECT_FALSE(FindTrend(std::vector<TrendPoint>(9, {5, 0.04}), 0.05, true, kWindowMs).has_value());
}

TEST(Trend, NoiseIsRarelyOne) {
  std::mt19937_64 random(4);
  std::normal_distribution<double> noise(0.04, 0.004);
  int found = 0;
  for (int run = 0; run < 1000; ++run) {
    auto points = Line(20, 0, 0);
    for (TrendPoint& p : points) p.value = noise(random);
    found += FindTrend(points, 0.05, true, kWindowMs).has_value() ? 1 : 0;
  }
  EXPECT_LE(found, 10);  // 0.4 % of a t-distribution with 18 degrees of freedom is above 3
}

}  // namespace
}  // namespace weir::control::analysis
