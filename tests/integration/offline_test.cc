// SPDX-License-Identifier: Apache-2.0
// A node without its control plane: serves the last good snapshot, and says that it is stale.
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using Offline = ClusterTest;

std::string Missing(const Answer& ready) {
  return ready.json.is_object() ? ready.json.value("missing", Json()).dump() : "";
}

TEST_F(Offline, CachedNodeStartsFromTheLastGoodAndSaysSo) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  const std::string snapshot = Infer(node(0).api(), Requests()[0]).Header("x-weir-snapshot");
  // A clean stop stores what the node has, whenever it was stored last.
  ASSERT_EQ(node(0).Stop(), 0);
  ASSERT_EQ(control.Stop(), 0);

  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("ready", [&] { return IsReady(node(0)); }));
  const Answer answer = Infer(node(0).api(), Requests()[0]);
  ASSERT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(answer.Header("x-weir-snapshot"), snapshot);
  ASSERT_TRUE(WaitFor("stale", [&] { return node(0).api().Get("/ready").json["stale"] == true; }));
  const Answer ready = node(0).api().Get("/ready");
  EXPECT_EQ(ready.status, 200);
  EXPECT_NE(Missing(ready).find("control plane"), std::string::npos) << ready;

  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("it is back", [&] { return EveryoneIsAtHead(); }));
  ASSERT_TRUE(
      WaitFor("not stale", [&] { return node(0).api().Get("/ready").json["stale"] == false; }));
}

TEST_F(Offline, NodeServesOnWhileTheControlPlaneIsAwayAndCatchesUp) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Traffic traffic(Addresses(), 100);
  control.Kill9();
  ASSERT_TRUE(WaitFor("stale", [&] { return node(1).api().Get("/ready").json["stale"] == true; }));
  EXPECT_TRUE(IsReady(node(1)));
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(
      api().Patch(std::string("/v1/models/") + kModel, {{"spec", {{"stable", "1.1.0"}}}}).ok());
  ASSERT_TRUE(WaitFor("the change", [&] {
    return Infer(node(0).api(), Requests()[0]).Header("x-weir-version") == "1.1.0" &&
           Infer(node(1).api(), Requests()[0]).Header("x-weir-version") == "1.1.0";
  }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
}

TEST_F(Offline, NodeThatHasNothingIsNotReadyAndSaysWhatItLacks) {
  nodes.push_back(std::make_unique<Node>(
      dir.path(), NodeOptions{.id = "n1", .control = "http://127.0.0.1:1", .more = {}}));
  ASSERT_TRUE(node(0).Start().ok());
  const Answer ready = node(0).api().Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_NE(Missing(ready).find("snapshot"), std::string::npos) << ready;
  EXPECT_EQ(Infer(node(0).api(), Requests()[0]).status, 503);
  EXPECT_EQ(node(0).api().Get("/health").status, 200);
}

}  // namespace
}  // namespace weir::integration
