// SPDX-License-Identifier: Apache-2.0
// Keeps every active rollout moving: gathers evidence (telemetry through a judge, nodes, gates,
// phase clocks), asks step.h what to do, and commits the answer. Lives on the core thread; time is
// an argument; it reads resources and commits through the functions it is given, so that it runs
// the same in a simulation. Call OnTelemetry and OnNodes as things arrive and Tick every 100 ms.
//
// What must survive a restart (phase and rollback clocks, detectors, what was told) is saved with
// the telemetry that it was computed from: SaveState goes into the same group commit, LoadState
// comes before the first Tick. A judge's verdict is a level, so an action lost in a crash is taken
// after the restart.
//
// Telemetry comes merged; whose requests it is made of comes beside it, since no node may force a
// judgement alone (shares.h).
//
// driver.cc keeps the runs, gather.cc makes evidence, carry.cc commits, notices.cc tells people,
// view.cc shows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/analysis/judge.h"
#include "controlplane/rollout/command.h"
#include "controlplane/rollout/shares.h"
#include "controlplane/rollout/step.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/domain/validate.h"
#include "shared/telemetry/node_counts.h"
#include "shared/telemetry/series.h"

namespace weir::control::rollout {

// What the driver must know of a node.
struct NodeFacts {
  std::string id;
  domain::Labels labels;
  bool live = false;  // not gone: one that is joining may still serve the canary
  uint64_t incarnation = 0;
  uint64_t applied_version = 0;  // of the current epoch, by every worker
  int64_t applied_wall_ms = 0;   // when that was heard
  struct Version {
    std::string model;
    std::string version;
    std::string state;  // LOADING, READY, FAILED, UNLOADING
    std::string detail;
  };
  std::vector<Version> versions;
  std::map<std::string, std::string> refused_splits;    // rollout → why
  std::map<std::string, std::string> refused_subjects;  // "model/m", "flag/f" → why
  // What it did by itself, as far as it still tells.
  struct Episode {
    std::string kind;     // breaker, unwatched, …
    std::string subject;  // "model/fraud_detection/1.1.0", a rollout
    int64_t from_wall_ms = 0;
    int64_t to_wall_ms = 0;  // 0: going on
    std::string detail;
  };
  std::vector<Episode> episodes{};
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

// What one node sent of the canary in the phase.
struct NodeShareView {
  std::string node;  // "" for those beyond Shares::kMaxNodes together
  uint64_t requests = 0;
  uint64_t bad = 0;
  double share = 0;  // of the canary's requests; 0..1
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
  std::optional<double> actual_percentage;      // of the phase's judged requests
  int live_nodes = 0;
  int applied_nodes = 0;  // of them, at or past the rollout's last revision
  // Whose requests the phase rests on: most of them first.
  std::vector<NodeShareView> shares;
  uint64_t counted_requests = 0;  // no node above its share
  Quorum quorum;
  std::string alone;  // the node that carries the phase alone; "" for none
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
    // Something that people want to hear of: type, severity (info | warning | critical), data.
    // - rollout_trend, rollout_alert {rollout, trigger, …}: a warning; a trigger with do: alert
    // - drift {rollout, psi, ks, …}
    // - gate {rollout, phase, gate, type, from, to, reason}
    // - rollback_incomplete {rollout, applied, live, missing, since_ms}
    // - emergency_rollback {rollout, actor, reason}
    // - breaker, unwatched {node, subject, state: began | ended, from_ms, lasted_ms?, detail}
    std::function<void(const std::string&, const std::string&, codec::Json)> notify{};
    // A short digest of a text: two specs are the same when theirs is.
    std::function<std::string(const std::string&)> digest{};
  };
  explicit Driver(World world);

  // Before the first Tick. What does not fit the resources any more is dropped.
  void LoadState(const codec::Json& state);
  codec::Json SaveState() const;

  // `by_node` says whose requests those of `delta` are.
  void OnTelemetry(const telemetry::Window& delta, const telemetry::NodeWindow& by_node,
                   int64_t now_ms, int64_t now_wall_ms);
  // `published` is the newest snapshot version that went out.
  void OnNodes(std::vector<NodeFacts> nodes, uint64_t published);
  // The number alone, at the commit itself, also from within World.commit: a rollback whose nodes
  // were asked for an older snapshot would seem complete before anyone has it.
  void OnPublished(uint64_t published) { published_ = published; }
  // `now_ms` is monotonic. True when something was committed: save the state soon.
  bool Tick(int64_t now_ms, int64_t now_wall_ms);

  // A person's command. NotFound, FailedPrecondition, or the commit's error.
  Result<uint64_t> Obey(const std::string& name, Command command, int64_t now_wall_ms);

  // NotFound when there is no such rollout.
  Result<RolloutView> View(const std::string& name) const;

 private:
  // What a judge was made from; another one is made when it changes.
  struct JudgedBy {
    domain::RollbackSpec rollback;
    domain::PhaseRollback phase;
    bool is_shadow = false;
    bool operator==(const JudgedBy&) const = default;
  };
  struct GateMemory {
    std::string state = "waiting";
    int64_t since_wall_ms = 0;
    std::string reason;
    std::string told = "waiting";  // the state that people heard of
    int64_t told_ms = 0;           // monotonic
    bool is_excused = false;       // it had failed when a person resumed: no reason to pause again
  };
  // What belongs to one rollout while it is active.
  struct Run {
    explicit Run(analysis::Judge j) : judge(std::move(j)) {}
    analysis::Judge judge;
    JudgedBy judged_by;
    uint64_t phase = 0;
    int64_t entered_wall_ms = 0;  // of the phase: which visit of it the clock belongs to
    int64_t phase_age_ms = 0;
    uint64_t phase_requests = 0;         // of the candidate
    uint64_t phase_stable_requests = 0;  // meanwhile
    // Answered 4xx, shed or left by the client, in the phase: not judged, but not advanced with.
    uint64_t phase_turned_away = 0;  // by the candidate
    uint64_t phase_stable_turned_away = 0;
    double stable_turned_away_before = 0;  // the share of the phase before; 0..1
    uint64_t rollback_step = 0;
    int64_t rollback_age_ms = 0;    // since that step
    int64_t first_bad_wall_ms = 0;  // of the current run of bad answers
    int64_t last_bad_wall_ms = 0;
    uint64_t rollback_revision = 0;
    int64_t settles_until_ms = 0;  // what arrives till then speaks of the share before
    int64_t began_ms = 0;          // monotonic, in this process
    std::optional<domain::VerdictRecord> verdict;
    telemetry::Series stable;  // arrived since the last tick
    telemetry::Series canary;
    CountsByNode arrived;           // whose requests these are
    Shares shares;                  // whose the phase's are
    int selected_nodes = 0;         // live ones that take part in the phase, as last seen
    std::vector<GateMemory> gates;  // of the phase
    domain::RolloutSpec digested;   // what `digest` is of
    std::string digest;
    std::map<std::string, int64_t> told;  // what people heard of, and when (monotonic)
    int64_t looked_ms = 0;                // for what is worth telling
    std::string waiting_for;
    std::string shown_state;
    std::string failed_commit;  // why the last action could not be committed
  };

  // After a restart nodes may still be on their way back; one that hangs is gone by then.
  static constexpr int64_t kNodesReturnMs = 8000;

  // driver.cc
  std::vector<std::string> ActiveRollouts() const;
  Run* RunOf(const domain::Resource& rollout, int64_t now_ms);
  void TakeOver(const domain::Resource& rollout, Run& run, int64_t now_ms);
  // What was known in that phase, entered then, is still what the run is judged on.
  static bool KeepsEvidence(const domain::Resource& rollout, const Run& run, uint64_t phase,
                            int64_t entered_wall_ms);
  void FollowPhase(const domain::Resource& rollout, Run& run);
  bool TickOne(const domain::Resource& rollout, Run& run, int64_t elapsed_ms, int64_t now_ms,
               int64_t now_wall_ms);
  void Judge(const domain::Resource& rollout, Run& run, int64_t now_ms, int64_t now_wall_ms);
  void JudgeAnew(Run& run);
  static void NameNodes(const domain::Resource& rollout, const Run& run,
                        analysis::Verdict& verdict);
  void AfterCommit(Run& run, const Step& step, uint64_t revision);
  // gather.cc
  Evidence Gather(const domain::Resource& rollout, Run& run, int64_t now_ms, int64_t now_wall_ms);
  void GatherGates(const domain::Resource& rollout, Run& run, Evidence& evidence, int64_t now_ms,
                   int64_t now_wall_ms);
  GateState AskGate(const domain::Resource& rollout, const Run& run, size_t index,
                    const std::string& spec_digest) const;
  static std::string TurnedAwayMore(const Run& run);  // "" for no
  static double StableTurnedAway(const Run& run);     // 0..1
  void GatherNodes(const domain::Resource& rollout, const Run* run, Evidence& evidence) const;
  void GatherFailures(const domain::Resource& rollout, const Run& run, int64_t now_wall_ms,
                      Evidence& evidence) const;
  void GatherShares(const domain::Resource& rollout, Run& run, Evidence& evidence,
                    int64_t now_ms) const;
  std::string DigestOf(const domain::RolloutSpec& spec) const;
  const std::string& DigestOf(const domain::RolloutSpec& spec, Run& run) const;
  // carry.cc
  Result<uint64_t> Carry(const domain::Resource& rollout, const Step& step,
                         const std::string& actor, const std::string& reason, int64_t now_wall_ms,
                         const codec::Json& evidence = {});
  Result<domain::Resource> ModelAfter(const domain::Resource& model,
                                      const domain::Resource& rollout, const Step& step,
                                      const std::string& actor, const std::string& reason) const;
  // Somebody besides this rollout needs the version loaded.
  bool IsWanted(const domain::Resource& model, const std::string& version,
                const std::string& besides, int64_t now_wall_ms) const;
  Status CheckGraceful(const domain::Resource& rollout) const;
  bool LoadWanted(const domain::Resource& rollout);
  bool UnloadPrevious(int64_t now_wall_ms);
  // notices.cc
  void Notify(const std::string& type, const std::string& severity, codec::Json data) const;
  // `what` was not told in the last 10 minutes; now it is.
  static bool IsNews(Run& run, const std::string& what, int64_t every_ms, int64_t now_ms);
  void TellGates(const domain::Resource& rollout, Run& run, int64_t now_ms) const;
  void TellTrends(const domain::Resource& rollout, Run& run, int64_t now_ms) const;
  void TellFailure(const domain::Resource& rollout, Run& run, const Evidence& evidence,
                   int64_t now_ms) const;
  void TellHeld(const domain::Resource& rollout, Run& run, const Evidence& evidence,
                int64_t now_ms) const;
  void TellIncomplete(const domain::Resource& rollout, Run& run, const Evidence& evidence,
                      int64_t now_ms) const;
  void TellEpisodes();
  // view.cc
  std::vector<PhaseView> PhasesOf(const domain::Resource& rollout, const Run* run) const;

  const World world_;
  std::map<std::string, Run> runs_;
  std::map<std::string, std::string> unjudged_;  // rollouts without a run, and why
  std::map<std::string, std::string>
      not_unloaded_;    // promoted ones, and why the version before stays
  codec::Json loaded_;  // of LoadState, until its rollout asks for it
  std::vector<NodeFacts> nodes_;
  std::map<std::string, uint64_t> incarnations_;            // by node, as last seen
  std::map<std::string, std::deque<int64_t>> restarts_ms_;  // by node, monotonic, the last ones
  std::map<std::string, int64_t> heard_wall_ms_;  // by node: its episodes up to here were told
  uint64_t published_ = 0;
  int64_t last_tick_ms_ = 0;
  int64_t last_unload_ms_ = 0;
  int64_t first_tick_ms_ = 0;
};

}  // namespace weir::control::rollout
