// SPDX-License-Identifier: Apache-2.0
// The driver takes rollouts back, in every way, and keeps the model's versions in step.
#include <gtest/gtest.h>

#include "tests/unit/controlplane/rollout/driver_fixture.h"

namespace weir::control::rollout {
namespace {

class RolloutDriverRollback : public RolloutDriverTest {
 protected:
  RolloutDriverRollback() { SpecNow().phases[0].duration = {600'000}; }
  // Every node has what was committed last, and those of before the start have had their time.
  void Settle(Driver& driver) {
    for (NodeFacts& node : nodes_) node.applied_version = revision_;
    now_ms_ += 8000;
    Run(driver, 1, 90, 0, 0);
  }
};

TEST_F(RolloutDriverRollback, InStepsSurvivesARestartAndTakesNoTimeTwice) {
  SpecNow().rollback.gradual = {.to = {5, 2, 0}, .every = {3000}};
  auto first = std::make_unique<Driver>(World());
  Run(*first, 3, 90, 10, 0);
  ASSERT_TRUE(Order(*first, Verb::kRollback).ok());
  EXPECT_EQ(RolloutNow().percentage, 5);
  EXPECT_EQ(RolloutNow().rollback_kind, "manual");
  Run(*first, 21, 90, 5, 0);
  EXPECT_EQ(RolloutNow().percentage, 5);
  const codec::Json state = first->SaveState();
  first.reset();
  now_ms_ = 5'000;
  Driver second(World());
  second.LoadState(state);
  Run(second, 8, 90, 5, 0);
  EXPECT_EQ(RolloutNow().percentage, 5);
  Run(second, 4, 90, 5, 0);
  EXPECT_EQ(RolloutNow().percentage, 2);
  Run(second, 27, 90, 2, 0);
  EXPECT_EQ(RolloutNow().percentage, 2);
  Run(second, 4, 90, 2, 0);
  EXPECT_EQ(RolloutNow().percentage, 0);
  EXPECT_EQ(RolloutNow().rollback_step, 3u);
  Settle(second);
  Run(second, 80, 90, 0, 0);  // nodes of before the restart have had their time
  EXPECT_EQ(RolloutNow().state, "rolled_back");
  const codec::Json& evidence = plans_.back().evidence;
  EXPECT_EQ(evidence["percentage_before"], 10);
  EXPECT_EQ(evidence["kind"], "manual");
  EXPECT_EQ(evidence["by"], "alice");
}

TEST_F(RolloutDriverRollback, APolicyTakesItBackByItsOwnNameAndWithWhatItSaw) {
  Driver driver(World());
  Run(driver, 1, 90, 10, 0);
  Command command{.verb = Verb::kRollback, .actor = "policy/p", .reason = "too slow"};
  command.verdict.emplace();
  command.verdict->trigger = "policy/p";
  command.verdict->evidence = "p95_latency_ms is 900";
  command.evidence = {{"slo", "p95_latency_ms"}};
  ASSERT_TRUE(driver.Obey("r", command, now_ms_).ok());
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(RolloutNow().rollback_kind, "automatic");
  EXPECT_EQ(RolloutNow().rollback_by, "policy/p");
  EXPECT_EQ(RolloutNow().last_verdict->trigger, "policy/p");
  EXPECT_EQ(plans_.back().evidence["policy"]["slo"], "p95_latency_ms");
  EXPECT_EQ(plans_.back().evidence["evidence"], "p95_latency_ms is 900");
}

TEST_F(RolloutDriverRollback, SoonAfterAStartItIsNotCompleteWithoutNodes) {
  Driver driver(World());
  nodes_.clear();
  Run(driver, 3, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kRollback).ok());
  Run(driver, 10, 0, 0, 0);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(driver.View("r")->status.waiting_for, "nodes to come back");
  Settle(driver);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
}

TEST_F(RolloutDriverRollback, ATickBetweenCommitAndNodesDoesNotCompleteIt) {
  Driver::World world = World();
  Driver* told = nullptr;
  world.commit = [&, commit = world.commit](const CommitPlan& plan) {
    const Result<uint64_t> revision = commit(plan);
    told->OnPublished(*revision);
    return revision;
  };
  Driver driver(std::move(world));
  told = &driver;
  Run(driver, 3, 90, 10, 0);
  now_ms_ += 8000;
  ASSERT_TRUE(Order(driver, Verb::kRollback).ok());
  driver.Tick(now_ms_, now_ms_);  // before OnNodes
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  Settle(driver);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
}

TEST_F(RolloutDriverRollback, FailureWithDoAlertTellsPeopleOnce) {
  SpecNow().rollback.triggers = {{.metric = "system_failure", .action = "alert"}};
  SetNodes("FAILED", 1);
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "progressing");
  ASSERT_EQ(Notices("rollout_alert").size(), 1u);
  EXPECT_EQ(Notices("rollout_alert")[0]["trigger"], "system_failure");
}

TEST_F(RolloutDriverRollback, StepsEndAtOnceWhenTheCandidateFailsOn) {
  SpecNow().rollback.gradual = {.to = {5, 0}, .every = {60'000}};
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  Run(driver, 6, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(RolloutNow().rollback_by, "rollout/r");
  Run(driver, 20, 90, 5, 5);
  EXPECT_EQ(RolloutNow().percentage, 0);
  EXPECT_EQ(RolloutNow().percentage_before, 10);
}

TEST_F(RolloutDriverRollback, PreviousPhaseWaitsPausedWithTheVerdictAndAFreshJudge) {
  SpecNow().rollback.on_failure = "previous_phase";
  Driver driver(World());
  Run(driver, 3, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kPromote).ok());
  Run(driver, 5, 90, 10, 0);
  Run(driver, 4, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "paused");
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(RolloutNow().percentage, 10);
  ASSERT_TRUE(RolloutNow().last_verdict.has_value());
  Run(driver, 20, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "paused") << "the evidence that led here does not count again";
  ASSERT_TRUE(Order(driver, Verb::kResume).ok());
  Run(driver, 20, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "progressing");
  Run(driver, 20, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back") << "before the first phase there is only zero";
}

TEST_F(RolloutDriverRollback, EmergencyBlocksTheCandidateUntilForced) {
  Resource emergency;
  emergency.kind = Kind::kEmergency;
  emergency.name = "default";
  emergency.spec = domain::EmergencySpec{.freeze = true};
  Put(emergency);
  ModelNow().pinned = "2";
  Driver driver(World());
  Run(driver, 3, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kRollback, true).ok());
  ASSERT_EQ(plans_.back().resources.size(), 2u) << "one revision";
  EXPECT_EQ(ModelNow().versions["2"].blocked, "emergency rollback of r by alice: looks wrong");
  EXPECT_EQ(ModelNow().pinned, "");
  EXPECT_EQ(Notices("emergency_rollback").size(), 1u);
  Settle(driver);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
  now_ms_ += 700'000;
  EXPECT_NE(Order(driver, Verb::kRetry).status().message().find("is blocked"), std::string::npos);
  ASSERT_TRUE(Order(driver, Verb::kRetry, false, false, true).ok());
  EXPECT_EQ(ModelNow().versions["2"].blocked, "");
  EXPECT_EQ(RolloutNow().state, "progressing");
}

TEST_F(RolloutDriverRollback, EmergencyOfAPromotedOneSaysWhatItAborted) {
  Driver driver(World());
  Run(driver, 1, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kPromoteFull).ok());
  Resource later = resources_.at({Kind::kRollout, "r"});
  later.name = "s";
  later.status->state = "progressing";
  Put(later);
  const auto rolled_back = Order(driver, Verb::kRollback, true);
  ASSERT_TRUE(rolled_back.ok()) << rolled_back.status().ToString();
  EXPECT_EQ(plans_.back().reason, "looks wrong; s aborted: r was rolled back in an emergency");
  const domain::RolloutStatus& status = *resources_.at({Kind::kRollout, "s"}).status;
  EXPECT_EQ(status.state, "aborted");
  EXPECT_EQ(status.last_verdict->evidence, "aborted: r was rolled back in an emergency");
}

TEST_F(RolloutDriverRollback, EmergencyNeverBlocksWhatIsStable) {
  resources_.at({Kind::kRollout, "r"}).status->state = "aborted";
  ModelNow().stable = "2";
  Driver driver(World());
  EXPECT_NE(Order(driver, Verb::kRollback, true).status().message().find("is stable"),
            std::string::npos);
}

TEST_F(RolloutDriverRollback, GracefulWaitsForStableAndThenUnloads) {
  nodes_[1].versions[0].state = "LOADING";
  Driver driver(World());
  Run(driver, 3, 90, 10, 0);
  const Status refused = Order(driver, Verb::kRollback, false, true).status();
  EXPECT_NE(refused.message().find("stable 1 of m is not READY on n2: LOADING"), std::string::npos)
      << refused.ToString();
  nodes_[1].versions[0].state = "READY";
  Run(driver, 1, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kRollback, false, true).ok());
  EXPECT_EQ(RolloutNow().percentage, 0);
  EXPECT_FALSE(ModelNow().versions["2"].unloaded);
  Settle(driver);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
  EXPECT_TRUE(ModelNow().versions["2"].unloaded);
  ASSERT_TRUE(Order(driver, Verb::kStart, false, false, true).ok());
  EXPECT_FALSE(ModelNow().versions["2"].unloaded) << "what starts is loaded";
}

TEST_F(RolloutDriverRollback, PromotedGoesBackWhileKeptAndIsLetGoAfterwards) {
  SpecNow().rollback.keep_previous = {5000};
  Driver driver(World());
  Run(driver, 3, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kPromoteFull).ok());
  EXPECT_EQ(Stable(), "2");
  Run(driver, 10, 90, 0, 0);
  ASSERT_TRUE(Order(driver, Verb::kRollback).ok());
  EXPECT_EQ(Stable(), "1");
  EXPECT_EQ(plans_.back().resources.size(), 2u) << "one revision";
  Settle(driver);
  EXPECT_EQ(RolloutNow().state, "rolled_back");

  ASSERT_TRUE(Order(driver, Verb::kRetry, false, false, true).ok());
  ASSERT_TRUE(Order(driver, Verb::kPromoteFull).ok());
  Run(driver, 70, 90, 0, 0);
  EXPECT_TRUE(ModelNow().versions["1"].unloaded);
  EXPECT_TRUE(RolloutNow().unloaded_previous);
  EXPECT_EQ(plans_.back().actor, "rollout/r");
  EXPECT_EQ(Order(driver, Verb::kRollback).status().code(), Code::kFailedPrecondition);
}

TEST_F(RolloutDriverRollback, PreviousStaysLoadedWhileAnotherRolloutWantsIt) {
  SpecNow().rollback.keep_previous = {1000};
  Driver driver(World());
  Run(driver, 3, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kPromoteFull).ok());
  Resource other = resources_.at({Kind::kRollout, "r"});
  other.name = "back";
  other.As<domain::RolloutSpec>().candidate = "1";
  other.status = domain::RolloutStatus{};
  Put(other);
  Run(driver, 30, 90, 0, 0);
  EXPECT_FALSE(ModelNow().versions["1"].unloaded);
}

TEST_F(RolloutDriverRollback, OpenBreakerOfTheCandidateIsASystemFailure) {
  resources_.at({Kind::kRollout, "r"}).status->entered = {{now_ms_}};
  Driver driver(World());
  nodes_[0].episodes = {{"breaker", "model/m/1", now_ms_ + 1, 0, "another version"},
                        {"breaker", "model/m/2", now_ms_ - 1, 0, "older than the rollout"}};
  Run(driver, 5, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "progressing");
  nodes_[0].episodes[1].from_wall_ms = now_ms_;
  nodes_[0].episodes[1].detail = "12 of 20 answers failed";
  Run(driver, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(RolloutNow().last_verdict->evidence,
            "the breaker of 2 is open on n1: 12 of 20 answers failed");
}

TEST_F(RolloutDriverRollback, NodeThatStartsOverAndOverIsASystemFailure) {
  Driver driver(World());
  for (uint64_t start = 1; start <= 3; ++start) {
    nodes_[0].incarnation = start;
    Run(driver, 5, 90, 10, 0);
  }
  EXPECT_EQ(RolloutNow().state, "progressing") << "a first start and two more";
  nodes_[0].incarnation = 4;
  Run(driver, 2, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(RolloutNow().last_verdict->evidence,
            "n1 started anew 3 times within 5m while it served 2");
}

TEST_F(RolloutDriverRollback, IncompleteIsToldAfterFiveSecondsAndEachMinute) {
  Driver driver(World());
  Run(driver, 3, 90, 10, 0);
  ASSERT_TRUE(Order(driver, Verb::kRollback).ok());
  nodes_[0].applied_version = revision_;
  Run(driver, 45, 90, 0, 0);
  EXPECT_TRUE(Notices("rollback_incomplete").empty());
  Run(driver, 10, 90, 0, 0);
  ASSERT_EQ(Notices("rollback_incomplete").size(), 1u);
  EXPECT_EQ(Notices("rollback_incomplete")[0]["missing"], codec::Json::array({"n2"}));
  EXPECT_EQ(Notices("rollback_incomplete")[0]["severity"], "critical");
  Run(driver, 600, 90, 0, 0);
  EXPECT_EQ(Notices("rollback_incomplete").size(), 2u);
  Settle(driver);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
}

}  // namespace
}  // namespace weir::control::rollout
