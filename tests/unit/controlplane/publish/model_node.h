// SPDX-License-Identifier: Apache-2.0
// What the publish tests share: an outbox that remembers, and a node written from WIRE.md alone.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/publish/outbox.h"
#include "shared/wire/digest.h"
#include "shared/wire/messages.h"

namespace weir::control::publish {

inline constexpr uint64_t kEpoch = 1'763'683'200;

class RecordingOutbox : public Outbox {
 public:
  void Broadcast(std::string_view frame) override { broadcasts.emplace_back(frame); }
  void SendTo(const std::string& peer, std::string_view frame) override {
    sent.emplace_back(peer, frame);
  }
  std::vector<std::string> TakeBroadcasts() { return std::exchange(broadcasts, {}); }
  std::vector<std::string> TakeSent(const std::string& peer) {
    std::vector<std::string> out;
    std::vector<std::pair<std::string, std::string>> rest;
    for (auto& [to, frame] : sent) {
      if (to == peer) {
        out.push_back(std::move(frame));
      } else {
        rest.emplace_back(std::move(to), std::move(frame));
      }
    }
    sent = std::move(rest);
    return out;
  }

  std::vector<std::string> broadcasts;
  std::vector<std::pair<std::string, std::string>> sent;
};

inline wire::Type TypeOf(const std::string& frame) { return wire::DecodeFrame(frame)->header.type; }

// Applies what it may, notices gaps, and keeps the set of entries with its digest.
class ModelNode {
 public:
  uint64_t epoch = 0;
  uint64_t version = 0;
  std::map<std::pair<uint32_t, std::string>, std::string> entries;
  domain::EmergencyOverlay emergency;
  bool has_gap = false;
  int digest_errors = 0;

  std::string digest() const {
    wire::SetDigest digest;
    for (const auto& [key, body] : entries) {
      digest.Add(wire::EntryHash(static_cast<domain::EntryKind>(key.first), key.second, body));
    }
    return digest.Raw();
  }

  void Receive(const std::string& bytes) {
    const wire::Frame frame = *wire::DecodeFrame(bytes);
    if (frame.header.epoch < epoch) return;
    switch (frame.header.type) {
      case wire::Type::kDelta:
        return OnDelta(frame);
      case wire::Type::kSnapshot:
        return OnSnapshot(frame);
      case wire::Type::kBeacon: {
        const auto beacon = *wire::Decode<wire::Beacon>(frame);
        Lay(beacon.emergency);
        has_gap = frame.header.epoch != epoch || beacon.head != version;
        return;
      }
      case wire::Type::kEmergency:
        return Lay(wire::Decode<wire::EmergencyMessage>(frame)->emergency);
      default:
        return;
    }
  }

 private:
  void Lay(const domain::EmergencyOverlay& overlay) {
    if (overlay.IsNewerThan(emergency)) emergency = overlay;
  }
  void Put(const wire::EntryChange& change) {
    const std::pair key{change.kind, change.name};
    entries.erase(key);
    if (!change.body.value.empty()) entries[key] = change.body.value;
  }
  void OnDelta(const wire::Frame& frame) {
    const auto delta = *wire::Decode<wire::Delta>(frame);
    Lay(delta.emergency);
    if (frame.header.epoch == epoch && frame.header.version <= version) return;
    if (frame.header.epoch != epoch || delta.base != version) {
      has_gap = true;
      return;
    }
    for (const wire::EntryChange& change : delta.changes) Put(change);
    version = frame.header.version;
    if (digest() != delta.digest.value) ++digest_errors;
  }
  void OnSnapshot(const wire::Frame& frame) {
    const auto body = *wire::Decode<wire::SnapshotBody>(frame);
    Lay(body.emergency);
    entries.clear();
    for (const wire::EntryChange& change : body.entries) Put(change);
    epoch = frame.header.epoch;
    version = frame.header.version;
    has_gap = false;
    if (digest() != body.digest.value) ++digest_errors;
  }
};

}  // namespace weir::control::publish
