// SPDX-License-Identifier: Apache-2.0
// Stable and canary are services that a team runs already; Weir stands in front of them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/harness/cluster.h"
#include "tests/integration/harness/service.h"

namespace weir::integration {
namespace {

class RemoteVersions : public ClusterTest {
 protected:
  // `more` joins the versions' specs.
  static Json Version(const std::vector<const Service*>& services, const Json& more = {}) {
    Json version = {{"runtime", "oip"}, {"urls", Json::array()}};
    for (const Service* service : services) version["urls"].push_back(service->url());
    if (!more.is_null()) version.update(more);
    return version;
  }
  void Apply(const Json& versions) {
    const Answer answer =
        api().Put(std::string("/v1/models/") + kModel + "?reason=services%20we%20run",
                  {{"apiVersion", "weir/v1"},
                   {"kind", "Model"},
                   {"metadata", {{"name", kModel}}},
                   {"spec", {{"stable", "1.0.0"}, {"versions", versions}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    for (const auto& [name, version] : versions.items()) {
      ASSERT_TRUE(WaitFor(name + " is READY", [&] { return VersionIs(name, "READY"); }));
    }
  }
  // Both services, and half of the users on the canary.
  void StartSplit(const std::string& rollout) {
    ASSERT_EQ(PutRollout(api(), RolloutResource(rollout, "1.1.0",
                                                {{.percentage = 50, .duration = "1h"},
                                                 {.percentage = 100, .duration = "1h"}},
                                                {{"error_rate", 0.05}}))
                  .status,
              201);
    ASSERT_TRUE(WaitFor("it progresses", [&] { return RolloutIs(rollout, "progressing"); }));
    ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  }
  static double ValueOf(const Answer& answer) {
    if (!answer.ok()) return -1;
    const Json& outputs = answer.json["outputs"];
    return outputs.is_array() && !outputs.empty() ? outputs[0]["data"][0].get<double>() : -1;
  }

  Service stable{0.25};
  Service canary{0.75};
};

TEST_F(RemoteVersions, UsersAreSplitBetweenTwoServices) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Apply({{"1.0.0", Version({&stable})}, {"1.1.0", Version({&canary})}}));
  EXPECT_EQ(ValueOf(Infer(node(0).api(), Requests()[0], "user-1")), 0.25);
  EXPECT_EQ(canary.calls(), 0u);
  ASSERT_NO_FATAL_FAILURE(StartSplit("fraud-1-1-0"));

  std::map<std::string, int> users;
  for (int i = 0; i < 200; ++i) {
    const std::string user = fmt::format("user-{}", i);
    const std::string& body = Requests()[static_cast<size_t>(i) % Requests().size()];
    const Answer first = Infer(node(0).api(), body, user);
    const Answer second = Infer(node(1).api(), body, user);
    ASSERT_EQ(first.status, 200) << first;
    const std::string arm = first.Header("x-weir-arm");
    EXPECT_EQ(second.Header("x-weir-arm"), arm) << "a user's version is the same on every node";
    EXPECT_EQ(first.Header("x-weir-version"), arm == "canary" ? "1.1.0" : "1.0.0");
    EXPECT_EQ(first.json["model_name"], kModel);
    EXPECT_EQ(first.json["model_version"], first.Header("x-weir-version"));
    EXPECT_EQ(first.json["parameters"]["took"], 3) << first;
    EXPECT_EQ(ValueOf(first), arm == "canary" ? 0.75 : 0.25);
    const Service& service = arm == "canary" ? canary : stable;
    EXPECT_EQ(service.last().body, body);
    EXPECT_EQ(service.last().user_id, user);
    ++users[arm];
  }
  EXPECT_NEAR(users["canary"], 100, 35);
  EXPECT_EQ(users["canary"] + users["stable"], 200);
  EXPECT_EQ(ValueOf(Infer(node(0).api(), Requests()[0], "user-1", "1.1.0")), 0.75);
}

TEST_F(RemoteVersions, AUrlThatDiesUnderLoadFailsNoRequest) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  Service second(0.75);
  ASSERT_NO_FATAL_FAILURE(
      Apply({{"1.0.0", Version({&stable})}, {"1.1.0", Version({&canary, &second})}}));
  ASSERT_NO_FATAL_FAILURE(StartSplit("fraud-1-1-0"));
  Traffic traffic(Addresses(), 300);
  const auto both_answer = [&](uint64_t more) {
    const uint64_t first = canary.calls();
    const uint64_t other = second.calls();
    return WaitFor("both are called", [&, first, other] {
      return canary.calls() >= first + more && second.calls() >= other + more;
    });
  };
  ASSERT_TRUE(both_answer(50));
  canary.Stop();
  const uint64_t calls = second.calls();
  ASSERT_TRUE(WaitFor("one serves alone", [&] { return second.calls() >= calls + 300; }));
  canary.Start();
  ASSERT_TRUE(both_answer(50));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_GT(counts.Arm("canary"), 300u);
  EXPECT_EQ(RolloutState(api(), "fraud-1-1-0"), "progressing");
}

TEST_F(RemoteVersions, AServiceThatFailsIsTakenBackByItself) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Apply({{"1.0.0", Version({&stable})}, {"1.1.0", Version({&canary})}}));
  ASSERT_NO_FATAL_FAILURE(StartSplit("fraud-1-1-0"));
  Traffic traffic(Addresses(), 300);
  ASSERT_TRUE(WaitFor("canary traffic", [&] { return traffic.Counts().Arm("canary") > 100; }));
  EXPECT_EQ(traffic.Counts().failed, 0u) << traffic.Counts().last_problem;
  canary.error_rate = 0.4;
  ASSERT_TRUE(WaitFor("rolled back", [&] { return RolloutIs("fraud-1-1-0", "rolled_back"); }));
  EXPECT_GT(traffic.Counts().failed, 0u);
  EXPECT_NE(traffic.Counts().last_problem.find("answered 500"), std::string::npos)
      << traffic.Counts().last_problem;
  const uint64_t calls = canary.calls();
  traffic.Mark();
  ASSERT_TRUE(WaitFor("more traffic", [&] { return traffic.Counts().sent > 200; }));
  const TrafficCounts after = traffic.Stop();
  EXPECT_EQ(after.served, after.sent) << after.last_problem;
  EXPECT_EQ(after.Arm("canary"), 0u);
  EXPECT_EQ(canary.calls(), calls);
  EXPECT_EQ(Stable(), "1.0.0");
}

TEST_F(RemoteVersions, AServiceThatIsNotThereIsFailedWithTheReasonAndReadyWhenItComes) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  canary.Stop();
  ASSERT_NO_FATAL_FAILURE(Apply({{"1.0.0", Version({&stable})}}));
  const Answer added = api().Patch(std::string("/v1/models/") + kModel,
                                   {{"spec", {{"versions", {{"1.1.0", Version({&canary})}}}}}});
  ASSERT_TRUE(added.ok()) << added;
  ASSERT_TRUE(WaitFor("1.1.0 is FAILED", [&] { return VersionIs("1.1.0", "FAILED"); }));
  EXPECT_NE(NodeRow("n1").dump().find(canary.address() + ": Connection refused"), std::string::npos)
      << NodeRow("n1");
  const Answer refused = Infer(node(0).api(), Requests()[0], "user-1", "1.1.0");
  EXPECT_EQ(refused.status, 503) << refused;
  EXPECT_NE(refused.text.find("Connection refused"), std::string::npos) << refused;
  EXPECT_EQ(ValueOf(Infer(node(0).api(), Requests()[0], "user-1")), 0.25);

  canary.Start();
  ASSERT_TRUE(WaitFor("1.1.0 is READY", [&] { return VersionIs("1.1.0", "READY"); }));
  EXPECT_EQ(ValueOf(Infer(node(0).api(), Requests()[0], "user-1", "1.1.0")), 0.75);
  // It goes again, this time after it has served.
  canary.Stop();
  ASSERT_TRUE(WaitFor("1.1.0 is FAILED", [&] { return VersionIs("1.1.0", "FAILED"); }));
  canary.Start();
  ASSERT_TRUE(WaitFor("1.1.0 is READY", [&] { return VersionIs("1.1.0", "READY"); }));
}

TEST_F(RemoteVersions, ATimeoutOfOneCallIsA504AndAClients400StaysOne) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Apply({{"1.0.0", Version({&stable}, {{"timeout", "50ms"}})}}));
  stable.delay_ms = 60'000;
  const Answer late = Infer(node(0).api(), Requests()[0], "user-1");
  EXPECT_EQ(late.status, 504) << late;
  EXPECT_NE(late.text.find("timed out"), std::string::npos) << late;
  stable.delay_ms = 0;
  stable.SetAnswer(http::ErrorResponse(400, "age is no number"));
  const Answer bad = Infer(node(0).api(), Requests()[0], "user-1");
  EXPECT_EQ(bad.status, 400) << bad;
  EXPECT_NE(bad.text.find("age is no number"), std::string::npos) << bad;
  stable.SetAnswer(http::ErrorResponse(429, "later"));
  EXPECT_EQ(Infer(node(0).api(), Requests()[0], "user-1").status, 429);
}

TEST_F(RemoteVersions, TheFirstTokenOfAnAnswerThatStreamsIsWatchedByItself) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Apply({{"1.0.0", Version({&stable})}}));
  const auto slo = [](const char* metric) {
    return Json{{"name", metric},  {"metric", metric}, {"threshold", 60'000},
                {"window", "10m"}, {"model", kModel},  {"min_samples", 5}};
  };
  const Answer put =
      api().Put("/v1/policies/stream", {{"apiVersion", "weir/v1"},
                                        {"kind", "Policy"},
                                        {"metadata", {{"name", "stream"}}},
                                        {"spec",
                                         {{"slos", {slo("p50_ttft_ms"), slo("p50_latency_ms")}},
                                          {"remediations", {{{"action", "alert"}}}}}}});
  ASSERT_EQ(put.status, 201) << put;
  constexpr double kRestMs = 800;
  stable.rest_after_ms = static_cast<int64_t>(kRestMs);
  for (int i = 0; i < 6; ++i) {
    const Answer answer = Infer(node(0).api(), Requests()[0], fmt::format("user-{}", i));
    ASSERT_EQ(answer.status, 200) << answer;
    EXPECT_EQ(ValueOf(answer), 0.25) << "both pieces are the answer";
  }
  std::map<std::string, double> values;
  EXPECT_TRUE(WaitFor("both have values", [&] {
    const Answer policy = api().Get("/v1/policies/stream");
    if (!policy.ok()) return false;
    for (const Json& objective : policy.json["status"]["slos"]) {
      if (objective["value"].is_number())
        values[objective["name"]] = objective["value"].get<double>();
    }
    return values.size() == 2;
  })) << api().Get("/v1/policies/stream");
  EXPECT_GT(values["p50_latency_ms"], kRestMs * 0.9);
  EXPECT_LT(values["p50_ttft_ms"], kRestMs / 2);
}

TEST_F(RemoteVersions, PredictServicesGetTheJsonThatClientsPost) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(
      Apply({{"1.0.0", Version({&stable}, {{"runtime", "predict"}, {"remote_model", "risk"}})},
             {"1.1.0", Version({&canary}, {{"runtime", "predict"}})}}));
  ASSERT_NO_FATAL_FAILURE(StartSplit("fraud-1-1-0"));
  const std::string body = R"({"ip_address": "192.168.1.1", "amount": 12.5})";
  std::map<std::string, int> users;
  for (int i = 0; i < 60; ++i) {
    const std::string user = fmt::format("user-{}", i);
    const Answer answer =
        node(0).api().Call("POST", std::string("/predict/") + kModel, body,
                           {{"Content-Type", "application/json"}, {"X-User-Id", user}});
    ASSERT_EQ(answer.status, 200) << answer;
    const std::string arm = answer.Header("x-weir-arm");
    const bool is_canary = arm == "canary";
    EXPECT_EQ(answer.text,
              fmt::format(R"({{"prediction": {}, "by": "service"}})", is_canary ? 0.75 : 0.25));
    EXPECT_EQ((is_canary ? canary : stable).last().body, body);
    EXPECT_EQ((is_canary ? canary : stable).last().user_id, user);
    ++users[arm];
  }
  EXPECT_EQ(stable.last().target, "/predict/risk");
  EXPECT_EQ(canary.last().target, std::string("/predict/") + kModel);
  EXPECT_GT(users["canary"], 10);
  EXPECT_GT(users["stable"], 10);
}

}  // namespace
}  // namespace weir::integration
