// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/rollback.h"

#include <gtest/gtest.h>

namespace weir::control::rollout {
namespace {

domain::RolloutSpec ThreePhases() {
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases = {{.name = "canary", .percentage = 1},
                 {.name = "half", .percentage = 50, .gates = {{.type = "manual_approval"}}},
                 {.name = "full", .percentage = 100}};
  return spec;
}

domain::RolloutSpec InSteps() {
  domain::RolloutSpec spec = ThreePhases();
  spec.rollback.gradual = {.to = {80, 25, 10, 0}, .every = {30'000}};
  return spec;
}

domain::RolloutStatus EnteredUpTo(uint64_t phase) {
  domain::RolloutStatus status;
  for (uint64_t i = 0; i <= phase; ++i)
    status = EnterPhase(ThreePhases(), status, i, static_cast<int64_t>(i) + 1);
  return status;
}

Evidence Bad() {
  Evidence evidence;
  evidence.live_nodes = 3;
  evidence.verdict.emplace();
  evidence.verdict->trigger = "sequential_errors";
  evidence.verdict->action = "rollback";
  evidence.verdict->evidence = "8 of 8 failed";
  return evidence;
}

Evidence AtAge(int64_t age_ms) {
  Evidence evidence;
  evidence.live_nodes = 3;
  evidence.rollback_age_ms = age_ms;
  return evidence;
}

Command RollBack(bool emergency = false, bool graceful = false) {
  return {.verb = Verb::kRollback,
          .actor = "alice",
          .reason = "looks wrong",
          .emergency = emergency,
          .graceful = graceful};
}

TEST(RolloutRollback, SaysWhoWhenAndFromWhere) {
  const Step step = Next(ThreePhases(), EnteredUpTo(1), Bad(), 9);
  ASSERT_EQ(step.kind, Step::Kind::kRollback);
  EXPECT_EQ(step.next.state, "rolling_back");
  EXPECT_EQ(step.next.percentage, 0);
  EXPECT_EQ(step.next.rollback_kind, "automatic");
  EXPECT_EQ(step.next.percentage_before, 50);
  EXPECT_EQ(step.next.rollback_started_at.ms, 9);
}

TEST(RolloutRollback, FallsInStepsByItsOwnClock) {
  domain::RolloutStatus status = Next(InSteps(), EnteredUpTo(1), Bad(), 9).next;
  EXPECT_EQ(status.percentage, 25) << "80 is not below 50";
  EXPECT_EQ(status.rollback_step, 1u);
  const Step stay = Next(InSteps(), status, AtAge(29'900), 1'000'000);
  EXPECT_EQ(stay.kind, Step::Kind::kStay) << "wall time means nothing";
  EXPECT_EQ(stay.waiting_for, "10 % in 1s");
  status = Next(InSteps(), status, AtAge(30'000), 10).next;
  EXPECT_EQ(status.percentage, 10);
  EXPECT_EQ(status.rollback_step, 2u);
  status = Next(InSteps(), status, AtAge(30'000), 11).next;
  EXPECT_EQ(status.percentage, 0);
  EXPECT_EQ(status.percentage_before, 50);
  EXPECT_EQ(status.rollback_started_at.ms, 9);
  EXPECT_EQ(Next(InSteps(), status, AtAge(0), 12).waiting_for, "0/3 nodes are back at stable");
}

TEST(RolloutRollback, TriggerOrFailureOrEmergencyDuringStepsGoesToZeroAtOnce) {
  const domain::RolloutStatus status = Next(InSteps(), EnteredUpTo(1), Bad(), 9).next;
  EXPECT_EQ(Next(InSteps(), status, Bad(), 10).next.percentage, 0);
  Evidence broken = AtAge(0);
  broken.system_failure = "the breaker of 2 is open on n1";
  EXPECT_EQ(Next(InSteps(), status, broken, 10).next.percentage, 0);
  EXPECT_FALSE(Obey(InSteps(), status, RollBack(), 10).ok());
  const auto emergency = Obey(InSteps(), status, RollBack(true), 10);
  ASSERT_TRUE(emergency.ok());
  EXPECT_EQ(emergency->next.percentage, 0);
  EXPECT_EQ(emergency->next.rollback_kind, "emergency");
  EXPECT_EQ(emergency->next.percentage_before, 50);
  EXPECT_TRUE(emergency->blocks);
}

TEST(RolloutRollback, SystemFailureTakesNoSteps) {
  Evidence evidence = AtAge(0);
  evidence.system_failure = "not a model";
  domain::RolloutSpec spec = InSteps();
  spec.rollback.on_failure = "previous_phase";
  const Step step = Next(spec, EnteredUpTo(1), evidence, 9);
  EXPECT_EQ(step.next.state, "rolling_back");
  EXPECT_EQ(step.next.percentage, 0);
  spec.rollback.triggers = {{.metric = "system_failure", .action = "pause"}};
  EXPECT_EQ(Next(spec, EnteredUpTo(1), evidence, 9).next.state, "paused");
  spec.rollback.triggers[0].action = "alert";
  EXPECT_EQ(Next(spec, EnteredUpTo(1), evidence, 9).next.state, "progressing");
  evidence.verdict = domain::VerdictRecord{.trigger = "errors", .action = "pause"};
  EXPECT_EQ(Next(spec, EnteredUpTo(1), evidence, 9).next.last_verdict->trigger, "errors")
      << "an alert hides no pause";
}

TEST(RolloutRollback, GoesToThePhaseBeforeAndWaitsThere) {
  domain::RolloutSpec spec = ThreePhases();
  spec.rollback.on_failure = "previous_phase";
  domain::RolloutStatus status = EnteredUpTo(2);
  status.approvals = {{"alice", "half", {1}, ""}};
  const Step step = Next(spec, status, Bad(), 9);
  EXPECT_EQ(step.kind, Step::Kind::kBack);
  EXPECT_EQ(step.next.state, "paused");
  EXPECT_EQ(step.next.phase, 1u);
  EXPECT_EQ(step.next.percentage, 50);
  EXPECT_EQ(step.next.percentage_before, 100);
  EXPECT_EQ(step.next.last_verdict->evidence, "8 of 8 failed");
  EXPECT_EQ(step.next.entered, (std::vector<domain::TimeMs>{{1}, {9}}));
  EXPECT_TRUE(step.next.approvals.empty()) << "another failure wants another approval";
  EXPECT_EQ(Next(spec, EnteredUpTo(0), Bad(), 9).next.state, "rolling_back")
      << "none before the first";
}

TEST(RolloutRollback, EmergencyIsNeverRefused) {
  for (const char* state :
       {"pending", "progressing", "paused", "rolling_back", "rolled_back", "aborted"}) {
    domain::RolloutStatus status = EnteredUpTo(1);
    status.state = state;
    const auto step = Obey(ThreePhases(), status, RollBack(true), 9);
    ASSERT_TRUE(step.ok()) << state << ": " << step.status().ToString();
    EXPECT_TRUE(step->blocks) << state;
    EXPECT_EQ(step->next.rollback_by, "alice") << state;
  }
  domain::RolloutStatus pending;
  EXPECT_EQ(Obey(ThreePhases(), pending, RollBack(true), 9)->next.state, "aborted");
  EXPECT_FALSE(Obey(ThreePhases(), pending, RollBack(), 9).ok());
  EXPECT_FALSE(Obey(ThreePhases(), EnteredUpTo(0), RollBack(true, true), 9).ok());
}

TEST(RolloutRollback, TakesBackWhatWasPromotedWhileThePreviousIsKept) {
  domain::RolloutSpec spec = ThreePhases();
  spec.rollback.keep_previous = {1000};
  const domain::RolloutStatus promoted = Promoted(EnteredUpTo(2), 10);
  const auto step = Obey(spec, promoted, RollBack(), 1009);
  ASSERT_TRUE(step.ok()) << step.status().ToString();
  EXPECT_EQ(step->next.state, "rolling_back");
  EXPECT_TRUE(step->restores_stable);
  EXPECT_FALSE(step->blocks);
  EXPECT_TRUE(Obey(spec, promoted, RollBack(true), 1009)->blocks);
  EXPECT_EQ(Obey(spec, promoted, RollBack(), 1010).status().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace weir::control::rollout
