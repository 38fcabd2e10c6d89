// SPDX-License-Identifier: Apache-2.0
// Whether a policy may act now. Pure. The checks, in this order, of which the first that stops it
// is the answer:
//   1. the policy is enabled                     disabled
//   2. its executor's breaker is closed          breaker
//   3. the cool-down of this remediation on this target is over   cooldown
//   4. fewer than max_executions within the budget's window       budget
//   5. it is not the fourth of moves on one target that undo each other (up, down, up, down, each
//      within the budget's window, whoever made them): then the breaker opens, until a person
//      resets it                                 loop
// A policy that only rehearses has an executor and moves of its own, so that what it records is
// what would have happened.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "shared/codec/json.h"
#include "shared/domain/policy.h"

namespace weir::control::remedy {

// The same moment by two clocks: monotonic for what lasts, wall for the next process and people.
struct Moment {
  int64_t ms = 0;
  int64_t wall_ms = 0;
};

struct Proposal {
  std::string key;       // what the cool-down is of: the remediation and its target
  std::string target;    // "limit/fraud", "flag/a", "rollout/r"
  int direction = 0;     // 1 raises, -1 lowers, 0 has no opposite
  bool is_free = false;  // telling people alone: of no budget
};

enum class Ruling { kAct, kDisabled, kBreaker, kCooldown, kBudget, kLoop };
const char* RulingName(Ruling ruling);  // "act", "disabled", "breaker", …

// What was done to targets, by all policies. One thread.
class Moves {
 public:
  void Note(const std::string& target, int direction, Moment now);
  // Whether one more move makes four that alternate, all within `window_ms`.
  bool Loops(const std::string& target, int direction, int64_t now_ms, int64_t window_ms) const;
  codec::Json Save() const;
  void Load(const codec::Json& saved, Moment now);

 private:
  struct Move {
    Moment at;
    int direction = 0;
  };
  std::map<std::string, std::deque<Move>> moves_;  // by target, the last few
};

// Of one policy. One thread.
class Executor {
 public:
  // Opens the breaker where the answer is kLoop.
  Ruling Check(const domain::PolicySpec& policy, const Proposal& proposal, const Moves& moves,
               Moment now);
  // It was done: cool-down and budget begin.
  void Acted(const Proposal& proposal, Moment now);
  // It could not be done: the cool-down alone, so that it is not tried every second.
  void Failed(const Proposal& proposal, Moment now);
  // False when the breaker was closed anyway.
  bool Reset();

  bool IsOpen() const { return !open_reason_.empty(); }
  const std::string& open_reason() const { return open_reason_; }
  int64_t open_since_wall_ms() const { return open_since_wall_ms_; }
  uint64_t Executions(int64_t now_ms, int64_t window_ms) const;

  // Times by the wall: what passed while nothing ran has passed.
  codec::Json Save() const;
  void Load(const codec::Json& saved, Moment now);

 private:
  std::map<std::string, Moment> cooled_;  // by key, the last time
  std::deque<Moment> executions_;         // ascending
  std::string open_reason_;
  int64_t open_since_wall_ms_ = 0;
};

}  // namespace weir::control::remedy
