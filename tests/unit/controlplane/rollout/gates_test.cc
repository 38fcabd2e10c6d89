// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/gates.h"

#include <gtest/gtest.h>

#include "controlplane/rollout/command.h"

namespace weir::control::rollout {
namespace {

domain::RolloutSpec TwoOfThree() {
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases = {{.name = "half",
                  .percentage = 50,
                  .gates = {{.type = "manual_approval",
                             .approvers = {"alice", "bob", "carol"},
                             .approvals = 2}}},
                 {.name = "full", .percentage = 100}};
  return spec;
}

domain::RolloutStatus Running() { return EnterPhase(TwoOfThree(), {}, 0, 1); }

Evidence With(const std::string& spec) {
  Evidence evidence;
  evidence.live_nodes = 1;
  evidence.spec = spec;
  return evidence;
}

Result<Step> ApproveAs(const domain::RolloutStatus& status, const std::string& actor,
                       const std::string& spec) {
  return Obey(TwoOfThree(), status,
              {.verb = Verb::kApprove, .actor = actor, .reason = "", .spec = spec}, 6);
}

TEST(RolloutGates, NeedsSoManyDifferentApproversOfTheList) {
  domain::RolloutStatus status = Running();
  EXPECT_EQ(Next(TwoOfThree(), status, With("s1"), 5).waiting_for,
            "approval of phase half (0 of 2) by alice or bob or carol");
  EXPECT_EQ(ApproveAs(status, "mallory", "s1").status().message(),
            "mallory may not approve phase half; that is for alice or bob or carol");
  status = ApproveAs(status, "alice", "s1")->next;
  EXPECT_EQ(ApproveAs(status, "alice", "s1").status().message(),
            "alice has approved phase half already; approval of phase half (1 of 2) by alice or "
            "bob or carol; approved by alice");
  EXPECT_EQ(Next(TwoOfThree(), status, With("s1"), 7).kind, Step::Kind::kStay);
  status = ApproveAs(status, "bob", "s1")->next;
  EXPECT_EQ(ApproveAs(status, "carol", "s1").status().message(), "phase half is approved already");
  EXPECT_EQ(Next(TwoOfThree(), status, With("s1"), 8).next.phase, 1u);
}

TEST(RolloutGates, ApproverWithoutAHostIsThatUserOnAnyHostAndOnePerson) {
  domain::RolloutStatus status = ApproveAs(Running(), "alice@vm", "s1")->next;
  EXPECT_FALSE(ApproveAs(status, "alice@other", "s1").ok()) << "the same person";
  EXPECT_FALSE(ApproveAs(status, "alicex@vm", "s1").ok());
  status = ApproveAs(status, "bob@vm", "s1")->next;
  EXPECT_EQ(Next(TwoOfThree(), status, With("s1"), 8).next.phase, 1u);
}

TEST(RolloutGates, PromotionGoesPastThemAndSaysSo) {
  domain::RolloutSpec spec = TwoOfThree();
  spec.phases[0].gates.push_back({.type = "time_based", .name = "office hours"});
  Command command{.verb = Verb::kPromote, .actor = "root@vm", .reason = "", .spec = "s1"};
  EXPECT_EQ(Obey(spec, Running(), command, 6).status().message(),
            "the rollout needs approval of phase half (0 of 2) by alice or bob or carol; root@vm "
            "may not go past it (weir rollout approve passes it, promote --force goes past it and "
            "history says so)");
  command.force = true;
  EXPECT_EQ(Obey(spec, Running(), command, 6)->reason,
            "by hand, past: manual_approval (0 of 2), office hours");
  command.force = false;
  command.actor = "bob@vm";
  EXPECT_FALSE(Obey(spec, Running(), command, 6).ok()) << "one of two is not both";
  spec.phases[0].gates[0].approvals = 1;
  command.verb = Verb::kPromoteFull;
  command.reason = "urgent";
  command.gates = {{}, {true, false, ""}};
  EXPECT_EQ(Obey(spec, Running(), command, 6)->reason,
            "urgent; by hand, past: manual_approval (0 of 1)");
}

TEST(RolloutGates, TwoApprovalsAreOfTwoOthersThanWhoWroteOrStartedIt) {
  domain::RolloutSpec spec = TwoOfThree();
  spec.phases[0].gates = {{.type = "manual_approval", .approvals = 2}};
  domain::RolloutStatus status = Running();
  status.spec_by = "alice@desk";
  status.started_by = "bob";
  const auto approve = [&](const std::string& actor) {
    const auto step =
        Obey(spec, status, {.verb = Verb::kApprove, .actor = actor, .reason = "", .spec = "s1"}, 6);
    if (step.ok()) status = step->next;
    return step.status().message();
  };
  EXPECT_EQ(approve("alice@laptop"),
            "phase half needs the approval of others than alice, who wrote the spec, or bob, who "
            "started it (allow_author: true in the gate lets them)");
  EXPECT_NE(approve("bob"), "");
  EXPECT_EQ(approve("carol@vm"), "");
  EXPECT_NE(approve("carol@desk"), "") << "the same person";
  EXPECT_EQ(Next(spec, status, With("s1"), 7).waiting_for,
            "approval of phase half (1 of 2); approved by carol; not by alice, who wrote the spec, "
            "or bob, who started it");
  EXPECT_EQ(approve("dave"), "");
  EXPECT_EQ(Next(spec, status, With("s1"), 8).next.phase, 1u);
  // Approvals given before somebody became its author count no more.
  status.spec_by = "dave";
  EXPECT_EQ(Next(spec, status, With("s1"), 8).kind, Step::Kind::kStay);
  spec.phases[0].gates[0].allow_author = true;
  EXPECT_EQ(Next(spec, status, With("s1"), 8).next.phase, 1u);
}

TEST(RolloutGates, OneApprovalMayBeTheAuthorsUnlessItSaysOtherwise) {
  domain::RolloutSpec spec = TwoOfThree();
  spec.phases[0].gates = {{.type = "manual_approval"}};
  domain::RolloutStatus status = Running();
  status.spec_by = status.started_by = "alice";
  const Command approve{.verb = Verb::kApprove, .actor = "alice", .reason = "", .spec = "s1"};
  EXPECT_TRUE(Obey(spec, status, approve, 6).ok());
  spec.phases[0].gates[0].allow_author = false;
  EXPECT_FALSE(Obey(spec, status, approve, 6).ok());
  EXPECT_EQ(Next(spec, status, With("s1"), 7).waiting_for,
            "approval of phase half; not by alice, who wrote the spec");
}

TEST(RolloutGates, ApprovalIsVoidForAnotherSpec) {
  domain::RolloutStatus status = ApproveAs(Running(), "alice", "s1")->next;
  status = ApproveAs(status, "bob", "s1")->next;
  EXPECT_EQ(Next(TwoOfThree(), status, With("s2"), 8).waiting_for,
            "approval of phase half (0 of 2) by alice or bob or carol; the spec changed since "
            "alice, bob approved");
  status = ApproveAs(status, "alice", "s2")->next;
  EXPECT_EQ(Next(TwoOfThree(), status, With("s2"), 9).waiting_for,
            "approval of phase half (1 of 2) by alice or bob or carol; approved by alice; the spec "
            "changed since bob approved");
  status = ApproveAs(status, "carol", "s2")->next;
  EXPECT_EQ(Next(TwoOfThree(), status, With("s2"), 9).next.phase, 1u);
}

TEST(RolloutGates, AnyoneMayApproveWithoutAListAndOnlyTheirOwnPhase) {
  domain::RolloutSpec spec = TwoOfThree();
  spec.phases[0].gates = {{.type = "manual_approval"}};
  domain::RolloutStatus status = Running();
  status.approvals = {{"alice", "full", {1}, "s1"}};
  EXPECT_EQ(Next(spec, status, With("s1"), 5).waiting_for, "approval of phase half");
  const auto approved =
      Obey(spec, status, {.verb = Verb::kApprove, .actor = "dave", .reason = "", .spec = "s1"}, 6);
  ASSERT_TRUE(approved.ok()) << approved.status().ToString();
  EXPECT_EQ(approved->next.approvals.back().actor, "dave");
  EXPECT_EQ(Next(spec, approved->next, With("s1"), 7).next.phase, 1u);
}

TEST(RolloutGates, AreNamedByTypeAndSubject) {
  EXPECT_EQ(GateName({.type = "metrics_threshold", .metric = "error_rate"}), "error_rate");
  EXPECT_EQ(GateName({.type = "automated_test", .command = {"/opt/smoke.sh", "-v"}}),
            "automated_test smoke.sh");
  EXPECT_EQ(GateName({.type = "automated_test", .url = "http://ci/ok"}),
            "automated_test http://ci/ok");
  EXPECT_EQ(GateName({.type = "time_based"}), "time_based");
  EXPECT_EQ(GateName({.type = "prometheus", .name = "revenue"}), "revenue");
}

}  // namespace
}  // namespace weir::control::rollout
