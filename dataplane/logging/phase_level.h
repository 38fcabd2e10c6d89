// SPDX-License-Identifier: Apache-2.0
// The log level that phases of rollouts ask of the nodes they apply to (Phase.log_level): the most
// verbose one holds as long as it applies, afterwards what the node was started with.
#pragma once

#include <string>

#include "shared/decision/ruleset.h"

namespace weir::node::logging {

struct PhaseLevel {
  std::string level;    // "debug", "info", "warn" or "error"; "" if nobody asks
  std::string rollout;  // that asks for it
  bool operator==(const PhaseLevel&) const = default;
};

// Of several that ask for the same the first by name.
PhaseLevel PhaseLevelOf(const decision::Ruleset& rules);

// Keeps the process to it, and tells in the log. One thread.
class PhaseLogging {
 public:
  void Apply(const decision::Ruleset& rules);

 private:
  PhaseLevel now_;
};

}  // namespace weir::node::logging
