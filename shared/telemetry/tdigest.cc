// SPDX-License-Identifier: Apache-2.0
#include "shared/telemetry/tdigest.h"

#include <algorithm>
#include <boost/sort/pdqsort/pdqsort.hpp>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace weir::telemetry {
namespace {

using Centroid = TDigest::Centroid;

bool HasLessMean(const Centroid& a, const Centroid& b) { return a.mean < b.mean; }

// Without branches that depend on values, unlike std::sort: half of an insert is sorting.
void SortValues(std::vector<double>& values) { boost::sort::pdqsort(values.begin(), values.end()); }

// Of centroids that ascend by mean, those with one mean ascend by weight.
void SortTies(std::vector<Centroid>& sorted) {
  for (auto begin = sorted.begin(); begin != sorted.end();) {
    const auto end =
        std::find_if(begin, sorted.end(), [&](const Centroid& c) { return c.mean != begin->mean; });
    std::sort(begin, end, [](const auto& a, const auto& b) { return a.weight < b.weight; });
    begin = end;
  }
}

// The order of centroids with one mean is free: put one of weight 1 last. The front has it, since
// ties ascend by weight.
void PutSingletonLast(std::vector<Centroid>& sorted) {
  for (size_t i = sorted.size(); i-- > 0 && sorted[i].mean == sorted.back().mean;) {
    if (sorted[i].weight == 1) {
      std::swap(sorted[i], sorted.back());
      return;
    }
  }
}

double WeightedAverage(double x1, double w1, double x2, double w2) {
  const double mean = (x1 * w1 + x2 * w2) / (w1 + w2);
  return std::clamp(mean, x1, x2);
}

// Between two centroids there is no mass within half a weight of a singleton.
double BetweenCentroids(const Centroid& left, const Centroid& right, double from_left,
                        double to_right) {
  if (left.weight == 1) {
    if (from_left < 0.5) return left.mean;
    from_left -= 0.5;
  }
  if (right.weight == 1) {
    if (to_right <= 0.5) return right.mean;
    to_right -= 0.5;
  }
  return WeightedAverage(left.mean, to_right, right.mean, from_left);
}

}  // namespace

Result<TDigest> TDigest::FromCentroids(std::vector<Centroid> centroids) {
  constexpr double kMaxWeight = 9007199254740992.0;  // 2^53
  if (centroids.size() > kMaxCentroids) {
    return InvalidArgument(
        "digest", fmt::format("{} centroids are more than {}", centroids.size(), kMaxCentroids));
  }
  TDigest out;
  for (size_t i = 0; i < centroids.size(); ++i) {
    const Centroid& c = centroids[i];
    if (!std::isfinite(c.mean) || !(c.weight >= 1) || !(c.weight <= kMaxWeight)) {
      return InvalidArgument("digest", fmt::format("centroid {} has the mean {} and the weight {}",
                                                   i, c.mean, c.weight));
    }
    if (i > 0 && c.mean < centroids[i - 1].mean) {
      return InvalidArgument("digest", fmt::format("centroid {} is out of order", i));
    }
    out.weight_ += c.weight;
  }
  if (!centroids.empty() && (centroids.front().weight != 1 || centroids.back().weight != 1)) {
    return InvalidArgument("digest", "the first and the last centroid must have weight 1");
  }
  if (out.weight_ > kMaxWeight) return InvalidArgument("digest", "more than 2^53 values");
  out.centroids_ = std::move(centroids);
  return out;
}

void TDigest::Merge(const TDigest& other) {
  if (centroids_.empty() && buffer_.empty() && other.buffer_.empty()) {
    *this = other;
    return;
  }
  thread_local std::vector<Centroid> singles;  // these keep their memory
  thread_local std::vector<Centroid> theirs;
  thread_local std::vector<Centroid> sorted;
  buffer_.insert(buffer_.end(), other.buffer_.begin(), other.buffer_.end());
  SortValues(buffer_);
  singles.clear();
  for (const double value : buffer_) singles.push_back({value, 1});
  buffer_.clear();
  theirs.resize(other.centroids_.size() + singles.size());
  std::merge(other.centroids_.begin(), other.centroids_.end(), singles.begin(), singles.end(),
             theirs.begin(), HasLessMean);
  sorted.resize(centroids_.size() + theirs.size());
  std::merge(centroids_.begin(), centroids_.end(), theirs.begin(), theirs.end(), sorted.begin(),
             HasLessMean);
  SortTies(sorted);
  Compress(sorted, kWorkingCompression);
}

void TDigest::Absorb(double compression) {
  thread_local std::vector<Centroid> sorted;  // keeps its memory, so that Add does not allocate
  sorted.clear();
  sorted.reserve(buffer_.size() + centroids_.size());
  SortValues(buffer_);
  size_t next = 0;
  for (const Centroid& c : centroids_) {
    while (next < buffer_.size() && buffer_[next] <= c.mean) sorted.push_back({buffer_[next++], 1});
    sorted.push_back(c);
  }
  while (next < buffer_.size()) sorted.push_back({buffer_[next++], 1});
  buffer_.clear();
  Compress(sorted, compression);
}

void TDigest::Clear() {
  centroids_.clear();
  buffer_.clear();
  weight_ = 0;
}

// One pass over ascending centroids: a neighbour is taken in while the centroid spans at most 1 on
// the scale k2(q) = delta / Z ln(q / (1 - q)), Z = 4 ln(n / delta) + 24; that is, while the odds at
// its right end are at most e^(Z / delta) times those at its left end.
void TDigest::Compress(std::vector<Centroid>& sorted, double compression) {
  if (sorted.empty()) return;
  PutSingletonLast(sorted);
  weight_ = 0;
  for (const Centroid& c : sorted) weight_ += c.weight;
  centroids_.clear();
  const double z = 4 * std::log(weight_ / compression) + 24;
  const double step = std::exp(z / compression);
  double before = 0;  // weight left of the centroid that grows
  for (size_t i = 0; i < sorted.size();) {
    Centroid grown = sorted[i];
    const size_t begin = i++;
    double sum = grown.mean * grown.weight;
    // The minimum and the maximum stay by themselves.
    while (begin > 0 && i + 1 < sorted.size()) {
      const double weight = grown.weight + sorted[i].weight;
      const double until = before + weight;
      if (until * (weight_ - before) > step * before * (weight_ - until)) break;
      sum += sorted[i].mean * sorted[i].weight;
      grown.weight = weight;
      ++i;
    }
    // In this order, so that no sum, however large, leaves what it is made of.
    if (i > begin + 1)
      grown.mean = std::min(std::max(grown.mean, sum / grown.weight), sorted[i - 1].mean);
    before += grown.weight;
    centroids_.push_back(grown);
  }
}

double TDigest::Quantile(double q) const {
  TDigest folded = *this;
  folded.Fold();
  return folded.FoldedQuantile(q);
}

double TDigest::FoldedQuantile(double q) const {
  if (centroids_.empty() || std::isnan(q)) return std::numeric_limits<double>::quiet_NaN();
  const double index = std::clamp(q, 0.0, 1.0) * weight_;
  if (index < 1) return centroids_.front().mean;
  if (index > weight_ - 1) return centroids_.back().mean;
  double middle = centroids_.front().weight / 2;  // of centroid i
  for (size_t i = 0; i + 1 < centroids_.size(); ++i) {
    const double step = (centroids_[i].weight + centroids_[i + 1].weight) / 2;
    if (middle + step > index) {
      return BetweenCentroids(centroids_[i], centroids_[i + 1], index - middle,
                              middle + step - index);
    }
    middle += step;
  }
  return centroids_.back().mean;
}

double TDigest::Cdf(double x) const {
  TDigest folded = *this;
  folded.Fold();
  return folded.FoldedCdf(x);
}

double TDigest::FoldedCdf(double x) const {
  if (centroids_.empty() || std::isnan(x)) return std::numeric_limits<double>::quiet_NaN();
  if (x < centroids_.front().mean) return 0;
  if (x > centroids_.back().mean) return 1;
  double below = 0;  // weight of the centroids left of i
  size_t i = 0;
  while (centroids_[i].mean < x && centroids_[i + 1].mean <= x) below += centroids_[i++].weight;
  if (centroids_[i].mean == x) {
    double equal = 0;
    for (; i < centroids_.size() && centroids_[i].mean == x; ++i) equal += centroids_[i].weight;
    return (below + equal / 2) / weight_;
  }
  const Centroid& left = centroids_[i];
  const Centroid& right = centroids_[i + 1];
  const double left_half = left.weight == 1 ? 1 : left.weight / 2;  // a singleton lies left of x
  const double right_half = right.weight == 1 ? 0 : right.weight / 2;
  const double from = below + left_half;
  const double between = left.weight == 1 ? right_half : left.weight / 2 + right_half;
  return (from + between * (x - left.mean) / (right.mean - left.mean)) / weight_;
}

std::vector<Centroid> TDigest::Centroids() const {
  TDigest folded = *this;
  folded.Fold();
  return folded.centroids_;
}

}  // namespace weir::telemetry
