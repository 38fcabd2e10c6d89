// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/episode_log.h"

#include <algorithm>
#include <utility>

namespace weir::node::bus {

void EpisodeLog::Take(wire::Episode episode) {
  const auto same = std::find_if(episodes_.begin(), episodes_.end(), [&](const auto& known) {
    return known.kind == episode.kind && known.subject == episode.subject &&
           known.from_wall_ms == episode.from_wall_ms;
  });
  if (same != episodes_.end()) {
    *same = std::move(episode);
    return;
  }
  if (episodes_.size() >= wire::NodeReport::kMaxEpisodes) {
    const auto ended = std::find_if(episodes_.begin(), episodes_.end(),
                                    [](const auto& known) { return known.to_wall_ms != 0; });
    episodes_.erase(ended == episodes_.end() ? episodes_.begin() : ended);
  }
  episodes_.push_back(std::move(episode));
}

}  // namespace weir::node::bus
