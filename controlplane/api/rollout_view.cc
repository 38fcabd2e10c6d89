// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/rollout_view.h"

#include <utility>

#include "shared/codec/domain_fields.h"

namespace weir::control::api {
namespace {

using codec::Json;

template <class T>
void SetIfThere(Json& json, const char* name, const std::optional<T>& value) {
  if (value.has_value()) json[name] = *value;
}

void SetUnlessEmpty(Json& json, const char* name, const std::string& text) {
  if (!text.empty()) json[name] = text;
}

Json ToJson(const rollout::PhaseView& phase) {
  Json json = {{"name", phase.name},
               {"percentage", phase.percentage},
               {"mode", phase.mode},
               {"state", phase.state}};
  if (phase.since_wall_ms != 0) json["since"] = FormatTimeMs(phase.since_wall_ms);
  if (phase.state == "current") json["age_ms"] = phase.age_ms;
  return json;
}

Json ToJson(const rollout::GateView& gate) {
  Json json = {{"name", gate.name}, {"type", gate.type}, {"state", gate.state}};
  if (gate.since_wall_ms != 0) json["since"] = FormatTimeMs(gate.since_wall_ms);
  SetUnlessEmpty(json, "reason", gate.reason);
  return json;
}

Json ToJson(const rollout::NodeShareView& share) {
  return {{"node", share.node.empty() ? "other nodes" : share.node},
          {"requests", share.requests},
          {"bad", share.bad},
          {"share", share.share}};
}

Json ToJson(const analysis::TriggerView& trigger) {
  Json json = {{"name", trigger.name},
               {"metric", trigger.metric},
               {"family", trigger.family},
               {"comparison", trigger.comparison},
               {"threshold", trigger.threshold},
               {"action", trigger.action},
               {"severity", trigger.severity},
               {"exceeded", trigger.is_exceeded},
               {"evidence_ratio", trigger.evidence_ratio},
               {"firing", trigger.is_firing}};
  SetIfThere(json, "canary", trigger.canary);
  SetIfThere(json, "stable", trigger.stable);
  SetUnlessEmpty(json, "needs", trigger.needs);
  SetUnlessEmpty(json, "trend", trigger.trend);
  return json;
}

template <class View>
Json ToJson(const std::vector<View>& views) {
  Json array = Json::array();
  for (const View& view : views) array.push_back(ToJson(view));
  return array;
}

Json OutcomesView(const std::map<std::string, analysis::OutcomeStats>& outcomes) {
  Json json = Json::object();
  for (const auto& [metric, stats] : outcomes) {
    Json& row = json[metric];
    row = {{"canary_n", stats.canary_n}, {"stable_n", stats.stable_n}};
    SetIfThere(row, "canary", stats.canary);
    SetIfThere(row, "stable", stats.stable);
  }
  return json;
}

void AddEvidence(const rollout::RolloutView& view, Json& json) {
  const analysis::JudgeSnapshot& judge = view.judge;
  json["stats"] = {{"stable", ArmView(judge.stable)},
                   {"canary", ArmView(judge.canary)},
                   {"worse", judge.worse},
                   {"evidence_ratio", judge.evidence_ratio}};
  json["triggers"] = ToJson(view.triggers);
  if (judge.drift.has_value()) {
    json["drift"] = {{"psi", judge.drift->psi},
                     {"ks", judge.drift->ks},
                     {"canary_values", judge.drift->canary_values},
                     {"stable_values", judge.drift->stable_values}};
  }
  if (!judge.outcomes.empty()) json["outcomes"] = OutcomesView(judge.outcomes);
  if (judge.compared > 0)
    json["shadow"] = {{"compared", judge.compared}, {"differed", judge.differed}};
}

}  // namespace

Json ArmView(const analysis::ArmStats& stats) {
  Json view = {{"requests", stats.requests}, {"bad", stats.bad}};
  SetIfThere(view, "error_rate", stats.error_rate);
  SetIfThere(view, "p50_latency_ms", stats.p50_latency_ms);
  SetIfThere(view, "p95_latency_ms", stats.p95_latency_ms);
  SetIfThere(view, "p99_latency_ms", stats.p99_latency_ms);
  return view;
}

Json RolloutStatusView(const domain::Resource& rollout, const World& world) {
  const auto& spec = rollout.As<domain::RolloutSpec>();
  const Result<rollout::RolloutView> view = world.rollouts.View(rollout.name);
  const domain::RolloutStatus status =
      view.ok() ? view->status : rollout.status.value_or(domain::RolloutStatus{});
  Json json = codec::ToJson(status);
  if (status.phase < spec.phases.size()) json["phase_name"] = spec.phases[status.phase].name;
  if (!view.ok()) return json;
  json["phase_age_ms"] = view->phase_age_ms;
  json["phase_requests"] = view->phase_requests;
  json["share"] = {{"desired", status.percentage}};
  SetIfThere(json["share"], "actual", view->actual_percentage);
  json["nodes"] = {{"live", view->live_nodes}, {"applied", view->applied_nodes}};
  json["quorum"] = {{"min_nodes", view->quorum.min_nodes},
                    {"max_node_share", view->quorum.max_node_share},
                    {"nodes", view->shares.size()},
                    {"counted_requests", view->counted_requests},
                    {"by_node", ToJson(view->shares)}};
  SetUnlessEmpty(json["quorum"], "alone", view->alone);
  json["phases"] = ToJson(view->phases);
  json["gates"] = ToJson(view->gates);
  AddEvidence(*view, json);
  return json;
}

}  // namespace weir::control::api
