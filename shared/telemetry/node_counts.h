// SPDX-License-Identifier: Apache-2.0
// Who counted what: of a window's series the requests of each node, which is all that is kept apart
// when windows of nodes merge.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "shared/telemetry/series.h"

namespace weir::telemetry {

struct NodeCount {
  static constexpr uint64_t kMost = uint64_t{1} << 53;  // where adding stops: nobody makes it wrap

  uint64_t requests = 0;
  uint64_t bad = 0;  // of them

  NodeCount& operator+=(const NodeCount& other) {
    requests = std::min(requests + other.requests, kMost);
    bad = std::min(bad + other.bad, kMost);
    return *this;
  }
  bool operator==(const NodeCount&) const = default;
};

// Nodes without requests are left out.
using NodeWindow = std::map<SeriesKey, std::map<std::string, NodeCount>>;

}  // namespace weir::telemetry
