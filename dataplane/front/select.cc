// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/select.h"

#include "shared/decision/decide.h"

namespace weir::node::front {

nlohmann::json Select(const routing::ModelPlan& model, const routing::Route& route) {
  const decision::ArmDecision& decision = route.decision;
  nlohmann::json out = {{"model", model.model->name},
                        {"version", route.target->version},
                        {"is_canary", route.arm == routing::Arm::kCanary},
                        {"arm", routing::ArmName(route.arm)},
                        {"reason", decision::ReasonName(decision.reason)},
                        {"key_source", decision::KeySourceName(decision.key_source)},
                        {"bucket", nullptr},
                        {"threshold", nullptr}};
  if (decision.bucket.has_value()) out["bucket"] = *decision.bucket;
  if (decision.threshold.has_value()) out["threshold"] = *decision.threshold;
  if (!decision.rollout.empty()) out["rollout"] = decision.rollout;
  return out;
}

}  // namespace weir::node::front
