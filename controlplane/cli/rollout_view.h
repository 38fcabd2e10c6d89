// SPDX-License-Identifier: Apache-2.0
// How a rollout looks in a terminal: `weir rollout show`, `status` and `watch` draw the same tree.
// Pure: JSON of the API in, lines out.
#pragma once

#include <string>
#include <vector>

#include "shared/codec/json.h"

namespace weir::control::cli {

struct TreeStyle {
  bool color = false;
  size_t width = 0;   // columns; longer lines are cut; 0: no limit
  size_t height = 0;  // lines; older events are left out first; 0: no limit
};

// `rollout` as GET /v1/rollouts/NAME gives it; `events` those of it, oldest first.
std::vector<std::string> RolloutTree(const codec::Json& rollout, const codec::Json& events,
                                     const TreeStyle& style);

// "fraud_detection 2.0.0" or "flag ttft".
std::string RolloutSubject(const codec::Json& rollout);
// "canary (2/4)"; "" without a phase.
std::string RolloutPhase(const codec::Json& rollout);
bool IsFinalRollout(const std::string& state);
// One event of a rollout in one line, without its time.
std::string RolloutEventText(const codec::Json& event);

}  // namespace weir::control::cli
