// SPDX-License-Identifier: Apache-2.0
// The catalog's inside: what stands, and the one path by which it changes. Core thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/catalog/entry_table.h"
#include "controlplane/catalog/proposal.h"
#include "controlplane/catalog/tree.h"
#include "controlplane/store/store.h"

namespace weir::control::catalog {

// A commit request, and what only apply, revert and undo add to it.
struct Batch {
  CommitRequest request;
  std::vector<store::SourceRow> sources;       // what the source now has applied
  std::vector<std::vector<std::string>> kept;  // beside request.changes; may be shorter
  std::vector<std::vector<std::string>> taken;
  bool dry_run = false;
};

struct Catalog::State {
  State(store::Store& the_store, const Clock& the_clock) : store(the_store), clock(the_clock) {}

  store::Store& store;
  const Clock& clock;
  ResourceMap resources;
  EntryTable entries;
  std::function<void(const Committed&)> listener;

  Status Load();
  const domain::Resource* Find(domain::Kind kind, const std::string& name) const;
  Result<CommitResult> Commit(const Batch& batch);
  // Who last changed a field, from history: "rollout/fraud-1-1-0". "" if history does not say.
  Result<std::string> SetBy(domain::Kind kind, const std::string& name, const Path& path) const;
  // "spec.stable = 1.1.0 (set by rollout/fraud-1-1-0)"; `note` instead of who, if there is one.
  Result<std::string> Standing(domain::Kind kind, const std::string& name, const Path& path,
                               const Json& value, const std::string& note = "") const;

 private:
  Status Propose(const CommitRequest& request, Proposal& proposal) const;
  std::vector<ChangeSummary> Summarize(const Batch& batch, const Proposal& proposal) const;
  Result<uint64_t> Write(const Batch& batch, Proposal& proposal,
                         std::vector<domain::ResourceKey>& written);
  void Install(const Proposal& proposal, const std::vector<domain::ResourceKey>& written,
               const EntryChanges& changes);
};

}  // namespace weir::control::catalog
