// SPDX-License-Identifier: Apache-2.0
// Two control planes with the same rollouts hear the same telemetry; one of them dies now and then,
// right after it has stored, and starts again. What their detectors know, what they decide and what
// they commit must stay the same, to the last digit.
#pragma once

#include "tests/sim/world.h"

namespace weir::sim {

RunResult RunTwins(const RunOptions& options);

}  // namespace weir::sim
