// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace weir::node::admission {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = Outcome::Kind;

struct AtOnce final : Executor {
  void Post(std::function<void()> task) override { task(); }
};

class GateTest : public testing::Test {
 protected:
  GateTest() {
    limit_.name = "fraud";
    limit_.min_concurrent = 1;
    limit_.target_delay_ms = 50;
  }
  void Slots(uint64_t slots, uint64_t queue) {
    limit_.max_concurrent = slots;
    limit_.most_concurrent = 4 * slots;
    limit_.max_queue = queue;
    Apply();
  }
  void Apply() { gate_.Configure(&limit_, 0, now_); }
  void Act(const std::string& action, double value, int64_t for_ms, std::string version = "") {
    limit_.acts.push_back({.action = action,
                           .version = std::move(version),
                           .node = "",
                           .value = value,
                           .caller_requests_per_second = 0,
                           .caller_concurrent = 0,
                           .until_wall_ms = now_.wall_ms + for_ms,
                           .reason = "p99 is 900 ms"});
    Apply();
  }
  void Pass(int64_t ms) {
    now_.ns += ms * 1'000'000;
    now_.wall_ms += ms;
  }
  // What becomes of one that waits is noted in woken_ under its name.
  Outcome Ask(const std::string& name, Entry entry = {}) {
    if (entry.deadline_ns == 0) entry.deadline_ns = now_.ns + 60'000'000'000;
    return gate_.Enter(entry, now_, [&] {
      return Waiter{&executor_, [this, name](Refusal refusal) {
                      woken_.push_back(name + " " + RefusalName(refusal));
                    }};
    });
  }
  Refusal Refused(Entry entry = {}) { return Ask("", entry).refusal; }
  void Leave(uint32_t caller = 0) { gate_.Leave(caller, now_.ns, now_); }
  int EntersOf(int count, Entry entry = {}) {
    int in = 0;
    for (int i = 0; i < count; ++i) in += Ask("", entry).kind == Kind::kEntered ? 1 : 0;
    return in;
  }

  Now now_{1'000'000'000, 1'763'683'200'000};
  AtOnce executor_;
  std::vector<std::string> woken_;
  domain::LimitEntry limit_;
  Gate gate_{"fraud"};
};

TEST_F(GateTest, SlotsThenAQueueThenARefusalThatSaysWhatToDo) {
  Slots(2, 1);
  EXPECT_EQ(Ask("a").kind, Kind::kEntered);
  EXPECT_EQ(Ask("b").kind, Kind::kEntered);
  EXPECT_EQ(Ask("c").kind, Kind::kWaits);
  const Outcome full = Ask("d");
  EXPECT_EQ(full.kind, Kind::kRefused);
  EXPECT_EQ(full.refusal, Refusal::kQueueFull);
  EXPECT_EQ(
      full.sentence,
      "no room for fraud on this node: 2 of 2 slots are taken, and 1 of 1 places in the queue; "
      "ask again after retry-after-ms, or raise max_concurrent or max_queue of Limit fraud");
  Leave();
  EXPECT_THAT(woken_, ElementsAre("c none"));
  const GateView view = gate_.View();
  EXPECT_EQ(view.inflight, 2u);
  EXPECT_EQ(view.waiting, 0u);
  EXPECT_EQ(view.refused[static_cast<size_t>(Refusal::kQueueFull)], 1u);
}

TEST_F(GateTest, TheMoreImportantWaitLessAndTakeTheLastPlace) {
  Slots(1, 2);
  Ask("in");
  Ask("usual", {.priority = 5});
  Ask("low", {.priority = 1});
  EXPECT_EQ(Ask("high", {.priority = 9}).kind, Kind::kWaits);
  EXPECT_THAT(woken_, ElementsAre("low queue_full"));
  EXPECT_EQ(Ask("low again", {.priority = 5}).kind, Kind::kRefused);
  Leave();
  Leave();
  EXPECT_THAT(woken_, ElementsAre("low queue_full", "high none", "usual none"));
}

TEST_F(GateTest, WhoWaitsTooLongIsDroppedBeforeAnyWork) {
  Slots(1, 4);
  Ask("in");
  Ask("hasty", {.deadline_ns = now_.ns + 10'000'000});
  Ask("patient");
  Pass(10);
  gate_.Tick(now_);
  EXPECT_THAT(woken_, ElementsAre("hasty deadline"));
  Leave();
  EXPECT_THAT(woken_, ElementsAre("hasty deadline", "patient none"));
  // Between ticks as well.
  Ask("hasty", {.deadline_ns = now_.ns + 10'000'000});
  Pass(11);
  Leave();
  EXPECT_EQ(woken_.back(), "hasty deadline");
  EXPECT_EQ(gate_.View().inflight, 0u);
  EXPECT_EQ(Refused({.deadline_ns = now_.ns}), Refusal::kDeadline);
}

TEST_F(GateTest, WhoWentAwayIsNotWoken) {
  Slots(1, 4);
  Ask("in");
  const Outcome gone = Ask("gone");
  Ask("next");
  EXPECT_TRUE(gate_.Forget(gone.ticket));
  EXPECT_FALSE(gate_.Forget(gone.ticket));
  Leave();
  EXPECT_THAT(woken_, ElementsAre("next none"));
}

TEST_F(GateTest, ARaisedOrRemovedLimitLetsInWhoWaits) {
  Slots(1, 4);
  for (const char* name : {"a", "b", "c", "d"}) Ask(name);
  Slots(2, 4);
  EXPECT_THAT(woken_, ElementsAre("b none"));
  gate_.Configure(nullptr, 0, now_);
  EXPECT_THAT(woken_, ElementsAre("b none", "c none", "d none"));
  EXPECT_EQ(EntersOf(100), 100);
}

TEST_F(GateTest, ALoweredLimitTakesNobodysSlotAway) {
  Slots(4, 4);
  EXPECT_EQ(EntersOf(4), 4);
  Slots(2, 4);
  Ask("waits");
  Leave();
  Leave();
  EXPECT_THAT(woken_, IsEmpty());
  Leave();
  EXPECT_THAT(woken_, ElementsAre("waits none"));
}

TEST_F(GateTest, AStepOfAPolicyEndsByItself) {
  Slots(4, 8);
  Act("scale_down", 3, 1000);
  EXPECT_EQ(EntersOf(8), 1);
  Pass(999);
  gate_.Tick(now_);
  EXPECT_THAT(woken_, IsEmpty());
  Pass(1);
  gate_.Tick(now_);
  EXPECT_EQ(woken_.size(), 3u);
  EXPECT_EQ(gate_.View().slots, 4u);
}

TEST_F(GateTest, TheNodesRateIsARateWithASmallBurst) {
  limit_.requests_per_second = 100;
  Apply();
  EXPECT_EQ(EntersOf(1000), 25);
  const Outcome refused = Ask("");
  EXPECT_EQ(refused.refusal, Refusal::kRate);
  EXPECT_THAT(refused.sentence, HasSubstr("100 requests a second"));
  EXPECT_EQ(refused.retry_after_ms, 50);
  int in = 0;
  for (int i = 0; i < 1000; ++i) {
    Pass(1);
    in += EntersOf(1);
  }
  EXPECT_NEAR(in, 100, 1);
}

TEST_F(GateTest, AThrottleIsTheStricterRateUntilItEnds) {
  limit_.requests_per_second = 100;
  Act("throttle", 4, 10'000);
  EXPECT_EQ(EntersOf(100), 1);
  EXPECT_EQ(Ask("").retry_after_ms, 250);
  Pass(10'000);
  EXPECT_EQ(EntersOf(100), 25);
}

TEST_F(GateTest, OneCallersRateIsNoOtherCallers) {
  limit_.caller_requests_per_second = 2;
  Apply();
  EXPECT_EQ(EntersOf(10, {.caller = 1}), 1);
  EXPECT_EQ(EntersOf(10, {.caller = 2}), 1);
  EXPECT_EQ(Refused({.caller = 1}), Refusal::kCallerRate);
  EXPECT_EQ(Ask("", {.caller = 1}).retry_after_ms, 500);
  Pass(500);
  EXPECT_EQ(EntersOf(10, {.caller = 1}), 1);
}

TEST_F(GateTest, WhatACallerHasWaitingCountsAsItsOwn) {
  limit_.caller_concurrent = 2;
  Slots(1, 8);
  Ask("first", {.caller = 1});
  const Outcome second = Ask("second", {.caller = 1});
  EXPECT_EQ(second.kind, Kind::kWaits);
  EXPECT_EQ(Refused({.caller = 1}), Refusal::kCallerConcurrent);
  EXPECT_EQ(Ask("other", {.caller = 2}).kind, Kind::kWaits);
  gate_.Forget(second.ticket);
  EXPECT_EQ(Ask("again", {.caller = 1}).kind, Kind::kWaits);
  Leave(1);
  EXPECT_EQ(Ask("and again", {.caller = 1}).kind, Kind::kWaits);
}

TEST_F(GateTest, MadeUpCallersFillNoMemory) {
  limit_.caller_requests_per_second = 1;
  Apply();
  EXPECT_EQ(EntersOf(10, {.caller = 1}), 1);
  for (uint32_t caller = 2; caller < 20'000; ++caller) EntersOf(1, {.caller = caller});
  // Who was known first still is.
  EXPECT_EQ(EntersOf(10, {.caller = 1}), 0);
}

TEST_F(GateTest, AShareOfCallersIsTurnedAwayWhollyAndForAWhile) {
  Act("shed_load", 0.4, 2000);
  std::vector<uint32_t> away;
  for (uint32_t caller = 0; caller < 1000; ++caller) {
    const Outcome outcome = Ask("", {.caller_hash = caller});
    if (outcome.kind == Kind::kEntered) continue;
    EXPECT_EQ(outcome.refusal, Refusal::kShedLoad);
    EXPECT_EQ(outcome.retry_after_ms, 2000);
    away.push_back(caller);
  }
  EXPECT_NEAR(static_cast<double>(away.size()), 400, 50);
  for (const uint32_t caller : away) EXPECT_EQ(EntersOf(3, {.caller_hash = caller}), 0);
  Pass(2000);
  for (const uint32_t caller : away) EXPECT_EQ(EntersOf(1, {.caller_hash = caller}), 1);
}

TEST_F(GateTest, ABrokenCircuitIsOfItsVersionUntilItEnds) {
  Act("circuit_break", 0, 30'000, "1.1.0");
  EXPECT_TRUE(gate_.IsBroken("1.1.0", now_));
  EXPECT_FALSE(gate_.IsBroken("1.0.0", now_));
  EXPECT_EQ(EntersOf(1, {.version = "1.0.0"}), 1);
  const Outcome refused = Ask("", {.version = "1.1.0"});
  EXPECT_EQ(refused.refusal, Refusal::kCircuit);
  EXPECT_EQ(StatusOf(refused.refusal), 503);
  EXPECT_EQ(refused.retry_after_ms, 30'000);
  EXPECT_THAT(refused.sentence, HasSubstr("held back by a policy: p99 is 900 ms"));
  Pass(30'000);
  EXPECT_FALSE(gate_.IsBroken("1.1.0", now_));
  EXPECT_EQ(EntersOf(1, {.version = "1.1.0"}), 1);
}

TEST_F(GateTest, ACircuitWithoutAVersionIsTheWholeModels) {
  Act("circuit_break", 0, 1000);
  EXPECT_TRUE(gate_.IsBroken("1.0.0", now_));
  EXPECT_EQ(Refused({.version = "1.0.0"}), Refusal::kCircuit);
}

TEST_F(GateTest, AGovernorKeepsTheQueueAtTwiceItsSlots) {
  limit_.max_concurrent = limit_.most_concurrent = 2;
  limit_.max_queue = 100;
  gate_.Configure(&limit_, 16, now_);
  for (int i = 0; i < 50; ++i) Ask("");
  EXPECT_EQ(gate_.View().slots, 2u);
  EXPECT_EQ(gate_.View().waiting, 4u);
}

TEST_F(GateTest, AGovernorWithoutALimitBeginsWithTheNodesSlots) {
  gate_.Configure(nullptr, 8, now_);
  EXPECT_EQ(EntersOf(100), 8);
  EXPECT_EQ(gate_.View().waiting, 16u);
  EXPECT_EQ(gate_.View().u, 0);
}

}  // namespace
}  // namespace weir::node::admission
