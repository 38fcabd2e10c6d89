// SPDX-License-Identifier: Apache-2.0
// Every reason in the order of DECISIONS, for rollout flags and for variant flags; overrides and
// schedules.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "shared/decision/decide.h"

namespace weir::decision {
namespace {

domain::FlagEntry Rollout(const std::string& name, domain::FinePercent threshold) {
  domain::FlagEntry flag;
  flag.name = name;
  flag.enabled = true;
  flag.threshold = threshold;
  flag.seed = name;
  return flag;
}

// A colour, with grey when it is turned off.
domain::FlagEntry Colour() {
  domain::FlagEntry flag;
  flag.name = "colour";
  flag.enabled = true;
  flag.variants = {{"grey", {"\"#888\""}}, {"red", {"\"#f00\""}}};
  flag.default_variant = "red";
  flag.off_variant = "grey";
  return flag;
}

domain::FlagEntry YesNo() {
  domain::FlagEntry flag;
  flag.name = "yesno";
  flag.enabled = true;
  flag.variants = {{"no", {"false"}}, {"yes", {"true"}}};
  flag.default_variant = "yes";
  return flag;
}

domain::SplitEntry SplitOf(const std::string& flag, domain::FinePercent threshold) {
  domain::SplitEntry split;
  split.rollout = "rollout-of-" + flag;
  split.flag = flag;
  split.threshold = threshold;
  split.seed = flag;
  return split;
}

FlagInputs At(std::string_view key, int64_t now_wall_ms) {
  return {.key = key, .random = 0, .now_wall_ms = now_wall_ms, .context = {}};
}

struct Expected {
  Reason reason;
  std::string value;
  std::string variant;
  FlagError error = FlagError::kNone;
};

void Expect(const Ruleset& rules, std::string_view flag, const Expected& expected,
            std::string_view key = "k") {
  const FlagDecision decision = DecideFlag(rules, flag, key, 0);
  EXPECT_STREQ(ReasonName(decision.reason), ReasonName(expected.reason)) << flag;
  EXPECT_EQ(decision.value, expected.value) << flag;
  EXPECT_EQ(decision.variant, expected.variant) << flag;
  EXPECT_STREQ(FlagErrorName(decision.error), FlagErrorName(expected.error)) << flag;
}

// Everything that can turn a flag off holds at once; taken away one by one, from the top.
TEST(FlagReasons, RolloutFlagGoesThroughTheOrder) {
  Ruleset rules;
  rules.emergency.kill_switch = true;
  rules.emergency.baseline = true;
  Expect(rules, "f", {Reason::kKillSwitch, "false", "off"});
  rules.emergency.kill_switch = false;
  Expect(rules, "f", {Reason::kRollbackToBaseline, "false", "off"});
  rules.emergency.baseline = false;
  rules.emergency.freeze = true;  // stops progress, not decisions
  Expect(rules, "f", {Reason::kFlagNotFound, "", "", FlagError::kFlagNotFound});

  domain::FlagEntry flag = Rollout("f", 50'000);
  flag.enabled = false;
  flag.rolled_back = true;
  flag.parents = {"parent"};
  flag.allowlist_only = true;
  flag.allowlist = {"alice"};
  rules.Set(flag);
  Expect(rules, "f", {Reason::kDisabled, "false", "off"}, "alice");
  flag.enabled = true;
  rules.Set(flag);
  Expect(rules, "f", {Reason::kRolledBack, "false", "off"}, "alice");
  flag.rolled_back = false;
  rules.Set(flag);
  Expect(rules, "f", {Reason::kPrerequisite, "false", "off"}, "alice");
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).detail, "parent");
  rules.Set(Rollout("parent", domain::kFineAll));
  Expect(rules, "f", {Reason::kAllowlist, "true", "on"}, "alice");
  Expect(rules, "f", {Reason::kNotInAllowlist, "false", "off"}, "bob");
  flag.allowlist_only = false;
  flag.allowlist.clear();
  rules.Set(flag);
  EXPECT_EQ(DecideFlag(rules, "f", "alice", 0).reason, Reason::kSplit);
  EXPECT_TRUE(DecideFlag(rules, "f", "alice", 0).bucket.has_value());
  flag.threshold = domain::kFineAll;
  rules.Set(flag);
  Expect(rules, "f", {Reason::kStatic, "true", "on"});
  flag.threshold = 0;
  rules.Set(flag);
  Expect(rules, "f", {Reason::kStatic, "false", "off"});
}

TEST(FlagReasons, VariantFlagAnswersItsOffVariantUntilNothingTurnsItOff) {
  Ruleset rules;
  domain::FlagEntry flag = Colour();
  flag.enabled = false;
  flag.rolled_back = true;
  flag.parents = {"parent"};
  rules.Set(flag);
  rules.emergency.kill_switch = true;
  Expect(rules, "colour", {Reason::kKillSwitch, "\"#888\"", "grey"});
  rules.emergency.kill_switch = false;
  rules.emergency.baseline = true;
  Expect(rules, "colour", {Reason::kRollbackToBaseline, "\"#888\"", "grey"});
  rules.emergency.baseline = false;
  Expect(rules, "colour", {Reason::kDisabled, "", ""});
  flag.enabled = true;
  rules.Set(flag);
  Expect(rules, "colour", {Reason::kRolledBack, "\"#888\"", "grey"});
  flag.rolled_back = false;
  rules.Set(flag);
  Expect(rules, "colour", {Reason::kPrerequisite, "\"#888\"", "grey"});
  EXPECT_FALSE(DecideFlag(rules, "colour", "k", 0).enabled);
  rules.Set(Rollout("parent", domain::kFineAll));
  Expect(rules, "colour", {Reason::kStatic, "\"#f00\"", "red"});
  EXPECT_TRUE(DecideFlag(rules, "colour", "k", 0).enabled);
}

TEST(FlagReasons, WithoutAnOffVariantABooleanIsFalseAndOthersHaveNoValue) {
  Ruleset rules;
  domain::FlagEntry colour = Colour();
  colour.off_variant.clear();
  rules.Set(colour);
  rules.Set(YesNo());
  rules.emergency.kill_switch = true;
  Expect(rules, "yesno", {Reason::kKillSwitch, "false", "off"});
  Expect(rules, "colour", {Reason::kKillSwitch, "", ""});
}

TEST(FlagReasons, ABooleanVariantFlagIsOnIffItsValueIsTrue) {
  Ruleset rules;
  rules.Set(YesNo());
  EXPECT_TRUE(DecideFlag(rules, "yesno", "", 0).enabled);
  domain::FlagEntry no = YesNo();
  no.default_variant = "no";
  rules.Set(no);
  EXPECT_FALSE(DecideFlag(rules, "yesno", "", 0).enabled);
}

TEST(FlagReasons, TargetingChoosesAVariantOrLeavesTheDefault) {
  Ruleset rules;
  domain::FlagEntry flag = Colour();
  flag.targeting = {R"({"if": [{"==": [{"var": "tier"}, "gold"]}, "grey",
                               {"==": [{"var": "tier"}, "odd"]}, "mauve"]})"};
  rules.Set(flag);
  ASSERT_EQ(rules.flags().Find("colour")->malformed, "");
  const auto with = [&](std::string_view tier) {
    const targeting::Member member{"tier", targeting::Value::Text(tier)};
    return DecideFlag(
        rules, "colour",
        {.key = "", .random = 0, .now_wall_ms = 0, .context = targeting::Value::Map(&member, 1)});
  };
  EXPECT_EQ(with("gold").reason, Reason::kTargetingMatch);
  EXPECT_EQ(with("gold").value, "\"#888\"");
  EXPECT_EQ(with("iron").reason, Reason::kDefault);
  EXPECT_EQ(with("iron").value, "\"#f00\"");
  EXPECT_EQ(with("odd").reason, Reason::kError);
  EXPECT_EQ(with("odd").error, FlagError::kGeneral);
  EXPECT_EQ(with("odd").value, "");
  EXPECT_NE(with("odd").detail, "");
}

TEST(FlagReasons, AnEmptyRuleIsNone) {
  Ruleset rules;
  domain::FlagEntry flag = Colour();
  flag.targeting = {"{}"};
  rules.Set(flag);
  Expect(rules, "colour", {Reason::kStatic, "\"#f00\"", "red"});
}

TEST(FlagReasons, WithoutADefaultVariantTheCallersHolds) {
  Ruleset rules;
  domain::FlagEntry flag = Colour();
  flag.default_variant.clear();
  rules.Set(flag);
  Expect(rules, "colour", {Reason::kDefault, "", ""});
  flag.default_variant = "mauve";
  rules.Set(flag);
  Expect(rules, "colour", {Reason::kError, "", "", FlagError::kGeneral});
}

TEST(FlagReasons, AMalformedFlagLeavesOthersAlone) {
  Ruleset rules;
  domain::FlagEntry broken = Colour();
  broken.targeting = {R"({"no_such_operator": [1]})"};
  rules.Set(broken);
  domain::FlagEntry unread;
  unread.name = "unread";
  unread.enabled = true;
  unread.malformed = "variants: is missing";
  rules.Set(unread);
  rules.Set(YesNo());
  Expect(rules, "colour", {Reason::kError, "", "", FlagError::kParseError});
  EXPECT_NE(DecideFlag(rules, "colour", "k", 0).detail.find("no_such_operator"),
            std::string_view::npos);
  Expect(rules, "unread", {Reason::kError, "", "", FlagError::kParseError});
  Expect(rules, "yesno", {Reason::kStatic, "true", "yes"});
  rules.emergency.kill_switch = true;  // off is off, whatever the definition
  Expect(rules, "unread", {Reason::kKillSwitch, "", ""});
}

TEST(TargetingKey, IsMissedOnlyWhereBucketingNeedsIt) {
  Ruleset rules;
  domain::FlagEntry listed = Rollout("listed", 50'000);
  listed.allowlist_only = true;
  listed.allowlist = {"alice"};
  domain::FlagEntry child = Rollout("child", domain::kFineAll);
  child.parents = {"half"};
  domain::FlagEntry variant = Colour();
  variant.parents = {"half"};
  domain::FlagEntry off = Rollout("off", 50'000);
  off.enabled = false;
  domain::FlagEntry random = Rollout("random", 50'000);
  random.random = true;
  for (const auto& flag : {Rollout("half", 50'000), Rollout("none", 0),
                           Rollout("all", domain::kFineAll), listed, child, variant, off, random}) {
    rules.Set(flag);
  }
  const auto error = [&](std::string_view flag, std::string_view key) {
    return DecideFlag(rules, flag, key, 0).error;
  };
  for (const char* needs : {"half", "child", "colour"}) {
    EXPECT_EQ(error(needs, ""), FlagError::kTargetingKeyMissing) << needs;
    EXPECT_EQ(error(needs, "k"), FlagError::kNone) << needs;
    EXPECT_EQ(DecideFlag(rules, needs, "", 0).value, "") << needs;
  }
  for (const char* does_not : {"none", "all", "listed", "off", "random"}) {
    EXPECT_EQ(error(does_not, ""), FlagError::kNone) << does_not;
  }
  rules.Set(SplitOf("half", domain::kFineAll));  // the rollout's percentage decides
  EXPECT_EQ(error("child", ""), FlagError::kNone);
}

TEST(RolloutOfAFlag, GivesThePercentageAndItsNameOnNodesItSelects) {
  Ruleset rules(domain::Labels{{"zone", "a"}});
  rules.Set(Rollout("f", 0));
  domain::SplitEntry split = SplitOf("f", domain::kFineAll);
  split.nodes = {{"zone", "b"}};
  rules.Set(split);
  Expect(rules, "f", {Reason::kStatic, "false", "off"});
  split.nodes = {{"zone", "a"}};
  rules.Set(split);
  Expect(rules, "f", {Reason::kStatic, "true", "on"});
  EXPECT_EQ(DecideFlag(rules, "f", "k", 0).detail, "rollout-of-f");
}

TEST(Override, StandsBelowTheEmergencyAndAboveEverythingElse) {
  Ruleset rules;
  domain::FlagEntry flag = Rollout("f", 0);
  flag.enabled = false;
  flag.rolled_back = true;
  flag.parents = {"absent"};
  flag.allowlist_only = true;
  rules.Set(flag);
  rules.Set(Rollout("forced_off", domain::kFineAll));
  rules.Set(Colour());
  rules.Set(YesNo());
  Overrides overrides;
  overrides.flags = {{"f", "on"}, {"forced_off", "off"}, {"colour", "grey"}, {"yesno", "on"}};
  rules.overrides = std::make_shared<const Overrides>(overrides);
  Expect(rules, "f", {Reason::kOverride, "true", "on"});
  Expect(rules, "forced_off", {Reason::kOverride, "false", "off"});
  Expect(rules, "colour", {Reason::kOverride, "\"#888\"", "grey"});
  Expect(rules, "yesno", {Reason::kOverride, "true", "yes"});
  overrides.flags = {{"colour", "off"}, {"yesno", "off"}};
  rules.overrides = std::make_shared<const Overrides>(overrides);
  Expect(rules, "colour", {Reason::kOverride, "\"#888\"", "grey"});
  Expect(rules, "yesno", {Reason::kOverride, "false", "off"});
  overrides.flags = {{"colour", "mauve"}, {"f", "on"}};
  rules.overrides = std::make_shared<const Overrides>(overrides);
  Expect(rules, "colour", {Reason::kOverride, "\"#888\"", "grey"});
  EXPECT_NE(DecideFlag(rules, "colour", "k", 0).detail, "");
  rules.emergency.baseline = true;
  Expect(rules, "f", {Reason::kRollbackToBaseline, "false", "off"});
  rules.emergency.kill_switch = true;
  Expect(rules, "f", {Reason::kKillSwitch, "false", "off"});
}

TEST(Override, OfAParentHoldsForItsChildren) {
  Ruleset rules;
  domain::FlagEntry child = Rollout("a.b", domain::kFineAll);
  child.parents = {"a"};
  rules.Set(child);
  rules.Set(Rollout("a", domain::kFineAll));
  Overrides overrides;
  overrides.flags = {{"a", "off"}};
  rules.overrides = std::make_shared<const Overrides>(overrides);
  Expect(rules, "a.b", {Reason::kPrerequisite, "false", "off"});
}

TEST(Override, OfAModelForcesArmOrVersionButNotOverTheBaseline) {
  Ruleset rules;
  domain::ModelEntry model;
  model.name = "m";
  model.stable = "1";
  model.versions = {{"1", "xgboost", "", {}}, {"2", "xgboost", "", {}}};
  rules.Set(model);
  domain::SplitEntry split;
  split.rollout = "r";
  split.model = "m";
  split.candidate = "2";
  split.hash_key = "user_id";
  rules.Set(split);
  const auto decide = [&](const Overrides& overrides) {
    rules.overrides = std::make_shared<const Overrides>(overrides);
    return DecideArm(rules, *rules.models().Find("m"), {"u", "", ""}, 0);
  };
  const Overrides canary{.flags = {}, .splits = {{"m", "canary"}}, .pins = {}};
  EXPECT_TRUE(decide(canary).is_canary);
  EXPECT_EQ(decide(canary).version, "2");
  EXPECT_EQ(decide(canary).reason, Reason::kOverride);
  const Overrides pinned{.flags = {}, .splits = {{"m", "stable"}}, .pins = {{"m", "2"}}};
  EXPECT_EQ(decide(pinned).version, "2");
  EXPECT_FALSE(decide(pinned).is_canary);
  const Overrides unknown{.flags = {}, .splits = {}, .pins = {{"m", "3"}}};
  EXPECT_EQ(decide(unknown).version, "1");
  EXPECT_EQ(decide(unknown).reason, Reason::kStatic);
  rules.emergency.baseline = true;
  EXPECT_EQ(decide(canary).version, "1");
  EXPECT_EQ(decide(canary).reason, Reason::kRollbackToBaseline);
}

TEST(Schedule, HoldsFromItsMomentOnAndOnlyChangesWhatItNames) {
  constexpr int64_t kNoon = 1'763'683'200'000;
  Ruleset rules;
  domain::FlagEntry flag = Rollout("f", 0);
  flag.enabled = false;
  flag.schedule = {{kNoon, true, std::nullopt, ""},
                   {kNoon + 10, std::nullopt, domain::kFineAll, ""},
                   {kNoon + 20, false, std::nullopt, ""}};
  rules.Set(flag);
  const auto reason = [&](int64_t at) { return DecideFlag(rules, "f", At("k", at)).reason; };
  const auto enabled = [&](int64_t at) { return DecideFlag(rules, "f", At("k", at)).enabled; };
  EXPECT_EQ(reason(kNoon - 1), Reason::kDisabled);
  EXPECT_EQ(reason(kNoon), Reason::kStatic);
  EXPECT_FALSE(enabled(kNoon + 9));
  EXPECT_TRUE(enabled(kNoon + 10));
  EXPECT_TRUE(enabled(kNoon + 19));
  EXPECT_EQ(reason(kNoon + 20), Reason::kDisabled);
}

TEST(Schedule, ChangesADefaultVariantAndYieldsToARollout) {
  Ruleset rules;
  domain::FlagEntry colour = Colour();
  colour.schedule = {{1000, std::nullopt, std::nullopt, "grey"}};
  rules.Set(colour);
  EXPECT_EQ(DecideFlag(rules, "colour", At("", 999)).variant, "red");
  EXPECT_EQ(DecideFlag(rules, "colour", At("", 1000)).variant, "grey");
  domain::FlagEntry flag = Rollout("f", 0);
  flag.schedule = {{1000, std::nullopt, domain::kFineAll, ""}};
  rules.Set(flag);
  rules.Set(SplitOf("f", 0));
  EXPECT_FALSE(DecideFlag(rules, "f", At("k", 2000)).enabled);
}

// Layers of two parents each: 2^40 paths lead through them.
TEST(FlagReasons, ALatticeOfParentsEnds) {
  Ruleset rules;
  for (int layer = 0; layer < 40; ++layer) {
    for (const char* side : {"left", "right"}) {
      domain::FlagEntry flag = Rollout(side + std::to_string(layer), domain::kFineAll);
      if (layer > 0) {
        flag.parents = {"left" + std::to_string(layer - 1), "right" + std::to_string(layer - 1)};
      }
      rules.Set(flag);
    }
  }
  EXPECT_TRUE(DecideFlag(rules, "left5", "k", 0).enabled);
  EXPECT_EQ(DecideFlag(rules, "left39", "k", 0).reason, Reason::kPrerequisite);
}

// Alone each rule is within its steps; eight times the same prerequisite are not.
TEST(FlagReasons, PrerequisitesShareTheStepsOfOneDecision) {
  std::string list = "[1";
  for (int i = 1; i < 1000; ++i) list += ",1";
  domain::FlagEntry costly = YesNo();
  costly.targeting.text =
      R"({"if": [{"all": [)" + list + R"(], {"==": [{"var": ""}, 1]}]}, "yes"]})";
  Ruleset rules;
  rules.Set(costly);
  Expect(rules, "yesno", {Reason::kTargetingMatch, "true", "yes"});
  domain::FlagEntry once = Rollout("once", domain::kFineAll);
  once.parents = {"yesno"};
  rules.Set(once);
  Expect(rules, "once", {Reason::kStatic, "true", "on"});
  domain::FlagEntry often = Rollout("often", domain::kFineAll);
  often.parents = std::vector<std::string>(8, "yesno");
  rules.Set(often);
  Expect(rules, "often", {Reason::kPrerequisite, "false", "off"});
}

}  // namespace
}  // namespace weir::decision
