// SPDX-License-Identifier: Apache-2.0
#include "dataplane/breaker/breaker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace weir::node::breaker {
namespace {

using testing::ElementsAre;

class BreakerTest : public testing::Test {
 protected:
  void Give(int count, Outcome outcome) {
    for (int i = 0; i < count; ++i) {
      breaker_.Answer(breaker_.Admit(now_ms_), outcome, ++caller_, now_ms_);
    }
  }
  void OpenIt() {
    Give(20, Outcome::kBad);
    ASSERT_EQ(breaker_.state(), State::kOpen);
  }
  void Probe(Outcome outcome) {
    const Permit permit = breaker_.Admit(now_ms_);
    ASSERT_EQ(permit, Permit::kProbe);
    breaker_.Answer(permit, outcome, 1, now_ms_);
  }

  int64_t now_ms_ = 1'000'000;
  uint32_t caller_ = 0;
  std::vector<std::string> changes_;
  Breaker breaker_{[this](bool is_open, const std::string& why) {
    changes_.push_back(is_open ? "open: " + why : "closed");
  }};
};

TEST_F(BreakerTest, OpensWhenHalfOfTwentyAnswersFailed) {
  Give(10, Outcome::kGood);
  Give(9, Outcome::kBad);
  EXPECT_EQ(breaker_.state(), State::kClosed);
  Give(1, Outcome::kBad);
  EXPECT_EQ(breaker_.state(), State::kOpen);
  EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kNone);
  EXPECT_THAT(changes_, ElementsAre("open: 10 of 20 answers within 10 s failed"));
}

TEST_F(BreakerTest, WithAChanceItStaysOpenUpToAQuarterLonger) {
  std::set<int64_t> lasted;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Breaker breaker({}, seed);
    for (int i = 0; i < Breaker::kUnreachedInARow; ++i) {
      breaker.Answer(breaker.Admit(0), Outcome::kUnreached, 1, 0);
    }
    int64_t ms = 0;
    while (breaker.Admit(ms) == Permit::kNone) ++ms;
    EXPECT_GE(ms, Breaker::kFirstOpenMs);
    EXPECT_LE(ms, Breaker::kFirstOpenMs * 5 / 4);
    lasted.insert(ms);
  }
  EXPECT_GT(lasted.size(), 25U);
}

TEST_F(BreakerTest, TwoCallersDoNotOpenItHoweverOftenTheyFail) {
  for (uint32_t i = 0; i < 100; ++i) {
    breaker_.Answer(breaker_.Admit(now_ms_), Outcome::kBad, i % 2, now_ms_);
    now_ms_ += 50;
  }
  EXPECT_EQ(breaker_.state(), State::kClosed);
  breaker_.Answer(breaker_.Admit(now_ms_), Outcome::kBad, 2, now_ms_);
  EXPECT_EQ(breaker_.state(), State::kOpen);
}

TEST_F(BreakerTest, StaysClosedWhileMostAnswersAreGood) {
  for (int i = 0; i < 100; ++i) {
    Give(51, Outcome::kGood);
    Give(49, Outcome::kBad);
    now_ms_ += 100;
  }
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(BreakerTest, ForgetsWhatIsTenSecondsOld) {
  Give(19, Outcome::kBad);
  now_ms_ += 10'000;
  Give(19, Outcome::kBad);
  EXPECT_EQ(breaker_.state(), State::kClosed);
  now_ms_ += 9'000;
  Give(1, Outcome::kBad);
  EXPECT_EQ(breaker_.state(), State::kOpen);
}

TEST_F(BreakerTest, OpensWhenFiveCallsInARowReachNobody) {
  Give(4, Outcome::kUnreached);
  Give(1, Outcome::kGood);
  Give(4, Outcome::kUnreached);
  EXPECT_EQ(breaker_.state(), State::kClosed);
  Give(1, Outcome::kUnreached);
  EXPECT_EQ(breaker_.state(), State::kOpen);
  EXPECT_THAT(changes_, ElementsAre("open: 5 calls in a row reached nobody"));
}

TEST_F(BreakerTest, WhatSaysNothingOfTheVersionNeverOpensIt) {
  Give(1000, Outcome::kNothing);
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(BreakerTest, LetsOneProbeThroughAtATimeAfterFiveSeconds) {
  OpenIt();
  now_ms_ += 4'999;
  EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kNone);
  now_ms_ += 1;
  const Permit probe = breaker_.Admit(now_ms_);
  EXPECT_EQ(probe, Permit::kProbe);
  EXPECT_EQ(breaker_.state(), State::kProbing);
  EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kNone);
  breaker_.Answer(probe, Outcome::kGood, 1, now_ms_);
  EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kProbe);
}

TEST_F(BreakerTest, ThreeGoodProbesCloseIt) {
  OpenIt();
  now_ms_ += 5'000;
  for (int i = 0; i < 3; ++i) Probe(Outcome::kGood);
  EXPECT_EQ(breaker_.state(), State::kClosed);
  EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kPass);
  EXPECT_EQ(changes_.size(), 2U);
  EXPECT_EQ(changes_.back(), "closed");
  // It starts anew: the answers that opened it are forgotten.
  Give(19, Outcome::kBad);
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(BreakerTest, EachBadProbeDoublesTheWaitUpToAMinute) {
  OpenIt();
  int64_t wait_ms = 5'000;
  for (int i = 0; i < 8; ++i) {
    now_ms_ += wait_ms - 1;
    EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kNone) << wait_ms;
    now_ms_ += 1;
    Probe(i % 2 == 0 ? Outcome::kBad : Outcome::kUnreached);
    EXPECT_EQ(breaker_.state(), State::kOpen);
    wait_ms = std::min<int64_t>(wait_ms * 2, 60'000);
  }
  EXPECT_EQ(changes_.size(), 1U);  // one episode
  // Once closed, the first wait is short again.
  now_ms_ += wait_ms;
  for (int i = 0; i < 3; ++i) Probe(Outcome::kGood);
  OpenIt();
  now_ms_ += 5'000;
  EXPECT_EQ(breaker_.Admit(now_ms_), Permit::kProbe);
}

TEST_F(BreakerTest, ABadProbeStartsTheCountOfGoodOnesAnew) {
  OpenIt();
  now_ms_ += 5'000;
  Probe(Outcome::kGood);
  Probe(Outcome::kGood);
  Probe(Outcome::kBad);
  now_ms_ += 10'000;
  Probe(Outcome::kGood);
  Probe(Outcome::kGood);
  EXPECT_EQ(breaker_.state(), State::kProbing);
  Probe(Outcome::kGood);
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(BreakerTest, AProbeThatSaysNothingMakesRoomForTheNext) {
  OpenIt();
  now_ms_ += 5'000;
  Probe(Outcome::kNothing);
  EXPECT_EQ(breaker_.state(), State::kProbing);
  for (int i = 0; i < 3; ++i) Probe(Outcome::kGood);
  EXPECT_EQ(breaker_.state(), State::kClosed);
}

TEST_F(BreakerTest, ACallerMayOpenItOnItsOwnEvidenceAndForATimeOfItsOwn) {
  Breaker breaker({}, 0, 100);
  breaker.Trip("5 answers in a row failed", 1'000);
  EXPECT_EQ(breaker.state(), State::kOpen);
  EXPECT_EQ(breaker.open_until_ms(), 1'100);
  breaker.Trip("once more", 1'050);
  EXPECT_EQ(breaker.open_until_ms(), 1'100) << "it is open already";
  breaker.Answer(breaker.Admit(1'100), Outcome::kBad, 1, 1'100);
  EXPECT_EQ(breaker.open_until_ms(), 1'300);
  for (int i = 0; i < 3; ++i) breaker.Answer(breaker.Admit(1'300), Outcome::kGood, 1, 1'300);
  EXPECT_EQ(breaker.state(), State::kClosed);
  breaker.Trip("again", 2'000);
  EXPECT_EQ(breaker.open_until_ms(), 2'100) << "the first time is short again";
}

TEST_F(BreakerTest, WhatPassedBeforeItOpenedHasNoSay) {
  std::vector<Permit> early;
  for (int i = 0; i < 10; ++i) early.push_back(breaker_.Admit(now_ms_));
  OpenIt();
  now_ms_ += 5'000;
  for (const Permit permit : early) breaker_.Answer(permit, Outcome::kGood, 1, now_ms_);
  EXPECT_EQ(breaker_.state(), State::kOpen);
  const Permit probe = breaker_.Admit(now_ms_);
  breaker_.Answer(Permit::kPass, Outcome::kBad, 1, now_ms_);
  EXPECT_EQ(breaker_.state(), State::kProbing);
  breaker_.Answer(probe, Outcome::kGood, 1, now_ms_);
  EXPECT_EQ(breaker_.state(), State::kProbing);
}

}  // namespace
}  // namespace weir::node::breaker
