// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/signature.h"

#include <sodium.h>

#include <array>
#include <cstdint>

#include "shared/base/text.h"

namespace weir::control::notify {
namespace {

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::string HmacSha256Hex(std::string_view key, std::string_view message) {
  crypto_auth_hmacsha256_state state;
  std::array<uint8_t, crypto_auth_hmacsha256_BYTES> digest{};
  crypto_auth_hmacsha256_init(&state, Bytes(key), key.size());
  crypto_auth_hmacsha256_update(&state, Bytes(message), message.size());
  crypto_auth_hmacsha256_final(&state, digest.data());
  sodium_memzero(&state, sizeof state);
  return ToHex(digest);
}

}  // namespace weir::control::notify
