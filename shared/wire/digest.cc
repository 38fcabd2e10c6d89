// SPDX-License-Identifier: Apache-2.0
#include "shared/wire/digest.h"

#include <sodium.h>

#include "shared/base/text.h"

namespace weir::wire {
namespace {

std::array<uint64_t, 4> Words(const Hash256& hash) {
  std::array<uint64_t, 4> words{};
  for (size_t i = 0; i < 32; ++i) words[3 - i / 8] = words[3 - i / 8] << 8 | hash[i];
  return words;
}

const uint8_t* Unsigned(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

}  // namespace

Hash256 EntryHash(domain::EntryKind kind, std::string_view name, std::string_view bytes) {
  const uint8_t head[2] = {static_cast<uint8_t>(kind), 0};
  const uint8_t zero = 0;
  Hash256 hash;
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, hash.size());
  crypto_generichash_update(&state, head, sizeof head);
  crypto_generichash_update(&state, Unsigned(name), name.size());
  crypto_generichash_update(&state, &zero, 1);
  crypto_generichash_update(&state, Unsigned(bytes), bytes.size());
  crypto_generichash_final(&state, hash.data(), hash.size());
  return hash;
}

void SetDigest::Add(const Hash256& hash) {
  const auto other = Words(hash);
  unsigned carry = 0;
  for (size_t i = 0; i < 4; ++i) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(words_[i]) + other[i] + carry;
    words_[i] = static_cast<uint64_t>(sum);
    carry = static_cast<unsigned>(sum >> 64);
  }
}

void SetDigest::Subtract(const Hash256& hash) {
  const auto other = Words(hash);
  unsigned borrow = 0;
  for (size_t i = 0; i < 4; ++i) {
    const unsigned __int128 less = static_cast<unsigned __int128>(words_[i]) - other[i] - borrow;
    words_[i] = static_cast<uint64_t>(less);
    borrow = static_cast<unsigned>(less >> 64) & 1;
  }
}

std::string SetDigest::Raw() const {
  std::string raw;
  for (size_t i = 4; i-- > 0;) {
    for (int shift = 56; shift >= 0; shift -= 8) raw += static_cast<char>(words_[i] >> shift);
  }
  return raw;
}

std::string SetDigest::Hex() const {
  const std::string raw = Raw();
  return ToHex({Unsigned(raw), raw.size()});
}

std::string Sha256Hex(std::string_view bytes) {
  std::array<uint8_t, crypto_hash_sha256_BYTES> hash;
  crypto_hash_sha256(hash.data(), Unsigned(bytes), bytes.size());
  return ToHex(hash);
}

}  // namespace weir::wire
