// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/rollout/rollback.h"
#include "shared/base/log.h"

namespace weir::control::rollout {
namespace {

using domain::Kind;
using domain::Resource;
using domain::RolloutSpec;
using domain::RolloutStatus;

constexpr int64_t kLongestTickMs = 1000;  // what a hung machine may add to a clock at once
constexpr int64_t kQuietMs = 10'000;      // after which a new bad answer is a new beginning
constexpr int64_t kUnloadEveryMs = 1000;
constexpr int64_t kSettleMs = 1000;  // what was under way in the phase that failed
constexpr char kHeard[] = "";  // in the saved state, beside the rollouts; no rollout is called so

Result<analysis::Judge> MakeJudge(const domain::RollbackSpec& spec,
                                  const domain::PhaseRollback& phase) {
  analysis::JudgeConfig config;
  WEIR_ASSIGN_OR_RETURN(config.triggers, analysis::TriggersOf(spec, phase));
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

// What a rollout says of errors of one node, where that is less.
analysis::Trigger::Action Milder(analysis::Trigger::Action action, const std::string& one_node) {
  using Action = analysis::Trigger::Action;
  if (one_node == "alert") return Action::kAlert;
  return one_node == "pause" && action == Action::kRollback ? Action::kPause : action;
}

bool Outranks(const analysis::Verdict& a, const std::optional<domain::VerdictRecord>& b) {
  return !b.has_value() || RankOf(analysis::ActionName(a.action)) > RankOf(b->action);
}

const domain::Phase& PhaseOf(const Resource& rollout) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  return spec.phases[std::min<uint64_t>(rollout.status->phase, spec.phases.size() - 1)];
}

int64_t EnteredMs(const RolloutStatus& status) {
  return status.phase < status.entered.size() ? status.entered[status.phase].ms : 0;
}

// Requests without an answer to judge. Copies are shed and dropped by design.
uint64_t TurnedAway(const telemetry::Series& series, bool is_shadow) {
  const uint64_t refused = series.Counter(telemetry::kClientErrors);
  if (is_shadow) return refused;
  return refused + series.Counter(telemetry::kShed) + series.Counter(telemetry::kCancelled);
}

}  // namespace

Driver::Driver(World world) : world_(std::move(world)) {}

void Driver::LoadState(const codec::Json& state) {
  loaded_ = state.is_object() ? state : codec::Json::object();
  const auto heard = loaded_.find(kHeard);
  if (heard == loaded_.end()) return;
  if (heard->is_object()) {
    for (const auto& [node, until] : heard->items()) {
      if (until.is_number_integer()) heard_wall_ms_[node] = until.get<int64_t>();
    }
  }
  loaded_.erase(kHeard);
}

codec::Json Driver::SaveState() const {
  codec::Json state = codec::Json::object();
  for (const auto& [name, run] : runs_) {
    codec::Json gates = codec::Json::array();
    for (const GateMemory& gate : run.gates)
      gates.push_back({{"state", gate.state}, {"since", gate.since_wall_ms}});
    state[name] = {{"phase", run.phase},
                   {"entered", run.entered_wall_ms},
                   {"phase_age_ms", run.phase_age_ms},
                   {"phase_requests", run.phase_requests},
                   {"phase_stable_requests", run.phase_stable_requests},
                   {"phase_turned_away", run.phase_turned_away},
                   {"phase_stable_turned_away", run.phase_stable_turned_away},
                   {"stable_turned_away_before", run.stable_turned_away_before},
                   {"rollback_step", run.rollback_step},
                   {"rollback_age_ms", run.rollback_age_ms},
                   {"rollback_revision", run.rollback_revision},
                   {"gates", std::move(gates)},
                   {"nodes", run.shares.Save()},
                   {"selected_nodes", run.selected_nodes},
                   {"judge", run.judge.Save()}};
  }
  if (!heard_wall_ms_.empty()) state[kHeard] = heard_wall_ms_;
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
  const domain::Phase& phase = PhaseOf(rollout);
  JudgedBy by{spec.rollback, phase.rollback, domain::IsShadow(spec, phase)};
  const auto found = runs_.find(rollout.name);
  if (found != runs_.end() && found->second.judged_by == by) return &found->second;
  Result<analysis::Judge> judge = MakeJudge(by.rollback, by.phase);
  if (!judge.ok()) {
    std::string& told = unjudged_[rollout.name];
    const std::string why = "cannot be judged: " + judge.status().ToString();
    if (std::exchange(told, why) != why) Log("rollout").error("{}: {}", rollout.name, why);
    return nullptr;
  }
  unjudged_.erase(rollout.name);
  if (found != runs_.end()) {
    // The clocks go on, the evidence starts anew.
    Run& run = found->second;
    judge->LearnStableFrom(run.judge);
    run.judge = *std::move(judge);
    run.judged_by = std::move(by);
    run.verdict.reset();
    return &run;
  }
  Run run(*std::move(judge));
  run.judged_by = std::move(by);
  run.phase = rollout.status->phase;
  run.entered_wall_ms = EnteredMs(*rollout.status);
  run.rollback_step = rollout.status->rollback_step;
  run.began_ms = now_ms;
  TakeOver(rollout, run, now_ms);
  return &runs_.insert_or_assign(rollout.name, std::move(run)).first->second;
}

// What the process before knew of it, as far as it still fits.
void Driver::TakeOver(const Resource& rollout, Run& run, int64_t now_ms) {
  if (!loaded_.is_object()) return;
  const auto saved = loaded_.find(rollout.name);
  if (saved == loaded_.end()) return;
  const auto phase = saved->value("phase", uint64_t{0});
  const auto entered_wall_ms = saved->value("entered", run.entered_wall_ms);
  const bool same_phase = phase == run.phase && entered_wall_ms == run.entered_wall_ms;
  run.shares.Restore(saved->value("nodes", codec::Json::object()), same_phase, now_ms);
  if (same_phase) {
    run.phase_age_ms = saved->value("phase_age_ms", int64_t{0});
    run.phase_requests = saved->value("phase_requests", uint64_t{0});
    run.phase_stable_requests = saved->value("phase_stable_requests", uint64_t{0});
    run.phase_turned_away = saved->value("phase_turned_away", uint64_t{0});
    run.phase_stable_turned_away = saved->value("phase_stable_turned_away", uint64_t{0});
    run.stable_turned_away_before = saved->value("stable_turned_away_before", 0.0);
    run.selected_nodes = saved->value("selected_nodes", 0);
    // What an earlier version counted, it did not keep apart.
    const uint64_t known = SumOf(run.shares.phase()).canary.requests;
    if (run.phase_requests > known) run.shares.AddUnknown({{run.phase_requests - known, 0}, {}});
    for (const codec::Json& gate : saved->value("gates", codec::Json::array())) {
      GateMemory& memory = run.gates.emplace_back();
      memory.state = memory.told = gate.value("state", "waiting");
      memory.since_wall_ms = gate.value("since", int64_t{0});
    }
  }
  if (saved->value("rollback_step", uint64_t{0}) == run.rollback_step)
    run.rollback_age_ms = saved->value("rollback_age_ms", int64_t{0});
  run.rollback_revision = saved->value("rollback_revision", uint64_t{0});
  analysis::Judge before = run.judge;
  const Status restored = before.Restore((*saved)["judge"], now_ms);
  if (!restored.ok()) {
    Log("rollout").warn("{}: judged anew: {}", rollout.name, restored.ToString());
  } else if (same_phase || KeepsEvidence(rollout, run, phase, entered_wall_ms)) {
    run.judge = std::move(before);
  } else {
    run.judge.LearnStableFrom(before);
  }
  loaded_.erase(rollout.name);
}

// A rollout that went on to its next phase keeps its judge, also if the process ended before that
// was stored with the state; one that went back, or is judged otherwise now, does not.
bool Driver::KeepsEvidence(const Resource& rollout, const Run& run, uint64_t phase,
                           int64_t entered_wall_ms) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const auto& entered = rollout.status->entered;
  if (phase >= run.phase || phase >= spec.phases.size() || phase >= entered.size()) return false;
  if (entered[phase].ms != entered_wall_ms) return false;
  const domain::Phase& before = spec.phases[phase];
  return run.judged_by == JudgedBy{spec.rollback, before.rollback, domain::IsShadow(spec, before)};
}

void Driver::OnTelemetry(const telemetry::Window& delta, const telemetry::NodeWindow& by_node,
                         int64_t now_ms, int64_t now_wall_ms) {
  for (const std::string& name : ActiveRollouts()) {
    const Resource& rollout = *world_.find(Kind::kRollout, name);
    const RolloutSpec& spec = rollout.As<RolloutSpec>();
    Run* run = RunOf(rollout, now_ms);
    if (run == nullptr) continue;
    const std::string subject =
        spec.model.empty() ? telemetry::kSplitSubject + spec.flag : "model/" + spec.model;
    const std::string& version = spec.model.empty() ? name : spec.candidate;
    const char* arm = run->judged_by.is_shadow ? telemetry::kArmShadow : telemetry::kArmCanary;
    for (const auto& [key, series] : delta) {
      if (key.subject != subject) continue;
      // Of a flag's series the version names the rollout, in both arms.
      const bool is_ours = key.version == version;
      const bool is_stable = key.arm == telemetry::kArmStable && (is_ours || !spec.model.empty());
      if (is_stable) run->stable.Merge(series);
      const bool is_canary = key.arm == arm && is_ours;
      if (const auto of = by_node.find(key); of != by_node.end() && (is_stable || is_canary)) {
        for (const auto& [node, count] : of->second) {
          ArmCounts& counts = run->arrived[node];
          (is_canary ? counts.canary : counts.stable) += count;
        }
      }
      if (!is_canary) continue;
      run->canary.Merge(series);
      if (series.Counter(telemetry::kBad) == 0) continue;
      if (now_wall_ms - run->last_bad_wall_ms > kQuietMs) run->first_bad_wall_ms = now_wall_ms;
      run->last_bad_wall_ms = now_wall_ms;
    }
  }
}

void Driver::OnNodes(std::vector<NodeFacts> nodes, uint64_t published) {
  constexpr size_t kRestartsKept = 8;
  nodes_ = std::move(nodes);
  published_ = published;
  for (const NodeFacts& node : nodes_) {
    const auto [known, is_new] = incarnations_.try_emplace(node.id, node.incarnation);
    if (is_new || known->second == node.incarnation) continue;
    known->second = node.incarnation;
    std::deque<int64_t>& restarts = restarts_ms_[node.id];
    restarts.push_back(last_tick_ms_);
    if (restarts.size() > kRestartsKept) restarts.pop_front();
  }
  TellEpisodes();
}

bool Driver::Tick(int64_t now_ms, int64_t now_wall_ms) {
  const int64_t elapsed_ms =
      last_tick_ms_ == 0 ? 0 : std::min(now_ms - last_tick_ms_, kLongestTickMs);
  if (last_tick_ms_ == 0) first_tick_ms_ = now_ms;
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
  if (now_ms - last_unload_ms_ >= kUnloadEveryMs) {
    last_unload_ms_ = now_ms;
    committed |= UnloadPrevious(now_wall_ms);
  }
  return committed;
}

// The clocks begin anew with each phase and each step of a rollback.
void Driver::FollowPhase(const Resource& rollout, Run& run) {
  const RolloutStatus& status = *rollout.status;
  if (run.phase != status.phase || run.entered_wall_ms != EnteredMs(status)) {
    run.phase = status.phase;
    run.entered_wall_ms = EnteredMs(status);
    run.stable_turned_away_before = StableTurnedAway(run);
    run.phase_turned_away = run.phase_stable_turned_away = 0;
    run.phase_age_ms = 0;
    run.phase_requests = 0;
    run.phase_stable_requests = 0;
    run.shares.BeginPhase();
    run.gates.clear();
  }
  if (run.rollback_step != status.rollback_step) {
    run.rollback_step = status.rollback_step;
    run.rollback_age_ms = 0;
  }
}

bool Driver::TickOne(const Resource& rollout, Run& run, int64_t elapsed_ms, int64_t now_ms,
                     int64_t now_wall_ms) {
  const RolloutStatus& status = *rollout.status;
  FollowPhase(rollout, run);
  run.phase_requests += run.canary.Counter(telemetry::kRequests);
  run.phase_stable_requests += run.stable.Counter(telemetry::kRequests);
  run.phase_turned_away += TurnedAway(run.canary, run.judged_by.is_shadow);
  run.phase_stable_turned_away += TurnedAway(run.stable, run.judged_by.is_shadow);
  run.shares.Add(run.arrived, now_ms);
  run.arrived.clear();
  const bool is_back = status.state == "rolling_back" && status.percentage == 0;
  if (!is_back && now_ms >= run.settles_until_ms) Judge(rollout, run, now_ms, now_wall_ms);
  run.stable = {};
  run.canary = {};
  if (status.state == "rolling_back") run.rollback_age_ms += elapsed_ms;
  if (status.state != "rolling_back" && LoadWanted(rollout)) return true;
  const Evidence evidence = Gather(rollout, run, now_ms, now_wall_ms);
  TellTrends(rollout, run, now_ms);
  TellFailure(rollout, run, evidence, now_ms);
  TellHeld(rollout, run, evidence, now_ms);
  TellIncomplete(rollout, run, evidence, now_ms);
  const Step step = Next(rollout.As<RolloutSpec>(), status, evidence, now_wall_ms);
  run.waiting_for = step.waiting_for;
  // What is not committed yet is not shown.
  run.shown_state = step.kind == Step::Kind::kStay ? step.shown_state : status.state;
  if (step.kind == Step::Kind::kStay) {
    if (step.shown_state == "progressing") run.phase_age_ms += elapsed_ms;
    return false;
  }
  if (step.kind == Step::Kind::kComplete && now_ms < first_tick_ms_ + kNodesReturnMs) {
    run.waiting_for = "nodes to come back";
    return false;
  }
  const std::string name = rollout.name;
  const Result<uint64_t> revision =
      Carry(rollout, step, "rollout/" + name, step.reason, now_wall_ms);
  if (!revision.ok()) {
    if (run.failed_commit != revision.status().ToString()) {
      Log("rollout").error("{}: {} cannot be committed: {}", name, step.reason,
                           revision.status().ToString());
    }
    run.failed_commit = revision.status().ToString();
    return false;
  }
  Log("rollout").info("{}: {} (revision {})", name, step.reason, *revision);
  AfterCommit(run, step, *revision);
  if (!domain::IsActive(step.next)) runs_.erase(name);  // `run` is gone; a retry begins anew
  return true;
}

void Driver::AfterCommit(Run& run, const Step& step, uint64_t revision) {
  run.failed_commit.clear();
  run.shown_state = step.shown_state;
  run.waiting_for = step.waiting_for;
  if (step.kind == Step::Kind::kRollback) run.rollback_revision = revision;
  // What was acted on must not act again on the same evidence.
  if (step.kind == Step::Kind::kRollback || step.kind == Step::Kind::kBack) {
    JudgeAnew(run);
    run.settles_until_ms = last_tick_ms_ + kSettleMs;
  }
}

void Driver::JudgeAnew(Run& run) {
  run.verdict.reset();
  Result<analysis::Judge> judge = MakeJudge(run.judged_by.rollback, run.judged_by.phase);
  if (!judge.ok()) return;  // it was made from the same before
  judge->LearnStableFrom(run.judge);
  run.judge = *std::move(judge);
}

void Driver::Judge(const Resource& rollout, Run& run, int64_t now_ms, int64_t now_wall_ms) {
  std::vector<analysis::Verdict> verdicts = run.judge.Tick(now_ms, run.stable, run.canary);
  for (analysis::Verdict& verdict : verdicts) {
    NameNodes(rollout, run, verdict);
    if (verdict.action == analysis::Trigger::Action::kAlert &&
        IsNews(run, "alert " + verdict.trigger, 600'000, now_ms)) {
      Notify(
          "rollout_alert", "warning",
          {{"rollout", rollout.name}, {"trigger", verdict.trigger}, {"detail", verdict.evidence}});
    }
    if (!Outranks(verdict, run.verdict)) continue;
    const int64_t first_bad = run.first_bad_wall_ms == 0 ? now_wall_ms : run.first_bad_wall_ms;
    run.verdict = Record(verdict, first_bad, now_wall_ms);
    Log("rollout").warn("{}: {} {}: {}", rollout.name, verdict.trigger,
                        analysis::ActionName(verdict.action), verdict.evidence);
  }
}

// Of a verdict on errors, which nodes have them; and what it leads to where that is one alone.
void Driver::NameNodes(const Resource& rollout, const Run& run, analysis::Verdict& verdict) {
  if (!verdict.on_errors || verdict.canary_bad == 0) return;
  const CountsByNode recent = run.shares.Recent();
  const std::string alone = LoneWitness(recent);
  const BadNodes bad = WhereBad(recent);
  if (bad.count == 0) return;
  verdict.evidence += fmt::format("; lately bad on {} of {} node{}: {}", bad.count, recent.size(),
                                  recent.size() == 1 ? "" : "s", bad.text);
  if (alone.empty()) return;
  verdict.evidence += fmt::format("; without {} the canary is well", alone);
  verdict.action = Milder(verdict.action, rollout.As<RolloutSpec>().rollback.one_node);
}

}  // namespace weir::control::rollout
