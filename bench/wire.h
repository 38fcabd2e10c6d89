// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

struct WireEffort {
  std::vector<size_t> nodes = {10, 100, 1000};
  int changes = 300;  // for each of them
  int returns = 10;   // restarts of the control plane
  size_t batches = 60'000;
};

// Changes of 4 KB to many light nodes (bench/crowd.h) over real sockets, until the last one's
// APPLIED is in the registry, beside raw libzmq; in process, with the control plane's bus.
Status MeasurePropagation(const WireEffort& effort, Report& report);
// Batches of telemetry from a socket to what core is handed, on one core, beside a PULL loop.
Status MeasureIngest(const WireEffort& effort, Report& report);
// The real weir-control and as many light nodes: its memory for each, a change through its API,
// and all of them returning at once when it was killed and started again.
Status MeasureThousand(const WireEffort& effort, Report& report);

}  // namespace weir::bench
