// SPDX-License-Identifier: Apache-2.0
// Watches the objectives of all policies and does what they say about a violation. Lives on the
// core thread; time is an argument; it reads resources and commits through the functions it is
// given, so that it runs the same in a simulation. Call OnTelemetry and OnNodes as things arrive
// and Tick every second.
//
// Each look: every objective is judged (analysis/slo.h), what changed is told, and each remediation
// of what is violated is proposed. A violation is a level: one that persists is proposed again at
// every look, and the executor (executor.h) lets it act again after its cool-down. Of policies that
// would act on one target at once, the one with the highest priority does, by name where those are
// equal; one in its cool-down still keeps the others off, since its act is in force. Policies that
// only rehearse contend with each other alone, as if no other were there.
//
// What survives a restart goes into the same group commit as the telemetry: SaveState, LoadState
// before the first Tick. Windows are filled again from the history where they are long enough.
//
// follow.cc keeps what is watched, driver.cc looks, propose.cc works out what an action would do,
// carry.cc does it and takes it back, restarts.cc restarts one node at a time, view.cc shows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/alert/observation.h"
#include "controlplane/analysis/slo.h"
#include "controlplane/remedy/executor.h"
#include "controlplane/remedy/hearing.h"
#include "controlplane/rollout/command.h"
#include "controlplane/rollout/driver.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/domain/validate.h"
#include "shared/telemetry/series.h"

namespace weir::control::remedy {

// The flags of the source documents that switch parts of this off.
inline constexpr char kGateAll[] = "qos_monitor";
inline constexpr char kGateEvaluator[] = "qos_monitor.evaluator";
inline constexpr char kGateExecutor[] = "qos_monitor.executor";
inline constexpr char kGatePolicyStore[] = "qos_monitor.policy_store";
inline constexpr char kGateDryRun[] = "qos_monitor.executor.dry_run";

// What an action would do, worked out.
struct Intent {
  std::string action;
  std::string target;   // "limit/fraud", "rollout/r", "flag/a", "alert"
  double value = 0;     // slots, requests a second, share, percent; by action
  int direction = 0;    // executor.h
  bool raises = false;  // lets more in than before: not during an emergency freeze
  std::string text;     // "turn 20 % of the callers of fraud away for 1m"
  std::string failure;  // why it cannot be done; then only action and target are set
  // What is committed: one of these, or none for alert.
  std::optional<domain::Resource> after{};
  std::string rollback{};  // the rollout
  struct Restart {
    std::string model;
    std::string version;
  };
  std::optional<Restart> restart{};
  // Of a flag, to be put back: what stands before, and for how long.
  std::optional<domain::FlagSpec> before{};
  int64_t duration_ms = 0;
};

class Driver {
 public:
  struct World {
    domain::Lookup find{};
    domain::ForEach for_each{};
    std::function<Result<uint64_t>(const rollout::CommitPlan&)> commit{};
    // A command to a rollout; → the revision.
    std::function<Result<uint64_t>(const std::string& rollout, const rollout::Command&)> obey{};
    // Whether a flag that gates is on; `fallback` where there is none of that name.
    std::function<bool(const std::string& flag, bool fallback)> is_on{};
    std::function<void(const alert::Observation&)> observe{};
    // remediation {policy, slo, model, action, target, result, reason, dry_run, revision?}, and
    // {policy, state: open | closed, reason} of an executor.
    std::function<void(const std::string& type, const std::string& severity, codec::Json)> notify{};
    // Stored telemetry of a subject since a moment (wall ms), in windows of a minute, or of an hour
    // where `hours`: visit(start, step, key, series). May be empty.
    using VisitPast = std::function<void(int64_t start_wall_ms, int64_t step_ms,
                                         const telemetry::SeriesKey&, const telemetry::Series&)>;
    std::function<void(const std::string& subject, int64_t from_wall_ms, bool hours,
                       const VisitPast&)>
        past{};
    // Above 0: a replay of the past in such steps. It logs nothing, and knows no rollouts of then:
    // one is taken to be under way.
    int64_t replay_step_ms = 0;
  };
  explicit Driver(World world);

  void LoadState(const codec::Json& state, int64_t now_ms, int64_t now_wall_ms);
  codec::Json SaveState() const;

  void OnTelemetry(const telemetry::Window& delta, int64_t now_ms);
  // Telemetry of these nodes arrived, whatever it holds.
  void OnBatches(const std::set<std::string>& nodes, int64_t now_ms);
  // `published` is the newest snapshot version that went out.
  void OnNodes(std::vector<NodeFacts> nodes, uint64_t published);
  // True when something was committed: save the state soon.
  bool Tick(int64_t now_ms, int64_t now_wall_ms);

  // Closes the executor's breaker. NotFound; FailedPrecondition when it is closed.
  Status Reset(const std::string& policy, const std::string& actor);
  // The status of a policy, as the API shows it (api.h).
  codec::Json View(const std::string& policy) const;
  void ForEachWatch(const std::string& policy,
                    const std::function<void(const analysis::SloWatch&)>& visit) const;
  // How many nodes each model's limit asks for: replicas × max_concurrent with acts / without, up.
  std::map<std::string, int64_t> RecommendedReplicas(int64_t now_wall_ms) const;
  // Prometheus text.
  std::string Metrics(int64_t now_wall_ms) const;

 private:
  static constexpr size_t kRecordsKept = 20;
  static constexpr int64_t kRateWindowMs = 10'000;
  static constexpr int64_t kRemindMs = 60'000;
  static constexpr int64_t kRestartTimeoutMs = 120'000;

  struct Record {
    int64_t at_wall_ms = 0;
    std::string action;
    std::string target;
    std::string slo;
    std::string result;  // done | dry_run | suppressed | failed
    std::string reason;
    uint64_t revision = 0;
  };
  // By slo and model.
  using WatchKey = std::pair<std::string, std::string>;
  struct Run {
    uint64_t followed_revision = 0;  // of the policy, as its watches were made
    uint64_t followed_models = 0;    // ModelsStamp then
    std::map<WatchKey, analysis::SloWatch> watches;
    Executor live;
    Executor dry;  // of the time that it only rehearses
    uint64_t violations = 0;
    uint64_t remediations = 0;
    uint64_t dry_run_actions = 0;
    std::map<std::string, uint64_t> suppressed;  // by reason; each spell once
    std::deque<Record> last;
    std::map<std::string, std::string> said;  // by proposal: what was recorded last
    std::map<WatchKey, int64_t> reminded_ms;
  };
  // One remediation of one violation, at one look.
  struct Candidate {
    std::shared_ptr<const domain::Resource> policy;  // a copy: acting changes the catalog
    Run* run = nullptr;
    const analysis::SloWatch* watch = nullptr;
    const domain::RemediationSpec* remediation = nullptr;  // of `policy`
    Proposal proposal;
    Intent intent;
    bool is_dry = false;
    Ruling ruling = Ruling::kAct;
    std::string stopped;  // "" or why it does not act
  };
  // A flag that a policy changed for a while.
  struct Undo {
    std::string policy;
    std::string flag;
    std::string field;   // enabled | rollout_percentage
    codec::Json before;  // null: it was not set
    codec::Json set;
    int64_t until_wall_ms = 0;
  };
  // A version that is restarted, node by node.
  struct Campaign {
    std::string policy;
    std::string model;
    std::string version;
    std::vector<std::string> done;
    std::string node;  // whose turn it is; "" between two

    uint64_t revision = 0;  // of the act
    int64_t asked_wall_ms = 0;
    bool was_away = false;  // it was seen to be not READY since
  };

  // follow.cc
  std::string WhyOff(const domain::Resource& policy) const;  // "" for on
  std::vector<std::string> ModelsOf(const domain::PolicySpec& policy,
                                    const domain::SloSpec& slo) const;
  uint64_t ModelsStamp() const;
  void Follow(int64_t now_ms, int64_t now_wall_ms);
  void FollowPolicy(const domain::Resource& policy, uint64_t models, int64_t now_ms,
                    int64_t now_wall_ms);
  std::shared_ptr<analysis::SloWindow> WindowOf(const domain::SloSpec& slo,
                                                const std::string& model, int64_t now_ms,
                                                int64_t now_wall_ms);
  void Seed(analysis::SloWindow& window, int64_t now_ms, int64_t now_wall_ms) const;
  void Drop(const std::string& policy, Run& run);
  // driver.cc
  bool IsReplay() const { return world_.replay_step_ms > 0; }
  bool IsOn(const char* gate, bool fallback) const;
  void Observe(const domain::Resource& policy, const analysis::SloWatch& watch, bool is_firing);
  analysis::NodeReadings ReadNodes(int64_t now_ms);
  void Propose(const domain::Resource& policy, Run& run, Moment now,
               std::vector<Candidate>& candidates);
  void Outrank(std::vector<Candidate>& candidates) const;
  bool Conclude(Candidate& candidate, Moment now);
  void Note(Candidate& candidate, const std::string& result, const std::string& reason,
            uint64_t revision, Moment now);

  // propose.cc
  Intent IntentOf(const domain::Resource& policy, const analysis::SloWatch& watch,
                  const domain::RemediationSpec& remediation, int64_t now_wall_ms) const;
  void IntendRollback(const analysis::SloWatch& watch, const domain::RemediationSpec& remediation,
                      Intent& intent) const;
  void IntendFlag(const domain::RemediationSpec& remediation, Intent& intent) const;
  void IntendLimit(const domain::Resource& policy, const analysis::SloWatch& watch,
                   const domain::RemediationSpec& remediation, int64_t now_wall_ms,
                   Intent& intent) const;
  void IntendRestart(const analysis::SloWatch& watch, const domain::RemediationSpec& remediation,
                     Intent& intent) const;
  const domain::Resource* RolloutOf(const std::string& model) const;
  std::string VersionOf(const analysis::SloWatch& watch, const domain::RemediationSpec& remediation,
                        const std::string& model) const;
  double RateOfNode(const std::string& model) const;  // requests a second, lately
  size_t LiveNodes() const;

  // carry.cc
  Result<uint64_t> Carry(const Candidate& candidate, int64_t now_wall_ms);
  bool EndActs(int64_t now_wall_ms);
  bool EndUndos(int64_t now_wall_ms);
  bool IsFrozen() const;

  // restarts.cc
  Result<uint64_t> BeginRestart(const Candidate& candidate, int64_t now_wall_ms);
  // Whether what a policy began may go on.
  bool MayAct(const std::string& policy) const;
  bool FollowRestarts(int64_t now_wall_ms);
  // The next node that may go; "" for none, and why.
  std::string NextOf(const Campaign& campaign, std::string& why) const;
  Result<uint64_t> AskRestart(Campaign& campaign, const std::string& node,
                              const codec::Json& evidence, int64_t now_wall_ms);
  void EndRestart(const Campaign& campaign, const std::string& why);

  const World world_;
  std::map<std::string, Run> runs_;  // by policy
  // By subject, and then by all that makes two windows the same; shared by watches.
  std::map<std::string, std::map<std::string, std::shared_ptr<analysis::SloWindow>>> windows_;
  std::map<std::string, std::deque<std::pair<int64_t, uint64_t>>> rates_;  // by model: ms, requests
  std::vector<NodeFacts> nodes_;
  Hearing hearing_;
  uint64_t published_ = 0;
  std::map<std::string, int64_t> behind_since_ms_;  // by live node that lacks what was published
  Moves live_moves_;
  Moves dry_moves_;
  std::vector<Undo> undos_;
  std::vector<Campaign> campaigns_;
  std::map<std::string, uint64_t> restart_numbers_;           // by model
  std::map<std::pair<std::string, bool>, uint64_t> actions_;  // by action, dry_run
  std::map<std::string, std::string> end_failures_;           // by what could not be ended
  codec::Json loaded_;  // of LoadState, by policy, until the policy is followed
  int64_t now_ms_ = 0;  // of the last look
};

// {policy, slo, spec, model, verdict: {state, severity, value, threshold, text}, reading, action,
// target}: what history keeps of an act. `spec` and `reading` replay to the verdict.
codec::Json EvidenceOf(const std::string& policy, const analysis::SloWatch& watch,
                       const Intent& intent);
// The verdict of such evidence, worked out again. DataLoss.
Result<analysis::SloVerdict> Replay(const codec::Json& evidence);

}  // namespace weir::control::remedy
