// SPDX-License-Identifier: Apache-2.0
#include "bench/serving.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/open_loop.h"
#include "bench/process.h"
#include "bench/request_parts.h"
#include "bench/rivals.h"
#include "bench/stage.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

const std::string kTarget = fmt::format("/v2/models/{}/infer", kModel);  // NOLINT: cannot throw

constexpr double kSaturated = 0.85;  // of a core, by the server: else the rates are the load's

// Closed-loop rates and what a request cost the server, of one side.
struct Side {
  std::string address;
  pid_t pid = 0;
  std::vector<double> per_second;
  double requests = 0;
  double seconds = 0;
  CpuTime cpu;
  std::vector<double> p50_us;
  std::vector<double> p99_us;

  double user_us() const { return cpu.user_s / requests * 1e6; }
  double system_us() const { return cpu.system_s / requests * 1e6; }
  double busy() const { return (cpu.user_s + cpu.system_s) / seconds; }
};

class Duel {
 public:
  Duel(const ServingEffort& effort, Stage& stage, std::vector<std::string> bodies)
      : effort_(effort), stage_(stage), bodies_(std::move(bodies)), load_core_(Cores() - 1) {}

  Status Run() {
    const control::cli::Process& node = stage_.cluster().nodes()[0];
    PinToCore(node.pid, 0);
    PinToCore(stage_.cluster().control().pid, load_core_);
    node_.address = node.http;
    node_.pid = node.pid;
    WEIR_ASSIGN_OR_RETURN(const StaticAnswer answer, SampleAnswer());
    WEIR_ASSIGN_OR_RETURN(const Nginx nginx, StartNginx(stage_.dir(), answer));
    nginx_.address = nginx.address;
    nginx_.pid = nginx.process.pid();
    for (int i = 0; i < effort_.rounds; ++i) {
      for (Side* side : {&nginx_, &node_}) WEIR_RETURN_IF_ERROR(Closed(*side));
    }
    PinToCore(0, load_core_);
    Status status;
    for (int i = 0; i < effort_.rounds && status.ok(); ++i) {
      for (Side* side : {&nginx_, &node_}) {
        if (status.ok()) status = Open(*side);
      }
    }
    Unpin();
    return status;
  }

  const Side& node() const { return node_; }
  const Side& nginx() const { return nginx_; }
  size_t answer_bytes() const { return answer_bytes_; }

 private:
  // What the node answers, for nginx to repeat.
  Result<StaticAnswer> SampleAnswer() {
    http::Client client("http://" + node_.address);
    WEIR_ASSIGN_OR_RETURN(
        const http::ClientResponse response,
        client.Do("POST", kTarget, {{"Content-Type", "application/json"}}, bodies_[0]));
    if (response.status != 200) return Unavailable("the node answers " + response.body);
    StaticAnswer answer{.body = response.body, .headers = {}};
    for (const char* name : {"x-weir-version", "x-weir-arm", "x-weir-snapshot"})
      answer.headers.emplace_back(name, std::string(response.Header(name)));
    answer_bytes_ = answer.body.size();
    return answer;
  }

  Status Closed(Side& side) {
    const CpuTime before = CpuOf(side.pid);
    WEIR_ASSIGN_OR_RETURN(
        const ClosedLoop round,
        RunWrk(stage_.dir(), side.address, kTarget, bodies_, load_core_, effort_.closed_loop_s));
    const CpuTime after = CpuOf(side.pid);
    side.per_second.push_back(round.per_second());
    side.requests += round.requests;
    side.seconds += round.seconds;
    side.cpu.user_s += after.user_s - before.user_s;
    side.cpu.system_s += after.system_s - before.system_s;
    return OkStatus();
  }

  Status Open(Side& side) {
    OpenLoop load{.address = side.address,
                  .requests = {},
                  .per_second = effort_.open_per_second,
                  .seconds = effort_.open_loop_s};
    for (const std::string& body : bodies_) load.requests.push_back(RawPost(kTarget, body));
    WEIR_ASSIGN_OR_RETURN(std::vector<double> latencies, RunOpenLoop(load));
    side.p50_us.push_back(Quantile(latencies, 0.5));
    side.p99_us.push_back(Quantile(latencies, 0.99));
    return OkStatus();
  }

  const ServingEffort& effort_;
  Stage& stage_;
  const std::vector<std::string> bodies_;
  const int load_core_;
  Side node_;
  Side nginx_;
  size_t answer_bytes_ = 0;
};

void AddFigures(const ServingEffort& effort, const Duel& duel, const RequestParts& parts,
                Report& report) {
  const Side& node = duel.node();
  const Side& nginx = duel.nginx();
  const bool saturated = node.busy() >= kSaturated && nginx.busy() >= kSaturated;
  report.Add({.name = "OIP inference, closed loop, one worker",
              .value = Median(node.per_second),
              .unit = "requests/s",
              .yardstick = "nginx, the same answer statically",
              .yardstick_value = Median(nginx.per_second),
              .goal = saturated ? 0.5 : 0,
              .more_is_better = true});
  const double node_us = node.user_us() + node.system_us();
  report.Add({.name = "CPU time of a request",
              .value = node_us,
              .unit = "µs",
              .yardstick = "nginx",
              .yardstick_value = nginx.user_us() + nginx.system_us()});
  AddParts(parts, node_us, report);
  report.Add({.name = "  request: HTTP and the rest of user time",
              .value = node.user_us() - parts.sum_us(),
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
  report.Note(fmt::format(
      "Serving: {} bytes of JSON in the answer, 32 kept-alive connections, a canary of 10 % is "
      "active; servers on core 0 ({:.0f} % and {:.0f} % busy: weir-node, nginx), load and "
      "weir-control on core {}. Parts are measured in process, kernel and user time in /proc.",
      duel.answer_bytes(), node.busy() * 100, nginx.busy() * 100, Cores() - 1));
  if (!saturated) {
    report.Note(
        "Serving: the closed-loop rates and their ratio are NOT to be relied on, so they are not "
        "judged: other work ran on the machine, and a server had its core for less than 85 % of "
        "the time.");
  }
}

}  // namespace

Status MeasureServing(const ServingEffort& effort, Report& report) {
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> bodies, RequestBodies());
  WEIR_ASSIGN_OR_RETURN(const RequestParts parts, MeasureRequestParts(effort.parts));
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(1));
  WEIR_RETURN_IF_ERROR(stage->PushModel());
  WEIR_RETURN_IF_ERROR(stage->StartRollout("bench-serving", 10));
  PauseMs(500);
  Duel duel(effort, *stage, std::move(bodies));
  WEIR_RETURN_IF_ERROR(duel.Run());
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
