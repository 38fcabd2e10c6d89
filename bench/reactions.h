// SPDX-License-Identifier: Apache-2.0
// How soon the whole system reacts: a control plane and three nodes on loopback.
#pragma once

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

// From sending a change to the API until the control plane's list shows APPLIED by every node; the
// list is asked again as soon as it has answered, so up to one such question is included. Beside an
// fdatasync in the same directory, which every commit pays for.
Status MeasureChanges(int changes, Report& report);

// From sending the kill switch to the API until the last of three nodes answers KILL_SWITCH, and
// the same for switching it off; nodes are asked in turn, without a pause.
Status MeasureEmergency(int switches, Report& report);

}  // namespace weir::bench
