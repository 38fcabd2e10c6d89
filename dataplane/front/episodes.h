// SPDX-License-Identifier: Apache-2.0
// What several workers' breakers did, as the node's: an episode of a version lasts from the first
// worker's breaker that opens to the last one's that closes. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "dataplane/breaker/breakers.h"
#include "shared/wire/messages.h"

namespace weir::node::front {

class Episodes {
 public:
  // The episode that began or ended with this, if one did.
  std::optional<wire::Episode> Take(const breaker::Change& change, int64_t now_wall_ms);

 private:
  struct Open {
    int breakers = 0;
    wire::Episode episode;
  };
  std::map<breaker::VersionKey, Open> open_;
};

}  // namespace weir::node::front
