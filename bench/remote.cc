// SPDX-License-Identifier: Apache-2.0
#include "bench/remote.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "bench/open_loop.h"
#include "bench/process.h"
#include "bench/rivals.h"
#include "bench/stage.h"

namespace weir::bench {
namespace {

constexpr char kAnswer[] =
    R"({"model_name":"fraud_detection","model_version":"1","outputs":[{"name":"probability",)"
    R"("datatype":"FP32","shape":[1],"data":[0.0625]}]})";

// One way to the service.
struct Way {
  std::string address;
  pid_t pid = 0;
  std::vector<double> p50_us{};
  std::vector<double> p99_us{};
  CpuTime cpu{};
};

Result<std::string> NewDir(const std::string& path) {
  std::error_code ec;
  std::filesystem::create_directory(path, ec);
  if (ec) return Unavailable(path + ": " + ec.message());
  return path;
}

Status Round(const OpenLoop& load, Way* way) {
  OpenLoop to = load;
  to.address = way->address;
  const CpuTime before = CpuOf(way->pid);
  WEIR_ASSIGN_OR_RETURN(std::vector<double> latencies, RunOpenLoop(to));
  const CpuTime after = CpuOf(way->pid);
  way->cpu.user_s += after.user_s - before.user_s;
  way->cpu.system_s += after.system_s - before.system_s;
  way->p50_us.push_back(Quantile(latencies, 0.5));
  way->p99_us.push_back(Quantile(latencies, 0.99));
  return OkStatus();
}

void AddFigures(const RemoteEffort& effort, int service_core, const Way& direct, const Way& proxy,
                const Way& node, Report& report) {
  const auto added = [&](const char* name, std::vector<double> Way::*of) {
    report.Add({.name = fmt::format("a service: latency added, open loop at {}/s, {}",
                                    effort.per_second, name),
                .value = Median(node.*of) - Median(direct.*of),
                .unit = "µs",
                .yardstick = "nginx as a reverse proxy",
                .yardstick_value = Median(proxy.*of) - Median(direct.*of)});
  };
  added("p50", &Way::p50_us);
  added("p99", &Way::p99_us);
  const double requests = effort.per_second * (effort.seconds + OpenLoop().warm_up_seconds) *
                          static_cast<double>(effort.rounds);
  const auto cpu_us = [&](const Way& way) {
    return (way.cpu.user_s + way.cpu.system_s) / requests * 1e6;
  };
  report.Add({.name = "  CPU time of a request",
              .value = cpu_us(node),
              .unit = "µs",
              .yardstick = "nginx",
              .yardstick_value = cpu_us(proxy)});
  report.Note(fmt::format(
      "Services: asked directly, the service answers in {:.0f} µs (p50) and {:.0f} µs (p99). It "
      "runs on core {}, what stands before it on core 0, the load on core {}. weir-node also "
      "checks each request's inputs, and reads and counts each answer.",
      Median(direct.p50_us), Median(direct.p99_us), service_core, Cores() - 1));
}

}  // namespace

Status MeasureRemote(const RemoteEffort& effort, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(1));
  WEIR_ASSIGN_OR_RETURN(const std::string service_dir, NewDir(stage->dir() + "/service"));
  WEIR_ASSIGN_OR_RETURN(const std::string proxy_dir, NewDir(stage->dir() + "/proxy"));
  const StaticAnswer answer{.body = kAnswer, .headers = {}};
  const int service_core = Cores() > 2 ? 1 : 0;
  WEIR_ASSIGN_OR_RETURN(const Nginx service, StartNginx(service_dir, answer, service_core));
  WEIR_ASSIGN_OR_RETURN(const Nginx nginx, StartProxy(proxy_dir, service.address, answer));
  WEIR_RETURN_IF_ERROR(stage->PushService("http://" + service.address));

  const control::cli::Process& process = stage->cluster().nodes()[0];
  PinToCore(process.pid, 0);
  PinToCore(stage->cluster().control().pid, Cores() - 1);
  Way direct{.address = service.address, .pid = service.process.pid()};
  Way proxy{.address = nginx.address, .pid = nginx.process.pid()};
  Way node{.address = process.http, .pid = process.pid};
  OpenLoop load{
      .address = {}, .requests = {}, .per_second = effort.per_second, .seconds = effort.seconds};
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
  for (const std::string& body : bodies)
    load.requests.push_back(RawPost(fmt::format("/v2/models/{}/infer", kModel), body));

  PinToCore(0, Cores() - 1);
  Status status;
  for (int i = 0; i < effort.rounds && status.ok(); ++i) {
    for (Way* way : {&direct, &proxy, &node}) {
      if (status.ok()) status = Round(load, way);
    }
  }
  Unpin();
  if (status.ok()) AddFigures(effort, service_core, direct, proxy, node, report);
  return status;
}

}  // namespace weir::bench
