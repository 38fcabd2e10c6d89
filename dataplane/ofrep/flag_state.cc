// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/flag_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"

namespace weir::node::ofrep {
namespace {

using decision::Flag;
using decision::HashName;
using decision::Ruleset;

uint64_t HashOf(const Flag& flag) {
  return HashName(codec::ToMsgpack(static_cast<const domain::FlagEntry&>(flag)));
}

// What a phase's flags stand on beside the split: "" while nothing holds its canary back.
std::string_view HoldOn(const Ruleset& rules, const decision::Split& split) {
  const decision::Model* model = rules.models().Find(split.model);
  if (model != nullptr && !model->pinned.empty()) return "pinned";
  const bool is_forced =
      rules.overrides != nullptr && (rules.overrides->splits.contains(split.model) ||
                                     rules.overrides->pins.contains(split.model));
  return is_forced ? "forced" : "";
}

// Splits are keyed by their own names, so that their hashes may be added up in any order.
uint64_t HashOfRest(const Ruleset& rules) {
  uint64_t sum = 0;
  std::string rest = rules.emergency.kill_switch ? "kill" : rules.emergency.baseline ? "base" : "";
  const auto add = [&](const decision::Split& split, std::string_view hold) {
    if (!split.applies || split.IsUnwatched(rules.unwatched_ms)) return;
    sum += HashName(codec::ToMsgpack<domain::SplitEntry>(split).append(hold));
  };
  rules.flag_splits().ForEach([&](const decision::Split& split) { add(split, ""); });
  rules.model_splits().ForEach([&](const decision::Split& split) {
    if (!split.flags.empty()) add(split, HoldOn(rules, split));
  });
  if (rules.overrides != nullptr) {
    for (const auto& [flag, outcome] : rules.overrides->flags) {
      rest.append("\n").append(flag).append("=").append(outcome);
    }
  }
  return sum + HashName(rest);
}

}  // namespace

bool FlagState::Update(std::shared_ptr<const Ruleset> rules, int64_t now_wall_ms) {
  UpdateFlags(rules_.get(), *rules);
  rest_ = HashOfRest(*rules);
  rules_ = std::move(rules);
  schedule_.clear();
  rules_->flags().ForEach([&](const Flag& flag) {
    for (const domain::ScheduledEntry& change : flag.schedule) {
      schedule_.push_back(change.at_wall_ms);
    }
  });
  std::sort(schedule_.begin(), schedule_.end());
  return Advance(now_wall_ms);
}

// Rulesets share the entries that did not change, and the one before is still held: an entry at the
// same place is the same entry.
void FlagState::UpdateFlags(const Ruleset* before, const Ruleset& now) {
  size_t shared_names = 0;
  now.flags().ForEach([&](const Flag& flag) {
    const Flag* old = before == nullptr ? nullptr : before->flags().Find(flag.name);
    if (old != nullptr) ++shared_names;
    if (old == &flag) return;
    if (old != nullptr) flags_ -= HashOf(*old);
    flags_ += HashOf(flag);
  });
  if (before == nullptr || before->flags().size() == shared_names) return;
  before->flags().ForEach([&](const Flag& old) {
    if (now.flags().Find(old.name) == nullptr) flags_ -= HashOf(old);
  });
}

bool FlagState::Advance(int64_t now_wall_ms) {
  if (rules_ == nullptr) return false;
  const auto next = std::upper_bound(schedule_.begin(), schedule_.end(), now_wall_ms);
  due_wall_ms_ = next == schedule_.begin() ? 0 : *(next - 1);
  std::string id = fmt::format("{:016x}{:016x}-{:x}", flags_, rest_, due_wall_ms_);
  if (id == id_) return false;
  id_ = std::move(id);
  return true;
}

int64_t FlagState::next_due_wall_ms() const {
  const auto next = std::upper_bound(schedule_.begin(), schedule_.end(), due_wall_ms_);
  return next == schedule_.end() ? kNever : *next;
}

}  // namespace weir::node::ofrep
