// SPDX-License-Identifier: Apache-2.0
// Flags that a phase of a model's rollout turns on for the keys of its canary.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "shared/decision/decide.h"

namespace weir::decision {
namespace {

domain::FlagEntry FlagAt(domain::FinePercent threshold) {
  domain::FlagEntry flag;
  flag.name = flag.seed = "new_prompt";
  flag.enabled = true;
  flag.threshold = threshold;
  return flag;
}

domain::SplitEntry SplitAt(domain::FinePercent threshold) {
  return {.rollout = "fraud-1-1-0",
          .model = "fraud_detection",
          .candidate = "1.1.0",
          .threshold = threshold,
          .hash_key = "user_id",
          .seed = "fraud_detection",
          .flags = {"new_prompt"}};
}

Ruleset Rules(domain::FinePercent own, domain::FinePercent share) {
  Ruleset rules;
  rules.Set(domain::ModelEntry{.name = "fraud_detection", .stable = "1.0.0"});
  rules.Set(FlagAt(own));
  rules.Set(SplitAt(share));
  return rules;
}

bool IsOn(const Ruleset& rules, const std::string& key) {
  return DecideFlag(rules, "new_prompt", key, 0).enabled;
}

bool IsCanary(const Ruleset& rules, const std::string& key) {
  return DecideArm(rules, *rules.models().Find("fraud_detection"), {.user_id = key}, 0).is_canary;
}

// user_123 is in bucket 33068 of fraud_detection (DECISIONS).
TEST(PhaseFlags, AreOnForTheCanarysKeysAndSayWhose) {
  const Ruleset rules = Rules(0, 33'069);
  const FlagDecision on = DecideFlag(rules, "new_prompt", "user_123", 0);
  EXPECT_TRUE(on.enabled);
  EXPECT_EQ(on.reason, Reason::kSplit);
  EXPECT_EQ(on.detail, "fraud-1-1-0");
  EXPECT_EQ(on.bucket, 33'068u);
  EXPECT_EQ(on.threshold, 33'069u);
  EXPECT_EQ(on.value, "true");
  EXPECT_EQ(on.split, nullptr) << "no rollout of the flag itself is judged by it";
  EXPECT_FALSE(IsOn(Rules(0, 33'068), "user_123"));
}

TEST(PhaseFlags, AreOnForExactlyTheCanarysKeys) {
  const Ruleset rules = Rules(0, 20'000);
  int on = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "user-" + std::to_string(i);
    EXPECT_EQ(IsOn(rules, key), IsCanary(rules, key)) << key;
    on += IsOn(rules, key) ? 1 : 0;
  }
  EXPECT_GT(on, 100);
  EXPECT_LT(on, 300);
}

TEST(PhaseFlags, NeverTurnOffWhatTheFlagsOwnPercentageHasOn) {
  const Ruleset alone = Rules(30'000, 0);
  const Ruleset both = Rules(30'000, 20'000);
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "user-" + std::to_string(i);
    EXPECT_EQ(IsOn(both, key), IsOn(alone, key) || IsCanary(both, key)) << key;
  }
  EXPECT_TRUE(IsOn(Rules(domain::kFineAll, 1), "user-1"));
}

TEST(PhaseFlags, DoNothingInAShadowPhase) {
  Ruleset rules = Rules(0, domain::kFineAll);
  ASSERT_TRUE(IsOn(rules, "user_123"));
  domain::SplitEntry shadow = SplitAt(domain::kFineAll);
  shadow.shadow = true;
  rules.Set(shadow);
  EXPECT_FALSE(IsOn(rules, "user_123"));
}

TEST(PhaseFlags, AFlagWithARolloutOfItsOwnFollowsThat) {
  Ruleset rules = Rules(0, domain::kFineAll);
  rules.Set(domain::SplitEntry{.rollout = "prompt",
                               .flag = "new_prompt",
                               .threshold = 0,
                               .hash_key = "user_id",
                               .seed = "s"});
  const FlagDecision off = DecideFlag(rules, "new_prompt", "user_123", 0);
  EXPECT_FALSE(off.enabled);
  EXPECT_EQ(off.detail, "prompt");
  ASSERT_NE(off.split, nullptr);
  EXPECT_EQ(off.split->rollout, "prompt");
  rules.Remove(domain::EntryKind::kSplit, "prompt");
  EXPECT_TRUE(IsOn(rules, "user_123"));
}

TEST(PhaseFlags, EndWithTheRolloutAndWithThePhase) {
  Ruleset rules = Rules(0, domain::kFineAll);
  const Ruleset before = rules;
  domain::SplitEntry next = SplitAt(domain::kFineAll);
  next.flags.clear();
  rules.Set(next);
  EXPECT_FALSE(IsOn(rules, "user_123"));
  EXPECT_TRUE(IsOn(before, "user_123")) << "a copy keeps what it had";
  rules.Set(SplitAt(domain::kFineAll));
  EXPECT_TRUE(IsOn(rules, "user_123"));
  rules.Remove(domain::EntryKind::kSplit, "fraud-1-1-0");
  EXPECT_FALSE(IsOn(rules, "user_123"));
}

TEST(PhaseFlags, OfSeveralRolloutsAnyTurnsItOn) {
  Ruleset rules = Rules(0, 0);
  domain::SplitEntry other = SplitAt(domain::kFineAll);
  other.rollout = "churn-2";
  other.model = "churn";
  rules.Set(other);
  EXPECT_EQ(DecideFlag(rules, "new_prompt", "user_123", 0).detail, "churn-2");
  rules.Remove(domain::EntryKind::kSplit, "churn-2");
  EXPECT_FALSE(IsOn(rules, "user_123"));
}

TEST(PhaseFlags, HoldOnlyWhereTheCanaryTakesKeys) {
  Ruleset rules = Rules(0, domain::kFineAll);
  domain::SplitEntry elsewhere = SplitAt(domain::kFineAll);
  elsewhere.nodes = {{"pool", "canary"}};
  rules.Set(elsewhere);
  EXPECT_FALSE(IsOn(rules, "user_123")) << "another node's";
  rules.Set(SplitAt(domain::kFineAll));
  auto overrides = std::make_shared<Overrides>();
  overrides->splits["fraud_detection"] = "stable";
  rules.overrides = overrides;
  EXPECT_FALSE(IsOn(rules, "user_123")) << "an operator sends its keys to stable";
  rules.overrides = nullptr;
  rules.Set(domain::ModelEntry{.name = "fraud_detection", .stable = "1.0.0", .pinned = "1.0.0"});
  EXPECT_FALSE(IsOn(rules, "user_123")) << "the model is pinned";
}

TEST(PhaseFlags, TurnOnNothingThatIsDisabledOrInAnEmergency) {
  Ruleset rules = Rules(0, domain::kFineAll);
  rules.emergency.kill_switch = true;
  EXPECT_FALSE(IsOn(rules, "user_123"));
  rules.emergency = {};
  domain::FlagEntry disabled = FlagAt(0);
  disabled.enabled = false;
  rules.Set(disabled);
  EXPECT_EQ(DecideFlag(rules, "new_prompt", "user_123", 0).reason, Reason::kDisabled);
}

TEST(PhaseFlags, WithoutAKeyTheFlagsOwnPercentageHolds) {
  EXPECT_FALSE(IsOn(Rules(0, 20'000), ""));
  EXPECT_TRUE(IsOn(Rules(domain::kFineAll, 20'000), ""));
}

}  // namespace
}  // namespace weir::decision
