// SPDX-License-Identifier: Apache-2.0
// A model file that does not load: FAILED with the reason, no traffic, and its rollout is taken
// back or says what it waits for.
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using BrokenModel = ClusterTest;

TEST_F(BrokenModel, IsFailedWithTheReasonAndGetsNoTraffic) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  Traffic traffic(Addresses(), 200);
  const Answer pushed = PushVersion(api(), "2.0.0", "this is no model");
  ASSERT_TRUE(pushed.ok()) << pushed;
  ASSERT_TRUE(WaitFor("2.0.0 is FAILED", [&] { return VersionIs("2.0.0", "FAILED"); }));

  for (const auto& node : nodes) {
    const Json row = NodeRow(node->id());
    for (const Json& version : row["versions"]) {
      if (version["version"] == "2.0.0") {
        EXPECT_FALSE(version["detail"].get<std::string>().empty());
      }
    }
    EXPECT_EQ(Infer(node->api(), Requests()[0], "", "2.0.0").status, 503);
    EXPECT_TRUE(IsReady(*node)) << "one bad version takes no node out";
  }
  ASSERT_TRUE(WaitFor("status says it", [&] {
    return api().Get("/v1/status").json["problems"].dump().find("2.0.0") != std::string::npos;
  })) << api().Get("/v1/status");

  ASSERT_EQ(PutRollout(api(), RolloutResource("bad", "2.0.0", {{.percentage = 50}})).status, 201);
  ASSERT_TRUE(WaitFor("taken back", [&] { return RolloutIs("bad", "rolled_back"); }));
  const Json verdict = RolloutStatus(api(), "bad")["last_verdict"];
  EXPECT_EQ(verdict["trigger"], "system_failure") << verdict;
  EXPECT_NE(verdict["evidence"].get<std::string>().find("FAILED"), std::string::npos) << verdict;
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_EQ(counts.Arm("canary"), 0u);
}

TEST_F(BrokenModel, BlobMustBeWhatItsNameSays) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const Answer wrong = api().Call("PUT", "/v1/blobs/" + std::string(64, 'a'), "bytes");
  EXPECT_EQ(wrong.status, 400) << wrong;
  EXPECT_EQ(api().Call("PUT", "/v1/blobs/short", "bytes").status, 400);
  EXPECT_EQ(api().Get("/v1/blobs/" + std::string(64, 'a')).status, 404);
  // A version whose blob nobody has stored is refused where it enters.
  const Answer model = api().Put(
      std::string("/v1/models/") + kModel,
      {{"apiVersion", "weir/v1"},
       {"kind", "Model"},
       {"metadata", {{"name", kModel}}},
       {"spec",
        {{"versions",
          {{"1.0.0", {{"runtime", "xgboost"}, {"blob", "sha256:" + std::string(64, 'a')}}}}}}}});
  EXPECT_EQ(model.status, 400) << model;
  EXPECT_NE(model.text.find("1.0.0"), std::string::npos) << model;
}

}  // namespace
}  // namespace weir::integration
