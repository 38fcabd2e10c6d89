// SPDX-License-Identifier: Apache-2.0
#include "dataplane/breaker/breakers.h"

#include <gtest/gtest.h>

#include <vector>

namespace weir::node::breaker {
namespace {

class BreakersTest : public testing::Test {
 protected:
  BreakersTest() {
    breakers_.Listen([this](const Change& change) { changes_.push_back(change); });
  }
  static void Fail(Breaker& breaker) {
    for (int i = 0; i < 5; ++i) breaker.Answer(breaker.Admit(0), Outcome::kUnreached, 1, 0);
  }
  std::vector<Change> changes_;
  Breakers breakers_;
};

TEST_F(BreakersTest, AVersionKeepsItsBreakerWhileSomebodyHoldsIt) {
  const std::shared_ptr<Breaker> held = breakers_.Prepare("m", "2");
  Fail(*held);
  breakers_.Prune();
  EXPECT_EQ(breakers_.Prepare("m", "2"), held);
  EXPECT_NE(breakers_.Prepare("m", "3"), held);
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_EQ(changes_[0].key, VersionKey("m", "2"));
  EXPECT_TRUE(changes_[0].is_open);
}

TEST_F(BreakersTest, AnOpenOneThatNobodyHoldsIsClosed) {
  Fail(*breakers_.Prepare("m", "2"));
  breakers_.Prune();
  ASSERT_EQ(changes_.size(), 2U);
  EXPECT_FALSE(changes_[1].is_open);
  EXPECT_EQ(changes_[1].key, VersionKey("m", "2"));
  EXPECT_EQ(breakers_.Prepare("m", "2")->state(), State::kClosed);
}

TEST_F(BreakersTest, TheHighestStateOfAllWorkersIsShown) {
  const auto held = breakers_.Prepare("m", "2");
  const auto closed = breakers_.Prepare("m", "3");
  Fail(*held);
  Breakers::States states{{{"m", "2"}, 0.5}};
  breakers_.AddTo(states);
  EXPECT_EQ(states, (Breakers::States{{{"m", "2"}, 1}, {{"m", "3"}, 0}}));
  EXPECT_EQ(held->Admit(10'000), Permit::kProbe);
  states.clear();
  breakers_.AddTo(states);
  EXPECT_EQ(states.at({"m", "2"}), 0.5);
}

}  // namespace
}  // namespace weir::node::breaker
