// SPDX-License-Identifier: Apache-2.0
// "1,10,50,100" → the phases of a rollout. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::cli {

// Percent, rising, in 0..100 with at most three decimals. InvalidArgument of "--steps".
Result<std::vector<double>> ParseSteps(const std::string& text);

// step-1, step-2 …, each of that length (ms) and with that many requests of the canary.
codec::Json StepPhases(const std::vector<double>& steps, int64_t every_ms, uint64_t min_requests);

}  // namespace weir::control::cli
