// SPDX-License-Identifier: Apache-2.0
// weir node revoke, keys status, keys rotate, keys finish.
#include "controlplane/cli/key_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/session.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

void RevokeNode(Session& session, const std::string& id, const std::string& reason) {
  const Result<Json> answer =
      session.api().Send("POST", "/v1/nodes/" + http::PercentEncode(id) + "/revoke",
                         reason.empty() ? Json::object() : Json{{"reason", reason}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::printf("node %s is revoked: its key is let in no more\n", id.c_str());
  std::fprintf(stderr,
               "it goes on serving what it had; to bring it back it needs a new key and "
               "weir token create\n");
}

std::string Names(const Json& nodes) {
  return nodes.empty() ? "none" : Join(nodes.get<std::vector<std::string>>(), ", ");
}

void PrintKeys(Session& session, const Json& status) {
  if (session.PrintData(status)) return;
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](const char* what, const Json& place, const Json& nodes) {
    const Json& channels = place["channels"];
    rows.push_back({what, Text(place["fingerprint"]), Text(channels["cfg"]),
                    Text(channels["session"]), Text(channels["telemetry"]),
                    std::to_string(nodes.size())});
  };
  const Json& nodes = status["nodes"];
  add("current", status, nodes["current"]);
  if (status.contains("next")) add("next", status["next"], nodes["next"]);
  PrintTable({"KEY", "FINGERPRINT", "CFG", "SESSION", "TELEMETRY", "NODES"}, rows);
  if (!status.contains("next")) return;
  if (nodes["current"].empty()) {
    std::printf("every live node has come over: weir keys finish\n");
  } else {
    std::printf("still on the current key: %s\n", Names(nodes["current"]).c_str());
  }
}

void Send(Session& session, const std::string& path, const Json& body) {
  const Result<Json> answer = session.api().Send("POST", path, body);
  if (!answer.ok()) return session.Fail(answer.status());
  PrintKeys(session, *answer);
}

}  // namespace

void AddKeyCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string id, reason;
    bool force = false;
  };
  const auto options = std::make_shared<Options>();
  const auto body = [options] {
    Json json = Json::object();
    if (!options->reason.empty()) json["reason"] = options->reason;
    if (options->force) json["force"] = true;
    return json;
  };
  CLI::App* revoke = app.get_subcommand("node")->add_subcommand(
      "revoke", "Let a node's key in no more, and end its connections at once");
  revoke->add_option("id", options->id, "The node")->required();
  revoke->add_option("--reason", options->reason, "Why, for the audit and the node's log");
  revoke->callback([&session, options] { RevokeNode(session, options->id, options->reason); });

  CLI::App* keys = app.add_subcommand("keys", "The server's key, and its rotation");
  keys->require_subcommand(1);
  keys->add_subcommand("status", "The keys, and how many live nodes use which")
      ->callback([&session] {
        const Result<Json> answer = session.api().Get("/v1/keys");
        if (!answer.ok()) return session.Fail(answer.status());
        PrintKeys(session, *answer);
      });
  CLI::App* rotate = keys->add_subcommand("rotate", "A second key; live nodes come over to it");
  rotate->add_option("--reason", options->reason, "Why, for the audit");
  rotate->callback([&session, body] { Send(session, "/v1/keys/rotate", body()); });
  CLI::App* finish = keys->add_subcommand("finish", "The first key ends");
  finish->add_option("--reason", options->reason, "Why, for the audit");
  finish->add_flag("--force", options->force,
                   "Also when live nodes still use it: they are cut off");
  finish->callback([&session, body] { Send(session, "/v1/keys/finish", body()); });
}

}  // namespace weir::control::cli
