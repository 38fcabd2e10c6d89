// SPDX-License-Identifier: Apache-2.0
// Each action: what it commits, as whom and with which evidence, when it cannot, and how it ends.
#include "tests/unit/controlplane/remedy/driver_fixture.h"

namespace weir::control::remedy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using RemedyActs = RemedyTest;

TEST_F(RemedyActs, AnActIsARevisionWhoseEvidenceReplays) {
  domain::PolicySpec policy = Policy("shed_load");
  policy.remediations[0].share = 0.25;
  policy.remediations[0].reason = "keep the rest well";
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  ASSERT_THAT(plans_, SizeIs(1));
  EXPECT_EQ(plans_[0].actor, "policy/p");
  EXPECT_THAT(plans_[0].reason,
              HasSubstr("turn 25 % of the callers of m away for 1m: error_rate is 0.5"));
  EXPECT_THAT(plans_[0].reason, HasSubstr("(keep the rest well)"));
  const codec::Json evidence = codec::Json::parse(plans_[0].evidence.dump());
  EXPECT_EQ(evidence["reading"]["bad"], 50);
  const auto verdict = Replay(evidence);
  ASSERT_TRUE(verdict.ok()) << verdict.status().ToString();
  EXPECT_EQ(analysis::SloStateName(verdict->state), evidence["verdict"]["state"]);
  EXPECT_EQ(verdict->severity, evidence["verdict"]["severity"]);
  EXPECT_EQ(verdict->text, evidence["verdict"]["text"]);
  EXPECT_FALSE(Replay({{"spec", 1}}).ok());
  ASSERT_THAT(Limit().acts, SizeIs(1));
  const domain::LimitAct& act = Limit().acts[0];
  EXPECT_EQ(act.policy, "p");
  EXPECT_EQ(act.action, "shed_load");
  EXPECT_EQ(act.value, 0.25);
  EXPECT_EQ(act.since.ms, WallMs());
  EXPECT_EQ(act.until.ms, WallMs() + 60'000);
}

TEST_F(RemedyActs, WhatHasEndedIsRemovedByAnotherRevision) {
  domain::PolicySpec policy = Policy("shed_load");
  policy.remediations[0].share = 0.25;
  policy.remediations[0].duration = {5'000};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  ASSERT_THAT(Limit().acts, SizeIs(1));
  Run(driver, 4, 100, 0);
  EXPECT_THAT(Limit().acts, SizeIs(1));
  Run(driver, 2, 100, 0);
  EXPECT_THAT(Limit().acts, IsEmpty());
  EXPECT_EQ(plans_.back().actor, "policy/p");
  EXPECT_EQ(plans_.back().reason, "shed_load of p has ended");
}

TEST_F(RemedyActs, WhatPeopleSetStaysAndARepeatedActReplacesItself) {
  PutLimit(100);
  domain::PolicySpec policy = Policy("throttle");
  policy.remediations[0].factor = 0.5;
  policy.remediations[0].caller_concurrent = 2;
  policy.cooldown = {10'000};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 12, 100, 50);
  EXPECT_EQ(Limit().max_concurrent, 100u);
  ASSERT_THAT(Limit().acts, SizeIs(1));
  EXPECT_EQ(plans_.size(), 2u);
  EXPECT_NEAR(Limit().acts[0].value, 50, 10)
      << "half of what came at first, and not half of what the act itself lets in";
  EXPECT_EQ(Limit().acts[0].caller_concurrent, 2u);
}

TEST_F(RemedyActs, ScalesWithinTheLimitsBounds) {
  PutLimit(100, 130);
  domain::PolicySpec policy = Policy("scale_up");
  policy.cooldown = {5'000};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  EXPECT_EQ(Limit().acts.back().value, 25) << "a quarter by default";
  Run(driver, 5, 100, 50);
  EXPECT_EQ(Limit().acts.back().value, 5) << "no further than most_concurrent";
  Run(driver, 5, 100, 50);
  EXPECT_THAT(plans_, SizeIs(2));
  EXPECT_EQ(Last(driver, "p")["result"], "failed");
  EXPECT_EQ(Last(driver, "p")["reason"], "m is at its most_concurrent of 130 slots already");
  EXPECT_EQ(driver.RecommendedReplicas(WallMs()).at("m"), 2);
}

TEST_F(RemedyActs, WithoutALimitThereIsNothingToScale) {
  PutPolicy("p", Policy("scale_down"));
  Driver driver(World());
  Run(driver, 5, 100, 50);
  EXPECT_THAT(plans_, IsEmpty());
  const codec::Json last = driver.View("p")["last"];
  ASSERT_THAT(last, SizeIs(2)) << "failed, then in its cool-down";
  EXPECT_THAT(last[1]["reason"].get<std::string>(), HasSubstr("no max_concurrent"));
}

TEST_F(RemedyActs, ABreakerIsHeldOpenOnTheCandidate) {
  PutPolicy("p", Policy("circuit_break"));
  Driver driver(World());
  Run(driver, 2, 100, 50);
  EXPECT_THAT(plans_, IsEmpty());
  EXPECT_THAT(Last(driver, "p")["reason"].get<std::string>(), HasSubstr("name the version"));
  PutRollout();
  Run(driver, 62, 100, 50);
  ASSERT_THAT(Limit().acts, SizeIs(1));
  EXPECT_EQ(Limit().acts[0].version, "2");
  EXPECT_EQ(Limit().acts[0].until.ms - Limit().acts[0].since.ms, 30'000);
}

TEST_F(RemedyActs, ARolloutIsTakenBackOnceAndByThePolicysName) {
  PutRollout();
  PutPolicy("p", Policy("rollback"));
  Driver driver(World());
  Run(driver, 70, 100, 50);
  ASSERT_THAT(commands_, SizeIs(1));
  EXPECT_EQ(commands_[0].first, "r");
  const rollout::Command& command = commands_[0].second;
  EXPECT_EQ(command.verb, rollout::Verb::kRollback);
  EXPECT_EQ(command.actor, "policy/p");
  ASSERT_TRUE(command.verdict.has_value());
  EXPECT_EQ(command.verdict->trigger, "policy/p");
  EXPECT_THAT(command.verdict->evidence, HasSubstr("error_rate is 0.5"));
  EXPECT_TRUE(Replay(command.evidence).ok());
  EXPECT_EQ(driver.View("p")["last"][1]["reason"], "r is rolling back already");
}

TEST_F(RemedyActs, AFlagComesBackWhenItsTimeIsOver) {
  PutFlag(40);
  domain::PolicySpec policy = Policy("set_percentage");
  policy.remediations[0].target = "f";
  policy.remediations[0].percentage = 10;
  policy.remediations[0].duration = {20'000};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  EXPECT_EQ(Flag().rollout_percentage, 10);
  const codec::Json state = driver.SaveState();
  Driver next(World());
  next.LoadState(state, now_ms_, WallMs());
  Run(next, 30, 100, 0);
  EXPECT_EQ(Flag().rollout_percentage, 40);
  EXPECT_EQ(plans_.back().actor, "policy/p");
  EXPECT_THAT(plans_.back().reason, HasSubstr("its time is over"));
}

TEST_F(RemedyActs, WhatAPersonSetSinceStays) {
  PutFlag(40);
  domain::PolicySpec policy = Policy("disable_flag");
  policy.remediations[0].target = "f";
  policy.remediations[0].duration = {20'000};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  ASSERT_EQ(Flag().enabled, false);
  domain::FlagSpec flag = Flag();
  flag.enabled.reset();
  Put(Kind::kFlag, "f", flag);
  Run(driver, 30, 100, 0);
  EXPECT_EQ(Flag().enabled, std::nullopt);
  EXPECT_THAT(plans_, SizeIs(1));
}

TEST_F(RemedyActs, TwoStepsDownComeBackToWhereTheyBegan) {
  PutFlag(40);
  domain::PolicySpec policy = Policy("set_percentage");
  policy.cooldown = {5'000};
  policy.remediations[0].target = "f";
  policy.remediations[0].percentage = 10;
  policy.remediations[0].duration = {20'000};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  policy.remediations[0].percentage = 5;
  PutPolicy("p", policy);
  Run(driver, 6, 100, 50);
  ASSERT_EQ(Flag().rollout_percentage, 5);
  Run(driver, 30, 100, 0);
  EXPECT_EQ(Flag().rollout_percentage, 40);
}

TEST_F(RemedyActs, AFreezeStopsWhatLetsMoreIn) {
  PutFlag(40);
  domain::PolicySpec policy = Policy("set_percentage");
  policy.cooldown = {5'000};
  policy.remediations[0].target = "f";
  policy.remediations[0].percentage = 80;
  PutPolicy("p", policy);
  Freeze(true);
  Driver driver(World());
  Run(driver, 10, 100, 50);
  EXPECT_EQ(Flag().rollout_percentage, 40);
  EXPECT_EQ(driver.View("p")["suppressed"], (codec::Json{{"frozen", 1}}));
  policy.remediations[0].percentage = 20;
  policy.remediations[0].duration = {10'000};
  PutPolicy("p", policy);
  Run(driver, 3, 100, 50);
  EXPECT_EQ(Flag().rollout_percentage, 20) << "less is let in during a freeze, too";
  Run(driver, 20, 100, 0);
  EXPECT_EQ(Flag().rollout_percentage, 20) << "its end would let more in";
  Freeze(false);
  Run(driver, 2, 100, 0);
  EXPECT_EQ(Flag().rollout_percentage, 40);
}

TEST_F(RemedyActs, AShareOfARolloutIsNotSet) {
  PutRollout();
  domain::PolicySpec policy = Policy("set_percentage");
  policy.remediations[0].target = "r";
  policy.remediations[0].percentage = 5;
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  EXPECT_EQ(Last(driver, "p")["result"], "failed");
  EXPECT_THAT(Last(driver, "p")["reason"].get<std::string>(), HasSubstr("follows its phases"));
}

TEST_F(RemedyActs, WhatCannotBeCommittedIsSaidAndTriedAfterTheCooldown) {
  domain::PolicySpec policy = Policy("shed_load");
  policy.remediations[0].share = 0.25;
  PutPolicy("p", policy);
  refuse_ = Status(Code::kResourceExhausted, "disk full");
  Driver driver(World());
  Run(driver, 2, 100, 50);
  EXPECT_EQ(Last(driver, "p")["reason"], "disk full");
  EXPECT_EQ(driver.View("p")["executor"]["executions"], 0);
  refuse_ = OkStatus();
  Run(driver, 60, 100, 50);
  EXPECT_THAT(Limit().acts, SizeIs(1));
}

}  // namespace
}  // namespace weir::control::remedy
