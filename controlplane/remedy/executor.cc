// SPDX-License-Identifier: Apache-2.0
#include "controlplane/remedy/executor.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/clock.h"

namespace weir::control::remedy {
namespace {

using codec::Json;

constexpr size_t kAlternating = 4;
constexpr size_t kMostExecutions = 1'000;  // as a policy may allow
constexpr size_t kMostCooled = 1'000;

Moment At(int64_t wall_ms, Moment now) {
  return {now.ms - std::max<int64_t>(0, now.wall_ms - wall_ms), wall_ms};
}

}  // namespace

const char* RulingName(Ruling ruling) {
  switch (ruling) {
    case Ruling::kAct:
      return "act";
    case Ruling::kDisabled:
      return "disabled";
    case Ruling::kBreaker:
      return "breaker";
    case Ruling::kCooldown:
      return "cooldown";
    case Ruling::kBudget:
      return "budget";
    case Ruling::kLoop:
      return "loop";
  }
  return "";
}

void Moves::Note(const std::string& target, int direction, Moment now) {
  if (direction == 0) return;
  std::deque<Move>& moves = moves_[target];
  moves.push_back({now, direction});
  if (moves.size() >= kAlternating) moves.pop_front();
}

bool Moves::Loops(const std::string& target, int direction, int64_t now_ms,
                  int64_t window_ms) const {
  const auto found = moves_.find(target);
  if (direction == 0 || found == moves_.end()) return false;
  const std::deque<Move>& moves = found->second;
  if (moves.size() + 1 < kAlternating) return false;
  int wanted = -direction;
  for (auto move = moves.rbegin(); move != moves.rend(); ++move, wanted = -wanted) {
    if (move->direction != wanted || now_ms - move->at.ms >= window_ms) return false;
  }
  return true;
}

Json Moves::Save() const {
  Json saved = Json::object();
  for (const auto& [target, moves] : moves_) {
    for (const Move& move : moves) saved[target].push_back({move.at.wall_ms, move.direction});
  }
  return saved;
}

void Moves::Load(const Json& saved, Moment now) {
  for (const auto& [target, moves] : saved.items()) {
    for (const Json& move : moves)
      Note(target, move.at(1).get<int>(), At(move.at(0).get<int64_t>(), now));
  }
}

Ruling Executor::Check(const domain::PolicySpec& policy, const Proposal& proposal,
                       const Moves& moves, Moment now) {
  if (!policy.enabled) return Ruling::kDisabled;
  if (IsOpen()) return Ruling::kBreaker;
  if (const auto last = cooled_.find(proposal.key);
      last != cooled_.end() && now.ms - last->second.ms < policy.cooldown.ms)
    return Ruling::kCooldown;
  if (proposal.is_free) return Ruling::kAct;
  if (Executions(now.ms, policy.budget_window.ms) >= policy.max_executions) return Ruling::kBudget;
  if (moves.Loops(proposal.target, proposal.direction, now.ms, policy.budget_window.ms)) {
    open_reason_ = fmt::format(
        "acts on {} undo each other: {} within {}; look at the policies of it, then "
        "weir policy reset",
        proposal.target, proposal.direction > 0 ? "down, up, down, up" : "up, down, up, down",
        FormatDurationMs(policy.budget_window.ms));
    open_since_wall_ms_ = now.wall_ms;
    return Ruling::kLoop;
  }
  return Ruling::kAct;
}

void Executor::Acted(const Proposal& proposal, Moment now) {
  Failed(proposal, now);
  if (proposal.is_free) return;
  executions_.push_back(now);
  if (executions_.size() > kMostExecutions) executions_.pop_front();
}

void Executor::Failed(const Proposal& proposal, Moment now) {
  cooled_[proposal.key] = now;
  if (cooled_.size() <= kMostCooled) return;
  cooled_.erase(std::min_element(cooled_.begin(), cooled_.end(), [](const auto& a, const auto& b) {
    return a.second.ms < b.second.ms;
  }));
}

bool Executor::Reset() {
  if (!IsOpen()) return false;
  open_reason_.clear();
  open_since_wall_ms_ = 0;
  return true;
}

uint64_t Executor::Executions(int64_t now_ms, int64_t window_ms) const {
  return static_cast<uint64_t>(
      std::count_if(executions_.begin(), executions_.end(),
                    [&](const Moment& at) { return now_ms - at.ms < window_ms; }));
}

Json Executor::Save() const {
  Json saved = {{"cooled", Json::object()}, {"executions", Json::array()}};
  for (const auto& [key, at] : cooled_) saved["cooled"][key] = at.wall_ms;
  for (const Moment& at : executions_) saved["executions"].push_back(at.wall_ms);
  if (IsOpen()) {
    saved["open"] = open_reason_;
    saved["open_since"] = open_since_wall_ms_;
  }
  return saved;
}

void Executor::Load(const Json& saved, Moment now) {
  for (const auto& [key, wall_ms] : saved.at("cooled").items())
    cooled_[key] = At(wall_ms.get<int64_t>(), now);
  for (const Json& wall_ms : saved.at("executions"))
    executions_.push_back(At(wall_ms.get<int64_t>(), now));
  open_reason_ = saved.value("open", std::string());
  open_since_wall_ms_ = saved.value("open_since", int64_t{0});
}

}  // namespace weir::control::remedy
