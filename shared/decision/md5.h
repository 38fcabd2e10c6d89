// SPDX-License-Identifier: Apache-2.0
// MD5 (RFC 1321) for bucketing, where it is a fixed convention and no secret hangs on it. On the
// stack, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace weir::decision {

class Md5 {
 public:
  Md5();
  void Update(std::string_view bytes);
  // The first four bytes of the digest as a big-endian number. Ends the object's life.
  uint32_t FinishPrefix();
  // The whole digest. Ends the object's life.
  std::array<uint8_t, 16> Finish();

  // FinishPrefix of a text of at most 55 bytes, given as the 64 bytes that RFC 1321 pads it to.
  static uint32_t PrefixOfBlock(const char* block);

 private:
  void Pad();
  void Block(const uint8_t* block);

  std::array<uint32_t, 4> state_;
  uint64_t length_ = 0;  // bytes so far
  alignas(8) std::array<uint8_t, 64> buffer_;
};

}  // namespace weir::decision
