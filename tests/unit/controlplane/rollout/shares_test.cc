// SPDX-License-Identifier: Apache-2.0
// No node forces a judgement alone: quorum, cap, and who has the errors.
#include "controlplane/rollout/shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controlplane/rollout/driver_fixture.h"

namespace weir::control::rollout {
namespace {

using ::testing::HasSubstr;

ArmCounts Of(uint64_t requests, uint64_t bad, uint64_t stable = 0, uint64_t stable_bad = 0) {
  return {{requests, bad}, {stable, stable_bad}};
}

TEST(Shares, CountsNoNodeAboveItsShareOfTheWhole) {
  EXPECT_EQ(CountedRequests({{"a", Of(10, 0)}, {"b", Of(10, 0)}}, 0.5), 20u);
  EXPECT_EQ(CountedRequests({{"a", Of(1'000'000, 0)}, {"b", Of(10, 0)}}, 0.5), 20u);
  EXPECT_EQ(CountedRequests({{"a", Of(1'000'000, 0)}}, 0.5), 0u);
  EXPECT_EQ(CountedRequests({{"a", Of(30, 0)}, {"b", Of(30, 0)}, {"c", Of(1, 0)}}, 0.5), 61u);
  // Both are cut: 1 is then 32 % of three.
  EXPECT_EQ(CountedRequests({{"a", Of(30, 0)}, {"b", Of(30, 0)}, {"c", Of(1, 0)}}, 0.34), 3u);
  EXPECT_EQ(CountedRequests({{"a", Of(7, 0)}}, 1), 7u);
  EXPECT_EQ(CountedRequests({}, 0.5), 0u);
}

TEST(Shares, TwoNodesAreWantedWhereTwoTakePartAndThePhaseRestsOnRequests) {
  domain::RolloutSpec spec;
  domain::Phase phase;
  EXPECT_EQ(QuorumOf(spec, phase, 5).min_nodes, 1u) << "time alone: no node speaks for it";
  phase.min_requests = 1;
  EXPECT_EQ(QuorumOf(spec, phase, 1).min_nodes, 1u);
  EXPECT_EQ(QuorumOf(spec, phase, 1).max_node_share, 1);
  EXPECT_EQ(QuorumOf(spec, phase, 2).min_nodes, 2u);
  EXPECT_EQ(QuorumOf(spec, phase, 2).max_node_share, 0.5);
  spec.min_nodes = 3;
  spec.max_node_share = 0.4;
  EXPECT_EQ(QuorumOf(spec, phase, 1).min_nodes, 3u);
  EXPECT_EQ(QuorumOf(spec, phase, 1).max_node_share, 0.4);
  phase.min_nodes = 1;
  EXPECT_EQ(QuorumOf(spec, phase, 9).max_node_share, 1) << "one is enough for this phase";
}

TEST(Shares, ANodeWhoseManyGoodAnswersHideTheErrorsOfOthersIsNamed) {
  CountsByNode nodes = {{"honest", Of(500, 100, 5000, 5)}, {"liar", Of(1'000'000, 0, 5000, 5)}};
  EXPECT_THAT(HiddenBy(nodes, std::nullopt),
              HasSubstr("without liar, which has 1000000 of the canary's 1000500 requests, 100 of "
                        "500 failed (20 %, of stable 0.1 %)"));
  nodes["honest"] = Of(500, 1, 5000, 5);
  EXPECT_EQ(HiddenBy(nodes, std::nullopt), "");
  nodes["honest"] = Of(50, 10, 5000, 5);
  EXPECT_EQ(HiddenBy(nodes, std::nullopt), "") << "too few to say so";
}

TEST(Shares, ANodeThatMakesStableLookBadHidesNothingEither) {
  const CountsByNode nodes = {{"honest", Of(500, 100, 5000, 5)},
                              {"liar", Of(500, 100, 1'000'000, 300'000)}};
  EXPECT_THAT(HiddenBy(nodes, std::nullopt), HasSubstr("without liar"));
}

TEST(Shares, AnAbsoluteLimitHoldsForTheOthersWhereStableHasNoTraffic) {
  const CountsByNode nodes = {{"honest", Of(500, 100)}, {"liar", Of(1'000'000, 0)}};
  EXPECT_EQ(HiddenBy(nodes, std::nullopt), "");
  EXPECT_THAT(HiddenBy(nodes, 0.05), HasSubstr("without liar"));
}

TEST(Shares, ErrorsOfAllNodesAreNobodysAlone) {
  EXPECT_EQ(LoneWitness({{"a", Of(200, 50, 900, 0)}, {"b", Of(200, 0, 900, 0)}}), "a");
  EXPECT_EQ(LoneWitness({{"a", Of(200, 50, 900, 0)}, {"b", Of(200, 40, 900, 0)}}), "");
  EXPECT_EQ(LoneWitness({{"a", Of(200, 50, 900, 0)}, {"b", Of(99, 0, 900, 0)}}), "")
      << "the other has too few to say that the candidate is well";
  EXPECT_EQ(LoneWitness({{"a", Of(200, 50, 900, 0)}}), "");
  const BadNodes bad = WhereBad({{"a", Of(200, 5)}, {"b", Of(10, 9)}, {"c", Of(7, 0)}});
  EXPECT_EQ(bad.count, 2u);
  EXPECT_EQ(bad.text, "b 9 of 10, a 5 of 200");
}

TEST(Shares, NodesBeyondTheBoundAreCountedTogether) {
  Shares shares;
  for (size_t i = 0; i < Shares::kMaxNodes + 10; ++i)
    shares.Add({{"n" + std::to_string(i), Of(1, 0)}}, 0);
  EXPECT_EQ(shares.phase().size(), Shares::kMaxNodes + 1);
  EXPECT_EQ(shares.phase().at("").canary.requests, 10u);
  EXPECT_EQ(SumOf(shares.phase()).canary.requests, Shares::kMaxNodes + 10);
}

TEST(Shares, LatelyIsAMinuteAtMost) {
  Shares shares;
  shares.Add({{"a", Of(1, 0)}}, 100'000);
  shares.Add({{"a", Of(2, 0)}}, 130'000);
  EXPECT_EQ(shares.Recent().at("a").canary.requests, 3u);
  shares.Add({{"a", Of(4, 0)}}, 160'000);
  EXPECT_EQ(shares.Recent().at("a").canary.requests, 6u);
  shares.Add({{"a", Of(8, 0)}}, 300'000);
  EXPECT_EQ(shares.Recent().at("a").canary.requests, 8u);
  EXPECT_EQ(shares.phase().at("a").canary.requests, 15u);
}

class RolloutQuorum : public RolloutDriverTest {
 protected:
  std::string Waits(Driver& driver) { return driver.View("r")->status.waiting_for; }
};

TEST_F(RolloutQuorum, OneNodesTelemetryPromotesNothing) {
  senders_ = {"n1"};
  Driver driver(World());
  Run(driver, 100, 90, 100, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(Waits(driver),
            "0 of 50 requests (10000 came; of one node at most 50 % count); 2 nodes: so far only "
            "n1 sent requests of the canary (min_nodes: 1 lets that do)");
  const RolloutView view = *driver.View("r");
  EXPECT_EQ(view.counted_requests, 0u);
  EXPECT_EQ(view.alone, "n1");
  senders_ = {"n1", "n2"};
  Run(driver, 10, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u) << Waits(driver);
}

TEST_F(RolloutQuorum, ALiarAndAFewRequestsOfTheOtherAreNotEnough) {
  Driver driver(World());
  SpecNow().phases[0].min_requests = 200;
  Run(driver, 10, 90, 10, 0);  // 50 of each
  senders_ = {"n1"};
  Run(driver, 20, 90, 10'000, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_THAT(Waits(driver), HasSubstr("100 of 200 requests (200100 came"));
}

TEST_F(RolloutQuorum, WhereOneNodeAloneTakesPartItIsEnoughAndHistorySaysSo) {
  nodes_.resize(1);
  senders_ = {"n1"};
  Driver driver(World());
  Run(driver, 25, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u);
  EXPECT_THAT(plans_.at(0).reason, HasSubstr("requests, of node n1 alone"));
}

TEST_F(RolloutQuorum, CountsOfNodesSurviveARestartAndOneThatIsNotBackYetIsStillMissed) {
  senders_ = {"n1"};
  Driver first(World());
  Run(first, 30, 90, 10, 0);
  const codec::Json state = codec::Json::parse(first.SaveState().dump());
  Driver second(World());
  second.LoadState(state);
  const std::vector<NodeFacts> all = nodes_;
  nodes_.resize(1);
  Run(second, 5, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 0u) << "n2 has not said hello to the new process yet";
  nodes_ = all;
  Run(second, 1, 90, 0, 0);
  ASSERT_EQ(second.View("r")->shares.size(), 1u);
  EXPECT_EQ(second.View("r")->shares[0].requests, 350u);
  senders_ = {"n2"};
  Run(second, 10, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u) << Waits(second);
}

TEST_F(RolloutQuorum, WhatAnEarlierVersionCountedIsOfOneNodeAtMost) {
  Driver first(World());
  Run(first, 15, 90, 10, 0);
  codec::Json state = first.SaveState();
  state["r"].erase("nodes");
  Driver second(World());
  second.LoadState(state);
  senders_ = {};
  Run(second, 30, 90, 0, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(second.View("r")->phase_requests, 150u);
}

TEST_F(RolloutQuorum, ErrorsAreActedOnInFullAndTheVerdictNamesTheirNodes) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  Run(driver, 10, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_THAT(RolloutNow().last_verdict->evidence, HasSubstr("lately bad on 2 of 2 nodes: n"));
}

// What n2 answers goes well, what n1 does not.
class OneBadNode : public RolloutQuorum {
 protected:
  void RunBad(Driver& driver, int ticks) {
    for (int i = 0; i < ticks; ++i) {
      now_ms_ += 100;
      const telemetry::SeriesKey stable{"model/m", "1", arm_stable_};
      const telemetry::SeriesKey canary{"model/m", "2", arm_};
      telemetry::Window window;
      Fill(window[stable], 200, 0);
      Fill(window[canary], 40, 10);
      const telemetry::NodeWindow by_node = {{stable, {{"n1", {100, 0}}, {"n2", {100, 0}}}},
                                             {canary, {{"n1", {20, 10}}, {"n2", {20, 0}}}}};
      driver.OnNodes(nodes_, revision_);
      driver.OnTelemetry(window, by_node, now_ms_, now_ms_);
      driver.Tick(now_ms_, now_ms_);
    }
  }
  const char* arm_stable_ = telemetry::kArmStable;
};

TEST_F(OneBadNode, RollsBackByDefaultAndIsNamed) {
  Driver driver(World());
  Run(driver, 15, 90, 20, 0);
  RunBad(driver, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_THAT(RolloutNow().last_verdict->evidence, HasSubstr("lately bad on 1 of 2 nodes: n1 "));
  EXPECT_THAT(RolloutNow().last_verdict->evidence, HasSubstr("without n1 the canary is well"));
}

TEST_F(OneBadNode, OnlyPausesWhereTheRolloutSaysSoUntilOthersHaveErrorsToo) {
  SpecNow().rollback.one_node = "pause";
  Driver driver(World());
  Run(driver, 15, 90, 20, 0);
  RunBad(driver, 10);
  EXPECT_EQ(RolloutNow().state, "paused");
  EXPECT_EQ(RolloutNow().last_verdict->action, "pause");
  Run(driver, 20, 90, 20, 20);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
}

TEST_F(OneBadNode, OpenBreakerOfOneNodeIsActedOnAsTheRolloutSays) {
  SpecNow().rollback.one_node = "pause";
  Driver driver(World());
  Run(driver, 15, 90, 20, 0);
  nodes_[0].episodes = {{"breaker", "model/m/2", now_ms_, 0, "12 of 20 answers failed"}};
  Run(driver, 1, 90, 20, 0);
  EXPECT_EQ(RolloutNow().state, "paused");
}

TEST_F(OneBadNode, ManyGoodAnswersOfOneNodeDoNotHideTheErrorsOfTheOther) {
  SpecNow().rollback.enabled = false;  // what the phase does by itself
  Driver driver(World());
  for (int i = 0; i < 30; ++i) {
    now_ms_ += 100;
    const telemetry::SeriesKey stable{"model/m", "1", telemetry::kArmStable};
    const telemetry::SeriesKey canary{"model/m", "2", telemetry::kArmCanary};
    telemetry::Window window;
    Fill(window[stable], 100, 0);
    Fill(window[canary], 2000, 2);
    driver.OnNodes(nodes_, revision_);
    driver.OnTelemetry(window,
                       {{stable, {{"n1", {50, 0}}, {"n2", {50, 0}}}},
                        {canary, {{"n1", {1990, 0}}, {"n2", {10, 2}}}}},
                       now_ms_, now_ms_);
    driver.Tick(now_ms_, now_ms_);
  }
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_THAT(Waits(driver), HasSubstr("without n1, which has 59700 of the canary's 60000"));
  ASSERT_EQ(Notices("rollout_alert").size(), 1u);
  EXPECT_EQ(Notices("rollout_alert")[0]["trigger"], "hidden_by_one_node");
}

}  // namespace
}  // namespace weir::control::rollout
