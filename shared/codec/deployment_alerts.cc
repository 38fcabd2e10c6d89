// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/deployment_alerts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "shared/base/clock.h"
#include "shared/domain/policy.h"

namespace weir::codec {
namespace {

// A level in the metric's unit: 0.05, "5%", "5000ms".
Json ReadLevel(const Json& level, const std::string& metric, const std::string& path,
               Errors& errors) {
  if (level.is_number()) return level;
  const std::string text = level.is_string() ? level.get<std::string>() : "";
  const bool is_time = metric.ends_with("_ms");
  const bool is_rate = metric.ends_with("_rate") || metric == "performance_degradation";
  if (const Result<int64_t> ms = ParseDurationMs(text); is_time && ms.ok()) return *ms;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (is_rate && end != text.c_str() && std::string_view(end) == "%") return number / 100;
  errors.push_back({path, fmt::format("{}, but a number{} is expected", Show(level),
                                      is_time   ? " of ms, or such as 500ms,"
                                      : is_rate ? ", or a percentage such as 5%,"
                                                : "")});
  return 0;
}

}  // namespace

bool IsWatchedByPolicies(const std::string& metric) {
  const auto& watched = domain::PolicyMetrics();
  return std::find(watched.begin(), watched.end(), domain::CanonicalPolicyMetric(metric)) !=
         watched.end();
}

Json PolicyOfAlerts(const std::map<std::string, Levels>& alerts, const std::string& model,
                    const std::string& at, WrittenPaths& paths, Errors& errors) {
  Json slos = Json::array();
  for (const auto& [name, levels] : alerts) {
    const bool is_warning = levels.critical.is_null();
    if (is_warning && levels.warning.is_null()) continue;
    const std::string written = at + "." + name;
    const std::string spec_path = fmt::format("spec.slos[{}]", slos.size());
    const std::string limit = written + (is_warning ? ".warning" : ".critical");
    const std::string metric = domain::CanonicalPolicyMetric(name);
    Json slo = {{"name", name},
                {"metric", metric},
                {"severity", is_warning ? "warning" : "critical"},
                {"threshold",
                 ReadLevel(is_warning ? levels.warning : levels.critical, metric, limit, errors)}};
    if (!is_warning && !levels.warning.is_null())
      slo["warning"] = ReadLevel(levels.warning, metric, written + ".warning", errors);
    if (!model.empty()) slo["model"] = model;
    paths.emplace_back(spec_path + ".threshold", limit);
    paths.emplace_back(spec_path + ".warning", written + ".warning");
    paths.emplace_back(spec_path, written);
    slos.push_back(std::move(slo));
  }
  return {{"slos", std::move(slos)}};
}

Json SinkOfContact(const Contact& contact) {
  Json spec = {{"format", "log"}, {"team", contact.team}, {"events", {"alert", "emergency"}}};
  if (contact.oncall) spec["on_call"] = true;
  return spec;
}

}  // namespace weir::codec
