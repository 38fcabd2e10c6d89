// SPDX-License-Identifier: Apache-2.0
// Frames of the wire, each behind its length in two bytes, to a node's receiver one after another.
// A frame that is taken apart is put together as the same bytes; a body reads back as what was
// written; the receiver stands, at every moment, on exactly the set whose digest it tells.
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/snapshot/receiver.h"
#include "shared/wire/digest.h"
#include "shared/wire/frame.h"
#include "shared/wire/messages.h"
#include "shared/wire/telemetry_body.h"
#include "tests/fuzz/require.h"

namespace weir {
namespace {

template <class Body>
void CheckBody(const wire::Frame& frame) {
  const auto body = wire::Decode<Body>(frame);
  if (!body.ok()) return;
  const std::string written = codec::ToMsgpack(*body);
  const auto again = codec::FromMsgpack<Body>(written);
  WEIR_REQUIRE(again.ok(), again.status().ToString());
  WEIR_REQUIRE(codec::ToMsgpack(*again) == written, "the second encoding differs");
}

void CheckBatch(const wire::Frame& frame) {
  CheckBody<wire::Batch>(frame);
  const auto batch = wire::Decode<wire::Batch>(frame);
  if (!batch.ok()) return;
  for (const wire::Series& series : batch->series) {
    const auto taken = wire::FromWire(series);
    if (!taken.ok()) continue;
    const auto again = wire::FromWire(wire::ToWire(taken->first, taken->second));
    WEIR_REQUIRE(again.ok(), again.status().ToString());
  }
}

void CheckBodyOf(const wire::Frame& frame) {
  switch (frame.header.type) {
    case wire::Type::kDelta:
      return CheckBody<wire::Delta>(frame);
    case wire::Type::kSnapshot:
      return CheckBody<wire::SnapshotBody>(frame);
    case wire::Type::kBeacon:
      return CheckBody<wire::Beacon>(frame);
    case wire::Type::kEmergency:
      return CheckBody<wire::EmergencyMessage>(frame);
    case wire::Type::kHello:
      return CheckBody<wire::Hello>(frame);
    case wire::Type::kWelcome:
      return CheckBody<wire::Welcome>(frame);
    case wire::Type::kRefused:
      return CheckBody<wire::Refused>(frame);
    case wire::Type::kSnapshotRequest:
      return CheckBody<wire::SnapshotRequest>(frame);
    case wire::Type::kApplied:
      return CheckBody<wire::Applied>(frame);
    case wire::Type::kHeartbeat:
      return CheckBody<wire::Heartbeat>(frame);
    case wire::Type::kNodeReport:
      return CheckBody<wire::NodeReport>(frame);
    case wire::Type::kBatchAck:
      return CheckBody<wire::BatchAck>(frame);
    case wire::Type::kCommand:
      return CheckBody<wire::Command>(frame);
    case wire::Type::kMove:
      return CheckBody<wire::Move>(frame);
    case wire::Type::kGoodbye:
      return CheckBody<wire::Goodbye>(frame);
    case wire::Type::kBatch:
      return CheckBatch(frame);
  }
}

// Of the entries as they travel. A delta's empty body removes its entry, a snapshot's counts.
codec::Bytes DigestOf(const std::vector<wire::EntryChange>& entries, bool counts_empty) {
  wire::SetDigest digest;
  for (const wire::EntryChange& entry : entries) {
    if (entry.body.value.empty() && !counts_empty) continue;
    digest.Add(
        wire::EntryHash(static_cast<domain::EntryKind>(entry.kind), entry.name, entry.body.value));
  }
  return {digest.Raw()};
}

// Mutations never hit a digest: a snapshot, and a delta to an empty set, get the right one, so
// that their entries are looked at. "" for other frames.
std::string WithDigest(const wire::Frame& frame) {
  if (frame.header.type == wire::Type::kSnapshot) {
    auto body = wire::Decode<wire::SnapshotBody>(frame);
    if (!body.ok()) return "";
    body->digest = DigestOf(body->entries, true);
    return wire::Encode(frame.header, *body);
  }
  if (frame.header.type == wire::Type::kDelta) {
    auto body = wire::Decode<wire::Delta>(frame);
    if (!body.ok()) return "";
    body->digest = DigestOf(body->changes, false);
    return wire::Encode(frame.header, *body);
  }
  return "";
}

class Node {
 public:
  void Give(const wire::Frame& frame) {
    const auto before = receiver_.position();
    now_ms_ += 100;
    static_cast<void>(receiver_.Handle(frame, now_ms_));
    const auto after = receiver_.position();
    WEIR_REQUIRE(after.epoch > before.epoch ||
                     (after.epoch == before.epoch && after.version >= before.version),
                 std::to_string(before.version) + " → " + std::to_string(after.version));
    static_cast<void>(receiver_.TakeRequest(now_ms_));
    CheckSet();
  }

 private:
  void CheckSet() {
    const auto stored = receiver_.Export(0);
    if (!stored.has_value()) return;
    wire::SetDigest digest;
    for (const node::snapshot::StoredEntry& entry : stored->entries) {
      digest.Add(wire::EntryHash(static_cast<domain::EntryKind>(entry.kind), entry.name,
                                 entry.published.value));
    }
    WEIR_REQUIRE(digest.Raw() == receiver_.position().digest, digest.Hex());
    WEIR_REQUIRE(receiver_.ruleset() != nullptr, "there is a snapshot");
    WEIR_REQUIRE(receiver_.ruleset()->version == stored->version, "the ruleset is the set's");
    WEIR_REQUIRE(receiver_.refused().size() <= stored->entries.size(), "refused ones are held");
  }

  int64_t now_ms_ = 1000;
  node::snapshot::Receiver receiver_{domain::Labels{}, [] { return uint64_t{0}; },
                                     [](const auto&) {}};
};

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Node node;
  for (int frames = 0; input.size() > 2 && frames < 32; ++frames) {
    const size_t length = static_cast<uint8_t>(input[0]) << 8 | static_cast<uint8_t>(input[1]);
    const std::string_view bytes = input.substr(2, length);
    input.remove_prefix(2 + bytes.size());
    // The length in the header is put right, or most mutations would end there.
    std::string whole(bytes);
    if (whole.size() >= wire::kHeaderBytes) {
      const size_t body = whole.size() - wire::kHeaderBytes;
      for (size_t i = 0; i < 4; ++i)
        whole[wire::kHeaderBytes - 1 - i] = static_cast<char>(body >> (8 * i));
    }
    const auto frame = wire::DecodeFrame(whole);
    if (!frame.ok()) continue;
    WEIR_REQUIRE(wire::EncodeFrame(frame->header, frame->body) == whole, "the frame differs");
    CheckBodyOf(*frame);
    node.Give(*frame);
    const std::string repaired = WithDigest(*frame);
    if (!repaired.empty()) node.Give(*wire::DecodeFrame(repaired));
  }
  return 0;
}
