// SPDX-License-Identifier: Apache-2.0
// What must hold, whatever happens: the simulator's own books, kept beside the programs' and
// compared with them all the time. A rule that is broken ends the run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/ingest/accountant.h"
#include "controlplane/store/store.h"
#include "dataplane/snapshot/entry.h"
#include "dataplane/snapshot/receiver.h"
#include "shared/decision/ruleset.h"
#include "tests/sim/timeline.h"

namespace weir::sim {

using SnapshotName = std::pair<uint64_t, uint64_t>;  // epoch, version

// What went out to nodes, and what each of them made of it.
// - A name (epoch, version) stands for one set of entries, for ever.
// - What a node has in force under a name is that set, entry by entry; of an entry that it does not
//   understand it has the last one before that it did, or nothing.
// - A node's snapshots only grow, and so do its emergencies.
class Published {
 public:
  using Key = std::pair<domain::EntryKind, std::string>;
  using Set = std::map<Key, std::string>;

  explicit Published(Timeline& timeline) : timeline_(timeline) {}

  // A control plane starts with all of this, or publishes a change of it.
  void Begin(uint64_t epoch, uint64_t revision,
             const std::vector<control::catalog::EntryBody>& entries);
  void Add(const control::catalog::Committed& committed);
  SnapshotName head() const { return head_; }

  // What is in force on one life of a node.
  struct InForce {
    SnapshotName name;
    domain::EmergencyOverlay emergency;
    std::map<Key, std::string> good;  // by entry: the last bytes that it understood
  };
  void OnRules(const std::string& node, InForce& before, const node::snapshot::Receiver& receiver,
               const decision::Ruleset& rules);

 private:
  const std::optional<node::snapshot::Entry>& Decoded(const Key& key, const std::string& bytes);
  bool IsInForce(const Key& key, const std::string& bytes, const decision::Ruleset& rules);
  void Name(Set set);
  // A body of this entry that some snapshot after `from`, up to `to`, had.
  bool WasPublished(const Key& key, const std::string& bytes, SnapshotName from,
                    SnapshotName to) const;

  Timeline& timeline_;
  SnapshotName head_{0, 0};
  std::map<SnapshotName, std::shared_ptr<const Set>> sets_;
  std::map<std::pair<Key, std::string>, std::optional<node::snapshot::Entry>> decoded_;
};

// What nodes sent, and what of it is stored.
// - A batch's bytes never change.
// - Of each life of a node, what is stored is exactly what the batches up to the high water hold,
//   except as many of them as are declared lost.
class Counted {
 public:
  // Of this model every request is recorded once, under its node and incarnation as version.
  static constexpr char kProbe[] = "model/probe";
  static std::string Version(const std::string& node, uint64_t incarnation);

  explicit Counted(Timeline& timeline) : timeline_(timeline) {}
  void OnRequests(const std::string& node, uint64_t incarnation, uint64_t requests);
  void OnBatch(const std::string& node, uint64_t incarnation, const std::string& frame);
  // After a start, and at the end.
  void Compare(control::store::Store& store);
  // Everything that this life of a node recorded is stored, but for what is declared lost.
  void CompareAll(control::store::Store& store, const std::string& node, uint64_t incarnation);

 private:
  struct Life {
    uint64_t recorded = 0;
    std::map<uint64_t, std::pair<size_t, uint64_t>> batches;  // seq → hash of bytes, requests
  };
  std::map<std::string, uint64_t> Stored(control::store::Store& store);

  Timeline& timeline_;
  std::map<control::ingest::Origin, Life> lives_;
};

// What was committed.
// - A commit that was answered is there after every crash, as it was; one that was not is there
//   whole or not at all; nothing else is.
class Revisions {
 public:
  explicit Revisions(Timeline& timeline) : timeline_(timeline) {}

  // Commits from here on have this in their actor or reason; who dies now may have made one of
  // them. "": nobody commits.
  void OnAsk(const std::string& by) { asked_ = by; }
  void OnAnswered(control::store::Store& store, uint64_t revision);
  void OnStart(control::store::Store& store);
  // An older copy of the database is put back.
  using Kept = std::map<uint64_t, std::string>;
  Kept Copy() const { return answered_; }
  void Restore(Kept kept) { answered_ = std::move(kept); }

 private:
  std::string Read(control::store::Store& store, uint64_t revision);

  Timeline& timeline_;
  Kept answered_;  // revision → what it changed, and why
  std::string asked_;
};

}  // namespace weir::sim
