// SPDX-License-Identifier: Apache-2.0
// What people want to hear of while a rollout runs, each thing once, not at every tick.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "controlplane/rollout/driver.h"
#include "controlplane/rollout/gates.h"
#include "controlplane/rollout/rollback.h"

namespace weir::control::rollout {
namespace {

using codec::Json;
using domain::Resource;
using domain::RolloutSpec;

constexpr int64_t kLookEveryMs = 1000;
constexpr int64_t kTellAgainMs = 600'000;
constexpr int64_t kGateSettlesMs = 5000;  // a gate that swings is told of no more often
constexpr int64_t kIncompleteAfterMs = 5000;
constexpr int64_t kIncompleteEveryMs = 60'000;
constexpr double kDriftPsi = 0.2;  // "a significant shift" by the usual reading of the index

}  // namespace

void Driver::Notify(const std::string& type, const std::string& severity, Json data) const {
  if (world_.notify) world_.notify(type, severity, std::move(data));
}

bool Driver::IsNews(Run& run, const std::string& what, int64_t every_ms, int64_t now_ms) {
  const auto [told, is_first] = run.told.try_emplace(what, now_ms);
  if (is_first) return true;
  if (now_ms - told->second < every_ms) return false;
  told->second = now_ms;
  return true;
}

void Driver::TellGates(const Resource& rollout, Run& run, int64_t now_ms) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const domain::Phase& phase = spec.phases[run.phase];
  for (size_t i = 0; i < run.gates.size(); ++i) {
    GateMemory& gate = run.gates[i];
    if (gate.state == gate.told) continue;
    const bool is_urgent = gate.state == "failed" || gate.told_ms == 0;
    if (!is_urgent && now_ms - gate.told_ms < kGateSettlesMs) continue;
    Notify("gate", gate.state == "failed" ? "warning" : "info",
           {{"rollout", rollout.name},
            {"phase", phase.name},
            {"gate", GateName(phase.gates[i])},
            {"type", phase.gates[i].type},
            {"from", gate.told},
            {"to", gate.state},
            {"reason", gate.reason}});
    gate.told = gate.state;
    gate.told_ms = now_ms;
  }
}

// Trends of triggers, and drift of outputs.
void Driver::TellTrends(const Resource& rollout, Run& run, int64_t now_ms) const {
  if (run.looked_ms != 0 && now_ms - run.looked_ms < kLookEveryMs) return;
  run.looked_ms = now_ms;
  for (const analysis::TriggerView& trigger : run.judge.Triggers()) {
    if (trigger.trend.empty()) continue;
    if (!IsNews(run, "trend " + trigger.name, kTellAgainMs, now_ms)) continue;
    Notify("rollout_trend", "warning",
           {{"rollout", rollout.name},
            {"trigger", trigger.name},
            {"metric", trigger.metric},
            {"trend", trigger.trend}});
  }
  const std::optional<analysis::Drift> drift = run.judge.Snapshot().drift;
  const bool is_drift = drift && drift->psi > kDriftPsi &&
                        std::min(drift->canary_values, drift->stable_values) >=
                            analysis::kDriftMinOutputs;  // fewer have a noise of that size
  if (!is_drift || !IsNews(run, "drift", kTellAgainMs, now_ms)) return;
  Notify("drift", "warning",
         {{"rollout", rollout.name},
          {"psi", drift->psi},
          {"ks", drift->ks},
          {"canary_values", drift->canary_values},
          {"stable_values", drift->stable_values}});
}

// The judge tells of its own alerts; of a failure nobody measures it does not know.
void Driver::TellFailure(const Resource& rollout, Run& run, const Evidence& evidence,
                         int64_t now_ms) const {
  if (evidence.system_failure.empty() || rollout.status->state == "rolling_back") return;
  if (ActionOnFailure(rollout.As<RolloutSpec>()) != "alert") return;
  if (!IsNews(run, "alert system_failure", kTellAgainMs, now_ms)) return;
  Notify("rollout_alert", "warning",
         {{"rollout", rollout.name},
          {"trigger", "system_failure"},
          {"detail", evidence.system_failure}});
}

// What holds a phase though no trigger fires.
void Driver::TellHeld(const Resource& rollout, Run& run, const Evidence& evidence,
                      int64_t now_ms) const {
  if (rollout.status->state == "rolling_back") return;
  for (const auto& [trigger, detail] : {std::pair("turned_away", &evidence.turned_away),
                                        std::pair("hidden_by_one_node", &evidence.hidden_by),
                                        std::pair("refused_by_node", &evidence.frozen_by)}) {
    if (detail->empty() || !IsNews(run, std::string("alert ") + trigger, kTellAgainMs, now_ms))
      continue;
    Notify("rollout_alert", "warning",
           {{"rollout", rollout.name}, {"trigger", trigger}, {"detail", *detail}});
  }
}

void Driver::TellIncomplete(const Resource& rollout, Run& run, const Evidence& evidence,
                            int64_t now_ms) const {
  const domain::RolloutStatus& status = *rollout.status;
  if (status.state != "rolling_back" || status.percentage > 0) return;
  if (run.rollback_age_ms < kIncompleteAfterMs || evidence.missing_nodes.empty()) return;
  if (!IsNews(run, "incomplete", kIncompleteEveryMs, now_ms)) return;
  Notify("rollback_incomplete", "critical",
         {{"rollout", rollout.name},
          {"applied", evidence.applied_nodes},
          {"live", evidence.live_nodes},
          {"missing", evidence.missing_nodes},
          {"since_ms", run.rollback_age_ms}});
}

// Breakers and unwatched canaries, from what nodes report of themselves: the beginning and the end
// of each, also when they are heard of afterwards.
void Driver::TellEpisodes() {
  for (const NodeFacts& node : nodes_) {
    if (node.episodes.empty()) continue;
    const auto known = heard_wall_ms_.find(node.id);
    const int64_t heard = known == heard_wall_ms_.end() ? 0 : known->second;
    int64_t latest = heard;
    for (const NodeFacts::Episode& episode : node.episodes) {
      if (episode.kind != "breaker" && episode.kind != "unwatched") continue;
      latest = std::max({latest, episode.from_wall_ms, episode.to_wall_ms});
      const bool has_ended = episode.to_wall_ms != 0;
      if ((has_ended ? episode.to_wall_ms : episode.from_wall_ms) <= heard) continue;
      Json data = {{"node", node.id},
                   {"subject", episode.subject},
                   {"state", has_ended ? "ended" : "began"},
                   {"from_ms", episode.from_wall_ms},
                   {"detail", episode.detail}};
      if (has_ended) data["lasted_ms"] = episode.to_wall_ms - episode.from_wall_ms;
      Notify(episode.kind, has_ended ? "info" : "warning", std::move(data));
    }
    if (latest != heard) heard_wall_ms_[node.id] = latest;
  }
}

}  // namespace weir::control::rollout
