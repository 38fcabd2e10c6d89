// SPDX-License-Identifier: Apache-2.0
#include "dataplane/logging/phase_level.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "shared/base/log.h"
#include "shared/base/log_level.h"

namespace weir::node::logging {
namespace {

constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warn", "error"};

size_t RankOf(std::string_view level) {
  return static_cast<size_t>(std::find(kLevels.begin(), kLevels.end(), level) - kLevels.begin());
}

}  // namespace

PhaseLevel PhaseLevelOf(const decision::Ruleset& rules) {
  std::pair<size_t, std::string> best(kLevels.size(), "");
  const auto look = [&](const decision::Split& split) {
    const size_t rank = RankOf(split.log_level);
    if (!split.applies || rank == kLevels.size()) return;
    best = std::min(best, {rank, split.rollout});
  };
  rules.model_splits().ForEach(look);
  rules.flag_splits().ForEach(look);
  if (best.first == kLevels.size()) return {};
  return {std::string(kLevels[best.first]), best.second};
}

// Told at the old level, or, where that is too quiet, at the new one.
void PhaseLogging::Apply(const decision::Ruleset& rules) {
  const PhaseLevel before = std::exchange(now_, PhaseLevelOf(rules));
  if (now_ == before) return;
  const auto tell = [&] {
    if (now_.level.empty()) {
      Log("node").warn("rollout {} asks for log level {} no more: as it was set", before.rollout,
                       before.level);
    } else {
      Log("node").warn("log level {} while rollout {} asks for it", now_.level, now_.rollout);
    }
  };
  const bool is_heard = Log("node").should_log(spdlog::level::warn);
  if (is_heard) tell();
  const Status set = SetLogLevelForNow(now_.level);
  if (!set.ok()) Log("node").error("{}", set.ToString());
  if (!is_heard) tell();
}

}  // namespace weir::node::logging
