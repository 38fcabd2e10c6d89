// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/control_process.h"

#include <algorithm>
#include <utility>

namespace weir::sim {
namespace {

constexpr int64_t kPostMs = 3;  // at most, from one thread to the other

control::publish::PublisherLimits LimitsOf(Random& random) {
  control::publish::PublisherLimits limits;
  if (random.Chance(0.5)) return limits;
  limits.max_broadcast_bytes = static_cast<size_t>(random.Between(300, 3000));
  limits.max_deltas = static_cast<size_t>(random.Between(1, 6));
  limits.snapshot_bytes_per_s = random.Between(4000, 100'000);
  return limits;
}

}  // namespace

control::catalog::EntryBody AsNewer(control::catalog::EntryBody entry) {
  const bool is_odd = entry.kind == domain::EntryKind::kFlag && entry.name.starts_with("odd");
  if (!is_odd || !entry.body || entry.body->empty()) return entry;
  std::string& body = *entry.body;
  uint64_t sum = 0;
  for (const char c : body) sum = sum * 31 + static_cast<unsigned char>(c);
  const auto first = static_cast<unsigned char>(body[0]);
  if (sum % 2 == 0 || first < 0x80 || first >= 0x8f) return entry;
  body[0] = static_cast<char>(first + 1);
  body += "\x62\xc3";  // 98: true
  return entry;
}

ControlProcess::ControlProcess(Surroundings around, uint64_t fuse) : around_(around), fuse_(fuse) {
  around_.disk.Revive();
  around_.disk.SetEffect([this] { return Effect(); });
}

ControlProcess::~ControlProcess() {
  is_dead_ = true;
  *is_alive_ = false;
  around_.disk.Die();
  hub_.reset();
  engine_.reset();
  around_.disk.SetEffect({});
}

bool ControlProcess::Effect() {
  if (is_dead_) return false;
  if (fuse_ == 0 || --fuse_ > 0) return true;
  around_.timeline.Tell("control dies");
  is_dead_ = true;
  around_.disk.Die();
  return false;
}

void ControlProcess::After(int64_t delay_ms, std::function<void()> task) {
  around_.timeline.After(delay_ms, [this, alive = is_alive_, task = std::move(task)] {
    if (*alive && !is_dead_) task();
  });
}

void ControlProcess::Post(Queue& queue, std::function<void()> task) {
  if (!Effect()) return;
  const int64_t now_ms = around_.timeline.now_ms();
  queue.last_ms = std::max(queue.last_ms, now_ms + around_.timeline.random().Between(0, kPostMs));
  After(queue.last_ms - now_ms, std::move(task));
}

void ControlProcess::Every(int64_t period_ms, std::function<void()> task) {
  After(period_ms, [this, period_ms, task = std::move(task)] {
    task();
    Every(period_ms, task);
  });
}

control::EngineHooks ControlProcess::MakeHooks() {
  control::EngineHooks hooks;
  hooks.publish = [this](const control::catalog::Committed& committed) { OnCommitted(committed); };
  hooks.acknowledge = [this](const control::ingest::HighWaters& stored) {
    ++telemetry_commits_;
    Post(bus_, [this, stored] { hub_->Acknowledge(stored); });
  };
  hooks.post = [this](std::function<void()> task) { Post(core_, std::move(task)); };
  hooks.gate = [](const domain::Resource&, uint64_t, size_t, int64_t) {
    return control::rollout::GateState{true, false, ""};
  };
  hooks.notify = [this](const std::string& type, const std::string&, codec::Json data) {
    around_.timeline.Tell("control tells {}: {}", type, data.dump());
  };
  hooks.show_decision = [](const control::ingest::ShownDecision&) {};
  return hooks;
}

control::publish::Hub::Listener ControlProcess::MakeListener() {
  return {[this](std::shared_ptr<const control::publish::NodesView> view) {
            Post(core_, [this, view = std::move(view)] { engine_->OnNodes(view); });
          },
          [this](const control::publish::AppliedEvent& event) {
            Post(core_, [this, event] { engine_->OnApplied(event); });
          },
          [this](control::ingest::TelemetryTick tick) {
            Post(core_, [this, tick = std::move(tick)] { engine_->OnTelemetry(tick); });
          }};
}

Status ControlProcess::Start() {
  engine_ = std::make_unique<control::Engine>(around_.clock, MakeHooks());
  WEIR_RETURN_IF_ERROR(engine_->Open(around_.disk.directory()));
  if (is_dead_) return Unavailable("dead");
  around_.revisions.OnStart(engine_->store());
  WEIR_RETURN_IF_ERROR(engine_->StartDriver());
  control::publish::HubOutbox& outbox = *this;
  hub_ = std::make_unique<control::publish::Hub>(
      outbox, around_.clock, engine_->epoch(), MakeListener(), LimitsOf(around_.timeline.random()));
  std::vector<control::catalog::EntryBody> entries = engine_->catalog().AllEntries();
  for (auto& entry : entries) entry = AsNewer(std::move(entry));
  hub_->Reset(entries, engine_->catalog().revision(), engine_->catalog().emergency(),
              engine_->committed());
  around_.published.Begin(engine_->epoch(), engine_->catalog().revision(), entries);
  around_.timeline.Tell("control leads epoch {} at revision {}", engine_->epoch(),
                        engine_->catalog().revision());
  hub_->BeaconTick();
  engine_->Follow();
  Every(control::publish::Hub::kTickMs, [this] { hub_->Tick(); });
  Every(control::publish::kHeartbeatMs, [this] { hub_->BeaconTick(); });
  After(around_.timeline.random().Between(0, 99), [this] {
    Every(control::Engine::kTickMs, [this] {
      around_.revisions.OnAsk("rollout/");
      engine_->Tick();
    });
    Every(control::Engine::kScheduleMs, [this] { engine_->FoldSchedules(); });
  });
  return is_dead_ ? Unavailable("dead") : OkStatus();
}

void ControlProcess::OnCommitted(const control::catalog::Committed& committed) {
  if (is_dead_) return;
  around_.revisions.OnAnswered(engine_->store(), committed.revision);
  control::catalog::Committed newer = committed;
  for (auto& entry : newer.entries) entry = AsNewer(std::move(entry));
  around_.timeline.Tell("revision {}: {} entries change", committed.revision,
                        committed.entries.size());
  Post(bus_, [this, newer = std::move(newer)] {
    around_.published.Add(newer);
    hub_->Publish(newer);
  });
}

void ControlProcess::OnFrame(Channel channel, const std::string& peer, const std::string& node,
                             const std::string& frame) {
  if (is_dead_) return;
  if (channel == Channel::kTelemetry) return hub_->OnTelemetry(node, frame);
  if (channel != Channel::kSession) return;
  hub_->OnSession(peer, node, frame);
  hub_->FlushNodes();
}

void ControlProcess::Call(std::function<void(control::Engine&)> call) {
  Post(core_, [this, call = std::move(call)] {
    engine_->FoldSchedules();
    if (!is_dead_) call(*engine_);
  });
}

bool ControlProcess::Commit(control::Engine& engine, control::catalog::CommitRequest request) {
  around_.revisions.OnAsk(request.reason);
  const auto result = engine.catalog().Commit(request);
  if (is_dead_) return false;
  if (!result.ok()) {
    around_.revisions.OnAsk("");
    around_.timeline.Tell("refused: {}", result.status().ToString());
  }
  return result.ok();
}

void ControlProcess::Order(control::Engine& engine, const std::string& rollout,
                           const control::rollout::Command& command) {
  around_.revisions.OnAsk(command.reason);
  const auto result = engine.driver().Obey(rollout, command, around_.clock.WallMs());
  if (!is_dead_ && !result.ok()) around_.timeline.Tell("refused: {}", result.status().ToString());
}

void ControlProcess::Broadcast(std::string_view frame) {
  if (Effect()) around_.network.Broadcast(frame);
}

void ControlProcess::SendTo(const std::string& peer, std::string_view frame) {
  if (Effect()) around_.network.SendTo(peer, frame);
}

void ControlProcess::SetWelcome(std::string_view frame) {
  if (!is_dead_) welcome_ = frame;
}

}  // namespace weir::sim
