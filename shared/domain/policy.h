// SPDX-License-Identifier: Apache-2.0
// Quality of service: objectives and what is done when one is missed (Policy), what a model's nodes
// let in (Limit), and who is not to be told for a while (Silence).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/units.h"

namespace weir::domain {

// What must hold: `metric` `comparison` `threshold` over `window`. With `target` it is an error
// budget instead: the share of requests that are good (answered, and within `threshold` ms where
// the metric is a latency), watched by burn rates over two windows each (JUDGEMENT).
struct SloSpec {
  std::string name{};        // default: the metric
  std::string metric{};      // PolicyMetrics()
  std::string comparison{};  // what must hold: <= | < | >= | >; default by metric
  double threshold = 0;      // in the metric's unit
  // The milder of two levels: past it a warning, past `threshold` what `severity` says.
  std::optional<double> warning{};
  std::optional<double> target{};  // ratio 0..1, e.g. 0.999
  DurationMs window{60'000};
  std::string severity{};    // info | warning | high | critical; default: by how far past
  std::string model{};       // default: every model that the policy selects
  std::string version{};     // default: all versions together
  std::string arm{};         // stable | canary | …; default: all but shadow
  std::string tenant{};      // requests of one tenant (header x-tenant-id)
  uint64_t min_samples = 0;  // below: no data; default by metric
  DurationMs for_ms{};       // in text `for`: missed this long before it counts
  DurationMs horizon{};      // a trend that would miss it within this warns; 0: none is looked for
  // Its alert ends once it has been good for so long; default: the window, at most 5 minutes.
  std::optional<DurationMs> keep_firing_for{};
  bool operator==(const SloSpec&) const = default;
};

// One thing to do about a violation. Which fields an action takes: validate_policy.cc.
struct RemediationSpec {
  std::string action{};  // PolicyActions()
  // A rollout, flag or model; default: what the violated SLO is about. Actions on flags need it.
  std::string target{};
  std::vector<std::string> slos{};   // only violations of these; empty: of any
  std::string min_severity{};        // only violations at least so bad
  std::optional<double> percentage;  // set_percentage: percent
  std::optional<double> step;        // scale_up, scale_down: slots; default a quarter of the limit
  std::optional<double> factor;      // throttle: of the rate at the time, 0..1
  std::optional<double> share;       // shed_load: of the callers turned away, 0..1
  std::optional<double> caller_requests_per_second;  // throttle: of each caller
  std::optional<uint64_t> caller_concurrent;         // throttle: of each caller
  std::string version{};                             // circuit_break, restart; default: candidate
  DurationMs duration{};  // then it is undone; 0: by action (validate_policy.cc), or for good
  std::string reason{};
  bool operator==(const RemediationSpec&) const = default;
};

struct PolicySpec {
  std::string description{};
  bool enabled = true;
  int64_t priority = 0;  // of policies that would act on one thing at once the highest does
  bool dry_run = false;  // records what it would have done
  std::map<std::string, std::string> selector{};  // labels of models; empty: all models
  std::vector<SloSpec> slos{};
  std::vector<RemediationSpec> remediations{};
  DurationMs cooldown{60'000};  // of each remediation
  uint64_t max_executions = 5;  // of the whole policy within `budget_window`
  DurationMs budget_window{300'000};
  std::string runbook_url{};
  bool operator==(const PolicySpec&) const = default;
};

// What a policy laid over a limit, until it ends. Written by Weir.
struct LimitAct {
  std::string policy{};
  std::string action{};   // scale_up | scale_down | throttle | shed_load | circuit_break | restart
  std::string version{};  // circuit_break, restart
  std::string node{};     // restart: the node whose turn it is
  double value = 0;  // slots; requests a second of a node; share 0..1 of callers; restart: number
  double caller_requests_per_second = 0;  // 0: none
  uint64_t caller_concurrent = 0;         // 0: none
  TimeMs since{};
  TimeMs until{};  // 0: until it is taken back
  std::string reason{};
  bool operator==(const LimitAct&) const = default;
};

// What each node lets in of one model, after which it is named. People set the plain fields;
// policies only ever add to `acts`, so that taking one back never overwrites what people set.
struct LimitSpec {
  uint64_t max_concurrent = 0;            // requests in work on one node; 0: no limit
  uint64_t max_queue = 0;                 // waiting on one node; 0: twice max_concurrent
  uint64_t min_concurrent = 1;            // scale_down stops here
  uint64_t most_concurrent = 0;           // scale_up stops here; 0: four times max_concurrent
  double requests_per_second = 0;         // of one node; 0: no limit
  double caller_requests_per_second = 0;  // of one caller on one node; 0: no limit
  uint64_t caller_concurrent = 0;         // of one caller on one node; 0: no limit
  DurationMs target_delay{50};            // the adaptive governor's aim for the queue
  uint64_t replicas = 1;                  // nodes that the limit was chosen for
  std::vector<LimitAct> acts{};
  std::string description{};
  bool operator==(const LimitSpec&) const = default;
};

// Alerts that all of the matchers fit are not told to anybody.
struct SilenceSpec {
  std::map<std::string, std::string>
      matchers{};   // policy | slo | model | version | severity → value
  TimeMs starts{};  // 0: at once
  TimeMs until{};   // required
  std::string comment{};
  bool operator==(const SilenceSpec&) const = default;
};

// validate_policy.cc
// "error_rate", "p95_latency_ms", …: what an SLO may watch.
const std::vector<std::string>& PolicyMetrics();
const std::vector<std::string>& PolicyActions();
// The source documents' and everyday names → ours: "ttft" → "p95_ttft_ms", "latency_p99" →
// "p99_latency_ms"; everything else is itself.
std::string CanonicalPolicyMetric(const std::string& metric);
// What must hold where nothing is said: "<=", and ">=" for what there should be much of.
const char* DefaultComparison(const std::string& metric);
// Whether `action` lays something over a Limit (LimitAct), which ends by itself.
bool IsLimitAction(const std::string& action);
// How long an action lasts when nothing is said; 0: for good.
int64_t DefaultDurationMs(const std::string& action);
// "low" → info, "medium" → warning, "urgent" and so on are not known and stay themselves.
std::string CanonicalSeverity(const std::string& severity);

}  // namespace weir::domain
