// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/notice.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/printable.h"
#include "shared/base/text.h"
#include "shared/domain/sink.h"

namespace weir::control::notify {
namespace {

using codec::Json;

constexpr size_t kMaxSentence = 1000;   // bytes
constexpr size_t kMaxSlackText = 2900;  // Slack takes 3000 characters

// ": why", from the first of these that is there.
std::string Because(const Json& data, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const std::string word = Word(data, name); !word.empty()) return ": " + word;
  }
  return "";
}

std::string OfRollout(const Json& data) {
  const std::string from = Word(data, "from");
  const std::string to = Word(data, "to");
  const std::string was = from.empty() || from == to ? "" : fmt::format(" (was {})", from);
  return fmt::format("rollout {} is {}{} at {} %{}", Word(data, "rollout"), to, was,
                     Word(data, "percentage"), Because(data, {"reason"}));
}

std::string OfEmergency(const Json& data) {
  std::vector<std::string> on;
  for (const char* name : {"kill_switch", "rollback_to_baseline", "freeze"}) {
    if (Word(data, name) == "true") on.emplace_back(name);
  }
  const std::string actor = Word(data, "actor");
  return fmt::format("emergency: {}{}{}", on.empty() ? "everything is off" : Join(on, ", ") + " on",
                     actor.empty() ? "" : ", by " + actor, Because(data, {"reason"}));
}

// "firing: error-budget/p99 of fraud 1.2.0: p99 is 740 ms".
std::string OfOneAlert(const Json& alert) {
  const std::string slo = Word(alert, "slo");
  const std::string model = Word(alert, "model");
  const std::string version = Word(alert, "version");
  const std::string why = Word(alert, "why");
  const std::string state = Word(alert, "state");
  const std::string by = state == "acknowledged" ? Word(alert, "acknowledged_by") : "";
  return fmt::format("{}{}{}: {}{}{}{}{}", state, why == state || why.empty() ? "" : ", " + why,
                     by.empty() ? "" : " by " + by, Word(alert, "policy"),
                     slo.empty() ? "" : "/" + slo, model.empty() ? "" : " of " + model,
                     version.empty() ? "" : " " + version, Because(alert, {"summary"}));
}

std::string OfAlerts(const Json& data) {
  const auto alerts = data.find("alerts");
  if (alerts == data.end() || !alerts->is_array() || alerts->empty())
    return "alert" + Because(data, {"summary", "policy"});
  if (alerts->size() == 1) return OfOneAlert(alerts->front());
  std::vector<std::string> sentences;
  for (const Json& alert : *alerts) sentences.push_back(OfOneAlert(alert));
  return fmt::format("{} alerts of policy {}: {}", alerts->size(), Word(data, "policy"),
                     Join(sentences, "; "));
}

std::string Sentence(const Notice& notice) {
  const Json& data = notice.data;
  const std::string rollout = Word(data, "rollout");
  if (notice.type == "rollout") return OfRollout(data);
  if (notice.type == "emergency") return OfEmergency(data);
  if (notice.type == "alert") return OfAlerts(data);
  if (notice.type == "gate") {
    return fmt::format("rollout {}: gate {} of phase {} is {}{}", rollout, Word(data, "gate"),
                       Word(data, "phase"), Word(data, "to"), Because(data, {"reason"}));
  }
  if (notice.type == "rollback_incomplete") {
    return fmt::format("the rollback of {} is incomplete: {} of {} nodes are back at stable{}",
                       rollout, Word(data, "applied"), Word(data, "live"),
                       data.contains("missing") ? "; missing: " + Word(data, "missing") : "");
  }
  if (notice.type == "drift") {
    return fmt::format("rollout {}: the candidate's answers drift from stable's: PSI {}, KS {}",
                       rollout, Word(data, "psi"), Word(data, "ks"));
  }
  if (notice.type == "breaker" || notice.type == "unwatched") {
    return fmt::format("node {}: {} of {} {}{}", Word(data, "node"), notice.type,
                       Word(data, "subject"), Word(data, "state"), Because(data, {"detail"}));
  }
  if (notice.type == "resource_file") {
    return fmt::format("resource file {} was {}{}", Word(data, "file"), Word(data, "result"),
                       Because(data, {"errors"}));
  }
  if (notice.type == "test")
    return fmt::format("this is a test of the sink {}", Word(data, "sink"));
  return fmt::format("{}{}{}", notice.type, rollout.empty() ? "" : " of rollout " + rollout,
                     Because(data, {"summary", "trend", "reason", "detail"}));
}

// Slack's text: & < > would be markup.
std::string SlackText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  }
  return PrintableBegin(out, kMaxSlackText);
}

Json SlackBody(const Notice& notice) {
  const std::string text = SlackText(fmt::format("[{}] {}", SeverityOf(notice), Summary(notice)));
  const std::string context = SlackText(
      fmt::format("{} · {} · {}", notice.type, FormatTimeMs(notice.at_wall_ms), notice.id));
  return {{"text", text},
          {"blocks",
           {{{"type", "section"}, {"text", {{"type", "mrkdwn"}, {"text", text}}}},
            {{"type", "context"}, {"elements", {{{"type", "mrkdwn"}, {"text", context}}}}}}}};
}

}  // namespace

std::string Word(const Json& data, const char* name) {
  const auto found = data.find(name);
  if (found == data.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return found->dump(-1, ' ', false, Json::error_handler_t::replace);
  std::vector<std::string> words;
  for (const Json& item : *found) words.push_back(item.is_string() ? item.get<std::string>() : "");
  return Join(words, ", ");
}

bool Notifies(const Notice& notice) {
  const auto& types = domain::NotifyTypes();
  if (std::find(types.begin(), types.end(), notice.type) == types.end()) return false;
  for (const char* name : {"silenced_by", "acknowledged_by"}) {
    if (!Word(notice.data, name).empty()) return false;
  }
  return notice.type != "resource_file" || Word(notice.data, "result") == "refused";
}

std::string SeverityOf(const Notice& notice) {
  const std::string given = Word(notice.data, "severity");
  if (domain::SeverityRank(given) >= 0) return given;
  if (notice.type == "rollback_incomplete") return "critical";
  if (notice.type == "rollout") {
    const std::string to = Word(notice.data, "to");
    if (to == "rolling_back") return "critical";
    return to == "rolled_back" || to == "paused" || to == "aborted" ? "warning" : "info";
  }
  if (notice.type == "emergency") {
    for (const char* name : {"kill_switch", "rollback_to_baseline", "freeze"}) {
      if (Word(notice.data, name) == "true") return "critical";
    }
    return "info";
  }
  return notice.type == "gate" || notice.type == "test" ? "info" : "warning";
}

std::string Summary(const Notice& notice) { return PrintableBegin(Sentence(notice), kMaxSentence); }

std::string SubjectOf(const Notice& notice) {
  for (const char* name : {"rollout", "policy", "node"}) {
    if (const std::string word = Word(notice.data, name); !word.empty())
      return fmt::format("{}/{}", name, word);
  }
  return notice.type;
}

bool Supersedes(const Notice& newer, const Notice& older) {
  if (newer.type != "alert" || older.type != "alert") return false;
  const auto told = newer.data.find("alerts");
  const auto waits = older.data.find("alerts");
  if (told == newer.data.end() || waits == older.data.end() || waits->empty()) return false;
  return std::all_of(waits->begin(), waits->end(), [&](const Json& alert) {
    return Word(alert, "why") == "repeated" &&
           std::any_of(told->begin(), told->end(), [&](const Json& another) {
             return Word(another, "id") == Word(alert, "id");
           });
  });
}

bool Wants(const domain::SinkSpec& sink, const Notice& notice) {
  if (!sink.enabled || !Notifies(notice)) return false;
  if (domain::SeverityRank(SeverityOf(notice)) < domain::SeverityRank(sink.min_severity))
    return false;
  return sink.events.empty() ||
         std::find(sink.events.begin(), sink.events.end(), notice.type) != sink.events.end();
}

std::string Body(const std::string& format, const Notice& notice) {
  const Json body = format == "slack" ? SlackBody(notice)
                                      : Json{{"id", notice.id},
                                             {"type", notice.type},
                                             {"severity", SeverityOf(notice)},
                                             {"at", FormatTimeMs(notice.at_wall_ms)},
                                             {"summary", Summary(notice)},
                                             {"data", notice.data}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace weir::control::notify
