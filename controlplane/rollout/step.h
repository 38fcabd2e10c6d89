// SPDX-License-Identifier: Apache-2.0
// One step of a rollout: (spec, status, evidence, now) → what to do. Pure; the driver gathers the
// evidence, calls it every tick and commits what it answers.
//
// progressing ─ duration, requests and gates of the phase ─▶ next phase … ─ of the last ─▶ promoted
//      │ a trigger with rollback, or a system failure of the candidate
//      ├─▶ with on_failure: previous_phase, paused in the phase before
//      └─▶ rolling_back ─ in steps if `gradual` ─ every live node has applied 0 % ─▶ rolled_back
// paused and frozen stop progress only: triggers act in them too. A last phase that is a shadow is
// never left by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::rollout {

// What a gate answered; manual approval is decided in gates.h, from the status.
struct GateState {
  bool passed = false;
  bool failed = false;  // for good, as far as the gate can tell: the rollout pauses
  std::string reason;   // "error_rate is 0.02, required < 0.01"
};

struct Evidence {
  int64_t phase_age_ms = 0;     // accumulated while leading; survives restarts, not downtime
  uint64_t phase_requests = 0;  // of the candidate's judged series, in this phase
  std::optional<uint64_t> counted_requests;  // of them, no node above its share; absent: all
  double max_node_share = 1;
  std::string missing_nodes_of_quorum;  // what MissingNodes of shares.h says
  std::string hidden_by;                // what HiddenBy says
  std::string alone;                    // the node that carried the phase alone; "" for none
  // The candidate turns so many more away than stable does; "" for no.
  std::string turned_away;
  std::string disabled_flag;  // the rollout's, while it is disabled
  bool emergency_freeze = false;
  std::string frozen_by;  // a node that refused the rollout's entry, and why; "" for none
  // One per gate of the current phase, in order; manual_approval's is ignored.
  std::vector<GateState> gates;
  // The first trigger that fired since the judge began and was not acted on.
  std::optional<domain::VerdictRecord> verdict;
  std::string spec;  // digest of the spec as it is; what was approved must be the same
  int live_nodes = 0;
  int applied_nodes = 0;                   // of them, at or past the rollout's last change
  std::vector<std::string> missing_nodes;  // the others
  int64_t last_applied_wall_ms = 0;        // when the last of them had it; 0 when unknown
  int64_t rollback_age_ms = 0;             // since the rollback's last step, as phase_age_ms
  std::vector<std::string> not_ready;  // "n2: LOADING", live nodes that do not serve the candidate
  bool selects_none = false;           // no live node is one that the rollout selects
  int selected_nodes = 0;              // live ones that it selects
  // FAILED on every live node, a breaker that is open, a crash loop; "" for none.
  std::string system_failure;
  bool is_of_one_node = false;    // that failure, while the others see the candidate well
  domain::VerdictRecord counted;  // both arms lately: the numbers of such a verdict
};

struct Step {
  // kBack: to the phase before. kRollback: each step down, the first one too.
  enum class Kind { kStay, kAdvance, kPromote, kBack, kRollback, kPause, kComplete };
  Kind kind = Kind::kStay;
  domain::RolloutStatus next;  // what to store, unless kStay
  std::string reason;          // for history
  std::string waiting_for;     // kStay: what the phase still needs, in words
  // How the rollout shows now: status.state, or "frozen" while something freezes it.
  std::string shown_state;
  // What becomes of the subject in the same revision, besides a promotion's.
  bool restores_stable = false;  // back to what the promotion replaced
  bool blocks = false;           // nobody is answered by the candidate any more
  bool unblocks = false;         // the candidate's block is lifted
};

Step Next(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
          const Evidence& evidence, int64_t now_wall_ms);

// `status` in a phase that begins now.
domain::RolloutStatus EnterPhase(const domain::RolloutSpec& spec, domain::RolloutStatus status,
                                 uint64_t phase, int64_t now_wall_ms);
// The next phase, or promotion after the last.
Step Advance(const domain::RolloutSpec& spec, const domain::RolloutStatus& status,
             const std::string& reason, int64_t now_wall_ms);
domain::RolloutStatus Promoted(domain::RolloutStatus status, int64_t now_wall_ms);
// The rollout is in its last phase, and that only copies.
bool EndsInShadow(const domain::RolloutSpec& spec, const domain::RolloutStatus& status);

}  // namespace weir::control::rollout
