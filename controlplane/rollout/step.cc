// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/rollout/gates.h"
#include "controlplane/rollout/rollback.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/validate.h"

namespace weir::control::rollout {
namespace {

using domain::Phase;
using domain::RolloutSpec;
using domain::RolloutStatus;

Step Stay(const RolloutStatus& status, std::string waiting_for) {
  Step step;
  step.next = status;
  step.waiting_for = std::move(waiting_for);
  step.shown_state = status.state;
  return step;
}

Step Pause(RolloutStatus status, std::string reason, int64_t now_wall_ms) {
  status.state = "paused";
  status.since = {now_wall_ms};
  Step step;
  step.kind = Step::Kind::kPause;
  step.next = std::move(status);
  step.reason = std::move(reason);
  step.shown_state = "paused";
  return step;
}

// What the current phase still needs; empty when it is done.
std::vector<std::string> Missing(const RolloutSpec& spec, const RolloutStatus& status,
                                 const Evidence& evidence) {
  std::vector<std::string> missing;
  const Phase& phase = spec.phases[status.phase];
  if (!evidence.not_ready.empty()) {
    missing.push_back("candidate is not ready on " + Join(evidence.not_ready, ", "));
  }
  if (evidence.selects_none) missing.push_back("no live node that the rollout selects");
  if (!evidence.disabled_flag.empty())
    missing.push_back("flag " + evidence.disabled_flag + " is disabled");
  if (!evidence.turned_away.empty()) missing.push_back(evidence.turned_away);
  if (evidence.phase_age_ms < phase.duration.ms) {
    missing.push_back(fmt::format(
        "{} more of {}",
        FormatDurationMs((phase.duration.ms - evidence.phase_age_ms + 999) / 1000 * 1000),
        FormatDurationMs(phase.duration.ms)));
  }
  const uint64_t counted = evidence.counted_requests.value_or(evidence.phase_requests);
  if (counted < phase.min_requests) {
    missing.push_back(fmt::format("{} of {} requests", counted, phase.min_requests));
    if (counted < evidence.phase_requests) {
      missing.back() += fmt::format(" ({} came; of one node at most {:.4g} % count)",
                                    evidence.phase_requests, 100 * evidence.max_node_share);
    }
  }
  // Who sends nothing at all is missing already.
  if (!evidence.missing_nodes_of_quorum.empty() &&
      (evidence.phase_requests > 0 || phase.min_requests == 0))
    missing.push_back(evidence.missing_nodes_of_quorum);
  if (!evidence.hidden_by.empty()) missing.push_back(evidence.hidden_by);
  for (size_t i = 0; i < phase.gates.size(); ++i) {
    const domain::Gate& gate = phase.gates[i];
    if (gate.type == "manual_approval") {
      GateState state = ApprovalState(gate, phase.name, status, evidence.spec);
      if (!state.passed) missing.push_back(std::move(state.reason));
    } else if (i < evidence.gates.size() && !evidence.gates[i].passed) {
      missing.push_back(fmt::format("gate {}: {}", GateName(gate), evidence.gates[i].reason));
    }
  }
  return missing;
}

// "gate smoke: …" of the first gate that has failed for good; "" for none.
std::string FailedGate(const Phase& phase, const Evidence& evidence) {
  for (size_t i = 0; i < std::min(phase.gates.size(), evidence.gates.size()); ++i) {
    if (!evidence.gates[i].failed || phase.gates[i].type == "manual_approval") continue;
    return fmt::format("gate {} failed: {}", GateName(phase.gates[i]), evidence.gates[i].reason);
  }
  return "";
}

}  // namespace

RolloutStatus EnterPhase(const RolloutSpec& spec, RolloutStatus status, uint64_t phase,
                         int64_t now_wall_ms) {
  status.state = "progressing";
  status.phase = phase;
  status.percentage = spec.phases[phase].percentage;
  status.since = {now_wall_ms};
  status.entered.resize(phase);
  status.entered.push_back({now_wall_ms});
  return status;
}

RolloutStatus Promoted(RolloutStatus status, int64_t now_wall_ms) {
  status.state = "promoted";
  status.percentage = 100;
  status.since = {now_wall_ms};
  status.promoted_at = {now_wall_ms};
  return status;
}

bool EndsInShadow(const RolloutSpec& spec, const RolloutStatus& status) {
  return status.phase + 1 >= spec.phases.size() &&
         domain::IsShadow(spec, spec.phases[status.phase]);
}

Step Advance(const RolloutSpec& spec, const RolloutStatus& status, const std::string& reason,
             int64_t now_wall_ms) {
  Step step;
  if (status.phase + 1 < spec.phases.size()) {
    step.kind = Step::Kind::kAdvance;
    step.next = EnterPhase(spec, status, status.phase + 1, now_wall_ms);
    const Phase& phase = spec.phases[step.next.phase];
    step.reason = fmt::format("to phase {} at {} %: {}", phase.name, phase.percentage, reason);
  } else {
    step.kind = Step::Kind::kPromote;
    step.next = Promoted(status, now_wall_ms);
    step.reason = "promoted: " + reason;
  }
  step.shown_state = step.next.state;
  return step;
}

Step Next(const RolloutSpec& spec, const RolloutStatus& status, const Evidence& evidence,
          int64_t now_wall_ms) {
  if (!domain::IsActive(status) || status.phase >= spec.phases.size()) return Stay(status, "");
  if (status.state == "rolling_back")
    return NextWhileRollingBack(spec, status, evidence, now_wall_ms);
  const auto bad = ReasonToAct(spec, evidence, now_wall_ms);
  if (spec.rollback.enabled && bad && bad->action == "rollback")
    return RollBackAutomatically(spec, status, *bad, now_wall_ms);
  if (status.state == "paused") return Stay(status, "resume");
  if (bad && bad->action == "pause") {
    Step step = Pause(status, fmt::format("{}: {}", bad->trigger, bad->evidence), now_wall_ms);
    step.next.last_verdict = bad;
    return step;
  }
  if (evidence.emergency_freeze || !evidence.frozen_by.empty()) {
    Step step = Stay(
        status, evidence.emergency_freeze ? "end of the emergency freeze" : evidence.frozen_by);
    step.shown_state = "frozen";
    return step;
  }
  const Phase& phase = spec.phases[status.phase];
  if (const std::string failed = FailedGate(phase, evidence); !failed.empty())
    return Pause(status, failed, now_wall_ms);
  const std::vector<std::string> missing = Missing(spec, status, evidence);
  if (!missing.empty()) return Stay(status, Join(missing, "; "));
  if (EndsInShadow(spec, status)) {
    return Stay(status, fmt::format("a decision: the last phase only copies requests (promote "
                                    "--full makes {} stable, abort ends it)",
                                    spec.candidate.empty() ? spec.flag : spec.candidate));
  }
  return Advance(
      spec, status,
      fmt::format("phase {} passed after {} and {} requests{}", phase.name,
                  FormatDurationMs(evidence.phase_age_ms / 100 * 100), evidence.phase_requests,
                  evidence.alone.empty() ? "" : ", of node " + evidence.alone + " alone"),
      now_wall_ms);
}

}  // namespace weir::control::rollout
