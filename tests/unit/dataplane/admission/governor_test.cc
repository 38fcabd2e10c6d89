// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/governor.h"

#include <gtest/gtest.h>

#include <limits>

namespace weir::node::admission {
namespace {

constexpr double kLimit = 16;
constexpr double kDelayMs = 50;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// 16 slots of 50 ms make 80 requests a tick; twice as many come, and the queue is full.
Reading Overload() {
  return {.in = 160, .out = 80, .queue = 32, .least_queue = 30, .inflight = 16, .service_ms = 50};
}
Reading Idle() {
  return {.in = 4, .out = 4, .queue = 0, .least_queue = 0, .inflight = 2, .service_ms = 50};
}

void Tick(Governor& governor, const Reading& reading, int times = 1) {
  for (int i = 0; i < times; ++i) governor.Tick(reading, kLimit, kDelayMs);
}

TEST(Governor, TurnsNobodyAwayBeforeTheQueueStoodForASecond) {
  Governor governor;
  Tick(governor, Overload(), 3);
  EXPECT_EQ(governor.u(), 0);
  EXPECT_FALSE(governor.is_active());
  Tick(governor, Overload());
  EXPECT_GT(governor.u(), 0);
}

TEST(Governor, AQueueThatEmptiesWithinTheTickDoesNotStand) {
  Governor governor;
  Reading burst = Overload();
  burst.least_queue = 0;
  for (int i = 0; i < 20; ++i) {
    Tick(governor, Overload(), 3);
    Tick(governor, burst);
  }
  EXPECT_EQ(governor.u(), 0);
}

// By hand from JUDGEMENT: q* = 80/0.25 s · 50 ms = 16, e = (80 + 0.5 · 16)/80 = 1.1, clipped to 1;
// u = 0.3 · 1 + 0.8 · 0.25 · 1 = 0.5, then + 0.2 · (1 − 0.5) = 0.6.
TEST(Governor, FollowsTheLaw) {
  Governor governor;
  Tick(governor, Overload(), 4);
  EXPECT_NEAR(governor.u(), 0.5, 1e-12);
  Tick(governor, Overload());
  EXPECT_NEAR(governor.u(), 0.6, 1e-12);
  // In balance, with the queue that it aims at: no error, and what the error was is taken back.
  Reading even = Overload();
  even.in = 80;
  even.queue = 16;
  Tick(governor, even);
  EXPECT_NEAR(governor.u(), 0.6 - 0.3 * 0.4, 1e-12);
  Tick(governor, even);
  EXPECT_NEAR(governor.u(), 0.48, 1e-12);
}

TEST(Governor, AReadingThatIsMissingHoldsU) {
  Governor governor;
  Tick(governor, Overload(), 6);
  const double u = governor.u();
  for (double Reading::*field : {&Reading::in, &Reading::out, &Reading::queue,
                                 &Reading::least_queue, &Reading::inflight, &Reading::service_ms}) {
    for (const double value : {kNan, std::numeric_limits<double>::infinity(), -1.0}) {
      Reading broken = Idle();
      broken.*field = value;
      Tick(governor, broken);
      EXPECT_EQ(governor.u(), u);
    }
  }
  governor.Tick(Idle(), kNan, kDelayMs);
  governor.Tick(Idle(), 0, kDelayMs);
  governor.Tick(Idle(), kLimit, kNan);
  EXPECT_EQ(governor.u(), u);
}

TEST(Governor, NeverTurnsEverybodyAway) {
  Governor governor;
  Tick(governor, Overload(), 1000);
  EXPECT_EQ(governor.u(), Governor::kMaxU);
}

TEST(Governor, LetsEverybodyInAgainWithinTwoSecondsOfTheEnd) {
  Governor governor;
  Tick(governor, Overload(), 20);
  EXPECT_GT(governor.u(), 0.9);
  Tick(governor, Idle(), 8);
  EXPECT_EQ(governor.u(), 0);
  EXPECT_FALSE(governor.is_active());
}

// u at about half.
Governor Halfway() {
  Governor governor;
  Tick(governor, Overload(), 4);
  return governor;
}

TEST(Governor, TheLeastImportantGoFirst) {
  Governor governor = Halfway();
  int let_in[2] = {0, 0};
  for (uint32_t i = 0; i < 4000; ++i) {
    for (const int priority : {2, 8}) {
      if (governor.LetsIn(priority, i)) ++let_in[priority == 8 ? 1 : 0];
    }
  }
  EXPECT_LE(let_in[0], 40);
  EXPECT_GE(let_in[1], 3960);
}

TEST(Governor, WithinTheTierACallerIsWhollyInOrWhollyOut) {
  Governor governor = Halfway();
  for (uint32_t i = 0; i < 2000; ++i) governor.LetsIn(kDefaultPriority, i);
  int in = 0;
  for (uint32_t caller = 0; caller < 2000; ++caller) {
    const bool first = governor.LetsIn(kDefaultPriority, caller);
    in += first ? 1 : 0;
    for (int again = 0; again < 5; ++again) {
      ASSERT_EQ(governor.LetsIn(kDefaultPriority, caller), first);
    }
  }
  EXPECT_NEAR(in, 1000, 100);
}

TEST(Governor, OnlyTheLastThousandPrioritiesCount) {
  Governor governor = Halfway();
  for (uint32_t i = 0; i < 5000; ++i) governor.LetsIn(9, i);
  // All were as important; since a thousand less important ones came, those give way.
  for (uint32_t i = 0; i < 1000; ++i) governor.LetsIn(i % 10 < 3 ? 9 : 1, i);
  for (uint32_t i = 0; i < 100; ++i) EXPECT_TRUE(governor.LetsIn(9, i)) << i;
}

TEST(Governor, PrioritiesOutOfRangeAreTheNearest) {
  Governor governor = Halfway();
  for (uint32_t i = 0; i < 1000; ++i) governor.LetsIn(static_cast<int>(i % 2) * 9, i);
  EXPECT_TRUE(governor.LetsIn(1000, 1));
  EXPECT_FALSE(governor.LetsIn(-1000, 1));
}

TEST(Governor, SharesOfCallersAreEven) {
  int below = 0;
  for (uint32_t i = 0; i < 10'000; ++i) below += ShareOf(i * 2654435761u) < 0.3 ? 1 : 0;
  EXPECT_NEAR(below, 3000, 150);
}

}  // namespace
}  // namespace weir::node::admission
