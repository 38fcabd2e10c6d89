// SPDX-License-Identifier: Apache-2.0
// What policies see of the rest: resources, rollouts, stored telemetry, and the flags that gate
// them.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "controlplane/engine.h"
#include "shared/codec/json.h"
#include "shared/decision/decide.h"
#include "shared/domain/entries.h"

namespace weir::control {
namespace {

using codec::Json;
using domain::Kind;
using domain::Resource;

constexpr char kGateKey[] = "control";
constexpr char kGates[] = "qos_monitor";
constexpr int64_t kDayMs = 86'400'000;

const ingest::History::Tier& Stored(bool hours) { return ingest::History::kTiers[hours ? 3 : 2]; }

// The flags called qos_monitor and qos_monitor.…, what they require, and their rollouts.
std::unique_ptr<const decision::Ruleset> GatesOf(const catalog::Catalog& catalog) {
  const domain::ForEach for_each = [&](Kind kind, const auto& visit) {
    catalog.ForEach(kind, visit);
  };
  auto rules = std::make_unique<decision::Ruleset>();
  rules->epoch = 1;
  std::vector<std::string> names;
  catalog.ForEach(Kind::kFlag, [&](const Resource& flag) {
    if (flag.name == kGates || flag.name.starts_with(std::string(kGates) + "."))
      names.push_back(flag.name);
  });
  std::set<std::string> known;
  while (!names.empty()) {
    const std::string name = std::move(names.back());
    names.pop_back();
    const Resource* flag = catalog.Find(Kind::kFlag, name);
    if (flag == nullptr || !known.insert(name).second) continue;
    domain::FlagEntry entry = domain::FlagEntryOf(*flag, for_each);
    names.insert(names.end(), entry.parents.begin(), entry.parents.end());
    rules->Set(std::move(entry));
  }
  catalog.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    if (!known.contains(rollout.As<domain::RolloutSpec>().flag)) return;
    if (auto split = domain::SplitEntryOf(rollout)) rules->Set(*std::move(split));
  });
  const domain::EmergencySpec emergency = catalog.emergency();
  rules->emergency.kill_switch = emergency.kill_switch;
  rules->emergency.baseline = emergency.rollback_to_baseline;
  return rules;
}

// The documents' `executor: {dry_run: true}` is a setting of that feature, which its flag carries
// in its metadata.
bool RehearsesByMetadata(const catalog::Catalog& catalog) {
  const Resource* executor = catalog.Find(Kind::kFlag, remedy::kGateExecutor);
  if (executor == nullptr) return false;
  const auto metadata = codec::ParseJson(executor->As<domain::FlagSpec>().metadata.text);
  if (!metadata.ok() || !metadata->is_object()) return false;
  const auto dry_run = metadata->find("dry_run");
  return dry_run != metadata->end() && *dry_run == true;
}

}  // namespace

// Anybody may name a tenant in a header; only what an objective is about is worth a history.
bool Engine::IsKept(const telemetry::SeriesKey& key) {
  constexpr std::string_view kPrefix = telemetry::kTenantSubject;
  if (!key.subject.starts_with(kPrefix)) return true;
  if (tenants_revision_ != catalog_->revision()) {
    tenants_.clear();
    catalog_->ForEach(Kind::kPolicy, [&](const Resource& policy) {
      for (const domain::SloSpec& slo : policy.As<domain::PolicySpec>().slos) {
        if (!slo.tenant.empty()) tenants_.insert(slo.tenant);
      }
    });
    tenants_revision_ = catalog_->revision();
  }
  const std::string rest = key.subject.substr(kPrefix.size());
  return tenants_.contains(rest.substr(0, rest.find('/')));
}

bool Engine::IsGateOn(const std::string& flag, bool fallback) {
  if (catalog_->Find(Kind::kFlag, flag) == nullptr)
    return (flag == remedy::kGateDryRun && RehearsesByMetadata(*catalog_)) || fallback;
  if (gates_ == nullptr || gates_revision_ != catalog_->revision()) {
    gates_ = GatesOf(*catalog_);
    gates_revision_ = catalog_->revision();
  }
  // An emergency switches features off; that nothing acts is none.
  const domain::EmergencyOverlay& emergency = gates_->emergency;
  if (flag == remedy::kGateDryRun && (emergency.kill_switch || emergency.baseline)) return true;
  return decision::DecideFlag(
             *gates_, flag,
             {.key = kGateKey, .random = 0, .now_wall_ms = clock_.WallMs(), .context = {}})
      .enabled;
}

remedy::Driver::World Engine::PoliciesWorld() {
  remedy::Driver::World world;
  world.find = [this](Kind kind, const std::string& name) { return catalog_->Find(kind, name); };
  world.for_each = [this](Kind kind, const auto& visit) { catalog_->ForEach(kind, visit); };
  world.commit = [this](const rollout::CommitPlan& plan) { return Carry(plan); };
  world.obey = [this](const std::string& rollout, const rollout::Command& command) {
    return driver_->Obey(rollout, command, clock_.WallMs());
  };
  world.is_on = [this](const std::string& flag, bool fallback) { return IsGateOn(flag, fallback); };
  world.observe = hooks_.observe;
  world.notify = hooks_.notify;
  world.past = [this](const std::string& subject, int64_t from_wall_ms, bool hours,
                      const remedy::Driver::World::VisitPast& visit) {
    const ingest::History::Tier& tier = Stored(hours);
    ledger_->history().ForEach(tier, from_wall_ms, clock_.WallMs() + 1,
                               [&](int64_t start_ms, const telemetry::Window& window) {
                                 for (auto at = window.lower_bound({subject, "", ""});
                                      at != window.end() && at->first.subject == subject; ++at) {
                                   visit(start_ms, tier.step_ms, at->first, at->second);
                                 }
                               });
  };
  return world;
}

Status Engine::StartPolicies() {
  ledger_->KeepOnly([this](const telemetry::SeriesKey& key) { return IsKept(key); });
  policies_ = std::make_unique<remedy::Driver>(PoliciesWorld());
  WEIR_ASSIGN_OR_RETURN(const auto state, store_->LoadStates(kPolicyState));
  const auto saved = state.find(kPolicyState);
  if (saved == state.end()) return OkStatus();
  const auto json = codec::ParseJson(saved->second);
  if (!json.ok()) return DataLoss("the state of policies: " + json.status().ToString());
  policies_->LoadState(*json, clock_.MonotonicMs(), clock_.WallMs());
  return OkStatus();
}

Result<remedy::BacktestInput> Engine::BacktestOf(const std::string& policy, int64_t from_wall_ms,
                                                 int64_t to_wall_ms) const {
  const Resource* resource = catalog_->Find(Kind::kPolicy, policy);
  if (resource == nullptr) return NotFound(fmt::format("there is no policy \"{}\"", policy));
  if (from_wall_ms >= to_wall_ms) return InvalidArgument("from", "is not before to");
  const int64_t now_ms = clock_.WallMs();
  const int64_t kept_ms = ingest::History::kTiers.back().keep_ms;
  if (from_wall_ms < now_ms - kept_ms) {
    return InvalidArgument(
        "from",
        fmt::format("is more than {} days ago, and older telemetry is not kept", kept_ms / kDayMs));
  }
  remedy::BacktestInput input;
  input.policy = *resource;
  input.from_wall_ms = from_wall_ms;
  input.to_wall_ms = std::min(to_wall_ms, now_ms);
  const auto& spec = resource->As<domain::PolicySpec>();
  // What it looks at, and what throttling takes a part of.
  std::set<std::string> subjects;
  for (const domain::RemediationSpec& remediation : spec.remediations)
    subjects.insert("model/" + remediation.target);
  for (const Kind kind : {Kind::kModel, Kind::kLimit, Kind::kFlag, Kind::kRollout}) {
    catalog_->ForEach(kind, [&](const Resource& r) {
      input.resources.push_back(r);
      if (kind != Kind::kModel) return;
      for (const domain::SloSpec& slo : spec.slos) {
        if (slo.model.empty() ? !domain::Selects(spec.selector, r.labels) : slo.model != r.name)
          continue;
        subjects.insert("model/" + r.name);
        if (!slo.tenant.empty()) subjects.insert("tenant/" + slo.tenant + "/" + r.name);
      }
    });
  }
  input.live_nodes = std::max<size_t>(1, nodes_->LiveCount());
  const ingest::History::Tier& tier = ledger_->history().FinestSince(from_wall_ms, now_ms);
  input.step_ms = tier.step_ms;
  ledger_->history().ForEach(tier, from_wall_ms, input.to_wall_ms,
                             [&](int64_t start_ms, const telemetry::Window& window) {
                               telemetry::Window copy;
                               for (const std::string& subject : subjects) {
                                 for (auto at = window.lower_bound({subject, "", ""});
                                      at != window.end() && at->first.subject == subject; ++at) {
                                   copy.insert(*at);
                                 }
                               }
                               input.windows.emplace_back(start_ms, std::move(copy));
                             });
  return input;
}

}  // namespace weir::control
