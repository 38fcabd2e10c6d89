// SPDX-License-Identifier: Apache-2.0
// The order of checks, and what survives a restart.
#include "controlplane/remedy/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::control::remedy {
namespace {

using testing::HasSubstr;

class ExecutorTest : public testing::Test {
 protected:
  ExecutorTest() {
    policy_.cooldown = {60'000};
    policy_.max_executions = 5;
    policy_.budget_window = {300'000};
  }
  Moment Now() const { return {now_ms_, 1'763'683'200'000 + now_ms_}; }
  Ruling Check(const std::string& target = "limit/m", int direction = 0) {
    return executor_.Check(policy_, Of(target, direction), moves_, Now());
  }
  Ruling Act(const std::string& target = "limit/m", int direction = 0) {
    const Ruling ruling = Check(target, direction);
    if (ruling == Ruling::kAct) {
      executor_.Acted(Of(target, direction), Now());
      moves_.Note(target, direction, Now());
    }
    return ruling;
  }
  static Proposal Of(const std::string& target, int direction) {
    return {"0 " + target +
                (direction > 0   ? " up"
                 : direction < 0 ? " down"
                                 : ""),
            target, direction, false};
  }

  domain::PolicySpec policy_;
  Executor executor_;
  Moves moves_;
  int64_t now_ms_ = 5'000'000;
};

TEST_F(ExecutorTest, ActsAgainAfterItsCooldown) {
  EXPECT_EQ(Act(), Ruling::kAct);
  EXPECT_EQ(Act("limit/other"), Ruling::kAct) << "another target has its own";
  now_ms_ += 59'999;
  EXPECT_EQ(Act(), Ruling::kCooldown);
  now_ms_ += 1;
  EXPECT_EQ(Act(), Ruling::kAct);
}

TEST_F(ExecutorTest, SpendsAtMostItsBudget) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Act("limit/" + std::to_string(i)), Ruling::kAct);
  EXPECT_EQ(Act("limit/5"), Ruling::kBudget);
  now_ms_ += 300'000;
  EXPECT_EQ(Act("limit/5"), Ruling::kAct);
}

TEST_F(ExecutorTest, TellingPeopleCostsNoBudget) {
  policy_.max_executions = 1;
  EXPECT_EQ(Act(), Ruling::kAct);
  EXPECT_EQ(executor_.Check(policy_, {"1 alert", "alert", 0, true}, moves_, Now()), Ruling::kAct);
}

TEST_F(ExecutorTest, MovesThatUndoEachOtherOpenTheBreaker) {
  policy_.cooldown = {0};
  for (const int direction : {1, -1, 1}) {
    EXPECT_EQ(Act("limit/m", direction), Ruling::kAct);
    now_ms_ += 10'000;
  }
  EXPECT_EQ(Check("limit/other", -1), Ruling::kAct);
  EXPECT_EQ(Act("limit/m", -1), Ruling::kLoop);
  EXPECT_TRUE(executor_.IsOpen());
  EXPECT_THAT(executor_.open_reason(), HasSubstr("up, down, up, down"));
  EXPECT_EQ(Act("limit/m", -1), Ruling::kBreaker);
  EXPECT_EQ(Act("limit/other", -1), Ruling::kBreaker);
  now_ms_ += 3'600'000;
  EXPECT_EQ(Act("limit/m", -1), Ruling::kBreaker) << "only a person closes it";
  EXPECT_TRUE(executor_.Reset());
  EXPECT_FALSE(executor_.Reset());
  EXPECT_EQ(Act("limit/m", -1), Ruling::kAct) << "the moves are long ago";
}

TEST_F(ExecutorTest, MovesInOneDirectionOrFarApartAreNoLoop) {
  policy_.cooldown = {0};
  policy_.max_executions = 100;
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Act("limit/m", 1), Ruling::kAct);
  for (const int direction : {-1, 1, -1, 1, -1}) {
    now_ms_ += 100'001;  // the third before is always out of the window
    EXPECT_EQ(Act("limit/m", direction), Ruling::kAct);
  }
}

TEST_F(ExecutorTest, TheFirstCheckThatStopsItIsTheAnswer) {
  policy_.cooldown = {100'000};
  policy_.max_executions = 4;
  // The same remediation on one target, by other policies' moves: up, down, up.
  for (const int direction : {1, -1, 1}) moves_.Note("limit/m", direction, Now());
  executor_.Acted(Of("limit/m", -1), Now());
  for (int i = 0; i < 3; ++i) executor_.Acted(Of("limit/" + std::to_string(i), 0), Now());
  policy_.enabled = false;
  EXPECT_EQ(Check("limit/m", -1), Ruling::kDisabled);
  policy_.enabled = true;
  EXPECT_EQ(Check("limit/m", -1), Ruling::kCooldown);
  now_ms_ += 100'000;
  EXPECT_EQ(Check("limit/m", -1), Ruling::kBudget);
  policy_.max_executions = 5;
  EXPECT_EQ(Check("limit/m", -1), Ruling::kLoop);
  EXPECT_EQ(Check("limit/m", -1), Ruling::kBreaker);
  policy_.enabled = false;
  EXPECT_EQ(Check("limit/m", -1), Ruling::kDisabled);
}

TEST_F(ExecutorTest, FailuresCoolDownAndCostNoBudget) {
  policy_.max_executions = 1;
  executor_.Failed(Of("limit/m", 0), Now());
  EXPECT_EQ(Check(), Ruling::kCooldown);
  now_ms_ += 60'000;
  EXPECT_EQ(Act(), Ruling::kAct);
}

TEST_F(ExecutorTest, WhatPassedWhileNothingRanHasPassed) {
  policy_.max_executions = 2;
  EXPECT_EQ(Act(), Ruling::kAct);
  const codec::Json executor = codec::Json::parse(executor_.Save().dump());
  const codec::Json moves = codec::Json::parse(moves_.Save().dump());
  const int64_t wall_ms = Now().wall_ms;
  executor_ = {};
  moves_ = {};
  // Another boot: the monotonic clock began anew, and 40 s have passed.
  const Moment then{1'000, wall_ms + 40'000};
  executor_.Load(executor, then);
  moves_.Load(moves, then);
  const Proposal same = Of("limit/m", 0);
  EXPECT_EQ(executor_.Check(policy_, same, moves_, then), Ruling::kCooldown);
  EXPECT_EQ(executor_.Executions(then.ms, 300'000), 1u);
  EXPECT_EQ(executor_.Check(policy_, same, moves_, {21'000, wall_ms + 60'000}), Ruling::kAct);
  EXPECT_EQ(executor_.Executions(1'000 + 260'000, 300'000), 0u);
}

}  // namespace
}  // namespace weir::control::remedy
