// SPDX-License-Identifier: Apache-2.0
#include "bench/rollbacks.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "bench/process.h"
#include "bench/stage.h"
#include "controlplane/cli/load.h"
#include "shared/base/clock.h"

namespace weir::bench {
namespace {

using codec::Json;

constexpr int kNodes = 3;
constexpr int kRequestsPerSecond = 1000;
constexpr double kCanaryPercent = 10;
constexpr uint64_t kHealthyCanaryRequests = 100;  // before the fault
constexpr int64_t kStepMs = 60'000;
constexpr const char* kSlowed = "5ms";  // both arms, so that twice as long is a delay of its own

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

struct Scenario {
  std::string name;
  Json fault;       // of the candidate
  bool is_latency;  // no answer fails: time runs from the fault's commit
};

// Milliseconds after the fault showed.
struct Rollback {
  double detected = 0;
  double committed = 0;
  double last_node = 0;
  double failed_requests = 0;
};

class Rollbacks {
 public:
  Rollbacks(Stage& stage, control::cli::Load& load) : stage_(stage), load_(load) {}

  Result<Rollback> One(const Scenario& scenario) {
    const std::string name = fmt::format("bench-{}", ++count_);
    WEIR_RETURN_IF_ERROR(SetFaults(scenario, scenario.is_latency ? Slowed() : Json()));
    WEIR_RETURN_IF_ERROR(stage_.StartRollout(name, kCanaryPercent));
    load_.Mark();
    const double start = NowMs();
    while (load_.Counts().canary < kHealthyCanaryRequests * (scenario.is_latency ? 3 : 1)) {
      if (NowMs() - start > kStepMs || Interrupted())
        return Unavailable("the canary gets no requests");
      PauseMs(5);
    }
    if (load_.Counts().failed > 0)
      return Unavailable("requests fail without a fault: " + load_.Counts().last_error);
    PauseMs(count_ * 37 % 100);  // at any moment of a telemetry tick
    load_.Mark();
    const int64_t fault_wall_ms = Clock::System().WallMs();
    WEIR_RETURN_IF_ERROR(SetFaults(scenario, scenario.fault));
    WEIR_ASSIGN_OR_RETURN(const Json rollout, WaitRolledBack(name));
    const control::cli::LoadCounts counts = load_.Counts();
    WEIR_ASSIGN_OR_RETURN(
        const Rollback rollback,
        Read(name, rollout["status"],
             scenario.is_latency ? fault_wall_ms : counts.first_failed_wall_ms, counts.failed));
    WEIR_RETURN_IF_ERROR(stage_.api().Send("DELETE", "/v1/rollouts/" + name, nullptr).status());
    return rollback;
  }

 private:
  // All fields: a patch keeps those of the scenario before that it does not name.
  static Json Slowed() { return {{"error_rate", 0}, {"delay", kSlowed}, {"expires", "10m"}}; }

  Status SetFaults(const Scenario& scenario, const Json& candidate) {
    const Json versions = {{kStable, {{"fault", scenario.is_latency ? Slowed() : Json()}}},
                           {kCandidate, {{"fault", candidate}}}};
    return stage_.api()
        .Send("PATCH", fmt::format("/v1/models/{}", kModel), {{"spec", {{"versions", versions}}}})
        .status();
  }

  Result<Json> WaitRolledBack(const std::string& name) {
    const double start = NowMs();
    while (NowMs() - start < kStepMs && !Interrupted()) {
      WEIR_ASSIGN_OR_RETURN(const Json rollout, stage_.api().Get("/v1/rollouts/" + name));
      if (rollout["status"].value("state", "") == "rolled_back") return rollout;
      PauseMs(20);
    }
    return Unavailable(name + " was not rolled back");
  }

  Result<Rollback> Read(const std::string& name, const Json& status, int64_t from_wall_ms,
                        uint64_t failed) {
    const auto since = [&](const Json& time) -> Result<double> {
      if (!time.is_string()) return NotFound("a time is missing in " + status.dump());
      WEIR_ASSIGN_OR_RETURN(const int64_t wall_ms, ParseTimeMs(time.get<std::string>()));
      return static_cast<double>(wall_ms - from_wall_ms);
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
    rollback.failed_requests = static_cast<double>(failed);
    return rollback;
  }

  Stage& stage_;
  control::cli::Load& load_;
  int count_ = 0;
};

void AddRollbacks(const Scenario& scenario, const std::vector<Rollback>& runs, Report& report) {
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
  add(fmt::format("{} → last node at stable, p50", scenario.name), Quantile(last, 0.5), "ms");
  report.Add({.name = fmt::format("{} → last node at stable, p99", scenario.name),
              .value = Quantile(last, 0.99),
              .unit = "ms",
              .yardstick = "the goal, a second",
              .yardstick_value = 1000,
              .goal = 1});
  const auto both = [&](const char* what, std::vector<double>& times) {
    add(fmt::format("  {}, p50", what), Quantile(times, 0.5), "ms");
    add(fmt::format("  {}, p99", what), Quantile(times, 0.99), "ms");
  };
  both(scenario.is_latency ? "fault sent → detected" : "first bad answer → detected", detect);
  both("detected → committed", commit);
  both("committed → published and applied by the last node", nodes);
  add("  failed requests of a rollback, p50", Quantile(failed, 0.5), "");
}

Status Command(Stage& stage, const std::string& rollout, const std::string& verb,
               const Json& body) {
  return stage.api().Send("POST", fmt::format("/v1/rollouts/{}/{}", rollout, verb), body).status();
}

// Requests that fail while a rollout at half of the traffic goes where `verb` sends it.
Result<uint64_t> LossOf(Stage& stage, control::cli::Load& load, const std::string& name,
                        const std::string& verb, const Json& body) {
  WEIR_RETURN_IF_ERROR(stage.StartRollout(name, 50));
  load.Mark();
  while (load.Counts().canary < kHealthyCanaryRequests && !Interrupted()) PauseMs(5);
  WEIR_RETURN_IF_ERROR(Command(stage, name, verb, body));
  PauseMs(500);
  const uint64_t failed = load.Counts().failed;
  WEIR_RETURN_IF_ERROR(stage.api().Send("DELETE", "/v1/rollouts/" + name, nullptr).status());
  return failed;
}

}  // namespace

Status MeasureRollbacks(int runs, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(stage->PushModel());
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
  control::cli::Load load({.nodes = stage->NodeAddresses(),
                           .model = kModel,
                           .bodies = bodies,
                           .requests_per_second = kRequestsPerSecond});
  Rollbacks rollbacks(*stage, load);
  const auto errors = [](double rate) {
    return Json{{"error_rate", rate}, {"delay", "0s"}, {"expires", "10m"}};
  };
  const Scenario scenarios[] = {
      {"100 % errors", errors(1.0), false},
      {"25 % errors", errors(0.25), false},
      {"5 % errors", errors(0.05), false},
      {"latency × 2", {{"error_rate", 0}, {"delay", "10ms"}, {"expires", "10m"}}, true},
  };
  for (const Scenario& scenario : scenarios) {
    std::vector<Rollback> done;
    for (int i = 0; i < runs; ++i) {
      WEIR_ASSIGN_OR_RETURN(const Rollback one, rollbacks.One(scenario));
      done.push_back(one);
    }
    AddRollbacks(scenario, done, report);
  }
  report.Note(fmt::format(
      "Rollback: {} runs each, {} requests/s over 3 nodes, {} % of them to a canary that was "
      "healthy for a second; p99 of {} runs is the worst. Times after the first bad answer that a "
      "client got; of latency, after the fault was sent (stable takes {}).",
      runs, kRequestsPerSecond, kCanaryPercent, runs, kSlowed));
  return OkStatus();
}

Status MeasureLosses(int runs, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(stage->PushModel());
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
  control::cli::Load load({.nodes = stage->NodeAddresses(),
                           .model = kModel,
                           .bodies = bodies,
                           .requests_per_second = kRequestsPerSecond});
  uint64_t promoted = 0;
  uint64_t rolled_back = 0;
  for (int i = 0; i < runs; ++i) {
    WEIR_ASSIGN_OR_RETURN(
        const uint64_t by_rollback,
        LossOf(*stage, load, fmt::format("back-{}", i), "rollback", {{"reason", "bench"}}));
    rolled_back += by_rollback;
    WEIR_ASSIGN_OR_RETURN(const uint64_t by_promotion,
                          LossOf(*stage, load, fmt::format("on-{}", i), "promote",
                                 {{"reason", "bench"}, {"full", true}}));
    promoted += by_promotion;
    WEIR_RETURN_IF_ERROR(
        stage->api()
            .Send("PATCH", fmt::format("/v1/models/{}", kModel), {{"spec", {{"stable", kStable}}}})
            .status());
  }
  const auto add = [&](const char* name, uint64_t value) {
    report.Add({.name = name,
                .value = static_cast<double>(value),
                .unit = "",
                .yardstick = "",
                .yardstick_value = 0});
  };
  add("requests lost in promotions under load", promoted);
  add("requests lost in rollbacks by hand under load", rolled_back);
  report.Note(fmt::format("Losses: {} promotions and as many rollbacks at {} requests/s.", runs,
                          kRequestsPerSecond));
  return OkStatus();
}

}  // namespace weir::bench
