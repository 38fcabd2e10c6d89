// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/interleave.h"
#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

inline constexpr size_t kBatch = 8;

// What a node does for one inference request between HTTP in and HTTP out, in process, with the
// node's own code; microseconds.
struct RequestParts {
  double read_us = 0;             // the JSON body
  double decide_us = 0;           // model look-up, key, arm, version
  double predict_us = 0;          // the model
  double write_us = 0;            // the JSON answer
  double record_us = 0;           // telemetry
  double allocations = 0;         // of all five, a request
  double batched_predict_us = 0;  // the model, one of kBatch rows in one call
  double sum_us() const { return read_us + decide_us + predict_us + write_us + record_us; }
};

Result<RequestParts> MeasureRequestParts(const Rounds& rounds);

// As figures, each beside the whole request's time, `request_us` (0: beside their sum).
void AddParts(const RequestParts& parts, double request_us, Report& report);

}  // namespace weir::bench
