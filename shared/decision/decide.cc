// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/decide.h"

#include <algorithm>

#include "shared/decision/bucket.h"

namespace weir::decision {
namespace {

using std::literals::operator""sv;

// Flags looked at for one decision, counted each time. Validation refuses cycles; a hostile
// snapshot, or a lattice of parents, must still end.
constexpr int kMaxLooks = 256;

struct Share {
  bool in = false;
  bool has_bucket = false;  // not at 0 and 100
  domain::FinePercent bucket = 0;
};

Share InShare(domain::FinePercent threshold, bool random_strategy, std::string_view key,
              std::string_view seed, uint64_t random) {
  if (threshold == 0) return {};
  if (threshold >= domain::kFineAll) return {.in = true, .has_bucket = false, .bucket = 0};
  const domain::FinePercent bucket =
      random_strategy ? static_cast<domain::FinePercent>(random % domain::kFineAll)
                      : FineBucket(HashPrefix(key, seed));
  return {bucket < threshold, true, bucket};
}

// For decisions on flags and on arms alike.
template <class Decision>
void Explain(const Share& share, domain::FinePercent threshold, Decision& decision) {
  decision.reason = share.has_bucket ? Reason::kSplit : Reason::kStatic;
  if (share.has_bucket) decision.bucket = share.bucket;
  decision.threshold = threshold;
}

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
                                      const FlagInputs& inputs) {
  targeting::Arena arena;
  const targeting::Outcome outcome = targeting::Evaluate(
      *flag.rule, {flag.name, inputs.key, inputs.now_wall_ms, inputs.context}, arena);
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
                    int& looks_left);

// The first parent that is not on for the key; null: all are.
std::optional<FlagDecision> Blocked(const Ruleset& rules, const Flag& flag,
                                    const FlagInputs& inputs, int& looks_left) {
  for (const std::string& parent : flag.parents) {
    if (--looks_left <= 0) return TurnedOff(flag, Reason::kPrerequisite, parent);
    const FlagDecision decision = Decide(rules, parent, inputs, looks_left);
    if (decision.error == FlagError::kTargetingKeyMissing) {
      return Fail(&flag, decision.error, "a prerequisite's percentage needs a targeting key");
    }
    if (!decision.enabled) return TurnedOff(flag, Reason::kPrerequisite, parent);
  }
  return std::nullopt;
}

FlagDecision Decide(const Ruleset& rules, std::string_view name, const FlagInputs& inputs,
                    int& looks_left) {
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
    if (auto blocked = Blocked(rules, *flag, inputs, looks_left)) return *blocked;
  }
  if (flag->rule != nullptr) return Target(*flag, now.default_variant, inputs);
  if (flag->IsVariant()) return WithDefault(*flag, now.default_variant, Reason::kStatic);
  const auto& list = flag->allowlist;
  if (!list.empty() && std::find(list.begin(), list.end(), inputs.key) != list.end()) {
    FlagDecision listed = Off(flag, Reason::kAllowlist);
    listed.enabled = true;
    return listed;
  }
  if (flag->allowlist_only) return Off(flag, Reason::kNotInAllowlist);
  const Split* split = rules.flag_splits().Find(name);
  if (split != nullptr && !split->applies) split = nullptr;
  const domain::FinePercent threshold = split != nullptr ? split->threshold : now.threshold;
  const bool random = split != nullptr ? split->random : flag->random;
  if (inputs.key.empty() && !random && threshold > 0 && threshold < domain::kFineAll) {
    return Fail(flag, FlagError::kTargetingKeyMissing, "a percentage needs a targeting key");
  }
  const Share share = InShare(threshold, random, inputs.key,
                              split != nullptr ? split->seed : flag->seed, inputs.random);
  FlagDecision decision = Off(flag, Reason::kSplit);
  Explain(share, threshold, decision);
  decision.enabled = share.in;
  if (split != nullptr) decision.detail = split->rollout;
  return decision;
}

FlagDecision InEmergency(const Ruleset& rules, std::string_view name) {
  const Reason reason =
      rules.emergency.kill_switch ? Reason::kKillSwitch : Reason::kRollbackToBaseline;
  const Flag* flag = rules.flags().Find(name);
  return flag != nullptr ? TurnedOff(*flag, reason) : Off(nullptr, reason);
}

// An operator's override of a model, if there is one that can be followed.
bool Force(const Overrides& overrides, const Model& model, const Split* split,
           ArmDecision& decision) {
  const auto pin = overrides.pins.find(model.name);
  if (pin != overrides.pins.end() && model.FindVersion(pin->second) != nullptr) {
    decision.version = pin->second;
    decision.reason = Reason::kOverride;
    return true;
  }
  const auto arm = overrides.splits.find(model.name);
  if (arm == overrides.splits.end()) return false;
  decision.is_canary = arm->second == "canary" && split != nullptr;
  if (decision.is_canary) decision.version = split->candidate;
  decision.reason = Reason::kOverride;
  return true;
}

struct Chosen {
  std::string_view key;
  KeySource source;
};

Chosen ChooseKey(const Keys& keys, std::string_view wanted) {
  const Chosen all[] = {{keys.user_id, KeySource::kUserId},
                        {keys.session_id, KeySource::kSessionId},
                        {keys.request_id, KeySource::kRequestId}};
  for (const Chosen& candidate : all) {
    if (!candidate.key.empty() && wanted == KeySourceName(candidate.source)) return candidate;
  }
  for (const Chosen& candidate : all) {
    if (!candidate.key.empty()) return candidate;
  }
  return {{}, KeySource::kRandom};
}

}  // namespace

const char* ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kKillSwitch:
      return "KILL_SWITCH";
    case Reason::kRollbackToBaseline:
      return "ROLLBACK_TO_BASELINE";
    case Reason::kFlagNotFound:
      return "FLAG_NOT_FOUND";
    case Reason::kDisabled:
      return "DISABLED";
    case Reason::kRolledBack:
      return "ROLLED_BACK";
    case Reason::kPrerequisite:
      return "PREREQUISITE";
    case Reason::kNotInAllowlist:
      return "NOT_IN_ALLOWLIST";
    case Reason::kAllowlist:
      return "ALLOWLIST";
    case Reason::kSplit:
      return "SPLIT";
    case Reason::kStatic:
      return "STATIC";
    case Reason::kNoRollout:
      return "NO_ROLLOUT";
    case Reason::kNodeNotSelected:
      return "NODE_NOT_SELECTED";
    case Reason::kPinned:
      return "PINNED";
    case Reason::kOverride:
      return "OVERRIDE";
    case Reason::kTargetingMatch:
      return "TARGETING_MATCH";
    case Reason::kDefault:
      return "DEFAULT";
    case Reason::kError:
      return "ERROR";
  }
  return "?";
}

const char* KeySourceName(KeySource source) {
  switch (source) {
    case KeySource::kUserId:
      return "user_id";
    case KeySource::kSessionId:
      return "session_id";
    case KeySource::kRequestId:
      return "request_id";
    case KeySource::kRandom:
      return "random";
  }
  return "?";
}

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
  int looks_left = kMaxLooks;
  FlagDecision decision = rules.emergency.kill_switch || rules.emergency.baseline
                              ? InEmergency(rules, name)
                              : Decide(rules, name, inputs, looks_left);
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
  const Split* split = rules.flag_splits().Find(flag.name);
  return split != nullptr && split->applies ? split->threshold : now.threshold;
}

ArmDecision DecideArm(const Ruleset& rules, const Model& model, const Keys& keys, uint64_t random) {
  ArmDecision decision;
  decision.version = model.stable;
  const Split* split = rules.model_splits().Find(model.name);
  if (rules.overrides != nullptr && !rules.emergency.baseline &&
      Force(*rules.overrides, model, split, decision)) {
    return decision;
  }
  if (!model.pinned.empty()) {
    decision.version = model.pinned;
    decision.reason = Reason::kPinned;
    return decision;
  }
  if (split == nullptr) return decision;
  decision.rollout = split->rollout;
  if (rules.emergency.baseline) {
    decision.reason = Reason::kRollbackToBaseline;
    return decision;
  }
  if (!split->applies) {
    decision.reason = Reason::kNodeNotSelected;
    return decision;
  }
  const Chosen chosen = ChooseKey(keys, split->hash_key);
  const bool at_random = split->random || chosen.source == KeySource::kRandom;
  const Share share = InShare(split->threshold, at_random, chosen.key, split->seed, random);
  decision.key_source = chosen.source;
  decision.key = chosen.key;
  Explain(share, split->threshold, decision);
  decision.is_canary = share.in;
  if (share.in) decision.version = split->candidate;
  return decision;
}

GroupDecision DecideGroup(const Ruleset& rules, const Experiment& experiment,
                          std::string_view key) {
  GroupDecision decision;
  if (experiment.groups.empty() || experiment.total == 0) return decision;
  decision.bucket = ExperimentBucket(key, experiment.seed, experiment.total);
  decision.group = experiment.groups.front().name;
  if (rules.emergency.baseline) {
    decision.reason = Reason::kRollbackToBaseline;
    return decision;
  }
  uint64_t cumulative = 0;
  for (const domain::ExperimentGroup& group : experiment.groups) {
    cumulative += group.weight;
    if (decision.bucket < cumulative) {
      decision.group = group.name;
      break;
    }
  }
  return decision;
}

}  // namespace weir::decision
