// SPDX-License-Identifier: Apache-2.0
// weir rollout …
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "controlplane/analysis/simulate.h"
#include "controlplane/cli/rollout_follow.h"
#include "controlplane/cli/rollout_start.h"
#include "controlplane/cli/rollout_view.h"
#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/codec/resource.h"
#include "shared/domain/validate.h"

namespace weir::control::cli {
namespace {

using codec::Json;

std::string PathOf(const std::string& name) { return "/v1/rollouts/" + http::PercentEncode(name); }

// For a table's cell; `weir rollout status` has all of it.
std::string Shortened(std::string text) {
  constexpr size_t kMost = 60;  // bytes
  if (text.size() <= kMost) return text;
  text.resize(kMost);
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
  return text + "…";
}

void ListRollouts(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/rollouts");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& rollout : (*answer)["items"]) {
    const Json& status = rollout["status"];
    rows.push_back({Text(rollout["metadata"]["name"]), RolloutSubject(rollout),
                    Text(status.value("state", Json())), RolloutPhase(rollout),
                    Text(status.value("percentage", Json(0))) + " %",
                    Age(status.value("since", Json())),
                    Shortened(Text(status.value("waiting_for", Json())))});
  }
  PrintTable({"NAME", "SUBJECT", "STATE", "PHASE", "SHARE", "SINCE", "WAITING FOR"}, rows);
}

void Order(Session& session, const std::string& name, const std::string& verb, Json body) {
  const Result<Json> answer =
      session.api().Send("POST", fmt::format("{}/{}", PathOf(name), verb), body);
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData((*answer)["resource"])) PrintRollout((*answer)["resource"]);
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

struct RehearsedPhase {
  domain::RollbackSpec rollback;
  domain::Phase phase;
};

// The first phase of the file's rollout that splits traffic, and what judges it.
Result<RehearsedPhase> PhaseOfFile(const std::string& file) {
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const codec::FileContent content = codec::ReadResources(text, file);
  if (!content.errors.empty())
    return InvalidArgument(
        fmt::format("{}:{}: {}", file, content.errors[0].line, content.errors[0].path),
        content.errors[0].message);
  for (const codec::ResourceDocument& document : content.documents) {
    if (document.kind != domain::Kind::kRollout) continue;
    codec::Errors errors;
    const domain::Spec spec = codec::SpecFromJson(document.kind, document.spec, errors);
    const auto& rollout = std::get<domain::RolloutSpec>(spec);
    for (const domain::Phase& phase : rollout.phases) {
      if (phase.percentage > 0 && phase.percentage < 100 && !domain::IsShadow(rollout, phase))
        return RehearsedPhase{rollout.rollback, phase};
    }
  }
  return InvalidArgument(file, "holds no rollout with a phase between 0 and 100 %");
}

Json ToJson(const analysis::Percentiles& percentiles) {
  return {{"p50", percentiles.p50 ? Json(*percentiles.p50) : Json()},
          {"p95", percentiles.p95 ? Json(*percentiles.p95) : Json()}};
}

void RunSimulate(Session& session, const SimulateOptions& options) {
  const Result<RehearsedPhase> rehearsed = PhaseOfFile(options.file);
  if (!rehearsed.ok()) return session.FailAs(kExitUsage, rehearsed.status().ToString());
  Result<std::vector<analysis::Trigger>> triggers =
      analysis::TriggersOf(rehearsed->rollback, rehearsed->phase.rollback);
  if (!triggers.ok()) return session.FailAs(kExitUsage, triggers.status().ToString());
  analysis::SimulationSpec spec;
  spec.triggers = *std::move(triggers);
  spec.stable_error_rate = options.stable_error_rate;
  spec.canary_error_rate = options.canary_error_rate;
  spec.requests_per_second = options.requests_per_second;
  spec.canary_share = rehearsed->phase.percentage / 100;
  spec.seed = options.seed;
  spec.runs = options.runs;
  std::fprintf(stderr, "simulating phase %s: %g %% of %.0f requests/s, %zu triggers\n",
               rehearsed->phase.name.c_str(), rehearsed->phase.percentage, spec.requests_per_second,
               spec.triggers.size());
  spec.progress = [shown = 0](int done, int all) mutable {
    const int percent = static_cast<int>(100LL * done / all);
    if (percent / 10 == shown / 10) return;
    shown = percent;
    std::fprintf(stderr, "%d of %d runs\n", done, all);
  };
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

// How a rollback is done.
void AddKinds(CLI::App* rollback, bool* emergency, bool* graceful) {
  CLI::Option* at_once = rollback->add_flag(
      "--emergency", *emergency,
      "Never refused; nodes answer nobody with the version until it is started with --force");
  rollback
      ->add_flag("--graceful", *graceful,
                 "Only when stable is ready everywhere; the version is unloaded once its last "
                 "request has ended")
      ->excludes(at_once);
  rollback->footer(
      "Of a promoted rollout it brings the previous version back, within keep_previous.\n"
      "Examples:\n"
      "  weir rollout rollback fraud-1-1-0 --reason \"too many false alarms\"\n"
      "  weir rollout rollback fraud-1-1-0 --emergency\n"
      "  weir rollout rollback fraud-1-1-0 --graceful");
}

}  // namespace

void AddRolloutCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string name, reason;
    bool full = false, force = false, emergency = false, graceful = false;

    Json Body() const {
      Json body = {{"reason", reason}};
      for (const auto& [key, is_given] :
           {std::pair("full", full), std::pair("force", force), std::pair("emergency", emergency),
            std::pair("graceful", graceful)}) {
        if (is_given) body[key] = true;
      }
      return body;
    }
  };
  auto options = std::make_shared<Options>();
  CLI::App* rollout = app.add_subcommand("rollout", "Rollouts: follow them, and take part");
  rollout->require_subcommand(1);
  rollout->add_subcommand("list", "All rollouts")->callback([&session] { ListRollouts(session); });
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = rollout->add_subcommand(name, help);
    command->add_option("name", options->name, "The rollout")->required();
    return command;
  };
  AddRolloutViews(*rollout, session);
  AddRolloutStart(*rollout, session);
  const std::pair<const char*, const char*> verbs[] = {
      {"pause", "Stop its progress; triggers still act"},
      {"resume", "Go on"},
      {"promote", "To the next phase, past its gates and its time; --full: all the way"},
      {"approve", "Pass the manual gate of its phase"},
      {"abort", "0 %, no verdict; may be retried"},
      {"retry", "Start again from the first phase"},
      {"rollback", "0 %, judged bad; --emergency and --graceful say how"}};
  for (const auto& [verb, help] : verbs) {
    CLI::App* command = add(verb, help);
    command->add_option("--reason", options->reason, "Why; shown in history");
    if (std::string_view(verb) == "promote") {
      command->add_flag("--full", options->full, "All the way to stable");
      command->add_flag("--force", options->force,
                        "Also past an approval that is for others to give");
      command->footer("History names the gates that it went past.");
    }
    if (std::string_view(verb) == "retry")
      command->add_flag("--force", options->force, "Even though it was rolled back");
    command->callback([&session, options, verb = std::string(verb)] {
      Order(session, options->name, verb, options->Body());
    });
    if (std::string_view(verb) == "rollback")
      AddKinds(command, &options->emergency, &options->graceful);
  }
  AddSimulate(rollout, session);
}

}  // namespace weir::control::cli
