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
  if (!session.PrintData(*answer)) {
    for (const Json& change : (*answer)["changes"]) {
      std::printf("%s/%s %s\n", Text(change["kind"]).c_str(), Text(change["name"]).c_str(),
                  Text(change["action"]).c_str());
      const Json diff = change.value("diff", Json::object());
      for (const auto& [path, values] : diff.items()) {
        std::printf("  %s: %s -> %s\n", path.c_str(), values.value("from", Json()).dump().c_str(),
                    values.value("to", Json()).dump().c_str());
      }
      for (const Json& kept : change.value("kept", Json::array()))
        std::printf("  kept %s\n", Text(kept).c_str());
    }
  }
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

std::string EventLine(const Json& event) {
  return fmt::format("{}  {}  {}", Text(event.value("at", Json())),
                     Text(event.value("type", Json())), event.value("data", Json()).dump());
}

void ListEvents(Session& session, bool follow) {
  const Result<Json> answer = session.api().Get("/v1/events?follow=false&since=0");
  if (!answer.ok()) return session.Fail(answer.status());
  std::string last;
  for (const Json& event : (*answer)["items"]) {
    std::printf("%s\n", session.json() ? event.dump().c_str() : EventLine(event).c_str());
    last = Text(event["id"]);
  }
  std::fflush(stdout);
  if (!follow) return;
  std::string buffer;
  const Status status = session.api().Stream(
      "/v1/events", {{"Last-Event-ID", last.empty() ? "0" : last}}, [&](std::string_view data) {
        buffer += data;
        for (size_t end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n')) {
          if (buffer.rfind("data: ", 0) == 0)
            std::printf("%s\n", buffer.substr(6, end - 6).c_str());
          buffer.erase(0, end + 1);
        }
        std::fflush(stdout);
        return true;
      });
  if (!status.ok()) session.Fail(status);
}

}  // namespace

void AddHistoryCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string target, reason;
    int limit = 20;
    uint64_t revision = 0;
    bool follow = false;
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

  CLI::App* event = app.add_subcommand("event", "What happened: commits, rollouts, nodes");
  event->require_subcommand(1);
  CLI::App* list = event->add_subcommand("list", "The events that are kept");
  list->add_flag("--follow", options->follow, "And those to come");
  list->callback([&session, options] { ListEvents(session, options->follow); });
}

}  // namespace weir::control::cli
