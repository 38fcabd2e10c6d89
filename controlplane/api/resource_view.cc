// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/resource_view.h"

#include <utility>

#include "controlplane/api/rollout_view.h"
#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/resource.h"
#include "shared/domain/entries.h"
#include "shared/domain/limit.h"
#include "shared/domain/token.h"
#include "shared/telemetry/series.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;
using domain::Resource;

// An active rollout's percentage, else the flag's own.
double PercentageOf(const Resource& flag, const World& world) {
  if (const Resource* rollout = ActiveRolloutOf(world.catalog, Kind::kFlag, flag.name))
    return rollout->status->percentage;
  return flag.As<domain::FlagSpec>().rollout_percentage.value_or(100);
}

// What nodes answered since the flag last changed; null when nothing was counted.
Json FlagStats(const Resource& flag, const World& world, double configured_percentage) {
  const ingest::FlagTotal* found = world.flag_totals.Find(flag.name);
  const uint64_t total = found == nullptr ? 0 : found->Total();
  if (total == 0) return {};
  Json stats = {{"since", FormatTimeMs(found->since_wall_ms)},
                {"total", total},
                {"by_outcome", found->outcomes}};
  if (flag.As<domain::FlagSpec>().IsVariant()) return stats;
  const auto on = found->outcomes.find(telemetry::kArmOn);
  const uint64_t enabled = on == found->outcomes.end() ? 0 : on->second;
  stats["enabled"] = enabled;
  stats["actual_percentage"] = 100.0 * static_cast<double>(enabled) / static_cast<double>(total);
  stats["configured_percentage"] = configured_percentage;
  return stats;
}

Json FlagStatus(const Resource& flag, const World& world) {
  const domain::FlagEntry entry = domain::FlagEntryOf(flag, ForEachOf(world.catalog));
  Json status = {{"enabled", entry.enabled && !entry.rolled_back}};
  if (!entry.malformed.empty()) status["malformed"] = entry.malformed;
  if (!entry.IsVariant()) {
    const double percentage = PercentageOf(flag, world);
    status["percentage"] = percentage;
    status["threshold"] = domain::ToFinePercent(percentage).ok()
                              ? *domain::ToFinePercent(percentage)
                              : entry.threshold;
  }
  if (!entry.parents.empty()) status["parents"] = entry.parents;
  if (entry.rolled_back) status["rolled_back"] = true;
  if (const Resource* rollout = ActiveRolloutOf(world.catalog, Kind::kFlag, flag.name)) {
    status["rollout"] = rollout->name;
  }
  const domain::EmergencySpec emergency = world.catalog.emergency();
  if (emergency.kill_switch) status["emergency"] = "kill_switch";
  if (emergency.rollback_to_baseline) status["emergency"] = "rollback_to_baseline";
  Json stats = FlagStats(flag, world, ConfiguredPercentage(flag, world));
  if (!stats.is_null()) status["stats"] = std::move(stats);
  const ingest::FlagTotal* counted = world.flag_totals.Find(flag.name);
  if (counted != nullptr && counted->last_wall_ms != 0)
    status["last_evaluated_at"] = FormatTimeMs(counted->last_wall_ms);
  return status;
}

Json VersionStatus(const std::string& model, const std::string& version,
                   const domain::VersionSpec& spec, const World& world) {
  Json nodes = Json::object();
  Json failed = Json::object();
  for (const auto& node : world.nodes->nodes) {
    if (!node->IsLive()) continue;
    for (const wire::VersionReport& report : node->versions) {
      if (report.model != model || report.version != version) continue;
      nodes[node->id] = report.state;
      if (report.state == "FAILED") failed[node->id] = report.detail;
    }
  }
  Json status = {{"nodes", std::move(nodes)}};
  if (!failed.empty()) status["failed"] = std::move(failed);
  if (spec.fault.has_value()) {
    status["fault"] = IsFaultActive(*spec.fault, world.clock.WallMs())
                          ? "in rehearsal until " + spec.fault->expires
                          : "over since " + spec.fault->expires;
  }
  return status;
}

Json ModelStatus(const Resource& model, const World& world) {
  const auto& spec = model.As<domain::ModelSpec>();
  Json versions = Json::object();
  for (const auto& [name, version] : spec.versions)
    versions[name] = VersionStatus(model.name, name, version, world);
  Json status = {{"serving", spec.pinned.empty() ? spec.stable : spec.pinned},
                 {"versions", std::move(versions)}};
  if (const Resource* rollout = ActiveRolloutOf(world.catalog, Kind::kModel, model.name))
    status["rollout"] = rollout->name;
  return status;
}

// What holds on each node now; what is 0 or empty is left out, as no limit.
Json LimitStatus(const Resource& limit, int64_t now_wall_ms) {
  const domain::EffectiveLimit now =
      domain::EffectiveLimitAt(domain::LimitEntryOf(limit), now_wall_ms);
  Json status = Json::object();
  const auto add = [&](const char* name, auto value) {
    if (value > 0) status[name] = value;
  };
  add("max_concurrent", now.max_concurrent);
  add("max_queue", now.max_queue);
  add("requests_per_second", now.requests_per_second);
  add("caller_requests_per_second", now.caller_requests_per_second);
  add("caller_concurrent", now.caller_concurrent);
  add("shed", now.shed);
  for (const auto& broken : now.broken)
    status["broken"].push_back({{"version", broken.version}, {"reason", broken.why}});
  if (now.changes_at_wall_ms > 0) status["changes_at"] = FormatTimeMs(now.changes_at_wall_ms);
  return status;
}

}  // namespace

domain::ForEach ForEachOf(const catalog::Catalog& catalog) {
  return [&catalog](Kind kind, const std::function<void(const Resource&)>& visit) {
    catalog.ForEach(kind, visit);
  };
}

std::vector<std::string> NamesOf(const catalog::Catalog& catalog, Kind kind) {
  std::vector<std::string> names;
  catalog.ForEach(kind, [&](const Resource& resource) { names.push_back(resource.name); });
  return names;
}

Status NoSuchResource(const catalog::Catalog& catalog, Kind kind, const std::string& name) {
  return NotFound(fmt::format("there is no {} \"{}\"{}", domain::KindName(kind), name,
                              DidYouMean(name, NamesOf(catalog, kind))));
}

const Resource* ActiveRolloutOf(const catalog::Catalog& catalog, Kind subject_kind,
                                const std::string& subject) {
  const Resource* found = nullptr;
  catalog.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    const auto& spec = rollout.As<domain::RolloutSpec>();
    const std::string& name = subject_kind == Kind::kModel ? spec.model : spec.flag;
    if (name == subject && rollout.status.has_value() && domain::IsActive(*rollout.status))
      found = &rollout;
  });
  return found;
}

double ConfiguredPercentage(const Resource& flag, const World& world) {
  const domain::FlagEntry entry = domain::FlagEntryOf(flag, ForEachOf(world.catalog));
  return entry.enabled && !entry.rolled_back ? PercentageOf(flag, world) : 0;
}

bool IsFaultActive(const domain::Fault& fault, int64_t now_wall_ms) {
  const Result<int64_t> expires = ParseTimeMs(fault.expires);
  return expires.ok() && *expires > now_wall_ms;
}

void HideHash(Json& document) {
  if (!document.is_object() || !document.contains("spec")) return;
  Json& spec = document["spec"];
  if (spec.contains("hash") && spec["hash"].is_string())
    spec["hash"] = domain::ShortHash(spec["hash"].get_ref<const std::string&>());
}

Json ViewOf(const Resource& resource, const World& world) {
  Json json = codec::ResourceToJson(resource);
  switch (resource.kind) {
    case Kind::kFlag:
      json["status"] = FlagStatus(resource, world);
      break;
    case Kind::kModel:
      json["status"] = ModelStatus(resource, world);
      break;
    case Kind::kRollout:
      json["status"] = RolloutStatusView(resource, world);
      break;
    case Kind::kExperiment:
    case Kind::kEmergency:
    case Kind::kObservability:
    case Kind::kSilence:
      break;
    case Kind::kLimit:
      json["status"] = LimitStatus(resource, world.clock.WallMs());
      break;
    case Kind::kPolicy:
      if (world.policy_status) json["status"] = world.policy_status(resource.name);
      break;
    case Kind::kSink:
      if (world.sink_status) json["status"] = world.sink_status(resource.name);
      break;
    case Kind::kToken:
      HideHash(json);
      break;
  }
  return json;
}

}  // namespace weir::control::api
