// SPDX-License-Identifier: Apache-2.0
// Which flags have had their day, and why: for `weir flag list --stale`. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/codec/json.h"

namespace weir::control::cli {

// A flag that nobody asked for, or whose answer is the same for everybody, is stale after this.
inline constexpr int64_t kStaleAfterMs = int64_t{30} * 24 * 3'600'000;

// Reasons as short sentences, none when the flag is in use: it has expired; no node has evaluated
// it for 30 days (one that was never counted: since it changed); it has answered everybody the
// same, unchanged, for 30 days and no schedule or rollout is going to change that. `flag` is the
// resource with its status as the API gives it.
std::vector<std::string> StaleReasons(const codec::Json& flag, int64_t now_wall_ms);

}  // namespace weir::control::cli
