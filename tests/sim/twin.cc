// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/twin.h"

#include <utility>

#include "controlplane/engine.h"
#include "tests/sim/node_process.h"
#include "tests/sim/operator.h"

namespace weir::sim {
namespace {

using domain::Kind;

constexpr int kTicks = 120;  // of 100 ms

class Twin {
 public:
  Twin(Timeline& timeline, const Clock& clock, const std::string& directory)
      : timeline_(timeline), clock_(clock), disk_(directory) {}
  ~Twin() { End(); }

  void Start() {
    disk_.Revive();
    control::EngineHooks hooks;
    hooks.publish = [](const control::catalog::Committed&) {};
    hooks.acknowledge = [this](const control::ingest::HighWaters&) { has_stored_ = true; };
    hooks.post = [this](std::function<void()> task) { tasks_.push_back(std::move(task)); };
    hooks.gate = [](const domain::Resource&, uint64_t, size_t, int64_t) {
      return control::rollout::GateState{true, false, ""};
    };
    hooks.notify = [](const std::string&, const std::string&, const codec::Json&) {};
    hooks.show_decision = [](const control::ingest::ShownDecision&) {};
    engine_ = std::make_unique<control::Engine>(clock_, std::move(hooks));
    Status status = engine_->Open(disk_.directory());
    if (status.ok()) status = engine_->StartDriver();
    if (!status.ok()) return timeline_.Violate("a control plane starts again", status.ToString());
    engine_->Follow();
  }

  // As a crash: nothing is written any more.
  void End() {
    disk_.Die();
    tasks_.clear();
    engine_.reset();
    Random unused(0);
    disk_.Settle(false, unused);
  }

  void Tick(const control::ingest::TelemetryTick& tick,
            std::shared_ptr<const control::publish::NodesView> nodes) {
    has_stored_ = false;
    engine_->OnNodes(std::move(nodes));
    engine_->OnTelemetry(tick);
    engine_->Tick();
    for (auto& task : std::exchange(tasks_, {})) task();
  }

  bool has_stored() const { return has_stored_; }
  control::Engine& engine() { return *engine_; }
  const domain::Resource& Rollout() { return *engine_->catalog().Find(Kind::kRollout, "r"); }
  std::string Know() { return engine_->driver().SaveState().dump(); }
  std::string Committed() {
    std::string text;
    engine_->catalog().ForEach(Kind::kRollout, [&](const domain::Resource& rollout) {
      const domain::RolloutStatus& status = *rollout.status;
      text += fmt::format("{} r{} {} {}% {} {}; ", rollout.name, rollout.revision, status.state,
                          status.percentage, status.rollback_kind,
                          status.last_verdict ? status.last_verdict->evidence : "");
    });
    return text;
  }

 private:
  Timeline& timeline_;
  const Clock& clock_;
  Disk disk_;
  bool has_stored_ = false;
  std::vector<std::function<void()>> tasks_;
  std::unique_ptr<control::Engine> engine_;
};

void Found(control::Engine& engine, Random& random) {
  domain::ModelSpec model;
  model.stable = "1";
  for (const char* version : {"1", "2", "3"}) {
    model.versions[version].runtime = "xgboost";
    model.versions[version].blob = "sha256:" + std::string(63, '0') + version;
  }
  domain::RolloutSpec rollout;
  rollout.model = "m";
  rollout.candidate = random.Chance(0.5) ? "2" : "3";
  rollout.phases = {{.name = "some", .percentage = 20, .duration = {random.Between(2000, 9000)}},
                    {.name = "all", .percentage = 100, .duration = {2000}}};
  control::catalog::CommitRequest request;
  request.actor = "cli:alice";
  request.reason = "the beginning";
  request.changes = {Put(Kind::kModel, "m", model), Put(Kind::kRollout, "r", rollout)};
  static_cast<void>(engine.catalog().Commit(request));
}

control::ingest::TelemetryTick Draw(Random& random, const std::string& candidate, double bad,
                                    uint64_t seq, int64_t now_ms) {
  control::ingest::TelemetryTick tick;
  telemetry::Shard shard;
  const auto stable = shard.Prepare({"model/m", "1", telemetry::kArmStable});
  const auto canary = shard.Prepare({"model/m", candidate, telemetry::kArmCanary});
  for (int64_t i = random.Between(0, 20); i > 0; --i)
    stable->RecordAnswer(static_cast<double>(random.Between(1, 9)), random.Chance(0.01), 7);
  for (int64_t i = random.Between(0, 6); i > 0; --i)
    canary->RecordAnswer(static_cast<double>(random.Between(1, 9)), random.Chance(bad),
                         static_cast<uint32_t>(random.Next()));
  tick.live = shard.Take();
  for (const auto& [key, series] : tick.live) {
    const uint64_t requests = series.Counter(telemetry::kRequests);
    if (requests > 0) tick.by_node[key]["n1"] = {requests, series.Counter(telemetry::kBad)};
  }
  tick.history[now_ms / 1000 * 1000] = tick.live;
  tick.high_waters[{"n1", 1}] = {seq, 0};
  return tick;
}

std::shared_ptr<const control::publish::NodesView> Nodes(control::Engine& engine, bool has_all) {
  auto node = std::make_shared<control::publish::NodeStatus>();
  node->id = "n1";
  node->state = control::publish::NodeState::kReady;
  node->incarnation = 1;
  node->epoch = engine.epoch();
  node->version = has_all ? engine.catalog().revision() : 0;
  for (const char* version : {"1", "2", "3"}) node->versions.push_back({"m", version, "READY", ""});
  auto view = std::make_shared<control::publish::NodesView>();
  view->epoch = engine.epoch();
  view->nodes.push_back(node);
  return view;
}

}  // namespace

RunResult RunTwins(const RunOptions& options) {
  ResetSqliteRandom();
  Timeline timeline(options.seed, options.is_verbose, options.keeps_story);
  Random& random = timeline.random();
  MachineClock clock(timeline, -5000);
  Twin steady(timeline, clock, options.directory + "/steady");
  Twin restarted(timeline, clock, options.directory + "/restarted");
  for (Twin* twin : {&steady, &restarted}) {
    twin->Start();
    Random same(options.seed);
    if (!timeline.is_violated()) Found(twin->engine(), same);
  }
  const double bad = random.Chance(0.5) ? 0.01 : static_cast<double>(random.Between(2, 40)) / 100;
  const std::string candidate = steady.Rollout().As<domain::RolloutSpec>().candidate;
  for (uint64_t i = 1; i <= kTicks && !timeline.is_violated(); ++i) {
    timeline.RunUntil(timeline.now_ms() + 100, [] {});
    const auto tick = Draw(random, candidate, bad, i, clock.MonotonicMs());
    const bool has_all = random.Chance(0.9);
    for (Twin* twin : {&steady, &restarted}) twin->Tick(tick, Nodes(twin->engine(), has_all));
    if (steady.Know() != restarted.Know())
      timeline.Violate("detectors after a restart are as without",
                       steady.Know() + "\n" + restarted.Know());
    if (steady.Committed() != restarted.Committed())
      timeline.Violate("what is decided after a restart is as without",
                       steady.Committed() + "\n" + restarted.Committed());
    // Completion waits for nodes to come back after a restart: on purpose.
    if (steady.Rollout().status->state != "progressing") break;
    if (!restarted.has_stored() || !random.Chance(0.3)) continue;
    timeline.Tell("one of them starts again");
    restarted.End();
    restarted.Start();
    if (timeline.is_violated()) break;
    // Both, so that neither looks at its clocks once more than the other.
    for (Twin* twin : {&steady, &restarted}) twin->Tick({}, Nodes(twin->engine(), has_all));
  }
  RunResult result;
  result.violated = timeline.violated();
  result.steps = timeline.step();
  result.simulated_ms = timeline.now_ms();
  result.story = timeline.story();
  return result;
}

}  // namespace weir::sim
