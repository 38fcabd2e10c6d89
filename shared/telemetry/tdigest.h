// SPDX-License-Identifier: Apache-2.0
// The t-digest of Dunning and Ertl (arXiv 1902.04023): a merging digest with scale function k2 and
// compression 100, for showing percentiles that stay right after any number of merges.
// Values are buffered and folded into the centroids when the buffer is full. As in the authors' own
// code, folding and merging work at a higher compression (here 500); Fold and every reader bring
// the result to 100, which loses less than working at 100 throughout. Invariants: centroids ascend
// by mean; the first and the last have weight 1 (they are the minimum and the maximum); Fold twice
// is Fold once, and a folded digest and its FromCentroids(Centroids()) behave alike to the last
// bit. Belongs to one thread; const functions really do not write. Add allocates only until the
// buffer has been filled once. Non-finite values are ignored.
#pragma once

#include <cstddef>
#include <vector>

#include "shared/base/status.h"

namespace weir::telemetry {

class TDigest {
 public:
  struct Centroid {
    double mean = 0;
    double weight = 0;
    bool operator==(const Centroid&) const = default;
  };
  static constexpr double kCompression = 100;
  static constexpr size_t kBufferSize = 1024;
  static constexpr size_t kMaxCentroids = 512;  // accepted from others; ours has far fewer

  // Centroids as received: at most kMaxCentroids, ascending, finite, weights >= 1 and 2^53 in sum,
  // first and last of weight 1.
  static Result<TDigest> FromCentroids(std::vector<Centroid> centroids);

  void Add(double value) {
    if (!(value - value == 0)) return;  // NaN or infinite
    if (buffer_.capacity() == 0) buffer_.reserve(kBufferSize);
    buffer_.push_back(value);
    if (buffer_.size() >= kBufferSize) Absorb(kWorkingCompression);
  }
  void Merge(const TDigest& other);
  // Everything into centroids, at kCompression.
  void Fold() { Absorb(kCompression); }
  // Forgets every value, keeps the memory.
  void Clear();

  double Count() const { return weight_ + static_cast<double>(buffer_.size()); }
  bool Empty() const { return centroids_.empty() && buffer_.empty(); }
  // The value at q in 0..1, between centroids by interpolation; NaN when empty.
  double Quantile(double q) const;
  // The share 0..1 of values below `x`, half of those equal to it; NaN when empty.
  double Cdf(double x) const;
  // All values as centroids, ascending, as Fold makes them.
  std::vector<Centroid> Centroids() const;
  bool operator==(const TDigest& other) const { return Centroids() == other.Centroids(); }

 private:
  static constexpr double kWorkingCompression = 5 * kCompression;

  void Absorb(double compression);
  void Compress(std::vector<Centroid>& sorted, double compression);
  double FoldedQuantile(double q) const;
  double FoldedCdf(double x) const;

  std::vector<Centroid> centroids_;
  double weight_ = 0;  // of centroids_
  std::vector<double> buffer_;
};

}  // namespace weir::telemetry
