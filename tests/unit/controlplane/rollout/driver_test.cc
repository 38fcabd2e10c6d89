// SPDX-License-Identifier: Apache-2.0
// The driver keeps rollouts moving, over phases, gates and restarts.
#include "controlplane/rollout/driver.h"

#include <gtest/gtest.h>

#include "tests/unit/controlplane/rollout/driver_fixture.h"

namespace weir::control::rollout {
namespace {

using RolloutDriver = RolloutDriverTest;

TEST_F(RolloutDriver, HealthyCandidateIsPromoted) {
  Driver driver(World());
  Run(driver, 60, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "promoted");
  EXPECT_EQ(RolloutNow().previous_stable, "1");
  EXPECT_EQ(Stable(), "2");
  ASSERT_EQ(plans_.size(), 2u);
  EXPECT_EQ(plans_[0].actor, "rollout/r");
}

TEST_F(RolloutDriver, BrokenCandidateIsTakenBackWithEvidenceAndThenComplete) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  Run(driver, 10, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(RolloutNow().percentage, 0);
  EXPECT_EQ(Stable(), "1");
  ASSERT_EQ(plans_.size(), 1u);
  EXPECT_GE(plans_[0].evidence["canary_bad"].get<int>(), 8);
  SetNodes("READY", revision_);
  nodes_[1].applied_version = revision_ - 1;
  Run(driver, 1, 90, 0, 0);
  EXPECT_EQ(driver.View("r")->status.waiting_for, "1/2 nodes are back at stable; n2 is missing");
  SetNodes("READY", revision_);
  now_ms_ += 8000;  // nodes of before the start have had their time
  Run(driver, 1, 90, 0, 0);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
}

TEST_F(RolloutDriver, RestartContinuesPhaseAndEvidence) {
  auto first = std::make_unique<Driver>(World());
  Run(*first, 12, 90, 10, 0);
  const codec::Json state = first->SaveState();
  first.reset();
  now_ms_ = 5'000;  // another boot: the monotonic clock starts anew
  Driver second(World());
  second.LoadState(codec::Json::parse(state.dump()));
  Run(second, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_GE(second.View("r")->phase_age_ms, 1000);
  EXPECT_EQ(second.View("r")->phase_requests, 130u);
  Run(second, 12, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u);
}

TEST_F(RolloutDriver, APhaseThatBeganJustBeforeARestartKeepsTheEvidence) {
  resources_.at({Kind::kRollout, "r"}).status->entered = {{now_ms_}};
  Driver first(World());
  for (int i = 0; i < 60 && RolloutNow().phase == 0; ++i) Run(first, 1, 90, 10, 0);
  ASSERT_EQ(RolloutNow().phase, 1u);
  const codec::Json state = first.SaveState();  // with the commit, before the next look
  const uint64_t seen = first.View("r")->judge.canary.requests;
  ASSERT_GE(seen, 50u);
  Driver second(World());
  second.LoadState(state);
  Run(second, 1, 0, 0, 0);
  EXPECT_EQ(second.View("r")->judge.canary.requests, seen);
}

TEST_F(RolloutDriver, PausedClockStandsStill) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  ASSERT_TRUE(
      driver.Obey("r", {.verb = Verb::kPause, .actor = "alice", .reason = "lunch"}, now_ms_).ok());
  const int64_t age = driver.View("r")->phase_age_ms;
  Run(driver, 50, 90, 10, 0);
  EXPECT_EQ(driver.View("r")->phase_age_ms, age);
  EXPECT_EQ(RolloutNow().state, "paused");
}

TEST_F(RolloutDriver, CandidateThatLoadsNowhereIsTakenBack) {
  SetNodes("FAILED", 1);
  Driver driver(World());
  Run(driver, 1, 90, 0, 0);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_NE(RolloutNow().last_verdict->evidence.find("not a model"), std::string::npos);
}

TEST_F(RolloutDriver, CandidateThatFailsOnOneNodeHoldsThePhase) {
  nodes_[1].versions[1] = {"m", "2", "FAILED", "disk full"};
  Driver driver(World());
  Run(driver, 60, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(driver.View("r")->status.waiting_for,
            "candidate is not ready on n2: FAILED (disk full)");
}

TEST_F(RolloutDriver, ActionThatCannotBeCommittedIsTriedAgain) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  refuse_ = Status(Code::kResourceExhausted, "disk full");
  Run(driver, 10, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "progressing");
  EXPECT_NE(driver.View("r")->status.waiting_for.find("disk full"), std::string::npos);
  EXPECT_EQ(driver.View("r")->status.state, "progressing") << "what is not committed is not shown";
  refuse_ = OkStatus();
  Run(driver, 1, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
}

TEST_F(RolloutDriver, ClockOfAnEarlierVisitOfThePhaseIsNotTakenOver) {
  auto first = std::make_unique<Driver>(World());
  Run(*first, 12, 90, 10, 0);
  const codec::Json state = first->SaveState();
  first.reset();
  resources_.at({Kind::kRollout, "r"}).status->entered = {{now_ms_}};  // begun anew since
  Driver second(World());
  second.LoadState(state);
  Run(second, 2, 90, 10, 0);
  EXPECT_LT(second.View("r")->phase_age_ms, 300);
}

TEST_F(RolloutDriver, PhasesHaveTheirOwnThresholds) {
  SpecNow().phases[0].duration = {600'000};
  SpecNow().phases[0].rollback.error_rate = 0.2;
  SpecNow().rollback.error_rate = 0.9;
  Driver driver(World());
  Run(driver, 1, 90, 10, 0);
  const auto threshold = [&]() -> double {
    for (const auto& trigger : driver.View("r")->triggers) {
      if (trigger.metric == "error_rate" && trigger.threshold >= 0.1) return trigger.threshold;
    }
    return 0;
  };
  EXPECT_EQ(threshold(), 0.2);
  ASSERT_TRUE(Order(driver, Verb::kPromote).ok());
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u);
  EXPECT_EQ(threshold(), 0.9);
}

TEST_F(RolloutDriver, PhaseAppliesToItsNodesOnly) {
  nodes_[0].labels = {{"environment", "staging"}};
  nodes_[1].versions[1].state = "LOADING";
  SpecNow().phases[0].nodes = {{"environment", "staging"}};
  Driver driver(World());
  Run(driver, 30, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u) << driver.View("r")->status.waiting_for;
  Run(driver, 1, 90, 10, 0);
  EXPECT_NE(driver.View("r")->status.waiting_for.find("not ready on n2"), std::string::npos);
}

TEST_F(RolloutDriver, ShadowPhaseIsJudgedOnCopiesAndStays) {
  SpecNow().mode = "shadow";
  SpecNow().phases.resize(1);
  arm_ = telemetry::kArmShadow;
  Driver driver(World());
  Run(driver, 60, 90, 9, 0);
  EXPECT_EQ(RolloutNow().state, "progressing");
  const RolloutView view = *driver.View("r");
  EXPECT_EQ(view.phases[0].mode, "shadow");
  EXPECT_EQ(view.phase_requests, 60u * 9);
  EXPECT_DOUBLE_EQ(*view.actual_percentage, 10);
  EXPECT_NE(view.status.waiting_for.find("promote --full"), std::string::npos);
  Run(driver, 10, 90, 9, 9);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
}

TEST_F(RolloutDriver, FlagsRolloutIsJudgedOnItsSplit) {
  Resource flag;
  flag.kind = Kind::kFlag;
  flag.name = "f";
  domain::FlagSpec five;
  five.enabled = true;
  five.rollout_percentage = 5;
  flag.spec = five;
  Put(flag);
  SpecNow().model.clear();
  SpecNow().candidate.clear();
  SpecNow().flag = "f";
  Driver driver(World());
  const auto run = [&](int ticks, int bad, const std::string& version) {
    for (int i = 0; i < ticks; ++i) {
      now_ms_ += 100;
      telemetry::Window window;
      Fill(window[{"split/f", version, telemetry::kArmStable}], 90, 0);
      Fill(window[{"split/f", version, telemetry::kArmCanary}], 10, bad);
      driver.OnTelemetry(window, ByNode(window), now_ms_, now_ms_);
      driver.Tick(now_ms_, now_ms_);
    }
  };
  run(10, 10, "another rollout of the flag");
  EXPECT_EQ(driver.View("r")->phase_requests, 0u);
  run(60, 0, "r");
  EXPECT_EQ(RolloutNow().state, "promoted");
  const auto percentage = [&] {
    return resources_.at({Kind::kFlag, "f"}).As<domain::FlagSpec>().rollout_percentage;
  };
  EXPECT_EQ(percentage(), 100);
  ASSERT_TRUE(Order(driver, Verb::kRollback).ok());
  EXPECT_EQ(percentage(), 5);
  EXPECT_EQ(RolloutNow().percentage_before, 100);
}

TEST_F(RolloutDriver, DisabledFlagHoldsItsRollout) {
  Resource flag;
  flag.kind = Kind::kFlag;
  flag.name = "offd";
  flag.spec = domain::FlagSpec{};
  flag.As<domain::FlagSpec>().enabled = false;
  Put(flag);
  SpecNow().model.clear();
  SpecNow().candidate.clear();
  SpecNow().flag = "offd";
  SpecNow().phases[0].min_requests = 0;
  Driver driver(World());
  Run(driver, 30, 0, 0, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(driver.View("r")->status.waiting_for, "flag offd is disabled");
}

TEST_F(RolloutDriver, CandidateThatTurnsRequestsAwayHoldsThePhase) {
  Driver driver(World());
  const auto run = [&](int ticks, int refused) {
    for (int i = 0; i < ticks; ++i) {
      now_ms_ += 100;
      telemetry::Window window;
      telemetry::Series& stable = window[{"model/m", "1", telemetry::kArmStable}];
      Fill(stable, 98, 0);
      stable.counters[telemetry::kClientErrors] = 2;
      telemetry::Series& canary = window[{"model/m", "2", telemetry::kArmCanary}];
      Fill(canary, 6, 0);
      canary.counters[telemetry::kClientErrors] = static_cast<uint64_t>(refused);
      canary.counters[telemetry::kCancelled] = 4;
      driver.OnNodes(nodes_, revision_);
      driver.OnTelemetry(window, ByNode(window), now_ms_, now_ms_);
      driver.Tick(now_ms_, now_ms_);
    }
  };
  run(30, 90);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(driver.View("r")->status.waiting_for,
            "the candidate refuses, sheds or is given up on 94 % of requests, stable 2 %");
  ASSERT_EQ(Notices("rollout_alert").size(), 1u);
  EXPECT_EQ(Notices("rollout_alert")[0]["trigger"], "turned_away");
  ASSERT_TRUE(Order(driver, Verb::kPromote).ok());
  EXPECT_EQ(RolloutNow().phase, 1u);
  const RolloutView view = *driver.View("r");
  EXPECT_EQ(view.phases[1].age_ms, 0) << "the old phase's clock is not the new one's";
  EXPECT_EQ(view.phase_requests, 0u);
  run(1, 90);
  EXPECT_NE(driver.View("r")->status.waiting_for.find("94 %"), std::string::npos);
}

TEST_F(RolloutDriver, FreezesWhileANodeRefusesItsEntryOrItsModelAndTellsPeopleOnce) {
  Driver driver(World());
  nodes_[1].refused_splits["r"] = "key 42 is unknown";
  Run(driver, 30, 90, 10, 0);
  EXPECT_EQ(driver.View("r")->status.state, "frozen");
  EXPECT_EQ(driver.View("r")->status.waiting_for, "n2 refused it: key 42 is unknown");
  ASSERT_EQ(Notices("rollout_alert").size(), 1u);
  EXPECT_EQ(Notices("rollout_alert")[0]["detail"], "n2 refused it: key 42 is unknown");
  nodes_[0].refused_subjects["model/m"] = "runtime is unknown";
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(driver.View("r")->status.waiting_for,
            "n1 refused model/m: runtime is unknown (and 1 more)");
  nodes_[0].refused_subjects = {{"model/other", "of nobody here"}};
  nodes_[1].refused_splits.clear();
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(driver.View("r")->status.state, "progressing");
}

TEST_F(RolloutDriver, AsksGatesAndSaysSinceWhenTheyWait) {
  SpecNow().phases[0].gates = {{.type = "time_based", .name = "office_hours"}};
  gate_ = {false, false, "opens at 09:00"};
  Driver driver(World());
  Run(driver, 30, 90, 10, 0);
  RolloutView view = *driver.View("r");
  ASSERT_EQ(view.gates.size(), 1u);
  EXPECT_EQ(view.gates[0].state, "waiting");
  EXPECT_EQ(view.gates[0].since_wall_ms, 1'000'100);
  EXPECT_EQ(view.status.waiting_for, "gate office_hours: opens at 09:00");
  gate_ = {true, false, "09:00 to 17:00"};
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u);
  ASSERT_EQ(Notices("gate").size(), 1u);
  EXPECT_EQ(Notices("gate")[0]["to"], "passed");
}

TEST_F(RolloutDriver, FailedGatePausesOnceAndResumeLetsItTryAgain) {
  SpecNow().phases[0].gates = {{.type = "automated_test", .name = "smoke"}};
  gate_ = {false, true, "exit code 1"};
  Driver driver(World());
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "paused");
  EXPECT_EQ(plans_.back().reason, "gate smoke failed: exit code 1");
  ASSERT_TRUE(Order(driver, Verb::kResume).ok());
  Run(driver, 30, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "progressing");
  EXPECT_EQ(driver.View("r")->status.waiting_for, "gate smoke: exit code 1");
  gate_ = {false, false, "runs"};
  Run(driver, 1, 90, 10, 0);
  gate_ = {false, true, "exit code 1"};
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "paused") << "it failed once more";
}

TEST_F(RolloutDriver, ApprovalHoldsForTheSpecThatWasApproved) {
  SpecNow().phases[0].gates = {{.type = "manual_approval"}};
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kApprove).ok());
  SpecNow().phases[1].percentage = 60;
  Run(driver, 30, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(driver.View("r")->status.waiting_for,
            "approval of phase ten; the spec changed since alice approved");
  ASSERT_TRUE(Order(driver, Verb::kApprove).ok());
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u);
}

TEST_F(RolloutDriver, ViewHasPhasesShareAndNodes) {
  Driver driver(World());
  Run(driver, 10, 90, 10, 0);
  const RolloutView view = *driver.View("r");
  ASSERT_EQ(view.phases.size(), 2u);
  EXPECT_EQ(view.phases[0].state, "current");
  EXPECT_EQ(view.phases[0].age_ms, view.phase_age_ms);
  EXPECT_EQ(view.phases[1].state, "pending");
  EXPECT_DOUBLE_EQ(*view.actual_percentage, 10);
  EXPECT_EQ(view.live_nodes, 2);
  EXPECT_EQ(view.applied_nodes, 2);
  EXPECT_FALSE(view.triggers.empty());
}

TEST_F(RolloutDriver, TellsOfEpisodesOnceAlsoOverARestart) {
  nodes_[0].episodes = {{"unwatched", "r", 900'000, 950'000, ""},
                        {"breaker", "model/other/1", 960'000, 0, "10 of 20 failed"}};
  auto first = std::make_unique<Driver>(World());
  Run(*first, 3, 90, 10, 0);
  ASSERT_EQ(Notices("unwatched").size(), 1u);
  EXPECT_EQ(Notices("unwatched")[0]["lasted_ms"], 50'000);
  ASSERT_EQ(Notices("breaker").size(), 1u);
  EXPECT_EQ(Notices("breaker")[0]["state"], "began");
  const codec::Json state = first->SaveState();
  Driver second(World());
  second.LoadState(state);
  Run(second, 3, 90, 10, 0);
  EXPECT_EQ(Notices("breaker").size(), 1u);
  nodes_[0].episodes[1].to_wall_ms = 970'000;
  Run(second, 3, 90, 10, 0);
  ASSERT_EQ(Notices("breaker").size(), 2u);
  EXPECT_EQ(Notices("breaker")[1]["state"], "ended");
}

}  // namespace
}  // namespace weir::control::rollout
