// SPDX-License-Identifier: Apache-2.0
// What gates and triggers measure, by name, over what two arms counted. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared/telemetry/series.h"

namespace weir::control::analysis {

struct Arms {
  telemetry::Series stable;
  telemetry::Series canary;
};

//   requests, error_rate                         of the canary
//   p50|p95|p99_latency_ms, response_time        of the canary; response_time is p95_latency_ms
//   error_rate_ratio                             to stable's smoothed rate, so that a faultless
//                                                stable is no division by zero
//   p95|p99_latency_ratio                        times stable's
//   performance_degradation                      p95 ratio - 1, at least 0
//   prediction_drift, prediction_drift_ks        drift.h
//   shadow_difference                            differed / compared
//   NAME                                         mean of the outcome NAME, of the canary
//   NAME/PER                                     sum of NAME / sum of PER, of the canary
//   NAME_ratio, NAME/PER_ratio                   the same, times stable's
struct Metric {
  enum class Kind {
    kRequests,
    kErrorRate,
    kLatency,
    kDegradation,
    kPsi,
    kKs,
    kShadowDifference,
    kOutcome
  };

  Kind kind = Kind::kRequests;
  bool is_ratio = false;  // to stable's value
  double q = 0;           // kLatency, kDegradation
  std::string outcome{};  // kOutcome: NAME
  std::string per{};      // kOutcome: PER, or ""

  bool IsDrift() const { return kind == Kind::kPsi || kind == Kind::kKs; }
  bool IsOutcome() const { return kind == Kind::kOutcome; }
  bool IsLatency() const { return kind == Kind::kLatency || kind == Kind::kDegradation; }
  // Whether the canary's value alone says nothing.
  bool NeedsStable() const { return is_ratio || IsDrift() || kind == Kind::kDegradation; }
};

// Absent for what is neither built in nor fit to name an outcome ([a-z0-9_.], 1 to 64 of them).
std::optional<Metric> ParseMetric(const std::string& name);
bool IsOutcomeName(const std::string& name);

// One arm's side of it: its own error rate, percentile, mean. Absent without data, and for drift.
std::optional<double> ArmValue(const telemetry::Series& arm, const Metric& metric);
// Finite, or absent: without data in an arm that it needs, where stable's value that it is to be
// divided by is not above 0, and for an unknown name.
std::optional<double> MetricValue(const Arms& arms, const Metric& metric);
std::optional<double> MetricValue(const Arms& arms, const std::string& name);

// How much data an arm has for it: judged requests, values of an outcome, outputs, comparisons.
uint64_t CountOf(const telemetry::Series& arm, const Metric& metric);
const char* CountedWhat(const Metric& metric);  // "requests", "values", "outputs", "comparisons"
// Why an arm without data has none: "no canary requests", "nobody sends user_satisfaction".
std::string WhyNoData(const Arms& arms, const Metric& metric);

// The quantile in ms from the digest; from the histogram if no digest was sent; absent without
// data.
std::optional<double> LatencyQuantile(const telemetry::Series& series, double q);

}  // namespace weir::control::analysis
