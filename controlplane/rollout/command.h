// SPDX-License-Identifier: Apache-2.0
// The transitions that people ask for. Pure: FailedPrecondition names the state that does not fit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/rollout/step.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::control::rollout {

enum class Verb {
  kStart,
  kPause,
  kResume,
  kPromote,
  kPromoteFull,
  kApprove,
  kAbort,
  kRetry,
  kRollback
};
std::optional<Verb> ParseVerb(const std::string& text);  // "start" …; promote_full is an option

struct Command {
  Verb verb = Verb::kStart;
  std::string actor;
  std::string reason;
  // Start or retry after a rollback, inside the cool-down; lifts a block. Promote past an approval
  // that is for others to give.
  bool force = false;
  // Of kRollback, one at most. Emergency: at once, and nobody is answered by the candidate any
  // more. Graceful: what is in flight ends, then the candidate is unloaded.
  bool emergency = false;
  bool graceful = false;
  std::string spec{};              // digest of the spec, for an approval and what goes past one
  std::vector<GateState> gates{};  // of the phase, as they stand, for what goes past them
  // Of kRollback by a policy: what it saw. Such a rollback is "automatic".
  std::optional<domain::VerdictRecord> verdict{};
  codec::Json evidence{};  // the same in full, for history; null for none
};
Result<Step> Obey(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
                  const Command& command, int64_t now_wall_ms);

}  // namespace weir::control::rollout
