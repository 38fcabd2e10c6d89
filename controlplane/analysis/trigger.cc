// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/trigger.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "shared/base/text.h"

namespace weir::control::analysis {
namespace {

using Family = Trigger::Family;
using Action = Trigger::Action;

const std::vector<std::string>& MetricsOf(Family family) {
  static const std::vector<std::string> absolute = {"error_rate", "p50_latency_ms",
                                                    "p95_latency_ms", "p99_latency_ms"};
  static const std::vector<std::string> relative = {"error_rate_ratio", "p95_latency_ratio",
                                                    "p99_latency_ratio", "performance_degradation"};
  static const std::vector<std::string> sequential = {"error_rate", "p95_latency", "p99_latency"};
  return family == Family::kAbsolute   ? absolute
         : family == Family::kRelative ? relative
                                       : sequential;
}

}  // namespace

const char* ActionName(Action action) {
  return action == Action::kRollback ? "rollback" : action == Action::kPause ? "pause" : "alert";
}

Status Validate(const Trigger& trigger) {
  const std::vector<std::string>& metrics = MetricsOf(trigger.family);
  if (std::find(metrics.begin(), metrics.end(), trigger.metric) == metrics.end()) {
    return InvalidArgument(
        "metric", fmt::format("\"{}\" is not one of {}{}", trigger.metric, Join(metrics, ", "),
                              DidYouMean(trigger.metric, metrics)));
  }
  const double t = trigger.threshold;
  const bool is_rate = trigger.metric == "error_rate" || trigger.family == Family::kSequential;
  if (!std::isfinite(t) || t < 0 || (is_rate && t > 1)) {
    return InvalidArgument("threshold",
                           fmt::format("{} is not {}", t, is_rate ? "in 0..1" : "a number >= 0"));
  }
  if (trigger.window_ms < 100 || trigger.window_ms > 35 * 86'400'000LL) {
    return InvalidArgument("window", fmt::format("{} ms is not in 100ms..35d", trigger.window_ms));
  }
  if (trigger.raw && trigger.family == Family::kSequential) {
    return InvalidArgument("raw", "a sequential trigger has no bare threshold to look at");
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
