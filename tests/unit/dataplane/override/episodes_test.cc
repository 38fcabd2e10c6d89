// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/episodes.h"

#include <gtest/gtest.h>

namespace weir::node::override {
namespace {

using wire::Episode;

TEST(Episodes, BeginOnceAndEndOnce) {
  Episodes episodes;
  const std::vector<Episode> standing{{.kind = "override", .subject = "flag/a", .detail = "off"}};
  auto changes = episodes.Update(standing, 100);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].from_wall_ms, 100);
  EXPECT_EQ(changes[0].to_wall_ms, 0);
  EXPECT_TRUE(episodes.Update(standing, 200).empty());
  changes = episodes.Update({}, 300);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].from_wall_ms, 100);
  EXPECT_EQ(changes[0].to_wall_ms, 300);
  EXPECT_TRUE(episodes.Update({}, 400).empty());
}

TEST(Episodes, WhatChangesEndsAndBeginsAnew) {
  Episodes episodes;
  episodes.Update({{.kind = "override", .subject = "flag/a", .detail = "off"}}, 100);
  const auto changes =
      episodes.Update({{.kind = "override", .subject = "flag/a", .detail = "on"}}, 200);
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].detail, "off");
  EXPECT_EQ(changes[0].to_wall_ms, 200);
  EXPECT_EQ(changes[1].detail, "on");
  EXPECT_EQ(changes[1].from_wall_ms, 200);
  EXPECT_EQ(changes[1].to_wall_ms, 0);
}

TEST(Episodes, WhatStandsNamesSubjectBeginningAndReason) {
  decision::Overrides file;
  file.flags = {{"a", "off"}, {"b", "on"}};
  file.splits = {{"m", "canary"}};
  file.pins = {{"n", "1.0.0"}};
  ByHand hand;
  hand.emergency["kill_switch"] = {"on", {50}, "alice", "INC-7"};
  hand.flags["a"] = {"on", {60}, "bob", "a test"};
  hand.splits["m"] = {"stable", {70}, "alice", "INC-8"};
  Watch watch;
  decision::Ruleset rules;
  rules.Set(domain::SplitEntry{.rollout = "r", .model = "x", .unwatched_after_ms = 1000});
  watch.Look(&rules, 2000, 80);
  const std::vector<Episode> expected{
      {.kind = "override",
       .subject = "emergency/kill_switch",
       .from_wall_ms = 50,
       .detail = "on by alice: INC-7"},
      {.kind = "override", .subject = "flag/a", .from_wall_ms = 60, .detail = "on by bob: a test"},
      {.kind = "override",
       .subject = "model/m",
       .from_wall_ms = 70,
       .detail = "stable by alice: INC-8"},
      {.kind = "override", .subject = "flag/b", .detail = "on by the file"},
      {.kind = "override", .subject = "model/n", .detail = "pinned to 1.0.0 by the file"},
      {.kind = "unwatched",
       .subject = "r",
       .from_wall_ms = 80,
       .detail = "the control plane was silent for longer than 1s: canary keys to stable"}};
  EXPECT_EQ(WhatStands(file, hand, watch), expected);
}

}  // namespace
}  // namespace weir::node::override
