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

// "alice" of "alice@host": a person counts once, from whatever host.
std::string PersonOf(const std::string& actor) { return actor.substr(0, actor.find('@')); }

// Who of the list the actor is; without a list the person. "" for nobody.
std::string ApproverOf(const Gate& gate, const std::string& actor) {
  const auto has = [&](const std::string& name) {
    return std::find(gate.approvers.begin(), gate.approvers.end(), name) != gate.approvers.end();
  };
  if (gate.approvers.empty()) return PersonOf(actor);
  if (has(actor)) return actor;
  const std::string user = PersonOf(actor);
  return has(user) ? user : "";
}

uint64_t NeededFor(const Gate& gate) { return std::max<uint64_t>(1, gate.approvals); }

// Where two are asked for, they are two besides the author.
bool WantsOthers(const Gate& gate) { return !gate.allow_author.value_or(NeededFor(gate) == 1); }

bool IsAuthor(const RolloutStatus& status, const std::string& actor) {
  const std::string person = PersonOf(actor);
  return person == PersonOf(status.spec_by) || person == PersonOf(status.started_by);
}

// "alice, who wrote the spec": whose approval would not count; "" for nobody.
std::string AuthorsOf(const Gate& gate, const RolloutStatus& status) {
  if (!WantsOthers(gate)) return "";
  // Who may not approve anyway need not be told.
  const auto named = [&](const std::string& actor) {
    return ApproverOf(gate, actor).empty() ? "" : PersonOf(actor);
  };
  const std::string writer = named(status.spec_by);
  const std::string starter = named(status.started_by);
  if (writer.empty() && starter.empty()) return "";
  if (starter.empty() || starter == writer) return writer + ", who wrote the spec";
  if (writer.empty()) return starter + ", who started it";
  return fmt::format("{}, who wrote the spec, or {}, who started it", writer, starter);
}

size_t GivenFor(const Gate& gate, const std::string& phase, const RolloutStatus& status,
                const std::string& spec) {
  std::set<std::string> given;
  for (const Approval& approval : status.approvals) {
    if (approval.phase == phase && approval.spec == spec &&
        MayApprove(gate, status, approval.actor))
      given.insert(ApproverOf(gate, approval.actor));
  }
  return given.size();
}

bool IsApproval(const Gate& gate) { return gate.type == "manual_approval"; }

}  // namespace

bool MayApprove(const Gate& gate, const RolloutStatus& status, const std::string& actor) {
  if (WantsOthers(gate) && IsAuthor(status, actor)) return false;
  return !ApproverOf(gate, actor).empty();
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
    if (approval.phase != phase || !MayApprove(gate, status, approval.actor)) continue;
    (approval.spec == spec ? given : voided).insert(ApproverOf(gate, approval.actor));
  }
  const auto names = [](const std::set<std::string>& set) {
    return Join(std::vector<std::string>(set.begin(), set.end()), ", ");
  };
  const uint64_t needed = NeededFor(gate);
  if (given.size() >= needed) return {true, false, "approved by " + names(given)};
  std::string reason = "approval of phase " + phase;
  if (needed > 1) reason += fmt::format(" ({} of {})", given.size(), needed);
  if (!gate.approvers.empty()) reason += " by " + Join(gate.approvers, " or ");
  if (needed > 1 && !given.empty()) reason += "; approved by " + names(given);
  for (const std::string& actor : given) voided.erase(actor);
  if (!voided.empty()) reason += fmt::format("; the spec changed since {} approved", names(voided));
  if (const std::string authors = AuthorsOf(gate, status); !authors.empty())
    reason += "; not by " + authors;
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
                                  GivenFor(gate, phase.name, status, spec), NeededFor(gate)));
    }
  }
  return names;
}

Result<RolloutStatus> Approve(const domain::Phase& phase, RolloutStatus status,
                              const Approval& approval) {
  const Gate* waiting = nullptr;   // one that this actor may open
  const Gate* authored = nullptr;  // one that it might, had it not written the spec
  std::vector<std::string> others;
  bool has_gate = false;
  for (const Gate& gate : phase.gates) {
    if (!IsApproval(gate)) continue;
    has_gate = true;
    if (ApprovalState(gate, phase.name, status, approval.spec).passed) continue;
    if (MayApprove(gate, status, approval.actor)) {
      waiting = &gate;
    } else if (!ApproverOf(gate, approval.actor).empty()) {
      authored = &gate;
    } else {
      others.insert(others.end(), gate.approvers.begin(), gate.approvers.end());
    }
  }
  if (!has_gate)
    return FailedPrecondition(fmt::format("phase {} has no manual_approval gate", phase.name));
  if (waiting == nullptr && authored != nullptr) {
    return FailedPrecondition(fmt::format(
        "phase {} needs the approval of others than {} (allow_author: true in the gate lets them)",
        phase.name, AuthorsOf(*authored, status)));
  }
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
