// SPDX-License-Identifier: Apache-2.0
// weir history, revert, undo, event list.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/session.h"

namespace weir::control::cli {
namespace {

using codec::Json;

void PrintCommit(Session& session, const Result<Json>& answer) {
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintCommitted(*answer);
  std::fprintf(stderr, "revision %s on %s\n", Text((*answer)["revision"]).c_str(),
               session.Target().c_str());
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

void History(Session& session, const std::string& target, int limit) {
  std::string query = fmt::format("/v1/history?limit={}", limit);
  const size_t slash = target.find('/');
  if (!target.empty()) query += "&kind=" + http::PercentEncode(target.substr(0, slash));
  if (slash != std::string::npos) query += "&name=" + http::PercentEncode(target.substr(slash + 1));
  const Result<Json> answer = session.api().Get(query);
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : (*answer)["items"]) {
    std::string what;
    for (const Json& change : row["changes"]) {
      what += fmt::format("{}{}/{} {}", what.empty() ? "" : ", ", Text(change["kind"]),
                          Text(change["name"]), Text(change["action"]));
    }
    rows.push_back({Text(row["revision"]), Text(row["at"]), Text(row["actor"]), what,
                    Text(row.value("reason", Json()))});
  }
  PrintTable({"REVISION", "AT", "ACTOR", "CHANGE", "REASON"}, rows);
}

constexpr char kDecisionType[] = "flag_decision";

// A decision reads as in a node's log; other events show their data.
std::string EventLine(const Json& event) {
  const std::string type = event.value("type", "");
  const Json data = event.value("data", Json::object());
  std::string what = type + "  " + data.dump();
  if (type == kDecisionType) {
    what = fmt::format("Feature flag decision: {} for {} => {} ({}) on {}", Text(data["flag"]),
                       Text(data["key"]), Text(data["outcome"]), Text(data["reason"]),
                       Text(data["node"]));
  }
  return fmt::format("{}  {}", Text(event.value("at", Json())), what);
}

void PrintEvent(const Session& session, const Json& event, const std::string& type) {
  if (!type.empty() && event.value("type", "") != type) return;
  std::printf("%s\n", session.json() ? event.dump().c_str() : EventLine(event).c_str());
}

// Events as they come, until the server ends the stream.
void FollowEvents(Session& session, const std::string& last_id, const std::string& type) {
  std::string buffer;
  const Status status =
      session.api().Stream("/v1/events", {{"Last-Event-ID", last_id}}, [&](std::string_view data) {
        buffer += data;
        for (size_t end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n')) {
          const std::string line = buffer.substr(0, end);
          buffer.erase(0, end + 1);
          if (line.rfind("data: ", 0) != 0) continue;
          const Result<Json> event = codec::ParseJson(line.substr(6));
          if (!event.ok()) continue;
          if (event->contains("type")) {
            PrintEvent(session, *event, type);
          } else {
            std::fprintf(stderr, "some events were lost in between\n");
          }
        }
        return std::fflush(stdout) == 0;
      });
  if (!status.ok()) session.Fail(status);
}

void ListEvents(Session& session, bool follow, const std::string& type) {
  const Result<Json> answer = session.api().Get("/v1/events?follow=false&since=0");
  if (!answer.ok()) return session.Fail(answer.status());
  std::string last = "0";
  for (const Json& event : (*answer)["items"]) {
    PrintEvent(session, event, type);
    last = Text(event["id"]);
  }
  std::fflush(stdout);
  if (follow) FollowEvents(session, last, type);
}

}  // namespace

void AddHistoryCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string target, reason;
    int limit = 20;
    uint64_t revision = 0;
    bool follow = false;
    std::string type;
  };
  auto options = std::make_shared<Options>();
  CLI::App* history = app.add_subcommand("history", "Every revision with its actor and reason");
  history->add_option("resource", options->target, "KIND or KIND/NAME; all without it");
  history->add_option("--limit", options->limit, "How many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  history->callback([&session, options] { History(session, options->target, options->limit); });

  CLI::App* revert =
      app.add_subcommand("revert", "Take back one revision's change: weir revert 42");
  revert->add_option("revision", options->revision, "Which")->required();
  revert->add_option("--reason", options->reason, "Why; shown in history");
  revert->callback([&session, options] {
    PrintCommit(session,
                session.api().Send("POST", "/v1/revert",
                                   {{"revision", options->revision}, {"reason", options->reason}}));
  });

  CLI::App* undo =
      app.add_subcommand("undo", "Return a resource to an earlier state: weir undo flag/ttft");
  undo->add_option("resource", options->target, "KIND/NAME")->required();
  undo->add_option("--to-revision", options->revision,
                   "As it stood then; without it, before its last change");
  undo->add_option("--reason", options->reason, "Why; shown in history");
  undo->callback([&session, options] {
    const size_t slash = options->target.find('/');
    if (slash == std::string::npos) return session.FailAs(kExitUsage, "undo needs KIND/NAME");
    Json body = {{"kind", options->target.substr(0, slash)},
                 {"name", options->target.substr(slash + 1)},
                 {"reason", options->reason}};
    if (options->revision != 0) body["to_revision"] = options->revision;
    PrintCommit(session, session.api().Send("POST", "/v1/undo", body));
  });

  CLI::App* event =
      app.add_subcommand("event", "What happened: commits, rollouts, nodes, flag decisions");
  event->require_subcommand(1);
  CLI::App* list = event->add_subcommand("list", "The events that are kept");
  list->add_flag("--follow", options->follow, "And those to come");
  list->add_option("--type", options->type, "Only these: commit, rollout, flag_decision, …");
  list->footer("Example:\n  weir event list --follow --type flag_decision");
  list->callback([&session, options] { ListEvents(session, options->follow, options->type); });
}

}  // namespace weir::control::cli
