// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "bench/report.h"

namespace weir::bench {

struct EvaluatorEffort {
  size_t models = 1'000;  // of ten series each
  size_t policies = 100;  // of one objective each, which every model is held to
  int warm_up_s = 60;     // until windows are full
  int seconds = 20;
};

// What a second's telemetry and looks of the policies cost the control plane's core thread.
void MeasureEvaluator(const EvaluatorEffort& effort, Report& report);

}  // namespace weir::bench
