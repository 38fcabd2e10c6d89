// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/entries.h"

#include <utility>

#include "shared/base/clock.h"

namespace weir::control::catalog {
namespace {

// Specs here were validated: a percentage that is none would be the programmer's mistake.
domain::FinePercent Fine(double percent) { return *domain::ToFinePercent(percent); }

// The latest rollout that ever ran on this flag was taken back.
bool IsRolledBack(const std::string& flag, const domain::ForEach& for_each) {
  const domain::Resource* latest = nullptr;
  for_each(domain::Kind::kRollout, [&](const domain::Resource& rollout) {
    if (rollout.As<domain::RolloutSpec>().flag != flag) return;
    if (!rollout.status || rollout.status->state == "pending") return;
    const auto age = [](const domain::Resource& r) {
      return std::pair(domain::IsActive(*r.status), std::pair(r.status->since.ms, r.revision));
    };
    if (latest == nullptr || age(*latest) < age(rollout)) latest = &rollout;
  });
  return latest != nullptr &&
         (latest->status->state == "rolled_back" || latest->status->state == "rolling_back");
}

}  // namespace

domain::FlagEntry FlagEntryOf(const domain::Resource& flag, const domain::ForEach& for_each) {
  const auto& spec = flag.As<domain::FlagSpec>();
  return {.name = flag.name,
          .enabled = spec.enabled.value_or(false),
          .threshold = Fine(spec.rollout_percentage.value_or(100)),
          .seed = spec.hash_seed,
          .random = spec.strategy == "random",
          .allowlist_only = spec.allowlist_only,
          .allowlist = spec.allowlist,
          .parents = domain::FlagParents(flag.name, spec),
          .rolled_back = IsRolledBack(flag.name, for_each)};
}

domain::ModelEntry ModelEntryOf(const domain::Resource& model) {
  const auto& spec = model.As<domain::ModelSpec>();
  domain::ModelEntry entry{.name = model.name,
                           .stable = spec.stable,
                           .pinned = spec.pinned,
                           .versions = {},
                           .inputs = spec.inputs};
  constexpr size_t kPrefix = 7;  // "sha256:"
  for (const auto& [name, version] : spec.versions) {
    domain::VersionEntry& out = entry.versions.emplace_back();
    out.version = name;
    out.runtime = version.runtime;
    out.sha256 = version.blob.substr(kPrefix);
    if (!version.fault) continue;
    out.fault = domain::FaultEntry{.error_rate = version.fault->error_rate,
                                   .delay_ms = version.fault->delay.ms,
                                   .expires_wall_ms = *ParseTimeMs(version.fault->expires)};
  }
  return entry;
}

std::optional<domain::SplitEntry> SplitEntryOf(const domain::Resource& rollout) {
  if (!rollout.status || !domain::IsActive(*rollout.status)) return std::nullopt;
  if (rollout.status->state == "rolling_back") return std::nullopt;  // stable answers already
  const auto& spec = rollout.As<domain::RolloutSpec>();
  return domain::SplitEntry{.rollout = rollout.name,
                            .model = spec.model,
                            .flag = spec.flag,
                            .candidate = spec.candidate,
                            .threshold = Fine(rollout.status->percentage),
                            .hash_key = spec.hash_key,
                            .seed = spec.hash_seed,
                            .random = spec.strategy == "random",
                            .nodes = spec.nodes};
}

domain::ExperimentEntry ExperimentEntryOf(const domain::Resource& experiment) {
  const auto& spec = experiment.As<domain::ExperimentSpec>();
  return {.name = experiment.name,
          .hash_key = spec.hash_key,
          .seed = spec.hash_seed,
          .groups = spec.groups};
}

}  // namespace weir::control::catalog
