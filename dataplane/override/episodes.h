// SPDX-License-Identifier: Apache-2.0
// What this node did by itself, as episodes that begin and end: what an operator forces on it, and
// what it left because nobody watched. Pure; time is passed in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/override/forced.h"
#include "dataplane/override/watch.h"
#include "shared/decision/ruleset.h"
#include "shared/wire/messages.h"

namespace weir::node::override {

// What stands, each with its beginning, or with 0 where that is now. Kind `override` has as subject
// "flag/<name>", "model/<name>" (a split or a pin) or "emergency/<switch>", kind `unwatched` the
// rollout.
std::vector<wire::Episode> WhatStands(const decision::Overrides& file, const ByHand& hand,
                                      const Watch& watch);

class Episodes {
 public:
  // What has ended and what has begun since the last call, the ends first. An episode whose detail
  // changes ends, and another begins.
  std::vector<wire::Episode> Update(std::vector<wire::Episode> standing, int64_t now_wall_ms);

 private:
  std::map<std::pair<std::string, std::string>, wire::Episode> standing_;  // by kind and subject
};

}  // namespace weir::node::override
