// SPDX-License-Identifier: Apache-2.0
#include "controlplane/gates/gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/gates/time_gate.h"
#include "shared/base/log.h"

namespace weir::control::gates {
namespace {

constexpr int64_t kTimeoutMs = 30'000;
constexpr int64_t kEveryMs = 60'000;
constexpr int64_t kPrometheusEveryMs = 15'000;
constexpr int64_t kShortestEveryMs = 100;
constexpr int64_t kLateMs = 5000;  // a shorter `every` is asked as often as the driver looks
constexpr int64_t kStopMs = 1000;

int64_t EveryMs(const domain::Gate& gate) {
  const int64_t usual_ms = gate.type == "prometheus" ? kPrometheusEveryMs : kEveryMs;
  return gate.every.ms > 0 ? std::max(gate.every.ms, kShortestEveryMs) : usual_ms;
}

// When the rollout came into the phase, 0 if that is not noted.
int64_t EnteredMs(const domain::Resource& rollout, uint64_t phase) {
  const auto& status = rollout.status;
  return status && phase < status->entered.size() ? status->entered[phase].ms : 0;
}

rollout::GateState StateOf(const Outcome& outcome) {
  return {outcome.state == Outcome::State::kPassed, outcome.state == Outcome::State::kFailed,
          outcome.reason};
}

}  // namespace

Gates::Gates(GatesOptions options)
    : options_(std::move(options)),
      commands_(kMostCommands, options_.core),
      calls_(kMostCommands, options_.core) {}

Gates::~Gates() { Stop(); }

void Gates::Stop() {
  *alive_ = false;
  for (auto& [key, check] : checks_) check.cancelled->store(true);
  checks_.clear();
  commands_.Stop(kStopMs);
  calls_.Stop(0);  // a call ends by itself, and leaves nothing behind
}

rollout::GateState Gates::Ask(const domain::Resource& rollout, uint64_t phase, size_t gate,
                              int64_t phase_age_ms) {
  const auto& spec = rollout.As<domain::RolloutSpec>();
  const domain::Gate& asked = spec.phases.at(phase).gates.at(gate);
  if (asked.type == "time_based")
    return StateOf(LookAtTime(asked, phase_age_ms, options_.clock.WallMs()));
  const Key key{rollout.name, phase, gate};
  const int64_t entered_ms = EnteredMs(rollout, phase);
  const auto found = checks_.find(key);
  if (found != checks_.end() &&
      (found->second.spec != spec || found->second.entered_wall_ms != entered_ms)) {
    found->second.cancelled->store(true);
    checks_.erase(found);
  }
  const auto [at, is_new] = checks_.try_emplace(key);
  Check& check = at->second;
  if (is_new) {
    check.spec = spec;
    check.entered_wall_ms = entered_ms;
    check.id = ++last_id_;
  }
  const bool is_done =
      asked.type == "automated_test" && check.outcome.state == Outcome::State::kPassed;
  const int64_t late_ms = options_.clock.MonotonicMs() - check.due_ms;
  if (!check.is_running && !is_done && late_ms >= 0) {
    // Nobody asked for a while (a pause, a freeze): what was found before it says nothing of now.
    if (check.attempts > 0 && late_ms > std::max(EveryMs(asked), kLateMs))
      check.outcome = {Outcome::State::kWaiting, "is asked anew: the last answer is too old"};
    Begin(rollout, key, check);
  }
  return StateOf(check.outcome);
}

Attempt Gates::MakeAttempt(const domain::Resource& rollout, const Key& key,
                           const Check& check) const {
  const domain::RolloutSpec& spec = check.spec;
  const domain::Phase& phase = spec.phases[std::get<1>(key)];
  Attempt attempt;
  attempt.gate = phase.gates[std::get<2>(key)];
  attempt.number = check.attempts;
  attempt.timeout_ms = attempt.gate.timeout.ms > 0 ? attempt.gate.timeout.ms : kTimeoutMs;
  attempt.every = FormatDurationMs(EveryMs(attempt.gate));
  attempt.allowed = options_.commands;
  const domain::Resource* model =
      spec.model.empty() ? nullptr : options_.find(domain::Kind::kModel, spec.model);
  attempt.environment = {
      "WEIR_ROLLOUT=" + rollout.name,
      "WEIR_PHASE=" + phase.name,
      "WEIR_SUBJECT=" + (spec.model.empty() ? "flag/" + spec.flag : "model/" + spec.model),
      "WEIR_CANDIDATE=" + spec.candidate,
      "WEIR_STABLE=" + (model == nullptr ? "" : model->As<domain::ModelSpec>().stable),
      fmt::format("WEIR_PERCENTAGE={}", phase.percentage),
      "WEIR_API=" + options_.api()};
  return attempt;
}

void Gates::Begin(const domain::Resource& rollout, const Key& key, Check& check) {
  ++check.attempts;
  check.is_running = true;
  const Attempt attempt = MakeAttempt(rollout, key, check);
  check.due_ms = options_.clock.MonotonicMs() + EveryMs(attempt.gate);
  const bool is_command = !attempt.gate.command.empty() && attempt.gate.type == "automated_test";
  (is_command ? commands_ : calls_)
      .Run([this, key, id = check.id, attempt, is_command, cancelled = check.cancelled,
            alive = alive_]() -> WorkPool::Done {
        Outcome outcome;
        if (!cancelled->load()) {
          outcome = is_command                          ? TryCommand(attempt, *cancelled)
                    : attempt.gate.type == "prometheus" ? AskPrometheus(attempt)
                                                        : TryUrl(attempt);
        }
        return [this, key, id, outcome = std::move(outcome), alive] {
          if (*alive) OnOutcome(key, id, outcome);
        };
      });
}

void Gates::OnOutcome(const Key& key, uint64_t id, Outcome outcome) {
  const auto found = checks_.find(key);
  if (found == checks_.end() || found->second.id != id) return;
  Check& check = found->second;
  check.is_running = false;
  // An answer's age counts from now: a slow one is not an old one.
  check.due_ms = std::max(check.due_ms, options_.clock.MonotonicMs());
  const bool has_changed = check.outcome.state != outcome.state || check.attempts == 1;
  check.outcome = std::move(outcome);
  if (has_changed)
    Log("gates").info("{}: gate {} of phase {}: {}", std::get<0>(key), std::get<2>(key) + 1,
                      check.spec.phases[std::get<1>(key)].name, check.outcome.reason);
}

void Gates::Tick() {
  std::erase_if(checks_, [this](auto& item) {
    const auto& [name, phase, gate] = item.first;
    const domain::Resource* rollout = options_.find(domain::Kind::kRollout, name);
    const bool is_wanted = rollout != nullptr && rollout->status.has_value() &&
                           domain::IsActive(*rollout->status) && rollout->status->phase == phase &&
                           rollout->status->state != "rolling_back";
    if (!is_wanted) item.second.cancelled->store(true);
    return !is_wanted;
  });
}

}  // namespace weir::control::gates
