// SPDX-License-Identifier: Apache-2.0
#include "shared/telemetry/log_histogram.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace weir::telemetry {

double BoundaryMs(int bucket) {
  constexpr std::array<double, 4> kRoots = {1.0, 1.189207115002721, 1.4142135623730951,
                                            1.681792830507429};
  bucket = std::clamp(bucket, kMinBucket, kMaxBucket);
  const int root = ((bucket % 4) + 4) % 4;
  return std::ldexp(kRoots[static_cast<size_t>(root)], (bucket - root) / 4);
}

Result<LogHistogram> LogHistogram::FromEntries(std::vector<Entry> entries) {
  LogHistogram out;
  int last = kMinBucket - 1;
  for (const auto& [bucket, count] : entries) {
    if (bucket <= last || bucket > kMaxBucket) {
      return InvalidArgument("latency", fmt::format("bucket {} is out of order or not in {}..{}",
                                                    bucket, kMinBucket, kMaxBucket));
    }
    if (count == 0 || count > std::numeric_limits<uint64_t>::max() - out.count_) {
      return InvalidArgument("latency", fmt::format("bucket {} has the count {}", bucket, count));
    }
    last = bucket;
    out.count_ += count;
  }
  out.entries_ = std::move(entries);
  return out;
}

void LogHistogram::AddToBucket(int bucket, uint64_t count) {
  if (count == 0) return;
  bucket = std::clamp(bucket, kMinBucket, kMaxBucket);
  auto it = std::lower_bound(entries_.begin(), entries_.end(), bucket,
                             [](const Entry& e, int b) { return e.first < b; });
  if (it != entries_.end() && it->first == bucket) {
    it->second += count;
  } else {
    entries_.insert(it, {bucket, count});
  }
  count_ += count;
}

void LogHistogram::Merge(const LogHistogram& other) {
  if (&other == this) {
    for (auto& entry : entries_) entry.second *= 2;
    count_ *= 2;
    return;
  }
  for (const auto& [bucket, count] : other.entries_) AddToBucket(bucket, count);
}

uint64_t LogHistogram::CountAbove(int boundary) const {
  uint64_t above = 0;
  for (auto it = entries_.rbegin(); it != entries_.rend() && it->first > boundary; ++it) {
    above += it->second;
  }
  return above;
}

double LogHistogram::Quantile(double q) const {
  if (count_ == 0 || std::isnan(q)) return std::numeric_limits<double>::quiet_NaN();
  const double rank =
      std::max(1.0, std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (const auto& [bucket, count] : entries_) {
    seen += count;
    if (static_cast<double>(seen) >= rank) return BoundaryMs(bucket);
  }
  return BoundaryMs(entries_.back().first);
}

LogHistogram DenseLogHistogram::ToSparse() const {
  LogHistogram out;
  for (int i = 0; i < kBucketCount; ++i) {
    out.AddToBucket(kMinBucket + i, counts_[static_cast<size_t>(i)]);
  }
  return out;
}

}  // namespace weir::telemetry
