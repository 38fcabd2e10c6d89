// SPDX-License-Identifier: Apache-2.0
// Waiting for conditions instead of sleeping: looks every few milliseconds, and says what it waited
// for when the deadline passes.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "shared/base/clock.h"

namespace weir::integration {

// Deadlines are generous, and more so where a sanitizer makes everything slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int64_t kSlowness = 5;
#else
inline constexpr int64_t kSlowness = 1;
#endif
inline constexpr int64_t kPatienceMs = 20'000 * kSlowness;

inline int64_t NowMs() { return Clock::System().MonotonicMs(); }

// `condition` answers bool or testing::AssertionResult, whose message is shown on failure.
template <class Condition>
testing::AssertionResult WaitFor(const std::string& what, Condition condition,
                                 int64_t deadline_ms = kPatienceMs) {
  const int64_t end_ms = NowMs() + deadline_ms;
  for (;;) {
    const testing::AssertionResult last(condition());
    if (last) return testing::AssertionSuccess();
    if (NowMs() >= end_ms) {
      return testing::AssertionFailure()
             << what << ": not within " << deadline_ms << " ms. " << last.message();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace weir::integration
