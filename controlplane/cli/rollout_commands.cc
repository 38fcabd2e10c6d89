// SPDX-License-Identifier: Apache-2.0
// weir rollout …
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "controlplane/analysis/eprocess.h"
#include "controlplane/analysis/simulate.h"
#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/codec/resource.h"

namespace weir::control::cli {
namespace {

using codec::Json;

std::string RolloutPath(const std::string& name) {
  return "/v1/rollouts/" + http::PercentEncode(name);
}

bool IsFinal(const std::string& state) {
  return state == "promoted" || state == "rolled_back" || state == "aborted";
}

std::string PhaseName(const Json& rollout) {
  const Json phases = rollout["spec"].value("phases", Json::array());
  const uint64_t phase = rollout["status"].value("phase", uint64_t{0});
  return phase < phases.size()
             ? fmt::format("{} ({}/{})", Text(phases[phase]["name"]), phase + 1, phases.size())
             : "";
}

std::string Subject(const Json& rollout) {
  const Json& spec = rollout["spec"];
  return spec.contains("model")
             ? fmt::format("{} {}", Text(spec["model"]), Text(spec.value("candidate", Json())))
             : "flag " + Text(spec.value("flag", Json()));
}

void List(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/rollouts");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& rollout : (*answer)["items"]) {
    const Json& status = rollout["status"];
    rows.push_back({Text(rollout["metadata"]["name"]), Subject(rollout),
                    Text(status.value("state", Json())), PhaseName(rollout),
                    Text(status.value("percentage", Json(0))) + " %",
                    Age(status.value("since", Json())), Text(status.value("waiting_for", Json()))});
  }
  PrintTable({"NAME", "SUBJECT", "STATE", "PHASE", "SHARE", "SINCE", "WAITING FOR"}, rows);
}

void PrintStatus(const Json& rollout) {
  const Json& status = rollout["status"];
  std::printf("%s: %s\n", Text(rollout["metadata"]["name"]).c_str(),
              Text(status.value("state", Json())).c_str());
  std::printf("  subject   %s\n", Subject(rollout).c_str());
  std::printf("  phase     %s at %s %%, since %s\n", PhaseName(rollout).c_str(),
              Text(status.value("percentage", Json(0))).c_str(),
              Text(status.value("since", Json())).c_str());
  if (!Text(status.value("waiting_for", Json())).empty())
    std::printf("  waits for %s\n", Text(status["waiting_for"]).c_str());
  if (status.contains("last_verdict")) {
    const Json& verdict = status["last_verdict"];
    std::printf("  verdict   %s -> %s: %s\n", Text(verdict["trigger"]).c_str(),
                Text(verdict["action"]).c_str(), Text(verdict["evidence"]).c_str());
  }
  if (status.contains("previous_stable"))
    std::printf("  stable    %s before\n", Text(status["previous_stable"]).c_str());
}

// The resource; with `wait`, once its state is final.
void ShowStatus(Session& session, const std::string& name, bool wait) {
  const int64_t deadline = Clock::System().MonotonicMs() + session.timeout_ms();
  for (;;) {
    const Result<Json> rollout = session.api().Get(RolloutPath(name));
    if (!rollout.ok()) return session.Fail(rollout.status());
    const std::string state = (*rollout)["status"].value("state", "");
    if (!wait || IsFinal(state)) {
      if (!session.PrintData(*rollout)) PrintStatus(*rollout);
      if (wait && state != "promoted") session.No();
      return;
    }
    if (session.is_timeout_given && Clock::System().MonotonicMs() > deadline) {
      return session.FailAs(kExitTimeout,
                            fmt::format("{} is still {} after {}", name, state, session.timeout));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void Watch(Session& session, const std::string& name) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  std::string last;
  for (;;) {
    const Result<Json> rollout = session.api().Get(RolloutPath(name));
    if (!rollout.ok()) return session.Fail(rollout.status());
    const Json& status = (*rollout)["status"];
    const std::string state = status.value("state", "");
    const std::string line =
        session.json() ? rollout->dump()
                       : fmt::format("{}  {}  {}  {} %  {}", name, state, PhaseName(*rollout),
                                     Text(status.value("percentage", Json(0))),
                                     Text(status.value("waiting_for", Json())));
    // Lines for scripts appear on changes other than the countdown's.
    const std::string key = terminal || session.json() ? line : state + PhaseName(*rollout);
    if (key != last) std::printf(terminal && !session.json() ? "\r\x1b[K%s" : "%s\n", line.c_str());
    std::fflush(stdout);
    last = key;
    if (IsFinal(state)) {
      if (terminal && !session.json()) std::printf("\n");
      if (state != "promoted") session.No();
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void History(Session& session, const std::string& name) {
  const Result<Json> answer = session.api().Get(
      "/v1/history?kind=Rollout&name=" + http::PercentEncode(name) + "&limit=100");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : (*answer)["items"]) {
    std::string state;
    for (const Json& change : row["changes"]) {
      if (change.value("kind", "") == "Rollout" && change["after"].is_object())
        state = change["after"]["status"].value("state", "");
    }
    rows.push_back({Text(row["revision"]), Text(row["at"]), Text(row["actor"]), state,
                    Text(row.value("reason", Json()))});
  }
  PrintTable({"REVISION", "AT", "ACTOR", "STATE", "REASON"}, rows);
}

void Command(Session& session, const std::string& name, const std::string& verb,
             const std::string& reason, bool full, bool force) {
  Json body = {{"reason", reason}};
  if (full) body["full"] = true;
  if (force) body["force"] = true;
  const Result<Json> answer =
      session.api().Send("POST", fmt::format("{}/{}", RolloutPath(name), verb), body);
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData((*answer)["resource"])) PrintStatus((*answer)["resource"]);
  std::fprintf(stderr, "revision %s on %s\n", Text((*answer)["revision"]).c_str(),
               session.Target().c_str());
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

struct SimulateOptions {
  std::string file;
  double stable_error_rate = 0.001;
  double canary_error_rate = 0.05;
  double requests_per_second = 1000;
  uint64_t seed = 1;
  int runs = 200;
};

// The share of the first phase that splits traffic.
Result<double> ShareOfFile(const std::string& file) {
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const codec::FileContent content = codec::ReadResources(text, file);
  if (!content.errors.empty())
    return InvalidArgument(
        fmt::format("{}:{}: {}", file, content.errors[0].line, content.errors[0].path),
        content.errors[0].message);
  for (const codec::ResourceDocument& document : content.documents) {
    if (document.kind != domain::Kind::kRollout) continue;
    for (const Json& phase : document.spec["phases"]) {
      const double percentage = phase.value("percentage", 0.0);
      if (percentage > 0 && percentage < 100) return percentage / 100;
    }
  }
  return InvalidArgument(file, "holds no rollout with a phase between 0 and 100 %");
}

Json ToJson(const analysis::Percentiles& percentiles) {
  return {{"p50", percentiles.p50 ? Json(*percentiles.p50) : Json()},
          {"p95", percentiles.p95 ? Json(*percentiles.p95) : Json()}};
}

void RunSimulate(Session& session, const SimulateOptions& options) {
  const Result<double> share = ShareOfFile(options.file);
  if (!share.ok()) return session.FailAs(kExitUsage, share.status().ToString());
  analysis::SimulationSpec spec;
  spec.stable_error_rate = options.stable_error_rate;
  spec.canary_error_rate = options.canary_error_rate;
  spec.requests_per_second = options.requests_per_second;
  spec.canary_share = *share;
  spec.seed = options.seed;
  spec.runs = options.runs;
  std::fprintf(stderr, "simulating %d runs at %.3f %% of %.0f requests/s\n", spec.runs,
               *share * 100, spec.requests_per_second);
  const Result<analysis::SimulationResult> result = analysis::Simulate(spec);
  if (!result.ok()) return session.FailAs(kExitUsage, result.status().ToString());
  const Json data = {{"detection",
                      {{"canary_requests", ToJson(result->canary_requests)},
                       {"seconds", ToJson(result->seconds)}}},
                     {"false_rollback",
                      {{"runs", result->false_runs},
                       {"count", result->false_count},
                       {"rate", result->false_rate}}}};
  if (session.PrintData(data)) return;
  std::printf("noticed after  %s canary requests (p50), %s (p95)\n",
              Text(data["detection"]["canary_requests"]["p50"]).c_str(),
              Text(data["detection"]["canary_requests"]["p95"]).c_str());
  std::printf("               %s s (p50), %s s (p95)\n",
              Text(data["detection"]["seconds"]["p50"]).c_str(),
              Text(data["detection"]["seconds"]["p95"]).c_str());
  std::printf("taken back though healthy: %d of %d runs\n", result->false_count,
              result->false_runs);
}

void AddSimulate(CLI::App* rollout, Session& session) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* simulate = rollout->add_subcommand(
      "simulate", "How soon would a bad canary be noticed, how often a healthy one taken back");
  simulate->add_option("-f,--file", options->file, "A file with the rollout")->required();
  simulate->add_option("--stable-error-rate", options->stable_error_rate, "0..1")
      ->capture_default_str();
  simulate->add_option("--canary-error-rate", options->canary_error_rate, "0..1")
      ->capture_default_str();
  simulate->add_option("--rps", options->requests_per_second, "Requests a second, of both arms")
      ->capture_default_str();
  simulate->add_option("--seed", options->seed, "The same seed gives the same answer")
      ->capture_default_str();
  simulate->add_option("--runs", options->runs, "How many runs")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  simulate->callback([&session, options] { RunSimulate(session, *options); });
}

}  // namespace

void AddRolloutCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string name, reason;
    bool wait = false, full = false, force = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* rollout = app.add_subcommand("rollout", "Rollouts: follow them, and take part");
  rollout->require_subcommand(1);
  rollout->add_subcommand("list", "All rollouts")->callback([&session] { List(session); });
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = rollout->add_subcommand(name, help);
    command->add_option("name", options->name, "The rollout")->required();
    return command;
  };
  add("show", "The resource as JSON or YAML, or a summary")->callback([&session, options] {
    ShowStatus(session, options->name, false);
  });
  CLI::App* status = add("status", "Where it is and what it waits for");
  status->add_flag("--wait", options->wait,
                   "Until it ends; exit 1 unless it was promoted, 4 when --timeout passes first");
  status->callback([&session, options] { ShowStatus(session, options->name, options->wait); });
  add("watch", "Follow it until it ends")->callback([&session, options] {
    Watch(session, options->name);
  });
  add("history", "Its revisions with actors and reasons")->callback([&session, options] {
    History(session, options->name);
  });
  const std::pair<const char*, const char*> verbs[] = {
      {"start", "Start one that is pending, or anew"},
      {"pause", "Stop its progress; triggers still act"},
      {"resume", "Go on"},
      {"promote", "To the next phase; --full: all the way"},
      {"approve", "Pass the manual gate of its phase"},
      {"abort", "0 %, no verdict; may be retried"},
      {"retry", "Start again from the first phase"},
      {"rollback", "0 %, judged bad"}};
  for (const auto& [verb, help] : verbs) {
    CLI::App* command = add(verb, help);
    command->add_option("--reason", options->reason, "Why; shown in history");
    if (std::string_view(verb) == "promote")
      command->add_flag("--full", options->full, "All the way to stable");
    if (std::string_view(verb) == "start" || std::string_view(verb) == "retry")
      command->add_flag("--force", options->force, "Even though it was rolled back");
    command->callback([&session, options, verb = std::string(verb)] {
      Command(session, options->name, verb, options->reason, options->full, options->force);
    });
  }
  AddSimulate(rollout, session);
}

}  // namespace weir::control::cli
