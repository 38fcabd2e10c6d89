// SPDX-License-Identifier: Apache-2.0
// How far the canary's outputs are from stable's, from two digests. Both measures are descriptive:
// they grow with the difference and not with the number of requests, but they have noise of their
// own, so look at them from about a thousand outputs of each arm on.
#pragma once

#include <vector>

#include "shared/telemetry/tdigest.h"

namespace weir::control::analysis {

// The distribution of a digest's values. Between centroids it interpolates; where several centroids
// have one mean, or one has the weight 1, all of that weight stands at the mean (classes, counts),
// and a centroid between two such points is a mixture of their values.
class OutputShares {
 public:
  explicit OutputShares(const telemetry::TDigest& digest);

  double Count() const { return total_; }
  // The share 0..1 of values <= x; 0 of an empty digest.
  double AtMost(double x) const;
  const std::vector<telemetry::TDigest::Centroid>& centroids() const { return centroids_; }
  // Upper edges of the first nine tenths, without repetition.
  const std::vector<double>& deciles() const { return deciles_; }

 private:
  bool IsPoint(size_t i) const;
  void Unmix();
  double Quantile(double q) const;

  std::vector<telemetry::TDigest::Centroid> centroids_;
  std::vector<double> before_;  // weight left of centroid i
  std::vector<double> deciles_;
  double total_ = 0;
};

// Population stability index: sum over bins of (c - s) ln(c / s), where the bins are stable's
// deciles and s, c the shares of stable's and the canary's outputs in them (N. Siddiqi, Credit Risk
// Scorecards, 2006; Kullback and Leibler's J divergence). An empty bin has no logarithm, so every
// share is (count + 1/2) / (n + bins / 2); bins empty in both are left out. Equal distributions
// have about (bins - 1)(1/n_s + 1/n_c) (B. Yurdakul, J. Naranjo, Statistical properties of the
// population stability index, 2020). By habit 0.1 is some and 0.25 a lot. 0 if either is empty.
double PopulationStabilityIndex(const OutputShares& stable, const OutputShares& canary);

// Kolmogorov-Smirnov distance: the largest |F - G| at the centroids of both, 0..1. 0 if either is
// empty.
double KolmogorovSmirnov(const OutputShares& stable, const OutputShares& canary);

}  // namespace weir::control::analysis
