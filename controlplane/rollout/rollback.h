// SPDX-License-Identifier: Apache-2.0
// How a rollout is taken back: at once, in steps, to the phase before, by hand, in an emergency,
// gracefully, or after it was promoted. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/rollout/command.h"
#include "controlplane/rollout/step.h"
#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::rollout {

// Rollback outranks pause outranks alert.
int RankOf(const std::string& action);

// What a failure of the candidate as such leads to; the last of several triggers for it says.
std::string ActionOnFailure(const domain::RolloutSpec& spec);

// Why the candidate must go now: the judge's verdict, or a system failure as one, if that
// asks for no less. Absent while it
// may stay; `action` is not always a rollback.
std::optional<domain::VerdictRecord> ReasonToAct(const domain::RolloutSpec& spec,
                                                 const Evidence& evidence, int64_t now_wall_ms);

// What a verdict with action rollback leads to: to the phase before, first step down, or 0 %.
Step RollBackAutomatically(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
                           const domain::VerdictRecord& verdict, int64_t now_wall_ms);

// The rest of a rollback: further steps down, then until every live node has 0 %.
Step NextWhileRollingBack(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
                          const Evidence& evidence, int64_t now_wall_ms);

// Verb::kRollback. An emergency is refused only where nothing is left to take back to.
Result<Step> ObeyRollback(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
                          const Command& command, int64_t now_wall_ms);

}  // namespace weir::control::rollout
