// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/event_log.h"

#include <gtest/gtest.h>

namespace weir::control::api {
namespace {

TEST(EventLog, GivesWhatCameAfterAnId) {
  ManualClock clock;
  EventLog log(7, clock);
  for (int i = 0; i < 3; ++i) log.Add("commit", {{"revision", i}});
  EXPECT_EQ(log.events().back().id, "7-3");
  EXPECT_EQ(log.events().back().at_wall_ms, clock.WallMs());
  const auto tail = log.Since("7-1");
  EXPECT_TRUE(tail.complete);
  ASSERT_EQ(tail.events.size(), 2u);
  EXPECT_EQ(tail.events[0].data["revision"], 1);
  EXPECT_TRUE(log.Since("7-3").events.empty());
  EXPECT_TRUE(log.Since("7-3").complete);
}

TEST(EventLog, SaysThatEventsAreLost) {
  ManualClock clock;
  EventLog log(7, clock, 2);
  for (int i = 0; i < 4; ++i) log.Add("commit", {});
  EXPECT_FALSE(log.Since("7-1").complete);
  EXPECT_EQ(log.Since("7-1").events.size(), 2u);
  EXPECT_TRUE(log.Since("7-2").complete);
  EXPECT_FALSE(log.Since("0").complete);
}

TEST(EventLog, DoesNotTrustAnIdOfAnotherEpoch) {
  ManualClock clock;
  EventLog log(7, clock);
  log.Add("commit", {});
  for (const char* id : {"6-1", "7-9", "7-", "7-x", "nonsense", "7-1x"}) {
    EXPECT_FALSE(log.Since(id).complete) << id;
    EXPECT_EQ(log.Since(id).events.size(), 1u) << id;
  }
}

TEST(EventLog, IsCompleteWhileEmpty) {
  ManualClock clock;
  EventLog log(7, clock);
  EXPECT_TRUE(log.Since("").complete);
  EXPECT_TRUE(log.Since("").events.empty());
}

TEST(EventLog, DecisionsPushOutNothingElseAndComeInOrder) {
  ManualClock clock;
  EventLog log(7, clock, 3);
  log.Add("commit", {{"revision", 1}});
  for (int i = 0; i < 10; ++i) log.AddDecision({{"flag", "a"}, {"n", i}});
  log.Add("nack", {});
  auto tail = log.Since("0");
  EXPECT_TRUE(tail.complete) << "lost decisions are no reason to start anew";
  ASSERT_EQ(tail.events.size(), 5u);
  const char* types[] = {"commit", "flag_decision", "flag_decision", "flag_decision", "nack"};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(tail.events[i].type, types[i]);
  EXPECT_EQ(tail.events[1].id, "7-9");
  EXPECT_EQ(tail.events[4].id, "7-12") << "one sequence for all";
  tail = log.Since("7-10");
  ASSERT_EQ(tail.events.size(), 2u);
  EXPECT_EQ(tail.events[0].data["n"], 9);
  EXPECT_TRUE(log.Since("7-3").complete) << "a decision's id that is no longer kept";
  for (int i = 0; i < 3; ++i) log.Add("commit", {});
  EXPECT_FALSE(log.Since("7-1").complete);
  EXPECT_TRUE(log.Since("7-12").complete);
}

TEST(EventLog, TellsAllThatListen) {
  ManualClock clock;
  EventLog log(7, clock);
  std::string heard;
  const uint64_t one = log.AddListener([&](const Event& event) { heard += "1" + event.type; });
  log.AddListener([&](const Event& event) { heard += "2" + event.type; });
  log.Add("a", {});
  log.RemoveListener(one);
  log.AddDecision({});
  EXPECT_EQ(heard, "1a2a2flag_decision");
}

}  // namespace
}  // namespace weir::control::api
