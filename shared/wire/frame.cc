// SPDX-License-Identifier: Apache-2.0
#include "shared/wire/frame.h"

#include <fmt/format.h>

namespace weir::wire {
namespace {

constexpr uint32_t kMagic = 0x57454952;  // "WEIR"

void Put(std::string& out, uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out += static_cast<char>(value >> shift);
}

uint64_t Get(std::string_view in, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(in[at + i]);
  return value;
}

}  // namespace

std::string EncodeFrame(const Header& header, std::string_view body) {
  std::string out;
  out.reserve(kHeaderBytes + body.size());
  out += static_cast<char>(header.topic);
  Put(out, kMagic, 4);
  Put(out, header.major, 1);
  Put(out, header.minor, 1);
  Put(out, static_cast<uint8_t>(header.type), 1);
  Put(out, header.flags, 1);
  Put(out, header.epoch, 8);
  Put(out, header.version, 8);
  Put(out, header.sequence, 8);
  Put(out, body.size(), 4);
  out += body;
  return out;
}

Result<Frame> DecodeFrame(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes) {
    return DataLoss(
        fmt::format("frame of {} bytes; the header alone has {}", bytes.size(), kHeaderBytes));
  }
  if (Get(bytes, 1, 4) != kMagic) return DataLoss("frame does not start with the magic number");
  Frame frame;
  frame.header.topic = static_cast<Topic>(bytes[0]);
  if (std::string_view("cebst").find(bytes[0]) == std::string_view::npos) {
    return DataLoss(fmt::format("topic {:#04x} is unknown", static_cast<uint8_t>(bytes[0])));
  }
  frame.header.major = static_cast<uint8_t>(Get(bytes, 5, 1));
  frame.header.minor = static_cast<uint8_t>(Get(bytes, 6, 1));
  frame.header.type = static_cast<Type>(Get(bytes, 7, 1));
  frame.header.flags = static_cast<uint8_t>(Get(bytes, 8, 1));
  frame.header.epoch = Get(bytes, 9, 8);
  frame.header.version = Get(bytes, 17, 8);
  frame.header.sequence = Get(bytes, 25, 8);
  const uint64_t length = Get(bytes, 33, 4);
  if (length != bytes.size() - kHeaderBytes) {
    return DataLoss(fmt::format("body of {} bytes is announced, {} are there", length,
                                bytes.size() - kHeaderBytes));
  }
  if (frame.header.major != kMajor) {
    return Unavailable(fmt::format("wire version {}.{} is not understood; this side speaks {}.{}",
                                   frame.header.major, frame.header.minor, kMajor, kMinor));
  }
  frame.body = bytes.substr(kHeaderBytes);
  return frame;
}

}  // namespace weir::wire
