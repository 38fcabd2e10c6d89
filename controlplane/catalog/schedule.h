// SPDX-License-Identifier: Apache-2.0
// Scheduled changes of flags. Nodes do them on time by themselves; afterwards they are written into
// the flags, so that everybody reads what holds. Core thread, as the catalog.
#pragma once

#include <cstdint>
#include <vector>

#include "controlplane/catalog/catalog.h"

namespace weir::control::catalog {

// One change per flag with items due at `now_wall_ms`: it writes what they set into the flag's own
// fields, in their order, and drops them. Each expects the revision that it read. Commit them with
// the actor "schedule"; empty when nothing is due.
std::vector<Change> DueSchedules(const Catalog& catalog, int64_t now_wall_ms);

}  // namespace weir::control::catalog
