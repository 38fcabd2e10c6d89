// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/rollback.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/validate.h"

namespace weir::control::rollout {
namespace {

using domain::RolloutSpec;
using domain::RolloutStatus;
using domain::VerdictRecord;

constexpr char kSystemFailure[] = "system_failure";
constexpr size_t kNodesNamed = 5;

// The first percentage of `gradual` below what is in force; 0 without steps.
double NextPercentage(const RolloutSpec& spec, double percentage) {
  if (!spec.rollback.gradual) return 0;
  for (const double to : spec.rollback.gradual->to) {
    if (to < percentage) return to;
  }
  return 0;
}

Step Down(const RolloutStatus& status, double percentage, std::string reason, int64_t now_wall_ms) {
  Step step;
  step.kind = Step::Kind::kRollback;
  step.next = status;
  step.next.state = "rolling_back";
  step.next.percentage = percentage;
  step.next.since = {now_wall_ms};
  ++step.next.rollback_step;
  step.reason = std::move(reason);
  step.shown_state = "rolling_back";
  return step;
}

// The beginning of a rollback, whoever wants it.
Step Begin(RolloutStatus status, const std::string& kind, const std::string& by,
           VerdictRecord verdict, double percentage, std::string reason, int64_t now_wall_ms) {
  status.rollback_kind = kind;
  status.rollback_by = by;
  status.percentage_before = status.percentage;
  status.rollback_step = 0;
  status.rollback_started_at = {now_wall_ms};
  status.rollback_revision = 0;
  status.completed_at = {};
  status.last_verdict = std::move(verdict);
  return Down(status, percentage, std::move(reason), now_wall_ms);
}

Step ToPhaseBefore(const RolloutSpec& spec, const RolloutStatus& status,
                   const VerdictRecord& verdict, const std::string& reason, int64_t now_wall_ms) {
  Step step;
  step.kind = Step::Kind::kBack;
  step.next = EnterPhase(spec, status, status.phase - 1, now_wall_ms);
  step.next.state = "paused";
  step.next.last_verdict = verdict;
  step.next.rollback_kind = "automatic";
  step.next.rollback_by.clear();
  step.next.percentage_before = status.percentage;
  step.next.rollback_started_at = {now_wall_ms};
  // What was approved was a candidate that had not failed yet.
  std::erase_if(step.next.approvals, [&](const domain::Approval& approval) {
    for (uint64_t phase = step.next.phase; phase < spec.phases.size(); ++phase) {
      if (spec.phases[phase].name == approval.phase) return true;
    }
    return false;
  });
  const domain::Phase& phase = spec.phases[step.next.phase];
  step.reason = fmt::format("back to phase {} at {} %: {}", phase.name, phase.percentage, reason);
  step.shown_state = "paused";
  return step;
}

std::string WhoIsMissing(const Evidence& evidence) {
  std::vector<std::string> names = evidence.missing_nodes;
  const size_t more = names.size() > kNodesNamed ? names.size() - kNodesNamed : 0;
  names.resize(names.size() - more);
  std::string text =
      fmt::format("{}/{} nodes are back at stable", evidence.applied_nodes, evidence.live_nodes);
  if (names.empty()) return text;
  text += "; " + Join(names, ", ");
  if (more > 0) text += fmt::format(" and {} more", more);
  return text + (names.size() + more == 1 ? " is missing" : " are missing");
}

VerdictRecord ByHand(const Command& command, int64_t now_wall_ms) {
  if (command.verdict) return *command.verdict;
  VerdictRecord verdict;
  verdict.trigger = command.emergency ? "emergency" : command.graceful ? "graceful" : "manual";
  verdict.action = "rollback";
  verdict.evidence = command.actor + (command.reason.empty() ? "" : ": " + command.reason);
  verdict.detected_at = {now_wall_ms};
  return verdict;
}

const char* KindOf(const Command& command) {
  if (command.verdict && !command.emergency && !command.graceful) return "automatic";
  return command.emergency ? "emergency" : command.graceful ? "graceful" : "manual";
}

// Nothing is routed to the candidate; only an emergency has something to do: nobody may ask for it
// by name either, and a pending rollout must not start.
Result<Step> BlockOnly(const RolloutStatus& status, const Command& command, int64_t now_wall_ms) {
  Step step;
  step.kind = Step::Kind::kAdvance;
  step.next = status;
  step.next.rollback_kind = KindOf(command);
  step.next.rollback_by = command.actor;
  step.next.rollback_started_at = {now_wall_ms};
  step.next.last_verdict = ByHand(command, now_wall_ms);
  if (status.state == "pending") {
    step.next.state = "aborted";
    step.next.since = {now_wall_ms};
  }
  step.reason = command.reason;
  step.shown_state = step.next.state;
  step.blocks = true;
  return step;
}

Result<Step> OfPromoted(const RolloutSpec& spec, const RolloutStatus& status,
                        const Command& command, int64_t now_wall_ms) {
  const int64_t kept_until_ms = status.promoted_at.ms + spec.rollback.keep_previous.ms;
  if (status.unloaded_previous || now_wall_ms >= kept_until_ms) {
    return FailedPrecondition(fmt::format(
        "the rollout was promoted more than {} ago (rollback.keep_previous): {}; write a rollout "
        "that leads back",
        FormatDurationMs(spec.rollback.keep_previous.ms),
        spec.model.empty() ? "the flag's percentage stands"
                           : "version " + status.previous_stable + " is not kept any more"));
  }
  Step step = Begin(status, KindOf(command), command.actor, ByHand(command, now_wall_ms), 0,
                    command.reason, now_wall_ms);
  step.restores_stable = true;
  step.blocks = command.emergency;
  return step;
}

}  // namespace

int RankOf(const std::string& action) {
  return action == "rollback" ? 2 : action == "pause" ? 1 : 0;
}

std::string ActionOnFailure(const RolloutSpec& spec) {
  std::string action = "rollback";
  for (const domain::TriggerSpec& trigger : spec.rollback.triggers) {
    if (trigger.metric == kSystemFailure && !trigger.action.empty()) action = trigger.action;
  }
  return action;
}

std::optional<VerdictRecord> ReasonToAct(const RolloutSpec& spec, const Evidence& evidence,
                                         int64_t now_wall_ms) {
  if (evidence.system_failure.empty()) return evidence.verdict;
  VerdictRecord failure = evidence.counted;
  failure.trigger = kSystemFailure;
  failure.action = ActionOnFailure(spec);
  if (const std::string& milder = spec.rollback.one_node;
      evidence.is_of_one_node && !milder.empty() && RankOf(milder) < RankOf(failure.action))
    failure.action = milder;
  failure.evidence = evidence.system_failure;
  failure.detected_at = {now_wall_ms};
  if (evidence.verdict && RankOf(evidence.verdict->action) > RankOf(failure.action))
    return evidence.verdict;
  return failure;
}

Step RollBackAutomatically(const RolloutSpec& spec, const RolloutStatus& status,
                           const VerdictRecord& verdict, int64_t now_wall_ms) {
  const std::string reason = fmt::format("{}: {}", verdict.trigger, verdict.evidence);
  // A candidate that does not work at all fails in every phase.
  const bool works = verdict.trigger != kSystemFailure;
  if (works && spec.rollback.on_failure == "previous_phase" && status.phase > 0)
    return ToPhaseBefore(spec, status, verdict, reason, now_wall_ms);
  const bool in_steps = works && !domain::IsShadow(spec, spec.phases[status.phase]);
  return Begin(status, "automatic", "", verdict,
               in_steps ? NextPercentage(spec, status.percentage) : 0, reason, now_wall_ms);
}

Step NextWhileRollingBack(const RolloutSpec& spec, const RolloutStatus& status,
                          const Evidence& evidence, int64_t now_wall_ms) {
  Step stay;
  stay.next = status;
  stay.shown_state = status.state;
  if (status.percentage > 0) {
    const auto bad = ReasonToAct(spec, evidence, now_wall_ms);
    if (bad && bad->action == "rollback") {
      Step step =
          Down(status, 0, fmt::format("to 0 % at once: {}: {}", bad->trigger, bad->evidence),
               now_wall_ms);
      step.next.last_verdict = bad;
      return step;
    }
    const int64_t every_ms = spec.rollback.gradual ? spec.rollback.gradual->every.ms : 0;
    const double to = NextPercentage(spec, status.percentage);
    if (evidence.rollback_age_ms >= every_ms) {
      return Down(status, to, fmt::format("from {} % to {} %", status.percentage, to), now_wall_ms);
    }
    stay.waiting_for =
        fmt::format("{} % in {}", to,
                    FormatDurationMs((every_ms - evidence.rollback_age_ms + 999) / 1000 * 1000));
    return stay;
  }
  if (evidence.applied_nodes < evidence.live_nodes) {
    stay.waiting_for = WhoIsMissing(evidence);
    return stay;
  }
  Step done;
  done.kind = Step::Kind::kComplete;
  done.next = status;
  done.next.state = "rolled_back";
  done.next.completed_at = {evidence.last_applied_wall_ms > 0 ? evidence.last_applied_wall_ms
                                                              : now_wall_ms};
  done.reason = fmt::format("all {} live nodes are back at stable", evidence.live_nodes);
  done.shown_state = done.next.state;
  return done;
}

Result<Step> ObeyRollback(const RolloutSpec& spec, const RolloutStatus& status,
                          const Command& command, int64_t now_wall_ms) {
  if (command.emergency && command.graceful)
    return InvalidArgument("graceful", "is the opposite of emergency; give one of them");
  if (status.state == "promoted") return OfPromoted(spec, status, command, now_wall_ms);
  if (!domain::IsActive(status) || status.phase >= spec.phases.size()) {
    if (command.emergency) return BlockOnly(status, command, now_wall_ms);
    return FailedPrecondition(
        fmt::format("the rollout is {}: there is nothing to take back{}", status.state,
                    status.state == "pending" ? " (abort keeps it from starting)" : ""));
  }
  if (status.state == "rolling_back") {
    if (!command.emergency) {
      return FailedPrecondition(fmt::format(
          "the rollout is rolling_back already, at {} %; --emergency goes to 0 % at once",
          status.percentage));
    }
    Step step = Down(status, 0, command.reason, now_wall_ms);
    step.next.rollback_kind = KindOf(command);
    step.next.rollback_by = command.actor;
    step.next.last_verdict = ByHand(command, now_wall_ms);
    step.blocks = true;
    return step;
  }
  const bool in_steps =
      !command.emergency && !command.graceful && !domain::IsShadow(spec, spec.phases[status.phase]);
  Step step =
      Begin(status, KindOf(command), command.actor, ByHand(command, now_wall_ms),
            in_steps ? NextPercentage(spec, status.percentage) : 0, command.reason, now_wall_ms);
  step.blocks = command.emergency;
  return step;
}

}  // namespace weir::control::rollout
