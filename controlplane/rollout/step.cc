// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/step.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/validate.h"

namespace weir::control::rollout {
namespace {

using domain::Phase;
using domain::RolloutSpec;
using domain::RolloutStatus;

bool Approved(const RolloutStatus& status, const std::string& phase) {
  return std::any_of(status.approvals.begin(), status.approvals.end(),
                     [&](const domain::Approval& approval) { return approval.phase == phase; });
}

RolloutStatus EnterPhase(const RolloutSpec& spec, RolloutStatus status, uint64_t phase,
                         int64_t now_wall_ms) {
  status.state = "progressing";
  status.phase = phase;
  status.percentage = spec.phases[phase].percentage;
  status.since = {now_wall_ms};
  return status;
}

RolloutStatus Promoted(RolloutStatus status, int64_t now_wall_ms) {
  status.state = "promoted";
  status.percentage = 100;
  status.since = {now_wall_ms};
  return status;
}

Step Stay(const RolloutStatus& status, std::string waiting_for) {
  return {Step::Kind::kStay, status, "", std::move(waiting_for), status.state};
}

Step RollBack(const RolloutStatus& status, std::string reason, int64_t now_wall_ms,
              domain::VerdictRecord verdict) {
  RolloutStatus next = status;
  next.state = "rolling_back";
  next.percentage = 0;
  next.since = {now_wall_ms};
  next.completed_at = {};
  next.last_verdict = std::move(verdict);
  return {Step::Kind::kRollback, std::move(next), std::move(reason), "", "rolling_back"};
}

// The next phase, or promotion after the last.
Step Advance(const RolloutSpec& spec, const RolloutStatus& status, std::string reason,
             int64_t now_wall_ms) {
  if (status.phase + 1 < spec.phases.size()) {
    RolloutStatus next = EnterPhase(spec, status, status.phase + 1, now_wall_ms);
    const Phase& phase = spec.phases[next.phase];
    return {Step::Kind::kAdvance, next,
            fmt::format("to phase {} at {} %: {}", phase.name, phase.percentage, reason), "",
            next.state};
  }
  RolloutStatus next = Promoted(status, now_wall_ms);
  return {Step::Kind::kPromote, next, "promoted: " + reason, "", next.state};
}

// What the current phase still needs; empty when it is done.
std::vector<std::string> Missing(const RolloutSpec& spec, const RolloutStatus& status,
                                 const Evidence& evidence) {
  std::vector<std::string> missing;
  const Phase& phase = spec.phases[status.phase];
  if (!evidence.not_ready.empty()) {
    missing.push_back("candidate is not ready on " + Join(evidence.not_ready, ", "));
  }
  if (evidence.phase_age_ms < phase.duration.ms) {
    missing.push_back(fmt::format(
        "{} more of {}",
        FormatDurationMs((phase.duration.ms - evidence.phase_age_ms + 999) / 1000 * 1000),
        FormatDurationMs(phase.duration.ms)));
  }
  if (evidence.phase_requests < phase.min_requests) {
    missing.push_back(
        fmt::format("{} of {} requests", evidence.phase_requests, phase.min_requests));
  }
  for (size_t i = 0; i < phase.gates.size(); ++i) {
    if (phase.gates[i].type == "manual_approval") {
      if (!Approved(status, phase.name))
        missing.push_back(fmt::format("approval of phase {}", phase.name));
    } else if (i < evidence.gates.size() && !evidence.gates[i].passed) {
      missing.push_back(
          fmt::format("gate {}: {}", phase.gates[i].metric, evidence.gates[i].reason));
    }
  }
  return missing;
}

Step NextWhileRollingBack(const RolloutStatus& status, const Evidence& evidence,
                          int64_t now_wall_ms) {
  if (evidence.applied_nodes < evidence.live_nodes) {
    return Stay(status, fmt::format("{}/{} nodes are back at stable", evidence.applied_nodes,
                                    evidence.live_nodes));
  }
  RolloutStatus next = status;
  next.state = "rolled_back";
  next.completed_at = {evidence.last_applied_wall_ms > 0 ? evidence.last_applied_wall_ms
                                                         : now_wall_ms};
  return {Step::Kind::kComplete, next,
          fmt::format("all {} live nodes are back at stable", evidence.live_nodes), "", next.state};
}

}  // namespace

Step Next(const RolloutSpec& spec, const RolloutStatus& status, const Evidence& evidence,
          int64_t now_wall_ms) {
  if (status.state == "rolling_back") return NextWhileRollingBack(status, evidence, now_wall_ms);
  if (!domain::IsActive(status) || status.phase >= spec.phases.size()) return Stay(status, "");
  if (spec.rollback.enabled && evidence.verdict && evidence.verdict->action == "rollback") {
    return RollBack(status,
                    fmt::format("{}: {}", evidence.verdict->trigger, evidence.verdict->evidence),
                    now_wall_ms, *evidence.verdict);
  }
  if (spec.rollback.enabled && !evidence.failed_everywhere.empty()) {
    return RollBack(status, "system_failure: " + evidence.failed_everywhere, now_wall_ms,
                    domain::VerdictRecord{.trigger = "system_failure",
                                          .action = "rollback",
                                          .evidence = evidence.failed_everywhere,
                                          .first_bad_at = {},
                                          .detected_at = {now_wall_ms}});
  }
  if (status.state == "paused") return Stay(status, "resume");
  if (evidence.verdict && evidence.verdict->action == "pause") {
    RolloutStatus next = status;
    next.state = "paused";
    next.since = {now_wall_ms};
    next.last_verdict = evidence.verdict;
    return {Step::Kind::kPause, next,
            fmt::format("{}: {}", evidence.verdict->trigger, evidence.verdict->evidence), "",
            next.state};
  }
  if (evidence.emergency_freeze || !evidence.frozen_by.empty()) {
    Step step = Stay(
        status, evidence.emergency_freeze ? "end of the emergency freeze" : evidence.frozen_by);
    step.shown_state = "frozen";
    return step;
  }
  const std::vector<std::string> missing = Missing(spec, status, evidence);
  if (!missing.empty()) return Stay(status, Join(missing, "; "));
  return Advance(
      spec, status,
      fmt::format("phase {} passed after {} and {} requests", spec.phases[status.phase].name,
                  FormatDurationMs(evidence.phase_age_ms / 100 * 100), evidence.phase_requests),
      now_wall_ms);
}

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

namespace {

Result<Step> Restart(const RolloutSpec& spec, const RolloutStatus& status, const Command& command,
                     int64_t now_wall_ms) {
  if (domain::IsActive(status)) return FailedPrecondition("the rollout is already " + status.state);
  if (status.state == "promoted")
    return FailedPrecondition("the rollout was promoted; write a new one");
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
  RolloutStatus next = EnterPhase(spec, {}, 0, now_wall_ms);
  return Step{Step::Kind::kAdvance, next, command.reason, "", next.state};
}

Result<Step> Promote(const RolloutSpec& spec, const RolloutStatus& status, const Command& command,
                     int64_t now_wall_ms) {
  if (command.verb == Verb::kPromoteFull) {
    return Step{Step::Kind::kPromote, Promoted(status, now_wall_ms), command.reason, "",
                "promoted"};
  }
  return Advance(spec, status, command.reason, now_wall_ms);
}

domain::VerdictRecord ByHand(const Command& command, int64_t now_wall_ms) {
  domain::VerdictRecord verdict;
  verdict.trigger = "manual";
  verdict.action = "rollback";
  verdict.evidence = fmt::format("{}: {}", command.actor, command.reason);
  verdict.detected_at = {now_wall_ms};
  return verdict;
}

Result<Step> Approve(const RolloutSpec& spec, RolloutStatus status, const Command& command,
                     int64_t now_wall_ms) {
  const Phase& phase = spec.phases[status.phase];
  const bool waits =
      std::any_of(phase.gates.begin(), phase.gates.end(),
                  [](const domain::Gate& gate) { return gate.type == "manual_approval"; });
  if (!waits)
    return FailedPrecondition(fmt::format("phase {} has no manual_approval gate", phase.name));
  if (Approved(status, phase.name))
    return FailedPrecondition(fmt::format("phase {} is approved already", phase.name));
  status.approvals.push_back({command.actor, phase.name, {now_wall_ms}});
  return Step{Step::Kind::kAdvance, status, command.reason, "", status.state};
}

Step WithState(RolloutStatus status, const char* state, const Command& command,
               int64_t now_wall_ms) {
  status.state = state;
  status.since = {now_wall_ms};
  if (status.state == "aborted") status.percentage = 0;
  return {Step::Kind::kAdvance, status, command.reason, "", status.state};
}

}  // namespace

Result<Step> Obey(const RolloutSpec& spec, const RolloutStatus& status, const Command& command,
                  int64_t now_wall_ms) {
  if (command.verb == Verb::kStart || command.verb == Verb::kRetry)
    return Restart(spec, status, command, now_wall_ms);
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
    case Verb::kApprove:
      return Approve(spec, status, command, now_wall_ms);
    case Verb::kAbort:
      return WithState(status, "aborted", command, now_wall_ms);
    case Verb::kRollback:
      return RollBack(status, command.reason, now_wall_ms, ByHand(command, now_wall_ms));
    case Verb::kStart:
    case Verb::kRetry:
      break;  // handled above
  }
  return Internal("unknown verb");
}

}  // namespace weir::control::rollout
