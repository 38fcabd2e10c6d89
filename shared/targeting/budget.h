// SPDX-License-Identifier: Apache-2.0
// What one evaluation may still spend, and why it ended early. One thread, one evaluation.
#pragma once

#include <cstdint>

#include "shared/targeting/arena.h"
#include "shared/targeting/targeting.h"
#include "shared/targeting/value.h"

namespace weir::targeting {

inline constexpr char kTooManySteps[] = "the rule takes more than 20000 steps";
static_assert(kMaxSteps == 20'000, "as the text says");
inline constexpr char kTooMuchMemory[] =
    "the rule builds more text and lists than its memory holds";
inline constexpr char kTooDeep[] = "the rule builds lists nested deeper than 64";
// Lists within lists that become text, or leave the evaluation; they may be built by a rule.
inline constexpr int kMaxNesting = 64;

struct Budget {
  Arena& arena;
  uint32_t steps_left = kMaxSteps;
  const char* error = nullptr;  // the first failure, a literal; then nothing is left

  // Null, so that a failing function can return it.
  Value Fail(const char* why) {
    if (error == nullptr) error = why;
    steps_left = 0;
    return {};
  }
  bool Spend(size_t steps) {
    if (steps <= steps_left) {
      steps_left -= static_cast<uint32_t>(steps);
      return true;
    }
    Fail(kTooManySteps);
    return false;
  }
  // Work over items and over bytes: a step for each sixteen and each sixty-four.
  bool SpendItems(size_t items) { return items < 16 || Spend(items / 16); }
  bool SpendBytes(size_t bytes) { return bytes < 64 || Spend(bytes / 64); }

  // Uninitialised; nullptr after failing.
  template <class T>
  T* Allocate(size_t count) {
    T* result = arena.AllocateArray<T>(count == 0 ? 1 : count);
    if (result == nullptr) Fail(kTooMuchMemory);
    return result;
  }
};

}  // namespace weir::targeting
