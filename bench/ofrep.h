// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

// OFREP by weir-node beside nginx with the same answer statically: one flag with a targeting rule,
// and all of 350 flags. `rounds` of two seconds of each side. Needs nginx and wrk.
Status MeasureOfrep(int rounds, Report& report);

}  // namespace weir::bench
