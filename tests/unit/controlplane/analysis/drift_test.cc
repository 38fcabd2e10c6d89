// SPDX-License-Identifier: Apache-2.0
// Expected numbers are analytic, computed with Python's math apart from this code:
//   square root: stable uniform on 0..1, canary x^2 of the same; shares s = 0.1 and
//     c_i = sqrt(i/10) - sqrt((i-1)/10): sum((c-s)*log(c/s)) = 0.38175128438550554;
//     max|x - sqrt(x)| = 0.25
//   classes: P(1) 0.3 and 0.6: (.4-.7)*log(.4/.7) + (.6-.3)*log(.6/.3) = 0.37582889054861035
//   all above: n = 1000, ten bins: s = 100.5/1005, c = .5/1005 nine times and 1000.5/1005:
//     9*(c0-s)*log(c0/s) + (c1-s)*log(c1/s) = 6.807225971269014
#include "controlplane/analysis/drift.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

using telemetry::TDigest;

// f(x) for `n` values of x evenly on 0..1.
template <class F>
OutputShares Of(int n, F f) {
  TDigest digest;
  for (int i = 0; i < n; ++i) digest.Add(f((i * 7919 % n + 0.5) / n));
  return OutputShares(digest);
}

double Same(double x) { return x; }

TEST(Drift, MatchesTheAnalyticValuesOfASquareRoot) {
  const auto stable = Of(100'000, Same);
  const auto canary = Of(100'000, [](double x) { return x * x; });
  // Digests, coarse in the middle, show about 0.011 less, in whatever order the values come.
  EXPECT_NEAR(PopulationStabilityIndex(stable, canary), 0.38175128438550554, 0.015);
  EXPECT_NEAR(KolmogorovSmirnov(stable, canary), 0.25, 0.005);
  EXPECT_NEAR(KolmogorovSmirnov(canary, stable), 0.25, 0.005);
}

TEST(Drift, TakesClassesForWhatTheyAre) {
  const auto stable = Of(10'000, [](double x) { return x < 0.7 ? 0.0 : 1.0; });
  const auto canary = Of(10'000, [](double x) { return x < 0.4 ? 0.0 : 1.0; });
  EXPECT_NEAR(PopulationStabilityIndex(stable, canary), 0.37582889054861035, 0.002);
  EXPECT_NEAR(KolmogorovSmirnov(stable, canary), 0.3, 0.001);
  EXPECT_EQ(KolmogorovSmirnov(stable, stable), 0);
  EXPECT_EQ(PopulationStabilityIndex(stable, stable), 0);
}

TEST(Drift, EmptyBinsAreFinite) {
  const auto stable = Of(1000, Same);
  const auto above = Of(1000, [](double) { return 5.0; });
  EXPECT_NEAR(PopulationStabilityIndex(stable, above), 6.807225971269014, 0.02);
  EXPECT_EQ(KolmogorovSmirnov(stable, above), 1);
  const auto constant = Of(1000, [](double) { return 3.0; });
  EXPECT_GT(PopulationStabilityIndex(constant, above), 5);
  EXPECT_EQ(KolmogorovSmirnov(constant, above), 1);
  EXPECT_EQ(PopulationStabilityIndex(constant, constant), 0);
}

TEST(Drift, IsAbsentWithoutOutputs) {
  const OutputShares none{TDigest()};
  const auto some = Of(10, Same);
  EXPECT_EQ(PopulationStabilityIndex(none, some), 0);
  EXPECT_EQ(PopulationStabilityIndex(some, none), 0);
  EXPECT_EQ(KolmogorovSmirnov(none, some), 0);
  EXPECT_EQ(none.AtMost(1), 0);
}

TEST(Drift, EqualDistributionsStayBelowTheHabitualThresholds) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (int run = 0; run < 50; ++run) {
    TDigest a;
    TDigest b;
    for (int i = 0; i < 1000; ++i) a.Add(normal(random));
    for (int i = 0; i < 1000; ++i) b.Add(normal(random));
    EXPECT_LT(PopulationStabilityIndex(OutputShares(a), OutputShares(b)), 0.1);
    EXPECT_LT(KolmogorovSmirnov(OutputShares(a), OutputShares(b)), 0.1);
  }
}

}  // namespace
}  // namespace weir::control::analysis
