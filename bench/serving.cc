// SPDX-License-Identifier: Apache-2.0
#include "bench/serving.h"

#include <fmt/format.h>

#include "bench/duel.h"
#include "bench/process.h"
#include "bench/request_parts.h"
#include "bench/rivals.h"
#include "bench/stage.h"

namespace weir::bench {
namespace {

const std::string kTarget = fmt::format("/v2/models/{}/infer", kModel);  // NOLINT: cannot throw

void AddFigures(const ServingEffort& effort, const DuelResult& duel, const RequestParts& parts,
                Report& report) {
  const Side& node = duel.node;
  const Side& nginx = duel.nginx;
  report.Add({.name = "OIP inference, closed loop, one worker",
              .value = Median(node.per_second),
              .unit = "requests/s",
              .yardstick = "nginx, the same answer statically",
              .yardstick_value = Median(nginx.per_second),
              .goal = duel.saturated() ? 0.5 : 0,
              .more_is_better = true});
  const double node_us = node.user_us() + node.system_us();
  report.Add({.name = "CPU time of a request",
              .value = node_us,
              .unit = "µs",
              .yardstick = "nginx",
              .yardstick_value = nginx.user_us() + nginx.system_us()});
  AddParts(parts, node_us, report);
  // Under this load a worker's requests run as batches; how many rows a call has is not measured.
  const double parts_us = parts.sum_us() - parts.predict_us + parts.batched_predict_us;
  report.Add({.name = fmt::format("  request: HTTP and the rest, the model in calls of {}", kBatch),
              .value = node.user_us() - parts_us,
              .unit = "µs",
              .yardstick = "nginx's user time",
              .yardstick_value = nginx.user_us()});
  report.Add({.name = "  request: kernel",
              .value = node.system_us(),
              .unit = "µs",
              .yardstick = "nginx's kernel time",
              .yardstick_value = nginx.system_us()});
  const std::string rate = fmt::format("at {}/s", effort.open_per_second);
  report.Add({.name = "OIP inference, open loop " + rate + ", p50",
              .value = Median(node.p50_us),
              .unit = "µs",
              .yardstick = "nginx " + rate + ", p50",
              .yardstick_value = Median(nginx.p50_us)});
  report.Add({.name = "OIP inference, open loop " + rate + ", p99",
              .value = Median(node.p99_us),
              .unit = "µs",
              .yardstick = "nginx " + rate + ", p99",
              .yardstick_value = Median(nginx.p99_us)});
  duel.NoteLoad("Serving", report);
  report.Note(
      "Serving: a canary of 10 % is active. Parts are measured in process, kernel and user time in "
      "/proc.");
}

}  // namespace

Status MeasureServing(const ServingEffort& effort, Report& report) {
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> bodies, RequestBodies());
  WEIR_ASSIGN_OR_RETURN(const RequestParts parts, MeasureRequestParts(effort.parts));
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(1));
  WEIR_RETURN_IF_ERROR(stage->PushModel());
  WEIR_RETURN_IF_ERROR(stage->StartRollout("bench-serving", 10));
  PauseMs(500);
  const DuelPlan plan{.target = kTarget,
                      .bodies = std::move(bodies),
                      .headers = {"x-weir-version", "x-weir-arm", "x-weir-snapshot"},
                      .rounds = effort.rounds,
                      .closed_loop_s = effort.closed_loop_s,
                      .open_per_second = effort.open_per_second,
                      .open_loop_s = effort.open_loop_s};
  WEIR_ASSIGN_OR_RETURN(const DuelResult duel, RunDuel(plan, *stage));
  AddFigures(effort, duel, parts, report);
  return OkStatus();
}

Status MeasureMemory(int load_s, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(1));
  const control::cli::Process& node = stage->cluster().nodes()[0];
  PauseMs(2000);
  const MemoryUse idle = MemoryOf(node.pid);
  const MemoryUse control = MemoryOf(stage->cluster().control().pid);
  WEIR_RETURN_IF_ERROR(stage->PushModel());
  WEIR_RETURN_IF_ERROR(stage->StartRollout("bench-memory", 10));
  WEIR_RETURN_IF_ERROR(
      RunWrk(stage->dir(), node.http, kTarget, bodies, Cores() - 1, load_s).status());
  const MemoryUse loaded = MemoryOf(node.pid);
  const auto add = [&](const char* name, double mb, const char* yardstick, double yardstick_mb) {
    report.Add({.name = name,
                .value = mb,
                .unit = "MB",
                .yardstick = yardstick,
                .yardstick_value = yardstick_mb,
                .goal = yardstick_mb > 0 ? 1.0 : 0.0});
  };
  add("weir-node resident, idle, no model", idle.rss_mb, "source document's node, idle", 20);
  add("weir-node resident, two versions, after load", loaded.rss_mb,
      "source document's node, loaded", 200);
  add("weir-control resident, idle", control.rss_mb, "", 0);
  report.Note(
      fmt::format("Memory: VmRSS, shared libraries included; proportional: node idle {:.1f} MB, "
                  "loaded {:.1f} MB, control {:.1f} MB.",
                  idle.pss_mb, loaded.pss_mb, control.pss_mb));
  return OkStatus();
}

}  // namespace weir::bench
