// SPDX-License-Identifier: Apache-2.0
// Keeps every active rollout moving: gathers evidence (telemetry through a judge, nodes, gates,
// phase clocks), asks step.h what to do, and commits the answer. Lives on the core thread; time is
// an argument; it reads resources and commits through the functions it is given, so that it runs
// the same in a simulation. Call OnTelemetry and OnNodes as things arrive and Tick every 100 ms.
//
// What must survive a restart (phase clocks, detectors) is saved with the telemetry that it was
// computed from: SaveState goes into the same group commit, LoadState comes before the first Tick.
// A judge's verdict is a level, so an action lost in a crash is taken after the restart.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/analysis/judge.h"
#include "controlplane/rollout/step.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/domain/validate.h"
#include "shared/telemetry/series.h"

namespace weir::control::rollout {

// What the driver must know of a node.
struct NodeFacts {
  std::string id;
  domain::Labels labels;
  bool live = false;             // not gone: one that is joining may still serve the canary
  uint64_t applied_version = 0;  // of the current epoch, by every worker
  int64_t applied_wall_ms = 0;   // when that was heard
  struct Version {
    std::string model;
    std::string version;
    std::string state;  // LOADING, READY, FAILED, UNLOADING
    std::string detail;
  };
  std::vector<Version> versions;
  std::map<std::string, std::string> refused_splits;  // rollout → why
};

struct CommitPlan {
  std::vector<domain::Resource> resources;  // as they shall be
  std::string actor;
  std::string reason;
  codec::Json evidence;
};

struct PhaseView {
  std::string name;
  double percentage = 0;
  std::string mode;           // canary | shadow
  std::string state;          // done | current | pending
  int64_t since_wall_ms = 0;  // entered; 0: not yet
  int64_t age_ms = 0;         // of the current one, its own clock
};

struct GateView {
  std::string name;
  std::string type;
  std::string state;          // passed | waiting | failed
  int64_t since_wall_ms = 0;  // of this state
  std::string reason;         // what it saw, and what it still needs
};

// How a rollout stands, for people.
struct RolloutView {
  domain::RolloutStatus status;  // as stored, with state, waiting_for and last_verdict as of now
  int64_t phase_age_ms = 0;
  uint64_t phase_requests = 0;
  analysis::JudgeSnapshot judge;
  std::vector<PhaseView> phases;
  std::vector<GateView> gates;                  // of the current phase
  std::vector<analysis::TriggerView> triggers;  // what would act, and how far it is from it
  std::optional<double> actual_percentage;      // of judged requests, over the judge's window
  int live_nodes = 0;
  int applied_nodes = 0;  // of them, at or past the rollout's last revision
};

class Driver {
 public:
  struct World {
    domain::Lookup find{};
    domain::ForEach for_each{};
    std::function<Result<uint64_t>(const CommitPlan&)> commit{};  // → the revision
    // What is known of a gate that asks outside (automated_test, prometheus, time_based); asking
    // keeps it up to date. Arguments: the rollout, its phase, the gate's index there, the phase's
    // age in ms.
    std::function<GateState(const domain::Resource&, uint64_t, size_t, int64_t)> gate{};
    // Something that people want to hear of: type ("rollout_trend", "rollback_incomplete", …),
    // severity (info | warning | critical), data.
    std::function<void(const std::string&, const std::string&, codec::Json)> notify{};
  };
  explicit Driver(World world);

  // Before the first Tick. What does not fit the resources any more is dropped.
  void LoadState(const codec::Json& state);
  codec::Json SaveState() const;

  void OnTelemetry(const telemetry::Window& delta, int64_t now_ms, int64_t now_wall_ms);
  // `published` is the newest snapshot version that went out.
  void OnNodes(std::vector<NodeFacts> nodes, uint64_t published);
  // `now_ms` is monotonic. True when something was committed: save the state soon.
  bool Tick(int64_t now_ms, int64_t now_wall_ms);

  // A person's command. NotFound, FailedPrecondition, or the commit's error.
  Result<uint64_t> Obey(const std::string& name, const Command& command, int64_t now_wall_ms);

  // NotFound when there is no such rollout.
  Result<RolloutView> View(const std::string& name) const;

 private:
  // What belongs to one rollout while it is active.
  struct Run {
    explicit Run(analysis::Judge j) : judge(std::move(j)) {}
    analysis::Judge judge;
    domain::RollbackSpec judged_by;  // the spec the judge was made from
    uint64_t phase = 0;
    int64_t phase_age_ms = 0;
    uint64_t phase_requests = 0;
    int64_t first_bad_wall_ms = 0;  // of the current run of bad answers
    int64_t last_bad_wall_ms = 0;
    uint64_t rollback_revision = 0;
    // Taken over while rolling back: nodes that serve the canary may still be on their way back.
    int64_t hold_until_ms = 0;
    std::optional<domain::VerdictRecord> verdict;
    telemetry::Series stable;  // arrived since the last tick
    telemetry::Series canary;
    std::string waiting_for;
    std::string shown_state;
    std::string failed_commit;  // why the last action could not be committed
  };

  std::vector<std::string> ActiveRollouts() const;
  Run* RunOf(const domain::Resource& rollout, int64_t now_ms);
  bool TickOne(const domain::Resource& rollout, Run& run, int64_t elapsed_ms, int64_t now_ms,
               int64_t now_wall_ms);
  void Judge(const domain::Resource& rollout, Run& run, int64_t now_ms, int64_t now_wall_ms);
  Evidence Gather(const domain::Resource& rollout, const Run& run) const;
  void GatherNodes(const domain::Resource& rollout, const Run& run, Evidence& evidence) const;
  Result<uint64_t> Carry(const domain::Resource& rollout, const Step& step,
                         const std::string& actor, const std::string& reason);

  const World world_;
  std::map<std::string, Run> runs_;
  codec::Json loaded_;  // of LoadState, until its rollout asks for it
  std::vector<NodeFacts> nodes_;
  uint64_t published_ = 0;
  int64_t last_tick_ms_ = 0;
};

}  // namespace weir::control::rollout
