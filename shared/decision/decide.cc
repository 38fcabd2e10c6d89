// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/decide.h"

#include <algorithm>

#include "shared/decision/bucket.h"

namespace weir::decision {
namespace {

constexpr int kMaxParents = 64;  // validation refuses cycles; a hostile snapshot must still end

struct Share {
  bool in = false;
  Reason reason = Reason::kStatic;
  std::optional<domain::FinePercent> bucket;
};

Share InShare(domain::FinePercent threshold, bool random_strategy, std::string_view key,
              std::string_view seed, uint64_t random) {
  if (threshold == 0) return {false, Reason::kStatic, std::nullopt};
  if (threshold >= domain::kFineAll) return {true, Reason::kStatic, std::nullopt};
  const domain::FinePercent bucket =
      random_strategy ? static_cast<domain::FinePercent>(random % domain::kFineAll)
                      : FineBucket(HashPrefix(key, seed));
  return {bucket < threshold, Reason::kSplit, bucket};
}

FlagDecision Off(Reason reason, std::string_view detail = {}) {
  FlagDecision decision;
  decision.reason = reason;
  decision.detail = detail;
  return decision;
}

FlagDecision DecideAtDepth(const Ruleset& rules, std::string_view name, std::string_view key,
                           uint64_t random, int depth) {
  const Flag* flag = rules.flags().Find(name);
  if (flag == nullptr) return Off(Reason::kFlagNotFound);
  if (!flag->enabled) return Off(Reason::kDisabled);
  if (flag->rolled_back) return Off(Reason::kRolledBack);
  for (const std::string& parent : flag->parents) {
    if (depth >= kMaxParents || !DecideAtDepth(rules, parent, key, random, depth + 1).enabled) {
      return Off(Reason::kPrerequisite, parent);
    }
  }
  const bool listed =
      !flag->allowlist.empty() &&
      std::find(flag->allowlist.begin(), flag->allowlist.end(), key) != flag->allowlist.end();
  if (listed)
    return {
        .enabled = true, .reason = Reason::kAllowlist, .bucket = {}, .threshold = {}, .detail = {}};
  if (flag->allowlist_only) return Off(Reason::kNotInAllowlist);
  const Split* split = rules.flag_splits().Find(name);
  if (split != nullptr && !split->applies) split = nullptr;
  const domain::FinePercent threshold = split != nullptr ? split->threshold : flag->threshold;
  const Share share = split != nullptr ? InShare(threshold, split->random, key, split->seed, random)
                                       : InShare(threshold, flag->random, key, flag->seed, random);
  return {share.in, share.reason, share.bucket, threshold,
          split != nullptr ? std::string_view(split->rollout) : std::string_view()};
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

FlagDecision DecideFlag(const Ruleset& rules, std::string_view flag, std::string_view key,
                        uint64_t random) {
  if (rules.emergency.kill_switch) return Off(Reason::kKillSwitch);
  if (rules.emergency.baseline) return Off(Reason::kRollbackToBaseline);
  return DecideAtDepth(rules, flag, key, random, 0);
}

ArmDecision DecideArm(const Ruleset& rules, const Model& model, const Keys& keys, uint64_t random) {
  ArmDecision decision;
  decision.version = model.stable;
  if (!model.pinned.empty()) {
    decision.version = model.pinned;
    decision.reason = Reason::kPinned;
    return decision;
  }
  const Split* split = rules.model_splits().Find(model.name);
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
  decision.reason = share.reason;
  decision.bucket = share.bucket;
  decision.threshold = split->threshold;
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
