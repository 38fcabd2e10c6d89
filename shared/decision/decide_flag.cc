// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "shared/decision/decide.h"
#include "shared/decision/share.h"

namespace weir::decision {
namespace {

using std::literals::operator""sv;

// What one decision may still spend, its prerequisites' included: flags looked at, counted each
// time, and steps of rules. Validation refuses cycles; a hostile snapshot, or a lattice of parents,
// must still end, and soon.
struct Budget {
  int looks_left = 256;
  uint32_t steps_left = targeting::kMaxSteps;
};

FlagDecision Off(const Flag* flag, Reason reason, std::string_view detail = {}) {
  FlagDecision decision;
  decision.reason = reason;
  decision.detail = detail;
  decision.flag = flag;
  return decision;
}

FlagDecision Fail(const Flag* flag, FlagError error, std::string_view detail) {
  FlagDecision decision = Off(flag, Reason::kError, detail);
  decision.error = error;
  return decision;
}

// What holds now of what a schedule may change.
struct Effective {
  bool enabled;
  domain::FinePercent threshold;
  std::string_view default_variant;
};

Effective EffectiveAt(const Flag& flag, int64_t now_wall_ms) {
  Effective now{flag.enabled, flag.threshold, flag.default_variant};
  for (const domain::ScheduledEntry& change : flag.schedule) {
    if (change.at_wall_ms > now_wall_ms) break;
    if (change.enabled) now.enabled = *change.enabled;
    if (change.threshold) now.threshold = *change.threshold;
    if (!change.default_variant.empty()) now.default_variant = change.default_variant;
  }
  return now;
}

FlagDecision WithVariant(const Flag& flag, const domain::VariantEntry& variant, Reason reason) {
  FlagDecision decision = Off(&flag, reason);
  decision.variant = variant.name;
  decision.value = variant.value.text;
  decision.enabled = variant.value.text != "false" && variant.name != flag.off_variant;
  return decision;
}

// A flag without a default variant leaves it to the caller: DEFAULT without a value.
FlagDecision WithDefault(const Flag& flag, std::string_view name, Reason reason) {
  if (name.empty()) return Off(&flag, Reason::kDefault);
  const domain::VariantEntry* variant = flag.FindVariant(name);
  if (variant == nullptr) {
    return Fail(&flag, FlagError::kGeneral, "the default is a variant that the flag does not have");
  }
  return WithVariant(flag, *variant, reason);
}

// What a flag answers when something above it turns it off.
FlagDecision TurnedOff(const Flag& flag, Reason reason, std::string_view detail = {}) {
  FlagDecision decision = Off(&flag, reason, detail);
  if (const domain::VariantEntry* variant = flag.FindVariant(flag.off_variant)) {
    decision.variant = variant->name;
    decision.value = variant->value.text;
  } else if (flag.is_boolean && !flag.variants.empty()) {
    decision.variant = "off";
    decision.value = "false";
  }
  return decision;
}

// "on" is a variant flag's default variant where it has none of that name.
FlagDecision Forced(const Flag* flag, std::string_view outcome) {
  if (flag == nullptr || !flag->IsVariant()) {
    FlagDecision decision = Off(flag, Reason::kOverride);
    decision.enabled = outcome == "on";
    return decision;
  }
  const domain::VariantEntry* variant = flag->FindVariant(outcome);
  if (variant == nullptr && outcome == "on") variant = flag->FindVariant(flag->default_variant);
  if (variant != nullptr) return WithVariant(*flag, *variant, Reason::kOverride);
  return TurnedOff(*flag, Reason::kOverride,
                   outcome == "off" ? "" : "the override names a variant that the flag lacks");
}

// Apart, so that only decisions with a rule make room for an arena on the stack.
[[gnu::noinline]] FlagDecision Target(const Flag& flag, std::string_view default_variant,
                                      const FlagInputs& inputs, Budget& budget) {
  targeting::Arena arena;
  const targeting::Outcome outcome =
      targeting::Evaluate(*flag.rule, {flag.name, inputs.key, inputs.now_wall_ms, inputs.context},
                          arena, budget.steps_left);
  switch (outcome.kind) {
    case targeting::Outcome::Kind::kNull:
      return WithDefault(flag, default_variant, Reason::kDefault);
    case targeting::Outcome::Kind::kError:
      return Fail(&flag, FlagError::kGeneral, outcome.error);
    case targeting::Outcome::Kind::kVariant:
      break;
  }
  const domain::VariantEntry* variant = flag.FindVariant(outcome.variant);
  if (variant == nullptr) {
    return Fail(&flag, FlagError::kGeneral, "the rule chose a variant that the flag does not have");
  }
  return WithVariant(flag, *variant, Reason::kTargetingMatch);
}

FlagDecision Decide(const Ruleset& rules, std::string_view name, const FlagInputs& inputs,
                    Budget& budget);

// The first parent that is not on for the key; null: all are.
std::optional<FlagDecision> Blocked(const Ruleset& rules, const Flag& flag,
                                    const FlagInputs& inputs, Budget& budget) {
  for (const std::string& parent : flag.parents) {
    if (--budget.looks_left <= 0) return TurnedOff(flag, Reason::kPrerequisite, parent);
    const FlagDecision decision = Decide(rules, parent, inputs, budget);
    if (decision.error == FlagError::kTargetingKeyMissing) {
      return Fail(&flag, decision.error, "a prerequisite's percentage needs a targeting key");
    }
    if (!decision.enabled) return TurnedOff(flag, Reason::kPrerequisite, parent);
  }
  return std::nullopt;
}

// Whether a rollout's canary takes keys here, so far as the rules tell.
bool TakesKeys(const Ruleset& rules, const Split& split) {
  if (!split.applies || split.shadow || split.IsUnwatched(rules.unwatched_ms)) return false;
  if (split.model.empty()) return true;
  const Model* model = rules.models().Find(split.model);
  if (model != nullptr && !model->pinned.empty()) return false;
  return rules.overrides == nullptr || (!rules.overrides->splits.contains(split.model) &&
                                        !rules.overrides->pins.contains(split.model));
}

// On for a key that a rollout whose phase turns the flag on sends to its candidate.
std::optional<FlagDecision> ByPhase(const Ruleset& rules, const Flag& flag,
                                    const FlagInputs& inputs) {
  const PhaseFlag* phases = rules.phase_flags().Find(flag.name);
  if (phases == nullptr) return std::nullopt;
  for (const Split* split : phases->splits) {
    const bool has_key =
        !inputs.key.empty() || split->random || split->threshold == domain::kFineAll;
    if (!has_key || !TakesKeys(rules, *split)) continue;
    const Share share =
        InShare(split->threshold, split->random, inputs.key, split->seed, inputs.random);
    if (!share.in) continue;
    FlagDecision decision = Off(&flag, Reason::kSplit, split->rollout);
    Explain(share, split->threshold, decision);
    decision.enabled = true;
    return decision;
  }
  return std::nullopt;
}

// The flag's rollout in force here, null for the flag's own percentage.
const Split* RolloutOf(const Ruleset& rules, const Flag& flag) {
  const Split* split = rules.flag_splits().Find(flag.name);
  return split != nullptr && split->applies ? split : nullptr;
}

FlagDecision ByPercentage(const Ruleset& rules, const Flag& flag, domain::FinePercent own,
                          const FlagInputs& inputs) {
  const Split* split = RolloutOf(rules, flag);
  if (split == nullptr) {
    if (auto on = ByPhase(rules, flag, inputs)) return *on;
  }
  const bool is_unwatched = split != nullptr && split->IsUnwatched(rules.unwatched_ms);
  if (is_unwatched) split = nullptr;
  const domain::FinePercent threshold = split != nullptr ? split->threshold : own;
  const bool random = split != nullptr ? split->random : flag.random;
  if (inputs.key.empty() && !random && threshold > 0 && threshold < domain::kFineAll) {
    return Fail(&flag, FlagError::kTargetingKeyMissing, "a percentage needs a targeting key");
  }
  const Share share = InShare(threshold, random, inputs.key,
                              split != nullptr ? split->seed : flag.seed, inputs.random);
  FlagDecision decision = Off(&flag, Reason::kSplit);
  Explain(share, threshold, decision);
  decision.enabled = share.in;
  decision.split = split;
  if (split != nullptr) decision.detail = split->rollout;
  if (is_unwatched) decision.detail = kUnwatchedDetail;
  return decision;
}

FlagDecision Decide(const Ruleset& rules, std::string_view name, const FlagInputs& inputs,
                    Budget& budget) {
  const Flag* flag = rules.flags().Find(name);
  if (rules.overrides != nullptr) {
    const auto forced = rules.overrides->flags.find(name);
    if (forced != rules.overrides->flags.end()) return Forced(flag, forced->second);
  }
  if (flag == nullptr) {
    FlagDecision none = Off(nullptr, Reason::kFlagNotFound);
    none.error = FlagError::kFlagNotFound;
    return none;
  }
  const Effective now = EffectiveAt(*flag, inputs.now_wall_ms);
  if (!now.enabled) return Off(flag, Reason::kDisabled);
  if (!flag->malformed.empty()) return Fail(flag, FlagError::kParseError, flag->malformed);
  if (flag->rolled_back) return TurnedOff(*flag, Reason::kRolledBack);
  if (!flag->parents.empty()) {
    if (auto blocked = Blocked(rules, *flag, inputs, budget)) return *blocked;
  }
  if (flag->rule != nullptr) return Target(*flag, now.default_variant, inputs, budget);
  if (flag->IsVariant()) return WithDefault(*flag, now.default_variant, Reason::kStatic);
  const auto& list = flag->allowlist;
  if (!list.empty() && std::find(list.begin(), list.end(), inputs.key) != list.end()) {
    FlagDecision listed = Off(flag, Reason::kAllowlist);
    listed.enabled = true;
    return listed;
  }
  if (flag->allowlist_only) return Off(flag, Reason::kNotInAllowlist);
  return ByPercentage(rules, *flag, now.threshold, inputs);
}

FlagDecision InEmergency(const Ruleset& rules, std::string_view name) {
  const Reason reason =
      rules.emergency.kill_switch ? Reason::kKillSwitch : Reason::kRollbackToBaseline;
  const Flag* flag = rules.flags().Find(name);
  return flag != nullptr ? TurnedOff(*flag, reason) : Off(nullptr, reason);
}

}  // namespace

const char* FlagErrorName(FlagError error) {
  switch (error) {
    case FlagError::kNone:
      return "";
    case FlagError::kFlagNotFound:
      return "FLAG_NOT_FOUND";
    case FlagError::kTargetingKeyMissing:
      return "TARGETING_KEY_MISSING";
    case FlagError::kParseError:
      return "PARSE_ERROR";
    case FlagError::kGeneral:
      return "GENERAL";
  }
  return "?";
}

FlagDecision DecideFlag(const Ruleset& rules, std::string_view name, const FlagInputs& inputs) {
  Budget budget;
  FlagDecision decision = rules.emergency.kill_switch || rules.emergency.baseline
                              ? InEmergency(rules, name)
                              : Decide(rules, name, inputs, budget);
  const bool has_variants = decision.flag != nullptr && decision.flag->IsVariant();
  if (!has_variants && decision.error == FlagError::kNone) {
    decision.variant = decision.enabled ? "on"sv : "off"sv;
    decision.value = decision.enabled ? "true"sv : "false"sv;
  }
  return decision;
}

domain::FinePercent ShareNow(const Ruleset& rules, const Flag& flag, int64_t now_wall_ms) {
  if (rules.emergency.kill_switch || rules.emergency.baseline) return 0;
  if (rules.overrides != nullptr) {
    const auto forced = rules.overrides->flags.find(flag.name);
    if (forced != rules.overrides->flags.end()) {
      return forced->second == "on" ? domain::kFineAll : 0;
    }
  }
  const Effective now = EffectiveAt(flag, now_wall_ms);
  if (!now.enabled || flag.rolled_back || flag.allowlist_only) return 0;
  const Split* split = RolloutOf(rules, flag);
  const bool holds = split != nullptr && !split->IsUnwatched(rules.unwatched_ms);
  return holds ? split->threshold : now.threshold;
}

}  // namespace weir::decision
