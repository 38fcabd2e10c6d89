// SPDX-License-Identifier: Apache-2.0
// weir alert list, ack, silence, silences, unsilence.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>

#include "controlplane/cli/operator_commands.h"
#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/policy.h"
#include "shared/domain/sink.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr size_t kMaxName = 200;  // bytes, before the time

struct ListOptions {
  bool all = false;
  std::string state, severity, policy;
  uint64_t limit = 100;
};

std::string Query(const std::vector<std::pair<const char*, std::string>>& pairs) {
  std::string query;
  for (const auto& [name, value] : pairs) {
    if (value.empty()) continue;
    query += fmt::format("{}{}={}", query.empty() ? "?" : "&", name, http::PercentEncode(value));
  }
  return query;
}

// "acknowledged by alice".
std::string StateOf(const Json& alert) {
  const std::string state = Text(alert["state"]);
  if (state == "acknowledged") return state + " by " + Text(alert["acknowledged_by"]);
  if (state == "silenced") return state + " by " + Text(alert["silenced_by"]);
  return state;
}

std::string AlertOf(const Json& alert) {
  const std::string slo = Text(alert["slo"]);
  std::string text = Text(alert["policy"]) + (slo.empty() ? "" : "/" + slo);
  for (const char* field : {"model", "version"}) {
    if (const std::string word = Text(alert[field]); !word.empty()) text += " " + word;
  }
  return text;
}

void ListAlerts(Session& session, const ListOptions& options) {
  const std::string state = !options.state.empty() ? options.state : options.all ? "all" : "";
  const Result<Json> answer =
      session.api().Get("/v1/alerts" + Query({{"state", state},
                                              {"severity", options.severity},
                                              {"policy", options.policy},
                                              {"limit", std::to_string(options.limit)}}));
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  const Json& items = (*answer)["items"];
  if (session.output == "name") {
    for (const Json& alert : items) std::printf("%s\n", Text(alert["id"]).c_str());
    return;
  }
  if (items.empty()) {
    std::printf("no alerts%s\n", state.empty() ? " are open; --all shows those that ended" : "");
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& alert : items) {
    rows.push_back({Text(alert["id"]), Text(alert["severity"]), StateOf(alert), AlertOf(alert),
                    Age(alert["started_at"]), Text(alert["summary"])});
  }
  PrintTable({"ID", "SEVERITY", "STATE", "ALERT", "SINCE", "SUMMARY"}, rows);
}

void Acknowledge(Session& session, const std::string& id, const std::string& reason) {
  Json body = Json::object();
  if (!reason.empty()) body["reason"] = reason;
  const Result<Json> answer =
      session.api().Send("POST", "/v1/alerts/" + http::PercentEncode(id) + "/ack", body);
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::printf("alert %s (%s) is acknowledged by %s since %s\n", Text((*answer)["id"]).c_str(),
              AlertOf(*answer).c_str(), Text((*answer)["acknowledged_by"]).c_str(),
              Text((*answer)["acknowledged_at"]).c_str());
}

struct SilenceOptions {
  std::string policy, slo, model, version, severity, lasts, reason, name;

  Json Matchers() const {
    Json matchers = Json::object();
    for (const auto& [label, value] :
         {std::pair("policy", &policy), std::pair("slo", &slo), std::pair("model", &model),
          std::pair("version", &version), std::pair("severity", &severity)}) {
      if (!value->empty()) matchers[label] = *value;
    }
    return matchers;
  }
};

// "checkout-p99-until-20261128T2310Z".
std::string SilenceName(const SilenceOptions& options, int64_t until_ms) {
  std::string name;
  for (const std::string* value :
       {&options.policy, &options.slo, &options.model, &options.version, &options.severity}) {
    if (!value->empty()) name += (name.empty() ? "" : "-") + *value;
  }
  for (char& c : name) {
    const bool is_plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
    if (!is_plain) c = '-';
  }
  if (name.size() > kMaxName) name.resize(kMaxName);
  if (!IsResourceName(name)) name = "alerts" + name;
  std::string until = FormatTimeMs(until_ms).substr(0, 16);  // 2026-11-28T23:10
  std::erase_if(until, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("{}-until-{}Z", name, until);
}

// How many of the open alerts the matchers fit, and what values they could have had.
struct Fit {
  size_t alerts = 0;
  std::map<std::string, std::vector<std::string>> values;  // by label
};

Fit FitOf(const Json& matchers, const Json& alerts) {
  Fit fit;
  for (const Json& alert : alerts) {
    bool fits = true;
    for (const auto& [label, value] : matchers.items()) {
      const std::string has = Text(alert[label]);
      fits = fits && has == Text(value);
      if (!has.empty()) fit.values[label].push_back(has);
    }
    fit.alerts += fits ? 1 : 0;
  }
  return fit;
}

// ", which fits 2 open alerts".
std::string FitText(Session& session, const Json& matchers) {
  const Result<Json> open = session.api().Get("/v1/alerts?limit=1000");
  if (!open.ok()) return "";
  const Fit fit = FitOf(matchers, (*open)["items"]);
  if (fit.alerts > 0)
    return fmt::format(", which fits {} open alert{}", fit.alerts, fit.alerts == 1 ? "" : "s");
  std::string hint;
  for (const auto& [label, value] : matchers.items()) {
    const auto values = fit.values.find(label);
    if (hint.empty() && values != fit.values.end())
      hint = std::count(values->second.begin(), values->second.end(), Text(value)) > 0
                 ? ""
                 : DidYouMean(Text(value), values->second);
  }
  return ", which fits no alert that is open now" + hint;
}

void Silence(Session& session, SilenceOptions options) {
  const Result<int64_t> lasts_ms = ParseDurationMs(options.lasts);
  if (!lasts_ms.ok() || *lasts_ms <= 0) {
    return session.FailAs(kExitUsage,
                          fmt::format("--for {}: {}", options.lasts,
                                      lasts_ms.ok() ? "a silence lasts longer than nothing"
                                                    : lasts_ms.status().message()));
  }
  options.severity = domain::CanonicalSeverity(options.severity);
  const Json matchers = options.Matchers();
  if (matchers.empty()) {
    return session.FailAs(kExitUsage,
                          "what is to be silent? Give --policy, --slo, --model, --version or "
                          "--severity; all that are given must fit");
  }
  // By the clock that ends it.
  const Result<Json> status = session.api().Get("/v1/status");
  if (!status.ok()) return session.Fail(status.status());
  const Result<int64_t> now_ms = ParseTimeMs(Text(status->value("now", Json())));
  if (!now_ms.ok()) return session.Fail(now_ms.status());
  const int64_t until_ms = *now_ms + *lasts_ms;
  const std::string name = options.name.empty() ? SilenceName(options, until_ms) : options.name;
  Json spec = {{"matchers", matchers}, {"until", FormatTimeMs(until_ms)}};
  if (!options.reason.empty()) spec["comment"] = options.reason;
  const Result<Json> answer = session.api().Send(
      "PUT", "/v1/silences/" + http::PercentEncode(name) + Query({{"reason", options.reason}}),
      {{"apiVersion", "weir/v1"},
       {"kind", "Silence"},
       {"metadata", {{"name", name}}},
       {"spec", spec}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::printf("Silence/%s until %s%s\n", name.c_str(), FormatTimeMs(until_ms).c_str(),
              FitText(session, matchers).c_str());
  std::fprintf(stderr, "weir alert unsilence %s ends it\n", name.c_str());
}

void Silences(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/silences");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  const Result<Json> status = session.api().Get("/v1/status");
  if (!status.ok()) return session.Fail(status.status());
  const Result<int64_t> now_ms = ParseTimeMs(Text(status->value("now", Json())));
  std::vector<std::vector<std::string>> rows;
  for (const Json& item : (*answer)["items"]) {
    const Json& spec = item["spec"];
    std::vector<std::string> matchers;
    const Json given = spec.value("matchers", Json::object());
    for (const auto& [label, value] : given.items())
      matchers.push_back(fmt::format("{}={}", label, Text(value)));
    const std::string until = Text(spec.value("until", Json()));
    const std::string starts = Text(spec.value("starts", Json()));
    const Result<int64_t> until_ms = ParseTimeMs(until);
    const Result<int64_t> starts_ms = ParseTimeMs(starts);
    const bool is_over = now_ms.ok() && until_ms.ok() && *until_ms <= *now_ms;
    const bool is_later = now_ms.ok() && starts_ms.ok() && *starts_ms > *now_ms;
    rows.push_back({Text(item["metadata"]["name"]), Join(matchers, " "),
                    is_over    ? "over"
                    : is_later ? "from " + starts
                               : "in force",
                    until, Text(item["metadata"].value("updated_by", Json())),
                    Text(spec.value("comment", Json()))});
  }
  PrintTable({"NAME", "FITS", "STATE", "UNTIL", "BY", "COMMENT"}, rows);
}

void Unsilence(Session& session, const std::string& name, const std::string& reason) {
  const Result<Json> answer = session.api().Send(
      "DELETE", "/v1/silences/" + http::PercentEncode(name) + Query({{"reason", reason}}), Json());
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) std::printf("Silence/%s has ended\n", name.c_str());
}

std::string CheckSeverity(const std::string& text) {
  if (domain::SeverityRank(domain::CanonicalSeverity(text)) >= 0) return "";
  return fmt::format("\"{}\" is none of {}{}", text, Join(domain::Severities(), ", "),
                     DidYouMean(text, domain::Severities()));
}

void AddList(CLI::App& alert, Session& session) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* list =
      alert.add_subcommand("list", "What fires, the worst first, and who looks after it");
  list->add_flag("--all", options->all, "Also those that ended, of the last 90 days");
  list->add_option("--state", options->state, "firing, acknowledged, silenced or resolved")
      ->check(CLI::IsMember({"firing", "acknowledged", "silenced", "resolved"}));
  list->add_option("--severity", options->severity, "info, warning, high or critical")
      ->check(CheckSeverity);
  list->add_option("--policy", options->policy, "Of this policy; of a rollout: rollout/NAME");
  list->add_option("--limit", options->limit, "At most so many (1..1000)")->capture_default_str();
  list->footer(
      "Examples:\n"
      "  weir alert list\n"
      "  weir alert list --all --policy checkout -o json\n"
      "  weir alert list --state resolved --severity critical --limit 10");
  list->callback([&session, options] { ListAlerts(session, *options); });
}

void AddAck(CLI::App& alert, Session& session) {
  auto id = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  CLI::App* ack = alert.add_subcommand(
      "ack", "Say that you look after it: nobody is told of it again, unless it becomes worse");
  ack->add_option("id", *id, "As `weir alert list` shows it")->required();
  ack->add_option("--reason", *reason, "What you know; shown with the alert");
  ack->footer(
      "Examples:\n"
      "  weir alert ack a17\n"
      "  weir alert ack a17 --reason \"the new index is being built\"");
  ack->callback([&session, id, reason] { Acknowledge(session, *id, *reason); });
}

void AddSilence(CLI::App& alert, Session& session) {
  auto options = std::make_shared<SilenceOptions>();
  CLI::App* silence = alert.add_subcommand(
      "silence", "Tell nobody of some alerts for a while; they are listed all the same");
  silence->add_option("--policy", options->policy, "Of this policy");
  silence->add_option("--slo", options->slo, "Of SLOs of this name");
  silence->add_option("--model", options->model, "About this model");
  silence->add_option("--version", options->version, "About this version");
  silence->add_option("--severity", options->severity, "Of this severity")->check(CheckSeverity);
  silence->add_option("--for", options->lasts, "How long: 30m, 2h, 1d")->required();
  silence->add_option("--reason", options->reason, "Why; shown with the silence and in history");
  silence->add_option("--name", options->name, "Its name, instead of one made of what it fits");
  silence->footer(
      "All that is given must fit. If an alert still fires afterwards, people are told.\n"
      "Examples:\n"
      "  weir alert silence --policy checkout --for 2h --reason \"load test\"\n"
      "  weir alert silence --model fraud_detection --severity warning --for 1d");
  silence->callback([&session, options] { Silence(session, *options); });
  alert.add_subcommand("silences", "What is silent, and until when")->callback([&session] {
    Silences(session);
  });
  auto name = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  CLI::App* unsilence = alert.add_subcommand("unsilence", "End a silence now");
  unsilence->add_option("name", *name, "As `weir alert silences` shows it")->required();
  unsilence->add_option("--reason", *reason, "Why; shown in history");
  unsilence->footer("Example:\n  weir alert unsilence checkout-until-20261128T2310Z");
  unsilence->callback([&session, name, reason] { Unsilence(session, *name, *reason); });
}

}  // namespace

void AddAlertCommands(CLI::App& app, Session& session) {
  CLI::App* alert = app.add_subcommand("alert", "Alerts: what fires, and who is told");
  alert->require_subcommand(1);
  AddList(*alert, session);
  AddAck(*alert, session);
  AddSilence(*alert, session);
}

}  // namespace weir::control::cli
