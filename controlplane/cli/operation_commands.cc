// SPDX-License-Identifier: Apache-2.0
// weir status, doctor, node list, node show, completion, version.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "controlplane/cli/cluster.h"
#include "controlplane/cli/completion.h"
#include "controlplane/cli/context.h"
#include "controlplane/cli/session.h"
#include "shared/base/build_info.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

void PrintProblems(const Json& problems) {
  if (problems.empty()) {
    std::printf("nothing is wrong\n");
    return;
  }
  for (const Json& problem : problems) {
    const std::string since = Age(problem.value("since", Json()));
    std::printf("%s: %s%s\n", Text(problem["severity"]).c_str(), Text(problem["what"]).c_str(),
                since.empty() ? "" : fmt::format(" (for {})", since).c_str());
    if (!Text(problem.value("evidence", Json())).empty())
      std::printf("  because  %s\n", Text(problem["evidence"]).c_str());
    if (!Text(problem.value("remedy", Json())).empty())
      std::printf("  try      %s\n", Text(problem["remedy"]).c_str());
  }
}

void PrintNodes(const Json& nodes) {
  std::string states;
  const Json counts = nodes.value("states", Json::object());
  for (const auto& [state, count] : counts.items()) {
    if (count != 0)
      states += fmt::format("{}{} {}", states.empty() ? "" : ", ", Text(count), state);
  }
  std::printf("nodes      %s of %s live nodes are at the head (%s)\n",
              Text(nodes.value("applied", Json(0))).c_str(),
              Text(nodes.value("live", Json(0))).c_str(), states.empty() ? "none" : states.c_str());
  for (const Json& behind : nodes.value("behind", Json::array()))
    std::printf("           behind: %s\n", Text(behind).c_str());
}

// What operators forced on nodes, loudly: it holds whatever the control plane says.
void PrintOverrides(const Json& nodes) {
  for (const Json& node : nodes) {
    for (const Json& override : node.value("overrides", Json::array()))
      std::printf("OVERRIDE   on node %s: %s\n", Text(node["id"]).c_str(), Text(override).c_str());
  }
}

void Status(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/status");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  const Result<Json> nodes = session.api().Get("/v1/nodes");
  if (!nodes.ok()) return session.Fail(nodes.status());
  const Json& status = *answer;
  PrintProblems(status.value("problems", Json::array()));
  std::printf("\ncontrol    %s, revision %s, epoch %s\n", session.Target().c_str(),
              Text(status["head"]).c_str(), Text(status["epoch"]).c_str());
  PrintNodes(status["nodes"]);
  PrintOverrides((*nodes)["items"]);
  const Json& emergency = status["emergency"];
  std::string switches;
  for (const char* field : {"kill_switch", "rollback_to_baseline", "freeze"}) {
    if (emergency.value(field, false))
      switches += fmt::format("{}{}", switches.empty() ? "" : ", ", field);
  }
  std::printf("emergency  %s\n",
              switches.empty() ? "none"
                               : (switches + " since " + Text(emergency.value("since", Json())) +
                                  " by " + Text(emergency.value("by", Json())))
                                     .c_str());
  std::printf("\n");
  std::vector<std::vector<std::string>> rows;
  for (const Json& rollout : status["rollouts"]) {
    std::string subject = rollout.value("subject", Json()).is_object()
                              ? rollout["subject"].dump()
                              : Text(rollout.value("subject", Json()));
    rows.push_back({Text(rollout["name"]), subject, Text(rollout["state"]),
                    Text(rollout.value("phase_name", Json())),
                    Text(rollout.value("percentage", Json(0))) + " %",
                    Text(rollout.value("waiting_for", Json()))});
  }
  PrintTable({"ROLLOUT", "SUBJECT", "STATE", "PHASE", "SHARE", "WAITING FOR"}, rows);
}

// "flag checkout: detail".
std::string RefusedText(const Json& entry) {
  return fmt::format("{} {}: {}", Text(entry.value("kind", Json())),
                     Text(entry.value("name", Json())), Text(entry.value("detail", Json())));
}

// What is wrong with a node, for one column.
std::string NodeProblem(const Json& node) {
  std::string problem = Text(node.value("problem", Json()));
  if (node.contains("nack")) {
    const Json refused = node["nack"].value("refused", Json::array());
    problem = refused.empty() ? "refuses an entry" : "refuses " + RefusedText(refused[0]);
    if (refused.size() > 1) problem += fmt::format(" (and {} more)", refused.size() - 1);
  }
  if (const Json cordon = node.value("cordon", Json()); cordon.is_object()) {
    const std::string reason = Text(cordon.value("reason", Json()));
    problem =
        fmt::format("cordoned by {}{}{}{}", Text(cordon.value("by", Json())),
                    reason.empty() ? "" : ": ", reason, problem.empty() ? "" : "; " + problem);
  }
  const Json overrides = node.value("overrides", Json::array());
  if (!overrides.empty()) {
    problem =
        fmt::format("OVERRIDDEN: {}{}{}", Join(overrides.get<std::vector<std::string>>(), "; "),
                    problem.empty() ? "" : "; ", problem);
  }
  return problem;
}

void ListNodes(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/nodes");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& node : (*answer)["items"]) {
    std::string labels;
    const Json own = node.value("labels", Json::object());
    for (const auto& [key, value] : own.items())
      labels += fmt::format("{}{}={}", labels.empty() ? "" : ",", key, Text(value));
    const Json snapshot = node.value("snapshot", Json::object());
    rows.push_back({Text(node["id"]), Text(node["state"]),
                    snapshot.is_object() ? Text(snapshot.value("version", Json())) : "",
                    Text(node.value("http", Json())),
                    fmt::format("{}ms", Text(node.value("last_seen_ms", Json()))), labels,
                    NodeProblem(node)});
  }
  PrintTable({"NODE", "STATE", "VERSION", "HTTP", "SEEN", "LABELS", "PROBLEM"}, rows);
}

// What the node has in force, since when, and what it keeps the last good of.
void PrintSnapshot(const Json& node) {
  constexpr size_t kAppliedShown = 8;
  const Json snapshot = node.value("snapshot", Json::object());
  const Json behind = node.value("behind", Json());
  std::string text = fmt::format("version {} of epoch {}", Text(snapshot.value("version", Json(0))),
                                 Text(snapshot.value("epoch", Json(0))));
  if (behind.is_object())
    text += fmt::format(", behind {} for {}", Text(behind["head"]), Age(behind["since"]));
  if (node.value("state", "") == "stale" || node.value("state", "") == "gone")
    text += fmt::format(", as of {} ago, when it was last heard of",
                        FormatDurationMs(node.value("last_seen_ms", int64_t{0}) / 1000 * 1000));
  std::printf("%-18s %s\n", "snapshot", text.c_str());
  const Json nack = node.value("nack", Json::object());
  for (const Json& entry : nack.value("refused", Json::array())) {
    std::printf("%-18s %s; the last good stays in force, since %s\n", "REFUSED",
                RefusedText(entry).c_str(), Text(nack.value("since", Json())).c_str());
  }
  std::vector<std::vector<std::string>> rows;
  const Json applied = node.value("applied", Json::array());
  for (size_t i = 0; i < std::min(applied.size(), kAppliedShown); ++i)
    rows.push_back({Text(applied[i]["version"]), Text(applied[i]["at"])});
  std::printf("\n");
  PrintTable({"APPLIED", "AT"}, rows);
}

void ShowNode(Session& session, const std::string& id) {
  const Result<Json> answer = session.api().Get("/v1/nodes/" + http::PercentEncode(id));
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  PrintOverrides(Json::array({*answer}));
  for (const auto& [key, value] : answer->items()) {
    const bool has_lines = key == "versions" || key == "overrides" || key == "applied" ||
                           key == "nack" || key == "snapshot" || key == "behind";
    if (!has_lines) std::printf("%-18s %s\n", key.c_str(), Text(value).c_str());
  }
  PrintSnapshot(*answer);
  std::vector<std::vector<std::string>> rows;
  for (const Json& version : answer->value("versions", Json::array())) {
    rows.push_back({Text(version["model"]), Text(version["version"]), Text(version["state"]),
                    Text(version.value("detail", Json()))});
  }
  std::printf("\n");
  PrintTable({"MODEL", "VERSION", "STATE", "DETAIL"}, rows);
}

// One line of `weir doctor`.
struct Finding {
  bool good = false;
  std::string what;
  std::string remedy;
};

std::vector<Finding> Examine(Session& session) {
  std::vector<Finding> findings;
  for (const char* program : {"weir-control", "weir-node"}) {
    const std::string path = ProgramDir() + "/" + program;
    findings.push_back({std::filesystem::exists(path),
                        fmt::format("{} is beside this program", program),
                        "build or install it: ops/build release"});
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  findings.push_back({files.rlim_max >= 4096,
                      fmt::format("up to {} open files are allowed", files.rlim_max),
                      "raise LimitNOFILE or ulimit -n"});
  const Result<Json> status = session.api().Get("/v1/status");
  findings.push_back(
      {status.ok(),
       status.ok() ? "the control plane answers at " + session.Target() : status.status().message(),
       "weir up, or --server"});
  if (!status.ok()) return findings;
  const Json& nodes = (*status)["nodes"];
  const int live = nodes.value("live", 0);
  findings.push_back({live > 0, fmt::format("{} nodes are live", live),
                      fmt::format("weir-node --control {}", session.api().server())});
  findings.push_back(
      {nodes.value("applied", 0) == live,
       fmt::format("{} of {} live nodes are at the head", nodes.value("applied", 0), live),
       "weir node list"});
  const std::string build =
      Text((*status)["build"].is_object() ? (*status)["build"].value("version", Json())
                                          : (*status)["build"]);
  findings.push_back(
      {build.find(BuildVersion()) != std::string::npos,
       fmt::format("the control plane is version {}, this program {}", build, BuildVersion()),
       "use programs of one version"});
  const Result<Json> telemetry = session.api().Get("/metrics");
  findings.push_back(
      {session.api().last_status() == 200, "/metrics answers", "see the control plane's log"});
  for (const Json& problem : status->value("problems", Json::array())) {
    if (problem.value("severity", "") == "info") continue;
    findings.push_back({false, Text(problem["what"]), Text(problem.value("remedy", Json()))});
  }
  return findings;
}

void Doctor(Session& session) {
  Json items = Json::array();
  bool all_good = true;
  for (const Finding& finding : Examine(session)) {
    all_good = all_good && finding.good;
    items.push_back({{"ok", finding.good},
                     {"what", finding.what},
                     {"remedy", finding.good ? Json() : Json(finding.remedy)}});
    if (session.output != "table") continue;
    std::printf("%s  %s\n", finding.good ? "ok " : "BAD", finding.what.c_str());
    if (!finding.good && !finding.remedy.empty())
      std::printf("     try: %s\n", finding.remedy.c_str());
  }
  session.PrintData({{"healthy", all_good}, {"items", items}});
  if (!all_good) session.No();
}

void Version(Session& session) {
  const Json data = {{"version", BuildVersion()}, {"build", BuildType()}};
  if (!session.PrintData(data)) std::printf("weir %s (%s)\n", BuildVersion(), BuildType());
}

}  // namespace

void AddOperationCommands(CLI::App& app, Session& session) {
  app.add_subcommand("status",
                     "The page for three in the morning: what is wrong, since when, what helps")
      ->callback([&session] { Status(session); });
  app.add_subcommand("doctor",
                     "Check this machine and the control plane; exit 1 when something is wrong")
      ->callback([&session] { Doctor(session); });
  app.add_subcommand("version", "The version of this program")->callback([&session] {
    Version(session);
  });

  CLI::App* node = app.add_subcommand("node", "Nodes: who is there, with what");
  node->require_subcommand(1);
  node->add_subcommand("list", "All nodes")->callback([&session] { ListNodes(session); });
  auto id = std::make_shared<std::string>();
  CLI::App* show = node->add_subcommand("show", "One node with its model versions and refusals");
  show->add_option("id", *id, "The node")->required();
  show->callback([&session, id] { ShowNode(session, *id); });

  auto shell = std::make_shared<std::string>();
  CLI::App* completion =
      app.add_subcommand("completion", "Shell completion: source <(weir completion bash)");
  completion->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([&app, shell] { std::printf("%s", CompletionScript(app, *shell).c_str()); });
}

}  // namespace weir::control::cli
