// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weir::node::front {

// Tells when a worker's machine has hung and woke (WIRE, Versions, 6): what it has may be old, and
// for a moment nobody has told it so. A worker that did nothing for more than kLateMs, though it
// has a tick every kTickMs, holds new requests until the bus says that it is in step again, kHoldMs
// at most. A state machine; times are the monotonic clock's ms.
class Waking {
 public:
  static constexpr int64_t kTickMs = 500;
  static constexpr int64_t kLateMs = 3000;
  static constexpr int64_t kHoldMs = 250;

  // The worker does something. True when this is the moment at which it woke.
  bool OnAlive(int64_t now_ms) {
    const bool woke = alive_ms_ != 0 && now_ms - alive_ms_ > kLateMs;
    alive_ms_ = now_ms;
    if (woke) woke_ms_ = now_ms;
    holds_ = holds_ || woke;
    return woke;
  }
  // All workers had what was the head at that moment. True when requests need not wait any longer.
  bool OnInStep(int64_t at_ms) {
    if (!holds_ || at_ms < woke_ms_) return false;
    holds_ = false;
    return true;
  }
  // kHoldMs after it woke at `woke_ms`.
  bool OnPatienceEnds(int64_t woke_ms) {
    if (!holds_ || woke_ms != woke_ms_) return false;
    holds_ = false;
    return true;
  }
  bool holds() const { return holds_; }
  int64_t woke_ms() const { return woke_ms_; }

 private:
  int64_t alive_ms_ = 0;  // 0: nothing was done yet
  int64_t woke_ms_ = 0;
  bool holds_ = false;
};

}  // namespace weir::node::front
