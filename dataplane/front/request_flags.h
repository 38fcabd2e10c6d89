// SPDX-License-Identifier: Apache-2.0
// The flags of a model, decided for one of its requests: services get them in x-weir-flags, the
// client in its answer, and rollouts of these flags are judged on the requests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/flags/desk.h"
#include "dataplane/routing/plan.h"
#include "shared/decision/decide.h"

namespace weir::node::front {

struct RequestFlags {
  // "a=on,b=off": a rollout flag's state, a variant flag's variant; flags that leave the value to
  // the caller are not in it. "" for a model without flags.
  std::string text;
  // Where the answer counts as well: the arms that chance put the key into. Of the plan.
  std::vector<routing::Recorder*> arms;

  void Clear() {
    text.clear();
    arms.clear();
  }
  // Each decision is counted at the desk.
  void Decide(const decision::Ruleset& rules, const routing::ModelPlan& model,
              const decision::Keys& keys, uint64_t random, flags::Desk& desk);
};

}  // namespace weir::node::front
