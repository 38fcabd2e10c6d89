// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/rollout_text.h"

#include "shared/base/text.h"
#include "shared/domain/metrics.h"
#include "shared/domain/validate.h"

namespace weir::codec {
namespace {

void CanonicalizeMetric(Json& object) {
  const auto metric = object.find("metric");
  if (metric != object.end() && metric->is_string())
    *metric = domain::CanonicalMetric(metric->get<std::string>());
}

std::string Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

// Phases ---------------------------------------------------------------------

// Appends a gate for each criterion to the phase's gates.
void AddCriteria(const Json& criteria, const std::string& path, Json& phase, WrittenPaths& written,
                 Errors& errors) {
  if (!criteria.is_object()) {
    errors.push_back({path + ".success_criteria",
                      Show(criteria) + ", but a mapping from metrics to comparisons is expected"});
    return;
  }
  if (criteria.empty()) return;
  if (!phase.contains("gates")) phase["gates"] = Json::array();
  Json& gates = phase["gates"];
  if (!gates.is_array()) return;  // refused by the reader
  for (const auto& [metric, condition] : criteria.items()) {
    const std::string at = path + ".success_criteria." + metric;
    if (!condition.is_string()) {
      errors.push_back({at, Show(condition) + ", but a comparison such as \"< 0.01\" is expected"});
      continue;
    }
    written.emplace_back(fmt::format("{}.gates[{}]", path, gates.size()), at);
    gates.push_back({{"type", "metrics_threshold"}, {"metric", metric}, {"condition", condition}});
  }
}

void MakePlainPhase(Json& phase, const std::string& path, WrittenPaths& written, Errors& errors) {
  if (!phase.is_object()) return;
  if (phase.contains("duration") && phase["duration"].is_null()) phase.erase("duration");
  if (const auto criteria = phase.find("success_criteria"); criteria != phase.end()) {
    const Json taken = std::move(*criteria);
    phase.erase("success_criteria");
    AddCriteria(taken, path, phase, written, errors);
  }
  if (!phase.contains("gates") || !phase["gates"].is_array()) return;
  for (Json& gate : phase["gates"]) {
    if (gate.is_object()) CanonicalizeMetric(gate);
  }
}

// Triggers -------------------------------------------------------------------

// "error_rate > 0.02" or "system_failure".
Result<Json> TriggerOf(const std::string& text) {
  if (Trimmed(text) == "system_failure") return Json{{"metric", "system_failure"}};
  const size_t op = text.find_first_of("<>");
  const auto condition =
      op == std::string::npos ? InvalidArgument("", "") : domain::ParseCondition(text.substr(op));
  if (!condition.ok()) {
    return InvalidArgument(
        "", fmt::format("\"{}\" is not a trigger such as \"error_rate > 0.02\" or system_failure",
                        text));
  }
  return Json{{"metric", Trimmed(text.substr(0, op))},
              {"comparison", condition->op},
              {"threshold", condition->value}};
}

void MakePlainTrigger(Json& trigger, const std::string& path, Errors& errors) {
  if (trigger.is_string()) {
    Result<Json> fields = TriggerOf(trigger.get<std::string>());
    if (!fields.ok()) errors.push_back({path, fields.status().message()});
    // One that nothing else is wrong with stands in for what could not be read.
    trigger = fields.ok() ? *std::move(fields) : Json{{"metric", "system_failure"}};
  }
  if (!trigger.is_object()) return;
  CanonicalizeMetric(trigger);
  const auto threshold = trigger.find("threshold");
  if (threshold == trigger.end() || !threshold->is_string()) return;
  const auto value = domain::ParseCondition("> " + threshold->get<std::string>());
  if (value.ok()) *threshold = value->value;
}

void MakePlainRollback(Json& rollback, WrittenPaths& written, Errors& errors) {
  const std::string path = "spec.rollback";
  if (const auto automatic = rollback.find("automatic_triggers"); automatic != rollback.end()) {
    if (rollback.contains("triggers")) {
      errors.push_back(
          {path + ".automatic_triggers", "means the same as triggers; give one of them"});
    } else {
      rollback["triggers"] = std::move(*automatic);
      written.emplace_back(path + ".triggers", path + ".automatic_triggers");
    }
    rollback.erase("automatic_triggers");
  }
  if (!rollback.contains("triggers") || !rollback["triggers"].is_array()) return;
  Json& triggers = rollback["triggers"];
  for (size_t i = 0; i < triggers.size(); ++i) {
    MakePlainTrigger(triggers[i], WrittenPath(written, fmt::format("{}.triggers[{}]", path, i)),
                     errors);
  }
}

// The comparison that a line of YAML gives without quotes; its place in the line, or npos.
size_t BareComparison(std::string_view line) {
  for (size_t colon = line.find(": "); colon != std::string_view::npos;
       colon = line.find(": ", colon + 1)) {
    const size_t value = line.find_first_not_of(' ', colon + 1);
    if (value == std::string_view::npos || line[value] != '>') continue;
    const bool has_equals = value + 1 < line.size() && line[value + 1] == '=';
    const size_t number = line.find_first_not_of(' ', value + (has_equals ? 2 : 1));
    // ">1" is a header that YAML knows.
    const bool is_apart = has_equals || number > value + 1;
    if (number == std::string_view::npos || !is_apart) continue;
    if (line[number] == '.' || line[number] == '-' || (line[number] >= '0' && line[number] <= '9'))
      return value;
  }
  return std::string_view::npos;
}

}  // namespace

std::string WrittenPath(const WrittenPaths& paths, const std::string& path) {
  for (const auto& [made, written] : paths) {
    if (path.rfind(made, 0) != 0) continue;
    const bool is_whole =
        path.size() == made.size() || path[made.size()] == '.' || path[made.size()] == '[';
    if (is_whole) return written + path.substr(made.size());
  }
  return path;
}

PlainRollout PlainRolloutSpec(const Json& spec, Errors& errors) {
  PlainRollout plain{spec, {}};
  if (!spec.is_object()) return plain;
  if (const auto phases = plain.spec.find("phases");
      phases != plain.spec.end() && phases->is_array()) {
    for (size_t i = 0; i < phases->size(); ++i)
      MakePlainPhase((*phases)[i], fmt::format("spec.phases[{}]", i), plain.written, errors);
  }
  const auto rollback = plain.spec.find("rollback");
  if (rollback != plain.spec.end() && rollback->is_object())
    MakePlainRollback(*rollback, plain.written, errors);
  return plain;
}

std::string QuoteComparisons(std::string_view yaml) {
  std::string out;
  for (size_t begin = 0; begin < yaml.size();) {
    const size_t end = std::min(yaml.find('\n', begin), yaml.size());
    const std::string_view line = yaml.substr(begin, end - begin);
    const size_t at = BareComparison(line);
    if (at == std::string_view::npos) {
      out += line;
    } else {
      const size_t comment = std::min(line.find(" #", at), line.size());
      const size_t close = std::min(line.find_first_of(",}\r\"'", at), comment);
      out += fmt::format("{}\"{}\"{}", line.substr(0, at), Trimmed(line.substr(at, close - at)),
                         line.substr(close));
    }
    if (end < yaml.size()) out += '\n';
    begin = end + 1;
  }
  return out;
}

}  // namespace weir::codec
