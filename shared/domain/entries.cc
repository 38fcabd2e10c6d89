// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/entries.h"

#include <utility>

#include "shared/base/clock.h"

namespace weir::domain {
namespace {

// Specs here were validated: a percentage that is none would be the programmer's mistake.
FinePercent Fine(double percent) { return *ToFinePercent(percent); }

// The latest rollout that ever ran on this flag was taken back. One that had been promoted gave the
// flag its percentage from before, which holds.
bool IsRolledBack(const std::string& flag, const ForEach& for_each) {
  const Resource* latest = nullptr;
  for_each(Kind::kRollout, [&](const Resource& rollout) {
    if (rollout.As<RolloutSpec>().flag != flag) return;
    if (!rollout.status || rollout.status->state == "pending") return;
    const auto age = [](const Resource& r) {
      return std::pair(IsActive(*r.status), std::pair(r.status->since.ms, r.revision));
    };
    if (latest == nullptr || age(*latest) < age(rollout)) latest = &rollout;
  });
  if (latest == nullptr) return false;
  const RolloutStatus& status = *latest->status;
  if (status.promoted_at.ms != 0) return false;
  return status.state == "rolled_back" ||
         (status.state == "rolling_back" && status.percentage == 0);
}

std::vector<VariantEntry> VariantsOf(const FlagSpec& spec) {
  std::vector<VariantEntry> variants;
  for (const auto& [name, value] : spec.variants) variants.push_back({name, value});
  return variants;
}

std::vector<ScheduledEntry> ScheduleOf(const FlagSpec& spec) {
  std::vector<ScheduledEntry> schedule;
  for (const ScheduledChange& change : spec.schedule) {
    ScheduledEntry& entry = schedule.emplace_back();
    entry.at_wall_ms = change.at.ms;
    entry.enabled = change.set.enabled;
    if (change.set.rollout_percentage) entry.threshold = Fine(*change.set.rollout_percentage);
    entry.default_variant = change.set.default_variant;
  }
  return schedule;
}

// When the percentage in force began to hold: a pause does not change it.
int64_t PercentageSinceMs(const RolloutStatus& status) {
  const bool is_phase = status.state != "rolling_back" && status.phase < status.entered.size();
  return is_phase ? status.entered[status.phase].ms : status.since.ms;
}

}  // namespace

FlagEntry FlagEntryOf(const Resource& flag, const ForEach& for_each) {
  const auto& spec = flag.As<FlagSpec>();
  return {.name = flag.name,
          .enabled = spec.enabled.value_or(false),
          .threshold = Fine(spec.rollout_percentage.value_or(100)),
          .seed = spec.hash_seed,
          .random = spec.strategy == "random",
          .allowlist_only = spec.allowlist_only,
          .allowlist = spec.allowlist,
          .parents = FlagParents(flag.name, spec),
          .rolled_back = IsRolledBack(flag.name, for_each),
          .variants = VariantsOf(spec),
          .default_variant = spec.default_variant,
          .off_variant = spec.off_variant,
          .targeting = spec.targeting,
          .metadata = spec.metadata,
          .malformed = spec.malformed,
          .schedule = ScheduleOf(spec)};
}

ModelEntry ModelEntryOf(const Resource& model) {
  const auto& spec = model.As<ModelSpec>();
  ModelEntry entry{.name = model.name,
                   .stable = spec.stable,
                   .pinned = spec.pinned,
                   .versions = {},
                   .inputs = spec.inputs,
                   .flags = spec.flags};
  constexpr size_t kPrefix = 7;  // "sha256:"
  for (const auto& [name, version] : spec.versions) {
    VersionEntry& out = entry.versions.emplace_back();
    out.version = name;
    out.runtime = version.runtime;
    if (!version.blob.empty()) out.sha256 = version.blob.substr(kPrefix);
    out.urls = version.urls;
    if (!version.url.empty()) out.urls.insert(out.urls.begin(), version.url);
    out.remote_model = version.remote_model;
    out.remote_version = version.remote_version;
    out.timeout_ms = version.timeout.ms;
    out.health = version.health;
    if (version.max_connections > 0) out.max_connections = version.max_connections;
    out.blocked = version.blocked;
    out.unloaded = version.unloaded;
    if (!version.fault) continue;
    out.fault = FaultEntry{.error_rate = version.fault->error_rate,
                           .delay_ms = version.fault->delay.ms,
                           .expires_wall_ms = *ParseTimeMs(version.fault->expires)};
  }
  return entry;
}

std::optional<SplitEntry> SplitEntryOf(const Resource& rollout) {
  if (!rollout.status || !IsActive(*rollout.status)) return std::nullopt;
  const RolloutStatus& status = *rollout.status;
  const auto& spec = rollout.As<RolloutSpec>();
  if (status.phase >= spec.phases.size()) return std::nullopt;
  // Taken back at once, stable answers already; in steps, the rest of the share still splits.
  if (status.state == "rolling_back" && status.percentage == 0) return std::nullopt;
  const Phase& phase = spec.phases[status.phase];
  SplitEntry entry{.rollout = rollout.name,
                   .model = spec.model,
                   .flag = spec.flag,
                   .candidate = spec.candidate,
                   .threshold = Fine(status.percentage),
                   .hash_key = spec.hash_key,
                   .seed = spec.hash_seed,
                   .random = spec.strategy == "random",
                   .nodes = phase.nodes,
                   .shadow = IsShadow(spec, phase),
                   .fallback = spec.fallback == "stable",
                   .flags = phase.flags,
                   .log_level = phase.log_level,
                   .since_wall_ms = PercentageSinceMs(status),
                   .attribution_ms = spec.attribution_window.ms};
  entry.nodes.insert(spec.nodes.begin(), spec.nodes.end());
  if (spec.when_unwatched.action == "stable")
    entry.unwatched_after_ms = spec.when_unwatched.after.ms;
  return entry;
}

ExperimentEntry ExperimentEntryOf(const Resource& experiment) {
  const auto& spec = experiment.As<ExperimentSpec>();
  return {.name = experiment.name,
          .hash_key = spec.hash_key,
          .seed = spec.hash_seed,
          .groups = spec.groups};
}

ObservabilityEntry ObservabilityEntryOf(const Resource& observability) {
  return {.name = observability.name, .settings = observability.As<ObservabilitySpec>()};
}

std::optional<TokenEntry> TokenEntryOf(const Resource& token) {
  const auto& spec = token.As<TokenSpec>();
  if (spec.scopes.empty()) return std::nullopt;
  return TokenEntry{.name = token.name,
                    .hash = spec.hash,
                    .scopes = spec.scopes,
                    .expires_wall_ms = spec.expires.ms};
}

LimitEntry LimitEntryOf(const Resource& limit) {
  const auto& spec = limit.As<LimitSpec>();
  const uint64_t slots = spec.max_concurrent;
  LimitEntry entry{
      .name = limit.name,
      .max_concurrent = slots,
      .max_queue = spec.max_queue > 0 ? spec.max_queue : 2 * slots,
      .min_concurrent = spec.min_concurrent,
      .most_concurrent = spec.most_concurrent > 0 ? spec.most_concurrent : 4 * slots,
      .requests_per_second = spec.requests_per_second,
      .caller_requests_per_second = spec.caller_requests_per_second,
      .caller_concurrent = spec.caller_concurrent,
      .target_delay_ms = spec.target_delay.ms};
  for (const LimitAct& act : spec.acts) {
    entry.acts.push_back({.action = act.action,
                          .version = act.version,
                          .node = act.node,
                          .value = act.value,
                          .caller_requests_per_second = act.caller_requests_per_second,
                          .caller_concurrent = act.caller_concurrent,
                          .until_wall_ms = act.until.ms,
                          .reason = act.reason});
  }
  return entry;
}

}  // namespace weir::domain
