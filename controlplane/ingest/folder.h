// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controlplane/ingest/accountant.h"
#include "controlplane/ingest/decision_samples.h"
#include "controlplane/ingest/flag_totals.h"
#include "shared/base/status.h"
#include "shared/telemetry/node_counts.h"
#include "shared/telemetry/series.h"
#include "shared/wire/messages.h"

namespace weir::control::ingest {

// What the bus hands core every 100 ms: counts, and how far they go.
struct TelemetryTick {
  telemetry::Window live;                        // at most kLiveMs old: for judgement
  telemetry::NodeWindow by_node;                 // whose requests `live` is made of
  std::map<int64_t, telemetry::Window> history;  // everything, by the control plane's monotonic ms
                                                 // of the second in which it happened
  std::map<FlagWindow, FlagCounts> flags;
  std::vector<ShownDecision> decisions;  // within the budget
  HighWaters high_waters;                // to be stored with exactly these counts
  std::map<Origin, Told> told;           // what nodes count themselves
  bool Empty() const {
    return history.empty() && flags.empty() && decisions.empty() && high_waters.empty() &&
           told.empty();
  }
};

// Folds counted batches into ticks. A batch's time is the node's monotonic clock; what HELLO and
// heartbeats say of it gives the offset to ours (the least delay seen, so the best estimate); for a
// node of which nothing was heard yet, data is as old as its arrival. Digests of one tick merge in
// node order. Series of flags ("flag/…") go neither into the history nor to judgement: flags are
// many, and a total is all that is kept of them. One thread; times are monotonic ms.
class Folder {
 public:
  static constexpr int64_t kLiveMs = 10'000;

  // The node's clock showed `node_ms` when a message of that incarnation was made, which arrived
  // at `now_ms`.
  void OnNodeClock(const Origin& origin, int64_t node_ms, int64_t now_ms);
  void Forget(const std::string& node);

  // Each batch that the accountant said to apply, once; `now_wall_ms` is for samples of decisions.
  // A malformed series (unsorted or non-finite digest, bucket out of range, too many or misnamed
  // counters) is left out and counted; the rest of the batch counts.
  void Add(const wire::Batch& batch, int64_t now_ms, int64_t now_wall_ms);
  // What was added since the last call; the caller adds the high waters.
  TelemetryTick Take();

  uint64_t malformed_series() const { return malformed_; }
  uint64_t samples_left_out() const { return samples_.left_out(); }
  // Why the last series was left out; "" if none was.
  const std::string& last_error() const { return last_error_; }

 private:
  struct NodeClock {
    uint64_t incarnation = 0;
    // Ours - the node's: the least of this half minute and of the one before. A least of all times
    // would stay wrong after the node's machine was suspended.
    int64_t offset_ms = 0;
    int64_t before_ms = 0;
    int64_t since_ms = 0;  // of this half minute
  };

  int64_t HappenedAt(const wire::Batch& batch, int64_t now_ms) const;

  std::map<std::string, NodeClock> clocks_;
  // What one node's batches of a second came to.
  struct Span {
    int64_t second_ms = 0;
    bool is_live = false;
    auto operator<=>(const Span&) const = default;
  };
  std::map<std::string, std::map<Span, telemetry::Window>> parts_;  // by node
  std::map<FlagWindow, FlagCounts> flags_;
  DecisionSamples samples_;
  uint64_t malformed_ = 0;
  std::string last_error_;
};

}  // namespace weir::control::ingest
