// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "shared/base/clock.h"

namespace weir::node::override {

bool Watch::Look(const decision::Ruleset* rules, int64_t silence_ms, int64_t now_wall_ms) {
  ByRollout now;
  const auto add = [&](const decision::Split& split) {
    if (!split.applies || !split.IsUnwatched(silence_ms)) return;
    const auto before = rollouts_.find(split.rollout);
    const int64_t since = before == rollouts_.end() ? now_wall_ms : before->second.since_wall_ms;
    now[split.rollout] = {split.model.empty(), split.unwatched_after_ms, since};
  };
  if (rules != nullptr) {
    rules->model_splits().ForEach(add);
    rules->flag_splits().ForEach(add);
  }
  if (now == rollouts_) return false;
  const bool has_ended = std::any_of(rollouts_.begin(), rollouts_.end(),
                                     [&](const auto& item) { return !now.contains(item.first); });
  if (has_ended) watched_since_wall_ms_ = now_wall_ms;
  rollouts_ = std::move(now);
  unwatched_ms_ = rollouts_.empty() ? 0 : silence_ms;
  return true;
}

std::vector<std::string> Watch::Sentences() const {
  std::vector<std::string> all;
  for (const auto& [rollout, unwatched] : rollouts_) {
    all.push_back(fmt::format(
        "rollout {} is unwatched since {}: the control plane has been silent for longer than {}, "
        "so {}",
        rollout, FormatTimeMs(unwatched.since_wall_ms), FormatDurationMs(unwatched.after_ms),
        unwatched.is_flag ? "the flag's own percentage holds" : "canary keys go to stable"));
  }
  return all;
}

}  // namespace weir::node::override
