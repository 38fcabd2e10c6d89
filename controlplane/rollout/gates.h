// SPDX-License-Identifier: Apache-2.0
// Gates: what they are called, and whether people have approved. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/rollout/step.h"
#include "shared/domain/resource.h"

namespace weir::control::rollout {

// The gate's name, by default from its type and subject: "error_rate", "automated_test smoke.sh".
std::string GateName(const domain::Gate& gate);

// Whether `actor` ("alice@host") may give this approval: one of the approvers, and where the gate
// wants others (allow_author) not who wrote the spec or started the rollout. An approver without a
// host means the user of that name on any host.
bool MayApprove(const domain::Gate& gate, const domain::RolloutStatus& status,
                const std::string& actor);

// A manual_approval gate of a phase. An approval counts from those who may give it, once for each,
// and only for the spec (its digest) that was approved.
GateState ApprovalState(const domain::Gate& gate, const std::string& phase,
                        const domain::RolloutStatus& status, const std::string& spec);

// What going past the phase by hand leaves out: "manual_approval (0 of 2)", "office hours".
// `states` are of its gates in order, as far as known; approvals are read from `status`.
std::vector<std::string> Unpassed(const domain::Phase& phase, const domain::RolloutStatus& status,
                                  const std::string& spec, const std::vector<GateState>& states);

// `approval` added, if it is one that the phase waits for. FailedPrecondition says why not.
Result<domain::RolloutStatus> Approve(const domain::Phase& phase, domain::RolloutStatus status,
                                      const domain::Approval& approval);

}  // namespace weir::control::rollout
