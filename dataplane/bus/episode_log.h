// SPDX-License-Identifier: Apache-2.0
// The last episodes of this process (wire::NodeReport::kMaxEpisodes), as reports send them. One
// thread.
#pragma once

#include <vector>

#include "shared/wire/messages.h"

namespace weir::node::bus {

class EpisodeLog {
 public:
  // One that begins (to_wall_ms is 0), or the same (kind, subject, beginning) with its end. When
  // there are too many, the oldest that has ended makes room; without one the oldest.
  void Take(wire::Episode episode);
  const std::vector<wire::Episode>& all() const { return episodes_; }  // in order of beginning

 private:
  std::vector<wire::Episode> episodes_;
};

}  // namespace weir::node::bus
