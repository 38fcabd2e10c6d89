// SPDX-License-Identifier: Apache-2.0
// The small vectors are those of the test suite of Dunning's reference implementation; do not
// change.
#include "shared/telemetry/tdigest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace weir::telemetry {
namespace {

TDigest Of(const std::vector<double>& values) {
  TDigest out;
  for (const double v : values) out.Add(v);
  return out;
}

TEST(TDigest, ReproducesTwentyValues) {
  TDigest d;
  for (int i = 1; i <= 19; ++i) d.Add(i);
  d.Add(1'000'000);
  EXPECT_EQ(d.Quantile(0.9), 19);
  EXPECT_EQ(d.Quantile(0.95), 1'000'000);
  EXPECT_DOUBLE_EQ(d.Cdf(19), 0.925);
}

TEST(TDigest, ReproducesFourValues) {
  const TDigest d = Of({15, 20, 32, 60});
  EXPECT_EQ(d.Quantile(0.25), 20);
  EXPECT_EQ(d.Quantile(0.4), 20);
  EXPECT_EQ(d.Quantile(0.5), 32);
}

TEST(TDigest, ReproducesThreeValues) {
  const TDigest d = Of({1, 2, 3});
  EXPECT_DOUBLE_EQ(d.Cdf(2), 0.5);
  EXPECT_EQ(d.Cdf(0.5), 0);
  EXPECT_EQ(d.Cdf(4), 1);
}

TEST(TDigest, IsEmptyUntilAFiniteValueCame) {
  TDigest d;
  d.Add(std::nan(""));
  d.Add(std::numeric_limits<double>::infinity());
  EXPECT_TRUE(d.Empty());
  EXPECT_TRUE(std::isnan(d.Quantile(0.5)));
  EXPECT_TRUE(std::isnan(d.Cdf(1)));
  d.Add(7);
  EXPECT_EQ(d.Quantile(0), 7);
  EXPECT_EQ(d.Quantile(1), 7);
  EXPECT_EQ(d.Cdf(7), 0.5);
}

// Rank error in ppm of q over `sorted`.
double ErrorPpm(const TDigest& digest, const std::vector<double>& sorted, double q) {
  const auto rank = std::lower_bound(sorted.begin(), sorted.end(), digest.Quantile(q));
  const double actual =
      static_cast<double>(rank - sorted.begin()) / static_cast<double>(sorted.size());
  return std::fabs(actual - q) * 1e6;
}

TEST(TDigest, IsSharpAtBothEndsOfAMillionValues) {
  constexpr std::array<double, 6> kEnds = {0.00001, 0.0001, 0.001, 0.999, 0.9999, 0.99999};
  constexpr uint64_t kRuns = 2;
  for (uint64_t run = 0; run < kRuns; ++run) {
    std::mt19937_64 random(run);
    std::uniform_real_distribution<double> uniform(0, 1);
    std::vector<double> values(1'000'000);
    TDigest d;
    for (double& v : values) d.Add(v = uniform(random));
    std::sort(values.begin(), values.end());
    const auto centroids = d.Centroids();
    EXPECT_EQ(d.Count(), 1e6);
    EXPECT_GE(centroids.size(), 50u);
    EXPECT_LE(centroids.size(), 60u);
    EXPECT_EQ(centroids.front(), (TDigest::Centroid{values.front(), 1}));
    EXPECT_EQ(centroids.back(), (TDigest::Centroid{values.back(), 1}));
    double mean_error = 0;
    for (const double q : kEnds) {
      const double error = ErrorPpm(d, values, q);
      EXPECT_LT(error, 30) << q;
      mean_error += error / kEnds.size();
    }
    EXPECT_LT(mean_error, 10);
    for (const double q : {0.05, 0.5, 0.95}) EXPECT_LT(ErrorPpm(d, values, q), 1000) << q;
  }
}

TEST(TDigest, MergesManySmallDigestsAsWell) {
  std::mt19937_64 random(43);
  std::lognormal_distribution<double> latency(3, 1);
  std::vector<double> values;
  TDigest merged;
  for (int tick = 0; tick < 600; ++tick) {
    TDigest one;
    for (int i = 0; i < 100; ++i) {
      values.push_back(latency(random));
      one.Add(values.back());
    }
    merged.Merge(one);
  }
  std::sort(values.begin(), values.end());
  EXPECT_EQ(merged.Count(), 60000);
  EXPECT_EQ(merged.Quantile(0), values.front());
  EXPECT_EQ(merged.Quantile(1), values.back());
  EXPECT_LT(merged.Centroids().size(), 70u);
  EXPECT_LT(ErrorPpm(merged, values, 0.5), 10000);  // a middle centroid holds a tenth of all
  for (const double q : {0.01, 0.95, 0.99}) EXPECT_LT(ErrorPpm(merged, values, q), 2000) << q;
  EXPECT_LT(ErrorPpm(merged, values, 0.999), 100);
}

TEST(TDigest, KeepsItsInvariantsWithManyEqualValues) {
  std::mt19937_64 random(44);
  TDigest d;
  for (int round = 0; round < 50; ++round) {
    TDigest one;
    for (int i = 0; i < 700; ++i) one.Add(static_cast<double>(random() % 5) * 0.1);
    d.Merge(one);
    auto again = TDigest::FromCentroids(d.Centroids());
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    ASSERT_EQ(*again, d);
  }
  EXPECT_NEAR(d.Cdf(0.2), 0.5, 0.02);
  EXPECT_NEAR(d.Quantile(0.5), 0.2, 0.005);
}

TEST(TDigest, TheLargestDoublesStayNumbersInOrder) {
  const double most = std::numeric_limits<double>::max();
  TDigest digest;
  for (int i = 0; i < 5000; ++i) digest.Add(i % 2 == 0 ? most : -most);
  TDigest sum = digest;
  sum.Merge(digest);
  double last = -most;
  for (const TDigest::Centroid& centroid : sum.Centroids()) {
    EXPECT_TRUE(std::isfinite(centroid.mean));
    EXPECT_GE(centroid.mean, last);
    last = centroid.mean;
  }
  EXPECT_EQ(sum.Quantile(0), -most);
  EXPECT_EQ(sum.Quantile(1), most);
}

TEST(TDigest, CdfAndQuantileAreInverse) {
  std::mt19937_64 random(45);
  std::normal_distribution<double> normal(100, 15);
  TDigest d;
  for (int i = 0; i < 50000; ++i) d.Add(normal(random));
  double last = 0;
  for (double q = 0.001; q < 1; q += 0.001) {
    EXPECT_NEAR(d.Cdf(d.Quantile(q)), q, 1e-4);
    EXPECT_GE(d.Quantile(q), last);
    last = d.Quantile(q);
  }
}

TEST(TDigest, RefusesCentroidsThatNoDigestHas) {
  const double nan = std::nan("");
  EXPECT_TRUE(TDigest::FromCentroids({}).ok());
  EXPECT_TRUE(TDigest::FromCentroids({{1, 1}, {2, 5}, {3, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{2, 1}, {1, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{nan, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{1, 1}, {2, nan}, {3, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{1, 1}, {2, 0}, {3, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{1, 1}, {2, -4}, {3, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{1, 1}, {2, 1e300}, {3, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{1, 2}, {2, 1}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids({{1, 1}, {2, 2}}).ok());
  EXPECT_FALSE(TDigest::FromCentroids(std::vector<TDigest::Centroid>(513, {1, 1})).ok());
}

TEST(TDigest, ReadingDoesNotChangeIt) {
  TDigest read;
  TDigest unread;
  for (int i = 0; i < 5000; ++i) {
    const double v = (i * 7919) % 5003;
    read.Add(v);
    unread.Add(v);
    if (i % 100 == 0) {
      EXPECT_GE(read.Quantile(0.5), 0);
    }
  }
  EXPECT_EQ(read, unread);
  read.Clear();
  EXPECT_TRUE(read.Empty());
  EXPECT_EQ(read.Count(), 0);
}

}  // namespace
}  // namespace weir::telemetry
