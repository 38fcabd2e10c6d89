// SPDX-License-Identifier: Apache-2.0
// Made-up telemetry of one arm: requests, errors and latencies, the same on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <random>

#include "shared/telemetry/series.h"

namespace weir::control::analysis {

using Random = std::mt19937_64;

double Uniform(Random& random);  // (0, 1]
double Normal(Random& random);   // standard

// Successes among n: exact up to a variance of a thousand, the normal law from there on.
uint64_t Binomial(Random& random, uint64_t n, double p);

// Lognormal latencies with sigma 0.4, on a grid of 4096 equally likely values.
class LatencyLaw {
 public:
  explicit LatencyLaw(double median_ms);
  // `n` values. From 4096 on the buckets' counts are drawn one by one, so that their sum is n only
  // on average.
  void Draw(Random& random, uint64_t n, telemetry::LogHistogram& into) const;

  static constexpr double kSigma = 0.4;

 private:
  static constexpr size_t kGrid = 4096;
  int lowest_ = 0;  // bucket
  std::array<uint8_t, kGrid> above_lowest_{};
  std::array<uint32_t, telemetry::kBucketCount> weights_{};  // of the grid, by bucket above lowest
  size_t buckets_ = 0;
};

// What `requests` with this error rate count; every bad one has a key of its own.
telemetry::Series DrawSeries(Random& random, uint64_t requests, double error_rate,
                             const LatencyLaw& latency);

}  // namespace weir::control::analysis
