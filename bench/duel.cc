// SPDX-License-Identifier: Apache-2.0
#include "bench/duel.h"

#include <fmt/format.h>

#include <utility>

#include "bench/open_loop.h"
#include "bench/rivals.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

class Duel {
 public:
  Duel(const DuelPlan& plan, Stage& stage) : plan_(plan), stage_(stage), load_core_(Cores() - 1) {}

  Result<DuelResult> Run() {
    const control::cli::Process& node = stage_.cluster().nodes()[0];
    PinToCore(node.pid, 0);
    PinToCore(stage_.cluster().control().pid, load_core_);
    result_.node.address = node.http;
    result_.node.pid = node.pid;
    WEIR_ASSIGN_OR_RETURN(const StaticAnswer answer, SampleAnswer());
    WEIR_ASSIGN_OR_RETURN(const Nginx nginx, StartNginx(stage_.dir(), answer));
    result_.nginx.address = nginx.address;
    result_.nginx.pid = nginx.process.pid();
    for (int i = 0; i < plan_.rounds; ++i) {
      for (Side* side : {&result_.nginx, &result_.node}) WEIR_RETURN_IF_ERROR(Closed(*side));
    }
    if (plan_.open_per_second > 0) WEIR_RETURN_IF_ERROR(OpenRounds());
    return std::move(result_);
  }

 private:
  // What the node answers, for nginx to repeat.
  Result<StaticAnswer> SampleAnswer() {
    http::Client client("http://" + result_.node.address);
    WEIR_ASSIGN_OR_RETURN(
        const http::ClientResponse response,
        client.Do("POST", plan_.target, {{"Content-Type", "application/json"}}, plan_.bodies[0]));
    if (response.status != 200) {
      return Unavailable(fmt::format("the node answers {} to {}: {}", response.status, plan_.target,
                                     response.body));
    }
    StaticAnswer answer{.body = response.body, .headers = {}};
    for (const std::string& name : plan_.headers)
      answer.headers.emplace_back(name, std::string(response.Header(name)));
    result_.answer_bytes = answer.body.size();
    return answer;
  }

  Status Closed(Side& side) {
    const CpuTime before = CpuOf(side.pid);
    WEIR_ASSIGN_OR_RETURN(const ClosedLoop round,
                          RunWrk(stage_.dir(), side.address, plan_.target, plan_.bodies, load_core_,
                                 plan_.closed_loop_s));
    const CpuTime after = CpuOf(side.pid);
    side.per_second.push_back(round.per_second());
    side.requests += round.requests;
    side.seconds += round.seconds;
    side.cpu.user_s += after.user_s - before.user_s;
    side.cpu.system_s += after.system_s - before.system_s;
    return OkStatus();
  }

  Status OpenRounds() {
    PinToCore(0, load_core_);
    Status status;
    for (int i = 0; i < plan_.rounds && status.ok(); ++i) {
      for (Side* side : {&result_.nginx, &result_.node}) {
        if (status.ok()) status = Open(*side);
      }
    }
    Unpin();
    return status;
  }

  Status Open(Side& side) {
    OpenLoop load{.address = side.address,
                  .requests = {},
                  .per_second = plan_.open_per_second,
                  .seconds = plan_.open_loop_s};
    for (const std::string& body : plan_.bodies)
      load.requests.push_back(RawPost(plan_.target, body));
    WEIR_ASSIGN_OR_RETURN(std::vector<double> latencies, RunOpenLoop(load));
    side.p50_us.push_back(Quantile(latencies, 0.5));
    side.p99_us.push_back(Quantile(latencies, 0.99));
    return OkStatus();
  }

  const DuelPlan& plan_;
  Stage& stage_;
  const int load_core_;
  DuelResult result_;
};

}  // namespace

void DuelResult::NoteLoad(const std::string& what, Report& report) const {
  report.Note(fmt::format(
      "{}: {} bytes of JSON in the answer, 32 kept-alive connections; servers on core 0 ({:.0f} % "
      "and {:.0f} % busy: weir-node, nginx), load and weir-control on core {}.",
      what, answer_bytes, node.busy() * 100, nginx.busy() * 100, Cores() - 1));
  if (saturated()) return;
  report.Note(what +
              ": the closed-loop rates and their ratio are NOT to be relied on, so they are not "
              "judged: a server had its core for less than 85 % of the time, because of other work "
              "on the machine or because the load was at its own core's limit.");
}

Result<DuelResult> RunDuel(const DuelPlan& plan, Stage& stage) { return Duel(plan, stage).Run(); }

}  // namespace weir::bench
