// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace weir::control::gates {

// What one look at a gate said.
struct Outcome {
  enum class State { kPassed, kWaiting, kFailed };
  State state = State::kWaiting;
  std::string reason;  // what was seen, and what is still needed
};

}  // namespace weir::control::gates
