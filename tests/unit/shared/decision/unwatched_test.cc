// SPDX-License-Identifier: Apache-2.0
// What is decided while the control plane has been silent for longer than a rollout allows.
#include <gtest/gtest.h>

#include <string>

#include "shared/decision/decide.h"

namespace weir::decision {
namespace {

domain::FlagEntry FlagNamed(const std::string& name, domain::FinePercent threshold) {
  domain::FlagEntry flag;
  flag.name = flag.seed = name;
  flag.enabled = true;
  flag.threshold = threshold;
  return flag;
}

Ruleset Rules(int64_t after_ms) {
  Ruleset rules;
  rules.Set(domain::ModelEntry{.name = "m", .stable = "1"});
  rules.Set(FlagNamed("f", 0));
  rules.Set(domain::SplitEntry{.rollout = "m-2",
                               .model = "m",
                               .candidate = "2",
                               .threshold = domain::kFineAll,
                               .hash_key = "user_id",
                               .seed = "m",
                               .unwatched_after_ms = after_ms});
  rules.Set(domain::SplitEntry{.rollout = "f-on",
                               .flag = "f",
                               .threshold = domain::kFineAll,
                               .hash_key = "user_id",
                               .seed = "f",
                               .unwatched_after_ms = after_ms});
  return rules;
}

TEST(Unwatched, CanaryKeysGoToStableOnceTheTimeHasPassed) {
  Ruleset rules = Rules(2000);
  const Model& model = *rules.models().Find("m");
  rules.unwatched_ms = 1999;
  EXPECT_TRUE(DecideArm(rules, model, {.user_id = "a"}, 0).is_canary);
  rules.unwatched_ms = 2000;
  const ArmDecision arm = DecideArm(rules, model, {.user_id = "a"}, 0);
  EXPECT_FALSE(arm.is_canary);
  EXPECT_EQ(arm.version, "1");
  EXPECT_EQ(arm.reason, Reason::kUnwatched);
  EXPECT_STREQ(ReasonName(arm.reason), "UNWATCHED");
  EXPECT_EQ(arm.rollout, "m-2");
}

TEST(Unwatched, AFlagFallsBackToItsOwnPercentage) {
  Ruleset rules = Rules(2000);
  const Flag& flag = *rules.flags().Find("f");
  EXPECT_TRUE(DecideFlag(rules, "f", "a", 0).enabled);
  EXPECT_EQ(DecideFlag(rules, "f", "a", 0).split->rollout, "f-on");
  EXPECT_EQ(ShareNow(rules, flag, 0), domain::kFineAll);
  rules.unwatched_ms = 2000;
  const FlagDecision own = DecideFlag(rules, "f", "a", 0);
  EXPECT_FALSE(own.enabled);
  EXPECT_EQ(own.detail, "unwatched");
  EXPECT_EQ(own.threshold, 0u);
  EXPECT_EQ(own.split, nullptr);
  EXPECT_EQ(ShareNow(rules, flag, 0), 0u);
  rules.Set(FlagNamed("f", 50'000));
  EXPECT_EQ(ShareNow(rules, *rules.flags().Find("f"), 0), 50'000u);
}

TEST(Unwatched, HoldKeepsTheShareForEver) {
  Ruleset rules = Rules(0);
  rules.unwatched_ms = 1'000'000'000;
  EXPECT_TRUE(DecideArm(rules, *rules.models().Find("m"), {.user_id = "a"}, 0).is_canary);
  EXPECT_TRUE(DecideFlag(rules, "f", "a", 0).enabled);
}

TEST(Unwatched, PhaseFlagsEndAsWell) {
  Ruleset rules = Rules(2000);
  rules.Remove(domain::EntryKind::kSplit, "f-on");
  rules.Set(domain::SplitEntry{.rollout = "m-2",
                               .model = "m",
                               .candidate = "2",
                               .threshold = domain::kFineAll,
                               .hash_key = "user_id",
                               .seed = "m",
                               .unwatched_after_ms = 2000,
                               .flags = {"f"}});
  EXPECT_TRUE(DecideFlag(rules, "f", "a", 0).enabled);
  rules.unwatched_ms = 2000;
  EXPECT_FALSE(DecideFlag(rules, "f", "a", 0).enabled);
}

TEST(Unwatched, TheShareOfAKeyIsKnownAllTheSame) {
  Ruleset rules = Rules(2000);
  const Split* split = rules.model_splits().Find("m");
  EXPECT_TRUE(IsInShare(*split, "a"));
  domain::SplitEntry none = *split;
  none.threshold = 0;
  rules.Set(none);
  EXPECT_FALSE(IsInShare(*rules.model_splits().Find("m"), "a"));
}

}  // namespace
}  // namespace weir::decision
