// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::node::override {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

domain::SplitEntry Split(const std::string& rollout, int64_t after_ms) {
  return {.rollout = rollout, .model = "of-" + rollout, .unwatched_after_ms = after_ms};
}

TEST(Watch, EachRolloutIsLeftAfterTheSilenceThatItAllows) {
  decision::Ruleset rules;
  rules.Set(Split("soon", 1000));
  rules.Set(Split("later", 5000));
  rules.Set(Split("hold", 0));
  Watch watch;
  EXPECT_FALSE(watch.Look(&rules, 999, 10));
  EXPECT_EQ(watch.unwatched_ms(), 0);
  EXPECT_TRUE(watch.Look(&rules, 1000, 20));
  EXPECT_EQ(watch.unwatched_ms(), 1000);
  EXPECT_FALSE(watch.Look(&rules, 4999, 30)) << "nothing new";
  EXPECT_TRUE(watch.Look(&rules, 5010, 40));
  EXPECT_EQ(watch.unwatched_ms(), 5010);
  ASSERT_EQ(watch.rollouts().size(), 2u);
  EXPECT_EQ(watch.rollouts().at("soon").since_wall_ms, 20) << "the first stays since then";
  EXPECT_EQ(watch.rollouts().at("later").since_wall_ms, 40);
  EXPECT_EQ(watch.watched_since_wall_ms(), 0);
  EXPECT_TRUE(watch.Look(&rules, 0, 50)) << "contact";
  EXPECT_EQ(watch.watched_since_wall_ms(), 50);
  EXPECT_EQ(watch.unwatched_ms(), 0);
  EXPECT_TRUE(watch.Sentences().empty());
}

TEST(Watch, WithoutRulesOrForOtherNodesNothingIsUnwatched) {
  Watch watch;
  EXPECT_FALSE(watch.Look(nullptr, 1'000'000, 1));
  decision::Ruleset rules(domain::Labels{{"zone", "a"}});
  domain::SplitEntry split = Split("elsewhere", 1000);
  split.nodes = {{"zone", "b"}};
  rules.Set(split);
  EXPECT_FALSE(watch.Look(&rules, 1'000'000, 1));
}

TEST(Watch, ARolloutThatEndsMeanwhileIsUnwatchedNoMore) {
  decision::Ruleset rules;
  rules.Set(Split("a", 1000));
  Watch watch;
  EXPECT_TRUE(watch.Look(&rules, 2000, 1));
  rules.Remove(domain::EntryKind::kSplit, "a");
  EXPECT_TRUE(watch.Look(&rules, 3000, 2));
  EXPECT_EQ(watch.unwatched_ms(), 0);
}

TEST(Watch, SaysWhatThatMeans) {
  decision::Ruleset rules;
  rules.Set(Split("a", 1000));
  rules.Set(domain::SplitEntry{.rollout = "b", .flag = "f", .unwatched_after_ms = 1000});
  Watch watch;
  watch.Look(&rules, 2000, 1'763'683'200'000);
  EXPECT_THAT(
      watch.Sentences(),
      ElementsAre("rollout a is unwatched since 2025-11-21T00:00:00.000Z: the control plane has "
                  "been silent for longer than 1s, so canary keys go to stable",
                  HasSubstr("so the flag's own percentage holds")));
}

}  // namespace
}  // namespace weir::node::override
