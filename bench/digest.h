// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "bench/report.h"

namespace weir::bench {

// The t-digest on uniform, log-normal, bimodal and ascending values: ns an insert, ns a merged
// centroid, bytes, and how far its percentiles are from those of all values sorted, in rank.
// `values` of each distribution; at least 1,000.
void MeasureDigest(size_t values, Report& report);

}  // namespace weir::bench
