// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/node_trail.h"

#include <iterator>
#include <utility>

namespace weir::control::ingest {
namespace {

store::EpisodeRow RowOf(const std::string& node, const wire::Episode& episode) {
  return {node,          episode.kind, episode.subject, episode.from_wall_ms, episode.to_wall_ms,
          episode.detail};
}

}  // namespace

void NodeTrail::OnEpisodes(const std::string& node, uint64_t incarnation,
                           const std::vector<wire::Episode>& episodes) {
  Node& known = nodes_[node];
  if (known.incarnation != incarnation) {
    restarts_.emplace_back(node, static_cast<int64_t>(incarnation));
    known = {incarnation, {}};
  }
  std::map<Key, wire::Episode> reported;
  for (const wire::Episode& episode : episodes) {
    const Key key{episode.kind, episode.subject, episode.from_wall_ms};
    const auto before = known.known.find(key);
    if (before == known.known.end() || !(before->second == episode))
      episodes_.push_back(RowOf(node, episode));
    reported.insert_or_assign(key, episode);
  }
  known.known = std::move(reported);
}

void NodeTrail::TakeInto(store::TelemetryRecord& record) {
  record.applied = std::exchange(applied_, {});
  record.episodes = std::exchange(episodes_, {});
  record.restarts = std::exchange(restarts_, {});
}

void NodeTrail::MarkDirty(store::TelemetryRecord& record) {
  applied_.insert(applied_.begin(), std::make_move_iterator(record.applied.begin()),
                  std::make_move_iterator(record.applied.end()));
  episodes_.insert(episodes_.begin(), std::make_move_iterator(record.episodes.begin()),
                   std::make_move_iterator(record.episodes.end()));
  restarts_.insert(restarts_.begin(), record.restarts.begin(), record.restarts.end());
}

}  // namespace weir::control::ingest
