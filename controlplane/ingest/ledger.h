// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "controlplane/ingest/deliveries.h"
#include "controlplane/ingest/flag_totals.h"
#include "controlplane/ingest/folder.h"
#include "controlplane/ingest/history.h"
#include "controlplane/ingest/node_trail.h"
#include "controlplane/store/store.h"
#include "shared/base/clock.h"

namespace weir::control::ingest {

// What was counted and is not stored yet, and the group commit that stores it: history windows,
// totals of flags, high waters and the state computed from them go into one transaction, so that a
// restart goes on from one consistent moment. On the core thread. The store outlives the ledger.
class Ledger {
 public:
  static constexpr int64_t kCommitEveryMs = 1000;

  // `find` and `digest_of` (flag_totals.h) know the flags; they are loaded before the ledger is.
  Ledger(store::Store& store, const Clock& clock, FlagTotals::FindFlag find,
         FlagTotals::DigestOf digest_of = {});

  // Which series the history keeps; all without. Judgement and totals see every one.
  void KeepOnly(std::function<bool(const telemetry::SeriesKey&)> is_kept) {
    is_kept_ = std::move(is_kept);
  }
  // Once, first: the stored windows into the history, the totals, and how far each node was
  // counted.
  Result<HighWaters> Load();
  void Add(const TelemetryTick& tick);
  // A second has passed since the last commit.
  bool IsDue() const { return clock_.MonotonicMs() - last_commit_ms_ >= kCommitEveryMs; }
  // Stores everything that waits, and each of `states` (by name) that is another one than last
  // time. The answer may be acknowledged. On an error nothing is lost: it waits for the next call.
  Result<HighWaters> Commit(const std::map<std::string, std::string>& states);
  // Forgets what is older than history keeps, here and in the store.
  Status Prune();

  const History& history() const { return history_; }
  FlagTotals& flags() { return flags_; }
  const FlagTotals& flags() const { return flags_; }
  NodeTrail& trail() { return trail_; }
  const Deliveries& deliveries() const { return deliveries_; }

 private:
  store::Store& store_;
  const Clock& clock_;
  std::function<bool(const telemetry::SeriesKey&)> is_kept_;
  History history_;
  FlagTotals flags_;
  NodeTrail trail_;
  Deliveries deliveries_;
  HighWaters waiting_;
  std::map<std::string, std::string> stored_states_;
  int64_t last_commit_ms_ = 0;
};

}  // namespace weir::control::ingest
