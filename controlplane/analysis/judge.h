// SPDX-License-Identifier: Apache-2.0
// The judge of one rollout: fed with each tick's telemetry of both arms, it says which triggers
// fire.
//
// Create it when the rollout starts (or Restore what Save wrote), Tick it every `tick_ms` with what
// was counted since the last tick, also when that is nothing. Verdicts are levels, not edges: a
// trigger is reported at every tick at which it fires, so that a verdict lost in a crash comes
// back; the caller acts on the first and drops repeats. Belongs to one thread; pure: time is the
// caller's monotonic time in ms and must not go back.
//
// Readings of JUDGEMENT that matter:
// - theta_a is stable's smoothed rate over all past ticks of the rollout. While stable has fewer
// than
//   20 past requests, and while a tick has canary but no stable requests, the canary's counts wait
//   for stable's (whether they wait does not depend on how they turned out). When stable has been
//   silent for 300 ms (the 100 % phase) they are judged alone against FrozenNull(theta_a).
// - Stable's own percentiles come from its previous 10 s with at least 200 requests.
// - min_keys: telemetry carries hashed keys of bad requests only. A verdict on errors is held back
//   while its bad requests come from fewer than min_keys distinct keys, if keys were sent at all
//   and at least min_keys requests of the same span went well (if all fail, or nearly, there is
//   nothing that one key's misfortune could explain).
// - A warning fires from the third look in a row on at which it holds; `for` counts from the first
//   look at which threshold and evidence hold, without a gap. A look is a tick.
// - Outcomes come late and rarely: their evidence is that of outcome_evidence.h.
// For another phase: Create one with its triggers, then LearnStableFrom the one before.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "controlplane/analysis/eprocess.h"
#include "controlplane/analysis/evaluation_window.h"
#include "controlplane/analysis/outcome_evidence.h"
#include "controlplane/analysis/trigger.h"
#include "shared/base/status.h"
#include "shared/telemetry/series.h"

namespace weir::control::analysis {

struct JudgeConfig {
  std::vector<Trigger> triggers;  // names differ
  int64_t tick_ms = 100;
  int64_t false_alarm_interval_ms = 30LL * 86'400'000;  // one false alarm of all detectors together
  int detectors = 0;  // that share the interval; 0: those of this judge
  int min_keys = 3;
  int64_t window_ms = 300'000;  // for Snapshot and gates
  double gate_alpha = 0.001;
};

struct ArmStats {
  uint64_t requests = 0;
  uint64_t bad = 0;
  // Absent without requests: no data is neither good nor bad.
  std::optional<double> error_rate;
  std::optional<double> p50_latency_ms, p95_latency_ms, p99_latency_ms;
};

// One trigger and how far it is from firing.
struct TriggerView {
  std::string name;
  std::string metric;
  std::string family;      // absolute | relative | sequential | raw
  std::string comparison;  // of canary's value (relative: of the ratio) with the threshold
  double threshold = 0;
  std::string action;    // rollback | pause | alert
  std::string severity;  // critical | warning
  // Over the trigger's window: each arm's own error rate, percentile, outcome; of a sequential
  // latency trigger the share of requests above stable's percentile; canary alone: drift. Absent:
  // no data.
  std::optional<double> canary, stable;
  bool is_exceeded = false;   // the bare threshold, over the window
  double evidence_ratio = 0;  // to what its detector alarms at; 0 of a bare threshold
  bool is_firing = false;     // as of the last tick
  // What is missing before it may fire, besides a worse canary: "81 more canary requests",
  // "evidence 12 % of what it takes" (once the threshold is exceeded; percent of the logarithm,
  // which grows evenly with requests), "no data: nobody sends user_satisfaction"; "" if nothing.
  std::string needs;
  std::string trend;  // a warning before the threshold is met; "" for none
};

// How far the canary's outputs are from stable's, over the judge's window.
struct Drift {
  double psi = 0;  // population stability index over stable's deciles
  double ks = 0;   // Kolmogorov-Smirnov distance, 0..1
  uint64_t canary_values = 0;
  uint64_t stable_values = 0;
};

struct OutcomeStats {
  std::optional<double> stable, canary;  // means
  uint64_t stable_n = 0;
  uint64_t canary_n = 0;
};

struct JudgeSnapshot {
  ArmStats stable, canary;                       // over window_ms
  std::optional<Drift> drift;                    // absent without outputs of both
  std::map<std::string, OutcomeStats> outcomes;  // by metric
  uint64_t compared = 0;                         // shadow answers held against stable's
  uint64_t differed = 0;
  bool worse = false;         // the gate's e-process on bad requests has reached 1 / alpha
  double evidence_ratio = 0;  // of the bad-request detector: mean S / alarm threshold
};

// A `metrics_threshold` gate: canary's `metric` `op` `value`.
struct MetricCondition {
  std::string metric;  // a name that ParseMetric of metric.h knows
  std::string op;      // < <= > >=
  double value = 0;
  uint64_t min_requests =
      0;  // of the canary in the window; of stable too where it is compared with
};

struct GateAnswer {
  enum class Verdict { kPassed, kFailed, kNoData } verdict = Verdict::kNoData;
  std::optional<double> actual;
  std::string reason;  // "error_rate is 0.002, required < 0.01"
};

class Judge {
 public:
  static Result<Judge> Create(JudgeConfig config);

  // `stable` and `canary` are deltas: what was counted since the last tick.
  std::vector<Verdict> Tick(int64_t now_ms, const telemetry::Series& stable,
                            const telemetry::Series& canary);

  JudgeSnapshot Snapshot() const;
  // In the order of the configuration.
  std::vector<TriggerView> Triggers() const;
  // InvalidArgument for an unknown metric or operator. Fails while the canary is judged worse.
  Result<GateAnswer> Check(const MetricCondition& condition) const;
  // The mean of S at which a trigger may fire.
  double alarm_threshold() const { return alarm_threshold_; }

  // Everything but the configuration. `now_ms` of Restore is the time, on the restorer's clock,
  // that stands for the saved judge's last tick; time between the two does not count. DataLoss if
  // `saved` is not what Save wrote; the judge is unchanged then. State of triggers that are no
  // longer configured is dropped, new triggers start without evidence.
  nlohmann::json Save() const;
  Status Restore(const nlohmann::json& saved, int64_t now_ms);
  // Begins with what `other` has learned of stable (its rate, its percentiles), and no evidence.
  void LearnStableFrom(const Judge& other);

 private:
  // A trigger's place: what it looks at, and since when it holds.
  struct Case {
    enum class Evidence { kNone, kAbsolute, kPaired, kOutcome };
    Metric metric;
    Evidence evidence = Evidence::kNone;
    std::string detector;  // key in absolute_, paired_ or outcomes_
    int in_a_row = 0;      // looks at which it held
    std::optional<int64_t> since_ms;
    bool is_firing = false;
  };

  explicit Judge(JudgeConfig config);
  Case Open(const Trigger& trigger);
  void AddAbsolute(const telemetry::Series& canary);
  void AddPaired(int64_t now_ms, const telemetry::Series& stable, const telemetry::Series& canary);
  void FeedPaired(const telemetry::Series& stable, bool alone);
  void LearnStable(int64_t now_ms, const telemetry::Series& stable);

  // judge_examine.cc
  std::optional<Verdict> Examine(const Trigger& trigger, const Case& c) const;
  std::optional<Verdict> ExamineCounts(const Trigger& trigger, const Case& c) const;
  std::optional<Verdict> ExamineOutcome(const Trigger& trigger, const Case& c) const;
  std::optional<Verdict> ExamineBare(const Trigger& trigger, const Case& c) const;
  bool ExceedsThreshold(const Trigger& trigger, const Case& c, const Verdict& verdict) const;
  bool IsExceeded(const Trigger& trigger, const Case& c, const Arms& arms) const;
  bool HasEnoughRequests(const Trigger& trigger, const Case& c) const;
  bool HasEnoughKeys(const Detector::Span& span) const;
  const Detector& DetectorOf(const Case& c) const;
  bool HasAlarmed(const Case& c) const;
  double LnRatio(const Case& c) const;  // of the evidence to what it alarms at
  double StableRate(const Case& c) const;
  double ThetaAbove(int boundary) const;
  int StableBoundary(const std::string& pair) const;
  std::string Describe(const Trigger& trigger, const Case& c, const Verdict& verdict) const;

  // judge_view.cc
  TriggerView View(const Trigger& trigger, const Case& c, const Arms& arms) const;
  std::string NeedsOf(const Trigger& trigger, const Case& c, const Arms& arms,
                      const TriggerView& view) const;
  std::string NoDataOf(const Trigger& trigger, const Case& c, const Arms& arms) const;
  std::string TrendOf(const Trigger& trigger, const Case& c) const;

  // Constant after construction.
  JudgeConfig config_;
  double alarm_threshold_ = 0;
  double ln_alarm_ = 0;

  int64_t last_tick_ms_ = 0;
  std::vector<Case> cases_;                          // as config_.triggers
  std::map<int64_t, EvaluationWindow> windows_;      // by window_ms
  std::map<std::string, Detector> absolute_;         // by trigger and null
  std::map<std::string, Detector> paired_;           // "bad", "p95", "p99"
  std::map<std::string, OutcomeDetector> outcomes_;  // by trigger and claim
  telemetry::Series waiting_;                        // canary's counts that wait for stable's

  uint64_t stable_requests_ = 0;  // past, for theta_a
  uint64_t stable_bad_ = 0;
  std::optional<int64_t> stable_seen_ms_;
  telemetry::LogHistogram baseline_;  // stable's latencies of the previous baseline window
  telemetry::LogHistogram current_;   // of this one
  int64_t current_since_ms_ = 0;
};

}  // namespace weir::control::analysis
