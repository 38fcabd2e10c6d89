// SPDX-License-Identifier: Apache-2.0
// When a policy would have fired and acted: stored telemetry goes through the same driver, which
// rehearses. The resources are those of now; what acts would have changed is not simulated, so a
// violation lasts as long as it did. Pure; any thread, once the telemetry is copied.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/telemetry/series.h"

namespace weir::control::remedy {

struct BacktestInput {
  domain::Resource policy;
  // Models, limits, flags and rollouts as they are.
  std::vector<domain::Resource> resources;
  size_t live_nodes = 1;
  int64_t from_wall_ms = 0;
  int64_t to_wall_ms = 0;
  int64_t step_ms = 0;                                         // of `windows`
  std::vector<std::pair<int64_t, telemetry::Window>> windows;  // by start, ascending
};

// {from, to, step_ms, slos: [{name, model, violations, first_at?, violated_ms, worst?}], actions:
// [{at, action, target, slo, value, result, reason}]}, result: dry_run | failed; an
// objective over less than a step is taken over a step.
codec::Json Backtest(const BacktestInput& input);

}  // namespace weir::control::remedy
