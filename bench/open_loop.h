// SPDX-License-Identifier: Apache-2.0
// Requests at a fixed rate over kept-alive connections, sent when they are due whatever has been
// answered; latency counts from when a request was due, so that a server that stalls cannot hide
// it. Spins on the calling thread: pin it to a core that the server does not use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/status.h"

namespace weir::bench {

struct OpenLoop {
  std::string address;                // host:port, IPv4
  std::vector<std::string> requests;  // whole HTTP/1.1 messages, used in turn
  int per_second = 2000;
  double seconds = 5;
  double warm_up_seconds = 0.5;  // not counted
};

// Latencies in µs. An answer that is not 200, or none within a second of the end, is an error.
Result<std::vector<double>> RunOpenLoop(const OpenLoop& load);

// A POST of JSON.
std::string RawPost(const std::string& target, const std::string& body);

}  // namespace weir::bench
