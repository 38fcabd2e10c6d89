// SPDX-License-Identifier: Apache-2.0
// Requests at a fixed rate, sent when they are due whatever has been answered and whatever the
// answer is; on the calling thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "shared/base/status.h"

namespace weir::bench {

struct Flood {
  std::string address;                // host:port, IPv4
  std::vector<std::string> requests;  // whole HTTP/1.1 messages, used in turn
  double per_second = 100;
  double seconds = 5;
  // Called once with the seconds passed, when that many have.
  double at_seconds = 0;
  std::function<void()> then{};
};

struct FloodAnswer {
  double due_s = 0;       // since the start
  double latency_ms = 0;  // since it was due
  int status = 0;         // 0: none within two seconds of the end
};

// Unavailable: no connection can be made, or one breaks.
Result<std::vector<FloodAnswer>> RunFlood(const Flood& flood);

}  // namespace weir::bench
