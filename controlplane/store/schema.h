// SPDX-License-Identifier: Apache-2.0
// The steps that make the database: step i takes schema version i to i + 1. A step that was
// released is never changed; what is new becomes another step.
#pragma once

#include <cstdint>
#include <span>

namespace weir::control::store {

// In a data directory: what a restore has unpacked and not yet put in its place.
inline constexpr char kRestoreDir[] = "restore.part";

// "WEIR" in PRAGMA application_id: the file is ours.
inline constexpr int32_t kApplicationId = 0x57454952;

std::span<const char* const> Migrations();

}  // namespace weir::control::store
