// SPDX-License-Identifier: Apache-2.0
// What kill -9 of the control plane or of a node costs: no phase, no request that could be served,
// no count.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Restart : public ClusterTest {
 protected:
  void RestartControl() {
    const Status started = control.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
  }
};

TEST_F(Restart, RolloutGoesOnAfterTheControlPlaneIsKilled) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Traffic traffic(Addresses(), 200);
  ASSERT_EQ(PutRollout(api(), RolloutResource("healthy", "1.1.0",
                                              {{.percentage = 10, .duration = "1s"},
                                               {.percentage = 50, .duration = "6s"},
                                               {.percentage = 100, .duration = "1s"}}))
                .status,
            201);
  int64_t age_ms = 0;
  ASSERT_TRUE(WaitFor("middle of the second phase", [&] {
    const Json status = RolloutStatus(api(), "healthy");
    if (!status.is_object() || status["phase"] != 1) return false;
    age_ms = status.value("phase_age_ms", int64_t{0});
    return age_ms >= 3000;
  }));
  const int64_t killed_ms = NowMs();
  control.Kill9();
  ASSERT_NO_FATAL_FAILURE(RestartControl());
  // The clock of the phase is stored with telemetry, once a second.
  const Json status = RolloutStatus(api(), "healthy");
  ASSERT_TRUE(status.is_object());
  EXPECT_EQ(status["phase"], 1) << status;
  EXPECT_EQ(status["state"], "progressing") << status;
  ASSERT_TRUE(WaitFor(
      "the phase's clock",
      [&] {
        const Json now = RolloutStatus(api(), "healthy");
        return now.is_object() && now.value("phase_age_ms", int64_t{0}) >= 1500;
      },
      1500 * kSlowness))
      << "the phase began anew";
  EXPECT_LE(RolloutStatus(api(), "healthy").value("phase_age_ms", int64_t{0}),
            age_ms + NowMs() - killed_ms);
  ASSERT_TRUE(WaitFor("promotion", [&] { return RolloutIs("healthy", "promoted"); }));
  EXPECT_EQ(Stable(), "1.1.0");

  std::vector<std::string> steps;
  for (const Json& row : History(api(), "Rollout", "healthy")) {
    const Json& after = row["changes"][0]["after"]["status"];
    steps.push_back(fmt::format("{} {}", after.value("state", ""), after.value("phase", 0)));
  }
  EXPECT_EQ(steps, (std::vector<std::string>{"progressing 0", "progressing 1", "progressing 2",
                                             "promoted 2"}));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_GT(counts.sent, 500u);
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
}

TEST_F(Restart, KilledNodeServesAgainByItselfAndIsCountedOnce) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(AddNode({.id = "fresh", .control = "", .cached = false, .more = {}}));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  for (const auto& node : nodes) {
    const Json before = NodeRow(node->id());
    node->Kill9();
    ASSERT_TRUE(node->Start().ok());
    ASSERT_TRUE(WaitFor("ready again", [&] { return IsReady(*node); })) << node->id();
    // The cached one may have been killed before it stored the model: then it catches up at once.
    Answer answer = Infer(node->api(), Requests()[0]);
    if (node->id() == "n1") {
      EXPECT_TRUE(WaitFor("an answer", [&] {
        answer = Infer(node->api(), Requests()[0]);
        return answer.status == 200;
      }));
    }
    EXPECT_EQ(answer.status, 200) << node->id() << ": " << answer;
    ASSERT_TRUE(WaitFor("the new one is known", [&] {
      const Json row = NodeRow(node->id());
      return row.is_object() && row["state"] == "ready" &&
             row["incarnation"] > before["incarnation"];
    })) << NodeRow(node->id());
  }
  const Answer list = api().Get("/v1/nodes");
  EXPECT_EQ(list.json["items"].size(), 2u) << list;
  EXPECT_EQ(api().Get("/v1/status").json["nodes"]["live"], 2);
}

TEST_F(Restart, HungNodeLeavesTheQuorumAndCatchesUpWhenItWakes) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  const int64_t hung_ms = NowMs();
  node(1).Signal(SIGSTOP);
  ASSERT_TRUE(
      api().Patch(std::string("/v1/models/") + kModel, {{"spec", {{"stable", "1.1.0"}}}}).ok());
  ASSERT_TRUE(WaitFor("it counts no more", [&] {
    const Json summary = api().Get("/v1/status").json["nodes"];
    return summary["live"] == 1 && summary["applied"] == 1;
  }));
  EXPECT_LE(NowMs() - hung_ms, 8500 * kSlowness);
  EXPECT_EQ(NodeRow("n2")["state"], "gone");
  node(1).Signal(SIGCONT);
  ASSERT_TRUE(WaitFor("it is back", [&] { return EveryoneIsAtHead(); }));
  EXPECT_EQ(Infer(node(1).api(), Requests()[0]).Header("x-weir-version"), "1.1.0");
}

TEST_F(Restart, StopsCleanlyWhateverIsUnderWay) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  Traffic traffic(Addresses(), 200);
  for (int round = 0; round < 15; ++round) {
    ASSERT_EQ(control.Stop(), 0) << "round " << round << ":\n" << control.process().Tail(10);
    ASSERT_NO_FATAL_FAILURE(RestartControl());
    if (round % 2 == 0) continue;
    ASSERT_TRUE(WaitFor("the nodes are back", [&] { return EveryoneIsAtHead(); }));
  }
  ASSERT_TRUE(WaitFor("the nodes are back", [&] { return EveryoneIsAtHead(); }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
}

TEST_F(Restart, NothingIsCountedTwiceOrLost) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  // Both arms, for as long as the test lasts.
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("half", "1.1.0", {{.percentage = 50, .duration = "1h"}}))
          .status,
      201);
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  Traffic traffic(Addresses(), 300);
  for (const uint64_t sent : {300u, 700u}) {
    ASSERT_TRUE(WaitFor("traffic", [&] { return traffic.Counts().sent >= sent; }));
    control.Kill9();
    ASSERT_TRUE(WaitFor("traffic", [&] { return traffic.Counts().sent >= sent + 150; }));
    ASSERT_NO_FATAL_FAILURE(RestartControl());
  }
  ASSERT_TRUE(WaitFor("traffic", [&] { return traffic.Counts().sent >= 1200; }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  const auto sum = [](const Arms& arms) {
    uint64_t total = 0;
    for (const auto& [arm, count] : arms) total += count;
    return total;
  };
  ASSERT_TRUE(WaitFor("all is told", [&] { return sum(Counted()) >= counts.served; }))
      << sum(Counted()) << " of " << counts.served;
  ASSERT_TRUE(WaitFor("all is acknowledged", [&] { return NothingPending(); }));
  EXPECT_EQ(Counted(), counts.by_arm);
  // And it stays so: what is stored is what was shown.
  control.Kill9();
  ASSERT_NO_FATAL_FAILURE(RestartControl());
  EXPECT_EQ(Counted(), counts.by_arm);
}

}  // namespace
}  // namespace weir::integration
