// SPDX-License-Identifier: Apache-2.0
// The rules of rollouts; those of their gates and triggers are in validate_gate.cc.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>

#include "shared/domain/checker.h"
#include "shared/domain/metrics.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxPhases = 64;
constexpr size_t kMaxGates = 32;
constexpr size_t kMaxTriggers = 64;
constexpr size_t kMaxPhaseFlags = 64;
constexpr size_t kMaxLabels = 64;
constexpr int64_t kDayMs = 86'400'000;

void CheckRate(Checker& c, const std::string& path, const std::optional<double>& rate) {
  if (!rate || (*rate >= 0 && *rate <= 1)) return;
  c.Fail(path, fmt::format("{} is not in 0..1{}", *rate,
                           *rate > 1 && *rate <= 100
                               ? fmt::format(" (a ratio: {} % is {})", *rate, *rate / 100)
                               : ""));
}

void CheckLatency(Checker& c, const std::string& path, const std::optional<double>& ms) {
  if (ms && !(*ms > 0)) c.Fail(path, "is not above 0");
}

void CheckDegradation(Checker& c, const std::string& path, const std::optional<double>& excess) {
  if (!excess) return;
  if (!(*excess >= 0)) c.Fail(path, fmt::format("{} is below 0", *excess));
  if (*excess > 5) {
    c.Fail(path, fmt::format("{} would be {:g} % slower than stable; {} % is {}", *excess,
                             *excess * 100, *excess, *excess / 100));
  }
}

void CheckNodes(Checker& c, const std::string& path, const Labels& nodes) {
  c.Count(path, nodes.size(), kMaxLabels);
  for (const auto& [key, value] : nodes) {
    if (key.empty() || value.empty()) c.Fail(path, "has a label without a name or a value");
  }
}

// Phase ----------------------------------------------------------------------

void CheckPhaseNodes(Checker& c, const std::string& path, const Phase& phase,
                     const RolloutSpec& spec) {
  CheckNodes(c, path, phase.nodes);
  for (const auto& [key, value] : phase.nodes) {
    const auto all = spec.nodes.find(key);
    if (all == spec.nodes.end() || all->second == value) continue;
    c.Fail(path + "." + key,
           fmt::format("\"{}\" is never true where the rollout's nodes say \"{}\"", value,
                       all->second));
  }
}

void CheckPhaseFlags(Checker& c, const std::string& path, const Phase& phase,
                     const RolloutSpec& spec) {
  if (phase.flags.empty()) return;
  if (spec.model.empty()) c.Fail(path, "are only for a model's rollout");
  c.Count(path, phase.flags.size(), kMaxPhaseFlags);
  std::set<std::string> seen;
  for (const std::string& flag : phase.flags) {
    if (!IsResourceName(flag) || !seen.insert(flag).second)
      c.Fail(path, fmt::format("\"{}\" is empty, repeated or not a name", flag));
  }
}

// `share` of so many nodes can make up a whole.
void CheckQuorum(Checker& c, const std::string& path, uint64_t min_nodes, double share) {
  constexpr uint64_t kMaxMinNodes = 64;
  constexpr double kUsualNodes = 2;
  if (min_nodes > kMaxMinNodes)
    c.Fail(path + ".min_nodes", fmt::format("{} is above {}", min_nodes, kMaxMinNodes));
  if (share == 0) return;
  if (!(share > 0 && share <= 1)) return CheckRate(c, path + ".max_node_share", share);
  const double nodes = min_nodes == 0 ? kUsualNodes : static_cast<double>(min_nodes);
  if (share * nodes >= 1 - 1e-9) return;
  c.Fail(path + ".max_node_share",
         fmt::format("{} of each of {} nodes does not make a whole; it takes min_nodes: {}", share,
                     nodes, std::ceil(1 / share - 1e-9)));
}

void CheckPhase(Checker& c, const std::string& path, const Phase& phase, const RolloutSpec& spec) {
  c.Percent(path + ".percentage", phase.percentage);
  if (phase.min_nodes != 0 || phase.max_node_share != 0) {
    CheckQuorum(c, path, phase.min_nodes == 0 ? spec.min_nodes : phase.min_nodes,
                phase.max_node_share == 0 ? spec.max_node_share : phase.max_node_share);
  }
  if (!phase.mode.empty()) c.OneOf(path + ".mode", phase.mode, {"canary", "shadow"});
  if (phase.mode == "shadow" && spec.model.empty())
    c.Fail(path + ".mode", "shadow is only for a model's rollout");
  CheckPhaseNodes(c, path + ".nodes", phase, spec);
  CheckRate(c, path + ".rollback.error_rate", phase.rollback.error_rate);
  CheckLatency(c, path + ".rollback.p99_latency_ms", phase.rollback.p99_latency_ms);
  CheckDegradation(c, path + ".rollback.performance_degradation",
                   phase.rollback.performance_degradation);
  CheckPhaseFlags(c, path + ".flags", phase, spec);
  if (!phase.log_level.empty())
    c.OneOf(path + ".log_level", phase.log_level, {"debug", "info", "warn", "error"});
  c.Count(path + ".gates", phase.gates.size(), kMaxGates);
  std::set<std::string> names;
  for (size_t g = 0; g < phase.gates.size(); ++g) {
    const std::string at = fmt::format("{}.gates[{}]", path, g);
    CheckGate(c, at, phase.gates[g]);
    if (const std::string& name = phase.gates[g].name; !name.empty() && !names.insert(name).second)
      c.Fail(at + ".name", fmt::format("\"{}\" is the name of another gate of the phase", name));
  }
}

// A share may only rise from phase to phase on the same nodes. Copies of requests (shadow) are no
// share.
void CheckPhases(Checker& c, const RolloutSpec& spec) {
  if (spec.phases.empty()) c.Fail("spec.phases", "is missing; give at least one phase");
  c.Count("spec.phases", spec.phases.size(), kMaxPhases);
  std::set<std::string> names;
  std::map<Labels, double> before;  // by nodes
  for (size_t i = 0; i < spec.phases.size(); ++i) {
    const Phase& phase = spec.phases[i];
    const std::string path = fmt::format("spec.phases[{}]", i);
    if (!IsResourceName(phase.name) || !names.insert(phase.name).second) {
      c.Fail(path + ".name", fmt::format("\"{}\" is empty, repeated or not a name", phase.name));
    }
    CheckPhase(c, path, phase, spec);
    if (IsShadow(spec, phase)) continue;
    double& last = before[phase.nodes];
    if (phase.percentage < last) {
      c.Fail(path + ".percentage",
             fmt::format("{} is below the {} of the phase before", phase.percentage, last));
    }
    last = phase.percentage;
  }
}

// Rollback -------------------------------------------------------------------

void CheckGradual(Checker& c, const RollbackSpec& rollback) {
  const std::string path = "spec.rollback.gradual";
  const std::vector<double>& to = rollback.gradual->to;
  c.Count(path + ".to", to.size(), kMaxPhases);
  for (size_t i = 0; i < to.size(); ++i) {
    c.Percent(fmt::format("{}.to[{}]", path, i), to[i]);
    if (i > 0 && !(to[i] < to[i - 1]))
      c.Fail(fmt::format("{}.to[{}]", path, i),
             fmt::format("{} is not below the {} before it", to[i], to[i - 1]));
  }
  if (to.empty() || to.back() != 0) c.Fail(path + ".to", "does not end with 0");
  if (rollback.gradual->every.ms < 100) c.Fail(path + ".every", "is shorter than 100ms");
  if (rollback.on_failure == "previous_phase") {
    c.Fail(path, "is for on_failure: zero; going back to the previous phase is one step");
  }
}

void CheckRollback(Checker& c, const RollbackSpec& rollback) {
  const std::string path = "spec.rollback";
  CheckRate(c, path + ".error_rate", rollback.error_rate);
  CheckLatency(c, path + ".p99_latency_ms", rollback.p99_latency_ms);
  CheckDegradation(c, path + ".performance_degradation", rollback.performance_degradation);
  if (rollback.evaluation_window.ms < 1000)
    c.Fail(path + ".evaluation_window", "is shorter than 1s");
  if (rollback.evaluation_window.ms > 35 * kDayMs)
    c.Fail(path + ".evaluation_window", "is longer than 35d");
  if (rollback.keep_previous.ms > 90 * kDayMs)
    c.Fail(path + ".keep_previous", "is longer than 90d");
  c.OneOf(path + ".on_failure", rollback.on_failure, {"zero", "previous_phase"});
  if (!rollback.one_node.empty())
    c.OneOf(path + ".one_node", rollback.one_node, {"rollback", "pause", "alert"});
  if (rollback.gradual) CheckGradual(c, rollback);
  c.Count(path + ".triggers", rollback.triggers.size(), kMaxTriggers);
  std::set<std::string> names;
  for (size_t i = 0; i < rollback.triggers.size(); ++i) {
    const std::string at = fmt::format("{}.triggers[{}]", path, i);
    const TriggerSpec& trigger = rollback.triggers[i];
    CheckTrigger(c, at, trigger);
    const std::string name =
        !trigger.name.empty()
            ? trigger.name
            : fmt::format("{} {} {}", trigger.metric,
                          trigger.comparison.empty() ? ">" : trigger.comparison, trigger.threshold);
    if (names.insert(name).second) continue;
    c.Fail(at + ".name", fmt::format("\"{}\" is the name of another trigger{}", name,
                                     trigger.name.empty() ? "; give this one a name" : ""));
  }
}

void CheckModel(Checker& c, const RolloutSpec& spec, const Lookup& find, const ForEach& for_each) {
  const Resource* model = find(Kind::kModel, spec.model);
  std::vector<std::string> names;
  if (model == nullptr) {
    for_each(Kind::kModel, [&](const Resource& other) { names.push_back(other.name); });
    c.Fail("spec.model",
           fmt::format("model \"{}\" does not exist{}", spec.model, DidYouMean(spec.model, names)));
    return;
  }
  const auto& versions = model->As<ModelSpec>().versions;
  for (const auto& [name, version] : versions) names.push_back(name);
  if (!versions.contains(spec.candidate)) c.OneOf("spec.candidate", spec.candidate, names);
}

}  // namespace

void Check(Checker& c, const RolloutSpec& spec) {
  if (spec.model.empty() == spec.flag.empty()) {
    c.Fail("spec", "needs exactly one of model and flag");
  }
  if (spec.candidate.empty() != spec.model.empty()) {
    c.Fail("spec.candidate", spec.model.empty() ? "is only for a model's rollout" : "is missing");
  }
  c.OneOf("spec.hash_key", spec.hash_key, {"user_id", "session_id", "request_id"});
  c.OneOf("spec.strategy", spec.strategy, {"hash", "random"});
  c.OneOf("spec.start", spec.start, {"auto", "manual"});
  c.Seed("spec.hash_seed", spec.hash_seed);
  c.OneOf("spec.mode", spec.mode, {"canary", "shadow"});
  if (spec.mode == "shadow" && spec.model.empty())
    c.Fail("spec.mode", "shadow is only for a model's rollout");
  if (!spec.fallback.empty()) {
    c.OneOf("spec.fallback", spec.fallback, {"stable"});
    if (spec.model.empty()) c.Fail("spec.fallback", "is only for a model's rollout");
  }
  CheckNodes(c, "spec.nodes", spec.nodes);
  CheckQuorum(c, "spec", spec.min_nodes, spec.max_node_share);
  CheckPhases(c, spec);
  CheckRollback(c, spec.rollback);
  c.OneOf("spec.when_unwatched.do", spec.when_unwatched.action, {"stable", "hold"});
  if (spec.when_unwatched.after.ms < 1000)
    c.Fail("spec.when_unwatched.after", "is shorter than 1s");
  if (spec.attribution_window.ms < 1000 || spec.attribution_window.ms > 35 * kDayMs)
    c.Fail("spec.attribution_window", "is not in 1s..35d");
}

namespace {

void CheckNamed(Checker& c, const RolloutSpec& spec, const Lookup& find, const ForEach& for_each) {
  if (!spec.model.empty()) {
    CheckModel(c, spec, find, for_each);
  } else if (const Resource* flag = find(Kind::kFlag, spec.flag); flag == nullptr) {
    c.Fail("spec.flag", fmt::format("flag \"{}\" does not exist", spec.flag));
  } else if (flag->As<FlagSpec>().IsVariant()) {
    c.Fail("spec.flag",
           fmt::format("flag \"{}\" has variants, no percentage to roll out", spec.flag));
  }
  for (size_t i = 0; i < spec.phases.size(); ++i)
    CheckFlagsExist(c, fmt::format("spec.phases[{}].flags", i), spec.phases[i].flags, find,
                    for_each);
}

}  // namespace

void CheckRolloutReferences(Checker& c, const Resource& rollout, const Lookup& find,
                            const ForEach& for_each) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  // What is taken back may outlive what it spoke of: nothing may hold up a rollback.
  const bool goes_back = rollout.status.has_value() && rollout.status->state == "rolling_back";
  if (!goes_back) CheckNamed(c, spec, find, for_each);
  if (!rollout.status.has_value() || !IsActive(*rollout.status)) return;
  for_each(Kind::kRollout, [&](const Resource& other) {
    const RolloutSpec& theirs = other.As<RolloutSpec>();
    if (other.name == rollout.name || !other.status || !IsActive(*other.status)) return;
    if (theirs.model == spec.model && theirs.flag == spec.flag) {
      c.Fail(spec.model.empty() ? "spec.flag" : "spec.model",
             fmt::format("rollout \"{}\" is already {} on \"{}\"", other.name, other.status->state,
                         spec.model.empty() ? spec.flag : spec.model));
    }
  });
}

bool IsShadow(const RolloutSpec& spec, const Phase& phase) {
  return (phase.mode.empty() ? spec.mode : phase.mode) == "shadow";
}

bool IsActive(const RolloutStatus& status) {
  return status.state == "progressing" || status.state == "paused" || status.state == "frozen" ||
         status.state == "rolling_back";
}

}  // namespace weir::domain
