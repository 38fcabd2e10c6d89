// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/interleave.h"
#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

struct ServingEffort {
  int rounds = 5;          // of each side, in turn
  int closed_loop_s = 2;   // of a round
  double open_loop_s = 3;  // of a round
  int open_per_second = 2000;
  Rounds parts;
};

// OIP inference of the fraud model by weir-node (one worker, an active canary) beside nginx (one
// worker) that gives the same answer statically; each on core 0 in its turn, the load on the last
// core. Needs nginx and wrk.
Status MeasureServing(const ServingEffort& effort, Report& report);

// Resident memory of a node before and after load, and of the control plane.
Status MeasureMemory(int load_s, Report& report);

}  // namespace weir::bench
