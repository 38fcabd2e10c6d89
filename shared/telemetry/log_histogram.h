// SPDX-License-Identifier: Apache-2.0
// Latency histograms on a logarithmic grid with factor 2^(1/4).
// Boundary i is 2^(i/4) ms; bucket i holds the values v with boundary(i-1) < v <= boundary(i). So
// the number of values above a boundary is exact, on every machine and after every merge, and a
// test that counts requests above a limit takes the boundary at or above that limit. The lowest
// bucket also holds everything at or below 2^-10 ms (about 1 microsecond), zero, negative values
// and NaN; the highest everything above 2^19.25 ms (about 10 minutes). Both classes belong to one
// thread.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "shared/base/status.h"

namespace weir::telemetry {

inline constexpr int kMinBucket = -40;
inline constexpr int kMaxBucket = 78;  // the overflow bucket; boundary 77 is the last one
inline constexpr int kBucketCount = kMaxBucket - kMinBucket + 1;

// The bucket that holds `value_ms`: a few comparisons, no logarithm.
inline int BucketOf(double value_ms) {
  constexpr double kLowest = 0x1p-10;
  constexpr double kHighest = 0x1p19 * 1.189207115002721;  // boundary 77, 2^19.25
  if (!(value_ms > kLowest)) return kMinBucket;
  if (value_ms > kHighest) return kMaxBucket;
  const auto bits = std::bit_cast<uint64_t>(value_ms);
  const int exponent = static_cast<int>(bits >> 52) - 1023;
  const auto mantissa =
      std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  return 4 * exponent + (mantissa > 1.0) + (mantissa > 1.189207115002721) +
         (mantissa > 1.4142135623730951) + (mantissa > 1.681792830507429);
}

// Upper boundary of a bucket in ms. The overflow bucket has none; it answers 2^19.5.
double BoundaryMs(int bucket);

// The least boundary >= value_ms, as its index; at most 77.
inline int BoundaryAtOrAbove(double value_ms) {
  const int bucket = BucketOf(value_ms);
  return bucket < kMaxBucket ? bucket : kMaxBucket - 1;
}

// The sparse form: what is sent, merged and stored. Memory only for buckets that were hit.
class LogHistogram {
 public:
  using Entry = std::pair<int, uint64_t>;  // bucket, count > 0

  // Entries as received: buckets strictly ascending and in range, counts positive.
  static Result<LogHistogram> FromEntries(std::vector<Entry> entries);

  void Add(double value_ms, uint64_t count = 1) { AddToBucket(BucketOf(value_ms), count); }
  void AddToBucket(int bucket, uint64_t count);
  void Merge(const LogHistogram& other);

  uint64_t Count() const { return count_; }
  bool Empty() const { return count_ == 0; }
  // Values above boundary `boundary`, exactly.
  uint64_t CountAbove(int boundary) const;
  // Upper boundary in ms of the bucket with the ceil(q * n)-th smallest value; NaN when empty.
  double Quantile(double q) const;
  // Ascending by bucket.
  const std::vector<Entry>& Entries() const { return entries_; }
  bool operator==(const LogHistogram&) const = default;

 private:
  std::vector<Entry> entries_;
  uint64_t count_ = 0;
};

// The dense form for the hot path: a fixed array, Add never allocates.
class DenseLogHistogram {
 public:
  void Add(double value_ms) { ++counts_[static_cast<size_t>(BucketOf(value_ms) - kMinBucket)]; }
  void Clear() { counts_.fill(0); }
  LogHistogram ToSparse() const;

 private:
  std::array<uint64_t, kBucketCount> counts_{};
};

}  // namespace weir::telemetry
