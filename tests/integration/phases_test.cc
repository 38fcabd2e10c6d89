// SPDX-License-Identifier: Apache-2.0
// Phases: each is gone through once, whatever happens to the control plane; on its own nodes; and
// left only with the approvals that it asks for.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Phases : public ClusterTest {
 protected:
  // One phase for each object.
  static Json Rollout(const std::string& name, const Json& phases) {
    Json rollout = RolloutResource(name, "1.1.0", {});
    rollout["spec"]["phases"] = phases;
    return rollout;
  }
  Answer Command(const std::string& name, const std::string& verb, const std::string& actor,
                 const Json& body = Json::object()) {
    return Api(api().address(), actor).Post("/v1/rollouts/" + name + "/" + verb, body);
  }
  testing::AssertionResult WaitsFor(const std::string& name, const std::string& what) {
    const Json status = RolloutStatus(api(), name);
    if (status.is_object() && status.value("waiting_for", "").find(what) != std::string::npos)
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << status.dump();
  }
  // "state phase" of each revision of a rollout.
  std::vector<std::string> Steps(const std::string& name) {
    std::vector<std::string> steps;
    for (const Json& row : History(api(), "Rollout", name)) {
      const Json& after = row["changes"][0]["after"]["status"];
      steps.push_back(fmt::format("{} {}", after.value("state", ""), after.value("phase", 0)));
    }
    return steps;
  }
};

TEST_F(Phases, AreGoneThroughOnceEachAlthoughTheControlPlaneIsKilledInEach) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Traffic traffic(Addresses(), 200);
  ASSERT_EQ(PutRollout(api(), RolloutResource("steady", "1.1.0",
                                              {{.percentage = 10, .duration = "4s"},
                                               {.percentage = 50, .duration = "4s"},
                                               {.percentage = 100, .duration = "1s"}}))
                .status,
            201);
  for (const int phase : {0, 1}) {
    ASSERT_TRUE(WaitFor("the middle of a phase", [&] {
      const Json status = RolloutStatus(api(), "steady");
      return status.is_object() && status["phase"] == phase &&
             status.value("phase_age_ms", int64_t{0}) >= 2500;
    })) << RolloutStatus(api(), "steady");
    control.Kill9();
    const Status started = control.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    const Json status = RolloutStatus(api(), "steady");
    EXPECT_EQ(status["phase"], phase) << status;
    EXPECT_EQ(status["entered"].size(), static_cast<size_t>(phase) + 1) << status;
  }
  ASSERT_TRUE(WaitFor("promotion", [&] { return RolloutIs("steady", "promoted"); }));
  EXPECT_EQ(Steps("steady"), (std::vector<std::string>{"progressing 0", "progressing 1",
                                                       "progressing 2", "promoted 2"}));
  const Json entered = RolloutStatus(api(), "steady")["entered"];
  ASSERT_EQ(entered.size(), 3u);
  EXPECT_LT(entered[0], entered[1]);
  EXPECT_LT(entered[1], entered[2]);
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
}

TEST_F(Phases, ApplyToTheirNodes) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(
      AddNode({.id = "staging", .control = "", .more = {"--label", "environment=staging"}}));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_EQ(
      PutRollout(api(), Rollout("staged",
                                {{{"name", "staging"},
                                  {"percentage", 100},
                                  {"duration", "1h"},
                                  {"nodes", {{"environment", "staging"}}}},
                                 {{"name", "everyone"}, {"percentage", 100}, {"duration", "1h"}}}))
          .status,
      201);
  const auto version_of = [&](size_t index) {
    return Infer(node(index).api(), Requests()[0], "user-1").Header("x-weir-version");
  };
  ASSERT_TRUE(
      WaitFor("the candidate answers in staging", [&] { return version_of(1) == "1.1.0"; }));
  EXPECT_EQ(version_of(0), "1.0.0");
  ASSERT_EQ(Command("staged", "promote", "test:alice").status, 200);
  EXPECT_TRUE(WaitFor("and everywhere", [&] { return version_of(0) == "1.1.0"; }));
}

TEST_F(Phases, ApprovalsAreCountedAndVoidAfterAChange) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  const Json gate = {
      {"type", "manual_approval"}, {"approvers", {"alice", "bob"}}, {"approvals", 2}};
  ASSERT_EQ(
      PutRollout(api(),
                 Rollout("watched", {{{"name", "canary"}, {"percentage", 10}, {"gates", {gate}}},
                                     {{"name", "full"}, {"percentage", 100}, {"duration", "1h"}}}))
          .status,
      201);
  ASSERT_TRUE(WaitFor("the gate", [&] {
    return WaitsFor("watched", "approval of phase canary (0 of 2) by alice or bob");
  }));
  const Answer stranger = Command("watched", "approve", "mallory");
  EXPECT_EQ(stranger.status, 409) << stranger;
  EXPECT_NE(stranger.text.find("mallory may not approve"), std::string::npos) << stranger;
  ASSERT_EQ(Command("watched", "approve", "alice").status, 200);
  EXPECT_EQ(Command("watched", "approve", "alice").status, 409);
  ASSERT_TRUE(WaitFor("one of two", [&] { return WaitsFor("watched", "(1 of 2)"); }));
  // What alice approved is no longer what would go on.
  ASSERT_TRUE(api().Patch("/v1/rollouts/watched", {{"spec", {{"description", "more"}}}}).ok());
  ASSERT_TRUE(WaitFor("alice's is void", [&] {
    return WaitsFor("watched", "(0 of 2) by alice or bob; the spec changed since alice approved");
  }));
  ASSERT_EQ(Command("watched", "approve", "bob").status, 200);
  ASSERT_TRUE(WaitFor("bob's counts", [&] { return WaitsFor("watched", "(1 of 2)"); }));
  EXPECT_EQ(RolloutStatus(api(), "watched")["phase"], 0);
  ASSERT_EQ(Command("watched", "approve", "alice").status, 200);
  EXPECT_TRUE(
      WaitFor("the next phase", [&] { return RolloutStatus(api(), "watched")["phase"] == 1; }));
}

TEST_F(Phases, SecondRolloutOnASubjectIsRefusedOthersRun) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("first", "1.1.0", {{.percentage = 10, .duration = "1h"}}))
          .status,
      201);
  const Json second = RolloutResource("second", "1.1.0", {{.percentage = 20, .duration = "1h"}});
  const Answer refused = PutRollout(api(), second);
  EXPECT_GE(refused.status, 400) << refused;
  const std::string why =
      std::string("rollout \\\"first\\\" is already progressing on \\\"") + kModel + "\\\"";
  EXPECT_NE(refused.text.find(why), std::string::npos) << refused;
  // Neither when it was there before and is started by hand.
  Json manual = second;
  manual["spec"]["start"] = "manual";
  ASSERT_EQ(PutRollout(api(), manual).status, 201);
  const Answer started = Command("second", "start", "alice");
  EXPECT_GE(started.status, 400) << started;
  EXPECT_NE(started.text.find(why), std::string::npos) << started;
  EXPECT_EQ(RolloutState(api(), "second"), "pending");
  // On another subject there may be one beside it.
  ASSERT_EQ(api()
                .Put("/v1/flags/checkout", {{"kind", "Flag"},
                                            {"apiVersion", "weir/v1"},
                                            {"metadata", {{"name", "checkout"}}},
                                            {"spec", {{"rollout_percentage", 5}}}})
                .status,
            201);
  Json flag = Rollout("checkout-50", {{{"name", "half"}, {"percentage", 50}, {"duration", "1h"}}});
  flag["spec"].erase("model");
  flag["spec"].erase("candidate");
  flag["spec"]["flag"] = "checkout";
  ASSERT_EQ(PutRollout(api(), flag).status, 201);
  EXPECT_EQ(RolloutState(api(), "first"), "progressing");
  EXPECT_EQ(RolloutState(api(), "checkout-50"), "progressing");
}

}  // namespace
}  // namespace weir::integration
