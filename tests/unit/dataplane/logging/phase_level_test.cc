// SPDX-License-Identifier: Apache-2.0
#include "dataplane/logging/phase_level.h"

#include <gtest/gtest.h>

#include "shared/base/log.h"
#include "shared/base/log_level.h"

namespace weir::node::logging {
namespace {

domain::SplitEntry Split(const std::string& rollout, const std::string& level) {
  return {.rollout = rollout, .model = "model-of-" + rollout, .log_level = level};
}

bool Shows(const char* area, spdlog::level::level_enum level) {
  return Log(area).should_log(level);
}

TEST(PhaseLevel, TheMostVerboseWins) {
  decision::Ruleset rules;
  EXPECT_EQ(PhaseLevelOf(rules), PhaseLevel{});
  rules.Set(Split("a", "error"));
  EXPECT_EQ(PhaseLevelOf(rules), (PhaseLevel{"error", "a"}));
  rules.Set(Split("c", "debug"));
  rules.Set(Split("b", "debug"));
  rules.Set(Split("d", ""));
  EXPECT_EQ(PhaseLevelOf(rules), (PhaseLevel{"debug", "b"}));
}

TEST(PhaseLevel, ASplitForOtherNodesAsksNothingOfThisOne) {
  decision::Ruleset rules(domain::Labels{{"zone", "a"}});
  domain::SplitEntry split = Split("a", "debug");
  split.nodes = {{"zone", "b"}};
  rules.Set(split);
  EXPECT_EQ(PhaseLevelOf(rules), PhaseLevel{});
}

TEST(PhaseLogging, HoldsWhileItAppliesAndIsTakenBack) {
  ASSERT_TRUE(InitLogging("test", "info,http=trace,bus=error", "text").ok());
  Log("front");  // made before; "late" is made while the level holds
  PhaseLogging logging;
  decision::Ruleset rules;
  rules.Set(Split("a", "debug"));
  logging.Apply(rules);
  EXPECT_TRUE(Shows("front", spdlog::level::debug));
  EXPECT_TRUE(Shows("late", spdlog::level::debug));
  EXPECT_TRUE(Shows("bus", spdlog::level::debug));
  EXPECT_TRUE(Shows("http", spdlog::level::trace)) << "was more verbose by itself";
  rules.Set(Split("a", "error"));
  logging.Apply(rules);
  EXPECT_FALSE(Shows("front", spdlog::level::warn));
  EXPECT_TRUE(Shows("front", spdlog::level::err));
  EXPECT_TRUE(Shows("http", spdlog::level::trace));
  rules.Remove(domain::EntryKind::kSplit, "a");
  logging.Apply(rules);
  EXPECT_TRUE(Shows("front", spdlog::level::info));
  EXPECT_FALSE(Shows("front", spdlog::level::debug));
  EXPECT_FALSE(Shows("late", spdlog::level::debug));
  EXPECT_FALSE(Shows("bus", spdlog::level::warn));
}

TEST(PhaseLogging, AnUnknownLevelIsRefused) {
  EXPECT_FALSE(SetLogLevelForNow("loud").ok());
  EXPECT_TRUE(SetLogLevelForNow("").ok());
}

}  // namespace
}  // namespace weir::node::logging
