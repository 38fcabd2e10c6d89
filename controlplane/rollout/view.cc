// SPDX-License-Identifier: Apache-2.0
// How a rollout stands, for people.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/rollout/driver.h"
#include "controlplane/rollout/gates.h"

namespace weir::control::rollout {

using domain::Kind;
using domain::Resource;
using domain::RolloutSpec;

namespace {

// Whether clocks of that visit of a phase are of the one that the rollout is in: one that was
// entered just now has none yet.
bool IsOf(const domain::RolloutStatus& status, uint64_t phase, int64_t entered_wall_ms) {
  const int64_t entered =
      status.phase < status.entered.size() ? status.entered[status.phase].ms : 0;
  return phase == status.phase && entered_wall_ms == entered;
}

void AddShares(const RolloutSpec& spec, uint64_t phase, const CountsByNode& nodes, int selected,
               RolloutView& view) {
  view.quorum = QuorumOf(spec, spec.phases[phase], selected);
  view.counted_requests = CountedRequests(nodes, view.quorum.max_node_share);
  view.alone = AloneOf(nodes);
  const auto all = static_cast<double>(SumOf(nodes).canary.requests);
  for (const auto& [node, counts] : nodes) {
    const uint64_t requests = counts.canary.requests;
    if (requests == 0) continue;
    view.shares.push_back({node, requests, counts.canary.bad, static_cast<double>(requests) / all});
  }
  std::stable_sort(view.shares.begin(), view.shares.end(),
                   [](const auto& a, const auto& b) { return a.requests > b.requests; });
}

}  // namespace

std::vector<PhaseView> Driver::PhasesOf(const Resource& rollout, const Run* run) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const domain::RolloutStatus status = rollout.status.value_or(domain::RolloutStatus{});
  std::vector<PhaseView> phases;
  for (size_t i = 0; i < spec.phases.size(); ++i) {
    const domain::Phase& phase = spec.phases[i];
    PhaseView& view = phases.emplace_back();
    view.name = phase.name;
    view.percentage = phase.percentage;
    view.mode = domain::IsShadow(spec, phase) ? "shadow" : "canary";
    if (i < status.entered.size()) view.since_wall_ms = status.entered[i].ms;
    // After a promotion by hand the phases that were skipped are done as well.
    view.state = status.state == "pending"                        ? "pending"
                 : status.state == "promoted" || i < status.phase ? "done"
                 : i == status.phase                              ? "current"
                                                                  : "pending";
    if (i == status.phase && run != nullptr && IsOf(status, run->phase, run->entered_wall_ms))
      view.age_ms = run->phase_age_ms;
  }
  return phases;
}

Result<RolloutView> Driver::View(const std::string& name) const {
  const Resource* rollout = world_.find(Kind::kRollout, name);
  if (rollout == nullptr) return NotFound(fmt::format("rollout \"{}\" does not exist", name));
  RolloutView view;
  view.status = rollout->status.value_or(domain::RolloutStatus{});
  const auto found = runs_.find(name);
  const bool is_running = found != runs_.end() && domain::IsActive(view.status);
  if (const auto why = unjudged_.find(name); why != unjudged_.end() && !is_running)
    view.status.waiting_for = why->second;
  view.phases = PhasesOf(*rollout, is_running ? &found->second : nullptr);
  if (!is_running) return view;
  const Run& run = found->second;
  Evidence nodes;
  GatherNodes(*rollout, &run, nodes);
  view.live_nodes = nodes.live_nodes;
  view.applied_nodes = nodes.applied_nodes;
  view.judge = run.judge.Snapshot();
  view.triggers = run.judge.Triggers();
  view.status.waiting_for = run.failed_commit.empty() ? run.waiting_for : run.failed_commit;
  if (!run.shown_state.empty()) view.status.state = run.shown_state;
  if (run.verdict) view.status.last_verdict = run.verdict;
  if (!IsOf(view.status, run.phase, run.entered_wall_ms)) return view;  // the next tick follows
  view.phase_age_ms = run.phase_age_ms;
  view.phase_requests = run.phase_requests;
  AddShares(rollout->As<RolloutSpec>(), view.status.phase, run.shares.phase(), run.selected_nodes,
            view);
  const uint64_t judged = run.phase_requests + run.phase_stable_requests;
  // A copy is beside stable's answer, not instead of it.
  const uint64_t whole = run.judged_by.is_shadow ? run.phase_stable_requests : judged;
  if (whole > 0) {
    view.actual_percentage =
        100.0 * static_cast<double>(run.phase_requests) / static_cast<double>(whole);
  }
  const auto& gates = rollout->As<RolloutSpec>().phases[view.status.phase].gates;
  for (size_t i = 0; i < gates.size() && i < run.gates.size(); ++i) {
    const GateMemory& gate = run.gates[i];
    view.gates.push_back(
        {GateName(gates[i]), gates[i].type, gate.state, gate.since_wall_ms, gate.reason});
  }
  return view;
}

}  // namespace weir::control::rollout
