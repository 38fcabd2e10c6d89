// SPDX-License-Identifier: Apache-2.0
// Time is passed in, never read: every owner of timers takes a Clock, every pure function a `now`.
// Monotonic time runs timers and windows; wall time is for display, audit and schedules only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t MonotonicNs() const = 0;
  virtual int64_t WallMs() const = 0;  // since the Unix epoch
  int64_t MonotonicMs() const { return MonotonicNs() / 1'000'000; }

  // The machine's clocks; lives for ever; any thread.
  static const Clock& System();
};

// Moved by hand; for tests and simulations. One thread.
class ManualClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return monotonic_ns_; }
  int64_t WallMs() const override { return wall_ms_; }
  void AdvanceMs(int64_t ms) {
    monotonic_ns_ += ms * 1'000'000;
    wall_ms_ += ms;
  }
  void StepWallMs(int64_t ms) { wall_ms_ += ms; }

 private:
  int64_t monotonic_ns_ = 1'000'000'000;
  int64_t wall_ms_ = 1'763'683'200'000;
};

// "250ms", "30s", "5m", "24h", "7d" or plain seconds ("300", "0.5") → milliseconds.
Result<int64_t> ParseDurationMs(std::string_view text);
// The shortest exact form: 300000 → "5m", 250 → "250ms", 0 → "0s".
std::string FormatDurationMs(int64_t ms);
// RFC 3339 in UTC with milliseconds: 2026-11-20T14:05:00.123Z.
std::string FormatTimeMs(int64_t wall_ms);
// RFC 3339 with optional seconds, fraction and offset; without an offset, UTC.
Result<int64_t> ParseTimeMs(std::string_view text);

}  // namespace weir
