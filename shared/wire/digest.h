// SPDX-License-Identifier: Apache-2.0
// The digest of a set of entries (WIRE, Versions, 2): the sum of their BLAKE2b-256 hashes modulo
// 2^256, so that a delta subtracts the old entry and adds the new one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "shared/domain/snapshot.h"

namespace weir::wire {

using Hash256 = std::array<uint8_t, 32>;  // big-endian

// BLAKE2b-256(kind ‖ 0 ‖ name ‖ 0 ‖ bytes as published); kind is its one-byte number.
Hash256 EntryHash(domain::EntryKind kind, std::string_view name, std::string_view bytes);

class SetDigest {
 public:
  void Add(const Hash256& hash);
  void Subtract(const Hash256& hash);
  // 32 raw bytes, as they travel.
  std::string Raw() const;
  std::string Hex() const;
  bool operator==(const SetDigest&) const = default;

 private:
  std::array<uint64_t, 4> words_{};  // little-endian: words_[0] is the least significant
};

// SHA-256 of a blob as 64 hex digits.
std::string Sha256Hex(std::string_view bytes);

}  // namespace weir::wire
