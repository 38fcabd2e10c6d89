// SPDX-License-Identifier: Apache-2.0
// What the judge's own sources share. Nobody else includes it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "controlplane/analysis/metric.h"
#include "controlplane/analysis/trigger.h"

namespace weir::control::analysis {

inline constexpr uint64_t kLeastStablePast = 20;         // requests, before theta_a is used
inline constexpr uint64_t kLeastBaselineRequests = 200;  // before its percentiles are

inline constexpr char kPairBad[] = "bad";
inline constexpr char kPairP95[] = "p95";
inline constexpr char kPairP99[] = "p99";

inline const char* PairOf(const Metric& metric) {
  if (!metric.IsLatency()) return kPairBad;
  return metric.q == 0.99 ? kPairP99 : kPairP95;
}

// The null of an absolute trigger: for "p99 < 500 ms" one request in a hundred may be above 500 ms.
inline double NullOf(const Trigger& trigger, const Metric& metric) {
  if (!metric.IsLatency()) return std::clamp(trigger.threshold, 1e-6, 0.999);
  return 1 - metric.q;
}

}  // namespace weir::control::analysis
