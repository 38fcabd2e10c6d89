// SPDX-License-Identifier: Apache-2.0
// From a rollout's `rollback:` section to what judges a phase.
#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "controlplane/analysis/metric.h"
#include "controlplane/analysis/trigger.h"

namespace weir::control::analysis {
namespace {

using domain::TriggerSpec;
using Family = Trigger::Family;

Status Unknown(const char* field, const std::string& value, const char* known) {
  return InvalidArgument(field, fmt::format("\"{}\" is not one of {}", value, known));
}

// The metric by the name that its family knows it by: relative to stable, "error_rate" is
// error_rate_ratio and "user_satisfaction" user_satisfaction_ratio; in the sequential family
// "p95_latency_ms" is p95_latency.
Status SetMetric(const TriggerSpec& spec, Trigger& out) {
  if (out.metric == "response_time") out.metric = "p95_latency_ms";
  const std::optional<Metric> metric = ParseMetric(out.metric);
  // Ours alone: an outcome may be called checkout_latency_ms.
  const bool is_latency_ms =
      metric && metric->kind == Metric::Kind::kLatency && out.metric.ends_with("_ms");
  const std::string stem = is_latency_ms ? out.metric.substr(0, out.metric.size() - 3) : out.metric;
  if (spec.family == "sequential") {
    out.family = Family::kSequential;
    out.metric = stem;
    return OkStatus();
  }
  if (!metric) {
    return InvalidArgument("metric", fmt::format("\"{}\" is neither a metric nor fit to name an "
                                                 "outcome",
                                                 out.metric));
  }
  if (metric->IsDrift()) {
    out.family = Family::kRaw;
  } else if (spec.family == "relative" && !metric->NeedsStable() &&
             metric->kind != Metric::Kind::kShadowDifference) {
    out.family = Family::kRelative;
    out.metric = stem + "_ratio";
  } else {
    out.family = metric->NeedsStable() ? Family::kRelative : Family::kAbsolute;
  }
  return OkStatus();
}

Status SetWords(const TriggerSpec& spec, Trigger& out) {
  using Comparison = Trigger::Comparison;
  if (!spec.family.empty() && spec.family != "absolute" && spec.family != "relative" &&
      spec.family != "sequential") {
    return Unknown("family", spec.family, "absolute, relative, sequential");
  }
  if (spec.comparison == ">=") {
    out.comparison = Comparison::kAtLeast;
  } else if (spec.comparison == "<") {
    out.comparison = Comparison::kBelow;
  } else if (spec.comparison == "<=") {
    out.comparison = Comparison::kAtMost;
  } else if (!spec.comparison.empty() && spec.comparison != ">") {
    return Unknown("comparison", spec.comparison, ">, >=, <, <=");
  }
  if (spec.severity == "warning") {
    out.severity = Trigger::Severity::kWarning;
  } else if (!spec.severity.empty() && spec.severity != "critical") {
    return Unknown("severity", spec.severity, "critical, warning");
  }
  if (spec.action == "pause") {
    out.action = Trigger::Action::kPause;
  } else if (spec.action == "alert") {
    out.action = Trigger::Action::kAlert;
  } else if (!spec.action.empty() && spec.action != "rollback") {
    return Unknown("do", spec.action, "rollback, pause, alert");
  }
  return OkStatus();
}

uint64_t DefaultMinRequests(const domain::RollbackSpec& rollback, Family family) {
  switch (family) {
    case Family::kAbsolute:
      return rollback.min_requests;
    case Family::kRelative:
      return std::max(rollback.min_requests, kRelativeMinRequests);
    case Family::kRaw:
      return kDriftMinOutputs;
    case Family::kSequential:
      break;
  }
  return 0;
}

Result<Trigger> FromSpec(const TriggerSpec& spec, const domain::RollbackSpec& rollback) {
  Trigger out;
  out.metric = spec.metric;
  out.threshold = spec.threshold;
  out.window_ms = spec.window ? spec.window->ms : rollback.evaluation_window.ms;
  out.for_ms = spec.for_ms.ms;
  out.raw = spec.raw;
  WEIR_RETURN_IF_ERROR(SetWords(spec, out));
  WEIR_RETURN_IF_ERROR(SetMetric(spec, out));
  out.min_requests =
      spec.min_requests > 0 ? spec.min_requests : DefaultMinRequests(rollback, out.family);
  out.name = !spec.name.empty() ? spec.name
                                : fmt::format("{} {} {}", spec.metric,
                                              ComparisonText(out.comparison), spec.threshold);
  WEIR_RETURN_IF_ERROR(Validate(out));
  return out;
}

}  // namespace

Result<std::vector<Trigger>> TriggersOf(const domain::RollbackSpec& spec,
                                        const domain::PhaseRollback& phase) {
  AbsoluteLimits limits{spec.error_rate, spec.p99_latency_ms, spec.evaluation_window.ms,
                        spec.min_requests};
  if (phase.error_rate) limits.error_rate = phase.error_rate;
  if (phase.p99_latency_ms) limits.p99_latency_ms = phase.p99_latency_ms;
  std::vector<Trigger> out = DefaultTriggers(limits);
  const uint64_t of_both = DefaultMinRequests(spec, Family::kRelative);
  for (Trigger& t : RelativeTriggers(limits.window_ms, of_both)) out.push_back(std::move(t));
  const auto degradation =
      phase.performance_degradation ? phase.performance_degradation : spec.performance_degradation;
  if (degradation) {
    out.push_back({"performance_degradation", Family::kRelative, "performance_degradation",
                   *degradation, limits.window_ms, of_both, false, Trigger::Action::kRollback});
  }
  std::set<std::string> own;
  for (size_t i = 0; i < spec.triggers.size(); ++i) {
    if (spec.triggers[i].metric == "system_failure") continue;
    const std::string path = fmt::format("triggers[{}]", i);
    Result<Trigger> trigger = FromSpec(spec.triggers[i], spec);
    if (!trigger.ok()) {
      const Status& s = trigger.status();
      return Status(s.code(), s.message(), path + "." + s.field());
    }
    if (!own.insert(trigger->name).second) {
      return InvalidArgument(path + ".name", "\"" + trigger->name + "\" occurs twice");
    }
    std::erase_if(out, [&](const Trigger& t) { return t.name == trigger->name; });
    out.push_back(*std::move(trigger));
  }
  return out;
}

}  // namespace weir::control::analysis
