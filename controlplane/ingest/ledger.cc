// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/ledger.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "shared/base/crash_point.h"
#include "shared/base/log.h"

namespace weir::control::ingest {

Ledger::Ledger(store::Store& store, const Clock& clock, FlagTotals::FindFlag find,
               FlagTotals::DigestOf digest_of)
    : store_(store), clock_(clock), flags_(std::move(find), std::move(digest_of)) {}

Result<HighWaters> Ledger::Load() {
  for (const History::Tier& tier : History::kTiers) {
    if (!tier.stored) continue;
    store::WindowFilter filter;
    filter.resolution_ms = tier.step_ms;
    filter.from_wall_ms = clock_.WallMs() - tier.keep_ms;
    WEIR_ASSIGN_OR_RETURN(const auto rows, store_.ReadWindows(filter));
    for (const store::WindowRow& row : rows) {
      const Status status = history_.Restore(row);
      if (!status.ok()) Log("ingest").warn("left out of the history: {}", status.ToString());
    }
  }
  WEIR_ASSIGN_OR_RETURN(const auto totals, store_.LoadStates(FlagTotals::kStatePrefix));
  for (const auto& [name, value] : totals) {
    const Status status = flags_.Restore({name, value}, clock_.WallMs());
    if (!status.ok()) Log("ingest").warn("a flag is counted anew: {}", status.ToString());
  }
  WEIR_ASSIGN_OR_RETURN(const auto rows, store_.LoadHighWaters());
  HighWaters committed;
  for (const store::HighWaterRow& row : rows) {
    committed[{row.node, row.incarnation}] = {row.committed, row.declared_lost, row.counted};
  }
  WEIR_ASSIGN_OR_RETURN(const auto reported, store_.LoadReported());
  deliveries_.Restore(committed, reported);
  return committed;
}

void Ledger::Add(const TelemetryTick& tick) {
  const int64_t to_wall_ms = clock_.WallMs() - clock_.MonotonicMs();
  for (const auto& [second_ms, window] : tick.history) {
    const auto is_kept = [this](const auto& item) { return !is_kept_ || is_kept_(item.first); };
    if (std::all_of(window.begin(), window.end(), is_kept)) {
      history_.Add(second_ms + to_wall_ms, window);
      continue;
    }
    telemetry::Window kept;
    std::copy_if(window.begin(), window.end(), std::inserter(kept, kept.end()), is_kept);
    history_.Add(second_ms + to_wall_ms, kept);
  }
  for (const auto& [decided, counts] : tick.flags) {
    flags_.Add(counts, decided.at_ms + to_wall_ms, decided.version);
  }
  for (const auto& [origin, high_water] : tick.high_waters) waiting_[origin] = high_water;
  deliveries_.Add(tick);
}

Result<HighWaters> Ledger::Commit(const std::map<std::string, std::string>& states) {
  last_commit_ms_ = clock_.MonotonicMs();
  store::TelemetryRecord record;
  record.windows = history_.TakeDirty();
  for (const auto& [origin, high_water] : waiting_) {
    record.high_waters.push_back(
        {origin.node, origin.incarnation, high_water.seq, high_water.lost, high_water.counted});
  }
  record.reported = deliveries_.TakeDirty();
  record.states = flags_.TakeDirty();
  trail_.TakeInto(record);
  for (const auto& [name, state] : states) {
    if (stored_states_[name] != state) record.states.push_back({name, state});
  }
  if (record.windows.empty() && record.high_waters.empty() && record.states.empty() &&
      record.applied.empty() && record.episodes.empty() && record.restarts.empty() &&
      record.reported.empty())
    return HighWaters();
  if (!record.high_waters.empty()) CrashPoint("ingest.before_store");
  const Status status = store_.CommitTelemetry(record);
  if (!status.ok()) {
    history_.MarkDirty(record.windows);
    flags_.MarkDirty(record.states);
    trail_.MarkDirty(record);
    deliveries_.MarkDirty(record.reported);
    return status;
  }
  if (!record.high_waters.empty()) CrashPoint("ingest.after_store");
  stored_states_ = states;
  return std::exchange(waiting_, {});
}

Status Ledger::Prune() {
  const int64_t now_ms = clock_.WallMs();
  history_.Prune(now_ms);
  for (const History::Tier& tier : History::kTiers) {
    if (!tier.stored) continue;
    const auto pruned = store_.PruneWindows(tier.step_ms, now_ms - tier.keep_ms);
    if (!pruned.ok()) return pruned.status();
  }
  return store_.PruneTrail(now_ms - NodeTrail::kKeepMs);
}

}  // namespace weir::control::ingest
