// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/bucket.h"

#include <sodium.h>

#include "shared/decision/md5.h"

namespace weir::decision {

uint32_t HashPrefix(std::string_view key, std::string_view seed) {
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
