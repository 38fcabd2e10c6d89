// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/store/records.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/telemetry/series.h"

namespace weir::control::ingest {

// Telemetry over time, in four resolutions, each kept for a while. On the core thread; times are
// wall ms (history is for display), windows start at multiples of their length.
// The minute and hour windows are stored: DirtyRows gives what the next group commit writes
// (rewriting a window that grew), Restore takes them back after a start. The finer ones live in
// memory only.
class History {
 public:
  struct Tier {
    int64_t step_ms;
    int64_t keep_ms;
    bool stored;
  };
  static constexpr std::array<Tier, 4> kTiers = {{{1'000, 60'000, false},
                                                  {10'000, 3'600'000, false},
                                                  {60'000, 86'400'000, true},
                                                  {3'600'000, 35LL * 86'400'000, true}}};

  // Counts of the second in which they happened.
  void Add(int64_t at_wall_ms, const telemetry::Window& window);
  // Drops what is older than its tier keeps.
  void Prune(int64_t now_wall_ms);

  // Stored windows that changed since the last TakeDirty; all of them go into one commit.
  std::vector<store::WindowRow> TakeDirty();
  // A commit failed: its rows are dirty again.
  void MarkDirty(const std::vector<store::WindowRow>& rows);
  // A stored window; DataLoss if its content cannot be read.
  Status Restore(const store::WindowRow& row);

  // {subject, step_ms, series: [{version, arm, points: [{at, requests, bad, error_rate?,
  // p50_latency_ms?, p95_latency_ms?, p99_latency_ms?, counters}]}]}, from the finest tier that is
  // at least as coarse as `step_ms` and reaches back to `from_ms`; windows are merged up to
  // `step_ms`. InvalidArgument for a range that is empty or has more than 10,000 points.
  Result<codec::Json> Query(const std::string& subject, int64_t from_ms, int64_t to_ms,
                            int64_t step_ms, int64_t now_wall_ms) const;
  // Each window of a tier that starts within, ascending.
  void ForEach(const Tier& tier, int64_t from_wall_ms, int64_t to_wall_ms,
               const std::function<void(int64_t start_ms, const telemetry::Window&)>& visit) const;
  // The finest tier that has what happened since a moment, as far as anything does: the unstored
  // ones begin with the process.
  const Tier& FinestSince(int64_t from_wall_ms, int64_t now_wall_ms) const;
  size_t WindowCount() const;

 private:
  using Windows = std::map<int64_t, telemetry::Window>;  // by start

  std::array<Windows, kTiers.size()> tiers_;
  std::set<std::pair<size_t, int64_t>> dirty_;  // tier, start
};

}  // namespace weir::control::ingest
