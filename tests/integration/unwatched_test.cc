// SPDX-License-Identifier: Apache-2.0
// Canaries whose control plane is away: canary keys go to stable after the time that the rollout
// allows, come back with it, and the control plane then hears what was.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

constexpr char kRollout[] = "fraud-next";

class Unwatched : public ClusterTest {
 protected:
  // Half of all users on 1.1.0, for an hour.
  void StartRollout(const Json& when_unwatched) {
    Json resource = RolloutResource(kRollout, "1.1.0", {{50, "1h"}});
    resource["spec"]["when_unwatched"] = when_unwatched;
    resource["spec"]["phases"][0]["flags"] = {"new_form"};
    const Answer put = PutRollout(api(), resource);
    ASSERT_TRUE(put.ok()) << put;
    ASSERT_TRUE(WaitFor("it runs", [&] { return RolloutIs(kRollout, "progressing"); }));
    ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
    ASSERT_TRUE(WaitFor("a canary key", [&] { return !FindCanaryUser().empty(); }));
    user_ = FindCanaryUser();
  }
  void PutFlag(const std::string& name) {
    ASSERT_EQ(
        api()
            .Put("/v1/flags/" + name, {{"apiVersion", "weir/v1"},
                                       {"kind", "Flag"},
                                       {"metadata", {{"name", name}}},
                                       {"spec", {{"enabled", true}, {"rollout_percentage", 0}}}})
            .status,
        201);
  }
  void RollOutFlag(const std::string& flag, const Json& when_unwatched) {
    Json resource = RolloutResource(flag + "-on", "", {{99.999, "1h"}});
    resource["spec"].erase("model");
    resource["spec"].erase("candidate");
    resource["spec"]["flag"] = flag;
    resource["spec"]["when_unwatched"] = when_unwatched;
    const Answer put = PutRollout(api(), resource);
    ASSERT_TRUE(put.ok()) << put;
  }
  std::string FindCanaryUser() const {
    for (int i = 0; i < 50; ++i) {
      const std::string user = fmt::format("user-{}", i);
      if (Select(0, user).value("arm", "") == "canary") return user;
    }
    return "";
  }
  Json Select(size_t index, const std::string& user) const {
    const Answer answer =
        nodes[index]->api().Get(fmt::format("/weir/v1/select?model={}&user_id={}", kModel, user));
    return answer.ok() ? answer.json : Json::object();
  }
  Json Flag(size_t index, const std::string& flag) const {
    const Answer answer =
        nodes[index]->api().Post("/weir/v1/explain", {{"key", user_}, {"flag", flag}});
    return answer.ok() ? answer.json["flags"].at(0) : Json::object();
  }
  std::string ReasonOn(size_t index) const { return Select(index, user_).value("reason", ""); }
  bool IsCanaryOn(size_t index) const { return Select(index, user_).value("arm", "") == "canary"; }
  std::string UnwatchedOn(size_t index) const {
    const Answer ready = nodes[index]->api().Get("/ready");
    return ready.json.is_object() ? ready.json.value("unwatched", Json()).dump() : "";
  }
  // The node's episodes of kind unwatched, as the control plane knows them.
  std::vector<Json> EpisodesOf(const std::string& id) const {
    std::vector<Json> found;
    const Json row = NodeRow(id);
    if (!row.is_object()) return found;
    const Json episodes = row.value("episodes", Json::array());
    for (const Json& episode : episodes) {
      if (episode.value("kind", "") == "unwatched") found.push_back(episode);
    }
    return found;
  }

  std::string user_;  // of the canary
};

TEST_F(Unwatched, CanaryKeysGoToStableWhileTheControlPlaneIsAwayAndComeBackWithIt) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  for (const char* flag : {"new_form", "left", "held"}) ASSERT_NO_FATAL_FAILURE(PutFlag(flag));
  const Json leave = {{"after", "2s"}};
  ASSERT_NO_FATAL_FAILURE(RollOutFlag("left", leave));
  ASSERT_NO_FATAL_FAILURE(RollOutFlag("held", {{"after", "2s"}, {"do", "hold"}}));
  ASSERT_NO_FATAL_FAILURE(StartRollout(leave));
  ASSERT_TRUE(WaitFor("flags are on", [&] {
    return Flag(0, "left").value("enabled", false) && Flag(0, "held").value("enabled", false);
  }));
  EXPECT_EQ(Flag(0, "new_form").value("detail", ""), kRollout) << "on by the phase";
  EXPECT_EQ(Infer(node(0).api(), Requests()[0], user_).Header("x-weir-arm"), "canary");
  EXPECT_EQ(UnwatchedOn(0), "[]");

  control.Kill9();
  const int64_t gone_ms = NowMs();
  for (const size_t index : {0, 1}) {
    ASSERT_TRUE(WaitFor("unwatched", [&] { return ReasonOn(index) == "UNWATCHED"; }));
  }
  EXPECT_GE(NowMs() - gone_ms, 300) << "two seconds after the last beacon, not at once";
  const Answer answer = Infer(node(0).api(), Requests()[0], user_);
  ASSERT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(answer.Header("x-weir-arm"), "stable");
  EXPECT_EQ(Flag(0, "left").value("detail", ""), "unwatched");
  EXPECT_FALSE(Flag(0, "left").value("enabled", true));
  EXPECT_FALSE(Flag(0, "new_form").value("enabled", true)) << "the phase's flag goes as well";
  EXPECT_TRUE(Flag(0, "held").value("enabled", false)) << "hold keeps the share";
  ASSERT_TRUE(WaitFor("/ready says so", [&] { return UnwatchedOn(0) != "[]"; }));
  EXPECT_THAT(UnwatchedOn(0), HasSubstr(fmt::format("rollout {} is unwatched since", kRollout)));
  EXPECT_TRUE(IsReady(node(0)));

  ASSERT_TRUE(control.Start().ok());
  for (const size_t index : {0, 1}) {
    ASSERT_TRUE(WaitFor("watched again", [&] { return IsCanaryOn(index); }));
  }
  ASSERT_TRUE(WaitFor("the flag as well", [&] { return Flag(0, "left").value("enabled", false); }));
  ASSERT_TRUE(WaitFor("/ready says so", [&] { return UnwatchedOn(0) == "[]"; }));
  ASSERT_TRUE(WaitFor("the control plane hears of it", [&] {
    const std::vector<Json> episodes = EpisodesOf("n1");
    return std::count_if(episodes.begin(), episodes.end(), [](const Json& episode) {
             return episode.value("subject", "") == kRollout &&
                    episode.value("to", "") > episode.value("from", "?");
           }) == 1;
  })) << NodeRow("n1").dump(2);
}

TEST_F(Unwatched, AControlPlaneThatHangsIsAwayAsWell) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_NO_FATAL_FAILURE(PutFlag("new_form"));
  ASSERT_NO_FATAL_FAILURE(StartRollout({{"after", "2s"}}));
  control.process().Signal(SIGSTOP);
  ASSERT_TRUE(WaitFor("unwatched", [&] { return ReasonOn(0) == "UNWATCHED"; }));
  control.process().Signal(SIGCONT);
  ASSERT_TRUE(WaitFor("watched again", [&] { return IsCanaryOn(0); }));
}

TEST_F(Unwatched, ANodeThatStartsWithoutAControlPlaneCountsFromItsStart) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_NO_FATAL_FAILURE(PutFlag("new_form"));
  ASSERT_NO_FATAL_FAILURE(StartRollout({{"after", "3s"}}));
  ASSERT_EQ(node(0).Stop(), 0);
  ASSERT_EQ(control.Stop(), 0);
  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("unwatched", [&] { return ReasonOn(0) == "UNWATCHED"; }));
}

using PhaseLogLevel = ClusterTest;

TEST_F(PhaseLogLevel, HoldsOnItsNodesAsLongAsThePhaseLasts) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  AddNode({.id = "labelled", .control = "", .more = {"--label", "pool=canary"}});
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Json resource = RolloutResource(kRollout, "1.1.0", {{50, "1h"}});
  resource["spec"]["phases"][0]["log_level"] = "debug";
  resource["spec"]["phases"][0]["nodes"] = {{"pool", "canary"}};
  ASSERT_TRUE(PutRollout(api(), resource).ok());
  const auto has = [this](size_t index, const std::string& text) {
    return nodes[index]->process().Tail(2000).find(text) != std::string::npos;
  };
  ASSERT_TRUE(WaitFor(
      "debug", [&] { return has(1, "log level debug while rollout fraud-next asks for it"); }));
  ASSERT_TRUE(api().Post(fmt::format("/v1/rollouts/{}/abort", kRollout), {{"reason", "no"}}).ok());
  ASSERT_TRUE(WaitFor("as before", [&] { return has(1, "asks for log level debug no more"); }));
  EXPECT_TRUE(has(1, " D weir-node ")) << "lines of the bus, in between";
  EXPECT_FALSE(has(0, "log level"));
  EXPECT_FALSE(has(0, " D weir-node "));
}

}  // namespace
}  // namespace weir::integration
