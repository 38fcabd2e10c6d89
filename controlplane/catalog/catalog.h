// SPDX-License-Identifier: Apache-2.0
// The current resources, and the one door through which they change. Lives on the core thread;
// every function is called there. A commit validates everything, compiles and re-reads the entries
// as a node would, writes one SQLite transaction (resources, one revision, one audit row), and only
// then tells its listener, who publishes. On any error nothing has changed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/codec/resource.h"
#include "shared/domain/resource.h"
#include "shared/domain/snapshot.h"

namespace weir::control::store {
class Store;
}

namespace weir::control::catalog {

struct Change {
  domain::Resource resource;  // as it shall be; revision and updated_* are set by the commit
  bool remove = false;        // only kind and name count then
  // FailedPrecondition unless the resource stands at this revision (0: does not exist).
  std::optional<uint64_t> expected_revision;
};

struct CommitRequest {
  std::vector<Change> changes;
  std::string actor;           // "cli:alice", "rollout/fraud-1-1-0", "file:flags.yaml"
  std::string reason;          // free text
  codec::Json evidence;        // what an automatic action saw; null otherwise
  bool force_removal = false;  // allows removing more than half of a kind that has 10 or more
  bool tokens = false;         // may make and revoke tokens, which nothing else does by the way
};

struct ChangeSummary {
  domain::Kind kind;
  std::string name;
  std::string action;              // created, updated, deleted, unchanged
  codec::Json diff;                // {"spec.stable": {"from": "1.0.0", "to": "1.1.0"}}
  std::vector<std::string> kept;   // apply: "spec.stable = 1.1.0 (set by rollout/fraud-1-1-0)"
  std::vector<std::string> taken;  // apply with replace: what others had set, in the same words
};

struct CommitResult {
  uint64_t revision = 0;  // the head; unchanged when nothing differed
  std::vector<ChangeSummary> changes;
};

struct ApplyRequest {
  std::vector<codec::ResourceDocument> documents;
  std::string source;  // whose last applied state is the base: "file:flags.yaml", "api:alice"
  std::string actor;
  std::string reason;
  bool dry_run = false;
  bool replace = false;  // take the file's fields even where others set them since
  std::optional<domain::Labels>
      prune;  // also delete what this source applied before, carries these labels, and is gone
};

// One published entry; an absent body means removed.
struct EntryBody {
  domain::EntryKind kind;
  std::string name;
  std::optional<std::string> body;  // msgpack
};

// What a commit changed for nodes. Told after the transaction, on the core thread.
struct Committed {
  uint64_t revision = 0;
  uint64_t previous_revision = 0;
  std::vector<EntryBody> entries;
  domain::EmergencySpec emergency;
  bool emergency_changed = false;
  std::vector<domain::ResourceKey> resources;  // that changed
  std::set<std::string> flags;  // that may answer otherwise: of these entries, or their rollouts'
};

struct HistoryRow {
  uint64_t revision = 0;
  int64_t at_wall_ms = 0;
  std::string actor;
  std::string reason;
  codec::Json evidence;  // null without
  struct Item {
    domain::Kind kind;
    std::string name;
    std::string action;
    codec::Json before;  // resource documents; null when there was none
    codec::Json after;
  };
  std::vector<Item> items;
};

struct HistoryQuery {
  std::optional<domain::Kind> kind;
  std::string name;
  uint64_t before = 0;  // revisions below this one; 0: from the head
  int limit = 50;
};

class Catalog {
 public:
  // The store outlives the catalog.
  Catalog(store::Store& store, const Clock& clock);
  ~Catalog();

  // Reads all resources from the store. Once, first.
  Status Load();
  void SetListener(std::function<void(const Committed&)> listener);

  uint64_t revision() const;
  const domain::Resource* Find(domain::Kind kind, const std::string& name) const;
  // In order of name.
  void ForEach(domain::Kind kind, const std::function<void(const domain::Resource&)>& visit) const;
  domain::EmergencySpec emergency() const;
  // Everything a fresh node needs: all entries, encoded.
  std::vector<EntryBody> AllEntries() const;
  // Of what a flag answers by: its entry and those of its rollouts. Another one when they change.
  std::string FlagDigest(const std::string& flag) const;

  Result<CommitResult> Commit(const CommitRequest& request);
  // What when_new says of those documents whose resource does not stand.
  std::vector<codec::FileError> Incomplete(
      const std::vector<codec::ResourceDocument>& documents) const;
  // Three-way per source (ARCHITECTURE): only fields that differ from what this source last
  // applied. InvalidArgument when a document is Incomplete.
  Result<CommitResult> Apply(const ApplyRequest& request);
  // Takes back one revision's change: every field it changed that still stands as it left it.
  Result<CommitResult> Revert(uint64_t revision, const std::string& actor,
                              const std::string& reason);
  // Returns a resource to how it stood at `to_revision` (0: before its last change).
  Result<CommitResult> Undo(domain::Kind kind, const std::string& name, uint64_t to_revision,
                            const std::string& actor, const std::string& reason);
  Result<std::vector<HistoryRow>> History(const HistoryQuery& query) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::control::catalog
