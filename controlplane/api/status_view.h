// SPDX-License-Identifier: Apache-2.0
// The pages that answer "how are we": GET /v1/status, GET /health/canary, and what is wrong.
#pragma once

#include <string>
#include <vector>

#include "controlplane/api/api.h"
#include "controlplane/api/resource_view.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::api {

// What the resources show: emergencies, frozen, waiting and rolled back rollouts, rehearsed faults,
// malformed flags (the first ten by name, and how many more).
std::vector<Problem> ResourceProblems(const World& world);

// Problems are sorted: critical first, then the newest.
codec::Json StatusView(const World& world, uint64_t version, uint64_t epoch,
                       std::vector<Problem> problems);

// {enabled, percentage, baseline, canary, deltas, health: healthy | degraded | unknown |
// rolling_back | rolled_back | idle, reason, rollout?, subject?, state?, phase?, actual_percentage,
// rollouts: [the same of each]} of the rollout with that name, or of the one that needs attention
// most. `canary` holds enabled, percentage, baseline, deltas and health once more, for readers who
// look there. NotFound.
Result<codec::Json> CanaryHealthView(const World& world, const std::string& rollout);

}  // namespace weir::control::api
