// SPDX-License-Identifier: Apache-2.0
#include "shared/explain/explain.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace weir::explain
