// SPDX-License-Identifier: Apache-2.0
// A policy watches an objective under load and acts: each act is a revision with evidence, ends by
// itself, and survives a kill -9; a rehearsing twin records everything and changes nothing.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"
#include "tests/integration/harness/policies.h"

namespace weir::integration {
namespace {

class Policies : public ClusterTest {
 protected:
  void PushWithErrors(const std::string& version, double error_rate) {
    const Json fault = {{"fault", {{"error_rate", error_rate}, {"expires", "10m"}}}};
    ASSERT_TRUE(PushVersion(api(), version, ModelFile(version), fault).ok());
    ASSERT_TRUE(WaitFor("it is READY", [&] { return VersionIs(version, "READY"); }));
  }
  // At most 5 % errors over 2 s.
  static Json OfErrors(const std::string& name, const Json& remediation,
                       const Json& more = Json::object()) {
    return PolicyResource(
        name, {{"metric", "error_rate"}, {"threshold", 0.05}, {"window", "2s"}, {"model", kModel}},
        remediation, more);
  }
  Json Status(const std::string& policy) { return PolicyStatus(api(), policy); }
};

TEST_F(Policies, TakesABadRolloutBackWhileItsTwinOnlyRehearses) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_NO_FATAL_FAILURE(PushWithErrors("1.1.0", 0.3));
  ASSERT_NO_FATAL_FAILURE(PutPolicy(api(), OfErrors("guard", {{"action", "rollback"}})));
  ASSERT_NO_FATAL_FAILURE(PutPolicy(
      api(), OfErrors("twin", {{"action", "rollback"}}, {{"dry_run", true}, {"priority", 100}})));
  Traffic traffic(Addresses(), 300);
  // Its own triggers are off, and nodes leave only what fails most of the time: the policy is left.
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("bad", "1.1.0", {{.percentage = 50, .duration = "1h"}},
                                        {{"enabled", false}}))
          .status,
      201);
  ASSERT_TRUE(WaitFor("taken back", [&] { return RolloutIs("bad", "rolled_back"); }))
      << Status("guard");
  const Json rollout = RolloutStatus(api(), "bad");
  EXPECT_EQ(rollout["last_verdict"]["trigger"], "policy/guard") << rollout;
  EXPECT_EQ(rollout["rollback_kind"], "automatic");
  const auto revisions = RevisionsBy(api(), "policy/guard");
  ASSERT_EQ(revisions.size(), 1u);
  const Json& evidence = revisions[0]["evidence"]["policy"];
  EXPECT_EQ(evidence["slo"], "error_rate") << revisions[0];
  EXPECT_EQ(evidence["verdict"]["state"], "violated");
  EXPECT_GT(evidence["reading"]["bad"], 0);
  EXPECT_NE(revisions[0]["reason"].get<std::string>().find("error_rate is 0."), std::string::npos)
      << revisions[0];
  EXPECT_EQ(PolicyCount(api(), "guard", "remediations"), 1u);
  EXPECT_TRUE(RevisionsBy(api(), "policy/twin").empty());
  const Json twin = Status("twin");
  EXPECT_EQ(twin["dry_run_actions"], 1) << twin;
  EXPECT_EQ(twin["remediations"], 0);
  bool is_recorded = false;
  for (const Json& record : twin["last"]) {
    is_recorded |= record["result"] == "dry_run" && record["target"] == "rollout/bad" &&
                   record["action"] == "rollback";
  }
  EXPECT_TRUE(is_recorded) << twin;
  ASSERT_TRUE(WaitFor("recovery", [&] { return Status("guard")["state"] == "ok"; }))
      << Status("guard");
  const Answer metrics = api().Get("/metrics");
  for (const char* line :
       {"weir_qos_slo_violations_total{policy=\"guard\"} 1\n",
        "weir_qos_remediation_actions_total{action=\"rollback\",dry_run=\"false\"} 1\n",
        "weir_qos_remediation_actions_total{action=\"rollback\",dry_run=\"true\"} 1\n",
        "weir_qos_slo_value{policy=\"guard\",slo=\"error_rate\",model=\"fraud_detection\"}"})
    EXPECT_NE(metrics.text.find(line), std::string::npos) << line;
  const Answer replay = api().Post("/v1/policies/guard/backtest", {{"since", "1m"}});
  ASSERT_EQ(replay.status, 200) << replay;
  EXPECT_GE(replay.json["slos"][0]["violations"], 1) << replay;
  EXPECT_EQ(replay.json["actions"][0]["action"], "rollback") << replay;
}

TEST_F(Policies, ActsEndByThemselvesAndAKilledControlPlaneKeepsTheCooldown) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(PushWithErrors("1.0.0", 0.5));
  ASSERT_TRUE(PutFlag("fancy", 100).ok());
  Traffic traffic(Addresses(), 200);
  ASSERT_NO_FATAL_FAILURE(PutPolicy(
      api(), OfErrors("calm", {{"action", "disable_flag"}, {"target", "fancy"}, {"duration", "1s"}},
                      {{"cooldown", "10m"}})));
  ASSERT_NO_FATAL_FAILURE(PutPolicy(
      api(), OfErrors("shed", {{"action", "shed_load"}, {"share", 0.3}, {"duration", "1s"}})));
  ASSERT_TRUE(WaitFor("the act", [&] { return Acts(api()).size() == 1; })) << Status("shed");
  const int64_t acted_ms = NowMs();
  const Json act = Acts(api())[0];
  EXPECT_EQ(act["action"], "shed_load");
  EXPECT_EQ(act["value"], 0.3);
  EXPECT_EQ(act["policy"], "shed");
  ASSERT_TRUE(WaitFor("off on the node", [&] { return Threshold(node(0), "fancy") <= 0; }))
      << Status("calm");
  ASSERT_TRUE(WaitFor("its end", [&] { return Acts(api()).empty(); })) << Acts(api());
  ASSERT_TRUE(WaitFor("on again", [&] { return Threshold(node(0), "fancy") == 100'000; }))
      << Status("calm");
  EXPECT_EQ(RevisionsBy(api(), "policy/calm").size(), 2u);
  const auto revisions = RevisionsBy(api(), "policy/shed");
  ASSERT_EQ(revisions.size(), 2u) << "the act and its end";
  EXPECT_TRUE(revisions[1].contains("evidence"));
  EXPECT_NE(revisions[0]["reason"].get<std::string>().find("has ended"), std::string::npos);

  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  const Json after = Status("shed");
  EXPECT_EQ(after["remediations"], 1) << after;
  EXPECT_EQ(after["violations"], 1) << after;
  ASSERT_TRUE(WaitFor("it acts again", [&] { return Acts(api()).size() == 1; })) << Status("shed");
  EXPECT_GE(NowMs() - acted_ms, 5'500) << "the cool-down went on over the restart";
  EXPECT_EQ(PolicyCount(api(), "shed", "remediations"), 2u);
  EXPECT_EQ(PolicyCount(api(), "shed", "violations"), 1u) << "the same violation, told once";
}

TEST_F(Policies, FlagsOfTheDocumentsSwitchPartsOff) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  ASSERT_TRUE(PushVersion(api(), "1.0.0", ModelFile("1.0.0")).ok());
  ASSERT_NO_FATAL_FAILURE(PutPolicy(api(), OfErrors("p", {{"action", "alert"}})));
  const auto apply = [&](bool evaluator, bool dry_run) {
    const Answer answer =
        api().Call("POST", "/v1/apply?source=runtime",
                   fmt::format("qos_monitor:\n  enabled: true\n  evaluator: {{enabled: {}}}\n"
                               "  executor: {{enabled: true, dry_run: {}}}\n",
                               evaluator, dry_run),
                   {{"content-type", "application/yaml"}});
    ASSERT_EQ(answer.status, 200) << answer;
  };
  ASSERT_NO_FATAL_FAILURE(apply(false, true));
  EXPECT_EQ(Status("p")["state"], "disabled");
  EXPECT_EQ(Status("p")["reason"], "the flag qos_monitor.evaluator is off");
  EXPECT_EQ(Status("p")["dry_run"], true);
  ASSERT_NO_FATAL_FAILURE(apply(true, false));
  EXPECT_EQ(Status("p")["state"], "no_data");
  EXPECT_EQ(Status("p")["dry_run"], false);
}

TEST_F(Policies, RefusesWhatMakesNoSense) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  EXPECT_EQ(api().Post("/v1/policies/none/reset", Json::object()).status, 404);
  EXPECT_EQ(api().Post("/v1/policies/none/backtest", {{"since", "1h"}}).status, 404);
  ASSERT_TRUE(PushVersion(api(), "1.0.0", ModelFile("1.0.0")).ok());
  ASSERT_NO_FATAL_FAILURE(PutPolicy(api(), OfErrors("p", {{"action", "alert"}})));
  EXPECT_EQ(Status("p")["state"], "no_data");
  EXPECT_EQ(api().Post("/v1/policies/p/reset", Json::object()).status, 409);
  for (const Json& body :
       {Json::object(), Json{{"since", "long"}}, Json{{"since", "1h"}, {"from", "1"}},
        Json{{"since", "100d"}}, Json{{"from", "2030-01-01T00:00:00Z"}}, Json{{"days", 3}}}) {
    const Answer answer = api().Post("/v1/policies/p/backtest", body);
    EXPECT_EQ(answer.status, 400) << body << answer;
  }
  const Answer empty = api().Post("/v1/policies/p/backtest", {{"since", "1h"}});
  EXPECT_EQ(empty.status, 200) << empty;
  EXPECT_TRUE(empty.json["actions"].empty()) << empty;
  ASSERT_TRUE(api().Patch("/v1/policies/p", {{"spec", {{"enabled", false}}}}).ok());
  ASSERT_TRUE(WaitFor("disabled", [&] { return Status("p")["state"] == "disabled"; }));
}

}  // namespace
}  // namespace weir::integration
