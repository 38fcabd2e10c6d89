// SPDX-License-Identifier: Apache-2.0
// The encoded entries of all resources, and which of them a batch changes.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "controlplane/catalog/proposal.h"
#include "shared/base/status.h"
#include "shared/domain/snapshot.h"

namespace weir::control::catalog {

using EntryKey = std::pair<domain::EntryKind, std::string>;
using EntryTable = std::map<EntryKey, std::string>;                   // → msgpack
using EntryChanges = std::map<EntryKey, std::optional<std::string>>;  // absent: removed

// The entries whose bytes differ from the table's once the proposal stands. Each was encoded and
// read back under a node's limits; InvalidArgument names the resource that no node would take.
Result<EntryChanges> ChangedEntries(const Proposal& proposal, const EntryTable& table);

// The entries of everything that stands, checked the same way.
Result<EntryTable> AllEntriesOf(const ResourceMap& resources);

}  // namespace weir::control::catalog
