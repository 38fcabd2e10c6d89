// SPDX-License-Identifier: Apache-2.0
#include "controlplane/alert/alert.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "shared/base/clock.h"

namespace weir::control::alert {
namespace {

using codec::Json;

// No name holds this.
constexpr char kBetween = '\x1f';

std::string Key(const std::string& policy, const std::string& slo, const std::string& model,
                const std::string& version) {
  return fmt::format("{0}{4}{1}{4}{2}{4}{3}", policy, slo, model, version, kBetween);
}

// A field of what was stored; `fallback` where it is not there or of another type.
template <class T>
T Field(const Json& json, const char* name, T fallback) {
  const auto found = json.find(name);
  if (found == json.end()) return fallback;
  if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? found->template get<std::string>() : std::move(fallback);
  } else {
    return found->is_number_integer() ? found->template get<T>() : fallback;
  }
}

}  // namespace

std::string KeyOf(const Observation& o) { return Key(o.policy, o.slo, o.model, o.version); }
std::string KeyOf(const store::AlertRow& row) {
  return Key(row.policy, row.slo, row.model, row.version);
}

std::string IdText(uint64_t id) { return fmt::format("a{}", id); }

Result<uint64_t> ParseId(const std::string& text) {
  uint64_t id = 0;
  if (text.size() > 1 && text[0] == 'a') {
    const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), id);
    if (error == std::errc() && end == text.data() + text.size() && text == IdText(id)) return id;
  }
  return NotFound(fmt::format("there is no alert \"{}\"", text));
}

store::AlertRow ToRow(const Alert& alert) {
  store::AlertRow row = alert.row;
  Json told = Json::object();
  for (const auto& [sink, what] : alert.told) {
    told[sink] = {
        {"at", what.at_wall_ms}, {"rank", what.rank}, {"state", what.state}, {"count", what.count}};
  }
  row.told =
      Json{{"sinks", std::move(told)}, {"lasts_ms", alert.lasts_ms}, {"tells", alert.tells}}.dump(
          -1, ' ', false, Json::error_handler_t::replace);
  return row;
}

Alert FromRow(store::AlertRow row) {
  Alert alert;
  const Result<Json> json = codec::ParseJson(std::exchange(row.told, ""));
  alert.row = std::move(row);
  if (!json.ok() || !json->is_object()) return alert;
  alert.lasts_ms = Field<int64_t>(*json, "lasts_ms", 0);
  alert.tells = json->value("tells", Json(true)) != Json(false);
  const Json sinks = json->value("sinks", Json::object());
  if (!sinks.is_object()) return alert;
  for (const auto& [sink, what] : sinks.items()) {
    if (!what.is_object()) continue;
    alert.told[sink] = {Field<int64_t>(what, "at", 0), Field<int>(what, "rank", -1),
                        Field<std::string>(what, "state", kFiring),
                        Field<uint64_t>(what, "count", 0)};
  }
  return alert;
}

std::string SubjectOf(const store::AlertRow& row) {
  std::string text = row.slo.empty() ? row.policy : fmt::format("{}/{}", row.policy, row.slo);
  if (!row.model.empty()) text += " of " + row.model;
  if (!row.version.empty()) text += " " + row.version;
  return text;
}

Json ViewOf(const store::AlertRow& row) {
  Json view = {{"id", IdText(row.id)},
               {"state", row.state},
               {"severity", row.severity},
               {"policy", row.policy},
               {"slo", row.slo},
               {"model", row.model},
               {"version", row.version},
               {"summary", row.summary},
               {"value", row.value},
               {"threshold", row.threshold},
               {"started_at", FormatTimeMs(row.started_wall_ms)},
               {"told", row.told_count}};
  if (row.acknowledged_wall_ms != 0) {
    view["acknowledged_at"] = FormatTimeMs(row.acknowledged_wall_ms);
    view["acknowledged_by"] = row.acknowledged_by;
    if (!row.reason.empty()) view["reason"] = row.reason;
  }
  if (row.resolved_wall_ms != 0) view["resolved_at"] = FormatTimeMs(row.resolved_wall_ms);
  if (!row.silenced_by.empty()) view["silenced_by"] = row.silenced_by;
  if (!row.runbook_url.empty()) view["runbook_url"] = row.runbook_url;
  return view;
}

bool Silences(const domain::SilenceSpec& silence, const store::AlertRow& row, int64_t now_wall_ms) {
  if (silence.matchers.empty() || now_wall_ms < silence.starts.ms ||
      now_wall_ms >= silence.until.ms)
    return false;
  const std::map<std::string, std::string> labels = {{"policy", row.policy},
                                                     {"slo", row.slo},
                                                     {"model", row.model},
                                                     {"version", row.version},
                                                     {"severity", row.severity}};
  return std::all_of(silence.matchers.begin(), silence.matchers.end(), [&](const auto& matcher) {
    const auto label = labels.find(matcher.first);
    const std::string wanted =
        matcher.first == "severity" ? domain::CanonicalSeverity(matcher.second) : matcher.second;
    return label != labels.end() && label->second == wanted;
  });
}

}  // namespace weir::control::alert
