// SPDX-License-Identifier: Apache-2.0
// One published entry → the value that decisions stand on. Pure.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "shared/base/status.h"
#include "shared/domain/snapshot.h"

namespace weir::node::snapshot {

using Entry = std::variant<domain::FlagEntry, domain::ModelEntry, domain::SplitEntry,
                           domain::ExperimentEntry, domain::ObservabilityEntry, domain::TokenEntry,
                           domain::LimitEntry>;

// Refuses what this node does not understand (an unknown kind, an unknown even key, malformed
// bytes) and what no decision could stand on (a share above 100 %, weights that sum to nothing, a
// name that is not the entry's, a rule that does not compile here, a default that is no variant).
// The Status becomes the entry's NACK.
Result<Entry> DecodeEntry(domain::EntryKind kind, const std::string& name, std::string_view bytes);

}  // namespace weir::node::snapshot
