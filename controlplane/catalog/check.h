// SPDX-License-Identifier: Apache-2.0
// What a batch must obey before it may become a revision. Pure.
#pragma once

#include <cstdint>

#include "controlplane/catalog/proposal.h"
#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::catalog {

// Fills in what a change may leave out: defaults; a seed that is stored already; a rollout's status
// (kept, or begun: `start: auto` progresses at once, also anew when the candidate of a rollout that
// is over changes); stable and pinned versions of a model are loaded. FailedPrecondition when the
// spec of an active rollout changes in what must stand until it is over, or when a model would be
// answered by a version that is blocked.
Status Prepare(domain::Resource& resource, const domain::Resource* current, int64_t now_wall_ms);

// One resource alone, and its status: InvalidArgument with path and resource.
Status CheckResource(const domain::Resource& resource);

// The whole batch: each change alone and with the others, what removals would break, versions that
// an active rollout stands on, and, unless forced, more than half of a kind of 10 or more.
Status CheckProposal(const Proposal& proposal, bool force_removal);

}  // namespace weir::control::catalog
