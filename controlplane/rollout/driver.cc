// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/driver.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/log.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::rollout {
namespace {

using domain::Kind;
using domain::Resource;
using domain::RolloutSpec;
using domain::RolloutStatus;

constexpr int64_t kLongestTickMs = 1000;  // what a hung machine may add to a phase's clock at once
constexpr int64_t kQuietMs = 10'000;      // after which a new bad answer is a new beginning
constexpr uint64_t kRelativeMinRequests = 100;
constexpr int64_t kNodesReturnMs = 8000;  // after a restart; a node that hangs is gone by then

Result<analysis::Judge> MakeJudge(const domain::RollbackSpec& spec) {
  analysis::JudgeConfig config;
  const analysis::AbsoluteLimits limits{spec.error_rate, spec.p99_latency_ms,
                                        spec.evaluation_window.ms, spec.min_requests};
  config.triggers = analysis::DefaultTriggers(limits);
  for (analysis::Trigger& trigger : analysis::RelativeTriggers(
           limits.window_ms, std::max(limits.min_requests, kRelativeMinRequests))) {
    config.triggers.push_back(std::move(trigger));
  }
  config.window_ms = spec.evaluation_window.ms;
  return analysis::Judge::Create(std::move(config));
}

domain::VerdictRecord Record(const analysis::Verdict& verdict, int64_t first_bad_wall_ms,
                             int64_t now_wall_ms) {
  return {.trigger = verdict.trigger,
          .action = analysis::ActionName(verdict.action),
          .evidence = verdict.evidence,
          .canary_rate = verdict.canary_rate,
          .stable_rate = verdict.stable_rate,
          .canary_requests = verdict.canary_requests,
          .canary_bad = verdict.canary_bad,
          .stable_requests = verdict.stable_requests,
          .stable_bad = verdict.stable_bad,
          .first_bad_at = {first_bad_wall_ms},
          .detected_at = {now_wall_ms}};
}

// Rollback outranks pause outranks alert.
bool Outranks(const analysis::Verdict& a, const std::optional<domain::VerdictRecord>& b) {
  if (!b.has_value()) return true;
  const auto rank = [](const std::string& action) {
    return action == "rollback" ? 2 : action == "pause" ? 1 : 0;
  };
  return rank(analysis::ActionName(a.action)) > rank(b->action);
}

}  // namespace

Driver::Driver(World world) : world_(std::move(world)) {}

void Driver::LoadState(const codec::Json& state) {
  loaded_ = state.is_object() ? state : codec::Json::object();
}

codec::Json Driver::SaveState() const {
  codec::Json state = codec::Json::object();
  for (const auto& [name, run] : runs_) {
    state[name] = {{"phase", run.phase},
                   {"phase_age_ms", run.phase_age_ms},
                   {"phase_requests", run.phase_requests},
                   {"rollback_revision", run.rollback_revision},
                   {"judge", run.judge.Save()}};
  }
  return state;
}

std::vector<std::string> Driver::ActiveRollouts() const {
  std::vector<std::string> names;
  world_.for_each(Kind::kRollout, [&](const Resource& rollout) {
    if (rollout.status && domain::IsActive(*rollout.status)) names.push_back(rollout.name);
  });
  return names;
}

Driver::Run* Driver::RunOf(const Resource& rollout, int64_t now_ms) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const auto found = runs_.find(rollout.name);
  if (found != runs_.end() && found->second.judged_by == spec.rollback) return &found->second;
  Result<analysis::Judge> judge = MakeJudge(spec.rollback);
  if (!judge.ok()) {
    Log("rollout").error("{}: cannot be judged: {}", rollout.name, judge.status().ToString());
    return nullptr;
  }
  Run run(*std::move(judge));
  if (found !=
      runs_.end()) {  // the spec changed on the way: the clock goes on, the evidence starts anew
    run.phase_age_ms = found->second.phase_age_ms;
    run.phase_requests = found->second.phase_requests;
  }
  run.judged_by = spec.rollback;
  run.phase = rollout.status->phase;
  if (const auto saved = loaded_.find(rollout.name);
      loaded_.is_object() && saved != loaded_.end()) {
    if (saved->value("phase", uint64_t{0}) == run.phase) {
      run.phase_age_ms = saved->value("phase_age_ms", int64_t{0});
      run.phase_requests = saved->value("phase_requests", uint64_t{0});
    }
    run.rollback_revision = saved->value("rollback_revision", uint64_t{0});
    const Status restored = run.judge.Restore((*saved)["judge"], now_ms);
    if (!restored.ok())
      Log("rollout").warn("{}: judged anew: {}", rollout.name, restored.ToString());
    loaded_.erase(rollout.name);
  }
  if (rollout.status->state == "rolling_back") run.hold_until_ms = now_ms + kNodesReturnMs;
  return &runs_.insert_or_assign(rollout.name, std::move(run)).first->second;
}

void Driver::OnTelemetry(const telemetry::Window& delta, int64_t now_ms, int64_t now_wall_ms) {
  for (const std::string& name : ActiveRollouts()) {
    const Resource& rollout = *world_.find(Kind::kRollout, name);
    const RolloutSpec& spec = rollout.As<RolloutSpec>();
    Run* run = spec.model.empty() ? nullptr : RunOf(rollout, now_ms);
    if (run == nullptr) continue;
    for (const auto& [key, series] : delta) {
      if (key.subject != "model/" + spec.model) continue;
      if (key.arm == telemetry::kArmStable) run->stable.Merge(series);
      if (key.arm != telemetry::kArmCanary || key.version != spec.candidate) continue;
      run->canary.Merge(series);
      if (series.Counter(telemetry::kBad) == 0) continue;
      if (now_wall_ms - run->last_bad_wall_ms > kQuietMs) run->first_bad_wall_ms = now_wall_ms;
      run->last_bad_wall_ms = now_wall_ms;
    }
  }
}

void Driver::OnNodes(std::vector<NodeFacts> nodes, uint64_t published) {
  nodes_ = std::move(nodes);
  published_ = published;
}

bool Driver::Tick(int64_t now_ms, int64_t now_wall_ms) {
  const int64_t elapsed_ms =
      last_tick_ms_ == 0 ? 0 : std::min(now_ms - last_tick_ms_, kLongestTickMs);
  last_tick_ms_ = now_ms;
  const std::vector<std::string> active = ActiveRollouts();
  std::erase_if(runs_, [&](const auto& run) {
    return std::find(active.begin(), active.end(), run.first) == active.end();
  });
  for (auto at = loaded_.begin(); loaded_.is_object() && at != loaded_.end();) {
    const bool is_active = std::find(active.begin(), active.end(), at.key()) != active.end();
    at = is_active ? std::next(at) : loaded_.erase(at);
  }
  bool committed = false;
  for (const std::string& name : active) {
    const Resource* rollout = world_.find(Kind::kRollout, name);
    if (rollout == nullptr || !domain::IsActive(*rollout->status)) continue;
    if (Run* run = RunOf(*rollout, now_ms))
      committed |= TickOne(*rollout, *run, elapsed_ms, now_ms, now_wall_ms);
  }
  return committed;
}

bool Driver::TickOne(const Resource& rollout, Run& run, int64_t elapsed_ms, int64_t now_ms,
                     int64_t now_wall_ms) {
  const RolloutStatus& status = *rollout.status;
  if (run.phase != status.phase) {
    run.phase = status.phase;
    run.phase_age_ms = 0;
    run.phase_requests = 0;
  }
  run.phase_requests += run.canary.Counter(telemetry::kRequests);
  if (status.state != "rolling_back") Judge(rollout, run, now_ms, now_wall_ms);
  run.stable = {};
  run.canary = {};
  const Step step = Next(rollout.As<RolloutSpec>(), status, Gather(rollout, run), now_wall_ms);
  run.waiting_for = step.waiting_for;
  run.shown_state = step.shown_state;
  if (step.kind == Step::Kind::kStay) {
    if (step.shown_state == "progressing") run.phase_age_ms += elapsed_ms;
    return false;
  }
  if (step.kind == Step::Kind::kComplete && now_ms < run.hold_until_ms) {
    run.waiting_for = "nodes to come back";
    return false;
  }
  const std::string name = rollout.name;
  const Result<uint64_t> revision = Carry(rollout, step, "rollout/" + name, step.reason);
  if (!revision.ok()) {
    if (run.failed_commit != revision.status().ToString()) {
      Log("rollout").error("{}: {} cannot be committed: {}", name, step.reason,
                           revision.status().ToString());
    }
    run.failed_commit = revision.status().ToString();
    return false;
  }
  run.failed_commit.clear();
  if (step.kind == Step::Kind::kRollback) run.rollback_revision = *revision;
  Log("rollout").info("{}: {} (revision {})", name, step.reason, *revision);
  if (!domain::IsActive(step.next)) runs_.erase(name);  // `run` is gone; a retry begins anew
  return true;
}

void Driver::Judge(const Resource& rollout, Run& run, int64_t now_ms, int64_t now_wall_ms) {
  const std::vector<analysis::Verdict> verdicts = run.judge.Tick(now_ms, run.stable, run.canary);
  for (const analysis::Verdict& verdict : verdicts) {
    if (!Outranks(verdict, run.verdict)) continue;
    const int64_t first_bad = run.first_bad_wall_ms == 0 ? now_wall_ms : run.first_bad_wall_ms;
    run.verdict = Record(verdict, first_bad, now_wall_ms);
    Log("rollout").warn("{}: {} {}: {}", rollout.name, verdict.trigger,
                        analysis::ActionName(verdict.action), verdict.evidence);
  }
}

Evidence Driver::Gather(const Resource& rollout, const Run& run) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  Evidence evidence;
  evidence.phase_age_ms = run.phase_age_ms;
  evidence.phase_requests = run.phase_requests;
  evidence.verdict = run.verdict;
  const Resource* emergency = world_.find(Kind::kEmergency, "default");
  evidence.emergency_freeze = emergency != nullptr && emergency->As<domain::EmergencySpec>().freeze;
  for (const domain::Gate& gate : spec.phases[std::min(run.phase, spec.phases.size() - 1)].gates) {
    GateState state;
    if (gate.type == "metrics_threshold") {
      const Result<domain::Condition> condition = domain::ParseCondition(gate.condition);
      if (condition.ok()) {
        const Result<analysis::GateAnswer> answer =
            run.judge.Check({gate.metric, condition->op, condition->value, gate.min_requests});
        state.passed = answer.ok() && answer->verdict == analysis::GateAnswer::Verdict::kPassed;
        state.reason = answer.ok() ? answer->reason : answer.status().ToString();
      }
    }
    evidence.gates.push_back(std::move(state));
  }
  GatherNodes(rollout, run, evidence);
  return evidence;
}

void Driver::GatherNodes(const Resource& rollout, const Run& run, Evidence& evidence) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  // A commit that changed no entry was not published; then whatever went out last must be applied.
  const uint64_t wanted = run.rollback_revision == 0 ? rollout.revision : run.rollback_revision;
  const uint64_t needed = std::min(wanted, published_);
  int selected = 0;
  std::vector<std::string> failed;
  for (const NodeFacts& node : nodes_) {
    if (!node.live) continue;
    ++evidence.live_nodes;
    if (node.applied_version >= needed) {
      ++evidence.applied_nodes;
      evidence.last_applied_wall_ms = std::max(evidence.last_applied_wall_ms, node.applied_wall_ms);
    }
    if (const auto refused = node.refused_splits.find(rollout.name);
        refused != node.refused_splits.end()) {
      evidence.frozen_by = fmt::format("{} refused it: {}", node.id, refused->second);
    }
    if (spec.model.empty() || !domain::Selects(spec.nodes, node.labels)) continue;
    ++selected;
    const auto version =
        std::find_if(node.versions.begin(), node.versions.end(), [&](const NodeFacts::Version& v) {
          return v.model == spec.model && v.version == spec.candidate;
        });
    const std::string state = version == node.versions.end() ? "LOADING" : version->state;
    if (state == "READY") continue;
    const std::string detail = version == node.versions.end() || version->detail.empty()
                                   ? ""
                                   : " (" + version->detail + ")";
    evidence.not_ready.push_back(fmt::format("{}: {}{}", node.id, state, detail));
    if (state == "FAILED") failed.push_back(fmt::format("{}{}", node.id, detail));
  }
  if (selected > 0 && static_cast<int>(failed.size()) == selected) {
    evidence.failed_everywhere = fmt::format("version {} of {} FAILED on every node: {}",
                                             spec.candidate, spec.model, failed[0]);
  }
  if (selected == 0 && !spec.model.empty())
    evidence.not_ready.push_back("no live node that the rollout selects");
}

Result<uint64_t> Driver::Carry(const Resource& rollout, const Step& step, const std::string& actor,
                               const std::string& reason) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  CommitPlan plan{.resources = {rollout}, .actor = actor, .reason = reason, .evidence = {}};
  RolloutStatus next = step.next;
  const Resource* model = spec.model.empty() ? nullptr : world_.find(Kind::kModel, spec.model);
  if (model != nullptr &&
      (step.kind == Step::Kind::kPromote || step.kind == Step::Kind::kRollback)) {
    next.previous_stable = model->As<domain::ModelSpec>().stable;
  }
  if (step.kind == Step::Kind::kComplete) {
    const auto run = runs_.find(rollout.name);
    next.rollback_revision = run != runs_.end() && run->second.rollback_revision != 0
                                 ? run->second.rollback_revision
                                 : rollout.revision;
  }
  if (step.kind == Step::Kind::kRollback && next.last_verdict)
    plan.evidence = codec::ToJson(*next.last_verdict);
  plan.resources[0].status = next;
  if (step.kind == Step::Kind::kPromote) {
    if (model != nullptr) {
      plan.resources.push_back(*model);
      plan.resources.back().As<domain::ModelSpec>().stable = spec.candidate;
    } else if (const Resource* flag = world_.find(Kind::kFlag, spec.flag)) {
      plan.resources.push_back(*flag);
      plan.resources.back().As<domain::FlagSpec>().rollout_percentage = 100;
    }
  }
  return world_.commit(plan);
}

Result<uint64_t> Driver::Obey(const std::string& name, const Command& command,
                              int64_t now_wall_ms) {
  const Resource* rollout = world_.find(Kind::kRollout, name);
  if (rollout == nullptr) return NotFound(fmt::format("rollout \"{}\" does not exist", name));
  const RolloutStatus status = rollout->status.value_or(RolloutStatus{});
  WEIR_ASSIGN_OR_RETURN(const Step step,
                        rollout::Obey(rollout->As<RolloutSpec>(), status, command, now_wall_ms));
  WEIR_ASSIGN_OR_RETURN(const uint64_t revision,
                        Carry(*rollout, step, command.actor, command.reason));
  if (const auto run = runs_.find(name); run != runs_.end()) {
    run->second.shown_state = step.shown_state;
    run->second.waiting_for = step.waiting_for;
    if (step.kind == Step::Kind::kRollback) run->second.rollback_revision = revision;
  }
  return revision;
}

Result<RolloutView> Driver::View(const std::string& name) const {
  const Resource* rollout = world_.find(Kind::kRollout, name);
  if (rollout == nullptr) return NotFound(fmt::format("rollout \"{}\" does not exist", name));
  RolloutView view;
  view.status = rollout->status.value_or(RolloutStatus{});
  const auto run = runs_.find(name);
  if (run == runs_.end() || !domain::IsActive(view.status)) return view;
  view.phase_age_ms = run->second.phase_age_ms;
  view.phase_requests = run->second.phase_requests;
  view.judge = run->second.judge.Snapshot();
  view.status.waiting_for =
      run->second.failed_commit.empty() ? run->second.waiting_for : run->second.failed_commit;
  if (!run->second.shown_state.empty()) view.status.state = run->second.shown_state;
  if (run->second.verdict) view.status.last_verdict = run->second.verdict;
  return view;
}

}  // namespace weir::control::rollout
