// SPDX-License-Identifier: Apache-2.0
// What the passing of time changes. Scheduled changes of flags: nodes do them on time by
// themselves; afterwards they are written into the flags, so that everybody reads what holds.
// Silences that ended long ago. Core thread, as the catalog.
#pragma once

#include <cstdint>
#include <vector>

#include "controlplane/catalog/catalog.h"

namespace weir::control::catalog {

// One change per flag with items due at `now_wall_ms`: it writes what they set into the flag's own
// fields, in their order, and drops them. Each expects the revision that it read. Commit them with
// the actor "schedule"; empty when nothing is due.
std::vector<Change> DueSchedules(const Catalog& catalog, int64_t now_wall_ms);

// For a week whoever looks at what was not told sees why; then history alone has it.
inline constexpr int64_t kKeepEndedSilencesMs = 7LL * 86'400'000;
// The removal of each Silence that ended so long before `now_wall_ms`. Commit them with the actor
// "system"; empty when there is none.
std::vector<Change> OldSilences(const Catalog& catalog, int64_t now_wall_ms);

}  // namespace weir::control::catalog
