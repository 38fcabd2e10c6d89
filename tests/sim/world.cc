// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

#include <algorithm>
#include <utility>

namespace weir::sim {
namespace {

constexpr int64_t kBusyMs = 8000;      // of trouble and change, at most
constexpr int64_t kJudgeMs = 2000;     // afterwards, for what is bad to be found
constexpr int64_t kSettleMs = 14'000;  // until all agree: three beacons, the longest back-offs, two
                                       // beacons more and a request
constexpr int64_t kQuietMs = 6000;     // for the last batches to be stored, a resend included
constexpr int64_t kLookMs = 250;
constexpr int64_t kHourMs = 3'600'000;

Chaos ChaosOf(Random& random) {
  Chaos chaos;
  chaos.latency_ms = random.Between(1, 40);
  if (random.Chance(0.3)) return chaos;
  chaos.loss = random.Chance(0.5) ? 0.02 : 0.15;
  chaos.duplicate = random.Chance(0.5) ? 0.05 : 0.25;
  chaos.replay = 0.3;
  chaos.overtake = random.Chance(0.5) ? 0 : 0.1;
  return chaos;
}

}  // namespace

World::World(const RunOptions& options)
    : timeline_(options.seed, options.is_verbose, options.keeps_story),
      random_(timeline_.random()),
      disk_(options.directory + "/control"),
      published_(timeline_),
      counted_(timeline_),
      revisions_(timeline_),
      network_(timeline_, ChaosOf(random_),
               {[this](Channel channel, const std::string& peer, const std::string& node,
                       const std::string& frame) {
                  if (control_ != nullptr) control_->OnFrame(channel, peer, node, frame);
                },
                [this](const std::string& node, Channel channel, const std::string& frame) {
                  NodeProcess* process = machines_.at(node).process.get();
                  if (process != nullptr) process->OnFrame(channel, frame);
                },
                [this] { return control_->welcome(); }}),
      control_clock_(timeline_, -5000),
      operator_(timeline_) {
  trouble_ = random_.Chance(0.2) ? 0 : static_cast<double>(random_.Between(1, 10)) / 10;
  const int64_t count = random_.Between(2, 4);
  for (int64_t i = 1; i <= count; ++i) {
    ids_.push_back(fmt::format("n{}", i));
    machines_.try_emplace(ids_.back(), timeline_, -1000 * i);
  }
}

// Processes
// ------------------------------------------------------------------------------------------------

void World::StartControl() {
  if (control_ != nullptr) return;
  const bool has_fuse = !is_settling_ && random_.Chance(trouble_ * 0.5);
  const auto fuse = static_cast<uint64_t>(random_.Chance(0.3) ? random_.Between(1, 40)
                                                              : random_.Between(40, 1500));
  control_ = std::make_unique<ControlProcess>(
      ControlProcess::Surroundings{timeline_, disk_, network_, published_, revisions_,
                                   control_clock_},
      has_fuse ? fuse : 0);
  const Status started = control_->Start();
  if (started.ok()) {
    counted_.Compare(control_->engine().store());
    return network_.SetControlUp(true);
  }
  if (!control_->is_dead())
    return timeline_.Violate("a control plane starts on what a crash left", started.ToString());
}

void World::EndControl(bool power) {
  timeline_.Tell("control is gone{}", power ? ", and its machine" : "");
  ++seen_[power ? "losses of power" : "crashes of the control plane"];
  network_.SetControlUp(false);
  control_.reset();
  disk_.Settle(power, random_);
  if (power) control_clock_.Reboot();
  timeline_.After(random_.Between(200, is_settling_ ? 500 : 3000), [this] { StartControl(); });
}

void World::StartNode(const std::string& id) {
  Machine& machine = machines_.at(id);
  if (machine.process != nullptr) return;
  const bool has_fuse = !is_settling_ && random_.Chance(trouble_ * 0.3);
  machine.process = std::make_unique<NodeProcess>(
      NodeProcess::Surroundings{
          timeline_, network_, published_, counted_, machine.clock, machine.snapshot,
          [this, id]() -> uint64_t {
            const bool is_there = control_ != nullptr && !control_->is_dead() &&
                                  !network_.IsCut(id, Channel::kSession);
            return is_there ? control_->engine().epoch() : 0;
          }},
      id, has_fuse ? static_cast<uint64_t>(random_.Between(1, 400)) : 0);
  machine.process->Start();
}

void World::EndNode(const std::string& id) {
  Machine& machine = machines_.at(id);
  timeline_.Tell("{} is gone", id);
  ++seen_["ends of a node"];
  machine.process.reset();
  if (random_.Chance(0.2)) machine.clock.Reboot();
  timeline_.After(random_.Between(100, is_settling_ ? 300 : 4000), [this, id] { StartNode(id); });
}

void World::AfterEach() {
  if (control_ != nullptr && control_->is_dead()) EndControl(random_.Chance(0.5));
  for (const std::string& id : ids_) {
    const NodeProcess* process = machines_.at(id).process.get();
    if (process != nullptr && (process->is_dead() || process->is_finished())) EndNode(id);
  }
}

// Trouble
// ------------------------------------------------------------------------------------------------

const std::string& World::AnyNode() {
  return ids_[static_cast<size_t>(random_.Between(0, static_cast<int64_t>(ids_.size()) - 1))];
}

void World::ScheduleTrouble() {
  if (trouble_ == 0) return;
  const auto gap = static_cast<int64_t>(1500 / trouble_);
  timeline_.After(random_.Between(100, gap), [this] {
    if (is_settling_) return;
    Trouble();
    ScheduleTrouble();
  });
}

void World::Trouble() {
  const std::string& id = AnyNode();
  NodeProcess* process = machines_.at(id).process.get();
  switch (random_.Between(0, 9)) {
    case 0:
      if (process != nullptr) EndNode(id);
      return;
    case 1:
      if (process != nullptr) process->Finish();
      return;
    case 2:
      if (control_ != nullptr) control_->LightFuse(static_cast<uint64_t>(random_.Between(1, 60)));
      return;
    case 3: {
      const int64_t step_ms = random_.Chance(0.5) ? kHourMs : -kHourMs;
      const bool is_control = random_.Chance(0.4);
      timeline_.Tell("the clock of {} jumps by {} ms", is_control ? "control" : id, step_ms);
      ++seen_["clock jumps"];
      return (is_control ? control_clock_ : machines_.at(id).clock).StepWallMs(step_ms);
    }
    case 4:
      backup_ = disk_.Copy();
      backup_revisions_ = revisions_.Copy();
      return;
    case 5:
      return RestoreBackup();
    case 6: {
      std::string& file = machines_.at(id).snapshot;
      if (process == nullptr && !file.empty() && random_.Chance(0.3))
        file[static_cast<size_t>(random_.Between(0, static_cast<int64_t>(file.size()) - 1))] ^= 4;
      return;
    }
    default: {
      ++seen_["partitions"];
      const int64_t for_ms = random_.Between(50, 9000);
      for (const Channel channel : {Channel::kCfg, Channel::kSession, Channel::kTelemetry}) {
        if (random_.Chance(0.7)) network_.Cut(id, channel, for_ms);
      }
    }
  }
}

// Somebody puts an older copy of the database back. Its next epoch is newer than all that were
// heard as long as the clock is.
void World::RestoreBackup() {
  const auto wall_s = static_cast<uint64_t>(control_clock_.WallMs() / 1000);
  if (backup_.empty() || control_ == nullptr || wall_s <= published_.head().first + 5) return;
  timeline_.Tell("an older database is put back");
  ++seen_["restored backups"];
  EndControl(false);
  disk_.Replace(backup_);
  revisions_.Restore(backup_revisions_);
}

void World::ScheduleChange() {
  timeline_.After(random_.Between(50, 1200), [this] {
    if (is_settling_) return;
    if (control_ != nullptr && !control_->is_dead()) {
      if (random_.Chance(trouble_ * 0.15))
        control_->LightFuse(static_cast<uint64_t>(random_.Between(1, 25)));
      control_->Call([this](control::Engine& engine) { operator_.Act(*control_, engine); });
    }
    ScheduleChange();
  });
}

// The run
// ------------------------------------------------------------------------------------------------

void World::Settle() {
  is_settling_ = true;
  network_.Heal();
  if (control_ != nullptr) control_->PutOutFuse();
  for (auto& [id, machine] : machines_) {
    if (machine.process != nullptr) machine.process->PutOutFuse();
  }
}

RunResult World::Run() {
  StartControl();
  for (const std::string& id : ids_) {
    timeline_.After(random_.Between(0, 1000), [this, id] { StartNode(id); });
  }
  ScheduleChange();
  ScheduleTrouble();
  timeline_.RunUntil(random_.Between(kBusyMs / 3, kBusyMs), [this] { AfterEach(); });
  Settle();
  Await(kJudgeMs, kSettleMs, [this] { return Complaint(); });
  if (!timeline_.is_violated()) CheckRollouts();
  for (auto& [id, machine] : machines_) {
    if (machine.process != nullptr) machine.process->Quiet();
  }
  Await(0, kQuietMs, [this]() -> std::pair<std::string, std::string> {
    for (const std::string& id : ids_) {
      NodeProcess* process = machines_.at(id).process.get();
      if (process == nullptr) return {"everyone is up again", id + " is not"};
      process->Quiet();  // one that died and came back meanwhile, too
      if (process->link().reporter().pending_batches() > 0)
        return {"telemetry is stored in the end", id};
    }
    return Complaint();
  });
  if (!timeline_.is_violated()) CheckBooks();
  RunResult result;
  result.violated = timeline_.violated();
  result.steps = timeline_.step();
  result.simulated_ms = timeline_.now_ms();
  result.fingerprint = random_.Next() ^ (timeline_.step() << 20);
  result.story = timeline_.story();
  result.seen = seen_;
  control_.reset();
  for (auto& [id, machine] : machines_) machine.process.reset();
  return result;
}

void World::Await(int64_t at_least_ms, int64_t at_most_ms,
                  const std::function<std::pair<std::string, std::string>()>& what) {
  const int64_t began_ms = timeline_.now_ms();
  timeline_.RunUntil(began_ms + at_least_ms, [this] { AfterEach(); });
  while (!timeline_.is_violated()) {
    timeline_.RunUntil(timeline_.now_ms() + kLookMs, [this] { AfterEach(); });
    const auto [rule, against] = what();
    if (rule.empty()) return;
    if (timeline_.now_ms() - began_ms >= at_most_ms) timeline_.Violate(rule, against);
  }
}

std::pair<std::string, std::string> World::Complaint() {
  if (control_ == nullptr) return {"everyone is up again", "control is not"};
  for (const std::string& id : ids_) {
    auto complaint = ComplaintOf(id);
    if (!complaint.first.empty()) return complaint;
  }
  return {};
}

std::pair<std::string, std::string> World::ComplaintOf(const std::string& id) {
  const NodeProcess* process = machines_.at(id).process.get();
  if (process == nullptr || process->rules() == nullptr)
    return {"everyone is up again", id + " is not"};
  control::Engine& engine = control_->engine();
  const auto& publisher = control_->hub().publisher();
  const SnapshotName head(publisher.epoch(), publisher.head());
  const SnapshotName workers(process->rules()->epoch, process->rules()->version);
  if (process->link().receiver().position().digest != publisher.digest() || workers != head)
    return {"all nodes that can talk converge",
            fmt::format("{} has {}/{}, the head is {}/{}", id, workers.first, workers.second,
                        head.first, head.second)};
  const auto emergency = engine.catalog().emergency();
  if (process->rules()->emergency.kill_switch != emergency.kill_switch ||
      process->rules()->emergency.baseline != emergency.rollback_to_baseline ||
      process->rules()->emergency.freeze != emergency.freeze)
    return {"emergencies reach every reachable node", id};
  const auto* status = engine.nodes()->Find(id);
  if (status == nullptr || SnapshotName(status->epoch, status->version) != head ||
      status->incarnation != process->incarnation() ||
      status->state != control::publish::NodeState::kReady)
    return {"the control plane knows what nodes have in force",
            status == nullptr
                ? id
                : fmt::format("{} is {} with {}/{} as {}", id, NodeStateName(status->state),
                              status->epoch, status->version, status->incarnation)};
  if (status->refused.size() != process->link().receiver().refused().size())
    return {"the control plane knows what nodes refuse", id};
  if (status->versions.empty() && process->rules()->models().size() > 0)
    return {"the control plane knows which versions are ready", id};
  return {};
}

void World::CheckBooks() {
  control::Engine& engine = control_->engine();
  for (const std::string& id : ids_) {
    counted_.CompareAll(engine.store(), id, machines_.at(id).process->incarnation());
  }
  counted_.Compare(engine.store());
  seen_["revisions"] += engine.catalog().revision();
}

void World::CheckRollouts() {
  if (control_ == nullptr) return timeline_.Violate("everyone is up again", "control is not");
  control::Engine& engine = control_->engine();
  engine.catalog().ForEach(domain::Kind::kRollout, [&](const domain::Resource& rollout) {
    const domain::RolloutStatus& status = *rollout.status;
    const bool is_bad = IsBadVersion(rollout.As<domain::RolloutSpec>().candidate);
    const bool is_automatic = status.rollback_kind == "automatic" && status.last_verdict &&
                              status.last_verdict->trigger != "system_failure";
    ++seen_["rollouts " + status.state];
    const std::string text =
        fmt::format("{} of {}: {} {}", rollout.name, rollout.As<domain::RolloutSpec>().candidate,
                    status.state, status.last_verdict ? status.last_verdict->evidence : "");
    timeline_.Tell("{}", text);
    if (is_automatic && !is_bad) timeline_.Violate("nothing good is rolled back", text);
    const auto view = engine.driver().View(rollout.name);
    const bool is_out = status.state == "progressing" && is_bad && view.ok();
    if (is_out && view->phase_requests > 200) {
      const domain::Resource* model = engine.catalog().Find(domain::Kind::kModel, "m");
      if (!IsBadVersion(model->As<domain::ModelSpec>().stable))
        timeline_.Violate("what is bad is rolled back", text);
    }
  });
}

RunResult Run(const RunOptions& options) {
  ResetSqliteRandom();
  World world(options);
  return world.Run();
}

}  // namespace weir::sim
