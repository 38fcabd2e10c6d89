// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/decide.h"

#include <algorithm>

#include "shared/decision/bucket.h"
#include "shared/decision/share.h"

namespace weir::decision {
namespace {

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
    case Reason::kShadow:
      return "SHADOW";
    case Reason::kUnwatched:
      return "UNWATCHED";
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

std::string_view KeyFor(const Keys& keys, std::string_view wanted) {
  return ChooseKey(keys, wanted).key;
}

bool IsInShare(const Split& split, std::string_view key) {
  return !split.random && InShare(split.threshold, false, key, split.seed, 0).in;
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
  if (split->IsUnwatched(rules.unwatched_ms)) {
    decision.reason = Reason::kUnwatched;
    return decision;
  }
  const Chosen chosen = ChooseKey(keys, split->hash_key);
  const bool at_random = split->random || chosen.source == KeySource::kRandom;
  const Share share = InShare(split->threshold, at_random, chosen.key, split->seed, random);
  decision.key_source = chosen.source;
  decision.key = chosen.key;
  Explain(share, split->threshold, decision);
  if (split->shadow) {
    decision.reason = Reason::kShadow;
    decision.is_copied = share.in;
    return decision;
  }
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
