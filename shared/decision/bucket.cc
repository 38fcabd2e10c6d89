// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/bucket.h"

#include <sodium.h>

#include <cstring>

#include "shared/decision/md5.h"

namespace weir::decision {

namespace {

constexpr size_t kOneBlock = 55;  // the longest text that MD5 pads to one block

}  // namespace

uint32_t HashPrefix(std::string_view key, std::string_view seed) {
  const size_t size = key.size() + 1 + seed.size();
  if (size <= kOneBlock) {  // nearly always
    alignas(16) char block[64] = {};
    key.copy(block, key.size());
    block[key.size()] = ':';
    seed.copy(block + key.size() + 1, seed.size());
    block[size] = '\x80';
    const uint64_t bits = size * 8;
    std::memcpy(block + 56, &bits, sizeof bits);
    return Md5::PrefixOfBlock(block);
  }
  Md5 md5;
  md5.Update(key);
  md5.Update(":");
  md5.Update(seed);
  return md5.FinishPrefix();
}

uint64_t ExperimentBucket(std::string_view key, std::string_view seed, uint64_t total) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<const uint8_t*>(text.data());
  };
  crypto_hash_sha256_state state;
  uint8_t hash[crypto_hash_sha256_BYTES];
  crypto_hash_sha256_init(&state);
  crypto_hash_sha256_update(&state, bytes(key), key.size());
  crypto_hash_sha256_update(&state, bytes(seed), seed.size());
  crypto_hash_sha256_final(&state, hash);
  unsigned __int128 remainder = 0;
  for (const uint8_t byte : hash) remainder = (remainder << 8 | byte) % total;
  return static_cast<uint64_t>(remainder);
}

}  // namespace weir::decision
