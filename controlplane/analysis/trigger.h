// SPDX-License-Identifier: Apache-2.0
// When a rollout is judged bad: triggers, as they are written in a rollout, and verdicts, as they
// are shown and recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/status.h"

namespace weir::control::analysis {

// A trigger fires when its threshold is exceeded and its e-process has alarmed.
//   family       metric                                            threshold
//   absolute     error_rate                                        a rate 0..1
//                p50_latency_ms, p95_latency_ms, p99_latency_ms    ms, counted above the histogram
//                                                                  boundary at or above it
//   relative     error_rate_ratio                                  times stable's; and above 0.01
//                p95_latency_ratio, p99_latency_ratio              times stable's; and 1 ms more
//                performance_degradation                           p95 ratio - 1
//   sequential   error_rate, p95_latency, p99_latency              least effect in points 0..1; and
//                                                                  x 1.5. Latency: the share of
//                                                                  requests above stable's own
//                                                                  percentile of the previous
//                                                                  window
struct Trigger {
  enum class Family { kAbsolute, kRelative, kSequential };
  enum class Action { kRollback, kPause, kAlert };

  std::string name;
  Family family = Family::kSequential;
  std::string metric;
  double threshold = 0;
  int64_t window_ms = 300'000;
  // In the window, of the canary (absolute) or of both arms (relative); 0 for sequential.
  uint64_t min_requests = 0;
  bool raw = false;  // the bare threshold over the window, no e-process; not for sequential
  Action action = Action::kRollback;
};

const char* ActionName(Trigger::Action action);  // "rollback", "pause", "alert"

// InvalidArgument names the offending field: metric, threshold, window, raw.
Status Validate(const Trigger& trigger);

// What a rollout's `rollback:` section sets.
struct AbsoluteLimits {
  std::optional<double> error_rate;      // 0..1
  std::optional<double> p99_latency_ms;  // > 0
  int64_t window_ms = 300'000;
  uint64_t min_requests = 0;
};

// Sequential on bad requests (rollback) and on latency (alert), and the absolute ones that are set
// (rollback).
std::vector<Trigger> DefaultTriggers(const AbsoluteLimits& limits);

// "Twice stable's errors" (rollback), p95 latency x 1.5 (rollback) and x 1.2 (alert).
std::vector<Trigger> RelativeTriggers(int64_t window_ms, uint64_t min_requests);

// Why a trigger fires. Counts are those behind the effect: since the leading S was last <= 1, or in
// the window for a raw trigger. For a latency trigger `bad` are the requests above the boundary.
struct Verdict {
  std::string trigger;
  Trigger::Action action = Trigger::Action::kRollback;
  std::string evidence;  // one readable sentence with the numbers
  double canary_rate = 0;
  double stable_rate = 0;  // 0 for absolute triggers
  double threshold = 0;
  double evidence_ratio = 0;  // mean S / alarm threshold, at least 1; 0 for a raw trigger
  uint64_t canary_requests = 0;
  uint64_t canary_bad = 0;
  uint64_t stable_requests = 0;
  uint64_t stable_bad = 0;
  int distinct_bad_keys = 0;  // as far as they were sent, at most 16
  int64_t at_ms = 0;          // the caller's `now_ms`
};

}  // namespace weir::control::analysis
