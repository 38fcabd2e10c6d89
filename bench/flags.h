// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/interleave.h"
#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

// Decisions on flags of each sort, in process, contexts given as values.
void MeasureFlagDecisions(const Rounds& rounds, Report& report);

// A snapshot of `flags` flags as a node takes it: bytes, time to a ruleset, time for one changed
// flag, memory. Every fourth is a variant flag with a rule.
Status MeasureSnapshot(size_t flags, Report& report);

}  // namespace weir::bench
