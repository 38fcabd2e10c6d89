// SPDX-License-Identifier: Apache-2.0
// One ZeroMQ frame per message: topic (one byte, the subscription prefix), a fixed big-endian
// header, a msgpack body. Layout after the topic: magic u32 "WEIR", major u8, minor u8, type u8,
// flags u8, epoch u64, version u64, sequence u64, body length u32.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir::wire {

inline constexpr uint8_t kMajor = 1;
inline constexpr uint8_t kMinor = 1;
inline constexpr size_t kHeaderBytes = 1 + 4 + 4 + 8 + 8 + 8 + 4;

// The first byte of a frame; what SUB sockets subscribe to.
enum class Topic : char {
  kConfig = 'c',
  kEmergency = 'e',
  kBeacon = 'b',
  kSession = 's',
  kTelemetry = 't'
};

enum class Type : uint8_t {
  kDelta = 1,
  kSnapshot = 2,
  kBeacon = 3,
  kEmergency = 4,
  kHello = 10,
  kWelcome = 11,
  kRefused = 12,
  kSnapshotRequest = 13,
  kApplied = 14,
  kHeartbeat = 15,
  kNodeReport = 16,
  kBatchAck = 17,
  kGoodbye = 18,
  kCommand = 19,
  kMove = 20,  // since 1.1; a node of 1.0 logs and ignores it
  kBatch = 30,
};

struct Header {
  Topic topic = Topic::kSession;
  uint8_t major = kMajor;
  uint8_t minor = kMinor;
  Type type = Type::kHello;
  uint8_t flags = 0;
  uint64_t epoch = 0;
  uint64_t version = 0;   // the snapshot version the message speaks of; 0 where it has none
  uint64_t sequence = 0;  // of the sender on this channel, for logs and traces
};

struct Frame {
  Header header;
  std::string_view body;  // into the decoded bytes
};

std::string EncodeFrame(const Header& header, std::string_view body);
// DataLoss when magic, length or topic are wrong, Unavailable when the major is not ours.
Result<Frame> DecodeFrame(std::string_view bytes);

}  // namespace weir::wire
