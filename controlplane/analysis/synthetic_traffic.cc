// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/synthetic_traffic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace weir::control::analysis {
namespace {

// The standard normal quantile, by bisection of its distribution function.
double NormalQuantile(double q) {
  double low = -8;
  double high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::numbers::sqrt2) / 2 < q ? low : high) = middle;
  }
  return (low + high) / 2;
}

uint64_t Rounded(double value, double largest) {
  return static_cast<uint64_t>(std::llround(std::clamp(value, 0.0, largest)));
}

}  // namespace

// Our own, since the standard library's distributions differ between implementations.
double Uniform(Random& random) { return (static_cast<double>(random() >> 11) + 1) * 0x1p-53; }

double Normal(Random& random) {  // Box and Muller
  const double radius = std::sqrt(-2 * std::log(Uniform(random)));
  return radius * std::cos(2 * std::numbers::pi * Uniform(random));
}

// By jumping from success to success: about n p steps.
uint64_t Binomial(Random& random, uint64_t n, double p) {
  constexpr double kNormalFrom = 1000;
  if (p <= 0 || n == 0) return 0;
  if (p > 0.5) return n - Binomial(random, n, 1 - p);
  const auto count = static_cast<double>(n);
  const double variance = count * p * (1 - p);
  if (variance > kNormalFrom) {
    return Rounded(count * p + std::sqrt(variance) * Normal(random), count);
  }
  const double ln_q = std::log1p(-p);
  uint64_t successes = 0;
  double at = 0;
  while (true) {
    at += 1 + std::floor(std::log(Uniform(random)) / ln_q);
    if (at > count) return successes;
    ++successes;
  }
}

LatencyLaw::LatencyLaw(double median_ms) {
  const auto bucket = [&](size_t i) {
    const double q = (static_cast<double>(i) + 0.5) / kGrid;
    return telemetry::BucketOf(median_ms * std::exp(kSigma * NormalQuantile(q)));
  };
  lowest_ = bucket(0);
  for (size_t i = 0; i < kGrid; ++i) {
    const auto above = static_cast<uint8_t>(bucket(i) - lowest_);
    above_lowest_[i] = above;
    ++weights_[above];
    buckets_ = above + size_t{1};
  }
}

void LatencyLaw::Draw(Random& random, uint64_t n, telemetry::LogHistogram& into) const {
  std::array<uint64_t, telemetry::kBucketCount> counts{};
  if (n >= kGrid) {
    for (size_t i = 0; i < buckets_; ++i) {
      const double mean = static_cast<double>(n) * weights_[i] / kGrid;
      counts[i] = Rounded(mean + std::sqrt(mean) * Normal(random), 2 * mean + 100);
    }
  } else {
    uint64_t bits = 0;
    for (uint64_t i = 0; i < n; ++i) {
      bits = i % 5 == 0 ? random() : bits >> 12;
      ++counts[above_lowest_[bits % kGrid]];
    }
  }
  for (size_t i = 0; i < buckets_; ++i) {
    if (counts[i] > 0) into.AddToBucket(lowest_ + static_cast<int>(i), counts[i]);
  }
}

telemetry::Series DrawSeries(Random& random, uint64_t requests, double error_rate,
                             const LatencyLaw& latency) {
  telemetry::Series out;
  if (requests == 0) return out;
  out.counters[telemetry::kRequests] = requests;
  if (const uint64_t bad = Binomial(random, requests, error_rate); bad > 0) {
    out.counters[telemetry::kBad] = bad;
    const uint64_t keys = std::min<uint64_t>(bad, telemetry::Series::kMaxBadKeys);
    for (uint64_t i = 0; i < keys; ++i) out.AddBadKey(static_cast<uint32_t>(random()));
  }
  latency.Draw(random, requests, out.latency);
  return out;
}

}  // namespace weir::control::analysis
