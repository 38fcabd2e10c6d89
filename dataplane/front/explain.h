// SPDX-License-Identifier: Apache-2.0
// Every decision for one set of keys, with its reason, in the shape of `weir explain` (SURFACES).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "dataplane/routing/plan.h"
#include "shared/decision/decide.h"
#include "shared/decision/ruleset.h"

namespace weir::node::front {

// Flags and experiments take user_id, else session_id, else request_id. Sorted by name.
nlohmann::json Explain(const decision::Ruleset& rules, const decision::Keys& keys, uint64_t random);

// {model, version, is_canary, arm, reason, bucket, threshold}
nlohmann::json Select(const routing::ModelPlan& model, const routing::Route& route);

}  // namespace weir::node::front
