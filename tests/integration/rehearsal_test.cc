// SPDX-License-Identifier: Apache-2.0
// A rollback can be rehearsed on a healthy model: the fault shows everywhere and ends by itself.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Rehearsal : public ClusterTest {
 protected:
  void PushWithFault(const std::string& expires) {
    const Json fault = {{"fault", {{"error_rate", 1.0}, {"expires", expires}}}};
    ASSERT_TRUE(PushVersion(api(), "1.1.0", ModelFile("1.1.0"), fault).ok());
    ASSERT_TRUE(WaitFor("1.1.0 is READY", [&] { return VersionIs("1.1.0", "READY"); }));
    ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  }
};

TEST_F(Rehearsal, FaultOnAHealthyCandidateIsSeenAndRolledBack) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_NO_FATAL_FAILURE(PushWithFault("60s"));
  const Json model = api().Get(std::string("/v1/models/") + kModel).json;
  EXPECT_EQ(model["spec"]["versions"]["1.1.0"]["fault"]["error_rate"], 1.0) << model;
  EXPECT_NE(model["status"]["versions"]["1.1.0"].dump().find("rehearsal"), std::string::npos)
      << model["status"];
  for (const auto& node : nodes) {
    const Answer ready = node->api().Get("/ready");
    EXPECT_EQ(ready.status, 200);
    ASSERT_EQ(ready.json["faults"].size(), 1u) << ready;
    EXPECT_EQ(ready.json["faults"][0]["version"], "1.1.0");
  }
  EXPECT_NE(Json(History(api(), "Model", kModel)).dump().find("\"fault\""), std::string::npos);

  Traffic traffic(Addresses(), 300);
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("drill", "1.1.0", {{.percentage = 25, .duration = "1h"}}))
          .status,
      201);
  ASSERT_TRUE(WaitFor("taken back", [&] { return RolloutIs("drill", "rolled_back"); }));
  EXPECT_EQ(Stable(), "1.0.0");
  const uint64_t sent = traffic.Counts().sent;
  ASSERT_TRUE(WaitFor("more traffic", [&] { return traffic.Counts().sent > sent + 100; }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_GT(counts.failed, 0u);
  EXPECT_EQ(counts.failed, counts.Arm("canary"));
  EXPECT_EQ(counts.served, counts.Arm("stable"));
  EXPECT_NE(counts.last_problem.find("rehearsed"), std::string::npos) << counts.last_problem;
}

TEST_F(Rehearsal, EndsByItself) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_NO_FATAL_FAILURE(PushWithFault(fmt::format("{}s", 4 * kSlowness)));
  // A worker may hear a moment later than the control plane that it is READY.
  ASSERT_TRUE(WaitFor(
      "the fault", [&] { return Infer(node(0).api(), Requests()[0], "", "1.1.0").status == 500; }));
  const uint64_t head = api().Get("/v1/status").json["head"];
  ASSERT_TRUE(WaitFor(
      "the end", [&] { return Infer(node(0).api(), Requests()[0], "", "1.1.0").status == 200; }));
  EXPECT_TRUE(node(0).api().Get("/ready").json["faults"].empty());
  EXPECT_EQ(api().Get("/v1/status").json["head"], head) << "nobody had to change anything";
}

TEST_F(Rehearsal, MustEnd) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const Answer endless =
      PushVersion(api(), "1.0.0", ModelFile("1.0.0"), {{"fault", {{"error_rate", 0.5}}}});
  EXPECT_EQ(endless.status, 400) << endless;
  EXPECT_NE(endless.text.find("expires"), std::string::npos) << endless;
}

}  // namespace
}  // namespace weir::integration
