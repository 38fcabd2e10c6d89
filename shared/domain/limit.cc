// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/limit.h"

#include <algorithm>
#include <cmath>

namespace weir::domain {
namespace {

// The smaller of two limits, of which 0 is none.
template <class T>
T Stricter(T a, T b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

EffectiveLimit EffectiveLimitAt(const LimitEntry& limit, int64_t now_wall_ms) {
  EffectiveLimit now{.max_concurrent = limit.max_concurrent,
                     .max_queue = limit.max_queue,
                     .requests_per_second = limit.requests_per_second,
                     .caller_requests_per_second = limit.caller_requests_per_second,
                     .caller_concurrent = limit.caller_concurrent,
                     .shed = 0,
                     .broken = {},
                     .changes_at_wall_ms = 0};
  double steps = 0;
  for (const LimitActEntry& act : limit.acts) {
    if (act.until_wall_ms != 0 && act.until_wall_ms <= now_wall_ms) continue;
    if (act.until_wall_ms != 0)
      now.changes_at_wall_ms = Stricter(now.changes_at_wall_ms, act.until_wall_ms);
    if (act.action == "scale_up") steps += act.value;
    if (act.action == "scale_down") steps -= act.value;
    if (act.action == "throttle") {
      now.requests_per_second = Stricter(now.requests_per_second, act.value);
      now.caller_requests_per_second =
          Stricter(now.caller_requests_per_second, act.caller_requests_per_second);
      now.caller_concurrent = Stricter(now.caller_concurrent, act.caller_concurrent);
    }
    if (act.action == "shed_load") now.shed = std::max(now.shed, act.value);
    if (act.action == "circuit_break") now.broken.push_back({act.version, act.reason});
  }
  if (now.max_concurrent > 0) {
    const double most = static_cast<double>(limit.most_concurrent);
    const double least = std::min(static_cast<double>(limit.min_concurrent), most);
    const double wanted = static_cast<double>(now.max_concurrent) + steps;
    now.max_concurrent = static_cast<uint64_t>(std::llround(std::clamp(wanted, least, most)));
  }
  return now;
}

}  // namespace weir::domain
