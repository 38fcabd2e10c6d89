// SPDX-License-Identifier: Apache-2.0
// What all of a node's flag answers stand on, as one id: flags, rollouts of flags, the emergency,
// overrides, and how many scheduled changes are due. Two nodes that answer alike have the same id,
// whichever way they came to it, also over a restart of the control plane; so it serves as an
// event's id that a client may show to another node. One thread; time is passed in.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "shared/decision/ruleset.h"

namespace weir::node::ofrep {

class FlagState {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // Each tells whether the id changed.
  bool Update(std::shared_ptr<const decision::Ruleset> rules, int64_t now_wall_ms);
  bool Advance(int64_t now_wall_ms);

  const std::string& id() const { return id_; }  // "" before the first rules; then [0-9a-f-]+
  // When the next scheduled change is due; kNever if none is.
  int64_t next_due_wall_ms() const;

 private:
  void UpdateFlags(const decision::Ruleset* before, const decision::Ruleset& now);

  std::shared_ptr<const decision::Ruleset> rules_;
  uint64_t flags_ = 0;             // the sum of all flags' hashes
  uint64_t rest_ = 0;              // of everything else
  std::vector<int64_t> schedule_;  // of all flags, ascending
  int64_t due_wall_ms_ = 0;        // the last one that is due; 0: none
  std::string id_;
};

}  // namespace weir::node::ofrep
