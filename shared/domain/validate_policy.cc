// SPDX-License-Identifier: Apache-2.0
// The rules of policies: objectives and what is done about them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "shared/domain/checker.h"
#include "shared/domain/sink.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxSlos = 64;
constexpr size_t kMaxRemediations = 32;
constexpr int64_t kShortestSloWindowMs = 1'000;
constexpr int64_t kLongestSloWindowMs = 35LL * 86'400'000;
constexpr int64_t kLongestDurationMs = 30LL * 86'400'000;
constexpr uint64_t kMostExecutions = 1'000;

// What an action can take besides target, slos, min_severity and reason.
struct ActionRule {
  std::set<std::string> fields;
  bool lays_over_limit = false;
  int64_t duration_ms = 0;  // by default; 0: for good
};

const std::map<std::string, ActionRule>& ActionRules() {
  static const std::map<std::string, ActionRule> kRules = {
      {"rollback", {{}, false, 0}},
      {"set_percentage", {{"percentage", "duration"}, false, 0}},
      {"disable_flag", {{"duration"}, false, 0}},
      {"scale_up", {{"step", "duration"}, true, 600'000}},
      {"scale_down", {{"step", "duration"}, true, 600'000}},
      {"throttle",
       {{"factor", "caller_requests_per_second", "caller_concurrent", "duration"}, true, 300'000}},
      {"shed_load", {{"share", "duration"}, true, 60'000}},
      {"circuit_break", {{"version", "duration"}, true, 30'000}},
      {"restart", {{"version"}, true, 0}},
      {"alert", {{}, false, 0}}};
  return kRules;
}

bool IsRatioMetric(const std::string& metric) {
  return metric == "error_rate" || metric == "shed_rate";
}

bool IsLatencyMetric(const std::string& metric) { return metric.ends_with("_ms"); }

void CheckSloThreshold(Checker& c, const std::string& path, const SloSpec& slo, double value) {
  if (!std::isfinite(value) || value < 0)
    return c.Fail(path, fmt::format("{} is not a number from 0 on", value));
  if (IsRatioMetric(slo.metric) && value > 1) {
    c.Fail(
        path,
        fmt::format("{} is not in 0..1{}", value,
                    value <= 100 ? fmt::format(" (a ratio: {} % is {})", value, value / 100) : ""));
  }
}

void CheckWarning(Checker& c, const std::string& path, const SloSpec& slo) {
  if (!slo.warning) return;
  CheckSloThreshold(c, path + ".warning", slo, *slo.warning);
  const bool is_ceiling = slo.comparison.starts_with('<');
  if (is_ceiling ? *slo.warning > slo.threshold : *slo.warning < slo.threshold) {
    c.Fail(path + ".warning", fmt::format("{} is past the threshold {}: a warning comes before it",
                                          *slo.warning, slo.threshold));
  }
}

void CheckBudget(Checker& c, const std::string& path, const SloSpec& slo) {
  if (!slo.target) return;
  if (!(*slo.target > 0 && *slo.target < 1)) {
    c.Fail(path + ".target", fmt::format("{} is not between 0 and 1, such as 0.999", *slo.target));
  }
  if (slo.metric != "error_rate" && !(IsLatencyMetric(slo.metric) && slo.threshold > 0)) {
    c.Fail(path + ".target",
           "an error budget is of error_rate, or of a latency with a threshold "
           "that good requests stay within");
  }
}

void CheckSlo(Checker& c, const std::string& path, const SloSpec& slo) {
  c.OneOf(path + ".metric", slo.metric, PolicyMetrics());
  c.OneOf(path + ".comparison", slo.comparison, {"<=", "<", ">=", ">"});
  if (!slo.severity.empty()) c.OneOf(path + ".severity", slo.severity, Severities());
  CheckSloThreshold(c, path + ".threshold", slo, slo.threshold);
  const bool is_measured_from_zero =
      IsLatencyMetric(slo.metric) || slo.metric == "staleness_s" || slo.metric == "memory_bytes";
  if (is_measured_from_zero && slo.threshold == 0 && !slo.target && slo.comparison.starts_with('<'))
    c.Fail(path + ".threshold", fmt::format("is missing: what {} stays within", slo.metric));
  CheckWarning(c, path, slo);
  CheckBudget(c, path, slo);
  if (slo.window.ms < kShortestSloWindowMs || slo.window.ms > kLongestSloWindowMs)
    c.Fail(path + ".window", "is not in 1s..35d");
  if (slo.for_ms.ms < 0 || slo.for_ms.ms > kLongestDurationMs)
    c.Fail(path + ".for", "is not in 0s..30d");
  if (slo.keep_firing_for &&
      (slo.keep_firing_for->ms < 0 || slo.keep_firing_for->ms > kLongestDurationMs))
    c.Fail(path + ".keep_firing_for", "is not in 0s..30d");
  if (slo.horizon.ms < 0 || slo.horizon.ms > kLongestDurationMs)
    c.Fail(path + ".horizon", "is not in 0s..30d");
  if (!slo.arm.empty()) c.OneOf(path + ".arm", slo.arm, {"stable", "canary", "pinned", "shadow"});
  if (slo.model.empty() && !slo.version.empty())
    c.Fail(path + ".version", "needs a model beside it");
}

// The names of the fields that are set and that not every action takes.
std::set<std::string> FieldsOf(const RemediationSpec& r) {
  std::set<std::string> set;
  if (r.percentage) set.insert("percentage");
  if (r.step) set.insert("step");
  if (r.factor) set.insert("factor");
  if (r.share) set.insert("share");
  if (r.caller_requests_per_second) set.insert("caller_requests_per_second");
  if (r.caller_concurrent) set.insert("caller_concurrent");
  if (!r.version.empty()) set.insert("version");
  if (r.duration.ms != 0) set.insert("duration");
  return set;
}

void CheckNumbers(Checker& c, const std::string& path, const RemediationSpec& r) {
  if (r.action == "set_percentage" && !r.percentage)
    c.Fail(path + ".percentage", "is missing: the percentage to set, 0..100");
  if ((r.action == "set_percentage" || r.action == "disable_flag") && r.target.empty())
    c.Fail(path + ".target", "is missing: the flag");
  if (r.percentage) c.Percent(path + ".percentage", *r.percentage);
  if (r.step && !(*r.step >= 1 && *r.step <= 1e6))
    c.Fail(path + ".step", fmt::format("{} is not in 1..1000000 slots", *r.step));
  if (r.action == "throttle" && !r.factor && !r.caller_requests_per_second && !r.caller_concurrent)
    c.Fail(path + ".factor",
           "is missing: of the rate at the time, 0..1 (or caller_requests_per_second, "
           "caller_concurrent)");
  if (r.factor && !(*r.factor > 0 && *r.factor < 1))
    c.Fail(path + ".factor", fmt::format("{} is not between 0 and 1", *r.factor));
  if (r.action == "shed_load" && !r.share)
    c.Fail(path + ".share", "is missing: of the callers turned away, 0..1");
  if (r.share) c.Ratio(path + ".share", *r.share);
  if (r.share && *r.share == 0) c.Fail(path + ".share", "is 0: nobody would be turned away");
  if (r.caller_requests_per_second && !(*r.caller_requests_per_second > 0))
    c.Fail(path + ".caller_requests_per_second", "is not above 0");
  if (r.caller_concurrent && *r.caller_concurrent == 0)
    c.Fail(path + ".caller_concurrent", "is not above 0");
  if (r.duration.ms < 0 || r.duration.ms > kLongestDurationMs)
    c.Fail(path + ".duration", "is not in 0s..30d");
}

void CheckRemediation(Checker& c, const std::string& path, const RemediationSpec& r,
                      const std::vector<std::string>& slos) {
  c.OneOf(path + ".action", r.action, PolicyActions());
  const auto rule = ActionRules().find(r.action);
  if (rule != ActionRules().end()) {
    for (const std::string& field : FieldsOf(r)) {
      if (!rule->second.fields.contains(field))
        c.Fail(path + "." + field, fmt::format("has no meaning for {}", r.action));
    }
  }
  CheckNumbers(c, path, r);
  if (!r.min_severity.empty()) c.OneOf(path + ".min_severity", r.min_severity, Severities());
  for (size_t i = 0; i < r.slos.size(); ++i)
    c.OneOf(fmt::format("{}.slos[{}]", path, i), r.slos[i], slos);
}

}  // namespace

const std::vector<std::string>& PolicyMetrics() {
  static const std::vector<std::string> kMetrics = {
      "error_rate",     "p50_latency_ms",   "p95_latency_ms",
      "p99_latency_ms", "p50_ttft_ms",      "p95_ttft_ms",
      "p99_ttft_ms",    "p50_queue_ms",     "p95_queue_ms",
      "p99_queue_ms",   "throughput",       "tokens_per_second",
      "shed_rate",      "prediction_drift", "performance_degradation",
      "staleness_s",    "memory_bytes"};
  return kMetrics;
}

const std::vector<std::string>& PolicyActions() {
  static const std::vector<std::string> kActions = [] {
    std::vector<std::string> names;
    for (const auto& [name, rule] : ActionRules()) names.push_back(name);
    return names;
  }();
  return kActions;
}

std::string CanonicalPolicyMetric(const std::string& metric) {
  static const std::map<std::string, std::string> kAliases = {{"ttft", "p95_ttft_ms"},
                                                              {"latency", "p95_latency_ms"},
                                                              {"response_time", "p95_latency_ms"},
                                                              {"queue_time", "p95_queue_ms"},
                                                              {"tokens_per_s", "tokens_per_second"},
                                                              {"requests_per_second", "throughput"},
                                                              {"drift", "prediction_drift"},
                                                              {"staleness", "staleness_s"},
                                                              {"memory", "memory_bytes"}};
  const auto alias = kAliases.find(metric);
  if (alias != kAliases.end()) return alias->second;
  // latency_p99 and p99_latency, ttft_p99 …
  for (const char* quantity : {"latency", "ttft", "queue", "queue_time"}) {
    for (const char* q : {"p50", "p95", "p99"}) {
      const std::string ours = fmt::format(
          "{}_{}_ms", q, std::string_view(quantity) == "queue_time" ? "queue" : quantity);
      if (metric == fmt::format("{}_{}", quantity, q) ||
          metric == fmt::format("{}_{}", q, quantity) ||
          metric == fmt::format("{}_{}_ms", quantity, q))
        return ours;
    }
  }
  return metric;
}

const char* DefaultComparison(const std::string& metric) {
  return metric == "throughput" || metric == "tokens_per_second" ? ">=" : "<=";
}

bool IsLimitAction(const std::string& action) {
  const auto rule = ActionRules().find(action);
  return rule != ActionRules().end() && rule->second.lays_over_limit;
}

int64_t DefaultDurationMs(const std::string& action) {
  const auto rule = ActionRules().find(action);
  return rule == ActionRules().end() ? 0 : rule->second.duration_ms;
}

std::string CanonicalSeverity(const std::string& severity) {
  if (severity == "low") return "info";
  if (severity == "medium") return "warning";
  return severity;
}

void FillDefaults(PolicySpec& spec) {
  std::map<std::string, int> taken;
  for (SloSpec& slo : spec.slos) {
    slo.metric = CanonicalPolicyMetric(slo.metric);
    slo.severity = CanonicalSeverity(slo.severity);
    if (slo.comparison.empty()) slo.comparison = DefaultComparison(slo.metric);
    if (!slo.name.empty()) continue;
    const int n = ++taken[slo.metric];
    slo.name = n == 1 ? slo.metric : fmt::format("{}-{}", slo.metric, n);
  }
  for (RemediationSpec& remediation : spec.remediations)
    remediation.min_severity = CanonicalSeverity(remediation.min_severity);
}

void Check(Checker& c, const PolicySpec& spec) {
  if (spec.slos.empty()) c.Fail("spec.slos", "is empty: a policy watches one objective or more");
  c.Count("spec.slos", spec.slos.size(), kMaxSlos);
  c.Count("spec.remediations", spec.remediations.size(), kMaxRemediations);
  std::vector<std::string> names;
  for (size_t i = 0; i < spec.slos.size(); ++i) {
    const std::string path = fmt::format("spec.slos[{}]", i);
    CheckSlo(c, path, spec.slos[i]);
    const std::string& name = spec.slos[i].name;
    if (!IsResourceName(name) || std::find(names.begin(), names.end(), name) != names.end())
      c.Fail(path + ".name", fmt::format("\"{}\" is repeated or not a name", name));
    names.push_back(name);
  }
  for (size_t i = 0; i < spec.remediations.size(); ++i)
    CheckRemediation(c, fmt::format("spec.remediations[{}]", i), spec.remediations[i], names);
  if (spec.cooldown.ms < 0 || spec.cooldown.ms > kLongestDurationMs)
    c.Fail("spec.cooldown", "is not in 0s..30d");
  if (spec.max_executions == 0 || spec.max_executions > kMostExecutions)
    c.Fail("spec.max_executions", fmt::format("{} is not in 1..{}; enabled: false or dry_run: true "
                                              "keep a policy from acting",
                                              spec.max_executions, kMostExecutions));
  if (spec.budget_window.ms < kShortestSloWindowMs || spec.budget_window.ms > kLongestDurationMs)
    c.Fail("spec.budget_window", "is not in 1s..30d");
  if (!spec.runbook_url.empty()) CheckUrl(c, "spec.runbook_url", spec.runbook_url);
}

void CheckPolicyReferences(Checker& c, const Resource& policy, const Lookup& find) {
  const auto& spec = policy.As<PolicySpec>();
  for (size_t i = 0; i < spec.slos.size(); ++i) {
    const SloSpec& slo = spec.slos[i];
    if (slo.model.empty()) continue;
    const std::string path = fmt::format("spec.slos[{}]", i);
    const Resource* model = find(Kind::kModel, slo.model);
    if (model == nullptr) {
      c.Fail(path + ".model", fmt::format("there is no model \"{}\"", slo.model));
    } else if (!slo.version.empty() && !model->As<ModelSpec>().versions.contains(slo.version)) {
      c.Fail(path + ".version",
             fmt::format("the model \"{}\" has no version \"{}\"", slo.model, slo.version));
    }
  }
}

}  // namespace weir::domain
