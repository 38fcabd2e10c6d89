// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/command.h"

#include <gtest/gtest.h>

namespace weir::control::rollout {
namespace {

domain::RolloutSpec TwoPhases() {
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases = {{.name = "canary", .percentage = 1}, {.name = "full", .percentage = 100}};
  return spec;
}

domain::RolloutStatus OfTwoInPhase(uint64_t phase) {
  domain::RolloutStatus status;
  status.state = "progressing";
  status.phase = phase;
  status.percentage = TwoPhases().phases[phase].percentage;
  return status;
}

TEST(RolloutObey, RefusesWhatDoesNotFitTheState) {
  EXPECT_EQ(
      Obey(TwoPhases(), OfTwoInPhase(0), {.verb = Verb::kResume, .actor = "", .reason = ""}, 1)
          .status()
          .code(),
      Code::kFailedPrecondition);
  EXPECT_FALSE(
      Obey(TwoPhases(), OfTwoInPhase(0), {.verb = Verb::kStart, .actor = "", .reason = ""}, 1)
          .ok());
  EXPECT_FALSE(
      Obey(TwoPhases(), OfTwoInPhase(0), {.verb = Verb::kApprove, .actor = "", .reason = ""}, 1)
          .ok());
  domain::RolloutStatus done = OfTwoInPhase(1);
  done.state = "promoted";
  EXPECT_FALSE(Obey(TwoPhases(), done, {.verb = Verb::kPause, .actor = "", .reason = ""}, 1).ok());
}

TEST(RolloutObey, RestartAfterRollbackNeedsForceOrACoolDown) {
  domain::RolloutStatus status = OfTwoInPhase(0);
  status.state = "rolled_back";
  status.since = {1'000'000};
  EXPECT_FALSE(
      Obey(TwoPhases(), status, {.verb = Verb::kStart, .actor = "", .reason = ""}, 9'000'000).ok());
  EXPECT_TRUE(Obey(TwoPhases(), status,
                   {.verb = Verb::kStart, .actor = "", .reason = "", .force = true}, 1'000'001)
                  .ok());
  EXPECT_FALSE(
      Obey(TwoPhases(), status, {.verb = Verb::kRetry, .actor = "", .reason = ""}, 1'599'999).ok());
  EXPECT_TRUE(
      Obey(TwoPhases(), status, {.verb = Verb::kRetry, .actor = "", .reason = ""}, 1'600'000).ok());
}

TEST(RolloutObey, PromoteGoesOnePhaseOrAllTheWay) {
  EXPECT_EQ(
      Obey(TwoPhases(), OfTwoInPhase(0), {.verb = Verb::kPromote, .actor = "", .reason = ""}, 1)
          ->next.phase,
      1u);
  EXPECT_EQ(
      Obey(TwoPhases(), OfTwoInPhase(0), {.verb = Verb::kPromoteFull, .actor = "", .reason = ""}, 1)
          ->kind,
      Step::Kind::kPromote);
}

}  // namespace
}  // namespace weir::control::rollout
