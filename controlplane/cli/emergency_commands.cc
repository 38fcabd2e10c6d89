// SPDX-License-Identifier: Apache-2.0
// weir emergency show, kill-switch, baseline, freeze; --direct tells nodes without the control
// plane.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "controlplane/cli/api_client.h"
#include "controlplane/cli/direct.h"
#include "controlplane/cli/flag_commands.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr int64_t kDirectTimeoutMs = 2000;

struct EmergencyOptions {
  std::string state, reason, nodes, token_file;
  bool direct = false;
};

// Of the nodes' admin answers: "kill_switch" is the resource's name, too; "baseline" is not.
struct Switch {
  const char* command;
  const char* field;   // of the Emergency
  const char* direct;  // of a node's override; null when there is none
  const char* help;
};
constexpr Switch kSwitches[] = {
    {"kill-switch", "kill_switch", "kill_switch", "Turn every flag off"},
    {"baseline", "rollback_to_baseline", "baseline",
     "Flags off, every split to stable, experiments to control"},
    {"freeze", "freeze", nullptr, "Stop the progress of every rollout; triggers still act"}};

void Show(Session& session) {
  Result<Json> answer = session.api().Get("/v1/emergency/default");
  if (!answer.ok()) return session.Fail(answer.status());
  const Result<Json> nodes = session.api().Get("/v1/nodes");
  if (!nodes.ok()) return session.Fail(nodes.status());
  Json overridden = Json::array();
  for (const Json& node : (*nodes)["items"]) {
    const Json overrides = node.value("overrides", Json::array());
    if (!overrides.empty()) overridden.push_back({{"id", node["id"]}, {"overrides", overrides}});
  }
  (*answer)["nodes"] = overridden;
  if (session.PrintData(*answer)) return;
  for (const Switch& one : kSwitches)
    std::printf("%-22s %s\n", one.field, (*answer)["spec"].value(one.field, false) ? "ON" : "off");
  for (const Json& node : overridden) {
    for (const Json& override : node["overrides"])
      std::printf("OVERRIDE on %-10s %s\n", Text(node["id"]).c_str(), Text(override).c_str());
  }
}

void SetEmergency(Session& session, const std::string& field, bool on, const std::string& reason) {
  const Result<Json> answer =
      session.api().Send("PATCH", "/v1/emergency/default?reason=" + http::PercentEncode(reason),
                         {{"spec", {{field, on}}}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) std::printf("%s %s\n", field.c_str(), on ? "ON" : "off");
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
  session.WaitForNodes(session.api().last_version());
}

Result<std::string> BreakGlassToken(const std::string& file) {
  const char* variable = std::getenv("WEIR_BREAK_GLASS_TOKEN");
  std::string token = variable == nullptr ? "" : variable;
  if (!file.empty()) {
    Result<std::string> read = ReadFile(file);
    if (!read.ok()) return InvalidArgument("--token-file", read.status().message());
    token = read->substr(0, read->find_first_of("\r\n"));
  }
  if (!token.empty()) return token;
  return InvalidArgument("",
                         "--direct needs the nodes' break-glass token: --token-file FILE or "
                         "WEIR_BREAK_GLASS_TOKEN");
}

Result<std::vector<DirectAnswer>> TellNodes(const Session& session, const Switch& what,
                                            const EmergencyOptions& options) {
  const int64_t timeout_ms = std::min<int64_t>(session.timeout_ms(), kDirectTimeoutMs);
  if (what.direct == nullptr)
    return InvalidArgument("--direct",
                           "nodes have nothing to freeze: rollouts advance in the "
                           "control plane only");
  if (options.reason.empty())
    return InvalidArgument("--direct", "needs --reason: nodes show it for as long as it holds");
  if (options.nodes.empty())
    return InvalidArgument("--direct", "needs --nodes FILE with the nodes' admin addresses");
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(options.nodes));
  WEIR_ASSIGN_OR_RETURN(const auto nodes, ReadNodeAddresses(text, options.nodes));
  WEIR_ASSIGN_OR_RETURN(const std::string token, BreakGlassToken(options.token_file));
  const Json body = {{"emergency", {{what.direct, options.state == "on"}}},
                     {"reason", options.reason}};
  return OverrideDirectly(nodes, body, {token, UserAtHost(), timeout_ms, session.CaFile()});
}

void SetDirectly(Session& session, const Switch& what, const EmergencyOptions& options) {
  const auto answers = TellNodes(session, what, options);
  if (!answers.ok()) return session.FailAs(kExitUsage, answers.status().ToString());
  Json items = Json::array();
  std::vector<std::vector<std::string>> rows;
  size_t applied = 0;
  for (const DirectAnswer& answer : *answers) {
    items.push_back({{"node", answer.node},
                     {"state", answer.state},
                     {"ms", answer.took_ms},
                     {"detail", answer.detail}});
    rows.push_back(
        {answer.node, answer.state, fmt::format("{} ms", answer.took_ms), answer.detail});
    applied += answer.state == "applied" ? 1 : 0;
  }
  if (!session.PrintData({{"items", items}})) PrintTable({"NODE", "STATE", "TOOK", "DETAIL"}, rows);
  std::fprintf(stderr, "%s %s on %zu of %zu nodes, past the control plane\n", what.field,
               options.state == "on" ? "ON" : "off", applied, answers->size());
  if (options.state == "on" && applied > 0) {
    const std::string token =
        options.token_file.empty() ? "" : " --token-file " + options.token_file;
    std::fprintf(stderr,
                 "these nodes keep it, restarts included. To reconcile once the control plane is "
                 "back:\n"
                 "  weir emergency %s on    there, too: nodes then let go of their own\n"
                 "  weir emergency %s off --direct --nodes %s%s --reason …    or end it here\n"
                 "  weir status    says who is still overridden\n",
                 what.command, what.command, options.nodes.c_str(), token.c_str());
  }
  if (applied != answers->size()) session.No();
}

void Set(Session& session, const Switch& what, const EmergencyOptions& options) {
  if (options.direct) return SetDirectly(session, what, options);
  if (!options.nodes.empty() || !options.token_file.empty())
    return session.FailAs(kExitUsage, "--nodes and --token-file go with --direct");
  SetEmergency(session, what.field, options.state == "on", options.reason);
}

}  // namespace

void AddEmergencyCommands(CLI::App& app, Session& session) {
  CLI::App* emergency = app.add_subcommand(
      "emergency", "Kill switch, baseline, freeze: nothing blocks them, no file ends them");
  emergency->require_subcommand(1);
  emergency->add_subcommand("show", "What is in force, and nodes that are overridden")
      ->callback([&session] { Show(session); });
  for (const Switch& what : kSwitches) {
    auto options = std::make_shared<EmergencyOptions>();
    CLI::App* command = emergency->add_subcommand(what.command, what.help);
    command->add_option("state", options->state, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}));
    command->add_option("--reason", options->reason, "Why; shown in history");
    if (what.direct != nullptr) {
      command->add_flag("--direct", options->direct,
                        "Tell the nodes themselves, when the control plane cannot be reached");
      command->add_option("--nodes", options->nodes,
                          "With --direct: a file of admin addresses, one host:port per line");
      command->add_option("--token-file", options->token_file,
                          "With --direct: the break-glass token (or WEIR_BREAK_GLASS_TOKEN)");
      command->footer(
          fmt::format("Examples:\n"
                      "  weir emergency {0} on --reason \"incident 7\"\n"
                      "  weir emergency {0} on --direct --nodes nodes.txt --token-file break-glass "
                      "--reason \"incident 7\"",
                      what.command));
    }
    command->callback([&session, what, options] { Set(session, what, *options); });
  }
}

}  // namespace weir::control::cli
