// SPDX-License-Identifier: Apache-2.0
// Resources → entries: what a node gets of what is wanted. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/domain/resource.h"
#include "shared/domain/snapshot.h"
#include "shared/domain/validate.h"

namespace weir::domain {

// A flag's entry. `rolled_back` when its latest rollout was rolled back and not retried or deleted.
FlagEntry FlagEntryOf(const Resource& flag, const ForEach& for_each);
ModelEntry ModelEntryOf(const Resource& model);
// Only an active rollout splits traffic (IsActive, percentage of its status), and one that is being
// taken back only while that happens in steps.
std::optional<SplitEntry> SplitEntryOf(const Resource& rollout);
ExperimentEntry ExperimentEntryOf(const Resource& experiment);
ObservabilityEntry ObservabilityEntryOf(const Resource& observability);
// Only a token with scopes is any node's business.
std::optional<TokenEntry> TokenEntryOf(const Resource& token);
LimitEntry LimitEntryOf(const Resource& limit);

}  // namespace weir::domain
