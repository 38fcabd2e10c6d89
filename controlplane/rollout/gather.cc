// SPDX-License-Identifier: Apache-2.0
// What the driver knows of a rollout, as evidence for its next step.
#include <fmt/format.h>

#include <algorithm>

#include "controlplane/rollout/driver.h"
#include "controlplane/rollout/gates.h"
#include "shared/codec/resource.h"

namespace weir::control::rollout {
namespace {

using domain::Kind;
using domain::Resource;
using domain::RolloutSpec;

constexpr int64_t kCrashLoopMs = 300'000;
constexpr int kCrashLoopRestarts = 3;
// A breaker that was open before the rollout began is its fault only if it stays so; this is also
// what clocks of nodes may be off.
constexpr int64_t kOldBreakerMs = 30'000;

const domain::Phase& PresentPhase(const Resource& rollout) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  return spec.phases[std::min<uint64_t>(rollout.status->phase, spec.phases.size() - 1)];
}

// The nodes that the phase applies to, as its split has them.
domain::Labels NodesOf(const Resource& rollout) {
  domain::Labels labels = PresentPhase(rollout).nodes;
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  labels.insert(spec.nodes.begin(), spec.nodes.end());
  return labels;
}

const NodeFacts::Version* VersionOn(const NodeFacts& node, const RolloutSpec& spec) {
  for (const NodeFacts::Version& version : node.versions) {
    if (version.model == spec.model && version.version == spec.candidate) return &version;
  }
  return nullptr;
}

// "n2 refused it: …" where the node keeps the last good of the rollout's entry or its subject's.
std::string RefusalOn(const NodeFacts& node, const Resource& rollout) {
  const auto split = node.refused_splits.find(rollout.name);
  if (split != node.refused_splits.end())
    return fmt::format("{} refused it: {}", node.id, split->second);
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const std::string subject = spec.model.empty() ? "flag/" + spec.flag : "model/" + spec.model;
  const auto of = node.refused_subjects.find(subject);
  return of == node.refused_subjects.end()
             ? ""
             : fmt::format("{} refused {}: {}", node.id, subject, of->second);
}

double ShareOf(uint64_t turned_away, uint64_t requests) {
  return static_cast<double>(turned_away) / static_cast<double>(turned_away + requests);
}

domain::VerdictRecord CountsOf(const analysis::JudgeSnapshot& seen) {
  domain::VerdictRecord counts;
  counts.canary_rate = seen.canary.error_rate.value_or(0);
  counts.stable_rate = seen.stable.error_rate.value_or(0);
  counts.canary_requests = seen.canary.requests;
  counts.canary_bad = seen.canary.bad;
  counts.stable_requests = seen.stable.requests;
  counts.stable_bad = seen.stable.bad;
  return counts;
}

}  // namespace

Evidence Driver::Gather(const Resource& rollout, Run& run, int64_t now_ms, int64_t now_wall_ms) {
  Evidence evidence;
  evidence.phase_age_ms = run.phase_age_ms;
  evidence.phase_requests = run.phase_requests;
  evidence.verdict = run.verdict;
  evidence.turned_away = TurnedAwayMore(run);
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  if (const Resource* flag = world_.find(Kind::kFlag, spec.flag);
      !spec.flag.empty() && flag != nullptr &&
      !flag->As<domain::FlagSpec>().enabled.value_or(false)) {
    evidence.disabled_flag = spec.flag;
  }
  evidence.rollback_age_ms = run.rollback_age_ms;
  const Resource* emergency = world_.find(Kind::kEmergency, "default");
  evidence.emergency_freeze = emergency != nullptr && emergency->As<domain::EmergencySpec>().freeze;
  GatherNodes(rollout, &run, evidence);
  GatherShares(rollout, run, evidence, now_ms);
  GatherFailures(rollout, run, now_wall_ms, evidence);
  if (!evidence.system_failure.empty()) evidence.counted = CountsOf(run.judge.Snapshot());
  evidence.counted.first_bad_at = {run.first_bad_wall_ms};
  GatherGates(rollout, run, evidence, now_ms, now_wall_ms);
  return evidence;
}

// A restart must not make one node enough only since the others are not back yet.
void Driver::GatherShares(const Resource& rollout, Run& run, Evidence& evidence,
                          int64_t now_ms) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const domain::Phase& phase = PresentPhase(rollout);
  const bool are_returning = now_ms < first_tick_ms_ + kNodesReturnMs;
  run.selected_nodes = are_returning ? std::max(run.selected_nodes, evidence.selected_nodes)
                                     : evidence.selected_nodes;
  const Quorum quorum = QuorumOf(spec, phase, run.selected_nodes);
  const CountsByNode& nodes = run.shares.phase();
  evidence.max_node_share = quorum.max_node_share;
  evidence.counted_requests = CountedRequests(nodes, quorum.max_node_share);
  evidence.missing_nodes_of_quorum = MissingNodes(nodes, quorum);
  const auto limit =
      phase.rollback.error_rate ? phase.rollback.error_rate : spec.rollback.error_rate;
  evidence.hidden_by = HiddenBy(nodes, limit);
  evidence.alone = AloneOf(nodes);
}

// A service that answers 4xx, sheds or lets its clients wait until they leave has no bad answers to
// be judged by. Where stable gets nothing any more, what it was in a phase before counts.
std::string Driver::TurnedAwayMore(const Run& run) {
  constexpr uint64_t kFewest = 20;
  constexpr double kMuchMore = 0.1;
  constexpr double kTimesMore = 2;
  if (run.phase_turned_away < kFewest) return "";
  const double canary = ShareOf(run.phase_turned_away, run.phase_requests);
  const double stable = StableTurnedAway(run);
  if (canary - stable <= kMuchMore || canary <= kTimesMore * stable) return "";
  return fmt::format(
      "the candidate refuses, sheds or is given up on {:.0f} % of requests, stable {:.0f} %",
      100 * canary, 100 * stable);
}

double Driver::StableTurnedAway(const Run& run) {
  constexpr uint64_t kFewest = 20;
  const uint64_t all = run.phase_stable_requests + run.phase_stable_turned_away;
  if (all < kFewest) return run.stable_turned_away_before;
  return ShareOf(run.phase_stable_turned_away, run.phase_stable_requests);
}

std::string Driver::DigestOf(const RolloutSpec& spec) const {
  return world_.digest ? world_.digest(codec::SpecToJson(spec).dump()) : "";
}

const std::string& Driver::DigestOf(const RolloutSpec& spec, Run& run) const {
  if (run.digested != spec) {
    run.digest = DigestOf(spec);
    run.digested = spec;
  }
  return run.digest;
}

GateState Driver::AskGate(const Resource& rollout, const Run& run, size_t index,
                          const std::string& spec_digest) const {
  const domain::Phase& phase = PresentPhase(rollout);
  const domain::Gate& gate = phase.gates[index];
  if (gate.type == "manual_approval")
    return ApprovalState(gate, phase.name, *rollout.status, spec_digest);
  if (gate.type != "metrics_threshold") {
    if (!world_.gate) return {false, false, gate.type + " gates are not run here"};
    return world_.gate(rollout, run.phase, index, run.phase_age_ms);
  }
  const Result<domain::Condition> condition = domain::ParseCondition(gate.condition);
  if (!condition.ok()) return {false, false, condition.status().message()};
  const Result<analysis::GateAnswer> answer =
      run.judge.Check({gate.metric, condition->op, condition->value, gate.min_requests});
  if (!answer.ok()) return {false, false, answer.status().message()};
  // "Failed" is how it stands now, not for good: the phase waits.
  return {answer->verdict == analysis::GateAnswer::Verdict::kPassed, false, answer->reason};
}

// While the rollout rests nothing is asked, and the gates stand as they did.
void Driver::GatherGates(const Resource& rollout, Run& run, Evidence& evidence, int64_t now_ms,
                         int64_t now_wall_ms) {
  const domain::Phase& phase = PresentPhase(rollout);
  run.gates.resize(phase.gates.size());
  const bool needs_digest =
      std::any_of(phase.gates.begin(), phase.gates.end(),
                  [](const domain::Gate& gate) { return gate.type == "manual_approval"; });
  if (needs_digest) evidence.spec = DigestOf(rollout.As<RolloutSpec>(), run);
  const bool rests = rollout.status->state != "progressing" || evidence.emergency_freeze;
  for (size_t i = 0; i < phase.gates.size(); ++i) {
    GateMemory& memory = run.gates[i];
    if (memory.since_wall_ms == 0) memory.since_wall_ms = now_wall_ms;
    if (rests && phase.gates[i].type != "manual_approval") {
      evidence.gates.push_back({memory.state == "passed", memory.state == "failed", memory.reason});
      continue;
    }
    GateState state = AskGate(rollout, run, i, evidence.spec);
    const char* shown = state.passed ? "passed" : state.failed ? "failed" : "waiting";
    if (memory.state != shown) memory.since_wall_ms = now_wall_ms;
    memory.state = shown;
    memory.reason = state.reason;
    memory.is_excused = memory.is_excused && state.failed;
    if (memory.is_excused) state.failed = false;
    evidence.gates.push_back(std::move(state));
  }
  TellGates(rollout, run, now_ms);
}

void Driver::GatherNodes(const Resource& rollout, const Run* run, Evidence& evidence) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  // A commit that changed no entry was not published; then whatever went out last must be applied.
  const uint64_t wanted =
      run == nullptr || run->rollback_revision == 0 ? rollout.revision : run->rollback_revision;
  const uint64_t needed = std::min(wanted, published_);
  const domain::Labels labels = NodesOf(rollout);
  int selected = 0;
  std::vector<std::string> failed;
  std::vector<std::string> refusals;
  for (const NodeFacts& node : nodes_) {
    if (!node.live) continue;
    ++evidence.live_nodes;
    if (node.applied_version >= needed) {
      ++evidence.applied_nodes;
      evidence.last_applied_wall_ms = std::max(evidence.last_applied_wall_ms, node.applied_wall_ms);
    } else {
      evidence.missing_nodes.push_back(node.id);
    }
    if (const std::string why = RefusalOn(node, rollout); !why.empty()) refusals.push_back(why);
    if (!domain::Selects(labels, node.labels)) continue;
    ++evidence.selected_nodes;
    if (spec.model.empty()) continue;
    ++selected;
    const NodeFacts::Version* version = VersionOn(node, spec);
    const std::string state = version == nullptr ? "LOADING" : version->state;
    if (state == "READY") continue;
    const std::string detail =
        version == nullptr || version->detail.empty() ? "" : " (" + version->detail + ")";
    evidence.not_ready.push_back(fmt::format("{}: {}{}", node.id, state, detail));
    if (state == "FAILED") failed.push_back(fmt::format("{}{}", node.id, detail));
  }
  if (selected > 0 && static_cast<int>(failed.size()) == selected) {
    evidence.system_failure = fmt::format("version {} of {} FAILED on every node: {}",
                                          spec.candidate, spec.model, failed[0]);
  }
  evidence.selects_none = selected == 0 && !spec.model.empty();
  if (refusals.empty()) return;
  evidence.frozen_by = refusals.front();
  if (refusals.size() > 1) evidence.frozen_by += fmt::format(" (and {} more)", refusals.size() - 1);
}

// What nodes say of the candidate by leaving it, or by falling over and over.
void Driver::GatherFailures(const Resource& rollout, const Run& run, int64_t now_wall_ms,
                            Evidence& evidence) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  if (spec.model.empty() || !evidence.system_failure.empty()) return;
  const std::string subject = fmt::format("model/{}/{}", spec.model, spec.candidate);
  const auto& entered = rollout.status->entered;
  const int64_t began_wall_ms = entered.empty() ? rollout.status->since.ms : entered[0].ms;
  const domain::Labels labels = NodesOf(rollout);
  for (const NodeFacts& node : nodes_) {
    if (!node.live || !domain::Selects(labels, node.labels)) continue;
    for (const NodeFacts::Episode& episode : node.episodes) {
      if (episode.kind != "breaker" || episode.to_wall_ms != 0 || episode.subject != subject)
        continue;
      const bool is_old = episode.from_wall_ms < began_wall_ms;
      if (is_old && now_wall_ms - began_wall_ms < kOldBreakerMs) continue;
      evidence.system_failure = fmt::format("the breaker of {} is open on {}: {}", spec.candidate,
                                            node.id, episode.detail);
      evidence.is_of_one_node = IsWellWithout(run.shares.Recent(), node.id);
      return;
    }
    const auto restarts = restarts_ms_.find(node.id);
    if (restarts == restarts_ms_.end()) continue;
    const auto count =
        std::count_if(restarts->second.begin(), restarts->second.end(), [&](int64_t at_ms) {
          return at_ms >= run.began_ms && at_ms > last_tick_ms_ - kCrashLoopMs;
        });
    if (count < kCrashLoopRestarts) continue;
    evidence.system_failure = fmt::format("{} started anew {} times within 5m while it served {}",
                                          node.id, count, spec.candidate);
    evidence.is_of_one_node = IsWellWithout(run.shares.Recent(), node.id);
    return;
  }
}

}  // namespace weir::control::rollout
