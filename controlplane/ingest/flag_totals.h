// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/store/records.h"
#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::ingest {

// How often flags answered what: flag → outcome ("on", "off", a variant, "" for no value) → count.
using FlagCounts = std::map<std::string, std::map<std::string, uint64_t>>;

// Of counts: when their window ended, and the snapshot by which the decisions were made.
struct FlagWindow {
  int64_t at_ms = 0;     // the control plane's monotonic time
  uint64_t version = 0;  // 0: not said
  auto operator<=>(const FlagWindow&) const = default;
};

// The decisions on one flag, of all nodes.
struct FlagTotal {
  int64_t since_wall_ms = 0;                 // when the flag last changed, and by which commit;
  uint64_t since_revision = 0;               // 0: not known
  std::map<std::string, uint64_t> outcomes;  // since then
  uint64_t enabled = 0;                      // since the flag is there, by what FlagDecision calls
  uint64_t disabled = 0;                     // enabled; never decreases
  std::string digest;                        // of what it answers by, in this period
  int64_t last_wall_ms = 0;                  // of the newest decision, to the window; 0: not known
  uint64_t Total() const;                    // of outcomes
};

// Totals per flag instead of a history: a number per outcome of each flag that exists, and so no
// more than the catalog is large. What names another flag or an outcome that the flag cannot have
// is dropped and counted. Stored as states "flag/NAME" with the high waters of the batches that
// were counted (ledger.h), and so exactly once. On the core thread; times are wall ms.
class FlagTotals {
 public:
  static constexpr char kStatePrefix[] = "flag/";

  // The flag as it is now; null when there is none.
  using FindFlag = std::function<const domain::Resource*(const std::string&)>;
  // Of what a flag answers by now; another one after every change.
  using DigestOf = std::function<std::string(const std::string&)>;
  explicit FlagTotals(FindFlag find, DigestOf digest_of = {})
      : find_(std::move(find)), digest_of_(std::move(digest_of)) {}

  // A stored row. DataLoss if it cannot be read. A flag that is gone is forgotten in the next
  // commit; one that changed since the row was written is in a new period, of no known revision.
  Status Restore(const store::StateRow& row, int64_t now_wall_ms);
  // The commit `revision` changed what the flag answers by, and so nodes get it as a snapshot of
  // that version: a new period begins. Gone: it is forgotten.
  void OnChanged(const std::string& flag, uint64_t revision, int64_t now_wall_ms);
  // Counts of a window that ended at `at_wall_ms`, decided by the snapshot `version`. What was
  // decided by one before the flag's last change counts for the time before; where the version or
  // the change's revision is 0, a window that ended before the change does.
  void Add(const FlagCounts& counts, int64_t at_wall_ms, uint64_t version = 0);

  // Rows that changed since the last call; all of them go into one commit.
  std::vector<store::StateRow> TakeDirty();
  // A commit failed: its rows are dirty again.
  void MarkDirty(const std::vector<store::StateRow>& rows);

  const FlagTotal* Find(const std::string& flag) const;  // null: nothing was counted
  uint64_t dropped() const { return dropped_; }          // decisions

 private:
  FlagTotal& TotalOf(const domain::Resource& flag);
  void BeginPeriod(const std::string& flag, uint64_t revision, int64_t now_wall_ms);
  std::string Digest(const std::string& flag) const {
    return digest_of_ ? digest_of_(flag) : std::string();
  }

  const FindFlag find_;
  const DigestOf digest_of_;
  std::map<std::string, FlagTotal> totals_;
  std::set<std::string> dirty_;
  uint64_t dropped_ = 0;
};

}  // namespace weir::control::ingest
