// SPDX-License-Identifier: Apache-2.0
#include "shared/explain/explain.h"

#include <gtest/gtest.h>

#include <memory>

namespace weir::explain {
namespace {

using codec::Json;

decision::Ruleset Rules() {
  decision::Ruleset rules;
  domain::FlagEntry flag;
  flag.name = "ttft_pipeline";
  flag.enabled = true;
  flag.threshold = 40'000;
  flag.seed = "ttft-pipeline-2025-01-08";
  rules.Set(flag);
  domain::FlagEntry off;
  off.name = "a_flag_that_is_off";
  rules.Set(off);
  domain::ModelEntry model;
  model.name = "fraud_detection";
  model.stable = "1.0.0";
  rules.Set(model);
  domain::ModelEntry other = model;
  other.name = "churn";
  rules.Set(other);
  domain::SplitEntry split;
  split.rollout = "fraud-1-1-0";
  split.model = "fraud_detection";
  split.candidate = "1.1.0";
  split.threshold = 10'000;
  split.hash_key = "user_id";
  split.seed = "canary-2025-01-08";
  rules.Set(split);
  domain::ExperimentEntry experiment;
  experiment.name = "checkout";
  experiment.seed = "exp-2025";
  experiment.groups = {{"control", 50}, {"treatment", 50}};
  rules.Set(experiment);
  rules.epoch = 7;
  rules.version = 12;
  return rules;
}

// The numbers are those of the table in DECISIONS (MD5 and SHA-256 from Python's hashlib).
TEST(Explain, ListsEverythingInOrderOfName) {
  const Json answer = Explain(Rules(), {.key = "user-123", .model = "", .flag = ""});
  EXPECT_EQ(answer["key"], "user-123");
  EXPECT_EQ(answer["snapshot"], (Json{{"epoch", 7}, {"version", 12}}));
  ASSERT_EQ(answer["flags"].size(), 2u);
  EXPECT_EQ(answer["flags"][0]["flag"], "a_flag_that_is_off");
  EXPECT_EQ(answer["flags"][0]["reason"], "DISABLED");
  ASSERT_EQ(answer["splits"].size(), 2u);
  EXPECT_EQ(answer["splits"][0], (Json{{"model", "churn"},
                                       {"arm", "stable"},
                                       {"version", "1.0.0"},
                                       {"percentage", 0.0},
                                       {"reason", "NO_ROLLOUT"}}));
  EXPECT_EQ(answer["splits"][1], (Json{{"model", "fraud_detection"},
                                       {"rollout", "fraud-1-1-0"},
                                       {"arm", "canary"},
                                       {"version", "1.1.0"},
                                       {"percentage", 10.0},
                                       {"reason", "SPLIT"},
                                       {"bucket", 385},
                                       {"threshold", 10'000}}));
}

TEST(Explain, GivesBucketAndThresholdOfAFlag) {
  const Json in = Explain(Rules(), {.key = "request-456", .model = "", .flag = "ttft_pipeline"});
  ASSERT_EQ(in["flags"].size(), 1u);
  EXPECT_EQ(in["flags"][0], (Json{{"flag", "ttft_pipeline"},
                                  {"enabled", true},
                                  {"value", true},
                                  {"variant", "on"},
                                  {"reason", "SPLIT"},
                                  {"bucket", 38'521},
                                  {"threshold", 40'000}}));
  EXPECT_TRUE(in["splits"].empty());
  EXPECT_TRUE(in["experiments"].empty());
}

TEST(Explain, WhatIsForcedIsPinnedAsNodesCountIt) {
  decision::Ruleset rules = Rules();
  decision::Overrides overrides;
  overrides.splits["fraud_detection"] = "canary";
  rules.overrides = std::make_shared<const decision::Overrides>(overrides);
  const Json answer = Explain(rules, {.key = "user-123", .model = "fraud_detection", .flag = ""});
  EXPECT_EQ(answer["splits"][0]["reason"], "OVERRIDE");
  EXPECT_EQ(answer["splits"][0]["arm"], "pinned");
  EXPECT_EQ(answer["splits"][0]["version"], "1.1.0");
}

TEST(Explain, GivesTheRemainderOfAnExperiment) {
  const Json answer = Explain(Rules(), {.key = "user-1", .model = "", .flag = ""});
  EXPECT_EQ(answer["experiments"][0]["group"], "treatment");
  EXPECT_EQ(answer["experiments"][0]["bucket"], 72);
}

TEST(Explain, SaysThatAFlagIsNotThere) {
  const Json answer = Explain(Rules(), {.key = "k", .model = "", .flag = "ttft_pipelin"});
  EXPECT_EQ(answer["flags"][0]["reason"], "FLAG_NOT_FOUND");
  EXPECT_EQ(answer["flags"][0]["enabled"], false);
}

// A size by tier, and a flag that needs it.
decision::Ruleset WithVariants() {
  decision::Ruleset rules;
  domain::FlagEntry size;
  size.name = "size";
  size.enabled = true;
  size.variants = {{"large", {R"({"rows":100})"}}, {"none", {"0"}}, {"small", {"12.5"}}};
  size.default_variant = "small";
  size.off_variant = "none";
  size.targeting = {R"({"if": [{"==": [{"var": "tier"}, "gold"]}, "large", null]})"};
  size.schedule = {{2000, std::nullopt, std::nullopt, "none"}};
  rules.Set(size);
  domain::FlagEntry needs;
  needs.name = "needs";
  needs.enabled = true;
  needs.threshold = domain::kFineAll;
  needs.parents = {"size"};
  rules.Set(needs);
  return rules;
}

Json Rows(const std::string& context, int64_t now_wall_ms) {
  return Explain(WithVariants(), {.key = "k",
                                  .model = "",
                                  .flag = "",
                                  .random = 0,
                                  .context = context,
                                  .now_wall_ms = now_wall_ms})["flags"];
}

TEST(Explain, GivesTheValueOfAVariantFlagForItsContext) {
  EXPECT_EQ(Rows(R"({"tier": "gold"})", 0)[1], (Json{{"flag", "size"},
                                                     {"enabled", true},
                                                     {"value", {{"rows", 100}}},
                                                     {"variant", "large"},
                                                     {"reason", "TARGETING_MATCH"}}));
  EXPECT_EQ(Rows("", 0)[1], (Json{{"flag", "size"},
                                  {"enabled", true},
                                  {"value", 12.5},
                                  {"variant", "small"},
                                  {"reason", "DEFAULT"}}));
  EXPECT_EQ(Rows("", 0)[0]["enabled"], true);
  EXPECT_EQ(Rows("", 2000)[1]["variant"], "none");  // by its schedule
  EXPECT_EQ(Rows("", 2000)[0]["reason"], "PREREQUISITE");
  EXPECT_EQ(Rows("", 2000)[0]["detail"], "size");
}

TEST(Explain, SaysThatAContextCannotBeRead) {
  for (const char* context : {"{", "[1]", "7", "tier=gold"}) {
    const Json rows = Rows(context, 0);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[1]["reason"], "ERROR") << context;
    EXPECT_EQ(rows[1]["error"], "INVALID_CONTEXT") << context;
    EXPECT_EQ(rows[1].contains("value"), false) << context;
    EXPECT_EQ(rows[1].value("detail", "").rfind("context", 0), 0u) << context;
  }
}

TEST(Explain, GivesTheErrorInPlaceOfAValue) {
  const Json row = Explain(Rules(), {.key = "", .model = "", .flag = "ttft_pipeline"})["flags"][0];
  EXPECT_EQ(row["error"], "TARGETING_KEY_MISSING");
  EXPECT_EQ(row.contains("value"), false);
  const Json none = Explain(Rules(), {.key = "k", .model = "", .flag = "absent"})["flags"][0];
  EXPECT_EQ(none["error"], "FLAG_NOT_FOUND");
}

TEST(Explain, HasNoSnapshotWhenItCameFromAFile) {
  decision::Ruleset rules = Rules();
  rules.epoch = 0;
  EXPECT_TRUE(Explain(rules, {.key = "k", .model = "", .flag = ""})["snapshot"].is_null());
}

TEST(Explain, ShowsARolloutOfAFlagAsASplit) {
  decision::Ruleset rules = Rules();
  domain::SplitEntry split;
  split.rollout = "ttft";
  split.flag = "ttft_pipeline";
  split.threshold = 0;
  rules.Set(split);
  const Json answer = Explain(rules, {.key = "request-456", .model = "", .flag = "ttft_pipeline"});
  ASSERT_EQ(answer["splits"].size(), 1u);
  EXPECT_EQ(answer["splits"][0]["rollout"], "ttft");
  EXPECT_EQ(answer["splits"][0]["arm"], "stable");
  EXPECT_EQ(answer["flags"][0]["detail"], "ttft");
}

TEST(Explain, AKeyThatAShadowPhaseCopiesIsAnsweredByStable) {
  decision::Ruleset rules = Rules();
  domain::SplitEntry split = *rules.model_splits().Find("fraud_detection");
  split.shadow = true;
  rules.Set(split);
  // Bucket 385 of canary-2025-01-08 (DECISIONS), so in its 10 %.
  const Json in = Explain(rules, {.key = "user-123", .model = "fraud_detection", .flag = ""});
  EXPECT_EQ(in["splits"][0]["arm"], "stable");
  EXPECT_EQ(in["splits"][0]["version"], "1.0.0");
  EXPECT_EQ(in["splits"][0]["reason"], "SHADOW");
  EXPECT_EQ(in["splits"][0]["copied"], true);
  split.threshold = 0;
  rules.Set(split);
  const Json out = Explain(rules, {.key = "user-123", .model = "fraud_detection", .flag = ""});
  EXPECT_EQ(out["splits"][0]["reason"], "SHADOW");
  EXPECT_FALSE(out["splits"][0].contains("copied"));
}

TEST(Explain, SaysWhenARolloutIsUnwatched) {
  decision::Ruleset rules = Rules();
  domain::SplitEntry split = *rules.model_splits().Find("fraud_detection");
  split.unwatched_after_ms = 1000;
  rules.Set(split);
  rules.Set(domain::SplitEntry{.rollout = "ttft",
                               .flag = "ttft_pipeline",
                               .threshold = domain::kFineAll,
                               .hash_key = "user_id",
                               .seed = "s",
                               .unwatched_after_ms = 1000});
  rules.unwatched_ms = 1000;
  const Json answer = Explain(rules, {.key = "user-123", .model = "", .flag = ""});
  EXPECT_EQ(answer["splits"][1]["model"], "fraud_detection");
  EXPECT_EQ(answer["splits"][1]["arm"], "stable");
  EXPECT_EQ(answer["splits"][1]["reason"], "UNWATCHED");
  EXPECT_EQ(answer["splits"][2]["flag"], "ttft_pipeline");
  EXPECT_EQ(answer["splits"][2]["detail"], "unwatched");
}

}  // namespace
}  // namespace weir::explain
