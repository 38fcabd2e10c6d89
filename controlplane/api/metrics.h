// SPDX-License-Identifier: Apache-2.0
// The control plane's own metrics, as Prometheus text. Core thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "controlplane/api/resource_view.h"

namespace weir::control::api {

// Counted since the start of the program.
struct Counters {
  uint64_t commits = 0;
  std::map<std::pair<std::string, std::string>, uint64_t> rollbacks;  // by rollout and trigger
  std::map<std::pair<std::string, int>, uint64_t> requests;           // by route and HTTP status
  std::map<std::string, uint64_t> refusals;                           // of callers, by RefusalName
};

// Every line ends with a newline. `version` is the version that nodes shall have.
std::string MetricsText(const World& world, const Counters& counters, uint64_t version);

}  // namespace weir::control::api
