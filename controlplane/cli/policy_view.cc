// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/policy_view.h"

#include <fmt/format.h>

#include <cstdio>
#include <vector>

#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

void PrintField(const char* label, const std::string& value) {
  if (!value.empty()) std::printf("%-14s %s\n", label, value.c_str());
}

Json Part(const Json& from, const char* key, Json fallback) {
  const Json part = from.is_object() ? from.value(key, Json()) : Json();
  return part.is_null() ? std::move(fallback) : part;
}

// By name; an empty mapping where there is none.
Json ObjectiveOf(const Json& spec, const std::string& name) {
  for (const Json& slo : Part(spec, "slos", Json::array())) {
    if (Text(Part(slo, "name", "")) == name) return slo;
  }
  return Json::object();
}

std::string MetricOf(const Json& spec, const std::string& slo) {
  return Text(Part(ObjectiveOf(spec, slo), "metric", ""));
}

// "p95_latency_ms <= 200 ms over 1m", "error_rate: 99.9 % good over 30d".
std::string ObjectiveText(const Json& slo) {
  const std::string metric = Text(Part(slo, "metric", ""));
  const std::string window = Text(Part(slo, "window", "1m"));
  const Json target = Part(slo, "target", Json());
  if (target.is_number()) {
    const bool is_latency = metric.ends_with("_ms");
    return fmt::format("{:.6g} % {}, by burn rates", target.get<double>() * 100,
                       is_latency ? fmt::format("of requests within {}",
                                                MetricValue(metric, Part(slo, "threshold", 0)))
                                  : "of requests good");
  }
  return fmt::format("{} {} {} over {}", metric, Text(Part(slo, "comparison", "<=")),
                     MetricValue(metric, Part(slo, "threshold", 0)), window);
}

std::string Where(const Json& state) {
  const std::string model = Text(Part(state, "model", ""));
  const std::string version = Text(Part(state, "version", ""));
  if (model.empty()) return "-";
  return version.empty() ? model : model + " " + version;
}

// One for each objective and each model that it looks at.
void PrintStates(const Json& spec, const Json& status) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& state : Part(status, "slos", Json::array())) {
    const std::string name = Text(Part(state, "name", ""));
    const std::string metric = MetricOf(spec, name);
    // Of an error budget value and threshold are burn rates.
    const bool is_budget = ObjectiveOf(spec, name).contains("target");
    const auto show = [&](const char* key) {
      const Json value = Part(state, key, Json());
      if (!is_budget) return MetricValue(metric, value);
      return value.is_number() ? fmt::format("burns {:.3g} x", value.get<double>()) : "-";
    };
    const std::string severity = Text(Part(state, "severity", ""));
    rows.push_back({name, Where(state),
                    Text(Part(state, "state", "")) + (severity.empty() ? "" : ", " + severity),
                    show("value"), Text(Part(state, "comparison", "")) + " " + show("threshold"),
                    Text(Part(state, "samples", 0)), Age(Part(state, "since", Json()))});
  }
  if (!rows.empty()) {
    std::printf("\n");
    PrintTable({"OBJECTIVE", "MODEL", "STATE", "VALUE", "MUST BE", "SAMPLES", "SINCE"}, rows);
  }
  for (const Json& state : Part(status, "slos", Json::array())) {
    const std::string word = Text(Part(state, "state", ""));
    const std::string text = Text(Part(state, "text", ""));
    if (word != "ok" && !text.empty()) std::printf("  %s\n", text.c_str());
  }
}

void PrintSpec(const Json& spec) {
  PrintField("description", Text(Part(spec, "description", "")));
  PrintField("priority", Text(Part(spec, "priority", 0)));
  std::string selector;
  const Json labels = Part(spec, "selector", Json::object());
  for (const auto& [key, value] : labels.items())
    selector += fmt::format("{}{}={}", selector.empty() ? "" : ", ", key, Text(value));
  PrintField("models", selector.empty() ? "all" : "with " + selector);
  for (const Json& slo : Part(spec, "slos", Json::array())) {
    PrintField("objective", fmt::format("{}: {}", Text(Part(slo, "name", "")), ObjectiveText(slo)));
  }
  for (const Json& remediation : Part(spec, "remediations", Json::array())) {
    const std::string target = Text(Part(remediation, "target", ""));
    const std::string duration = Text(Part(remediation, "duration", ""));
    std::string only;
    for (const Json& slo : Part(remediation, "slos", Json::array()))
      only += (only.empty() ? "" : ", ") + Text(slo);
    PrintField("remediation", fmt::format("{}{}{}{}", Text(Part(remediation, "action", "")),
                                          target.empty() ? "" : " " + target,
                                          duration.empty() ? "" : " for " + duration,
                                          only.empty() ? "" : ", only of " + only));
  }
  PrintField(
      "limits",
      fmt::format("once in {} each, {} times in {}", Text(Part(spec, "cooldown", "1m")),
                  Text(Part(spec, "max_executions", 5)), Text(Part(spec, "budget_window", "5m"))));
  PrintField("runbook", Text(Part(spec, "runbook_url", "")));
}

void PrintTotals(const std::string& name, const Json& status) {
  PrintField(
      "counted",
      fmt::format("{} violations, {} acts, {} in dry run", Text(Part(status, "violations", 0)),
                  Text(Part(status, "remediations", 0)), Text(Part(status, "dry_run_actions", 0))));
  const Json suppressed = Part(status, "suppressed", Json::object());
  std::string held_back;
  for (const auto& [reason, count] : suppressed.items()) {
    if (count == 0) continue;
    held_back += fmt::format("{}{} by {}", held_back.empty() ? "" : ", ", Text(count), reason);
  }
  PrintField("held back", held_back);
  const Json executor = Part(status, "executor", Json::object());
  if (Text(Part(executor, "state", "ready")) == "open") {
    PrintField("EXECUTOR OPEN",
               fmt::format("since {} ({}): nothing is done until `weir policy reset {}`",
                           Text(Part(executor, "since", Json())),
                           Text(Part(executor, "reason", "")), name));
  } else if (executor.contains("executions")) {
    PrintField("budget", fmt::format("{} of {} acts used", Text(Part(executor, "executions", 0)),
                                     Text(Part(executor, "max_executions", 0))));
  }
}

// Of `last` or of a backtest's `actions`.
void PrintActs(const Json& spec, const Json& acts) {
  if (acts.empty()) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& act : acts) {
    const std::string slo = Text(Part(act, "slo", ""));
    const Json value = Part(act, "value", Json());
    const std::string revision = Text(Part(act, "revision", Json()));
    std::string why = Text(Part(act, "reason", ""));
    if (why.empty() && value.is_number()) why = MetricValue(MetricOf(spec, slo), value);
    rows.push_back({Text(Part(act, "at", "")), Text(Part(act, "action", "")),
                    Text(Part(act, "target", "")), slo, Text(Part(act, "result", "")),
                    revision == "0" ? "" : revision, why});
  }
  std::printf("\n");
  PrintTable({"AT", "ACTION", "TARGET", "OBJECTIVE", "RESULT", "REVISION", "WHY"}, rows);
}

}  // namespace

std::string PolicyMode(const Json& policy) {
  const Json spec = Part(policy, "spec", Json::object());
  if (!Part(spec, "enabled", true).get<bool>()) return "off";
  const bool rehearses = Part(spec, "dry_run", false).get<bool>() ||
                         Part(Part(policy, "status", Json::object()), "dry_run", false).get<bool>();
  return rehearses ? "dry run" : "acts";
}

std::string PolicyObjectives(const Json& policy) {
  const Json slos = Part(Part(policy, "status", Json::object()), "slos", Json::array());
  if (slos.empty()) {
    const size_t count = Part(Part(policy, "spec", Json::object()), "slos", Json::array()).size();
    return fmt::format("{}", count);
  }
  size_t held = 0;
  for (const Json& slo : slos) held += Text(Part(slo, "state", "")) == "ok" ? 1 : 0;
  return fmt::format("{}/{} hold", held, slos.size());
}

std::string PolicyLastAct(const Json& policy) {
  Json last;
  for (const Json& act : Part(Part(policy, "status", Json::object()), "last", Json::array())) {
    if (Text(Part(act, "result", "")) == "suppressed") continue;
    if (last.is_null() || Text(Part(act, "at", "")) > Text(Part(last, "at", ""))) last = act;
  }
  if (last.is_null()) return "-";
  return fmt::format("{} {} {} ago", Text(Part(last, "action", "")), Text(Part(last, "result", "")),
                     Age(Part(last, "at", Json())));
}

std::string MetricValue(const std::string& metric, const Json& value) {
  if (!value.is_number()) return "-";
  const double number = value.get<double>();
  if (metric == "error_rate" || metric == "shed_rate" || metric == "performance_degradation")
    return fmt::format("{:.3g} %", number * 100);
  if (metric.ends_with("_ms")) return fmt::format("{:.4g} ms", number);
  if (metric == "throughput") return fmt::format("{:.4g} requests/s", number);
  if (metric == "tokens_per_second") return fmt::format("{:.4g} tokens/s", number);
  if (metric == "staleness_s") return fmt::format("{:.4g} s", number);
  if (metric == "memory_bytes") return fmt::format("{:.4g} MiB", number / (1024 * 1024));
  return fmt::format("{:.4g}", number);
}

void PrintPolicy(const Json& policy) {
  const Json spec = Part(policy, "spec", Json::object());
  const Json status = Part(policy, "status", Json::object());
  const Json metadata = Part(policy, "metadata", Json::object());
  const std::string name = Text(Part(metadata, "name", ""));
  PrintField("name", name);
  const std::string reason = Text(Part(status, "reason", ""));
  PrintField("state", Text(Part(status, "state", "")) + (reason.empty() ? "" : ": " + reason));
  PrintField("mode", PolicyMode(policy));
  PrintSpec(spec);
  PrintField("changed", fmt::format("{} by {}, revision {}", Text(Part(metadata, "updated_at", "")),
                                    Text(Part(metadata, "updated_by", "")),
                                    Text(Part(metadata, "revision", 0))));
  if (status.empty()) return;
  PrintTotals(name, status);
  PrintStates(spec, status);
  PrintActs(spec, Part(status, "last", Json::array()));
}

void PrintBacktest(const Json& backtest, const Json& spec) {
  std::printf("%s to %s, every %s\n\n", Text(Part(backtest, "from", "")).c_str(),
              Text(Part(backtest, "to", "")).c_str(),
              FormatDurationMs(Part(backtest, "step_ms", 0).get<int64_t>()).c_str());
  std::vector<std::vector<std::string>> rows;
  for (const Json& slo : Part(backtest, "slos", Json::array())) {
    const std::string name = Text(Part(slo, "name", ""));
    const bool is_budget = ObjectiveOf(spec, name).contains("target");
    const Json worst = Part(slo, "worst", Json());
    rows.push_back({name, Where(slo), Text(Part(slo, "violations", 0)),
                    FormatDurationMs(Part(slo, "violated_ms", 0).get<int64_t>()),
                    Text(Part(slo, "first_at", "-")),
                    is_budget && worst.is_number()
                        ? fmt::format("burns {:.3g} x", worst.get<double>())
                        : MetricValue(MetricOf(spec, name), worst)});
  }
  PrintTable({"OBJECTIVE", "MODEL", "VIOLATIONS", "FOR", "FIRST AT", "WORST"}, rows);
  const Json actions = Part(backtest, "actions", Json::array());
  if (actions.empty()) {
    std::printf("\nit would have done nothing\n");
  } else {
    PrintActs(spec, actions);
  }
}

}  // namespace weir::control::cli
