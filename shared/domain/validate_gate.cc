// SPDX-License-Identifier: Apache-2.0
// The rules of gates and triggers.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "shared/domain/checker.h"
#include "shared/domain/metrics.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxApprovers = 64;
constexpr size_t kMaxText = 4096;  // bytes of a query or an argument
constexpr int64_t kLongestAttemptMs = 3'600'000;
constexpr int64_t kShortestEveryMs = 100;
constexpr int64_t kLongestForMs = 7LL * 86'400'000;
constexpr int64_t kLongestWindowMs = 35LL * 86'400'000;

const std::vector<std::string> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

// "< 5000ms" → the condition and "ms". Units of time are turned into ms, "%" into a ratio.
struct Written {
  Condition condition;
  std::string unit;
};

Result<Written> ParseWritten(const std::string& text) {
  Written written;
  for (const char* op : {"<=", ">=", "<", ">"}) {
    if (text.rfind(op, 0) != 0) continue;
    written.condition.op = op;
    const char* number = text.c_str() + written.condition.op.size();
    char* end = nullptr;
    double& value = written.condition.value;
    value = std::strtod(number, &end);
    if (end == number || !std::isfinite(value)) break;
    while (*end == ' ') ++end;
    written.unit = end;
    if (written.unit == "s") value *= 1000;
    if (written.unit == "%") value /= 100;
    if (written.unit.empty() || written.unit == "ms" || written.unit == "s" || written.unit == "%")
      return written;
    break;
  }
  return InvalidArgument(
      "", fmt::format("\"{}\" is not a comparison such as \"< 0.01\" (<, <=, >, >=)", text));
}

// What is wrong with a value of a metric, be it of a gate or of a trigger; "" if nothing is.
std::string WrongValue(MetricUnit unit, double value) {
  switch (unit) {
    case MetricUnit::kRatio:
      if (value >= 0 && value <= 1) return "";
      return fmt::format("{} is not in 0..1{}", value,
                         value > 1 && value <= 100
                             ? fmt::format(" (a ratio: {} % is {})", value, value / 100)
                             : "");
    case MetricUnit::kMs:
      return value > 0 ? "" : fmt::format("{} is not above 0", value);
    case MetricUnit::kExcess:
      if (value > 5 && value <= 100) {
        return fmt::format("{} would be {:g} % slower; {} % is {}", value, value * 100, value,
                           value / 100);
      }
      return value >= 0 ? "" : fmt::format("{} is below 0", value);
    case MetricUnit::kCount:
    case MetricUnit::kTimes:
    case MetricUnit::kIndex:
      return value >= 0 ? "" : fmt::format("{} is below 0", value);
    case MetricUnit::kOutcome:
      return "";
  }
  return "";
}

std::string WrongUnit(MetricUnit metric, const std::string& unit) {
  if ((unit == "ms" || unit == "s") && metric != MetricUnit::kMs)
    return "has a unit of time, which only latencies have";
  if (unit == "%" &&
      (metric == MetricUnit::kMs || metric == MetricUnit::kCount || metric == MetricUnit::kIndex)) {
    return "has a %, which this metric has not";
  }
  return "";
}

// Gates --------------------------------------------------------------------

struct GateField {
  const char* name;
  bool is_given;
};

std::vector<GateField> FieldsOf(const Gate& gate) {
  return {{"metric", !gate.metric.empty()},
          {"condition", !gate.condition.empty()},
          {"min_requests", gate.min_requests > 0},
          {"approvers", !gate.approvers.empty()},
          {"approvals", gate.approvals > 0},
          {"allow_author", gate.allow_author.has_value()},
          {"command", !gate.command.empty()},
          {"url", !gate.url.empty()},
          {"timeout", gate.timeout.ms != 0},
          {"every", gate.every.ms != 0},
          {"duration", gate.duration.ms != 0},
          {"days", !gate.days.empty()},
          {"from", !gate.from.empty()},
          {"to", !gate.to.empty()},
          {"time_zone", !gate.time_zone.empty()},
          {"query", !gate.query.empty()},
          {"on_no_data", !gate.on_no_data.empty()}};
}

const std::map<std::string, std::vector<std::string>>& FieldsByType() {
  static const std::map<std::string, std::vector<std::string>> kFields = {
      {"metrics_threshold", {"metric", "condition", "min_requests"}},
      {"manual_approval", {"approvers", "approvals", "allow_author"}},
      {"automated_test", {"command", "url", "timeout", "every"}},
      {"time_based", {"duration", "days", "from", "to", "time_zone"}},
      {"prometheus", {"url", "query", "condition", "on_no_data", "timeout", "every"}}};
  return kFields;
}

void CheckMetricsThreshold(Checker& c, const std::string& path, const Gate& gate) {
  const Result<MetricUnit> unit = UnitOf(CanonicalMetric(gate.metric));
  if (!unit.ok()) c.Fail(path + ".metric", unit.status().message());
  const Result<Written> written = ParseWritten(gate.condition);
  if (!written.ok()) return c.Fail(path + ".condition", written.status().message());
  if (!unit.ok()) return;
  std::string wrong = WrongUnit(*unit, written->unit);
  if (wrong.empty()) wrong = WrongValue(*unit, written->condition.value);
  if (!wrong.empty()) c.Fail(path + ".condition", fmt::format("\"{}\": {}", gate.condition, wrong));
}

void CheckManualApproval(Checker& c, const std::string& path, const Gate& gate) {
  c.Count(path + ".approvers", gate.approvers.size(), kMaxApprovers);
  std::set<std::string> seen;
  for (const std::string& approver : gate.approvers) {
    if (approver.empty() || !seen.insert(approver).second)
      c.Fail(path + ".approvers", fmt::format("\"{}\" is empty or repeated", approver));
  }
  const size_t most = gate.approvers.empty() ? kMaxApprovers : gate.approvers.size();
  if (gate.approvals > most) {
    c.Fail(path + ".approvals",
           fmt::format("{} are more than the {} who may approve", gate.approvals, most));
  }
}

void CheckAutomatedTest(Checker& c, const std::string& path, const Gate& gate) {
  if (gate.command.empty() == gate.url.empty())
    return c.Fail(path, "needs exactly one of command and url");
  if (!gate.url.empty()) return CheckUrl(c, path + ".url", gate.url);
  c.Count(path + ".command", gate.command.size(), 64);
  if (gate.command[0].rfind('/', 0) != 0) {
    c.Fail(path + ".command",
           fmt::format("\"{}\" is not an absolute path on the control plane's machine",
                       gate.command[0]));
  }
  for (const std::string& word : gate.command) {
    if (word.size() > kMaxText || word.find('\0') != std::string::npos)
      c.Fail(path + ".command", "has an argument that is too long or holds a zero byte");
  }
}

bool IsTimeOfDay(const std::string& text) {
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4))
    return false;
  return (text < "24:00" && text[3] < '6') || text == "24:00";
}

void CheckTimeBased(Checker& c, const std::string& path, const Gate& gate) {
  if (gate.duration.ms == 0 && gate.days.empty() && gate.from.empty() && gate.to.empty())
    c.Fail(path, "needs a duration, or a window of the week: days, from and to");
  std::set<std::string> seen;
  for (const std::string& day : gate.days) {
    c.OneOf(path + ".days", day, kDays);
    if (!seen.insert(day).second) c.Fail(path + ".days", fmt::format("{} is repeated", day));
  }
  if (gate.from.empty() != gate.to.empty())
    c.Fail(path + (gate.from.empty() ? ".from" : ".to"), "is missing beside the other end");
  for (const auto& [name, text] : {std::pair("from", gate.from), std::pair("to", gate.to)}) {
    if (text.empty() || IsTimeOfDay(text)) continue;
    c.Fail(fmt::format("{}.{}", path, name),
           fmt::format("\"{}\" is not a time of day such as \"09:00\"", text));
  }
  const std::string& zone = gate.time_zone;
  const bool is_name =
      zone.size() <= 64 && (zone.empty() || zone[0] != '/') &&
      zone.find("..") == std::string::npos &&
      std::all_of(zone.begin(), zone.end(), [](unsigned char x) {
        return std::isalnum(x) != 0 || x == '/' || x == '_' || x == '-' || x == '+';
      });
  if (!is_name)
    c.Fail(path + ".time_zone", fmt::format("\"{}\" is not a zone's name: Europe/Berlin", zone));
  if (!zone.empty() && gate.days.empty() && gate.from.empty())
    c.Fail(path + ".time_zone", "is of no use without days, from and to");
}

void CheckPrometheus(Checker& c, const std::string& path, const Gate& gate) {
  for (const auto& [name, text] : {std::pair("url", gate.url), std::pair("query", gate.query),
                                   std::pair("condition", gate.condition)}) {
    if (text.empty()) c.Fail(fmt::format("{}.{}", path, name), "is missing");
    if (text.size() > kMaxText) {
      c.Fail(fmt::format("{}.{}", path, name), fmt::format("is longer than {} bytes", kMaxText));
    }
  }
  if (!gate.url.empty()) CheckUrl(c, path + ".url", gate.url);
  if (!gate.on_no_data.empty())
    c.OneOf(path + ".on_no_data", gate.on_no_data, {"wait", "pass", "fail"});
  if (gate.condition.empty()) return;
  const Result<Written> written = ParseWritten(gate.condition);
  if (!written.ok()) return c.Fail(path + ".condition", written.status().message());
  if (!written->unit.empty()) {
    c.Fail(
        path + ".condition",
        fmt::format("\"{}\" has a unit, but the query's answer is a bare number", gate.condition));
  }
}

// Triggers -----------------------------------------------------------------

// The families that a metric can be judged by, the default first.
std::vector<std::string> FamiliesOf(const std::string& metric, MetricUnit unit) {
  if (metric == "error_rate") return {"absolute", "relative", "sequential"};
  if (metric == "p95_latency" || metric == "p99_latency") return {"sequential"};
  if (metric == "p50_latency_ms" || metric == "shadow_difference") return {"absolute"};
  if (unit == MetricUnit::kTimes || unit == MetricUnit::kExcess) return {"relative"};
  return {"absolute", "relative"};
}

// Of the threshold: a metric that is judged relative to stable has times stable's.
MetricUnit ThresholdUnit(const std::string& family, MetricUnit unit) {
  const bool is_own = unit == MetricUnit::kRatio || unit == MetricUnit::kMs;
  return family == "relative" && is_own ? MetricUnit::kTimes : unit;
}

void CheckSystemFailure(Checker& c, const std::string& path, const TriggerSpec& trigger) {
  const std::pair<const char*, bool> given[] = {
      {"family", !trigger.family.empty()},        {"comparison", !trigger.comparison.empty()},
      {"threshold", trigger.threshold != 0},      {"window", trigger.window.has_value()},
      {"min_requests", trigger.min_requests > 0}, {"raw", trigger.raw}};
  for (const auto& [name, is_given] : given) {
    if (is_given)
      c.Fail(fmt::format("{}.{}", path, name), "is not for system_failure, which has no number");
  }
}

void CheckThreshold(Checker& c, const std::string& path, const TriggerSpec& trigger,
                    MetricUnit unit) {
  if (!std::isfinite(trigger.threshold)) return c.Fail(path + ".threshold", "is not a number");
  const std::string wrong = WrongValue(unit, trigger.threshold);
  if (!wrong.empty()) c.Fail(path + ".threshold", wrong);
  const bool is_below = trigger.comparison.rfind('<', 0) == 0;
  if (is_below && IsWorseAbove(unit)) {
    c.Fail(path + ".comparison",
           fmt::format("a trigger fires when it holds, and {} {} {} is what a good canary has; "
                       "use >",
                       trigger.metric, trigger.comparison, trigger.threshold));
  } else if (unit == MetricUnit::kTimes && wrong.empty() && trigger.threshold < 1) {
    c.Fail(path + ".threshold",
           fmt::format("{} times stable's would take back a canary that is as good as stable",
                       trigger.threshold));
  }
}

void CheckMetric(Checker& c, const std::string& path, const TriggerSpec& trigger) {
  const std::string metric = CanonicalMetric(trigger.metric);
  // Shares of requests above stable's own percentile: only the sequential family knows them.
  const bool is_share = metric == "p95_latency" || metric == "p99_latency";
  const Result<MetricUnit> unit =
      is_share && trigger.family == "sequential" ? MetricUnit::kRatio : UnitOf(metric);
  if (!unit.ok()) return c.Fail(path + ".metric", unit.status().message());
  if (*unit == MetricUnit::kCount)
    return c.Fail(path + ".metric", "requests cannot be bad; min_requests says how many it takes");
  const std::vector<std::string> families = FamiliesOf(metric, *unit);
  if (!trigger.family.empty() &&
      std::find(families.begin(), families.end(), trigger.family) == families.end()) {
    return c.Fail(path + ".family", fmt::format("{} cannot be judged as \"{}\"; it can as {}",
                                                metric, trigger.family, Join(families, ", ")));
  }
  if (trigger.raw && trigger.family == "sequential")
    c.Fail(path + ".raw", "is not for the sequential family, which is evidence alone");
  const bool is_drift = metric == "prediction_drift" || metric == "prediction_drift_ks";
  CheckThreshold(c, path, trigger, is_drift ? *unit : ThresholdUnit(trigger.family, *unit));
}

}  // namespace

Result<Condition> ParseCondition(const std::string& text) {
  WEIR_ASSIGN_OR_RETURN(const Written written, ParseWritten(text));
  return written.condition;
}

bool Condition::Holds(double x) const {
  if (op == "<") return x < value;
  if (op == "<=") return x <= value;
  if (op == ">") return x > value;
  return x >= value;
}

void CheckUrl(Checker& c, const std::string& path, const std::string& url) {
  const size_t scheme = url.rfind("http://", 0) == 0 ? 7 : url.rfind("https://", 0) == 0 ? 8 : 0;
  const bool is_plain =
      std::none_of(url.begin(), url.end(), [](unsigned char x) { return x <= ' ' || x == 0x7f; });
  const bool has_host = scheme > 0 && url.size() > scheme && url[scheme] != '/';
  if (!has_host || !is_plain || url.size() > 2048)
    c.Fail(path, fmt::format("\"{}\" is not a URL such as http://host:8000", url));
}

void CheckGate(Checker& c, const std::string& path, const Gate& gate) {
  std::vector<std::string> types;
  for (const auto& [type, fields] : FieldsByType()) types.push_back(type);
  c.OneOf(path + ".type", gate.type, types);
  const auto allowed = FieldsByType().find(gate.type);
  if (allowed == FieldsByType().end()) return;
  for (const GateField& field : FieldsOf(gate)) {
    const auto& names = allowed->second;
    if (!field.is_given || std::find(names.begin(), names.end(), field.name) != names.end())
      continue;
    c.Fail(fmt::format("{}.{}", path, field.name),
           fmt::format("is not for a {} gate; it takes {}", gate.type, Join(names, ", ")));
  }
  if (gate.name.size() > 128) c.Fail(path + ".name", "is longer than 128 bytes");
  if (gate.timeout.ms > kLongestAttemptMs) c.Fail(path + ".timeout", "is longer than 1h");
  if (gate.every.ms != 0 && gate.every.ms < kShortestEveryMs)
    c.Fail(path + ".every", "is shorter than 100ms");
  if (gate.type == "metrics_threshold") CheckMetricsThreshold(c, path, gate);
  if (gate.type == "manual_approval") CheckManualApproval(c, path, gate);
  if (gate.type == "automated_test") CheckAutomatedTest(c, path, gate);
  if (gate.type == "time_based") CheckTimeBased(c, path, gate);
  if (gate.type == "prometheus") CheckPrometheus(c, path, gate);
}

void CheckTrigger(Checker& c, const std::string& path, const TriggerSpec& trigger) {
  if (trigger.name.size() > 128) c.Fail(path + ".name", "is longer than 128 bytes");
  const std::pair<const char*, std::pair<std::string, std::vector<std::string>>> words[] = {
      {"family", {trigger.family, {"absolute", "relative", "sequential"}}},
      {"comparison", {trigger.comparison, {">", ">=", "<", "<="}}},
      {"severity", {trigger.severity, {"critical", "warning"}}},
      {"do", {trigger.action, {"rollback", "pause", "alert"}}}};
  bool is_known = true;
  for (const auto& [name, word] : words) {
    const auto& [text, allowed] = word;
    if (text.empty()) continue;
    c.OneOf(fmt::format("{}.{}", path, name), text, allowed);
    is_known = is_known && std::find(allowed.begin(), allowed.end(), text) != allowed.end();
  }
  if (trigger.window && (trigger.window->ms < 1000 || trigger.window->ms > kLongestWindowMs))
    c.Fail(path + ".window", "is not in 1s..35d");
  if (trigger.for_ms.ms > kLongestForMs) c.Fail(path + ".for", "is longer than 7d");
  if (!is_known) return;
  if (trigger.metric == "system_failure") return CheckSystemFailure(c, path, trigger);
  CheckMetric(c, path, trigger);
}

}  // namespace weir::domain
