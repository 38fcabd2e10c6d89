// SPDX-License-Identifier: Apache-2.0
// One arm of a slot as short text, for states that are written every second:
//   requests,bad,compared,differed;bucket:count,…;mean:weight,…;mean:weight,…;name:n:sum:squares,…
// that is counters, latency histogram, latency digest, digest of outputs, outcomes. Means are
// floats; everything is written in the fewest digits that read back to the same bits.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/status.h"
#include "shared/telemetry/series.h"

namespace weir::control::analysis {

inline constexpr const char* kSlotCounters[] = {telemetry::kRequests, telemetry::kBad,
                                                telemetry::kCompared, telemetry::kDiffered};

std::string ToText(const telemetry::Series& series);
// DataLoss on anything else.
Result<telemetry::Series> FromText(std::string_view text);

// The digest folded, its means rounded to floats and its weights to whole numbers.
telemetry::TDigest Rounded(const telemetry::TDigest& digest);

}  // namespace weir::control::analysis
