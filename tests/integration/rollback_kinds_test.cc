// SPDX-License-Identifier: Apache-2.0
// Ways back: in steps, to the phase before, in an emergency, gracefully, and after a promotion.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class RollbackKinds : public ClusterTest {
 protected:
  // Nodes with 1.0.0 and 1.1.0, and a rollout of 1.1.0 to half of the keys.
  void StartHalf(int count, const Json& rollback = Json::object()) {
    ASSERT_NO_FATAL_FAILURE(StartCluster(count));
    ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
    const Json rollout = RolloutResource(
        "r", "1.1.0", {{.percentage = 10, .duration = "0s"}, {.percentage = 50, .duration = "1h"}},
        rollback);
    ASSERT_EQ(PutRollout(api(), rollout).status, 201);
    ASSERT_TRUE(WaitFor("half", [&] { return Percentage() == 50; }));
    ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  }
  double Percentage() {
    const Json status = RolloutStatus(api(), "r");
    return status.is_object() ? status.value("percentage", -1.0) : -1;
  }
  Answer Command(const std::string& verb, const Json& body = Json::object()) {
    return api().Post("/v1/rollouts/r/" + verb, body);
  }
  Json Version(const std::string& version) {
    return api().Get(std::string("/v1/models/") + kModel).json["spec"]["versions"][version];
  }
  // No node would answer with it any more.
  testing::AssertionResult IsLetGo(const std::string& version) {
    for (const auto& node : nodes) {
      for (const Json& report : NodeRow(node->id())["versions"]) {
        if (report.value("version", "") == version)
          return testing::AssertionFailure() << node->id() << ": " << report.dump();
      }
    }
    return testing::AssertionSuccess();
  }
};

TEST_F(RollbackKinds, GradualTakesEachStepOnceAlsoOverAKill) {
  ASSERT_NO_FATAL_FAILURE(
      StartHalf(2, {{"gradual", {{"to", {25, 10, 0}}, {"every", "3s"}}}, {"cooldown", "1h"}}));
  Traffic traffic(Addresses(), 200);
  ASSERT_EQ(Command("rollback", {{"reason", "slowly"}}).status, 200);
  EXPECT_EQ(Percentage(), 25);
  EXPECT_EQ(Command("rollback", {{"reason", "again"}}).status, 409);
  ASSERT_TRUE(WaitFor("the second step", [&] { return Percentage() == 10; }));
  control.Kill9();
  const Status started = control.Start();
  ASSERT_TRUE(started.ok()) << started.ToString();
  EXPECT_EQ(RolloutState(api(), "r"), "rolling_back");
  ASSERT_TRUE(WaitFor("back", [&] { return RolloutIs("r", "rolled_back"); }));
  std::vector<double> percentages;
  for (const Json& row : History(api(), "Rollout", "r"))
    percentages.push_back(row["changes"][0]["after"]["status"].value("percentage", -1.0));
  EXPECT_EQ(percentages, (std::vector<double>{10, 50, 25, 10, 0, 0}));
  const Json end = History(api(), "Rollout", "r").back();
  EXPECT_EQ(end["evidence"]["percentage_before"], 50) << end;
  EXPECT_EQ(end["evidence"]["kind"], "manual");
  EXPECT_EQ(end["evidence"]["by"], "test:alice");
  EXPECT_GE(end["evidence"]["duration_ms"], 6000) << end;
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_EQ(Command("retry").status, 409) << "the cool-down";
}

TEST_F(RollbackKinds, FailureLeadsToThePhaseBeforeAndWaitsThere) {
  ASSERT_NO_FATAL_FAILURE(StartHalf(2, {{"on_failure", "previous_phase"}}));
  Traffic traffic(Addresses(), 200);
  // One request in seven fails: bad, and far from what opens a breaker.
  ASSERT_TRUE(
      api()
          .Patch(std::string("/v1/models/") + kModel,
                 {{"spec",
                   {{"versions",
                     {{"1.1.0", {{"fault", {{"error_rate", 0.15}, {"expires", "1h"}}}}}}}}}})
          .ok());
  // It fails there as well, and from the first phase there is only zero.
  ASSERT_TRUE(WaitFor("zero", [&] { return RolloutIs("r", "rolled_back"); }));
  const std::vector<Json> rows = History(api(), "Rollout", "r");
  const auto paused = std::find_if(rows.begin(), rows.end(), [](const Json& row) {
    return row["changes"][0]["after"]["status"]["state"] == "paused";
  });
  ASSERT_NE(paused, rows.end()) << Json(rows).dump(1);
  const Json status = (*paused)["changes"][0]["after"]["status"];
  EXPECT_EQ(status["phase"], 0) << status;
  EXPECT_EQ(status["percentage"], 10);
  EXPECT_EQ(status["percentage_before"], 50);
  EXPECT_GT(status["last_verdict"]["canary_bad"], 0);
  EXPECT_EQ(status["entered"].size(), 1u);
  EXPECT_EQ((*paused)["actor"], "rollout/r");
  EXPECT_EQ(Stable(), "1.0.0");
}

TEST_F(RollbackKinds, EmergencyIsNotHeldUpAndBlocksUntilForced) {
  ASSERT_NO_FATAL_FAILURE(StartHalf(2));
  ASSERT_TRUE(api().Patch("/v1/emergency/default", {{"spec", {{"freeze", true}}}}).ok());
  ASSERT_TRUE(WaitFor("frozen", [&] { return RolloutIs("r", "frozen"); }));
  EXPECT_EQ(Command("pause", {{"emergency", true}}).json["field"], "emergency");
  EXPECT_EQ(Command("rollback", {{"emergency", true}, {"graceful", true}}).status, 400);
  const Answer done = Command("rollback", {{"emergency", true}, {"reason", "wrong answers"}});
  ASSERT_EQ(done.status, 200) << done;
  const std::vector<Json> model = History(api(), "Model", kModel);
  EXPECT_EQ(model.back()["revision"], done.json["revision"]) << "one revision for both";
  ASSERT_TRUE(WaitFor("back", [&] { return RolloutIs("r", "rolled_back"); }));
  EXPECT_EQ(RolloutStatus(api(), "r")["rollback_kind"], "emergency");
  for (const auto& node : nodes) {
    const Answer asked = Infer(node->api(), Requests()[0], "", "1.1.0");
    EXPECT_EQ(asked.status, 503) << asked;
    EXPECT_NE(asked.text.find("wrong answers"), std::string::npos) << asked;
    EXPECT_EQ(Infer(node->api(), Requests()[0], "user-1").Header("x-weir-version"), "1.0.0");
  }
  ASSERT_TRUE(api().Patch("/v1/emergency/default", {{"spec", {{"freeze", false}}}}).ok());
  EXPECT_EQ(Command("retry").status, 409);
  const Answer another =
      PutRollout(api(), RolloutResource("other", "1.1.0", {{.percentage = 10, .duration = "1h"}}));
  EXPECT_NE(another.text.find("is blocked: emergency rollback of r by"), std::string::npos)
      << another;
  const Answer forced = Command("retry", {{"force", true}, {"reason", "it was the data"}});
  ASSERT_EQ(forced.status, 200) << forced;
  EXPECT_EQ(Version("1.1.0").value("blocked", ""), "");
  EXPECT_TRUE(WaitFor("it answers again", [&] {
    return Infer(node(0).api(), Requests()[0], "", "1.1.0").status == 200;
  }));
}

TEST_F(RollbackKinds, GracefulNeedsStableEverywhereAndLetsTheCandidateGo) {
  ASSERT_NO_FATAL_FAILURE(StartHalf(2));
  // A stable version that no node can load.
  ASSERT_TRUE(PushVersion(api(), "9.9.9", "no model").ok());
  const auto make_stable = [&](const std::string& version) {
    return api().Patch(std::string("/v1/models/") + kModel, {{"spec", {{"stable", version}}}}).ok();
  };
  ASSERT_TRUE(make_stable("9.9.9"));
  ASSERT_TRUE(WaitFor("9.9.9 fails", [&] { return VersionIs("9.9.9", "FAILED"); }));
  const Answer refused = Command("rollback", {{"graceful", true}});
  EXPECT_EQ(refused.status, 409) << refused;
  EXPECT_NE(refused.text.find("stable 9.9.9 of fraud_detection is not READY on n1: FAILED, n2"),
            std::string::npos)
      << refused;
  EXPECT_EQ(RolloutState(api(), "r"), "progressing");
  ASSERT_TRUE(make_stable("1.0.0"));
  Traffic traffic(Addresses(), 200);
  ASSERT_TRUE(WaitFor("traffic", [&] { return traffic.Counts().Arm("canary") > 20; }));
  ASSERT_EQ(Command("rollback", {{"graceful", true}, {"reason", "tidy"}}).status, 200);
  ASSERT_TRUE(WaitFor("back", [&] { return RolloutIs("r", "rolled_back"); }));
  EXPECT_EQ(Version("1.1.0").value("unloaded", false), true);
  EXPECT_TRUE(WaitFor("it is let go", [&] { return IsLetGo("1.1.0"); }));
  EXPECT_NE(Infer(node(0).api(), Requests()[0], "", "1.1.0").status, 200);
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  // Starting it again loads it.
  ASSERT_EQ(Command("retry", {{"force", true}}).status, 200);
  EXPECT_TRUE(WaitFor("it is back", [&] { return VersionIs("1.1.0", "READY"); }));
}

TEST_F(RollbackKinds, PromotedGoesBackToAVersionThatWasNeverUnloaded) {
  ASSERT_NO_FATAL_FAILURE(StartHalf(2));
  Traffic traffic(Addresses(), 200);
  ASSERT_EQ(Command("promote", {{"full", true}}).status, 200);
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  EXPECT_EQ(Stable(), "1.1.0");
  EXPECT_TRUE(VersionIs("1.0.0", "READY"));
  const Answer done = Command("rollback", {{"reason", "revenue fell"}});
  ASSERT_EQ(done.status, 200) << done;
  EXPECT_EQ(Stable(), "1.0.0");
  EXPECT_TRUE(VersionIs("1.0.0", "READY")) << "at once: nothing had to be loaded";
  EXPECT_EQ(History(api(), "Model", kModel).back()["revision"], done.json["revision"]);
  ASSERT_TRUE(WaitFor("back", [&] { return RolloutIs("r", "rolled_back"); }));
  for (const auto& node : nodes)
    EXPECT_EQ(Infer(node->api(), Requests()[0], "user-1").Header("x-weir-version"), "1.0.0");
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
}

TEST_F(RollbackKinds, WhatAPromotionReplacedIsLetGoWhenItsTimeIsUp) {
  ASSERT_NO_FATAL_FAILURE(StartHalf(1, {{"keep_previous", "2s"}}));
  ASSERT_EQ(Command("promote", {{"full", true}}).status, 200);
  ASSERT_TRUE(WaitFor("unloaded", [&] { return Version("1.0.0").value("unloaded", false); }));
  EXPECT_TRUE(WaitFor("it is let go", [&] { return IsLetGo("1.0.0"); }));
  EXPECT_EQ(History(api(), "Model", kModel).back()["actor"], "rollout/r");
  const Answer late = Command("rollback");
  EXPECT_EQ(late.status, 409) << late;
  EXPECT_NE(late.text.find("1.0.0 is not kept any more"), std::string::npos) << late;
}

}  // namespace
}  // namespace weir::integration
