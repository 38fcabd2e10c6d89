// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

struct RemoteEffort {
  int rounds = 5;      // of each way, in turn
  double seconds = 3;  // of a round
  int per_second = 1000;
};

// What passing a request on to a version that is a service adds to its latency, in open loop:
// weir-node (one worker) beside nginx (one worker) as a reverse proxy, before the same service, an
// nginx that gives a fixed answer. Needs nginx.
Status MeasureRemote(const RemoteEffort& effort, Report& report);

}  // namespace weir::bench
