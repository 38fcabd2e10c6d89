// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/schedule.h"

#include <algorithm>

namespace weir::control::catalog {

std::vector<Change> DueSchedules(const Catalog& catalog, int64_t now_wall_ms) {
  std::vector<Change> changes;
  catalog.ForEach(domain::Kind::kFlag, [&](const domain::Resource& flag) {
    const auto& schedule = flag.As<domain::FlagSpec>().schedule;
    const auto later =
        std::find_if(schedule.begin(), schedule.end(),
                     [&](const domain::ScheduledChange& item) { return item.at.ms > now_wall_ms; });
    if (later == schedule.begin()) return;
    Change& change = changes.emplace_back();
    change.resource = flag;
    change.expected_revision = flag.revision;
    auto& spec = change.resource.As<domain::FlagSpec>();
    for (auto item = schedule.begin(); item != later; ++item) {
      if (item->set.enabled) spec.enabled = item->set.enabled;
      if (item->set.rollout_percentage) spec.rollout_percentage = item->set.rollout_percentage;
      if (!item->set.default_variant.empty()) spec.default_variant = item->set.default_variant;
    }
    spec.schedule.assign(later, schedule.end());
  });
  return changes;
}

std::vector<Change> OldSilences(const Catalog& catalog, int64_t now_wall_ms) {
  std::vector<Change> changes;
  catalog.ForEach(domain::Kind::kSilence, [&](const domain::Resource& silence) {
    const int64_t ended_ms = silence.As<domain::SilenceSpec>().until.ms;
    if (now_wall_ms - ended_ms < kKeepEndedSilencesMs) return;
    Change& change = changes.emplace_back();
    change.resource = silence;
    change.remove = true;
    change.expected_revision = silence.revision;
  });
  return changes;
}

}  // namespace weir::control::catalog
