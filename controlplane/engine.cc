// SPDX-License-Identifier: Apache-2.0
#include "controlplane/engine.h"

#include <fmt/format.h>

#include <set>
#include <utility>
#include <vector>

#include "controlplane/catalog/schedule.h"
#include "controlplane/publish/nodes.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/codec/json.h"
#include "shared/wire/digest.h"

namespace weir::control {
namespace {

using codec::Json;

constexpr char kRolloutState[] = "rollouts";

rollout::NodeFacts FactsOf(const publish::NodeStatus& node, uint64_t epoch, int64_t to_wall_ms) {
  rollout::NodeFacts facts;
  facts.id = node.id;
  facts.labels = node.labels;
  facts.live = node.IsLive();
  facts.incarnation = node.incarnation;
  facts.applied_version = node.epoch == epoch ? node.version : 0;
  if (!node.applied.empty()) facts.applied_wall_ms = node.applied.back().at_ms + to_wall_ms;
  for (const wire::VersionReport& version : node.versions) {
    facts.versions.push_back({version.model, version.version, version.state, version.detail});
  }
  for (const wire::RefusedEntry& entry : node.refused) {
    const auto kind = static_cast<domain::EntryKind>(entry.kind);
    if (kind == domain::EntryKind::kSplit) facts.refused_splits[entry.name] = entry.detail;
    if (kind == domain::EntryKind::kModel || kind == domain::EntryKind::kFlag)
      facts.refused_subjects[fmt::format("{}/{}", domain::EntryKindName(kind), entry.name)] =
          entry.detail;
  }
  for (const wire::Episode& episode : node.episodes) {
    facts.episodes.push_back(
        {episode.kind, episode.subject, episode.from_wall_ms, episode.to_wall_ms, episode.detail});
  }
  return facts;
}

// Who says goodbye, or is refused, is gone at once; who falls silent only after a while.
bool HasLeft(const publish::NodeStatus& node, bool had_left, int64_t now_ms) {
  if (node.IsLive()) return false;
  return had_left || !node.problem.empty() || now_ms - node.last_seen_ms < publish::kGoneAfterMs;
}

}  // namespace

Status Engine::Open(const std::string& data_dir) {
  WEIR_ASSIGN_OR_RETURN(store_, store::Store::Open(data_dir, clock_));
  catalog_ = std::make_unique<catalog::Catalog>(*store_, clock_);
  WEIR_RETURN_IF_ERROR(catalog_->Load());
  ledger_ = std::make_unique<ingest::Ledger>(
      *store_, clock_,
      [this](const std::string& name) { return catalog_->Find(domain::Kind::kFlag, name); },
      [this](const std::string& name) { return catalog_->FlagDigest(name); });
  WEIR_ASSIGN_OR_RETURN(committed_, ledger_->Load());
  WEIR_ASSIGN_OR_RETURN(epoch_, store_->NextEpoch(clock_.WallMs() / 1000));
  return OkStatus();
}

Status Engine::StartDriver() {
  rollout::Driver::World world;
  world.find = [this](domain::Kind kind, const std::string& name) {
    return catalog_->Find(kind, name);
  };
  world.for_each = [this](domain::Kind kind, const auto& visit) { catalog_->ForEach(kind, visit); };
  world.commit = [this](const rollout::CommitPlan& plan) { return Carry(plan); };
  world.gate = hooks_.gate;
  world.notify = hooks_.notify;
  world.digest = [](const std::string& text) { return wire::Sha256Hex(text).substr(0, 16); };
  driver_ = std::make_unique<rollout::Driver>(std::move(world));
  WEIR_RETURN_IF_ERROR(StartPolicies());
  WEIR_ASSIGN_OR_RETURN(const auto state, store_->LoadStates(kRolloutState));
  const auto saved = state.find(kRolloutState);
  if (saved == state.end()) return OkStatus();
  const auto json = codec::ParseJson(saved->second);
  if (!json.ok()) return DataLoss("the state of rollouts: " + json.status().ToString());
  driver_->LoadState(*json);
  return OkStatus();
}

void Engine::Follow() {
  published_ = catalog_->revision();
  catalog_->SetListener([this](const catalog::Committed& committed) { OnCommitted(committed); });
  TellDriver();
}

Result<uint64_t> Engine::Carry(const rollout::CommitPlan& plan) {
  catalog::CommitRequest request;
  for (const domain::Resource& resource : plan.resources) {
    request.changes.push_back({resource, false, resource.revision});
  }
  request.actor = plan.actor;
  request.reason = plan.reason;
  request.evidence = plan.evidence;
  FoldSchedules();  // a flag of the plan that was due is refused now, and read again next time
  const auto result = catalog_->Commit(request);
  if (!result.ok()) return result.status();
  return result->revision;
}

void Engine::OnCommitted(const catalog::Committed& committed) {
  if (!committed.entries.empty() || committed.emergency_changed) {
    published_ = committed.revision;
    driver_->OnPublished(published_);
  }
  for (const std::string& flag : committed.flags) {
    ledger_->flags().OnChanged(flag, committed.revision, clock_.WallMs());
  }
  hooks_.publish(committed);
  hooks_.post([this] { TellDriver(); });  // not now: the driver may be the one who commits
}

void Engine::OnNodes(std::shared_ptr<const publish::NodesView> view) {
  nodes_ = std::move(view);
  for (const auto& node : nodes_->nodes)
    ledger_->trail().OnEpisodes(node->id, node->incarnation, node->episodes);
  TellDriver();
}

void Engine::OnApplied(const publish::AppliedEvent& event) {
  const int64_t to_wall_ms = clock_.WallMs() - clock_.MonotonicMs();
  ledger_->trail().OnApplied(
      {event.node, event.at_ms + to_wall_ms, epoch_, event.version, Join(event.refused, ", "),
       Json(event.labels).dump(-1, ' ', false, Json::error_handler_t::replace)});
}

void Engine::TellDriver() {
  const int64_t to_wall_ms = clock_.WallMs() - clock_.MonotonicMs();
  std::vector<rollout::NodeFacts> facts;
  std::vector<remedy::NodeFacts> seen;
  std::set<std::string> left;
  for (const auto& node : nodes_->nodes) {
    facts.push_back(FactsOf(*node, epoch_, to_wall_ms));
    if (HasLeft(*node, left_.contains(node->id), clock_.MonotonicMs())) left.insert(node->id);
    const bool is_lost =
        node->state == publish::NodeState::kStale || (!node->IsLive() && !left.contains(node->id));
    seen.push_back({node->id, node->IsLive(), facts.back().applied_version,
                    static_cast<double>(node->memory_bytes), facts.back().versions, is_lost,
                    node->pending_batches});
  }
  left_ = std::move(left);
  driver_->OnNodes(std::move(facts), published_);
  policies_->OnNodes(std::move(seen), published_);
}

void Engine::OnTelemetry(const ingest::TelemetryTick& tick) {
  ledger_->Add(tick);
  for (const ingest::ShownDecision& decision : tick.decisions) {
    if (catalog_->Find(domain::Kind::kFlag, decision.sample.flag) != nullptr)
      hooks_.show_decision(decision);
  }
  driver_->OnTelemetry(tick.live, tick.by_node, clock_.MonotonicMs(), clock_.WallMs());
  policies_->OnTelemetry(tick.live, clock_.MonotonicMs());
  std::set<std::string> heard;
  for (const auto& [origin, high_water] : tick.high_waters) heard.insert(origin.node);
  policies_->OnBatches(heard, clock_.MonotonicMs());
}

void Engine::Tick() {
  bool acted = driver_->Tick(clock_.MonotonicMs(), clock_.WallMs());
  if (clock_.MonotonicMs() - looked_ms_ >= kPoliciesMs) {
    looked_ms_ = clock_.MonotonicMs();
    acted |= policies_->Tick(looked_ms_, clock_.WallMs());
  }
  if (acted || ledger_->IsDue()) CommitTelemetry();
}

void Engine::CommitTelemetry() {
  const auto text = [](const Json& state) {
    return state.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  const auto stored = ledger_->Commit(
      {{kRolloutState, text(driver_->SaveState())}, {kPolicyState, text(policies_->SaveState())}});
  if (!stored.ok() && last_commit_.ok())
    Log("ingest").error("telemetry waits: {}", stored.status().ToString());
  last_commit_ = stored.status();
  if (stored.ok() && !stored->empty()) hooks_.acknowledge(*stored);
}

void Engine::DeleteOldSilences() {
  catalog::CommitRequest request;
  request.changes = catalog::OldSilences(*catalog_, clock_.WallMs());
  if (request.changes.empty()) return;
  request.actor = "system";
  request.reason = "ended more than " + FormatDurationMs(catalog::kKeepEndedSilencesMs) + " ago";
  const auto result = catalog_->Commit(request);
  if (!result.ok()) Log("control").error("old silences stay: {}", result.status().ToString());
}

void Engine::FoldSchedules() {
  const int64_t now_ms = clock_.WallMs();
  std::string failed;
  for (catalog::Change& change : catalog::DueSchedules(*catalog_, now_ms)) {
    const std::string name = change.resource.name;
    const auto& before = catalog_->Find(domain::Kind::kFlag, name)->As<domain::FlagSpec>().schedule;
    const size_t due = before.size() - change.resource.As<domain::FlagSpec>().schedule.size();
    catalog::CommitRequest request;
    request.actor = "schedule";
    request.reason = "scheduled change of " + FormatTimeMs(before[due - 1].at.ms);
    request.changes.push_back(std::move(change));
    const auto result = catalog_->Commit(request);
    if (result.ok()) {
      Log("control").info("flag {}: {} (revision {})", name, request.reason, result->revision);
    } else {
      failed += fmt::format("{}flag {}: {}", failed.empty() ? "" : "; ", name,
                            result.status().ToString());
    }
  }
  if (!failed.empty() && schedule_failure_ != failed)
    Log("control").error("a scheduled change cannot be written down: {}", failed);
  if (schedule_failure_.empty()) schedule_failed_wall_ms_ = now_ms;
  schedule_failure_ = std::move(failed);
}

}  // namespace weir::control
