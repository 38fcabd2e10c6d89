// SPDX-License-Identifier: Apache-2.0
#include "bench/reactions.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "bench/process.h"
#include "bench/stage.h"
#include "controlplane/cli/load.h"
#include "shared/base/clock.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

using codec::Json;

constexpr int kNodes = 3;
constexpr int kRequestsPerSecond = 1000;
constexpr double kCanaryPercent = 10;
constexpr uint64_t kHealthyCanaryRequests = 100;  // before the fault
constexpr int64_t kStepMs = 20'000;

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

// Median of appending 4 KB and making it durable, ms.
double SyncMs(const std::string& dir) {
  const std::string path = dir + "/sync";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  std::vector<double> times;
  for (int i = 0; i < 50 && fd >= 0; ++i) {
    const double start = NowMs();
    if (::write(fd, page.data(), page.size()) < 0 || ::fdatasync(fd) != 0) break;
    times.push_back(NowMs() - start);
  }
  ::close(fd);
  return Median(std::move(times));
}

bool AllHave(const Json& nodes, uint64_t version) {
  size_t having = 0;
  for (const Json& node : nodes.value("items", Json::array())) {
    having += node["snapshot"].value("version", uint64_t{0}) >= version ? 1 : 0;
  }
  return having == kNodes;
}

Status PutFlag(Stage& stage) {
  const Json flag = {
      {"apiVersion", "weir/v1"},
      {"kind", "Flag"},
      {"metadata", {{"name", "bench"}}},
      {"spec", {{"enabled", true}, {"rollout_percentage", 5}, {"hash_seed", "bench"}}}};
  return stage.api().Send("PUT", "/v1/flags/bench", flag).status();
}

Result<double> OneChange(Stage& stage, int i) {
  const Json patch = {{"spec", {{"rollout_percentage", 10 + i % 80}}}};
  const double start = NowMs();
  WEIR_ASSIGN_OR_RETURN(const Json resource, stage.api().Send("PATCH", "/v1/flags/bench", patch));
  const auto revision = resource["metadata"].value("revision", uint64_t{0});
  while (NowMs() - start < kStepMs && !Interrupted()) {
    WEIR_ASSIGN_OR_RETURN(const Json nodes, stage.api().Get("/v1/nodes"));
    if (AllHave(nodes, revision)) return NowMs() - start;
  }
  return Unavailable(fmt::format("not every node applied revision {}", revision));
}

// Whether the node answers for the flag `bench` as the kill switch says.
Result<bool> IsSwitched(http::Client& node, bool on) {
  WEIR_ASSIGN_OR_RETURN(const http::ClientResponse answer,
                        node.Do("POST", "/weir/v1/explain", {{"Content-Type", "application/json"}},
                                R"({"key": "user-1", "flag": "bench"})"));
  if (answer.status != 200) return Unavailable("the node answers " + answer.body);
  return (answer.body.find("\"KILL_SWITCH\"") != std::string::npos) == on;
}

Result<double> OneSwitch(Stage& stage, std::vector<http::Client>& nodes, bool on) {
  const double start = NowMs();
  WEIR_RETURN_IF_ERROR(
      stage.api()
          .Send("PATCH", "/v1/emergency/default?reason=bench", {{"spec", {{"kill_switch", on}}}})
          .status());
  for (http::Client& node : nodes) {
    for (bool switched = false; !switched;) {
      if (NowMs() - start > kStepMs || Interrupted())
        return Unavailable("not every node switched its flags");
      WEIR_ASSIGN_OR_RETURN(switched, IsSwitched(node, on));
    }
  }
  return NowMs() - start;
}

// Milliseconds after the first bad answer.
struct Rollback {
  double detected = 0;
  double committed = 0;
  double last_node = 0;
  double failed_requests = 0;
};

class Rollbacks {
 public:
  Rollbacks(Stage& stage, control::cli::Load& load) : stage_(stage), load_(load) {}

  Result<Rollback> One(double error_rate) {
    const std::string name = fmt::format("bench-{}", ++count_);
    WEIR_RETURN_IF_ERROR(stage_.SetFault(nullptr));
    WEIR_RETURN_IF_ERROR(stage_.StartRollout(name, kCanaryPercent));
    load_.Mark();
    const double start = NowMs();
    while (load_.Counts().canary < kHealthyCanaryRequests) {
      if (NowMs() - start > kStepMs || Interrupted())
        return Unavailable("the canary gets no requests");
      PauseMs(5);
    }
    if (load_.Counts().failed > 0)
      return Unavailable("requests fail without a fault: " + load_.Counts().last_error);
    PauseMs(count_ * 37 % 100);  // at any moment of a telemetry tick
    load_.Mark();
    WEIR_RETURN_IF_ERROR(stage_.SetFault({{"error_rate", error_rate}, {"expires", "5m"}}));
    WEIR_ASSIGN_OR_RETURN(const Json rollout, WaitRolledBack(name));
    WEIR_ASSIGN_OR_RETURN(const Rollback rollback, Read(name, rollout["status"]));
    WEIR_RETURN_IF_ERROR(stage_.api().Send("DELETE", "/v1/rollouts/" + name, nullptr).status());
    return rollback;
  }

 private:
  Result<Json> WaitRolledBack(const std::string& name) {
    const double start = NowMs();
    while (NowMs() - start < kStepMs && !Interrupted()) {
      WEIR_ASSIGN_OR_RETURN(const Json rollout, stage_.api().Get("/v1/rollouts/" + name));
      if (rollout["status"].value("state", "") == "rolled_back") return rollout;
      PauseMs(20);
    }
    return Unavailable(name + " was not rolled back");
  }

  Result<Rollback> Read(const std::string& name, const Json& status) {
    const control::cli::LoadCounts counts = load_.Counts();
    const auto since = [&](const Json& time) -> Result<double> {
      if (!time.is_string()) return NotFound("a time is missing in " + status.dump());
      WEIR_ASSIGN_OR_RETURN(const int64_t wall_ms, ParseTimeMs(time.get<std::string>()));
      return static_cast<double>(wall_ms - counts.first_failed_wall_ms);
    };
    Rollback rollback;
    WEIR_ASSIGN_OR_RETURN(rollback.detected, since(status["last_verdict"]["detected_at"]));
    WEIR_ASSIGN_OR_RETURN(rollback.last_node, since(status["completed_at"]));
    WEIR_ASSIGN_OR_RETURN(const Json history,
                          stage_.api().Get("/v1/history?kind=Rollout&name=" + name + "&limit=20"));
    Json committed_at;
    for (const Json& row : history["items"]) {
      if (row["revision"] == status["rollback_revision"]) committed_at = row["at"];
    }
    WEIR_ASSIGN_OR_RETURN(rollback.committed, since(committed_at));
    rollback.failed_requests = static_cast<double>(counts.failed);
    return rollback;
  }

  Stage& stage_;
  control::cli::Load& load_;
  int count_ = 0;
};

void AddRollbacks(const std::string& errors, const std::vector<Rollback>& runs, Report& report) {
  std::vector<double> last;
  std::vector<double> detect;
  std::vector<double> commit;
  std::vector<double> nodes;
  std::vector<double> failed;
  for (const Rollback& run : runs) {
    last.push_back(run.last_node);
    detect.push_back(run.detected);
    commit.push_back(run.committed - run.detected);
    nodes.push_back(run.last_node - run.committed);
    failed.push_back(run.failed_requests);
  }
  const auto add = [&](const std::string& name, double value, const char* unit) {
    report.Add({.name = name, .value = value, .unit = unit, .yardstick = "", .yardstick_value = 0});
  };
  add(fmt::format("{} errors → last node at stable, p50", errors), Quantile(last, 0.5), "ms");
  report.Add({.name = fmt::format("{} errors → last node at stable, p99", errors),
              .value = Quantile(last, 0.99),
              .unit = "ms",
              .yardstick = "the goal, a second",
              .yardstick_value = 1000,
              .goal = 1});
  add("  first bad answer → detected, p50", Quantile(detect, 0.5), "ms");
  add("  detected → committed, p50", Quantile(commit, 0.5), "ms");
  add("  committed → last node, p50", Quantile(nodes, 0.5), "ms");
  add("  failed requests of a rollback, p50", Quantile(failed, 0.5), "");
}

}  // namespace

Status MeasureChanges(int changes, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(PutFlag(*stage));
  std::vector<double> times;
  for (int i = 0; i < changes; ++i) {
    PauseMs(5 + i * 7 % 13);  // at any moment of beacons and ticks
    WEIR_ASSIGN_OR_RETURN(const double ms, OneChange(*stage, i));
    times.push_back(ms);
  }
  const double sync_ms = SyncMs(stage->dir());
  for (const double q : {0.5, 0.99}) {
    report.Add({.name = fmt::format("change → APPLIED on all 3 nodes, p{:.0f}", q * 100),
                .value = Quantile(times, q),
                .unit = "ms",
                .yardstick = "4 KB written and fdatasync, p50",
                .yardstick_value = sync_ms});
  }
  report.Note(fmt::format(
      "Change: {} flag changes, from sending the PATCH (which answers after the SQLite commit) "
      "until GET /v1/nodes, asked without a pause, shows the version for all 3 nodes.",
      changes));
  return OkStatus();
}

Status MeasureEmergency(int switches, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(PutFlag(*stage));
  std::vector<http::Client> nodes;
  for (const std::string& address : stage->NodeAddresses()) nodes.emplace_back("http://" + address);
  std::vector<double> times;
  for (int i = 0; i < switches; ++i) {
    PauseMs(5 + i * 7 % 13);
    WEIR_ASSIGN_OR_RETURN(const double ms, OneSwitch(*stage, nodes, i % 2 == 0));
    times.push_back(ms);
  }
  const double sync_ms = SyncMs(stage->dir());
  for (const double q : {0.5, 0.99}) {
    report.Add(
        {.name = fmt::format("kill switch → in force on the last of 3 nodes, p{:.0f}", q * 100),
         .value = Quantile(times, q),
         .unit = "ms",
         .yardstick = "4 KB written and fdatasync, p50",
         .yardstick_value = sync_ms});
  }
  report.Note(fmt::format(
      "Kill switch: {} times on or off, from sending it to the API until each node has answered an "
      "explain of a flag accordingly.",
      switches));
  return OkStatus();
}

Status MeasureRollbacks(int runs, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(stage->PushModel());
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
  control::cli::Load load({.nodes = stage->NodeAddresses(),
                           .model = kModel,
                           .bodies = bodies,
                           .requests_per_second = kRequestsPerSecond});
  Rollbacks rollbacks(*stage, load);
  for (const double error_rate : {1.0, 0.25}) {
    std::vector<Rollback> done;
    for (int i = 0; i < runs; ++i) {
      WEIR_ASSIGN_OR_RETURN(const Rollback one, rollbacks.One(error_rate));
      done.push_back(one);
    }
    AddRollbacks(fmt::format("{:.0f} %", error_rate * 100), done, report);
  }
  report.Note(fmt::format(
      "Rollback: {} runs each, {} requests/s over 3 nodes, {} % of them to a canary that was "
      "healthy for a second; p99 of {} runs is the worst. Times after the first bad answer that a "
      "client got.",
      runs, kRequestsPerSecond, kCanaryPercent, runs));
  return OkStatus();
}

}  // namespace weir::bench
