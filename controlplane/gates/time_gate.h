// SPDX-License-Identifier: Apache-2.0
// Gates of type time_based: a length of the phase, a window of the week in a time zone, or both.
// Time is an argument; the zones' rules are the machine's (/usr/share/zoneinfo).
//
// A window opens at `from` on each of `days` and closes at the next `to`; where `to` is not after
// `from`, that is on the next day. A moment that the clocks skip in spring is the one at which they
// do; of one that comes twice in autumn, `from` is the first and `to` the second.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/gates/outcome.h"
#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::control::gates {

// Never fails for good. "12h more of 24h; opens Mon 09:00 Europe/Berlin, in 13h".
Outcome LookAtTime(const domain::Gate& gate, int64_t phase_age_ms, int64_t now_wall_ms);

// InvalidArgument: no such time zone.
Status CheckTimeZone(const std::string& name);

// Rounded up, two units at most: "2d 3h", "13h", "12m", "40s".
std::string Roughly(int64_t ms);

}  // namespace weir::control::gates
