// SPDX-License-Identifier: Apache-2.0
// What became of answers, from the application that posts it to the rollout that is judged by it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

constexpr char kPath[] = "/weir/v1/outcomes";
constexpr char kRollout[] = "fraud-next";

class Outcomes : public ClusterTest {
 protected:
  void StartRollout() {
    const Answer put = PutRollout(api(), RolloutResource(kRollout, "1.1.0", {{50, "1h"}}));
    ASSERT_TRUE(put.ok()) << put;
    ASSERT_TRUE(WaitFor("it runs", [&] { return RolloutIs(kRollout, "progressing"); }));
    ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
    ASSERT_TRUE(WaitFor("canaries are answered",
                        [&] { return !UserOf("canary").empty() && !UserOf("stable").empty(); }));
  }
  std::string UserOf(const std::string& arm) const {
    for (int i = 0; i < 50; ++i) {
      const std::string user = fmt::format("user-{}", i);
      const Answer answer =
          nodes[0]->api().Get(fmt::format("/weir/v1/select?model={}&user_id={}", kModel, user));
      if (answer.ok() && answer.json.value("arm", "") == arm) return user;
    }
    return "";
  }
  static bool HasLine(const Node& node, const std::string& line) {
    return ("\n" + node.admin().Get("/metrics").text).find("\n" + line + "\n") != std::string::npos;
  }
  // Of the rollout's view, null while it has none.
  Json OutcomeOf(const std::string& metric) const {
    const Json status = RolloutStatus(api(), kRollout);
    if (!status.is_object()) return {};
    const Json outcomes = status.value("outcomes", Json::object());
    return outcomes.value(metric, Json());
  }
};

TEST_F(Outcomes, ReachTheRolloutByTokenAndByKey) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_NO_FATAL_FAILURE(StartRollout());
  // By the token of an answer, on the other node.
  const Answer canary = Infer(node(0).api(), Requests()[0], UserOf("canary"));
  ASSERT_EQ(canary.Header("x-weir-arm"), "canary") << canary;
  const std::string token = canary.Header("x-weir-decision");
  ASSERT_FALSE(token.empty());
  Json batch = Json::array();
  for (int i = 0; i < 3; ++i) {
    batch.push_back({{"decision", token}, {"metric", "revenue"}, {"value", 4}});
  }
  // By key.
  batch.push_back(
      {{"model", kModel}, {"key", UserOf("stable")}, {"metric", "revenue"}, {"value", 2}});
  batch.push_back({{"model", kModel}, {"key", "a"}, {"metric", "revenue"}, {"value", "much"}});
  const Answer posted = node(1).api().Post(kPath, {{"outcomes", batch}});
  ASSERT_EQ(posted.status, 200) << posted;
  EXPECT_EQ(posted.json["accepted"], 4);
  EXPECT_EQ(posted.json["late"], 0);
  ASSERT_EQ(posted.json["rejected"].size(), 1u);
  EXPECT_EQ(posted.json["rejected"][0]["index"], 4);
  EXPECT_THAT(posted.json["rejected"][0].value("error", ""), HasSubstr("value: "));
  EXPECT_TRUE(HasLine(node(1), "weir_outcomes_total{result=\"accepted\"} 4"));
  EXPECT_TRUE(HasLine(node(1), "weir_outcomes_total{result=\"rejected\"} 1"));

  ASSERT_TRUE(WaitFor("the rollout has them", [&] {
    const Json seen = OutcomeOf("revenue");
    return seen.is_object() && seen.value("canary_n", 0) == 3 && seen.value("stable_n", 0) == 1;
  })) << RolloutStatus(api(), kRollout).dump(2);
  const Json seen = OutcomeOf("revenue");
  EXPECT_EQ(seen["canary"], 4.0) << seen;
  EXPECT_EQ(seen["stable"], 2.0) << seen;
}

TEST_F(Outcomes, WhatCannotBeJoinedIsRefusedWithTheRemedy) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  const auto post = [&](Json outcome) {
    outcome["metric"] = "click";
    outcome["value"] = 1;
    return node(0).api().Post(kPath, outcome);
  };
  EXPECT_EQ(post({{"model", kModel}, {"key", "anyone"}}).status, 200) << "a baseline";
  ASSERT_NO_FATAL_FAILURE(StartRollout());
  const int64_t before = Clock::System().WallMs() - 3'600'000;
  const Answer refused = post({{"model", kModel}, {"key", "user-1"}, {"timestamp", before}});
  EXPECT_EQ(refused.status, 409) << refused;
  EXPECT_THAT(refused.json.value("error", ""), HasSubstr("x-weir-decision"));
  const int64_t long_ago = Clock::System().WallMs() - 30 * int64_t{3'600'000};
  EXPECT_EQ(post({{"model", kModel}, {"key", "user-1"}, {"timestamp", long_ago}}).json["late"], 1);
  EXPECT_EQ(post({{"model", "other"}, {"key", "user-1"}}).status, 404);
  EXPECT_EQ(post({{"decision", "AQ"}}).status, 400);
  EXPECT_EQ(node(0).api().Get(kPath).status, 405);
  EXPECT_EQ(node(0).admin().Post(kPath, Json::object()).status, 404) << "the application's only";
}

TEST_F(Outcomes, WithTokensOnlyTheirHoldersPost) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  AddNode({.id = "guarded", .control = "", .more = {"--outcome-tokens", "secret-1,secret-2"}});
  const std::string body =
      Json{{"model", kModel}, {"key", "a"}, {"metric", "click"}, {"value", 1}}.dump();
  EXPECT_EQ(node(0).api().Call("POST", kPath, body).status, 200);
  const Api guarded = node(1).api();
  EXPECT_EQ(guarded.Call("POST", kPath, body).status, 401);
  EXPECT_EQ(guarded.Call("POST", kPath, body, {{"Authorization", "Bearer nobody"}}).status, 401);
  EXPECT_EQ(guarded.Call("POST", kPath, body, {{"Authorization", "Bearer secret-2"}}).status, 200);
}

}  // namespace
}  // namespace weir::integration
