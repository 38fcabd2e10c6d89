// SPDX-License-Identifier: Apache-2.0
// Internal: process_* of /metrics, what this process takes of its machine. Linux.
#pragma once

#include "dataplane/front/metrics_text.h"
#include "shared/base/clock.h"

namespace weir::node::front {

// Any thread. What cannot be read is 0 or left out.
void WriteProcess(const Clock& clock, MetricsText& text);

}  // namespace weir::node::front
