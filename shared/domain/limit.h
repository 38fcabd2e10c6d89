// SPDX-License-Identifier: Apache-2.0
// What a limit amounts to at a moment. Pure; the same on nodes, which end acts by themselves, and
// in the control plane, which shows it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/domain/snapshot.h"

namespace weir::domain {

struct EffectiveLimit {
  uint64_t max_concurrent = 0;            // 0: no limit
  uint64_t max_queue = 0;
  double requests_per_second = 0;         // 0: no limit
  double caller_requests_per_second = 0;  // 0: no limit
  uint64_t caller_concurrent = 0;         // 0: no limit
  double shed = 0;                        // share 0..1 of callers turned away
  struct Broken {
    std::string version;  // "": the whole model
    std::string why;
    bool operator==(const Broken&) const = default;
  };
  std::vector<Broken> broken;  // circuits held open
  int64_t changes_at_wall_ms = 0;  // the next act ends then; 0: none does
  bool operator==(const EffectiveLimit&) const = default;
};

// Steps of scale_up and scale_down add up within min_concurrent..most_concurrent; of everything
// else the strictest holds.
EffectiveLimit EffectiveLimitAt(const LimitEntry& limit, int64_t now_wall_ms);

}  // namespace weir::domain
