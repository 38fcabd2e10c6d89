// SPDX-License-Identifier: Apache-2.0
// XGBoost models (JSON or UBJSON), answered on the worker's own thread by in-place prediction with
// one thread: it refuses a wrong number of columns, where prediction from a DMatrix would take
// missing columns for missing values. One two-dimensional input of any numeric datatype, whatever
// its name; one FP32 output "predict" of shape [rows] or [rows, groups].
// In-place prediction on a configured booster writes to thread-local buffers only, so one booster
// serves all workers; the warm-up configures it.
#pragma once

#include <memory>

#include "dataplane/runtime/runtime.h"
#include "shared/base/clock.h"

namespace weir::node::runtime {

// Named "xgboost". `clock` is the one that deadlines are told in; it outlives what is loaded.
std::shared_ptr<Runtime> MakeXgboostRuntime(const Clock& clock = Clock::System());

}  // namespace weir::node::runtime
