// SPDX-License-Identifier: Apache-2.0
// Which rollouts are unwatched: the control plane has been silent for longer than they allow, so
// that nobody judges their canaries. Pure; time is passed in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shared/decision/ruleset.h"

namespace weir::node::override {

class Watch {
 public:
  struct Unwatched {
    bool is_flag = false;  // its flag's own percentage holds; else stable answers canary keys
    int64_t after_ms = 0;  // of silence that the rollout allows
    int64_t since_wall_ms = 0;
    bool operator==(const Unwatched&) const = default;
  };
  using ByRollout = std::map<std::string, Unwatched>;

  // Looks again; `rules` may be null. True if other rollouts than before are unwatched: the ruleset
  // is then due with unwatched_ms() in it.
  bool Look(const decision::Ruleset* rules, int64_t silence_ms, int64_t now_wall_ms);

  const ByRollout& rollouts() const { return rollouts_; }
  // For Ruleset::unwatched_ms: 0 while none is.
  int64_t unwatched_ms() const { return unwatched_ms_; }
  // For Ruleset::watched_since_wall_ms.
  int64_t watched_since_wall_ms() const { return watched_since_wall_ms_; }
  // For people, one each.
  std::vector<std::string> Sentences() const;

 private:
  ByRollout rollouts_;
  int64_t unwatched_ms_ = 0;
  int64_t watched_since_wall_ms_ = 0;
};

}  // namespace weir::node::override
