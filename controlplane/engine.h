// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "controlplane/alert/observation.h"
#include "controlplane/catalog/catalog.h"
#include "controlplane/ingest/ledger.h"
#include "controlplane/publish/node_status.h"
#include "controlplane/remedy/backtest.h"
#include "controlplane/remedy/driver.h"
#include "controlplane/rollout/driver.h"
#include "controlplane/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"

namespace weir::control {

// What an Engine tells and asks its surroundings; all on its thread. None may call the engine back
// from inside, except where a line says so.
struct EngineHooks {
  // Committed: for the nodes, and for those who watch.
  std::function<void(const catalog::Committed&)> publish{};
  // Stored: the nodes may forget these batches.
  std::function<void(const ingest::HighWaters&)> acknowledge{};
  // Runs a task of the engine on its thread, later.
  std::function<void(std::function<void()>)> post{};
  std::function<rollout::GateState(const domain::Resource&, uint64_t, size_t, int64_t)> gate{};
  std::function<void(const std::string& type, const std::string& severity, codec::Json)> notify{};
  std::function<void(const ingest::ShownDecision&)> show_decision{};
  // What an evaluator says of one thing it watches.
  std::function<void(const alert::Observation&)> observe{};
};

// What the control plane decides and remembers, in one piece: store, catalog, what was counted, and
// the rollouts and policies that judge by it. No sockets, no threads, and no time but the clock
// that it was given: Control runs it on the core thread, a simulation on its own.
//
// Lifecycle: construct, Open, StartDriver, Follow, then the rest in any order; the owner calls Tick
// every kTickMs and FoldSchedules every kScheduleMs. A change goes through the catalog, which tells
// the hooks. The clock outlives the engine; destroying it stores nothing: CommitTelemetry first.
class Engine {
 public:
  static constexpr int64_t kTickMs = 100;
  static constexpr int64_t kScheduleMs = 1000;
  static constexpr int64_t kPoliciesMs = 1000;

  Engine(const Clock& clock, EngineHooks hooks) : clock_(clock), hooks_(std::move(hooks)) {}
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Opens the store, loads what it holds, and takes a new epoch.
  Status Open(const std::string& data_dir);
  // Lets the rollouts and policies go on from where they were stored.
  Status StartDriver();
  // From here on commits reach the hooks. Once whoever publishes has everything up to here.
  void Follow();

  void OnNodes(std::shared_ptr<const publish::NodesView> view);
  void OnApplied(const publish::AppliedEvent& event);
  // Counts, then shows and judges; acknowledged once stored.
  void OnTelemetry(const ingest::TelemetryTick& tick);
  void Tick();
  // Counts, high waters and the state of rollouts and policies into one transaction, then the
  // acknowledgement. An error stays in last_commit() until the next try.
  void CommitTelemetry();
  // Writes down what was scheduled and is due. Every second, and before every change: a change that
  // comes after the moment must not be undone by what was scheduled before. Each flag by itself, so
  // that one that cannot be changed does not hold up the others.
  void FoldSchedules();
  // Deletes Silences that ended long ago. About every minute; what fails is tried again then.
  void DeleteOldSilences();

  store::Store& store() { return *store_; }
  catalog::Catalog& catalog() { return *catalog_; }
  ingest::Ledger& ledger() { return *ledger_; }
  const ingest::Ledger& ledger() const { return *ledger_; }
  rollout::Driver& driver() { return *driver_; }
  remedy::Driver& policies() { return *policies_; }
  // What a replay of a policy needs: its telemetry, copied. NotFound; InvalidArgument for a span
  // that is empty or of which nothing can be kept (35 days).
  Result<remedy::BacktestInput> BacktestOf(const std::string& policy, int64_t from_wall_ms,
                                           int64_t to_wall_ms) const;
  uint64_t epoch() const { return epoch_; }
  // How far the process before counted.
  const ingest::HighWaters& committed() const { return committed_; }
  const std::shared_ptr<const publish::NodesView>& nodes() const { return nodes_; }
  const Status& last_commit() const { return last_commit_; }
  // Why a scheduled change cannot be written down; "" while all can.
  const std::string& schedule_failure() const { return schedule_failure_; }
  int64_t schedule_failed_wall_ms() const { return schedule_failed_wall_ms_; }

 private:
  static constexpr char kPolicyState[] = "policies";  // its name in the store
  Result<uint64_t> Carry(const rollout::CommitPlan& plan);
  void OnCommitted(const catalog::Committed& committed);
  void TellDriver();
  Status StartPolicies();
  remedy::Driver::World PoliciesWorld();
  bool IsGateOn(const std::string& flag, bool fallback);
  bool IsKept(const telemetry::SeriesKey& key);

  const Clock& clock_;
  const EngineHooks hooks_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<ingest::Ledger> ledger_;
  std::unique_ptr<rollout::Driver> driver_;
  std::unique_ptr<remedy::Driver> policies_;
  int64_t looked_ms_ = 0;                           // policies, at their objectives
  std::unique_ptr<const decision::Ruleset> gates_;  // of flags that gate the control plane
  std::set<std::string> tenants_;                   // that objectives name
  uint64_t tenants_revision_ = 0;                   // as of then
  uint64_t gates_revision_ = 0;                     // that they are of
  uint64_t epoch_ = 0;
  std::set<std::string> left_;  // nodes that are gone by their own word, or refused
  uint64_t published_ = 0;      // the newest version that went to nodes
  ingest::HighWaters committed_;
  std::shared_ptr<const publish::NodesView> nodes_ = std::make_shared<publish::NodesView>();
  Status last_commit_;  // of telemetry
  std::string schedule_failure_;
  int64_t schedule_failed_wall_ms_ = 0;
};

}  // namespace weir::control
