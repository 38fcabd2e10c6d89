// SPDX-License-Identifier: Apache-2.0
// The decisions themselves (DECISIONS): pure functions from a ruleset and a key to an answer that
// explains itself. The same code runs on nodes, in `weir explain` and in tests. Answers hold views
// into the ruleset and live no longer than it; nothing here allocates.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "shared/decision/ruleset.h"

namespace weir::decision {

enum class Reason : uint8_t {
  kKillSwitch,
  kRollbackToBaseline,
  kFlagNotFound,
  kDisabled,
  kRolledBack,
  kPrerequisite,
  kNotInAllowlist,
  kAllowlist,
  kSplit,
  kStatic,
  kNoRollout,        // models: nothing is rolling out, stable answers
  kNodeNotSelected,  // models: the split is for other nodes
  kPinned,           // models: the model is pinned to a version
  kShadow,           // models: stable answers, and the candidate gets a copy
  kUnwatched,        // no control plane for longer than the rollout allows: stable
  kOverride,         // forced on this node by an operator
  kTargetingMatch,   // variant flags: the rule chose
  kDefault,          // variant flags: the rule had no answer
  kError,            // see FlagDecision::error
};
const char* ReasonName(Reason reason);  // "KILL_SWITCH"

// Where the bucketing key came from.
enum class KeySource : uint8_t { kUserId, kSessionId, kRequestId, kRandom };
const char* KeySourceName(KeySource source);  // "user_id", …, "random"

// Why there is no answer; the names are OpenFeature's error codes.
enum class FlagError : uint8_t {
  kNone,
  kFlagNotFound,
  kTargetingKeyMissing,
  kParseError,  // the definition is malformed
  kGeneral      // the rule failed, or chose a variant that is not there
};
const char* FlagErrorName(FlagError error);  // "FLAG_NOT_FOUND"

struct FlagDecision {
  // Rollout flags: on. Variant flags: the value is neither false, nor the off variant's, nor
  // absent.
  bool enabled = false;
  Reason reason = Reason::kFlagNotFound;
  std::optional<domain::FinePercent> bucket;
  std::optional<domain::FinePercent> threshold;
  // PREREQUISITE: which flag; SPLIT by a rollout, or by a phase that turns the flag on: which
  // rollout; ERROR: what is wrong. kUnwatchedDetail: the flag's rollout holds no more.
  std::string_view detail;
  FlagError error = FlagError::kNone;
  std::string_view variant;    // "on" or "off" for rollout flags; "" without a value
  std::string_view value;      // as JSON text; "" means that the caller's default holds
  const Flag* flag = nullptr;  // null when there is none of that name
  // The flag's rollout, where its share of keys decided: what is on is its canary, what is off its
  // stable arm. Null for all that something else decided, which belongs to neither.
  const Split* split = nullptr;
};
inline constexpr std::string_view kUnwatchedDetail = "unwatched";

struct FlagInputs {
  std::string_view key;      // the targeting key; may be empty
  uint64_t random = 0;       // drawn by the caller, for strategy: random
  int64_t now_wall_ms = 0;   // for schedules and $flagd.timestamp
  targeting::Value context;  // for targeting: a map; null is an empty one
};

FlagDecision DecideFlag(const Ruleset& rules, std::string_view flag, const FlagInputs& inputs);
inline FlagDecision DecideFlag(const Ruleset& rules, std::string_view flag, std::string_view key,
                               uint64_t random) {
  return DecideFlag(rules, flag, {.key = key, .random = random, .now_wall_ms = 0, .context = {}});
}

// What share of keys a rollout flag is on for now, by itself: an emergency, an override, a schedule
// and a rollout under way included; its prerequisites and allow-list are not.
domain::FinePercent ShareNow(const Ruleset& rules, const Flag& flag, int64_t now_wall_ms);

// What a request offers to be bucketed by; empty where it lacks one.
struct Keys {
  std::string_view user_id{};
  std::string_view session_id{};
  std::string_view request_id{};
};

// The key that something bucketed by `wanted` ("user_id", …) takes: that one, else the first that
// there is of user, session and request id; "" without any.
std::string_view KeyFor(const Keys& keys, std::string_view wanted);

// Whether a key that the request had for itself is in the split's share, whatever holds it back at
// the moment (an emergency, silence of the control plane). False for a strategy that draws.
bool IsInShare(const Split& split, std::string_view key);

struct ArmDecision {
  bool is_canary = false;
  bool is_copied = false;    // to the candidate: SHADOW, and the key is in the share
  std::string_view version;  // that the arm asks for
  Reason reason = Reason::kNoRollout;
  std::string_view rollout;
  std::optional<domain::FinePercent> bucket;
  std::optional<domain::FinePercent> threshold;
  KeySource key_source = KeySource::kRandom;
  std::string_view key;  // "" when it was drawn at random
};

// Which arm of a model a request belongs to. With no key at all the bucket comes from `random`.
ArmDecision DecideArm(const Ruleset& rules, const Model& model, const Keys& keys, uint64_t random);

struct GroupDecision {
  std::string_view group;
  uint64_t bucket = 0;             // the remainder
  Reason reason = Reason::kSplit;  // kRollbackToBaseline: the first group whatever the bucket
};
GroupDecision DecideGroup(const Ruleset& rules, const Experiment& experiment, std::string_view key);

}  // namespace weir::decision
