// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "shared/base/text.h"

namespace weir::control::rollout {
namespace {

using domain::Approval;
using domain::Gate;
using domain::RolloutStatus;

// Who of the list the actor is, so that a person counts once, from whatever host; without a list
// the actor. "" for nobody.
std::string ApproverOf(const Gate& gate, const std::string& actor) {
  const auto has = [&](const std::string& name) {
    return std::find(gate.approvers.begin(), gate.approvers.end(), name) != gate.approvers.end();
  };
  if (gate.approvers.empty() || has(actor)) return actor;
  const std::string user = actor.substr(0, actor.find('@'));
  return has(user) ? user : "";
}

size_t GivenFor(const Gate& gate, const std::string& phase, const RolloutStatus& status,
                const std::string& spec) {
  std::set<std::string> given;
  for (const Approval& approval : status.approvals) {
    const std::string approver = ApproverOf(gate, approval.actor);
    if (approval.phase == phase && approval.spec == spec && !approver.empty())
      given.insert(approver);
  }
  return given.size();
}

bool IsApproval(const Gate& gate) { return gate.type == "manual_approval"; }

}  // namespace

bool MayApprove(const Gate& gate, const std::string& actor) {
  return gate.approvers.empty() || !ApproverOf(gate, actor).empty();
}

std::string GateName(const Gate& gate) {
  if (!gate.name.empty()) return gate.name;
  if (gate.type == "metrics_threshold") return gate.metric;
  if (gate.type != "automated_test") return gate.type;
  if (gate.command.empty()) return gate.type + " " + gate.url;
  const std::string& program = gate.command.front();
  return gate.type + " " + program.substr(program.rfind('/') + 1);
}

GateState ApprovalState(const Gate& gate, const std::string& phase, const RolloutStatus& status,
                        const std::string& spec) {
  std::set<std::string> given;
  std::set<std::string> voided;
  for (const Approval& approval : status.approvals) {
    if (approval.phase != phase || !MayApprove(gate, approval.actor)) continue;
    (approval.spec == spec ? given : voided).insert(ApproverOf(gate, approval.actor));
  }
  const auto names = [](const std::set<std::string>& set) {
    return Join(std::vector<std::string>(set.begin(), set.end()), ", ");
  };
  const uint64_t needed = std::max<uint64_t>(1, gate.approvals);
  if (given.size() >= needed) return {true, false, "approved by " + names(given)};
  std::string reason = "approval of phase " + phase;
  if (needed > 1) reason += fmt::format(" ({} of {})", given.size(), needed);
  if (!gate.approvers.empty()) reason += " by " + Join(gate.approvers, " or ");
  for (const std::string& actor : given) voided.erase(actor);
  if (!voided.empty()) reason += fmt::format("; the spec changed since {} approved", names(voided));
  return {false, false, std::move(reason)};
}

std::vector<std::string> Unpassed(const domain::Phase& phase, const RolloutStatus& status,
                                  const std::string& spec, const std::vector<GateState>& states) {
  std::vector<std::string> names;
  for (size_t i = 0; i < phase.gates.size(); ++i) {
    const Gate& gate = phase.gates[i];
    if (!IsApproval(gate)) {
      if (i >= states.size() || !states[i].passed) names.push_back(GateName(gate));
    } else if (!ApprovalState(gate, phase.name, status, spec).passed) {
      names.push_back(fmt::format("{} ({} of {})", GateName(gate),
                                  GivenFor(gate, phase.name, status, spec),
                                  std::max<uint64_t>(1, gate.approvals)));
    }
  }
  return names;
}

Result<RolloutStatus> Approve(const domain::Phase& phase, RolloutStatus status,
                              const Approval& approval) {
  const Gate* waiting = nullptr;  // one that this actor may open
  std::vector<std::string> others;
  bool has_gate = false;
  for (const Gate& gate : phase.gates) {
    if (!IsApproval(gate)) continue;
    has_gate = true;
    if (ApprovalState(gate, phase.name, status, approval.spec).passed) continue;
    if (MayApprove(gate, approval.actor)) {
      waiting = &gate;
    } else {
      others.insert(others.end(), gate.approvers.begin(), gate.approvers.end());
    }
  }
  if (!has_gate)
    return FailedPrecondition(fmt::format("phase {} has no manual_approval gate", phase.name));
  if (waiting == nullptr && others.empty())
    return FailedPrecondition(fmt::format("phase {} is approved already", phase.name));
  if (waiting == nullptr) {
    return FailedPrecondition(fmt::format("{} may not approve phase {}; that is for {}",
                                          approval.actor, phase.name, Join(others, " or ")));
  }
  const bool again =
      std::any_of(status.approvals.begin(), status.approvals.end(), [&](const Approval& before) {
        return before.phase == phase.name &&
               ApproverOf(*waiting, before.actor) == ApproverOf(*waiting, approval.actor) &&
               before.spec == approval.spec;
      });
  if (again) {
    return FailedPrecondition(
        fmt::format("{} has approved phase {} already; {}", approval.actor, phase.name,
                    ApprovalState(*waiting, phase.name, status, approval.spec).reason));
  }
  status.approvals.push_back(approval);
  return status;
}

}  // namespace weir::control::rollout
