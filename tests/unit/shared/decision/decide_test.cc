// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/decide.h"

#include <gtest/gtest.h>

#include "shared/decision/bucket.h"

namespace weir::decision {
namespace {

domain::FlagEntry FlagAt(const std::string& name, domain::FinePercent threshold) {
  domain::FlagEntry flag;
  flag.name = name;
  flag.enabled = true;
  flag.threshold = threshold;
  flag.seed = "ttft-pipeline-2025-01-08";
  return flag;
}

Ruleset WithModel(domain::FinePercent threshold, domain::Labels nodes = {},
                  domain::Labels own = {}) {
  Ruleset rules(own);
  domain::ModelEntry model;
  model.name = "fraud_detection";
  model.stable = "1.0.0";
  rules.Set(model);
  domain::SplitEntry split;
  split.rollout = "fraud-1-1-0";
  split.model = "fraud_detection";
  split.candidate = "1.1.0";
  split.threshold = threshold;
  split.hash_key = "user_id";
  split.seed = "fraud_detection";
  split.nodes = nodes;
  rules.Set(split);
  return rules;
}

ArmDecision Arm(const Ruleset& rules, const Keys& keys, uint64_t random = 0) {
  return DecideArm(rules, *rules.models().Find("fraud_detection"), keys, random);
}

TEST(DecideFlag, SplitsAtTheBucket) {
  Ruleset rules;
  rules.Set(FlagAt("ttft", 17'159));
  EXPECT_FALSE(DecideFlag(rules, "ttft", "user-2", 0).enabled);
  rules.Set(FlagAt("ttft", 17'160));
  const FlagDecision in = DecideFlag(rules, "ttft", "user-2", 0);
  EXPECT_TRUE(in.enabled);
  EXPECT_EQ(in.reason, Reason::kSplit);
  EXPECT_EQ(in.bucket, 17'159u);
  EXPECT_EQ(in.threshold, 17'160u);
}

TEST(DecideFlag, NoneAndAllNeedNoHash) {
  Ruleset rules;
  rules.Set(FlagAt("none", 0));
  rules.Set(FlagAt("all", domain::kFineAll));
  EXPECT_FALSE(DecideFlag(rules, "none", "", 0).enabled);
  EXPECT_TRUE(DecideFlag(rules, "all", "", 0).enabled);
  EXPECT_EQ(DecideFlag(rules, "all", "", 0).reason, Reason::kStatic);
  EXPECT_FALSE(DecideFlag(rules, "all", "", 0).bucket.has_value());
}

TEST(DecideFlag, GivesTheFirstReasonInOrder) {
  Ruleset rules;
  domain::FlagEntry flag = FlagAt("f", domain::kFineAll);
  flag.allowlist_only = true;
  flag.allowlist = {"alice"};
  flag.parents = {"parent"};
  rules.Set(flag);
  rules.Set(FlagAt("parent", domain::kFineAll));
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kAllowlist);
  EXPECT_EQ(DecideFlag(rules, "f", "bob", 0).reason, Reason::kNotInAllowlist);
  rules.Set(FlagAt("parent", 0));
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kPrerequisite);
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).detail, "parent");
  flag.rolled_back = true;
  rules.Set(flag);
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kRolledBack);
  flag.enabled = false;
  rules.Set(flag);
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kDisabled);
  EXPECT_EQ(DecideFlag(rules, "missing", "alice", 0).reason, Reason::kFlagNotFound);
  rules.emergency.baseline = true;
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kRollbackToBaseline);
  rules.emergency.kill_switch = true;
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kKillSwitch);
}

TEST(DecideFlag, ParentMustBeOnForTheSameKey) {
  Ruleset rules;
  rules.Set(FlagAt("a", 50'000));
  domain::FlagEntry child = FlagAt("a.b", domain::kFineAll);
  child.parents = {"a"};
  rules.Set(child);
  for (int i = 0; i < 200; ++i) {
    const std::string key = "user-" + std::to_string(i);
    EXPECT_EQ(DecideFlag(rules, "a.b", key, 0).enabled, DecideFlag(rules, "a", key, 0).enabled);
  }
}

TEST(DecideFlag, HostileCycleEnds) {
  Ruleset rules;
  domain::FlagEntry a = FlagAt("a", domain::kFineAll);
  a.parents = {"a"};
  rules.Set(a);
  EXPECT_FALSE(DecideFlag(rules, "a", "k", 0).enabled);
}

TEST(DecideFlag, RolloutsPercentageReplacesTheFlagsOwn) {
  Ruleset rules;
  rules.Set(FlagAt("f", 0));
  domain::SplitEntry split;
  split.rollout = "r";
  split.flag = "f";
  split.threshold = domain::kFineAll;
  rules.Set(split);
  EXPECT_TRUE(DecideFlag(rules, "f", "k", 0).enabled);
  rules.Remove(domain::EntryKind::kSplit, "r");
  EXPECT_FALSE(DecideFlag(rules, "f", "k", 0).enabled);
}

TEST(DecideArm, FollowsTheCanaryGuide) {
  // bucket 33068 of DECISIONS' table
  EXPECT_TRUE(Arm(WithModel(33'069), {"user_123", "", ""}).is_canary);
  const Ruleset rules = WithModel(33'068);  // answers hold views into it
  const ArmDecision out = Arm(rules, {"user_123", "", ""});
  EXPECT_FALSE(out.is_canary);
  EXPECT_EQ(out.version, "1.0.0");
  EXPECT_EQ(out.bucket, 33'068u);
}

TEST(DecideArm, FallsBackThroughTheKeysAndSaysWhich) {
  const Ruleset rules = WithModel(50'000);
  EXPECT_EQ(Arm(rules, {"u", "s", "r"}).key_source, KeySource::kUserId);
  EXPECT_EQ(Arm(rules, {"", "s", "r"}).key_source, KeySource::kSessionId);
  EXPECT_EQ(Arm(rules, {"", "", "r"}).key_source, KeySource::kRequestId);
  EXPECT_EQ(Arm(rules, {"", "", ""}, 49'999).key_source, KeySource::kRandom);
  EXPECT_TRUE(Arm(rules, {"", "", ""}, 49'999).is_canary);
  EXPECT_FALSE(Arm(rules, {"", "", ""}, 50'000).is_canary);
}

TEST(DecideArm, NodeSelectorBaselineAndPinKeepStable) {
  EXPECT_EQ(Arm(WithModel(100'000, {{"env", "staging"}}, {{"env", "prod"}}), {"u", "", ""}).reason,
            Reason::kNodeNotSelected);
  EXPECT_TRUE(
      Arm(WithModel(100'000, {{"env", "staging"}}, {{"env", "staging"}}), {"u", "", ""}).is_canary);
  Ruleset baseline = WithModel(100'000);
  baseline.emergency.baseline = true;
  EXPECT_FALSE(Arm(baseline, {"u", "", ""}).is_canary);
  Ruleset killed = WithModel(100'000);
  killed.emergency.kill_switch = true;  // turns flags off, not splits
  EXPECT_TRUE(Arm(killed, {"u", "", ""}).is_canary);
}

TEST(DecideGroup, TakesTheFirstGroupWhoseCumulativeWeightExceeds) {
  Ruleset rules;
  domain::ExperimentEntry entry;
  entry.name = "e";
  entry.seed = "exp-2025";
  entry.groups = {{"control", 50}, {"treatment", 50}};
  rules.Set(entry);
  const GroupDecision in = DecideGroup(rules, *rules.experiments().Find("e"), "user-1");
  EXPECT_EQ(in.bucket, 72u);
  EXPECT_EQ(in.group, "treatment");
  entry.name = "skewed";
  entry.seed = "s";
  entry.groups = {{"control", 333}, {"treatment", 667}};
  rules.Set(entry);
  EXPECT_EQ(DecideGroup(rules, *rules.experiments().Find("skewed"), "user-3").group, "control");
  rules.emergency.baseline = true;
  EXPECT_EQ(DecideGroup(rules, *rules.experiments().Find("e"), "user-1").group, "control");
}

TEST(EntryTable, ReplacesRemovesAndShares) {
  Ruleset rules;
  for (int i = 0; i < 1000; ++i) rules.Set(FlagAt("f" + std::to_string(i), 0));
  EXPECT_EQ(rules.flags().size(), 1000u);
  Ruleset copy = rules;
  EXPECT_EQ(copy.flags().Find("f7"), rules.flags().Find("f7"));
  copy.Set(FlagAt("f7", 5));
  EXPECT_EQ(copy.flags().size(), 1000u);
  EXPECT_EQ(rules.flags().Find("f7")->threshold, 0u);
  for (int i = 0; i < 1000; i += 2) copy.Remove(domain::EntryKind::kFlag, "f" + std::to_string(i));
  EXPECT_EQ(copy.flags().size(), 500u);
  EXPECT_EQ(copy.flags().Find("f8"), nullptr);
  EXPECT_NE(copy.flags().Find("f9"), nullptr);
}

}  // namespace
}  // namespace weir::decision
