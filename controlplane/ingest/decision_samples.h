// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shared/codec/json.h"
#include "shared/wire/messages.h"

namespace weir::control::ingest {

// A decision that a node picked out, to be shown.
struct ShownDecision {
  std::string node;
  wire::DecisionSample sample;
};

// {node, flag, key, outcome, reason, at}
codec::Json ToJson(const ShownDecision& decision);

// The samples of all nodes within a budget, whatever nodes send: so many a second in all and of one
// node, so that a noisy node leaves room for the others. What is too long, is not UTF-8 or has a
// time far from now is left out; control characters become '?'. Duplicates come with batches, which
// are counted once. One thread; monotonic ms.
class DecisionSamples {
 public:
  static constexpr size_t kPerSecond = 20;
  static constexpr size_t kPerNodeAndSecond = 10;
  static constexpr size_t kMaxText = 512;           // bytes of key and reason each
  static constexpr int64_t kMaxAgeMs = 86'400'000;  // of a sample, either way

  void Add(const wire::Batch& batch, int64_t now_ms, int64_t now_wall_ms);
  // What was added since the last call.
  std::vector<ShownDecision> Take();

  uint64_t left_out() const { return left_out_; }  // over budget, or malformed

 private:
  int64_t second_ = -1;
  size_t taken_ = 0;                        // in this second
  std::map<std::string, size_t> of_nodes_;  // in this second
  std::vector<ShownDecision> waiting_;
  uint64_t left_out_ = 0;
};

}  // namespace weir::control::ingest
