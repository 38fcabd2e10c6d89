// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "dataplane/snapshot/entry.h"

namespace weir::node::snapshot {
namespace {

constexpr size_t kMaxHeldDeltas = 64;

constexpr char kWrongDigest[] = "the digest does not hold";

Result<std::pair<uint8_t, std::string>> KeyOf(const wire::EntryChange& change) {
  if (change.kind == 0 || change.kind > 255) {
    return DataLoss(fmt::format("kind {} of \"{}\" is not in 1..255", change.kind, change.name));
  }
  return std::pair(static_cast<uint8_t>(change.kind), change.name);
}

wire::Hash256 HashOf(const std::pair<uint8_t, std::string>& key, const std::string& bytes) {
  return wire::EntryHash(static_cast<domain::EntryKind>(key.first), key.second, bytes);
}

using Changes =
    std::map<std::pair<uint8_t, std::string>, std::pair<wire::Hash256, const std::string*>>;

Status ReadChanges(const std::vector<wire::EntryChange>& from, Changes& into) {
  for (const wire::EntryChange& change : from) {
    WEIR_ASSIGN_OR_RETURN(const auto key, KeyOf(change));
    const wire::Hash256 hash = HashOf(key, change.body.value);
    if (!into.try_emplace(key, hash, &change.body.value).second) {
      return DataLoss("\"" + change.name + "\" is there twice");
    }
  }
  return OkStatus();
}

}  // namespace

Receiver::Receiver(domain::Labels labels, std::function<uint64_t()> random, Listener listener)
    : labels_(std::move(labels)), random_(std::move(random)), listener_(std::move(listener)) {}

void Receiver::Restore(const LastGood& stored) {
  wire::SetDigest digest;
  for (const StoredEntry& entry : stored.entries) {
    const Key key(static_cast<uint8_t>(entry.kind), entry.name);
    if (!entry.good.value.empty()) Take(key, HashOf(key, entry.good.value), entry.good.value);
    const wire::Hash256 hash = HashOf(key, entry.published.value);
    Take(key, hash, entry.published.value);
    digest.Add(hash);
  }
  LayEmergency(stored.emergency);
  leader_epoch_ = stored.epoch;
  target_ = stored.version;
  Arrive(stored.epoch, stored.version, digest);
  Publish();
}

std::optional<LastGood> Receiver::Export(int64_t now_wall_ms) const {
  if (!has_snapshot_) return std::nullopt;
  LastGood stored{epoch_, version_, {digest_.Raw()}, emergency_, {}, now_wall_ms};
  stored.entries.reserve(entries_.size());
  for (const auto& [key, held] : entries_) {
    stored.entries.push_back({key.first, key.second, {held.published}, {held.good}});
  }
  return stored;
}

Status Receiver::Handle(const wire::Frame& frame, int64_t now_ms) {
  Status status = Dispatch(frame, now_ms);
  Publish();
  return status;
}

Status Receiver::Dispatch(const wire::Frame& frame, int64_t now_ms) {
  if (frame.header.epoch < leader_epoch_) {
    ++counters_.fenced;
    return FailedPrecondition(
        fmt::format("epoch {} is over; epoch {} was heard", frame.header.epoch, leader_epoch_));
  }
  switch (frame.header.type) {
    case wire::Type::kDelta:
      return OnDelta(frame, now_ms);
    case wire::Type::kSnapshot:
      return OnSnapshot(frame, now_ms);
    case wire::Type::kBeacon:
      return OnBeacon(frame, now_ms);
    case wire::Type::kEmergency:
      return OnEmergency(frame);
    case wire::Type::kWelcome:
      NoteHead(frame.header.epoch, 0, now_ms);
      return OkStatus();
    default:
      ++counters_.malformed;
      return DataLoss(fmt::format("type {} says nothing of snapshots",
                                  static_cast<unsigned>(frame.header.type)));
  }
}

Status Receiver::OnDelta(const wire::Frame& frame, int64_t now_ms) {
  const wire::Header& header = frame.header;
  auto delta = wire::Decode<wire::Delta>(frame);
  if (!delta.ok()) {
    NoteHead(header.epoch, header.version, now_ms);
    return Reject(delta.status(), now_ms);
  }
  LayEmergency(delta->emergency);
  if (header.epoch == epoch_ && header.version <= version_) {
    ++counters_.duplicates;
    return OkStatus();
  }
  NoteHead(header.epoch, header.version, now_ms);
  const bool is_next = header.epoch == epoch_ && delta->base == version_;
  const bool is_new_epoch = header.epoch != epoch_ && has_snapshot_;
  auto change = is_next || is_new_epoch ? Verify(*delta) : Result<SetChange>(DataLoss("no base"));
  if (change.ok()) {
    Apply(header, *change);
    ApplyHeld(now_ms);
    return OkStatus();
  }
  if (is_next) return Reject(change.status(), now_ms);
  ++counters_.gaps;
  Status gap =
      FailedPrecondition(fmt::format("delta {}/{} builds on {}; {}/{} is here", header.epoch,
                                     header.version, delta->base, epoch_, version_));
  if (ahead_.size() < kMaxHeldDeltas) {
    ahead_.insert_or_assign(header.version, HeldDelta{header, *std::move(delta)});
  }
  return gap;
}

Status Receiver::OnSnapshot(const wire::Frame& frame, int64_t now_ms) {
  const wire::Header& header = frame.header;
  auto body = wire::Decode<wire::SnapshotBody>(frame);
  if (!body.ok()) {
    NoteHead(header.epoch, header.version, now_ms);
    return Reject(body.status(), now_ms);
  }
  LayEmergency(body->emergency);
  if (header.epoch == epoch_ && has_snapshot_) {
    if (header.version < version_) {
      ++counters_.duplicates;
      return OkStatus();
    }
    if (header.version == version_ && !suspect_ && body->digest.value == digest_.Raw()) {
      ++counters_.duplicates;
      return OkStatus();
    }
  }
  NoteHead(header.epoch, header.version, now_ms);
  WEIR_RETURN_IF_ERROR(ApplySnapshot(header, *body, now_ms));
  ApplyHeld(now_ms);
  return OkStatus();
}

void Receiver::NoteAudit(uint64_t epoch, const wire::Beacon& beacon) {
  if (beacon.audit_rows == 0) return;  // of a control plane that does not say
  if (heard_.empty() || heard_.back().epoch != epoch) {
    if (heard_.size() == kHeardEpochs) heard_.erase(heard_.begin());
    heard_.emplace_back();
  }
  heard_.back() = {epoch, beacon.audit_rows, beacon.audit_head};
}

Status Receiver::OnBeacon(const wire::Frame& frame, int64_t now_ms) {
  auto beacon = wire::Decode<wire::Beacon>(frame);
  if (!beacon.ok()) {
    ++counters_.malformed;
    return beacon.status();
  }
  last_beacon_ms_ = now_ms;
  LayEmergency(beacon->emergency);
  const uint64_t epoch = frame.header.epoch;
  NoteAudit(epoch, *beacon);
  control_plane_behind_ = has_snapshot_ && epoch == epoch_ && beacon->head < version_;
  if (control_plane_behind_) return OkStatus();
  NoteHead(epoch, beacon->head, now_ms);
  const bool same = beacon->digest.value == digest_.Raw();
  const bool here = has_snapshot_ && epoch == epoch_ && beacon->head == version_;
  if (same && (!here || suspect_)) {
    Arrive(epoch, beacon->head, digest_);  // the same set under a newer name: carry on
    ApplyHeld(now_ms);
  } else if (!same && here) {
    ++counters_.wrong_digest;
    Suspect(now_ms);
    return DataLoss(fmt::format("the digest of {}/{} is not the control plane's", epoch, version_));
  }
  if (!IsBehind()) {
    jitter_ = false;
    hold_until_ms_ = 0;
  }
  return OkStatus();
}

Status Receiver::OnEmergency(const wire::Frame& frame) {
  auto message = wire::Decode<wire::EmergencyMessage>(frame);
  if (!message.ok()) {
    ++counters_.malformed;
    return message.status();
  }
  LayEmergency(message->emergency);
  return OkStatus();
}

Result<Receiver::SetChange> Receiver::Verify(const wire::Delta& delta) const {
  SetChange change{{}, digest_};
  WEIR_RETURN_IF_ERROR(ReadChanges(delta.changes, change.entries));
  for (const auto& [key, entry] : change.entries) {
    const auto held = entries_.find(key);
    if (held != entries_.end()) change.digest.Subtract(held->second.hash);
    if (!entry.second->empty()) change.digest.Add(entry.first);
  }
  if (change.digest.Raw() != delta.digest.value) return DataLoss(kWrongDigest);
  return change;
}

void Receiver::Apply(const wire::Header& header, const SetChange& change) {
  for (const auto& [key, entry] : change.entries) {
    entry.second->empty() ? Drop(key) : Take(key, entry.first, *entry.second);
  }
  ++counters_.applied;
  Arrive(header.epoch, header.version, change.digest);
}

Status Receiver::ApplySnapshot(const wire::Header& header, const wire::SnapshotBody& body,
                               int64_t now_ms) {
  SetChange change;
  const Status read = ReadChanges(body.entries, change.entries);
  if (!read.ok()) return Reject(read, now_ms);
  for (const auto& [key, entry] : change.entries) {
    if (entry.second->empty()) return Reject(DataLoss("\"" + key.second + "\" is empty"), now_ms);
    change.digest.Add(entry.first);
  }
  if (change.digest.Raw() != body.digest.value) return Reject(DataLoss(kWrongDigest), now_ms);
  for (auto held = entries_.begin(); held != entries_.end();) {
    const Key key = held->first;
    ++held;
    if (!change.entries.contains(key)) Drop(key);
  }
  std::erase_if(change.entries, [this](const auto& item) {  // what did not change stays shared
    const auto held = entries_.find(item.first);
    return held != entries_.end() && held->second.hash == item.second.first;
  });
  Apply(header, change);
  return OkStatus();
}

// The whole message is refused: only a whole snapshot helps.
Status Receiver::Reject(const Status& why, int64_t now_ms) {
  ++(why.message() == kWrongDigest ? counters_.wrong_digest : counters_.malformed);
  Suspect(now_ms);
  return why;
}

// Deltas that were waiting for their base.
void Receiver::ApplyHeld(int64_t now_ms) {
  while (!ahead_.empty()) {
    auto first = ahead_.extract(ahead_.begin());
    const HeldDelta& held = first.mapped();
    if (held.header.epoch != epoch_ || held.header.version <= version_) continue;
    if (held.delta.base != version_) {
      ahead_.insert(std::move(first));
      return;
    }
    const auto change = Verify(held.delta);
    if (!change.ok()) return static_cast<void>(Reject(change.status(), now_ms));
    Apply(held.header, *change);
  }
}

void Receiver::Take(const Key& key, const wire::Hash256& hash, const std::string& bytes) {
  Held& held = entries_[key];
  auto entry = DecodeEntry(static_cast<domain::EntryKind>(key.first), key.second, bytes);
  if (entry.ok()) {
    std::visit([this](auto& value) { Next().Set(std::move(value)); }, *entry);
    held.good.clear();
    held.refused.reset();
  } else {
    if (!held.refused) held.good = std::move(held.published);
    const Status why = entry.status();
    held.refused = wire::RefusedEntry{key.first, key.second, CodeName(why.code()), why.ToString()};
    ++counters_.nacks;
  }
  held.hash = hash;
  held.published = bytes;
}

void Receiver::Drop(const Key& key) {
  if (entries_.erase(key) == 0) return;
  Next().Remove(static_cast<domain::EntryKind>(key.first), key.second);
}

void Receiver::Arrive(uint64_t epoch, uint64_t version, const wire::SetDigest& digest) {
  has_snapshot_ = true;
  epoch_ = epoch;
  version_ = version;
  digest_ = digest;
  suspect_ = false;
  control_plane_behind_ = false;
  Next();
  if (IsBehind()) return;
  jitter_ = false;
  hold_until_ms_ = 0;
}

void Receiver::LayEmergency(const domain::EmergencyOverlay& overlay) {
  if (!overlay.IsNewerThan(emergency_)) return;
  emergency_ = overlay;
  if (has_snapshot_) Next();
}

void Receiver::NoteHead(uint64_t epoch, uint64_t version, int64_t now_ms) {
  const bool was_behind = IsBehind();
  if (epoch > leader_epoch_) {
    leader_epoch_ = epoch;
    target_ = version;
    ahead_.clear();
  }
  target_ = std::max(target_, version);
  if (!was_behind && IsBehind()) ScheduleRequest(now_ms);
}

bool Receiver::IsBehind() const {
  return suspect_ || epoch_ != leader_epoch_ || version_ < target_;
}

void Receiver::Suspect(int64_t now_ms) {
  if (!IsBehind()) ScheduleRequest(now_ms);
  suspect_ = true;
}

void Receiver::ScheduleRequest(int64_t now_ms) {
  const int64_t jitter = jitter_ ? static_cast<int64_t>(random_() % (kJitterMs + 1)) : 0;
  request_at_ms_ = std::max(hold_until_ms_, now_ms + jitter);
}

void Receiver::OnHello(int64_t now_ms) {
  jitter_ = true;
  hold_until_ms_ = now_ms + kRetryMs;
  request_at_ms_ = std::max(request_at_ms_, hold_until_ms_);
}

std::optional<wire::SnapshotRequest> Receiver::TakeRequest(int64_t now_ms) {
  if (!IsBehind() || now_ms < request_at_ms_) return std::nullopt;
  hold_until_ms_ = 0;
  ScheduleRequest(now_ms + kRetryMs);
  if (suspect_) return wire::SnapshotRequest{};  // the whole of it
  return wire::SnapshotRequest{epoch_, version_};
}

std::vector<wire::RefusedEntry> Receiver::refused() const {
  std::vector<wire::RefusedEntry> all;
  for (const auto& [key, held] : entries_) {
    if (held.refused) all.push_back(*held.refused);
  }
  return all;
}

bool Receiver::IsStale(int64_t now_ms, int64_t period_ms) const {
  return !last_beacon_ms_ || now_ms - *last_beacon_ms_ > kMissedBeacons * period_ms;
}

decision::Ruleset& Receiver::Next() {
  if (!next_) next_ = current_ ? *current_ : decision::Ruleset(labels_);
  return *next_;
}

void Receiver::Publish() {
  if (!next_) return;
  next_->epoch = epoch_;
  next_->version = version_;
  next_->emergency = emergency_;
  current_ = std::make_shared<const decision::Ruleset>(*std::move(next_));
  next_.reset();
  listener_(current_);
}

}  // namespace weir::node::snapshot
