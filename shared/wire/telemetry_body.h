// SPDX-License-Identifier: Apache-2.0
// telemetry::Window ↔ the series of a Batch.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "shared/base/status.h"
#include "shared/telemetry/series.h"
#include "shared/wire/messages.h"

namespace weir::wire {

inline constexpr size_t kMaxCounters = 64;         // per series
inline constexpr size_t kMaxCounterName = 64;      // bytes, [a-z0-9_.]
inline constexpr size_t kMaxKeyText = 320;         // bytes of subject, version and arm each
inline constexpr double kMaxOutputsPerRequest = 16;  // rows of one answer that drift looks at
inline constexpr uint64_t kMaxCount = 1ull << 53;  // of one counter in one batch

Series ToWire(const telemetry::SeriesKey& key, const telemetry::Series& series);
std::vector<Series> ToWire(const telemetry::Window& window);

// InvalidArgument names the series' field: an empty or overlong subject, version or arm, a counter
// with a bad name or count, more bad than requests, buckets not ascending or out of range, buckets
// or a digest with another number of values than `requests`, a digest that is not finite and
// sorted, too many bad keys. A flag's series has a snapshot's version, any outcome as arm, and only
// the counter `requests`, with latencies or without.
Result<std::pair<telemetry::SeriesKey, telemetry::Series>> FromWire(const Series& series);

// The version of a flag's series: of the snapshot by which the decisions were made, 1..20 decimal
// digits, and "" for 0, of no snapshot or of a node that does not say.
std::string SnapshotVersionText(uint64_t version);
std::optional<uint64_t> ReadSnapshotVersion(std::string_view text);  // nullopt: it is none

}  // namespace weir::wire
