// SPDX-License-Identifier: Apache-2.0
// One step of a rollout: (spec, status, evidence, now) → what to do. Pure; the driver gathers the
// evidence, calls it every tick and commits what it answers.
//
// progressing ─ duration, requests and gates of the phase ─▶ next phase … ─ of the last ─▶ promoted
//      │ a trigger with rollback, or the candidate FAILED on every node
//      └─▶ rolling_back ─ every live node has applied it ─▶ rolled_back
// paused and frozen stop progress only: triggers act in them too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::rollout {

// What a gate answered; manual approval is decided here, from the status.
struct GateState {
  bool passed = false;
  bool failed = false;  // for good, as far as the gate can tell: the rollout pauses
  std::string reason;   // "error_rate is 0.02, required < 0.01"
};

struct Evidence {
  int64_t phase_age_ms = 0;     // accumulated while leading; survives restarts, not downtime
  uint64_t phase_requests = 0;  // of the canary, judged, in this phase
  bool emergency_freeze = false;
  std::string frozen_by;  // a node that refused the rollout's entry, and why; "" for none
  // One per gate of the current phase, in order; manual_approval's is ignored.
  std::vector<GateState> gates;
  // The first trigger that fired since the rollout started and was not acted on.
  std::optional<domain::VerdictRecord> verdict;
  int live_nodes = 0;
  int applied_nodes = 0;               // live nodes that are at or past status.rollback_revision
  int64_t last_applied_wall_ms = 0;    // when the last of them had it; 0 when unknown
  std::vector<std::string> not_ready;  // "n2: LOADING", live nodes that do not serve the candidate
  std::string failed_everywhere;       // why, when the candidate is FAILED on every live node
};

struct Step {
  enum class Kind { kStay, kAdvance, kPromote, kRollback, kPause, kComplete };
  Kind kind = Kind::kStay;
  domain::RolloutStatus next;  // what to store, unless kStay
  std::string reason;          // for history
  std::string waiting_for;     // kStay: what the phase still needs, in words
  // How the rollout shows now: status.state, or "frozen" while something freezes it.
  std::string shown_state;
};

Step Next(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
          const Evidence& evidence, int64_t now_wall_ms);

// The transitions that people ask for. FailedPrecondition names the state when it does not fit.
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
  bool force = false;  // start or retry after a rollback, inside the cool-down
};
Result<Step> Obey(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
                  const Command& command, int64_t now_wall_ms);

}  // namespace weir::control::rollout
