// SPDX-License-Identifier: Apache-2.0
// What became of an answer, as it is posted: POST /weir/v1/outcomes takes one object, or
// {"outcomes": [...]} of at most kMaxOutcomes.
//
//   {"model": "fraud_detection", "key": "user-1", "metric": "chargeback", "value": 0}
//   {"decision": "<x-weir-decision>", "metric": "revenue", "value": 12.5}
//   {"flag": "new_prompt", "key": "user-1", "metric": "click", "value": 1,
//    "timestamp": "2026-11-21T08:00:00Z"}
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"

namespace weir::node::outcomes {

inline constexpr size_t kMaxOutcomes = 1000;

struct Outcome {
  std::string model;     // "" with a flag; with a decision it may be left out
  std::string flag;      // "" with a model
  std::string key;       // stands for whichever id the rollout is keyed by; "" with a decision
  std::string decision;  // a token (token.h); "" with a key
  std::string metric;    // [a-z0-9_.]{1,64}
  double value = 0;      // finite, at most 1e100 either way
  int64_t at_wall_ms = 0;
};

// One that was read, or why it was not (InvalidArgument with the field).
struct Posted {
  Status status;
  Outcome outcome;
};

// The body's outcomes in their order. InvalidArgument: the body as a whole is none. `timestamp` is
// RFC 3339 or milliseconds, now where it is absent; more than a minute ahead of now is refused.
Result<std::vector<Posted>> ReadOutcomes(std::string_view body, int64_t now_wall_ms);

}  // namespace weir::node::outcomes
