// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

LimitEntry Plain() {
  return {.name = "m",
          .max_concurrent = 8,
          .max_queue = 16,
          .min_concurrent = 2,
          .most_concurrent = 12,
          .requests_per_second = 100,
          .caller_requests_per_second = 10,
          .caller_concurrent = 4};
}

LimitActEntry Act(const std::string& action, double value, int64_t until_wall_ms) {
  LimitActEntry act;
  act.action = action;
  act.value = value;
  act.until_wall_ms = until_wall_ms;
  return act;
}

TEST(EffectiveLimit, IsWhatPeopleSetWhileNothingIsLaidOver) {
  const EffectiveLimit now = EffectiveLimitAt(Plain(), 1'000);
  EXPECT_EQ(now.max_concurrent, 8u);
  EXPECT_EQ(now.max_queue, 16u);
  EXPECT_EQ(now.requests_per_second, 100);
  EXPECT_EQ(now.caller_requests_per_second, 10);
  EXPECT_EQ(now.caller_concurrent, 4u);
  EXPECT_EQ(now.shed, 0);
  EXPECT_THAT(now.broken, IsEmpty());
  EXPECT_EQ(now.changes_at_wall_ms, 0);
}

TEST(EffectiveLimit, StepsAddUpWithinTheBounds) {
  LimitEntry limit = Plain();
  limit.acts = {Act("scale_up", 3, 0), Act("scale_down", 1, 0)};
  EXPECT_EQ(EffectiveLimitAt(limit, 0).max_concurrent, 10u);
  limit.acts.push_back(Act("scale_up", 100, 0));
  EXPECT_EQ(EffectiveLimitAt(limit, 0).max_concurrent, 12u) << "most_concurrent";
  limit.acts = {Act("scale_down", 100, 0)};
  EXPECT_EQ(EffectiveLimitAt(limit, 0).max_concurrent, 2u) << "min_concurrent";
}

TEST(EffectiveLimit, StepsMakeNoLimitWhereThereIsNone) {
  LimitEntry limit{.name = "m", .max_concurrent = 0, .most_concurrent = 0};
  limit.acts = {Act("scale_down", 3, 0)};
  EXPECT_EQ(EffectiveLimitAt(limit, 0).max_concurrent, 0u);
}

TEST(EffectiveLimit, OfRatesTheStrictestHoldsWhoeverSetIt) {
  LimitEntry limit = Plain();
  limit.acts = {Act("throttle", 40, 0), Act("throttle", 70, 0)};
  limit.acts[1].caller_requests_per_second = 2;
  limit.acts[1].caller_concurrent = 9;
  EffectiveLimit now = EffectiveLimitAt(limit, 0);
  EXPECT_EQ(now.requests_per_second, 40);
  EXPECT_EQ(now.caller_requests_per_second, 2);
  EXPECT_EQ(now.caller_concurrent, 4u) << "an act that is milder than people's own";
  limit.requests_per_second = 0;
  now = EffectiveLimitAt(limit, 0);
  EXPECT_EQ(now.requests_per_second, 40) << "0 is no limit, not the strictest";
}

TEST(EffectiveLimit, TheLargestShareIsShedAndEveryBrokenCircuitIsNamed) {
  LimitEntry limit = Plain();
  limit.acts = {Act("shed_load", 0.2, 0), Act("shed_load", 0.5, 0), Act("circuit_break", 0, 0)};
  limit.acts[2].version = "1.1.0";
  limit.acts[2].reason = "slow";
  const EffectiveLimit now = EffectiveLimitAt(limit, 0);
  EXPECT_EQ(now.shed, 0.5);
  EXPECT_THAT(now.broken, ElementsAre(EffectiveLimit::Broken{"1.1.0", "slow"}));
}

TEST(EffectiveLimit, AnActEndsAtItsTimeAndTheNextEndIsKnown) {
  LimitEntry limit = Plain();
  limit.acts = {Act("scale_up", 2, 5'000), Act("throttle", 10, 3'000), Act("shed_load", 0.1, 0)};
  EffectiveLimit now = EffectiveLimitAt(limit, 2'999);
  EXPECT_EQ(now.max_concurrent, 10u);
  EXPECT_EQ(now.requests_per_second, 10);
  EXPECT_EQ(now.changes_at_wall_ms, 3'000);
  now = EffectiveLimitAt(limit, 3'000);
  EXPECT_EQ(now.requests_per_second, 100) << "ended";
  EXPECT_EQ(now.changes_at_wall_ms, 5'000);
  now = EffectiveLimitAt(limit, 5'000);
  EXPECT_EQ(now.max_concurrent, 8u);
  EXPECT_EQ(now.shed, 0.1) << "until it is taken back";
  EXPECT_EQ(now.changes_at_wall_ms, 0);
}

}  // namespace
}  // namespace weir::domain
