// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/md5.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weir::decision {
namespace {

static_assert(std::endian::native == std::endian::little, "blocks are read in place");

// One of the 64 steps of RFC 1321: F is the round's function of (b, c, d). What does not wait for
// the newest of them, b, is added first, and G is a sum of disjoint halves of which only one waits:
// every step waits for the one before it, so this is what the time goes into.
#define WEIR_MD5_STEP(F, a, b, c, d, k, s, t) \
  (a) = (b) + std::rotl(((a) + x[k] + (t)) + F(b, c, d), s)
#define WEIR_MD5_F(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define WEIR_MD5_G(b, c, d) ((~(d) & (c)) + ((d) & (b)))
#define WEIR_MD5_H(b, c, d) ((b) ^ (c) ^ (d))
#define WEIR_MD5_I(b, c, d) ((c) ^ ((b) | ~(d)))
// Four steps of a round, the working variables turning by one each time.
#define WEIR_MD5_FOUR(F, k0, k1, k2, k3, s0, s1, s2, s3, t0, t1, t2, t3) \
  WEIR_MD5_STEP(F, a, b, c, d, k0, s0, t0);                              \
  WEIR_MD5_STEP(F, d, a, b, c, k1, s1, t1);                              \
  WEIR_MD5_STEP(F, c, d, a, b, k2, s2, t2);                              \
  WEIR_MD5_STEP(F, b, c, d, a, k3, s3, t3)

// The four rounds over one block.
[[gnu::always_inline]] inline std::array<uint32_t, 4> Rounds(const std::array<uint32_t, 4>& state,
                                                             const void* block) {
  uint32_t x[16];
  std::memcpy(x, block, sizeof x);
  auto [a, b, c, d] = state;
  // clang-format off
  WEIR_MD5_FOUR(WEIR_MD5_F,  0,  1,  2,  3,  7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee);
  WEIR_MD5_FOUR(WEIR_MD5_F,  4,  5,  6,  7,  7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501);
  WEIR_MD5_FOUR(WEIR_MD5_F,  8,  9, 10, 11,  7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be);
  WEIR_MD5_FOUR(WEIR_MD5_F, 12, 13, 14, 15,  7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821);
  WEIR_MD5_FOUR(WEIR_MD5_G,  1,  6, 11,  0,  5,  9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa);
  WEIR_MD5_FOUR(WEIR_MD5_G,  5, 10, 15,  4,  5,  9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8);
  WEIR_MD5_FOUR(WEIR_MD5_G,  9, 14,  3,  8,  5,  9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed);
  WEIR_MD5_FOUR(WEIR_MD5_G, 13,  2,  7, 12,  5,  9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a);
  WEIR_MD5_FOUR(WEIR_MD5_H,  5,  8, 11, 14,  4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c);
  WEIR_MD5_FOUR(WEIR_MD5_H,  1,  4,  7, 10,  4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70);
  WEIR_MD5_FOUR(WEIR_MD5_H, 13,  0,  3,  6,  4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05);
  WEIR_MD5_FOUR(WEIR_MD5_H,  9, 12, 15,  2,  4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665);
  WEIR_MD5_FOUR(WEIR_MD5_I,  0,  7, 14,  5,  6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039);
  WEIR_MD5_FOUR(WEIR_MD5_I, 12,  3, 10,  1,  6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1);
  WEIR_MD5_FOUR(WEIR_MD5_I,  8, 15,  6, 13,  6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1);
  WEIR_MD5_FOUR(WEIR_MD5_I,  4, 11,  2,  9,  6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391);
  // clang-format on
  return {a, b, c, d};
}

constexpr std::array<uint32_t, 4> kStart{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};

}  // namespace

Md5::Md5() : state_(kStart) {}

void Md5::Block(const uint8_t* block) {
  const std::array<uint32_t, 4> rounds = Rounds(state_, block);
  for (size_t i = 0; i < 4; ++i) state_[i] += rounds[i];
}

uint32_t Md5::PrefixOfBlock(const char* block) {
  return __builtin_bswap32(kStart[0] + Rounds(kStart, block)[0]);
}

void Md5::Update(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t used = length_ % 64;
    const size_t take = std::min(bytes.size(), 64 - used);
    std::memcpy(buffer_.data() + used, bytes.data(), take);
    length_ += take;
    bytes.remove_prefix(take);
    if (used + take == 64) Block(buffer_.data());
  }
}

void Md5::Pad() {
  size_t used = length_ % 64;
  buffer_[used++] = 0x80;
  if (used > 56) {
    std::memset(buffer_.data() + used, 0, 64 - used);
    Block(buffer_.data());
    used = 0;
  }
  std::memset(buffer_.data() + used, 0, 56 - used);
  const uint64_t bits = length_ * 8;
  std::memcpy(buffer_.data() + 56, &bits, 8);
  Block(buffer_.data());
}

uint32_t Md5::FinishPrefix() {
  Pad();
  return __builtin_bswap32(state_[0]);
}

std::array<uint8_t, 16> Md5::Finish() {
  Pad();
  std::array<uint8_t, 16> digest;
  std::memcpy(digest.data(), state_.data(), digest.size());
  return digest;
}

}  // namespace weir::decision
