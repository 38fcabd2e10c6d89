// SPDX-License-Identifier: Apache-2.0
// What the node plane knows and the front shows in /ready and /metrics.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::node::front {

struct NodeStatusView {
  std::string node;           // the node's id
  bool stale = false;         // beacons are missing; the last good snapshot serves on
  bool draining = false;      // unready from now on; requests are still answered
  std::string control_error;  // why there is no contact, "" while there is
  // Monotonic time at which the snapshot in force was last known to be the head; 0: never.
  int64_t current_at_ms = 0;
  uint64_t pending_batches = 0;         // telemetry not yet acknowledged
  uint64_t nacks = 0;                   // entries refused since the start
  std::optional<std::string> cordon{};  // why the control plane wants no traffic here
  int64_t stored_wall_ms = 0;  // when the snapshot on disk that it started from was stored; 0: none
  // Monotonic time at which, after the machine had hung, every worker had what was then the head;
  // 0: it never hung.
  int64_t in_step_at_ms = 0;
};

// How long ago the snapshot in force was last known to be the newest: by what was heard, or, since
// nothing was, by when it was stored. Nothing when nobody knows. The times are monotonic and wall.
inline std::optional<int64_t> SnapshotAgeMs(const NodeStatusView& status, int64_t now_ms,
                                            int64_t wall_ms) {
  if (status.current_at_ms > 0) return std::max<int64_t>(0, now_ms - status.current_at_ms);
  if (status.stored_wall_ms > 0) return std::max<int64_t>(0, wall_ms - status.stored_wall_ms);
  return std::nullopt;
}

// What an operator forces on this node.
struct OverridesView {
  bool is_active = false;
  std::vector<std::string> sentences;    // one each
  std::vector<std::string> unwatched{};  // rollouts that nobody watches, one sentence each
};

}  // namespace weir::node::front
