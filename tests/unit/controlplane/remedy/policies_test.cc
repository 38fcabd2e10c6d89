// SPDX-License-Identifier: Apache-2.0
// Policies together: rehearsal, priorities, gates, restarts of the control plane, what is told.
#include "tests/unit/controlplane/remedy/driver_fixture.h"

namespace weir::control::remedy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using RemedyPolicies = RemedyTest;

domain::PolicySpec Shed(domain::PolicySpec policy, double share) {
  policy.remediations[0].share = share;
  return policy;
}

TEST_F(RemedyPolicies, ActsOnceAndAgainAfterTheCooldownWhileTheViolationLasts) {
  PutPolicy("p", Shed(Policy("shed_load"), 0.2));
  Driver driver(World());
  Run(driver, 30, 100, 50);
  EXPECT_THAT(plans_, SizeIs(1));
  Run(driver, 40, 100, 50);
  const codec::Json view = driver.View("p");
  EXPECT_EQ(view["remediations"], 2);
  EXPECT_EQ(view["violations"], 1) << "one violation that lasts";
  EXPECT_EQ(view["suppressed"], (codec::Json{{"cooldown", 2}})) << "each spell once";
  EXPECT_EQ(view["state"], "violated");
  EXPECT_EQ(view["executor"]["executions"], 2);
}

TEST_F(RemedyPolicies, AHealthyModelIsLeftAlone) {
  PutPolicy("p", Shed(Policy("shed_load"), 0.2));
  Driver driver(World());
  EXPECT_FALSE(Run(driver, 30, 100, 1));
  EXPECT_THAT(plans_, IsEmpty());
  EXPECT_THAT(seen_, IsEmpty());
  EXPECT_EQ(driver.View("p")["state"], "ok");
}

TEST_F(RemedyPolicies, ARehearsalRecordsWhatTheTwinDoesAndChangesNothing) {
  domain::PolicySpec policy = Shed(Policy("shed_load"), 0.2);
  policy.priority = 1;
  PutPolicy("live", policy);
  policy.dry_run = true;
  PutPolicy("rehearsal", policy);
  Driver driver(World());
  Run(driver, 200, 100, 50);
  ASSERT_THAT(plans_, testing::Not(IsEmpty()));
  for (const auto& plan : plans_) EXPECT_EQ(plan.actor, "policy/live");
  const codec::Json live = driver.View("live");
  const codec::Json dry = driver.View("rehearsal");
  EXPECT_EQ(live["remediations"], 4);
  EXPECT_EQ(live["dry_run_actions"], 0);
  EXPECT_EQ(dry["remediations"], 0);
  EXPECT_EQ(dry["dry_run_actions"], 4);
  EXPECT_EQ(dry["suppressed"], live["suppressed"]);
  EXPECT_TRUE(dry["dry_run"].get<bool>());
  EXPECT_EQ(Last(driver, "rehearsal")["result"], "suppressed");
  EXPECT_EQ(dry["last"][1]["reason"], "would turn 20 % of the callers of m away for 1m");
}

TEST_F(RemedyPolicies, OfTwoOnOneTargetTheHigherPriorityActs) {
  PutPolicy("a", Shed(Policy("shed_load"), 0.1));
  domain::PolicySpec urgent = Shed(Policy("shed_load"), 0.5);
  urgent.priority = 10;
  PutPolicy("b", urgent);
  Driver driver(World());
  Run(driver, 30, 100, 50);
  ASSERT_THAT(plans_, SizeIs(1));
  EXPECT_EQ(plans_[0].actor, "policy/b");
  EXPECT_EQ(Limit().acts.at(0).value, 0.5);
  EXPECT_EQ(driver.View("a")["suppressed"], (codec::Json{{"outranked", 1}}));
  EXPECT_EQ(Last(driver, "a")["reason"], "outranked by b");
}

TEST_F(RemedyPolicies, ASpentBudgetLeavesTheTargetToTheNext) {
  PutLimit(100, 400);
  domain::PolicySpec up = Policy("scale_up");
  up.cooldown = {0};
  up.max_executions = 1;
  up.priority = 1;
  PutPolicy("a", up);
  domain::PolicySpec down = Policy("scale_down");
  PutPolicy("b", down);
  Driver driver(World());
  Run(driver, 5, 100, 50);
  ASSERT_THAT(plans_, SizeIs(2));
  EXPECT_EQ(plans_[0].actor, "policy/a");
  EXPECT_EQ(plans_[1].actor, "policy/b") << "the budget of a is spent";
}

TEST_F(RemedyPolicies, UpAndDownInTurnOpensTheExecutorUntilAPersonResetsIt) {
  PutLimit(100, 400);
  domain::PolicySpec policy = Policy("scale_up");
  policy.cooldown = {10'000};
  policy.max_executions = 100;
  domain::RemediationSpec down;
  down.action = "scale_down";
  policy.remediations.push_back(down);
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 30, 100, 50);
  EXPECT_THAT(plans_, SizeIs(3)) << "up, down, up";
  codec::Json view = driver.View("p");
  EXPECT_EQ(view["executor"]["state"], "open");
  EXPECT_THAT(view["executor"]["reason"].get<std::string>(), HasSubstr("limit/m"));
  EXPECT_EQ(view["suppressed"]["loop"], 1);
  EXPECT_EQ(driver.Reset("q", "alice").code(), Code::kNotFound);
  EXPECT_TRUE(driver.Reset("p", "alice").ok());
  EXPECT_EQ(driver.Reset("p", "alice").code(), Code::kFailedPrecondition);
  EXPECT_EQ(driver.View("p")["executor"]["state"], "ready");
}

TEST_F(RemedyPolicies, FlagsOfTheDocumentsSwitchPartsOff) {
  PutPolicy("p", Shed(Policy("shed_load"), 0.2));
  Driver driver(World());
  gates_["qos_monitor.executor"] = false;
  Run(driver, 10, 100, 50);
  EXPECT_THAT(plans_, IsEmpty());
  EXPECT_EQ(driver.View("p")["state"], "violated");
  EXPECT_EQ(driver.View("p")["suppressed"], (codec::Json{{"disabled", 1}}));
  for (const char* gate : {"qos_monitor", "qos_monitor.evaluator", "qos_monitor.policy_store"}) {
    gates_ = {{gate, false}};
    Run(driver, 3, 100, 50);
    EXPECT_EQ(driver.View("p")["state"], "disabled");
    EXPECT_EQ(driver.View("p")["reason"], fmt::format("the flag {} is off", gate));
  }
  EXPECT_FALSE(seen_.back().is_firing) << "what is not watched is told of no more";
  gates_ = {{"qos_monitor.executor.dry_run", true}};
  Run(driver, 15, 100, 50);
  EXPECT_THAT(plans_, IsEmpty());
  EXPECT_EQ(driver.View("p")["dry_run_actions"], 1);
}

TEST_F(RemedyPolicies, ARestartKeepsCooldownBudgetAndCounts) {
  domain::PolicySpec policy = Shed(Policy("shed_load"), 0.2);
  policy.max_executions = 2;
  PutPolicy("p", policy);
  auto first = std::make_unique<Driver>(World());
  Run(*first, 20, 100, 50);
  const codec::Json state = codec::Json::parse(first->SaveState().dump());
  const codec::Json before = first->View("p");
  first.reset();
  Driver driver(World());
  driver.LoadState(state, now_ms_, WallMs());
  Run(driver, 20, 100, 50);
  EXPECT_THAT(plans_, SizeIs(1)) << "the cool-down goes on";
  EXPECT_EQ(driver.View("p")["violations"], 1) << "it was told before";
  EXPECT_EQ(driver.View("p")["slos"][0]["since"], before["slos"][0]["since"]);
  Run(driver, 30, 100, 50);
  EXPECT_EQ(driver.View("p")["remediations"], 2);
  Run(driver, 100, 100, 50);
  EXPECT_EQ(driver.View("p")["remediations"], 2) << "the budget counts what was before";
  EXPECT_EQ(driver.View("p")["suppressed"]["budget"], 1);
}

TEST_F(RemedyPolicies, ViolationAndRecoveryAreObserved) {
  domain::PolicySpec policy = Policy("alert");
  policy.runbook_url = "https://example.org/run";
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 5, 100, 50);
  ASSERT_THAT(seen_, testing::Not(IsEmpty()));
  EXPECT_TRUE(seen_[0].is_firing);
  EXPECT_EQ(seen_[0].policy, "p");
  EXPECT_EQ(seen_[0].slo, "error_rate");
  EXPECT_EQ(seen_[0].model, "m");
  EXPECT_EQ(seen_[0].severity, "critical");
  EXPECT_EQ(seen_[0].value, 0.5);
  EXPECT_EQ(seen_[0].runbook_url, "https://example.org/run");
  EXPECT_THAT(seen_[0].summary, HasSubstr("m: error_rate is 0.5"));
  const size_t told = seen_.size();
  Run(driver, 70, 100, 50);
  EXPECT_GT(seen_.size(), told) << "what lasts is said again";
  Run(driver, 12, 100, 0);
  EXPECT_TRUE(seen_.back().is_firing) << "it may come back within a window";
  Run(driver, 12, 100, 0);
  EXPECT_FALSE(seen_.back().is_firing);
  EXPECT_THAT(plans_, IsEmpty());
}

TEST_F(RemedyPolicies, ADeletedPolicyTellsOfNothingAnyMore) {
  PutPolicy("p", Policy("alert"));
  Driver driver(World());
  Run(driver, 5, 100, 50);
  ASSERT_TRUE(seen_.back().is_firing);
  resources_.erase({Kind::kPolicy, "p"});
  Run(driver, 1, 100, 50);
  EXPECT_FALSE(seen_.back().is_firing);
  EXPECT_EQ(driver.SaveState().contains("p"), false);
}

TEST_F(RemedyPolicies, SelectorsFollowTheModels) {
  domain::PolicySpec policy = Policy("alert");
  policy.selector = {{"team", "risk"}};
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 2, 100, 50);
  EXPECT_THAT(driver.View("p")["slos"], IsEmpty());
  resources_.at({Kind::kModel, "m"}).labels = {{"team", "risk"}};
  resources_.at({Kind::kModel, "m"}).revision = ++revision_;
  Run(driver, 2, 100, 50);
  EXPECT_THAT(driver.View("p")["slos"], SizeIs(1));
}

TEST_F(RemedyPolicies, OnlySevereViolationsOfNamedObjectivesAreActedOn) {
  domain::PolicySpec policy = Shed(Policy("shed_load"), 0.2);
  policy.remediations[0].min_severity = "critical";
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 15, 100, 7);
  EXPECT_EQ(driver.View("p")["slos"][0]["severity"], "warning");
  EXPECT_THAT(plans_, IsEmpty());
  policy.remediations[0].min_severity = "";
  policy.remediations[0].slos = {"other"};
  PutPolicy("p", policy);
  Run(driver, 15, 100, 50);
  EXPECT_THAT(plans_, IsEmpty());
}

TEST_F(RemedyPolicies, TenantsAreWatchedByThemselves) {
  domain::PolicySpec policy = Policy("alert");
  policy.slos[0].tenant = "acme";
  PutPolicy("p", policy);
  Driver driver(World());
  Run(driver, 3, 100, 50);
  EXPECT_EQ(driver.View("p")["state"], "no_data");
  telemetry::Window window;
  window[{"tenant/acme/m", "1", "stable"}].counters = {{"requests", 100}, {"bad", 30}};
  driver.OnTelemetry(window, now_ms_);
  Run(driver, 1, 100, 0);
  EXPECT_EQ(driver.View("p")["slos"][0]["value"], 0.3);
}

TEST_F(RemedyPolicies, MetricsCountWhatWasDetectedAndDone) {
  PutLimit(8);
  PutPolicy("p", Policy("scale_up"));
  Driver driver(World());
  Run(driver, 5, 100, 50);
  const std::string text = driver.Metrics(WallMs());
  EXPECT_THAT(text, HasSubstr("weir_qos_slo_violations_total{policy=\"p\"} 1\n"));
  EXPECT_THAT(
      text,
      HasSubstr("weir_qos_remediation_actions_total{action=\"scale_up\",dry_run=\"false\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("weir_qos_slo_value{policy=\"p\",slo=\"error_rate\",model=\"m\"} 0.5\n"));
  EXPECT_THAT(text, HasSubstr("weir_replicas_recommended{model=\"m\"} 2\n"))
      << "10 of 8 slots on one node";
}

}  // namespace
}  // namespace weir::control::remedy
