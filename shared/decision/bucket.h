// SPDX-License-Identifier: Apache-2.0
// Keys to buckets (DECISIONS, Buckets). Pure, no allocation, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "shared/domain/units.h"

namespace weir::decision {

// The first 8 hexadecimal digits of MD5(key + ":" + seed) as a number.
uint32_t HashPrefix(std::string_view key, std::string_view seed);

// 0..99, the source documents' bucket: on iff it is below the percentage.
constexpr uint32_t CoarseBucket(uint32_t prefix) { return prefix % 100; }

// 0..99999: on iff it is below the percentage on the fine scale. Agrees with the coarse bucket at
// whole percentages, and raising a percentage never takes out a key that was in.
constexpr domain::FinePercent FineBucket(uint32_t prefix) {
  return (prefix % 100) * 1000 + (prefix / 100) % 1000;
}

// SHA-256(key + seed) as one unsigned big-endian integer, modulo `total` (above 0).
uint64_t ExperimentBucket(std::string_view key, std::string_view seed, uint64_t total);

}  // namespace weir::decision
