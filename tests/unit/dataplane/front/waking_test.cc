// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/waking.h"

#include <gtest/gtest.h>

namespace weir::node::front {
namespace {

TEST(Waking, HoldsAfterAHangUntilInStep) {
  Waking waking;
  EXPECT_FALSE(waking.OnAlive(1'000'000)) << "the first thing it does";
  EXPECT_FALSE(waking.OnAlive(1'000'000 + Waking::kLateMs));
  EXPECT_FALSE(waking.holds());
  const int64_t woke_ms = 1'010'000;
  EXPECT_TRUE(waking.OnAlive(woke_ms));
  EXPECT_TRUE(waking.holds());
  EXPECT_FALSE(waking.OnAlive(woke_ms + 1)) << "it woke once";
  EXPECT_FALSE(waking.OnInStep(woke_ms - 1)) << "of before it hung";
  EXPECT_TRUE(waking.holds());
  EXPECT_TRUE(waking.OnInStep(woke_ms + 5));
  EXPECT_FALSE(waking.holds());
  EXPECT_FALSE(waking.OnPatienceEnds(woke_ms)) << "it waits no more";
}

TEST(Waking, ItsPatienceEnds) {
  Waking waking;
  waking.OnAlive(1000);
  ASSERT_TRUE(waking.OnAlive(10'000));
  ASSERT_TRUE(waking.OnPatienceEnds(10'000));
  EXPECT_FALSE(waking.holds());
  // A second hang is not ended by the patience with the first.
  ASSERT_TRUE(waking.OnAlive(20'000));
  EXPECT_FALSE(waking.OnPatienceEnds(10'000));
  EXPECT_TRUE(waking.holds());
  EXPECT_TRUE(waking.OnPatienceEnds(20'000));
}

}  // namespace
}  // namespace weir::node::front
