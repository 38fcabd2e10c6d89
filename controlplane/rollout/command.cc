// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/command.h"

#include <fmt/format.h>

#include <utility>

#include "controlplane/rollout/gates.h"
#include "controlplane/rollout/rollback.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/validate.h"

namespace weir::control::rollout {
namespace {

using domain::RolloutSpec;
using domain::RolloutStatus;

Step Move(Step::Kind kind, RolloutStatus next, const Command& command) {
  Step step;
  step.kind = kind;
  step.shown_state = next.state;
  step.next = std::move(next);
  step.reason = command.reason;
  return step;
}

Result<Step> Restart(const RolloutSpec& spec, const RolloutStatus& status, const Command& command,
                     int64_t now_wall_ms) {
  if (domain::IsActive(status)) return FailedPrecondition("the rollout is already " + status.state);
  if (status.state == "promoted")
    return FailedPrecondition("the rollout was promoted; write a new one");
  if (spec.phases.empty()) return FailedPrecondition("the rollout has no phases");
  if (status.state == "rolled_back" && !command.force) {
    const int64_t wait_ms = status.since.ms + spec.rollback.cooldown.ms - now_wall_ms;
    if (command.verb == Verb::kStart) {
      return FailedPrecondition("the rollout was rolled back; starting it again needs --force");
    }
    if (wait_ms > 0) {
      return FailedPrecondition(
          fmt::format("the rollout was rolled back; its cool-down lasts {} more (--force ends it)",
                      FormatDurationMs((wait_ms + 999) / 1000 * 1000)));
    }
  }
  RolloutStatus anew;
  anew.spec_by = status.spec_by;
  anew.started_by = command.actor;
  Step step =
      Move(Step::Kind::kAdvance, EnterPhase(spec, std::move(anew), 0, now_wall_ms), command);
  step.unblocks = command.force;
  return step;
}

// "by hand, past: manual_approval (0 of 2), office hours", after the reason that was given. A
// promotion goes past gates; past an approval that is for others to give only with force.
Result<std::string> ByHand(const RolloutSpec& spec, const RolloutStatus& status,
                           const Command& command) {
  const uint64_t end =
      command.verb == Verb::kPromoteFull ? spec.phases.size() : uint64_t{status.phase} + 1;
  std::vector<std::string> past;
  for (uint64_t i = status.phase; i < end; ++i) {
    const domain::Phase& phase = spec.phases[i];
    for (const domain::Gate& gate : phase.gates) {
      if (command.force || gate.type != "manual_approval") continue;
      // Who may approve alone may as well go past it.
      if (gate.approvals < 2 && MayApprove(gate, status, command.actor)) continue;
      const GateState state = ApprovalState(gate, phase.name, status, command.spec);
      if (state.passed) continue;
      return FailedPrecondition(
          fmt::format("the rollout needs {}; {} may not go past it (weir rollout approve passes "
                      "it, promote --force goes past it and history says so)",
                      state.reason, command.actor));
    }
    const auto names = Unpassed(phase, status, command.spec,
                                i == status.phase ? command.gates : std::vector<GateState>{});
    past.insert(past.end(), names.begin(), names.end());
  }
  if (past.empty()) return command.reason;
  return (command.reason.empty() ? "" : command.reason + "; ") +
         "by hand, past: " + Join(past, ", ");
}

Result<Step> Promote(const RolloutSpec& spec, const RolloutStatus& status, const Command& command,
                     int64_t now_wall_ms) {
  WEIR_ASSIGN_OR_RETURN(const std::string reason, ByHand(spec, status, command));
  if (command.verb == Verb::kPromoteFull) {
    Step step = Move(Step::Kind::kPromote, Promoted(status, now_wall_ms), command);
    step.reason = reason;
    return step;
  }
  if (EndsInShadow(spec, status)) {
    return FailedPrecondition(
        "the last phase only copies requests; promote --full makes the candidate stable");
  }
  Step step = Advance(spec, status, reason, now_wall_ms);
  step.reason = reason;
  return step;
}

Step WithState(RolloutStatus status, const char* state, const Command& command,
               int64_t now_wall_ms) {
  status.state = state;
  status.since = {now_wall_ms};
  if (status.state == "aborted") status.percentage = 0;
  return Move(Step::Kind::kAdvance, std::move(status), command);
}

}  // namespace

std::optional<Verb> ParseVerb(const std::string& text) {
  constexpr std::pair<const char*, Verb> kVerbs[] = {
      {"start", Verb::kStart},     {"pause", Verb::kPause},      {"resume", Verb::kResume},
      {"promote", Verb::kPromote}, {"approve", Verb::kApprove},  {"abort", Verb::kAbort},
      {"retry", Verb::kRetry},     {"rollback", Verb::kRollback}};
  for (const auto& [name, verb] : kVerbs) {
    if (text == name) return verb;
  }
  return std::nullopt;
}

Result<Step> Obey(const RolloutSpec& spec, const RolloutStatus& status, const Command& command,
                  int64_t now_wall_ms) {
  if (command.verb == Verb::kStart || command.verb == Verb::kRetry)
    return Restart(spec, status, command, now_wall_ms);
  if (command.verb == Verb::kRollback) return ObeyRollback(spec, status, command, now_wall_ms);
  if (!domain::IsActive(status) || status.state == "rolling_back" ||
      status.phase >= spec.phases.size()) {
    if (command.verb == Verb::kAbort && status.state == "pending")
      return WithState(status, "aborted", command, now_wall_ms);
    return FailedPrecondition("the rollout is " + status.state);
  }
  switch (command.verb) {
    case Verb::kPause:
      if (status.state == "paused") return FailedPrecondition("the rollout is paused already");
      return WithState(status, "paused", command, now_wall_ms);
    case Verb::kResume:
      if (status.state != "paused")
        return FailedPrecondition("the rollout is " + status.state + ", not paused");
      return WithState(status, "progressing", command, now_wall_ms);
    case Verb::kPromote:
    case Verb::kPromoteFull:
      return Promote(spec, status, command, now_wall_ms);
    case Verb::kApprove: {
      const domain::Phase& phase = spec.phases[status.phase];
      WEIR_ASSIGN_OR_RETURN(
          RolloutStatus next,
          Approve(phase, status, {command.actor, phase.name, {now_wall_ms}, command.spec}));
      return Move(Step::Kind::kAdvance, std::move(next), command);
    }
    case Verb::kAbort:
      return WithState(status, "aborted", command, now_wall_ms);
    case Verb::kStart:
    case Verb::kRetry:
    case Verb::kRollback:
      break;  // handled above
  }
  return Internal("unknown verb");
}

}  // namespace weir::control::rollout
