// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/status_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "controlplane/api/rollout_view.h"
#include "shared/base/build_info.h"
#include "shared/codec/domain_fields.h"
#include "shared/domain/sink.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;
using domain::Resource;

constexpr int64_t kRecentMs = 24 * 3'600'000LL;
constexpr size_t kMaxMalformed = 10;

std::string SubjectOf(const domain::RolloutSpec& spec) {
  return spec.model.empty() ? "flag/" + spec.flag : "model/" + spec.model;
}

void AddEmergencyProblems(const World& world, std::vector<Problem>& out) {
  const Resource* resource = world.catalog.Find(Kind::kEmergency, "default");
  if (resource == nullptr) return;
  const domain::EmergencySpec spec = world.catalog.emergency();
  const std::string evidence = "set by " + resource->updated_by;
  const auto add = [&](const char* severity, const char* what, const char* command) {
    out.push_back({severity, what, resource->updated_at.ms, evidence,
                   fmt::format("weir emergency {} off", command)});
  };
  if (spec.kill_switch) add("critical", "the kill switch is on: every flag is off", "kill-switch");
  if (spec.rollback_to_baseline)
    add("critical", "rollback to baseline is on: only stable versions answer", "baseline");
  if (spec.freeze) add("warning", "rollouts are frozen", "freeze");
}

void AddRolloutProblems(const Resource& rollout, const World& world, std::vector<Problem>& out) {
  const Result<rollout::RolloutView> view = world.rollouts.View(rollout.name);
  if (!view.ok()) return;
  const domain::RolloutStatus& status = view->status;
  const std::string verdict =
      status.last_verdict.has_value() ? status.last_verdict->evidence : "by hand";
  const std::string& name = rollout.name;
  if (status.state == "frozen") {
    out.push_back({"warning", fmt::format("rollout {} is frozen", name), status.since.ms,
                   status.waiting_for, fmt::format("weir rollout show {}", name)});
  } else if (status.state == "paused") {
    out.push_back({"info", fmt::format("rollout {} is paused", name), status.since.ms,
                   status.waiting_for, fmt::format("weir rollout resume {}", name)});
  } else if (status.state == "rolling_back") {
    const bool is_incomplete = status.percentage == 0 && view->applied_nodes < view->live_nodes;
    out.push_back({"critical",
                   is_incomplete ? fmt::format("rollback of {} is incomplete: {}/{} nodes", name,
                                               view->applied_nodes, view->live_nodes)
                                 : fmt::format("rollout {} is rolling back", name),
                   status.since.ms, verdict,
                   is_incomplete ? "weir node list" : "weir rollout status " + name});
  } else if (status.state == "rolled_back" && world.clock.WallMs() - status.since.ms < kRecentMs) {
    out.push_back({"warning", fmt::format("rollout {} was rolled back", name), status.since.ms,
                   verdict, fmt::format("weir describe rollout/{}", name)});
  } else if (status.waiting_for.find("approv") != std::string::npos) {
    out.push_back({"info", fmt::format("rollout {} waits for approval", name), status.since.ms,
                   status.waiting_for, fmt::format("weir rollout approve {}", name)});
  }
}

void AddFaultProblems(const Resource& model, const World& world, std::vector<Problem>& out) {
  for (const auto& [name, version] : model.As<domain::ModelSpec>().versions) {
    if (!version.fault.has_value() || !IsFaultActive(*version.fault, world.clock.WallMs()))
      continue;
    out.push_back({"info", fmt::format("{} {} rehearses a fault", model.name, name),
                   model.updated_at.ms,
                   fmt::format("error rate {}, delay {}, until {}", version.fault->error_rate,
                               FormatDurationMs(version.fault->delay.ms), version.fault->expires),
                   fmt::format("weir undo model/{}", model.name)});
  }
}

// A file that is edited badly is applied, and the flag answers errors from then on.
void AddMalformedFlags(const World& world, std::vector<Problem>& out) {
  size_t count = 0;
  world.catalog.ForEach(Kind::kFlag, [&](const Resource& flag) {
    const std::string& reason = flag.As<domain::FlagSpec>().malformed;
    if (reason.empty() || ++count > kMaxMalformed) return;
    out.push_back({"warning", fmt::format("flag {} is malformed: {}", flag.name, reason),
                   flag.updated_at.ms, "set by " + flag.updated_by,
                   fmt::format("weir flag show {}", flag.name)});
  });
  if (count <= kMaxMalformed) return;
  out.push_back({"warning", fmt::format("and {} more flags are malformed", count - kMaxMalformed),
                 0, "", "weir flag list"});
}

int Rank(const Problem& problem) { return -domain::SeverityRank(problem.severity); }

Json ProblemView(const Problem& problem) {
  Json since;
  if (problem.since_wall_ms != 0) since = FormatTimeMs(problem.since_wall_ms);
  return {{"severity", problem.severity},
          {"what", problem.what},
          {"since", std::move(since)},
          {"evidence", problem.evidence},
          {"remedy", problem.remedy}};
}

Json NodesSummary(const publish::NodesView& view, uint64_t version) {
  std::map<std::string, int> states;
  Json behind = Json::array();
  for (const auto& node : view.nodes) {
    ++states[publish::NodeStateName(node->state)];
    if (node->IsLive() && node->version < version) behind.push_back(node->id);
  }
  return {{"total", view.nodes.size()},
          {"live", view.LiveCount()},
          {"applied", view.AppliedCount(version)},
          {"states", states},
          {"behind", std::move(behind)}};
}

Json ActiveRollouts(const World& world) {
  Json rollouts = Json::array();
  world.catalog.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    if (rollout.status.has_value() && !domain::IsActive(*rollout.status) &&
        rollout.status->state != "pending")
      return;
    Json row = {{"name", rollout.name}, {"subject", SubjectOf(rollout.As<domain::RolloutSpec>())}};
    const Json status = RolloutStatusView(rollout, world);
    for (const char* field :
         {"state", "phase", "phase_name", "percentage", "since", "waiting_for", "last_verdict"}) {
      if (status.contains(field)) row[field] = status[field];
    }
    rollouts.push_back(std::move(row));
  });
  return rollouts;
}

Json EmergencyView(const World& world) {
  const domain::EmergencySpec spec = world.catalog.emergency();
  Json view = {{"kill_switch", spec.kill_switch},
               {"rollback_to_baseline", spec.rollback_to_baseline},
               {"freeze", spec.freeze}};
  const Resource* resource = world.catalog.Find(Kind::kEmergency, "default");
  if (resource != nullptr && resource->revision != 0) {
    view["since"] = FormatTimeMs(resource->updated_at.ms);
    view["by"] = resource->updated_by;
  }
  return view;
}

// Differences of the canary to the baseline; only what both arms have.
Json Deltas(const analysis::ArmStats& stable, const analysis::ArmStats& canary) {
  Json deltas = Json::object();
  const auto difference = [&](const char* name, const auto& a, const auto& b) {
    if (a.has_value() && b.has_value()) deltas[name] = *b - *a;
  };
  difference("error_rate", stable.error_rate, canary.error_rate);
  difference("p50_latency_ms", stable.p50_latency_ms, canary.p50_latency_ms);
  difference("p95_latency_ms", stable.p95_latency_ms, canary.p95_latency_ms);
  difference("p99_latency_ms", stable.p99_latency_ms, canary.p99_latency_ms);
  if (stable.p95_latency_ms.value_or(0) > 0 && canary.p95_latency_ms.has_value()) {
    deltas["performance_degradation"] =
        std::max(0.0, *canary.p95_latency_ms / *stable.p95_latency_ms - 1);
  }
  return deltas;
}

std::pair<std::string, std::string> HealthOf(const rollout::RolloutView& view) {
  const domain::RolloutStatus& status = view.status;
  if (status.state == "rolling_back" || status.state == "rolled_back") {
    return {status.state, status.last_verdict.has_value() ? status.last_verdict->evidence
                                                          : "rolled back by hand"};
  }
  if (!domain::IsActive(status)) return {"idle", status.state};
  if (view.judge.worse) return {"degraded", "the canary's errors are worse than stable's"};
  if (view.judge.canary.requests == 0) return {"unknown", "the canary has had no requests yet"};
  return {"healthy", status.waiting_for};
}

Json CanaryHealthOf(const Resource& rollout, const World& world) {
  const auto& spec = rollout.As<domain::RolloutSpec>();
  const Result<rollout::RolloutView> view = world.rollouts.View(rollout.name);
  if (!view.ok()) return {{"rollout", rollout.name}, {"enabled", false}, {"health", "unknown"}};
  const domain::RolloutStatus& status = view->status;
  const analysis::ArmStats& stable = view->judge.stable;
  const analysis::ArmStats& canary = view->judge.canary;
  Json actual;
  if (view->actual_percentage.has_value()) actual = *view->actual_percentage;
  Json baseline_view = ArmView(stable);
  Json canary_view = ArmView(canary);
  canary_view["version"] = spec.model.empty() ? "on" : spec.candidate;
  if (const Resource* model = world.catalog.Find(Kind::kModel, spec.model))
    baseline_view["version"] = model->As<domain::ModelSpec>().stable;
  const auto [health, reason] = HealthOf(*view);
  const Json said_twice = {{"enabled", status.percentage > 0},
                           {"percentage", status.percentage},
                           {"baseline", std::move(baseline_view)},
                           {"deltas", Deltas(stable, canary)},
                           {"health", health}};
  canary_view.update(said_twice);
  Json json = {{"rollout", rollout.name},
               {"subject", SubjectOf(spec)},
               {"state", status.state},
               {"phase", status.phase < spec.phases.size() ? spec.phases[status.phase].name : ""},
               {"actual_percentage", std::move(actual)},
               {"canary", std::move(canary_view)},
               {"reason", reason}};
  json.update(said_twice);
  return json;
}

// Which of two rollouts is shown first: what is wrong, then what runs.
int Attention(const Json& health) {
  const std::string state = health["health"];
  const bool enabled = health["enabled"];
  if (state == "degraded") return 0;
  if (enabled) return 1;
  return state == "rolled_back" ? 2 : 3;
}

}  // namespace

std::vector<Problem> ResourceProblems(const World& world) {
  std::vector<Problem> problems;
  AddEmergencyProblems(world, problems);
  world.catalog.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    AddRolloutProblems(rollout, world, problems);
  });
  world.catalog.ForEach(Kind::kModel,
                        [&](const Resource& model) { AddFaultProblems(model, world, problems); });
  AddMalformedFlags(world, problems);
  return problems;
}

Json StatusView(const World& world, uint64_t version, uint64_t epoch,
                std::vector<Problem> problems) {
  std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return Rank(a) != Rank(b) ? Rank(a) < Rank(b) : a.since_wall_ms > b.since_wall_ms;
  });
  Json rows = Json::array();
  for (const Problem& problem : problems) rows.push_back(ProblemView(problem));
  return {{"head", world.catalog.revision()},
          {"version", version},
          {"epoch", epoch},
          {"build", BuildVersion()},
          {"now", FormatTimeMs(world.clock.WallMs())},
          {"nodes", NodesSummary(*world.nodes, version)},
          {"rollouts", ActiveRollouts(world)},
          {"emergency", EmergencyView(world)},
          {"problems", std::move(rows)}};
}

Result<Json> CanaryHealthView(const World& world, const std::string& rollout) {
  if (!rollout.empty()) {
    const Resource* found = world.catalog.Find(Kind::kRollout, rollout);
    if (found == nullptr) return NoSuchResource(world.catalog, Kind::kRollout, rollout);
    return CanaryHealthOf(*found, world);
  }
  std::vector<Json> all;
  world.catalog.ForEach(Kind::kRollout, [&](const Resource& resource) {
    all.push_back(CanaryHealthOf(resource, world));
  });
  std::stable_sort(all.begin(), all.end(),
                   [](const Json& a, const Json& b) { return Attention(a) < Attention(b); });
  Json view = {{"enabled", false},
               {"percentage", 0.0},
               {"actual_percentage", nullptr},
               {"baseline", nullptr},
               {"canary", nullptr},
               {"deltas", Json::object()},
               {"health", "idle"},
               {"reason", "there is no rollout"}};
  if (!all.empty()) view = all.front();
  view["rollouts"] = all;
  return view;
}

}  // namespace weir::control::api
