// SPDX-License-Identifier: Apache-2.0
// What gates and triggers may measure: the built-in metrics, and outcomes, whose names applications
// choose when they send them. What each metric means and how it is computed: controlplane/analysis.
#pragma once

#include <string>

#include "shared/base/status.h"

namespace weir::domain {

enum class MetricUnit {
  kRatio,    // 0..1: error_rate, shadow_difference, prediction_drift_ks
  kMs,       // p50_latency_ms …
  kCount,    // requests
  kTimes,    // canary / stable: error_rate_ratio, p95_latency_ratio …
  kExcess,   // canary / stable - 1: performance_degradation
  kIndex,    // prediction_drift: from 0, 0.2 is a lot
  kOutcome,  // the mean of what applications send; "a/b" a ratio of sums; "x_ratio" to stable's
};

// InvalidArgument with the nearest name: neither a metric nor fit to name an outcome, or so close
// to a metric's name that it is a mistyped one.
Result<MetricUnit> UnitOf(const std::string& metric);

// "response_time", as the source documents say, is "p95_latency_ms"; everything else is itself.
std::string CanonicalMetric(const std::string& metric);

// Whether a larger value is worse, whatever the application.
bool IsWorseAbove(MetricUnit unit);

}  // namespace weir::domain
