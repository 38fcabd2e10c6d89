// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

struct OverloadEffort {
  double seconds = 8;          // measured, of each load
  double warm_up_seconds = 4;  // before that
};

// A model that is a service of known capacity (8 at once, 50 ms each), asked in open loop by 0.8,
// 1, 2, 5 and 10 × what it can, and with its capacity halved midway: without a limit, with a static
// one, and with the adaptive governor. An answer counts as good if it came within 250 ms.
Status MeasureOverload(const OverloadEffort& effort, Report& report);

}  // namespace weir::bench
