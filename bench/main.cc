// SPDX-License-Identifier: Apache-2.0
// weir_bench: what bench/run starts. Prints one table, or JSON; progress on stderr.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/decisions.h"
#include "bench/digest.h"
#include "bench/evaluator.h"
#include "bench/false_rollbacks.h"
#include "bench/flags.h"
#include "bench/ofrep.h"
#include "bench/overload.h"
#include "bench/process.h"
#include "bench/reactions.h"
#include "bench/remote.h"
#include "bench/request_parts.h"
#include "bench/rollbacks.h"
#include "bench/serving.h"
#include "bench/wire.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::bench {
namespace {

struct Options {
  std::string output = "table";
  std::vector<std::string> only;
  bool quick = false;
  bool smoke = false;
  std::string build_time;  // file: seconds and jobs of a clean release build
};

Rounds MicroRounds(const Options& options) {
  if (options.smoke) return {.batches = 4, .per_batch = 50};
  return options.quick ? Rounds{.batches = 60, .per_batch = 2000} : Rounds{};
}

Status Decisions(const Options& options, Report& report) {
  MeasureDecisions(MicroRounds(options), report);
  return OkStatus();
}

Status Digest(const Options& options, Report& report) {
  MeasureDigest(options.smoke ? 10'000 : options.quick ? 100'000 : 1'000'000, report);
  return OkStatus();
}

Status Evaluator(const Options& options, Report& report) {
  EvaluatorEffort effort;
  if (options.quick) effort.seconds = 5;
  if (options.smoke) effort = {.models = 10, .policies = 4, .warm_up_s = 2, .seconds = 2};
  MeasureEvaluator(effort, report);
  return OkStatus();
}

Status Flags(const Options& options, Report& report) {
  MeasureFlagDecisions(MicroRounds(options), report);
  return MeasureSnapshot(options.smoke ? 100 : 10'000, report);
}

Status Ofrep(const Options& options, Report& report) {
  return MeasureOfrep(options.quick ? 1 : 5, report);
}

Status Parts(const Options& options, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const RequestParts parts, MeasureRequestParts(MicroRounds(options)));
  AddParts(parts, 0, report);
  return OkStatus();
}

Status Serving(const Options& options, Report& report) {
  ServingEffort effort;
  effort.parts = {.batches = 60, .per_batch = 1000};
  if (options.quick) effort.rounds = effort.closed_loop_s = 1;
  if (options.quick) effort.open_loop_s = 1;
  return MeasureServing(effort, report);
}

Status Remote(const Options& options, Report& report) {
  RemoteEffort effort;
  if (options.quick) effort.rounds = 1;
  if (options.quick) effort.seconds = 1;
  return MeasureRemote(effort, report);
}

Status Overload(const Options& options, Report& report) {
  OverloadEffort effort;
  if (options.quick) effort.seconds = effort.warm_up_seconds = 2;
  return MeasureOverload(effort, report);
}

Status Changes(const Options& options, Report& report) {
  return MeasureChanges(options.quick ? 30 : 200, report);
}

Status Emergency(const Options& options, Report& report) {
  return MeasureEmergency(options.quick ? 30 : 200, report);
}

Status Rollbacks(const Options& options, Report& report) {
  return MeasureRollbacks(options.quick ? 3 : 30, report);
}

Status Losses(const Options& options, Report& report) {
  return MeasureLosses(options.quick ? 2 : 10, report);
}

Status FalseRollbacks(const Options& options, Report& report) {
  return MeasureFalseRollbacks(options.smoke ? 25 : options.quick ? 500 : 10'000, report);
}

Status Memory(const Options& options, Report& report) {
  return MeasureMemory(options.quick ? 1 : 3, report);
}

Status Wire(const Options& options, Report& report) {
  WireEffort effort;
  if (options.quick) effort.changes = 50;
  if (options.quick) effort.returns = 2;
  if (options.quick) effort.batches = 20'000;
  WEIR_RETURN_IF_ERROR(MeasurePropagation(effort, report));
  WEIR_RETURN_IF_ERROR(MeasureIngest(effort, report));
  return MeasureThousand(effort, report);
}

Status Build(const Options& options, Report& report) {
  const Result<std::string> text = ReadFile(options.build_time);
  double seconds = 0;
  int jobs = 0;
  if (!text.ok() || std::sscanf(text->c_str(), "%lf %d", &seconds, &jobs) != 2) {
    report.Note("Build: no clean release build has been timed here; bench/run --build does.");
    return OkStatus();
  }
  report.Add({.name = fmt::format("clean release build, {} jobs", jobs),
              .value = seconds / 60,
              .unit = "min",
              .yardstick = "the goal, 8 minutes",
              .yardstick_value = 8,
              .goal = 1});
  return OkStatus();
}

struct Group {
  const char* name;
  Status (*run)(const Options&, Report&);
  bool by_default;
};

constexpr Group kGroups[] = {
    {"decisions", Decisions, true},
    {"flags", Flags, true},
    {"serving", Serving, true},
    {"ofrep", Ofrep, true},
    {"remote", Remote, true},
    {"parts", Parts, false},
    {"changes", Changes, true},
    {"emergency", Emergency, true},
    {"rollbacks", Rollbacks, true},
    {"losses", Losses, true},
    {"memory", Memory, true},
    {"wire", Wire, true},
    {"overload", Overload, true},
    {"build", Build, true},
    {"false_rollbacks", FalseRollbacks, true},
    {"digest", Digest, true},
    {"evaluator", Evaluator, true},
};

bool IsWanted(const Group& group, const std::vector<std::string>& only) {
  if (only.empty()) return group.by_default;
  return std::find(only.begin(), only.end(), group.name) != only.end();
}

// Other work on the machine, which lengthens every figure.
void NoteLoad(Report& report) {
  double load = 0;
  if (::getloadavg(&load, 1) != 1 || load < 0.5) return;
  report.Note(fmt::format("The machine was not idle before the run: load average {:.1f}.", load));
}

int Run(const Options& options) {
  Report report;
  NoteLoad(report);
  bool failed = false;
  for (const Group& group : kGroups) {
    if (!IsWanted(group, options.only) || Interrupted()) continue;
    std::fprintf(stderr, "bench: %s\n", group.name);
    const Status status = group.run(options, report);
    if (status.ok()) continue;
    std::fprintf(stderr, "bench: %s failed: %s\n", group.name, status.ToString().c_str());
    report.Note(fmt::format("{} failed: {}", group.name, status.ToString()));
    failed = true;
  }
  // What a decision may never do, whatever the machine.
  for (const Figure& figure : report.figures) {
    const bool decides = figure.name.rfind("allocations per", 0) == 0;
    if (decides && figure.value > 0) {
      std::fprintf(stderr, "bench: %s: %g\n", figure.name.c_str(), figure.value);
      failed = true;
    }
  }
  const std::string text =
      options.output == "json" ? ToJson(report).dump(2) + "\n" : ToTable(report);
  std::fputs(text.c_str(), stdout);
  return failed || Interrupted() ? 1 : 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  std::vector<std::string> names;
  for (const auto& group : weir::bench::kGroups) names.emplace_back(group.name);
  CLI::App app("Figures of Weir beside their yardsticks; nothing leaves loopback", "bench/run");
  app.add_option("-o,--output", options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.add_option("--only", options.only, "These groups only")->check(CLI::IsMember(names));
  app.add_flag("--quick", options.quick, "Fewer and shorter rounds: a rough picture in a minute");
  app.add_flag("--smoke", options.smoke, "Tiny counts: does the program work?");
  app.add_option("--build-time", options.build_time, "File with the time of a clean build");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const weir::Status logging = weir::InitLogging("weir_bench", "warn", "text");
  if (!logging.ok()) return 2;
  weir::bench::CatchSignals();
  return weir::bench::Run(options);
}
