// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/formats.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/clock.h"
#include "shared/base/printable.h"
#include "shared/domain/sink.h"

namespace weir::control::notify {
namespace {

using codec::Json;

constexpr char kAlertmanagerPath[] = "/api/v2/alerts";
constexpr char kPagerDutyPath[] = "/v2/enqueue";
constexpr int64_t kMissedRepetitions = 4;
constexpr size_t kMaxPagerDutySummary = 1000;  // of the 1024 characters that it takes
constexpr size_t kMaxDedupKey = 255;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A notice, or one alert of it, in words that all receivers have.
struct Item {
  std::string name;
  std::string severity;
  std::string state;  // firing | acknowledged | resolved
  std::string key;    // of what it is about
  std::string summary;
  std::string source;
  std::string group;
  std::string starts_at;
  std::string ends_at;  // "" until it has
  std::string runbook_url;
  std::map<std::string, std::string> labels;  // more of them
  Json details;
};

Item ItemOfAlert(const Json& alert) {
  Item item;
  const std::string slo = Word(alert, "slo");
  item.name = slo.empty() ? Word(alert, "policy") : slo;
  item.severity = Word(alert, "severity");
  item.state = Word(alert, "state");
  item.starts_at = Word(alert, "started_at");
  item.ends_at = Word(alert, "resolved_at");
  item.key = fmt::format("{}-{}", Word(alert, "id"), item.starts_at);
  item.summary = Word(alert, "summary");
  if (item.summary.empty()) item.summary = item.name;
  item.source = Word(alert, "model");
  item.group = Word(alert, "policy");
  item.runbook_url = Word(alert, "runbook_url");
  for (const char* name : {"policy", "model", "version"}) item.labels[name] = Word(alert, name);
  item.details = alert;
  return item;
}

Item ItemOfNotice(const Notice& notice) {
  Item item;
  const std::string at = FormatTimeMs(notice.at_wall_ms);
  item.name = "weir_" + notice.type;
  item.severity = SeverityOf(notice);
  item.state = item.severity == "info" ? "resolved" : "firing";
  item.starts_at = at;
  if (item.state == "resolved") item.ends_at = at;
  item.key = notice.type;
  for (const char* name : {"rollout", "node", "subject", "file", "policy", "sink"}) {
    const std::string word = Word(notice.data, name);
    if (word.empty()) continue;
    item.labels[name] = word;
    item.key += "/" + word;
  }
  item.summary = Summary(notice);
  item.group = notice.type;
  item.details = notice.data;
  return item;
}

std::vector<Item> ItemsOf(const Notice& notice) {
  std::vector<Item> items;
  const auto alerts = notice.data.find("alerts");
  if (notice.type == "alert" && alerts != notice.data.end() && alerts->is_array()) {
    for (const Json& alert : *alerts) {
      if (alert.is_object()) items.push_back(ItemOfAlert(alert));
    }
  }
  if (items.empty()) items.push_back(ItemOfNotice(notice));
  return items;
}

std::string AlertmanagerBody(const domain::SinkSpec& sink, const Notice& notice,
                             const std::string& address) {
  const std::string later =
      FormatTimeMs(notice.at_wall_ms + kMissedRepetitions * domain::RepeatEveryMs(sink));
  Json alerts = Json::array();
  for (const Item& item : ItemsOf(notice)) {
    Json labels = {{"alertname", item.name}, {"severity", item.severity}};
    for (const auto& [name, value] : item.labels) {
      if (!value.empty()) labels[name] = value;
    }
    if (!sink.team.empty()) labels["team"] = sink.team;
    Json annotations = {{"summary", item.summary}};
    if (!item.runbook_url.empty()) annotations["runbook_url"] = item.runbook_url;
    Json alert = {{"labels", std::move(labels)},
                  {"annotations", std::move(annotations)},
                  {"startsAt", item.starts_at},
                  {"endsAt", item.ends_at.empty() ? later : item.ends_at}};
    if (!address.empty()) alert["generatorURL"] = address + "/v1/alerts?state=all";
    alerts.push_back(std::move(alert));
  }
  return Dump(alerts);
}

std::string PagerDutyBody(const domain::SinkSpec& sink, const Item& item, const std::string& key,
                          const std::string& address) {
  const char* action = item.state == "resolved"       ? "resolve"
                       : item.state == "acknowledged" ? "acknowledge"
                                                      : "trigger";
  Json body = {{"routing_key", key},
               {"event_action", action},
               {"dedup_key", PrintableBegin("weir/" + item.key, kMaxDedupKey)},
               {"client", "Weir"},
               {"payload",
                {{"summary", PrintableBegin(item.summary, kMaxPagerDutySummary)},
                 {"source", item.source.empty() ? "weir" : item.source},
                 {"severity", PagerDutySeverity(item.severity)},
                 {"timestamp", item.starts_at},
                 {"group", item.group},
                 {"class", item.name},
                 {"custom_details", item.details}}}};
  if (!address.empty()) body["client_url"] = address + "/v1/alerts?state=all";
  if (!sink.team.empty()) body["payload"]["component"] = sink.team;
  if (!item.runbook_url.empty())
    body["links"] = {{{"href", item.runbook_url}, {"text", "runbook"}}};
  return Dump(body);
}

}  // namespace

std::string PathFor(const std::string& format, const std::string& path) {
  const bool has_none = path.empty() || path == "/";
  if (format == "pagerduty") return has_none ? kPagerDutyPath : path;
  if (format != "alertmanager" || path.ends_with(kAlertmanagerPath)) return path;
  return (path.ends_with('/') ? path.substr(0, path.size() - 1) : path) + kAlertmanagerPath;
}

std::string PagerDutySeverity(std::string_view severity) {
  if (severity == "high") return "error";
  return severity == "critical" || severity == "info" ? std::string(severity) : "warning";
}

std::vector<std::string> Bodies(const domain::SinkSpec& sink, const Notice& notice,
                                const std::string& secret, const std::string& address) {
  if (sink.format == "alertmanager") return {AlertmanagerBody(sink, notice, address)};
  if (sink.format != "pagerduty") return {Body(sink.format, notice)};
  std::vector<std::string> bodies;
  for (const Item& item : ItemsOf(notice))
    bodies.push_back(PagerDutyBody(sink, item, secret, address));
  return bodies;
}

}  // namespace weir::control::notify
