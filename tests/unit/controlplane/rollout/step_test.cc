// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/step.h"

#include "controlplane/rollout/command.h"

#include <gtest/gtest.h>

namespace weir::control::rollout {
namespace {

domain::RolloutSpec Spec() {
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases = {
      {.name = "canary", .percentage = 1, .duration = {1000}, .min_requests = 10, .gates = {}},
      {.name = "half",
       .percentage = 50,
       .duration = {},
       .min_requests = 0,
       .gates = {{.type = "manual_approval", .metric = "", .condition = "", .min_requests = 0}}},
      {.name = "full", .percentage = 100, .duration = {}, .min_requests = 0, .gates = {}}};
  return spec;
}

domain::RolloutStatus InPhase(uint64_t phase) {
  domain::RolloutStatus status;
  status.state = "progressing";
  status.phase = phase;
  status.percentage = Spec().phases[phase].percentage;
  return status;
}

Evidence Enough() {
  Evidence evidence;
  evidence.phase_age_ms = 1000;
  evidence.phase_requests = 10;
  evidence.live_nodes = 3;
  return evidence;
}

domain::VerdictRecord Bad(const std::string& action) {
  domain::VerdictRecord verdict;
  verdict.trigger = "sequential_errors";
  verdict.action = action;
  verdict.evidence = "8 of 8 failed";
  return verdict;
}

TEST(RolloutStep, AdvancesWhenDurationAndRequestsAreThere) {
  const Step step = Next(Spec(), InPhase(0), Enough(), 5);
  EXPECT_EQ(step.kind, Step::Kind::kAdvance);
  EXPECT_EQ(step.next.phase, 1u);
  EXPECT_EQ(step.next.percentage, 50);
  EXPECT_EQ(step.next.since.ms, 5);
}

TEST(RolloutStep, HoldsWhileSampleIsTooSmallAndSaysSo) {
  Evidence evidence = Enough();
  evidence.phase_requests = 3;
  const Step step = Next(Spec(), InPhase(0), evidence, 5);
  EXPECT_EQ(step.kind, Step::Kind::kStay);
  EXPECT_EQ(step.waiting_for, "3 of 10 requests");
}

TEST(RolloutStep, HoldsUntilTheDurationHasPassed) {
  Evidence evidence = Enough();
  evidence.phase_age_ms = 999;
  EXPECT_EQ(Next(Spec(), InPhase(0), evidence, 5).kind, Step::Kind::kStay);
}

TEST(RolloutStep, HoldsWhileTheCandidateIsNotReady) {
  Evidence evidence = Enough();
  evidence.not_ready = {"n2: LOADING"};
  EXPECT_EQ(Next(Spec(), InPhase(0), evidence, 5).waiting_for,
            "candidate is not ready on n2: LOADING");
}

TEST(RolloutStep, RemembersWhenEachPhaseWasEntered) {
  domain::RolloutStatus status = EnterPhase(Spec(), {}, 0, 3);
  status = Next(Spec(), status, Enough(), 5).next;
  EXPECT_EQ(status.entered, (std::vector<domain::TimeMs>{{3}, {5}}));
}

TEST(RolloutStep, LastShadowPhaseIsNeverLeftByItself) {
  domain::RolloutSpec spec = Spec();
  spec.phases[1].gates.clear();
  spec.phases[2].mode = "shadow";
  EXPECT_EQ(Next(spec, InPhase(1), Enough(), 5).next.phase, 2u);
  const Step step = Next(spec, InPhase(2), Enough(), 5);
  EXPECT_EQ(step.kind, Step::Kind::kStay);
  EXPECT_NE(step.waiting_for.find("promote --full makes 2 stable"), std::string::npos)
      << step.waiting_for;
  const Command promote{.verb = Verb::kPromote, .actor = "alice", .reason = ""};
  EXPECT_EQ(Obey(spec, InPhase(2), promote, 6).status().code(), Code::kFailedPrecondition);
  const Command full{.verb = Verb::kPromoteFull, .actor = "alice", .reason = ""};
  EXPECT_EQ(Obey(spec, InPhase(2), full, 6)->next.state, "promoted");
}

TEST(RolloutStep, GateThatHasFailedPausesWithTheReason) {
  domain::RolloutSpec spec = Spec();
  spec.phases[0].gates = {{.type = "automated_test", .command = {"/opt/checks/smoke.sh"}}};
  Evidence evidence = Enough();
  evidence.gates = {{false, true, "exit code 3"}};
  const Step step = Next(spec, InPhase(0), evidence, 5);
  EXPECT_EQ(step.kind, Step::Kind::kPause);
  EXPECT_EQ(step.next.state, "paused");
  EXPECT_EQ(step.reason, "gate automated_test smoke.sh failed: exit code 3");
  evidence.gates = {{false, false, "runs again in 20s"}};
  EXPECT_EQ(Next(spec, InPhase(0), evidence, 5).waiting_for,
            "gate automated_test smoke.sh: runs again in 20s");
}

TEST(RolloutStep, PromotesAfterTheLastPhase) {
  const Step step = Next(Spec(), InPhase(2), Enough(), 5);
  EXPECT_EQ(step.kind, Step::Kind::kPromote);
  EXPECT_EQ(step.next.state, "promoted");
}

TEST(RolloutStep, RollsBackOnAVerdictEvenWhenPausedOrFrozen) {
  for (const char* state : {"progressing", "paused"}) {
    domain::RolloutStatus status = InPhase(0);
    status.state = state;
    Evidence evidence = Enough();
    evidence.verdict = Bad("rollback");
    evidence.emergency_freeze = true;
    const Step step = Next(Spec(), status, evidence, 9);
    EXPECT_EQ(step.kind, Step::Kind::kRollback) << state;
    EXPECT_EQ(step.next.percentage, 0);
    EXPECT_EQ(step.next.last_verdict->evidence, "8 of 8 failed");
  }
}

TEST(RolloutStep, DoesNotRollBackWhenItIsDisabledOrOnlyAnAlert) {
  domain::RolloutSpec spec = Spec();
  Evidence evidence = Enough();
  evidence.verdict = Bad("alert");
  EXPECT_EQ(Next(spec, InPhase(0), evidence, 9).kind, Step::Kind::kAdvance);
  evidence.verdict = Bad("rollback");
  spec.rollback.enabled = false;
  EXPECT_EQ(Next(spec, InPhase(0), evidence, 9).kind, Step::Kind::kAdvance);
}

TEST(RolloutStep, FreezeStopsProgressAndShows) {
  Evidence evidence = Enough();
  evidence.emergency_freeze = true;
  const Step step = Next(Spec(), InPhase(0), evidence, 5);
  EXPECT_EQ(step.kind, Step::Kind::kStay);
  EXPECT_EQ(step.shown_state, "frozen");
  evidence.emergency_freeze = false;
  evidence.frozen_by = "n1 refused it: key 20 is not understood";
  EXPECT_EQ(Next(Spec(), InPhase(0), evidence, 5).waiting_for, evidence.frozen_by);
}

TEST(RolloutStep, FailedEverywhereIsASystemFailure) {
  Evidence evidence = Enough();
  evidence.system_failure = "not a model";
  const Step step = Next(Spec(), InPhase(0), evidence, 5);
  EXPECT_EQ(step.kind, Step::Kind::kRollback);
  EXPECT_EQ(step.next.last_verdict->trigger, "system_failure");
}

TEST(RolloutStep, IsRolledBackOnlyWhenEveryLiveNodeHasIt) {
  domain::RolloutStatus status = InPhase(0);
  status.state = "rolling_back";
  status.percentage = 0;
  Evidence evidence;
  evidence.live_nodes = 12;
  evidence.applied_nodes = 11;
  evidence.missing_nodes = {"n3"};
  EXPECT_EQ(Next(Spec(), status, evidence, 5).waiting_for,
            "11/12 nodes are back at stable; n3 is missing");
  evidence.applied_nodes = 12;
  evidence.missing_nodes.clear();
  EXPECT_EQ(Next(Spec(), status, evidence, 5).next.state, "rolled_back");
}

}  // namespace
}  // namespace weir::control::rollout
