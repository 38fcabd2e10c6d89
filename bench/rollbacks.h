// SPDX-License-Identifier: Apache-2.0
// How soon a bad canary is gone: a control plane and three nodes on loopback, 1,000 requests a
// second, a tenth of them to the canary.
#pragma once

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

// From the fault until the last node is back at stable, `runs` times each with every canary answer
// bad, a quarter, one in twenty, and with answers that take twice stable's time; split into what it
// takes to detect, to commit, and to publish and apply.
Status MeasureRollbacks(int runs, Report& report);

// Requests that fail while a healthy rollout is promoted, and while one is rolled back by hand,
// `runs` times each, under the same load.
Status MeasureLosses(int runs, Report& report);

}  // namespace weir::bench
