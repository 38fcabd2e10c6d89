// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/node_process.h"

#include <algorithm>
#include <utility>

#include "shared/decision/decide.h"

namespace weir::sim {
namespace {

constexpr int64_t kTakeMs = 20;  // at most, until every worker has new rules
constexpr int64_t kSaveMs = 60;  // at most, until a snapshot is on disk
constexpr int64_t kFinishMs = 3000;
constexpr int64_t kHeartbeatMs = 1000;

}  // namespace

bool IsBadVersion(std::string_view version) {
  return !version.empty() && (version.back() - '0') % 2 == 0;
}

NodeProcess::NodeProcess(Surroundings around, std::string id, uint64_t fuse)
    : around_(std::move(around)),
      id_(std::move(id)),
      incarnation_(static_cast<uint64_t>(around_.clock.WallMs())),
      fuse_(fuse) {
  node::bus::LinkOptions options;
  options.node = id_;
  options.labels = {{"zone", id_}};
  options.incarnation = incarnation_;
  options.http = "127.0.0.1:8080";
  options.max_telemetry_bytes = 256 * 1024;
  options.keeps_snapshot = true;
  node::bus::LinkHost& host = *this;
  link_ = std::make_unique<node::bus::Link>(host, around_.clock, options,
                                            [this] { return around_.timeline.random().Next(); });
}

NodeProcess::~NodeProcess() {
  is_dead_ = true;
  *is_alive_ = false;
  around_.network.Close(id_);
}

bool NodeProcess::Effect() {
  if (is_dead_) return false;
  if (fuse_ == 0 || --fuse_ > 0) return true;
  around_.timeline.Tell("{} dies", id_);
  is_dead_ = true;
  return false;
}

void NodeProcess::After(int64_t delay_ms, std::function<void()> task) {
  around_.timeline.After(delay_ms, [this, alive = is_alive_, task = std::move(task)] {
    if (*alive && !is_dead_) task();
  });
}

void NodeProcess::Every(int64_t period_ms, std::function<void()> task) {
  After(period_ms, [this, period_ms, task = std::move(task)] {
    task();
    Every(period_ms, task);
  });
}

void NodeProcess::Start() {
  if (!around_.snapshot.empty()) {
    const auto stored = node::snapshot::DecodeLastGood("snapshot", around_.snapshot);
    around_.timeline.Tell("{} starts as {} with {}", id_, incarnation_,
                          stored.ok() ? fmt::format("{}/{}", stored->epoch, stored->version)
                                      : stored.status().ToString());
    if (stored.ok()) link_->Restore(*stored);
  } else {
    around_.timeline.Tell("{} starts as {}", id_, incarnation_);
  }
  Every(node::bus::Link::kTickMs, [this] { link_->Tick(); });
  Every(node::bus::Link::kSecondMs, [this] { link_->Second(); });
  Every(around_.timeline.random().Between(30, 120), [this] { Request(); });
  link_->Start();
}

void NodeProcess::OnFrame(Channel channel, const std::string& frame) {
  if (is_dead_) return;
  const auto decoded = wire::DecodeFrame(frame);
  const bool is_routine = decoded->header.type == wire::Type::kBatchAck ||
                          decoded->header.type == wire::Type::kHeartbeat ||
                          (decoded->header.type == wire::Type::kBeacon && rules_ != nullptr &&
                           rules_->version == decoded->header.version);
  if (!is_routine)
    around_.timeline.Tell("{} hears type {} of {}/{} on {}", id_,
                          static_cast<int>(decoded->header.type), decoded->header.epoch,
                          decoded->header.version, ChannelName(channel));
  channel == Channel::kCfg ? link_->OnCfg(frame) : link_->OnSession(frame);
  if (decoded->header.type != wire::Type::kBeacon || rules_ == nullptr) return;
  const auto beacon = wire::Decode<wire::Beacon>(*decoded);
  const auto& ruleset = link_->receiver().ruleset();
  if (decoded->header.epoch >= link_->receiver().leader_epoch() && ruleset != nullptr &&
      beacon->emergency.IsNewerThan(ruleset->emergency))
    around_.timeline.Violate("an emergency reaches every node that hears a beacon", id_);
}

void NodeProcess::Finish() {
  around_.timeline.Tell("{} stops in order", id_);
  is_quiet_ = true;
  link_->SetDraining();
  link_->Finish(kFinishMs);
}

void NodeProcess::OnFinished() {
  After(50, [this] {
    link_->Close();
    is_finished_ = true;
  });
}

// Requests
// ------------------------------------------------------------------------------------------------

void NodeProcess::Request() {
  if (is_quiet_) return;
  Random& random = around_.timeline.random();
  const auto count = static_cast<uint64_t>(random.Between(1, 6));
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key = fmt::format("user-{}", random.Between(0, 500));
    auto& probe = cells_[{Counted::kProbe, Counted::Version(id_, incarnation_), "stable"}];
    if (probe == nullptr)
      probe = shard_.Prepare({Counted::kProbe, Counted::Version(id_, incarnation_), "stable"});
    probe->RecordAnswer(1, false, 0);
    if (rules_ == nullptr) continue;
    const auto flag =
        decision::DecideFlag(*rules_, fmt::format("f{}", random.Between(0, 3)), key, random.Next());
    if (rules_->emergency.kill_switch && flag.enabled)
      around_.timeline.Violate("a kill switch turns every flag off", id_);
    if (const auto* model = rules_->models().Find("m")) RequestModel(*model, key);
  }
  answered_ += count;
  around_.counted.OnRequests(id_, incarnation_, count);
}

void NodeProcess::RequestModel(const decision::Model& model, const std::string& key) {
  Random& random = around_.timeline.random();
  decision::Keys keys;
  keys.user_id = key;
  const auto arm = decision::DecideArm(*rules_, model, keys, random.Next());
  const telemetry::SeriesKey series{"model/m", std::string(arm.version),
                                    arm.is_canary ? telemetry::kArmCanary : telemetry::kArmStable};
  auto& cell = cells_[series];
  if (cell == nullptr) cell = shard_.Prepare(series);
  const bool is_bad = IsBadVersion(arm.version) && random.Chance(0.5);
  cell->RecordAnswer(static_cast<double>(random.Between(1, 9)), is_bad, telemetry::HashKey(key));
}

void NodeProcess::CollectTelemetry(bool is_last) {
  After(around_.timeline.random().Between(0, 5),
        [this, is_last] { link_->OnCollected(shard_.Take(), {}, is_last); });
}

// Rules
// ------------------------------------------------------------------------------------------------

void NodeProcess::PublishRules(std::shared_ptr<const decision::Ruleset> rules,
                               node::bus::SnapshotName name) {
  around_.timeline.Tell("{} has {}/{} in force", id_, name.first, name.second);
  around_.published.OnRules(id_, in_force_, link_->receiver(), *rules);
  const int64_t now_ms = around_.timeline.now_ms();
  taken_ms_ = std::max(taken_ms_, now_ms + around_.timeline.random().Between(0, kTakeMs));
  After(taken_ms_ - now_ms, [this, rules = std::move(rules), name] {
    rules_ = rules;
    ReportVersions();
    link_->OnTaken(name);
  });
}

// Every version that is wanted gets ready, a little later.
void NodeProcess::ReportVersions() {
  std::vector<wire::VersionReport> versions;
  std::string text;
  rules_->models().ForEach([&](const decision::Model& model) {
    for (const domain::VersionEntry& version : model.versions) {
      if (version.unloaded) continue;
      versions.push_back({model.name, version.version, "READY", ""});
      text += model.name + "/" + version.version + " ";
    }
  });
  if (text == reported_) return;
  reported_ = text;
  After(around_.timeline.random().Between(0, 300),
        [this, versions = std::move(versions)] { link_->ReportVersions(versions); });
}

void NodeProcess::SaveSnapshot(node::snapshot::LastGood snapshot) {
  std::string file = node::snapshot::EncodeLastGood(snapshot);
  After(around_.timeline.random().Between(0, kSaveMs), [this, file = std::move(file)] {
    if (Effect()) around_.snapshot = file;  // written, synced and renamed, or not at all
  });
}

// Wire
// ------------------------------------------------------------------------------------------------

void NodeProcess::Join() {
  After(around_.timeline.random().Between(1, 60), [this] {
    const uint64_t epoch = around_.bootstrap();
    if (epoch == 0) return link_->OnJoined(Unavailable("nobody answers"));
    node::bus::Channels channels;
    channels.control = "control";
    channels.epoch = epoch;
    channels.server_key = "key";
    channels.heartbeat_ms = kHeartbeatMs;
    link_->OnJoined(channels);
  });
}

void NodeProcess::JoinIn(int64_t delay_ms) {
  After(delay_ms, [this] { link_->OnJoinDue(); });
}

Status NodeProcess::Connect(const node::bus::Channels&) {
  around_.network.Open(id_);
  return OkStatus();
}

Status NodeProcess::SendSession(const std::string& frame) {
  if (!Effect()) return OkStatus();  // into nothing
  return around_.network.SendToControl(id_, Channel::kSession, frame) ? OkStatus()
                                                                      : Unavailable("no peer");
}

Status NodeProcess::SendTelemetry(const std::string& frame) {
  if (!Effect()) return OkStatus();
  around_.counted.OnBatch(id_, incarnation_, frame);
  return around_.network.SendToControl(id_, Channel::kTelemetry, frame) ? OkStatus()
                                                                        : Unavailable("no peer");
}

void NodeProcess::PublishStatus(const node::bus::BusStatus&) {}

}  // namespace weir::sim
