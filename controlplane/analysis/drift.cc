// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/drift.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace weir::control::analysis {

using Centroid = telemetry::TDigest::Centroid;

OutputShares::OutputShares(const telemetry::TDigest& digest) : centroids_(digest.Centroids()) {
  Unmix();
  for (const Centroid& c : centroids_) {
    before_.push_back(total_);
    total_ += c.weight;
  }
  if (centroids_.empty()) return;
  for (int tenth = 1; tenth <= 9; ++tenth) {
    const double edge = Quantile(tenth / 10.0);
    if (deciles_.empty() || edge > deciles_.back()) deciles_.push_back(edge);
  }
}

// Zeros and ones in one centroid have a mean that no answer had: back to both.
void OutputShares::Unmix() {
  std::vector<Centroid> out;
  for (size_t i = 0; i < centroids_.size(); ++i) {
    const Centroid& c = centroids_[i];
    const bool is_mixture =
        i > 0 && i + 1 < centroids_.size() && !IsPoint(i) && IsPoint(i - 1) && IsPoint(i + 1);
    if (!is_mixture) {
      out.push_back(c);
      continue;
    }
    const double left = centroids_[i - 1].mean;
    const double right = centroids_[i + 1].mean;
    const double to_right = std::round(c.weight * ((c.mean - left) / (right - left)));
    if (to_right < c.weight) out.push_back({left, c.weight - to_right});
    if (to_right > 0) out.push_back({right, to_right});
  }
  centroids_ = std::move(out);
}

// The least x with AtMost(x) >= q, q in (0, 1).
double OutputShares::Quantile(double q) const {
  double share = 0;  // at most the mean of the centroid before
  for (size_t i = 0; i < centroids_.size(); ++i) {
    const double at_most = AtMost(centroids_[i].mean);
    if (at_most < q) {
      share = at_most;
      continue;
    }
    const double until = IsPoint(i) ? before_[i] / total_ : at_most;  // just left of the mean
    if (i == 0 || until <= q) return centroids_[i].mean;
    const double left = centroids_[i - 1].mean;
    return left + (centroids_[i].mean - left) * ((q - share) / (until - share));
  }
  return centroids_.back().mean;
}

bool OutputShares::IsPoint(size_t i) const {
  const double mean = centroids_[i].mean;
  return centroids_[i].weight == 1 || (i > 0 && centroids_[i - 1].mean == mean) ||
         (i + 1 < centroids_.size() && centroids_[i + 1].mean == mean);
}

double OutputShares::AtMost(double x) const {
  const auto first =
      std::lower_bound(centroids_.begin(), centroids_.end(), x,
                       [](const Centroid& c, double value) { return c.mean < value; });
  auto last = first;
  while (last != centroids_.end() && last->mean == x) ++last;
  if (last == centroids_.begin()) return 0;
  const auto left = static_cast<size_t>(last - centroids_.begin()) - 1;
  const double until = before_[left] + centroids_[left].weight;
  // Half of a centroid's values lie right of its mean, unless they are all the same.
  const double from = IsPoint(left) ? until : until - centroids_[left].weight / 2;
  if (last == centroids_.end() || first != last) return from / total_;
  const size_t right = left + 1;
  const double to = IsPoint(right) ? until : until + centroids_[right].weight / 2;
  const double gap = centroids_[right].mean - centroids_[left].mean;
  return (from + (to - from) * ((x - centroids_[left].mean) / gap)) / total_;
}

double PopulationStabilityIndex(const OutputShares& stable, const OutputShares& canary) {
  if (stable.Count() == 0 || canary.Count() == 0) return 0;
  const std::vector<double>& edges = stable.deciles();
  const auto bins = static_cast<double>(edges.size() + 1);
  double sum = 0;
  double stable_before = 0;
  double canary_before = 0;
  for (size_t i = 0; i <= edges.size(); ++i) {
    const double stable_until = i < edges.size() ? stable.AtMost(edges[i]) : 1;
    const double canary_until = i < edges.size() ? canary.AtMost(edges[i]) : 1;
    const double in_stable = std::max(0.0, stable_until - stable_before) * stable.Count();
    const double in_canary = std::max(0.0, canary_until - canary_before) * canary.Count();
    stable_before = stable_until;
    canary_before = canary_until;
    if (in_stable < 0.5 && in_canary < 0.5) continue;
    const double s = (in_stable + 0.5) / (stable.Count() + bins / 2);
    const double c = (in_canary + 0.5) / (canary.Count() + bins / 2);
    sum += (c - s) * std::log(c / s);
  }
  return sum;
}

double KolmogorovSmirnov(const OutputShares& stable, const OutputShares& canary) {
  if (stable.Count() == 0 || canary.Count() == 0) return 0;
  double largest = 0;
  for (const OutputShares* arm : {&stable, &canary}) {
    for (const Centroid& c : arm->centroids()) {
      largest = std::max(largest, std::abs(stable.AtMost(c.mean) - canary.AtMost(c.mean)));
    }
  }
  return largest;
}

}  // namespace weir::control::analysis
