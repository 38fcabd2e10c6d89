// SPDX-License-Identifier: Apache-2.0
// What both arms did over the last `window_ms`, in at most 21 slots of a twentieth each (so it
// covers up to a twentieth more than the window). Time is the caller's and must not go back.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "shared/telemetry/series.h"

namespace weir::control::analysis {

struct Arms {
  telemetry::Series stable;
  telemetry::Series canary;
};

// Of the canary: error_rate, p50|p95|p99_latency_ms, requests. Against stable: error_rate_ratio (to
// stable's smoothed rate, so that a faultless stable is no division by zero),
// p95|p99_latency_ratio, performance_degradation (p95 ratio - 1, at least 0). Absent without
// requests in an arm that it needs, and for an unknown name.
std::optional<double> MetricValue(const Arms& arms, const std::string& metric);
bool IsMetric(const std::string& metric);

// The quantile in ms from the digest; from the histogram if no digest was sent; absent without
// data.
std::optional<double> LatencyQuantile(const telemetry::Series& series, double q);

class EvaluationWindow {
 public:
  explicit EvaluationWindow(int64_t window_ms);

  // Only requests, bad and latency of the two are kept.
  void Add(int64_t now_ms, const telemetry::Series& stable, const telemetry::Series& canary);

  // Counts and latencies of all slots, merged.
  Arms Totals() const;
  // Counters alone, cheaper.
  uint64_t StableCount(const char* counter) const;
  uint64_t CanaryCount(const char* counter) const;

  // Times are saved as ages at `now_ms`, so that another clock can take over.
  nlohmann::json Save(int64_t now_ms) const;
  // Throws nlohmann's exceptions or std::invalid_argument on what Save did not write; the judge's
  // Restore catches them.
  void Restore(const nlohmann::json& saved, int64_t now_ms);

 private:
  struct Slot {
    int64_t start_ms = 0;
    Arms arms;
  };

  int64_t window_ms_;
  int64_t slot_ms_;
  std::deque<Slot> slots_;
};

// A latency histogram as JSON, for the states that are saved. FromJson throws as above.
nlohmann::json ToJson(const telemetry::LogHistogram& histogram);
telemetry::LogHistogram HistogramFromJson(const nlohmann::json& saved);

}  // namespace weir::control::analysis
