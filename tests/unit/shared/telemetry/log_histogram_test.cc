// SPDX-License-Identifier: Apache-2.0
#include "shared/telemetry/log_histogram.h"

#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace weir::telemetry {
namespace {

TEST(LogHistogram, PutsAValueOnABoundaryBelowIt) {
  for (int i = kMinBucket + 1; i < kMaxBucket; ++i) {
    const double boundary = BoundaryMs(i);
    EXPECT_EQ(BucketOf(boundary), i);
    EXPECT_EQ(BucketOf(std::nextafter(boundary, 1e9)), i + 1);
    EXPECT_EQ(BucketOf(std::nextafter(boundary, 0)), i);
    EXPECT_EQ(BoundaryAtOrAbove(boundary), i);
  }
}

TEST(LogHistogram, BoundariesArePowersOfTheFourthRootOfTwo) {
  for (int i = kMinBucket; i <= kMaxBucket; ++i) {
    EXPECT_NEAR(BoundaryMs(i) / std::pow(2.0, i / 4.0), 1, 1e-14) << i;
  }
  EXPECT_EQ(BoundaryMs(BoundaryAtOrAbove(500)), 512);
}

TEST(LogHistogram, TakesEverythingThatIsNotALatency) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(BucketOf(0), kMinBucket);
  EXPECT_EQ(BucketOf(-1), kMinBucket);
  EXPECT_EQ(BucketOf(-inf), kMinBucket);
  EXPECT_EQ(BucketOf(std::nan("")), kMinBucket);
  EXPECT_EQ(BucketOf(inf), kMaxBucket);
  EXPECT_EQ(BucketOf(1e300), kMaxBucket);
  EXPECT_EQ(BucketOf(5e-324), kMinBucket);
}

TEST(LogHistogram, CountsAboveABoundaryExactly) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency(3, 1);
  LogHistogram first;
  LogHistogram second;
  const int boundary = BoundaryAtOrAbove(50);
  uint64_t above = 0;
  for (int i = 0; i < 20000; ++i) {
    const double v = latency(random);
    above += v > BoundaryMs(boundary);
    (i % 3 == 0 ? first : second).Add(v);
  }
  first.Merge(second);
  EXPECT_EQ(first.Count(), 20000u);
  EXPECT_EQ(first.CountAbove(boundary), above);
}

TEST(LogHistogram, DenseAndSparseAgree) {
  std::mt19937_64 random(8);
  std::lognormal_distribution<double> latency(0, 3);
  LogHistogram sparse;
  DenseLogHistogram dense;
  for (int i = 0; i < 5000; ++i) {
    const double v = latency(random);
    sparse.Add(v);
    dense.Add(v);
  }
  EXPECT_EQ(dense.ToSparse(), sparse);
  dense.Clear();
  EXPECT_TRUE(dense.ToSparse().Empty());
}

TEST(LogHistogram, QuantileIsTheBoundaryAboveTheValue) {
  LogHistogram h;
  EXPECT_TRUE(std::isnan(h.Quantile(0.5)));
  for (int i = 1; i <= 100; ++i) h.Add(i);
  EXPECT_EQ(h.Quantile(0.5), BoundaryMs(BoundaryAtOrAbove(50)));
  EXPECT_EQ(h.Quantile(0), 1);
  EXPECT_EQ(h.Quantile(1), BoundaryMs(BoundaryAtOrAbove(100)));
}

TEST(LogHistogram, RefusesEntriesThatNobodyCounted) {
  EXPECT_FALSE(LogHistogram::FromEntries({{3, 1}, {3, 1}}).ok());
  EXPECT_FALSE(LogHistogram::FromEntries({{4, 1}, {3, 1}}).ok());
  EXPECT_FALSE(LogHistogram::FromEntries({{3, 0}}).ok());
  EXPECT_FALSE(LogHistogram::FromEntries({{kMinBucket - 1, 1}}).ok());
  EXPECT_FALSE(LogHistogram::FromEntries({{kMaxBucket + 1, 1}}).ok());
  EXPECT_FALSE(LogHistogram::FromEntries({{1, 2}, {2, ~0ULL}}).ok());
  LogHistogram h;
  h.Add(3, 5);
  h.Add(700000);
  auto again = LogHistogram::FromEntries(h.Entries());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, h);
}

}  // namespace
}  // namespace weir::telemetry
