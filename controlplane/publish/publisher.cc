// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/publisher.h"

#include <algorithm>

#include "shared/base/log.h"

namespace weir::control::publish {
namespace {

constexpr size_t kMaxRemembered = 4096;  // peers whose last answer is known

wire::EntryChange ChangeOf(domain::EntryKind kind, const std::string& name,
                           const std::string& body) {
  return {static_cast<uint32_t>(kind), name, {body}};
}

}  // namespace

Publisher::Publisher(Outbox& outbox, uint64_t epoch, PublisherLimits limits)
    : outbox_(outbox), epoch_(epoch), limits_(limits), budget_bytes_(limits.snapshot_bytes_per_s) {
  emergency_.epoch = epoch;
}

wire::Header Publisher::MakeHeader(wire::Topic topic, wire::Type type) {
  wire::Header header;
  header.topic = topic;
  header.type = type;
  header.epoch = epoch_;
  header.version = head_;
  header.sequence = ++sequence_;
  return header;
}

void Publisher::Put(const catalog::EntryBody& entry) {
  const std::pair key{entry.kind, entry.name};
  if (const auto found = entries_.find(key); found != entries_.end()) {
    digest_.Subtract(found->second.hash);
    entries_.erase(found);
  }
  if (!entry.body.has_value()) return;
  const wire::Hash256 hash = wire::EntryHash(entry.kind, entry.name, *entry.body);
  digest_.Add(hash);
  entries_.emplace(key, Published{*entry.body, hash});
}

bool Publisher::SetEmergency(const domain::EmergencySpec& emergency, uint64_t version) {
  const domain::EmergencyOverlay next{epoch_, version, emergency.kill_switch,
                                      emergency.rollback_to_baseline, emergency.freeze};
  const bool differs = next.kill_switch != emergency_.kill_switch ||
                       next.baseline != emergency_.baseline || next.freeze != emergency_.freeze;
  if (differs) emergency_ = next;
  return differs;
}

void Publisher::Reset(const std::vector<catalog::EntryBody>& entries, uint64_t revision,
                      const domain::EmergencySpec& emergency) {
  entries_.clear();
  digest_ = {};
  deltas_.clear();
  delta_bytes_ = 0;
  snapshot_frame_.clear();
  for (const catalog::EntryBody& entry : entries) Put(entry);
  head_ = revision;
  SetEmergency(emergency, revision);
  emergency_.version = revision;
}

void Publisher::OnCommitted(const catalog::Committed& committed) {
  const bool emergency_changed = SetEmergency(committed.emergency, committed.revision);
  if (committed.entries.empty() && !emergency_changed) return;
  KeptDelta kept{head_, digest_.Raw(), ""};
  wire::Delta delta;
  delta.base = head_;
  for (const catalog::EntryBody& entry : committed.entries) {
    Put(entry);
    delta.changes.push_back(ChangeOf(entry.kind, entry.name, entry.body.value_or("")));
  }
  head_ = committed.revision;
  snapshot_frame_.clear();
  if (emergency_changed) {
    outbox_.Broadcast(wire::Encode(MakeHeader(wire::Topic::kEmergency, wire::Type::kEmergency),
                                   wire::EmergencyMessage{emergency_}));
  }
  delta.digest.value = digest_.Raw();
  delta.emergency = emergency_;
  kept.frame = wire::Encode(MakeHeader(wire::Topic::kConfig, wire::Type::kDelta), delta);
  const bool is_small = kept.frame.size() <= limits_.max_broadcast_bytes;
  if (is_small) outbox_.Broadcast(kept.frame);
  Keep(std::move(kept));
  if (!is_small) SendBeacon();
}

void Publisher::Keep(KeptDelta delta) {
  delta_bytes_ += delta.frame.size();
  deltas_.push_back(std::move(delta));
  while (deltas_.size() > limits_.max_deltas || delta_bytes_ > limits_.max_delta_bytes) {
    delta_bytes_ -= deltas_.front().frame.size();
    deltas_.pop_front();
    if (deltas_.empty()) break;
  }
}

void Publisher::SetAuditHead(uint64_t rows, const std::string& head) {
  audit_rows_ = rows;
  audit_head_ = head;
}

void Publisher::SendBeacon() { outbox_.Broadcast(BeaconFrame()); }

std::string Publisher::BeaconFrame() {
  const wire::Beacon beacon{head_,      {digest_.Raw()}, oldest_delta(),
                            emergency_, {audit_head_},   audit_rows_};
  return wire::Encode(MakeHeader(wire::Topic::kBeacon, wire::Type::kBeacon), beacon);
}

bool Publisher::IsCurrent(const Have& have) const {
  if (have.epoch == 0 || have.epoch > epoch_) return false;
  if (have.epoch == epoch_ && have.version != head_) return false;
  return have.digest == digest_.Raw();
}

void Publisher::BringUpToDate(const std::string& peer, const Have& have, int64_t now_ms) {
  Refill(now_ms);
  if (budget_bytes_ > 0) {
    if (!SendDeltas(peer, have)) SendSnapshot(peer);
    return;
  }
  if (std::find(waiting_.begin(), waiting_.end(), peer) == waiting_.end()) waiting_.push_back(peer);
}

bool Publisher::SendDeltas(const std::string& peer, const Have& have) {
  if (have.epoch != epoch_) return false;
  const auto first = std::find_if(deltas_.begin(), deltas_.end(),
                                  [&](const KeptDelta& kept) { return kept.base == have.version; });
  if (first == deltas_.end()) return false;
  if (!have.digest.empty() && have.digest != first->base_digest) return false;
  if (answered_.size() >= kMaxRemembered) answered_.clear();
  const auto [last, fresh] = answered_.try_emplace(peer, have.version);
  if (!fresh && last->second == have.version) return false;  // the same deltas did not help
  last->second = have.version;
  for (auto at = first; at != deltas_.end(); ++at) {
    budget_bytes_ -= static_cast<int64_t>(at->frame.size());
    outbox_.SendTo(peer, at->frame);
  }
  return true;
}

void Publisher::SendSnapshot(const std::string& peer) {
  answered_.erase(peer);
  if (snapshot_frame_.empty()) {
    wire::SnapshotBody body;
    for (const auto& [key, entry] : entries_) {
      body.entries.push_back(ChangeOf(key.first, key.second, entry.body));
    }
    body.digest.value = digest_.Raw();
    body.emergency = emergency_;
    snapshot_frame_ = wire::Encode(MakeHeader(wire::Topic::kSession, wire::Type::kSnapshot), body);
    Log("publish").debug("snapshot {}/{}: {} entries, {} bytes", epoch_, head_, entries_.size(),
                         snapshot_frame_.size());
  }
  budget_bytes_ -= static_cast<int64_t>(snapshot_frame_.size());
  outbox_.SendTo(peer, snapshot_frame_);
}

void Publisher::Refill(int64_t now_ms) {
  const int64_t elapsed_ms = std::min<int64_t>(now_ms - refilled_ms_, 1000);
  refilled_ms_ = now_ms;
  if (elapsed_ms <= 0) return;
  budget_bytes_ = std::min(budget_bytes_ + limits_.snapshot_bytes_per_s * elapsed_ms / 1000,
                           limits_.snapshot_bytes_per_s);
}

void Publisher::Tick(int64_t now_ms) {
  Refill(now_ms);
  while (!waiting_.empty() && budget_bytes_ > 0) {
    const std::string peer = std::move(waiting_.front());
    waiting_.pop_front();
    SendSnapshot(peer);
  }
}

}  // namespace weir::control::publish
