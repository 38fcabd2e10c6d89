// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/trigger.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "controlplane/analysis/metric.h"
#include "shared/base/text.h"

namespace weir::control::analysis {
namespace {

using Family = Trigger::Family;
using Action = Trigger::Action;
using Comparison = Trigger::Comparison;

const std::vector<std::string>& MetricsOf(Family family) {
  static const std::vector<std::string> absolute = {"error_rate",     "p50_latency_ms",
                                                    "p95_latency_ms", "p99_latency_ms",
                                                    "response_time",  "shadow_difference"};
  static const std::vector<std::string> relative = {"error_rate_ratio", "p95_latency_ratio",
                                                    "p99_latency_ratio", "performance_degradation"};
  static const std::vector<std::string> sequential = {"error_rate", "p95_latency", "p99_latency"};
  static const std::vector<std::string> raw = {"prediction_drift", "prediction_drift_ks"};
  switch (family) {
    case Family::kAbsolute:
      return absolute;
    case Family::kRelative:
      return relative;
    case Family::kSequential:
      return sequential;
    case Family::kRaw:
      break;
  }
  return raw;
}

bool IsOutcomeOf(Family family, const Metric& metric) {
  return metric.IsOutcome() && ((family == Family::kAbsolute && !metric.is_ratio) ||
                                (family == Family::kRelative && metric.is_ratio));
}

Status CheckThreshold(const Trigger& trigger, bool is_outcome) {
  const double t = trigger.threshold;
  const bool is_rate =
      !is_outcome && (trigger.metric == "error_rate" || trigger.metric == "shadow_difference" ||
                      trigger.family == Family::kSequential);
  if (!std::isfinite(t) || (!is_outcome && t < 0) || (is_rate && t > 1)) {
    return InvalidArgument("threshold", fmt::format("{} is not {}", t,
                                                    is_rate      ? "in 0..1"
                                                    : is_outcome ? "a finite number"
                                                                 : "a number >= 0"));
  }
  return OkStatus();
}

}  // namespace

bool Trigger::IsExceededBy(double value) const {
  switch (comparison) {
    case Comparison::kAbove:
      return value > threshold;
    case Comparison::kAtLeast:
      return value >= threshold;
    case Comparison::kBelow:
      return value < threshold;
    case Comparison::kAtMost:
      return value <= threshold;
  }
  return false;
}

const char* ActionName(Action action) {
  return action == Action::kRollback ? "rollback" : action == Action::kPause ? "pause" : "alert";
}

const char* FamilyName(const Trigger& trigger) {
  if (trigger.IsBare()) return "raw";
  return trigger.family == Family::kAbsolute   ? "absolute"
         : trigger.family == Family::kRelative ? "relative"
                                               : "sequential";
}

const char* ComparisonText(Comparison comparison) {
  switch (comparison) {
    case Comparison::kAbove:
      return ">";
    case Comparison::kAtLeast:
      return ">=";
    case Comparison::kBelow:
      return "<";
    case Comparison::kAtMost:
      return "<=";
  }
  return ">";
}

Status Validate(const Trigger& trigger) {
  const std::vector<std::string>& metrics = MetricsOf(trigger.family);
  const std::optional<Metric> metric = ParseMetric(trigger.metric);
  const bool is_outcome = metric && IsOutcomeOf(trigger.family, *metric);
  if (!is_outcome && std::find(metrics.begin(), metrics.end(), trigger.metric) == metrics.end()) {
    return InvalidArgument(
        "metric", fmt::format("\"{}\" is not one of {}{}", trigger.metric, Join(metrics, ", "),
                              DidYouMean(trigger.metric, metrics)));
  }
  WEIR_RETURN_IF_ERROR(CheckThreshold(trigger, is_outcome));
  if (trigger.window_ms < 100 || trigger.window_ms > 35 * 86'400'000LL) {
    return InvalidArgument("window", fmt::format("{} ms is not in 100ms..35d", trigger.window_ms));
  }
  if (trigger.raw && trigger.family == Family::kSequential) {
    return InvalidArgument("raw", "a sequential trigger has no bare threshold to look at");
  }
  if (trigger.IsBelow() && !trigger.IsBare() && !is_outcome) {
    return InvalidArgument("comparison",
                           fmt::format("there is no evidence that {} is {} something: use >, or "
                                       "raw",
                                       trigger.metric, ComparisonText(trigger.comparison)));
  }
  if (trigger.for_ms < 0) {
    return InvalidArgument("for", fmt::format("{} ms is negative", trigger.for_ms));
  }
  return OkStatus();
}

std::vector<Trigger> DefaultTriggers(const AbsoluteLimits& limits) {
  std::vector<Trigger> out = {{"worse_than_stable", Family::kSequential, "error_rate", 0.005,
                               limits.window_ms, 0, false, Action::kRollback},
                              {"slower_than_stable_p95", Family::kSequential, "p95_latency", 0.005,
                               limits.window_ms, 0, false, Action::kAlert},
                              {"slower_than_stable_p99", Family::kSequential, "p99_latency", 0.005,
                               limits.window_ms, 0, false, Action::kAlert}};
  if (limits.error_rate) {
    out.push_back({"error_rate", Family::kAbsolute, "error_rate", *limits.error_rate,
                   limits.window_ms, limits.min_requests, false, Action::kRollback});
  }
  if (limits.p99_latency_ms) {
    out.push_back({"p99_latency", Family::kAbsolute, "p99_latency_ms", *limits.p99_latency_ms,
                   limits.window_ms, limits.min_requests, false, Action::kRollback});
  }
  return out;
}

std::vector<Trigger> RelativeTriggers(int64_t window_ms, uint64_t min_requests) {
  return {{"error_rate_ratio", Family::kRelative, "error_rate_ratio", 2, window_ms, min_requests,
           false, Action::kRollback},
          {"p95_latency_ratio", Family::kRelative, "p95_latency_ratio", 1.5, window_ms,
           min_requests, false, Action::kRollback},
          {"p95_latency_ratio_warning", Family::kRelative, "p95_latency_ratio", 1.2, window_ms,
           min_requests, false, Action::kAlert}};
}

}  // namespace weir::control::analysis
