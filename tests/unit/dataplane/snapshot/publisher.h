// SPDX-License-Identifier: Apache-2.0
// What the receiver's tests share: a control plane's published set, kept by the test in the
// plainest way, that makes the frames a node would get.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/snapshot/receiver.h"
#include "shared/codec/msgpack.h"
#include "shared/wire/digest.h"

namespace weir::node::snapshot {

constexpr uint64_t kEpoch = 100;

// Owns the bytes that the decoded frame looks into.
struct Bytes {
  std::string bytes;
  wire::Frame frame() const { return *wire::DecodeFrame(bytes); }
};

inline std::string FlagBytes(const std::string& name, uint32_t threshold) {
  domain::FlagEntry flag;
  flag.name = name;
  flag.enabled = true;
  flag.threshold = threshold;
  return codec::ToMsgpack(flag);
}

// One more field than a flag has, under `key`; the map's size is in the low bits of byte 0.
inline std::string WithUnknownKey(std::string flag, uint8_t key) {
  ++flag[0];
  flag += static_cast<char>(key);
  flag += static_cast<char>(0xc3);
  return flag;
}

class Published {
 public:
  explicit Published(uint64_t epoch = kEpoch) : epoch(epoch) {}

  // Sets a flag's bytes ("" removes it) in a new version; the delta from the version before.
  Bytes Change(const std::string& name, const std::string& bytes) {
    wire::Delta delta;
    delta.base = version;
    bytes.empty() ? static_cast<void>(flags.erase(name)) : static_cast<void>(flags[name] = bytes);
    delta.changes.push_back({1, name, {bytes}});
    ++version;
    delta.digest = {Digest()};
    delta.emergency = emergency;
    return Encode(wire::Type::kDelta, delta);
  }
  Bytes Snapshot() const {
    wire::SnapshotBody body;
    for (const auto& [name, bytes] : flags) body.entries.push_back({1, name, {bytes}});
    body.digest = {Digest()};
    body.emergency = emergency;
    return Encode(wire::Type::kSnapshot, body);
  }
  Bytes Beacon() const {
    return Encode(wire::Type::kBeacon, wire::Beacon{version, {Digest()}, 0, emergency});
  }
  Bytes Emergency() const {
    return Encode(wire::Type::kEmergency, wire::EmergencyMessage{emergency});
  }
  template <class Body>
  Bytes Encode(wire::Type type, const Body& body) const {
    wire::Header header;
    header.topic = wire::Topic::kConfig;
    header.type = type;
    header.epoch = epoch;
    header.version = version;
    return {wire::Encode(header, body)};
  }
  std::string Digest() const {
    wire::SetDigest digest;
    for (const auto& [name, bytes] : flags) {
      digest.Add(wire::EntryHash(domain::EntryKind::kFlag, name, bytes));
    }
    return digest.Raw();
  }

  uint64_t epoch;
  uint64_t version = 0;
  std::map<std::string, std::string> flags;
  domain::EmergencyOverlay emergency;
};

// A receiver, what it told, and shorthands.
class ReceiverTest : public testing::Test {
 protected:
  // A node that has "a" and "b" at version 2 and has caught up.
  void Join() {
    control.Change("a", FlagBytes("a", 1000));
    control.Change("b", FlagBytes("b", 2000));
    ASSERT_TRUE(Give(control.Snapshot()).ok());
    ASSERT_TRUE(Give(control.Beacon()).ok());
    ASSERT_EQ(receiver.position().version, 2u);
    ASSERT_FALSE(Request());
  }
  Status Give(const Bytes& bytes) { return receiver.Handle(bytes.frame(), now_ms); }
  std::optional<wire::SnapshotRequest> Request() { return receiver.TakeRequest(now_ms); }
  // The threshold in force; nothing if the flag is absent.
  std::optional<uint32_t> Threshold(const std::string& flag) const {
    const auto* found = receiver.ruleset()->flags().Find(flag);
    return found == nullptr ? std::nullopt : std::optional(found->threshold);
  }

  int64_t now_ms = 1000;
  uint64_t random = 0;
  std::vector<std::shared_ptr<const decision::Ruleset>> told;
  Published control;
  Receiver receiver{
      domain::Labels{}, [this] { return random; },
      [this](std::shared_ptr<const decision::Ruleset> rules) { told.push_back(std::move(rules)); }};
};

}  // namespace weir::node::snapshot
