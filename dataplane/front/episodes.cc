// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/episodes.h"

#include <utility>

namespace weir::node::front {

std::optional<wire::Episode> Episodes::Take(const breaker::Change& change, int64_t now_wall_ms) {
  if (change.is_open) {
    Open& open = open_[change.key];
    if (++open.breakers > 1) return std::nullopt;
    open.episode = {.kind = "breaker",
                    .subject = "model/" + change.key.first + "/" + change.key.second,
                    .from_wall_ms = now_wall_ms,
                    .to_wall_ms = 0,
                    .detail = change.why};
    return open.episode;
  }
  const auto open = open_.find(change.key);
  if (open == open_.end() || --open->second.breakers > 0) return std::nullopt;
  wire::Episode ended = std::move(open->second.episode);
  open_.erase(open);
  ended.to_wall_ms = now_wall_ms;
  return ended;
}

}  // namespace weir::node::front
