// SPDX-License-Identifier: Apache-2.0
// Resources → entries: what a node gets of what is wanted. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/domain/resource.h"
#include "shared/domain/snapshot.h"
#include "shared/domain/validate.h"

namespace weir::control::catalog {

// A flag's entry. `rolled_back` when its latest rollout was rolled back and not retried or deleted.
domain::FlagEntry FlagEntryOf(const domain::Resource& flag, const domain::ForEach& for_each);
domain::ModelEntry ModelEntryOf(const domain::Resource& model);
// Only an active rollout splits traffic (domain::IsActive, percentage of its status), and none that
// is being taken back.
std::optional<domain::SplitEntry> SplitEntryOf(const domain::Resource& rollout);
domain::ExperimentEntry ExperimentEntryOf(const domain::Resource& experiment);

}  // namespace weir::control::catalog
