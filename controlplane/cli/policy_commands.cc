// SPDX-License-Identifier: Apache-2.0
// weir policy list, show, backtest, reset, enable, disable, dry-run.
#include "controlplane/cli/policy_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/policy_view.h"
#include "controlplane/cli/session.h"
#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

std::string PolicyPath(const std::string& name) {
  return "/v1/policies/" + http::PercentEncode(name);
}

void ListPolicies(Session& session, const std::string& selector) {
  const Result<Json> answer = session.api().Get(
      selector.empty() ? "/v1/policies" : "/v1/policies?l=" + http::PercentEncode(selector));
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& policy : (*answer)["items"]) {
    const std::string name = Text(policy["metadata"]["name"]);
    if (session.output == "name") {
      std::printf("Policy/%s\n", name.c_str());
      continue;
    }
    const Json status = policy.value("status", Json::object());
    const Json executor = status.value("executor", Json::object());
    const bool is_open = executor.value("state", "ready") == "open";
    rows.push_back({name, Text(status.value("state", Json())),
                    PolicyMode(policy) + (is_open ? ", executor OPEN" : ""),
                    PolicyObjectives(policy), Text(policy["spec"].value("priority", Json(0))),
                    PolicyLastAct(policy)});
  }
  if (session.output == "name") return;
  PrintTable({"NAME", "STATE", "MODE", "OBJECTIVES", "PRIORITY", "LAST ACT"}, rows);
}

void ShowPolicy(Session& session, const std::string& name) {
  const Result<Json> answer = session.api().Get(PolicyPath(name));
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintPolicy(*answer);
}

struct BacktestOptions {
  std::string name, since, from, to;
};

// The span to replay; the last day when nothing is said.
Result<Json> SpanOf(const BacktestOptions& options) {
  if (options.from.empty()) {
    if (!options.to.empty()) return InvalidArgument("--to", "needs --from");
    const std::string since = options.since.empty() ? "24h" : options.since;
    const Result<int64_t> ms = ParseDurationMs(since);
    if (!ms.ok()) return InvalidArgument("--since", ms.status().message());
    if (*ms == 0) return InvalidArgument("--since", "0s is no span of time");
    return Json{{"since", since}};
  }
  const Result<int64_t> from = ParseTimeMs(options.from);
  if (!from.ok()) return InvalidArgument("--from", from.status().message());
  Json span = {{"from", options.from}};
  if (options.to.empty()) return span;
  const Result<int64_t> to = ParseTimeMs(options.to);
  if (!to.ok()) return InvalidArgument("--to", to.status().message());
  if (*to <= *from) return InvalidArgument("--to", options.to + " is not after --from");
  span["to"] = options.to;
  return span;
}

void Backtest(Session& session, const BacktestOptions& options) {
  const Result<Json> span = SpanOf(options);
  if (!span.ok()) return session.FailAs(kExitUsage, span.status().ToString());
  const Result<Json> policy = session.api().Get(PolicyPath(options.name));
  if (!policy.ok()) return session.Fail(policy.status());
  const Result<Json> answer =
      session.api().Send("POST", PolicyPath(options.name) + "/backtest", *span);
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintBacktest(*answer, (*policy)["spec"]);
}

void Reset(Session& session, const std::string& name, const std::string& reason) {
  const Result<Json> answer =
      session.api().Send("POST", PolicyPath(name) + "/reset", {{"reason", reason}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) std::printf("policy/%s reset: it may act again\n", name.c_str());
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
}

// Changes one field of its spec.
void SetPolicy(Session& session, const std::string& name, const char* field, bool value,
               const std::string& reason) {
  const Result<Json> answer =
      session.api().Send("PATCH", PolicyPath(name) + "?reason=" + http::PercentEncode(reason),
                         {{"spec", {{field, value}}}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) {
    const std::string mode = PolicyMode(*answer);
    std::printf("policy/%s: %s\n", name.c_str(),
                mode == "acts"  ? "acts"
                : mode == "off" ? "off, watches nothing"
                                : "dry run, records what it would do");
  }
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
}

void AddBacktest(CLI::App& policy, Session& session) {
  auto options = std::make_shared<BacktestOptions>();
  CLI::App* backtest = policy.add_subcommand(
      "backtest", "What it would have seen and done, by the telemetry that is stored");
  backtest->add_option("name", options->name, "The policy")->required();
  backtest->add_option("--since", options->since, "How far back: 24h (the default), 7d");
  backtest->add_option("--from", options->from, "A time instead: 2026-12-01T08:00:00Z")
      ->excludes("--since");
  backtest->add_option("--to", options->to, "Until then; now if not given")->excludes("--since");
  backtest->footer(
      "Nothing is changed and nobody is told.\n"
      "Examples:\n"
      "  weir policy backtest quick-answers --since 24h\n"
      "  weir policy backtest quick-answers --from 2026-12-01T08:00:00Z --to "
      "2026-12-01T12:00:00Z -o json");
  backtest->callback([&session, options] { Backtest(session, *options); });
}

}  // namespace

void AddPolicyCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string name, selector, reason, on_off;
  };
  auto options = std::make_shared<Options>();
  CLI::App* policy = app.add_subcommand(
      "policy", "Policies: what models are held to, and what is done when it is missed");
  policy->require_subcommand(1);
  policy->footer(
      "A policy is written as a file and applied: weir apply -f policy.yaml\n"
      "Examples:\n"
      "  weir policy list\n"
      "  weir policy show quick-answers\n"
      "  weir policy backtest quick-answers --since 24h\n"
      "  weir policy dry-run quick-answers off --reason \"a quiet week\"");
  CLI::App* list = policy->add_subcommand("list", "All policies, and whether they hold");
  list->add_option("-l,--selector", options->selector, "Only with these labels: team=risk");
  list->callback([&session, options] { ListPolicies(session, options->selector); });
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = policy->add_subcommand(name, help);
    command->add_option("name", options->name, "The policy")->required();
    return command;
  };
  add("show", "Objectives with their values, what was done, what was held back")
      ->callback([&session, options] { ShowPolicy(session, options->name); });
  AddBacktest(*policy, session);
  CLI::App* reset = add("reset", "Let it act again after its executor opened, with a new budget");
  reset->add_option("--reason", options->reason, "Why; shown in the audit");
  reset->callback([&session, options] { Reset(session, options->name, options->reason); });
  for (const bool enabled : {true, false}) {
    CLI::App* command = add(enabled ? "enable" : "disable",
                            enabled ? "Let it watch, and act unless it is in dry run"
                                    : "Stop watching; what it did goes on until it ends");
    command->add_option("--reason", options->reason, "Why; shown in history");
    command->callback([&session, options, enabled] {
      SetPolicy(session, options->name, "enabled", enabled, options->reason);
    });
  }
  CLI::App* dry_run = add("dry-run", "on: only record what it would do; off: act");
  dry_run->add_option("on_off", options->on_off, "on or off")
      ->required()
      ->check(CLI::IsMember({"on", "off"}));
  dry_run->add_option("--reason", options->reason, "Why; shown in history");
  dry_run->callback([&session, options] {
    SetPolicy(session, options->name, "dry_run", options->on_off == "on", options->reason);
  });
}

}  // namespace weir::control::cli
