// SPDX-License-Identifier: Apache-2.0
// The format: https://github.com/msgpack/msgpack/blob/master/spec.md
#include "shared/codec/msgpack.h"

#include <fmt/format.h>

#include <bit>
#include <limits>

namespace weir::codec {

void MsgpackWriter::BigEndian(uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out_ += static_cast<char>(value >> shift);
}

void MsgpackWriter::Header(size_t size, uint8_t fix, size_t fix_max, uint8_t wide) {
  if (size <= fix_max) {
    out_ += static_cast<char>(fix | size);
  } else if (size <= 0xffff) {
    out_ += static_cast<char>(wide);
    BigEndian(size, 2);
  } else {
    out_ += static_cast<char>(wide + 1);
    BigEndian(size, 4);
  }
}

void MsgpackWriter::Write(uint64_t value) {
  if (value < 0x80) {
    out_ += static_cast<char>(value);
  } else if (value <= 0xff) {
    out_ += '\xcc';
    BigEndian(value, 1);
  } else if (value <= 0xffff) {
    out_ += '\xcd';
    BigEndian(value, 2);
  } else if (value <= 0xffffffff) {
    out_ += '\xce';
    BigEndian(value, 4);
  } else {
    out_ += '\xcf';
    BigEndian(value, 8);
  }
}

void MsgpackWriter::Write(int64_t value) {
  if (value >= 0) return Write(static_cast<uint64_t>(value));
  if (value >= -32) {
    out_ += static_cast<char>(value);
  } else {
    out_ += '\xd3';
    BigEndian(static_cast<uint64_t>(value), 8);
  }
}

void MsgpackWriter::Write(double value) {
  out_ += '\xcb';
  BigEndian(std::bit_cast<uint64_t>(value), 8);
}

void MsgpackWriter::Write(const std::string& value) {
  if (value.size() >= 32 && value.size() <= 0xff) {
    out_ += '\xd9';
    BigEndian(value.size(), 1);
  } else {
    Header(value.size(), 0xa0, 31, 0xda);
  }
  out_ += value;
}

void MsgpackWriter::Write(const Bytes& value) {
  const size_t size = value.value.size();
  const int width = size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
  out_ += static_cast<char>(width == 1 ? 0xc4 : width == 2 ? 0xc5 : 0xc6);
  BigEndian(size, width);
  out_ += value.value;
}

Status MsgpackReader::Finish() const {
  if (!ok()) return DataLoss(error_);
  if (at_ != in_.size())
    return DataLoss(fmt::format("byte {}: {} bytes too many", at_, in_.size() - at_));
  return OkStatus();
}

void MsgpackReader::Fail(std::string what) {
  if (error_.empty()) error_ = fmt::format("byte {}: {}", at_, what);
}

std::string_view MsgpackReader::Take(size_t bytes) {
  if (!ok()) return {};
  if (bytes > in_.size() - at_) {
    Fail(fmt::format("{} bytes are announced, {} are left", bytes, in_.size() - at_));
    return {};
  }
  at_ += bytes;
  return in_.substr(at_ - bytes, bytes);
}

uint8_t MsgpackReader::Byte() {
  const std::string_view one = Take(1);
  return one.empty() ? 0 : static_cast<uint8_t>(one[0]);
}

uint64_t MsgpackReader::BigEndian(int bytes) {
  uint64_t value = 0;
  for (const char c : Take(static_cast<size_t>(bytes)))
    value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

void MsgpackReader::Enter() {
  if (++depth_ > MsgpackLimits::kMaxDepth)
    Fail(fmt::format("nested deeper than {}", MsgpackLimits::kMaxDepth));
}

uint32_t MsgpackReader::ArrayHeader(uint32_t max_items) {
  Enter();
  const uint8_t tag = Byte();
  uint64_t count = 0;
  if ((tag & 0xf0) == 0x90) {
    count = tag & 0x0f;
  } else if (tag == 0xdc || tag == 0xdd) {
    count = BigEndian(tag == 0xdc ? 2 : 4);
  } else {
    Fail(fmt::format("tag {:#04x} is not an array", tag));
  }
  if (count > max_items) Fail(fmt::format("array of {}; at most {} are allowed", count, max_items));
  return ok() ? static_cast<uint32_t>(count) : 0;
}

uint32_t MsgpackReader::MapHeader() {
  Enter();
  const uint8_t tag = Byte();
  uint64_t count = 0;
  if ((tag & 0xf0) == 0x80) {
    count = tag & 0x0f;
  } else if (tag == 0xde || tag == 0xdf) {
    count = BigEndian(tag == 0xde ? 2 : 4);
  } else {
    Fail(fmt::format("tag {:#04x} is not a map", tag));
  }
  if (count > MsgpackLimits::kMaxMap) {
    Fail(fmt::format("map of {}; at most {} are allowed", count, MsgpackLimits::kMaxMap));
  }
  return ok() ? static_cast<uint32_t>(count) : 0;
}

uint32_t MsgpackReader::TextHeader() {
  const uint8_t tag = Byte();
  uint64_t size = 0;
  if ((tag & 0xe0) == 0xa0) {
    size = tag & 0x1f;
  } else if (tag == 0xd9 || tag == 0xc4) {
    size = BigEndian(1);
  } else if (tag == 0xda || tag == 0xc5) {
    size = BigEndian(2);
  } else if (tag == 0xdb || tag == 0xc6) {
    size = BigEndian(4);
  } else {
    Fail(fmt::format("tag {:#04x} is neither text nor binary", tag));
  }
  if (size > MsgpackLimits::kMaxText)
    Fail(fmt::format("{} bytes of text; at most {}", size, MsgpackLimits::kMaxText));
  return ok() ? static_cast<uint32_t>(size) : 0;
}

void MsgpackReader::Read(bool& out) {
  const uint8_t tag = Byte();
  if (tag != 0xc2 && tag != 0xc3) Fail(fmt::format("tag {:#04x} is not a boolean", tag));
  out = tag == 0xc3;
}

void MsgpackReader::Read(uint64_t& out) {
  const uint8_t tag = Byte();
  out = 0;
  if (tag < 0x80) {
    out = tag;
  } else if (tag >= 0xcc && tag <= 0xcf) {
    out = BigEndian(1 << (tag - 0xcc));
  } else {
    Fail(fmt::format("tag {:#04x} is not an unsigned number", tag));
  }
}

void MsgpackReader::Read(uint32_t& out) {
  uint64_t wide = 0;
  Read(wide);
  if (wide > std::numeric_limits<uint32_t>::max()) Fail("a number needs more than 32 bits");
  out = static_cast<uint32_t>(wide);
}

void MsgpackReader::Read(int64_t& out) {
  out = 0;
  const uint8_t tag = at_ < in_.size() ? static_cast<uint8_t>(in_[at_]) : 0;
  if (tag >= 0xe0) {
    out = static_cast<int8_t>(Byte());
  } else if (tag >= 0xd0 && tag <= 0xd3) {
    Byte();
    const int bytes = 1 << (tag - 0xd0);
    const int unused = 64 - bytes * 8;
    out = static_cast<int64_t>(BigEndian(bytes) << unused) >> unused;
  } else {
    uint64_t wide = 0;
    Read(wide);
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
      Fail("a number needs more than 63 bits");
    out = static_cast<int64_t>(wide);
  }
}

void MsgpackReader::Read(double& out) {
  const uint8_t tag = Byte();
  if (tag != 0xcb) Fail(fmt::format("tag {:#04x} is not a double", tag));
  out = std::bit_cast<double>(BigEndian(8));
}

void MsgpackReader::Read(std::string& out) { out = Take(TextHeader()); }
void MsgpackReader::Read(Bytes& out) { out.value = Take(TextHeader()); }

void MsgpackReader::Unknown(uint64_t key) {
  if (key % 2 == 0) return Fail(fmt::format("key {} is not understood, and must be", key));
  Skip();
}

void MsgpackReader::Skip() {
  if (!ok() || at_ >= in_.size()) return Fail("a value is missing");
  const uint8_t tag = static_cast<uint8_t>(in_[at_]);
  uint32_t children = 0;
  if ((tag & 0xf0) == 0x90 || tag == 0xdc || tag == 0xdd) {
    children = ArrayHeader(4096);
  } else if ((tag & 0xf0) == 0x80 || tag == 0xde || tag == 0xdf) {
    children = MapHeader() * 2;
  } else {
    Byte();
    if (tag == 0xc0 || tag == 0xc2 || tag == 0xc3 || tag < 0x80 || tag >= 0xe0) return;
    if (tag == 0xca) return static_cast<void>(Take(4));
    if (tag == 0xcb) return static_cast<void>(Take(8));
    if (tag >= 0xcc && tag <= 0xd3) return static_cast<void>(Take(size_t{1} << (tag & 3)));
    --at_;
    return static_cast<void>(Take(TextHeader()));
  }
  for (uint32_t i = 0; i < children && ok(); ++i) Skip();
  --depth_;
}

}  // namespace weir::codec
