// SPDX-License-Identifier: Apache-2.0
// When a rollout is judged bad: triggers, as they are written in a rollout, and verdicts, as they
// are shown and recorded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::analysis {

// A trigger fires when its threshold is exceeded and its evidence has alarmed.
//   family       metric                                            threshold
//   absolute     error_rate                                        a rate 0..1
//                p50_latency_ms, p95_latency_ms, p99_latency_ms    ms, counted above the histogram
//                (response_time is p95_latency_ms)                 boundary at or above it
//                shadow_difference                                 a rate 0..1
//                an outcome: NAME, NAME/PER                        in its own unit
//   relative     error_rate_ratio                                  times stable's; and above 0.01
//                p95_latency_ratio, p99_latency_ratio              times stable's; and 1 ms more
//                performance_degradation                           p95 ratio - 1; and 1 ms more
//                an outcome: NAME_ratio, NAME/PER_ratio            times stable's
//   sequential   error_rate, p95_latency, p99_latency              least effect in points 0..1; and
//                                                                  x 1.5. Latency: the share of
//                                                                  requests above stable's own
//                                                                  percentile of the previous
//                                                                  window
//   raw          prediction_drift, prediction_drift_ks             as drift.h; there is no test
//                                                                  behind it, and it says so
struct Trigger {
  enum class Family { kAbsolute, kRelative, kSequential, kRaw };
  enum class Action { kRollback, kPause, kAlert };
  enum class Comparison { kAbove, kAtLeast, kBelow, kAtMost };
  enum class Severity { kCritical, kWarning };

  std::string name;
  Family family = Family::kSequential;
  std::string metric;
  double threshold = 0;
  int64_t window_ms = 300'000;
  // In the window, of the canary (absolute) or of both arms (relative, raw family); 0 for
  // sequential. Requests; of an outcome its values, of drift outputs, of shadow_difference
  // comparisons.
  uint64_t min_requests = 0;
  bool raw = false;  // the bare threshold over the window, no evidence; not for sequential
  Action action = Action::kRollback;
  // Below and at most are for outcomes, and for what is raw.
  Comparison comparison = Comparison::kAbove;
  Severity severity =
      Severity::kCritical;  // critical: at once; warning: after three looks in a row
  int64_t for_ms = 0;       // it holds this long, without a gap, before it fires

  bool IsBare() const { return raw || family == Family::kRaw; }
  bool IsBelow() const {
    return comparison == Comparison::kBelow || comparison == Comparison::kAtMost;
  }
  bool IsExceededBy(double value) const;
};

const char* ActionName(Trigger::Action action);              // "rollback", "pause", "alert"
const char* FamilyName(const Trigger& trigger);              // "absolute" …, "raw" if it is bare
const char* ComparisonText(Trigger::Comparison comparison);  // ">", ">=", "<", "<="

// InvalidArgument names the offending field: metric, threshold, window, raw, comparison, for.
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

inline constexpr uint64_t kRelativeMinRequests = 100;  // of both arms, unless more are asked for
inline constexpr uint64_t kDriftMinOutputs = 1000;     // of both arms, unless a trigger says

// All that judges a phase: the default triggers above, the absolute limits and
// performance_degradation (rollback) that the phase or else the rollout sets, and the rollout's own
// triggers; one of these takes the place of a default one that has its name. Without
// system_failure, which nobody measures. InvalidArgument names the field: "triggers[2].metric".
Result<std::vector<Trigger>> TriggersOf(const domain::RollbackSpec& spec,
                                        const domain::PhaseRollback& phase);

// Why a trigger fires. Counts are those behind the effect: since the leading S was last <= 1, or in
// the window for a raw trigger. For a latency trigger `bad` are the requests above the boundary,
// for shadow_difference the answers that differed. For an outcome the rates are its values and the
// requests its numbers of values; for drift canary_rate is the drift.
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
  bool on_errors = false;     // `bad` are answers that failed
  int64_t at_ms = 0;          // the caller's `now_ms`
};

}  // namespace weir::control::analysis
