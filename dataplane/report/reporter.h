// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "shared/telemetry/series.h"
#include "shared/wire/messages.h"

namespace weir::node::report {

struct ReporterOptions {
  std::string node;
  uint64_t incarnation = 0;
  size_t max_frame_bytes = 256 * 1024;  // transport::MaxSendBytes of the telemetry client
  size_t max_in_flight = 32;
  size_t max_pending_bytes = 8 << 20;  // of what is not numbered yet, estimated
  size_t max_samples = 20;             // decisions shown in a batch, and waiting for one
  int64_t resend_ms = 3000;
  int64_t fast_flush_ms = 100;
  int64_t slow_flush_ms = 1000;
};

// Telemetry out, exactly once (WIRE): merges what workers recorded into one pending window, cuts it
// into numbered batches, and keeps each until it is acknowledged. A state machine without sockets
// and without a clock, owned by the bus thread.
//
// Invariants: a batch's bytes never change after it got its number; numbers have no gaps; what was
// added is in the pending window, in flight or acknowledged, except what `dropped_series` counts.
// While 32 batches are in flight or there is no session, nothing is numbered: windows merge, so an
// outage costs resolution in time and no counts. A series that is new to a pending window already
// at its byte bound is dropped and counted.
//
// Decisions on flags judge nothing: their series wait for the slow rate in a window of their own,
// whatever else is due. Decisions picked out to be shown ride in the last batch of a flush as far
// as its bytes go; the rest of them, and the oldest of too many, are dropped.
class Reporter {
 public:
  // Hands one frame to the socket; false if it cannot take it now.
  using Send = std::function<bool(const std::string& frame)>;

  explicit Reporter(ReporterOptions options);

  // What workers recorded between the last Add and `now_ms` (the node's monotonic time).
  void Add(const telemetry::Window& window, int64_t now_ms,
           std::vector<wire::DecisionSample> samples = {});

  // Every 100 ms: numbers what is due (every 100 ms while `watched`, that is a split is active, or
  // while anything bad is pending; every second otherwise, and flags in any case), sends it, and
  // resends what has waited for 3 s. Only while a session stands.
  void Flush(int64_t now_ms, bool watched, const Send& send);
  // The same at once, whatever is due; for shutdown.
  void FlushAll(int64_t now_ms, const Send& send);

  // WELCOME or BATCH_ACK: every batch up to `committed` is stored. Others' incarnations and older
  // news are ignored.
  void OnAck(uint64_t incarnation, uint64_t committed);
  // A new session stands: everything in flight is sent again with the next Flush.
  void OnSession();

  // For HELLO: the first batch that may still be resent; 0: none was sent yet.
  uint64_t oldest_unacked() const;
  size_t in_flight() const { return in_flight_.size(); }
  // Batches in flight, and one more for what is not numbered yet.
  uint64_t pending_batches() const {
    return in_flight_.size() + (pending_.empty() && flags_.empty() ? 0 : 1);
  }
  // Since the start: numbers given, those in flight, and windows that joined one that waited.
  wire::Delivery delivery() const { return {next_seq_ - 1, in_flight_.size(), merged_windows_}; }
  size_t pending_bytes() const { return pending_bytes_; }
  uint64_t dropped_series() const { return dropped_series_; }

 private:
  struct InFlight {
    uint64_t seq;
    std::string frame;
    int64_t sent_ms;
    bool is_sent;  // since the session stands
  };

  void AddSeries(const telemetry::SeriesKey& key, const telemetry::Series& series);
  void JoinFlags(int64_t now_ms);
  void Number(int64_t now_ms);
  void AddSamples(wire::Batch& batch, size_t bytes);
  void Push(wire::Batch& batch);
  void SendDue(int64_t now_ms, const Send& send);

  // Constant after construction.
  const ReporterOptions options_;

  telemetry::Window pending_;
  telemetry::Window flags_;   // of subjects flag/…, until they join
  size_t pending_bytes_ = 0;  // of both
  bool pending_bad_ = false;
  int64_t window_start_ms_ = 0;
  int64_t flags_start_ms_ = 0;
  int64_t window_end_ms_ = 0;
  std::deque<wire::DecisionSample> samples_;
  int64_t last_flush_ms_ = 0;
  int64_t last_flags_ms_ = 0;
  std::deque<InFlight> in_flight_;  // ascending, without gaps
  uint64_t next_seq_ = 1;
  uint64_t dropped_series_ = 0;
  uint64_t merged_windows_ = 0;
};

}  // namespace weir::node::report
