// SPDX-License-Identifier: Apache-2.0
// Decides how many of a model's requests a node turns away so that its queue stays short
// (JUDGEMENT, The governor): an incremental PI law on the share `u` that is turned away, and which
// requests that share falls on: the least important first, and within the tier at the boundary by a
// hash of the caller, so that one caller is wholly in or wholly out.
//
// Inactive (u = 0) until the queue has stood for about a second; inactive again once it is empty
// and nobody is turned away. Pure: ticked every kTickMs by its owner, who also serializes the
// calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace weir::node::admission {

inline constexpr int kPriorities = 10;  // 0..9, 9 is the most important
inline constexpr int kDefaultPriority = 5;

// Where a caller stands in 0..1 whenever a share of callers is turned away: the same everywhere, so
// that two shares fall on the same callers.
double ShareOf(uint32_t caller_hash);

// What happened in one tick. A reading that is missing is NaN.
struct Reading {
  double in = 0;           // requests that the governor let in
  double out = 0;          // that were done
  double queue = 0;        // that wait at the end of the tick
  double least_queue = 0;  // the fewest that waited at any moment of the tick
  double inflight = 0;     // in work at the end of the tick
  double service_ms = 0;   // mean of one, without the wait; the last known if none was done
};

class Governor {
 public:
  static constexpr int64_t kTickMs = 250;
  static constexpr int kStandingTicks = 4;  // before it acts
  static constexpr double kMaxU = 0.98;
  static constexpr size_t kKeptPriorities = 1000;

  // `limit`: requests that may be in work at once; `target_delay_ms`: how long one may wait. With a
  // reading that is missing, not finite or negative everything stays as it is.
  void Tick(const Reading& reading, double limit, double target_delay_ms);

  // Whether a request may come in; its priority (clamped to 0..9) joins the last ones that shares
  // are reckoned by.
  bool LetsIn(int priority, uint32_t caller_hash);

  double u() const { return u_; }  // share 0..kMaxU of requests turned away
  bool is_active() const { return is_active_; }

 private:
  double ErrorOf(const Reading& reading, double limit, double target_delay_ms) const;
  void Recover(const Reading& reading, double limit);

  double u_ = 0;
  double last_error_ = 0;
  bool is_active_ = false;
  int standing_ticks_ = 0;  // in a row
  int idle_ticks_ = 0;      // in a row with an empty queue and a quarter of the slots free

  std::array<uint8_t, kKeptPriorities> kept_{};  // a ring
  size_t kept_count_ = 0;
  size_t next_ = 0;
  std::array<uint32_t, kPriorities> by_priority_{};  // of kept_
};

}  // namespace weir::node::admission
