// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "dataplane/routing/plan.h"

namespace weir::node::front {

// {model, version, is_canary, arm, reason, bucket, threshold, key_source, rollout?}
nlohmann::json Select(const routing::ModelPlan& model, const routing::Route& route);

}  // namespace weir::node::front
