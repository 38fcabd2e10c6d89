// SPDX-License-Identifier: Apache-2.0
// Keys that end, with the real programs: a node is revoked and the others notice nothing; the
// server's key is rotated under traffic, with a restart in the middle.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/base/clock.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using ::testing::HasSubstr;

class Keys : public CliTest {
 protected:
  // Requests that the control plane has counted in all.
  uint64_t Counted() {
    const int64_t now_ms = Clock::System().WallMs();
    const Answer answer =
        api().Get(fmt::format("/v1/telemetry?subject=model/{}&from={}&to={}&step=1m", kModel,
                              now_ms - 3'600'000, now_ms + 60'000));
    uint64_t sum = 0;
    if (!answer.ok()) return sum;
    for (const Json& series : answer.json["series"]) {
      for (const Json& point : series["points"]) sum += point["requests"].get<uint64_t>();
    }
    return sum;
  }
  testing::AssertionResult AllUseTheNextKey() {
    const Json status = api().Get("/v1/keys").json;
    if (!status.is_object()) return testing::AssertionFailure() << "no answer";
    if (status["nodes"]["next"].size() == nodes.size()) return testing::AssertionSuccess();
    return testing::AssertionFailure() << status.dump();
  }
};

TEST_F(Keys, ARevokedNodeIsAloneAndSaysWhyAndTheOthersServeOn) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(3));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Traffic traffic(Addresses(), 100);
  EXPECT_EQ(Weir({"node", "revoke", "n9"}).exit_code, 1);
  const Output revoked = Weir({"node", "revoke", "n2", "--reason", "stolen"});
  ASSERT_EQ(revoked.exit_code, 0) << revoked.Text();
  EXPECT_THAT(revoked.out, HasSubstr("node n2 is revoked"));

  ASSERT_TRUE(WaitFor("it is gone", [&] { return NodeRow("n2")["state"] == "gone"; }));
  EXPECT_THAT(Weir({"node", "list"}).out, HasSubstr("stolen"));
  // What is published now reaches the two others, and `apply` does not wait for the third.
  ASSERT_TRUE(
      api().Patch(std::string("/v1/models/") + kModel, {{"spec", {{"stable", "1.1.0"}}}}).ok());
  ASSERT_TRUE(WaitFor("the two others", [&] {
    const Json summary = api().Get("/v1/status").json["nodes"];
    return summary["live"] == 2 && summary["applied"] == 2;
  }));
  EXPECT_EQ(Infer(node(0).api(), Requests()[0]).Header("x-weir-version"), "1.1.0");
  EXPECT_EQ(Infer(node(1).api(), Requests()[0]).Header("x-weir-version"), "1.0.0");
  ASSERT_TRUE(WaitFor("it says why", [&] {
    return node(1).admin().Get("/ready").text.find("revoked") != std::string::npos ||
           node(1).api().Get("/ready").text.find("revoked") != std::string::npos;
  })) << node(1).api().Get("/ready").text;
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;

  // It stays out over restarts of either side, until it brings a new key and a token.
  ASSERT_EQ(node(1).Stop(), 0);
  ASSERT_TRUE(node(1).Start().ok());
  ASSERT_TRUE(WaitFor("it says why", [&] {
    return node(1).api().Get("/ready").text.find("is revoked") != std::string::npos;
  })) << node(1).api().Get("/ready").text;
  EXPECT_THAT(api().Get("/metrics").text, HasSubstr("weir_wire_refused_total{reason=\"key\"}"));
}

TEST_F(Keys, TheServersKeyIsRotatedWithoutAFailedRequestOrALostCount) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(3));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  const std::string before = api().Get("/v1/bootstrap").json["fingerprint"];
  Traffic traffic(Addresses(), 200);
  EXPECT_EQ(Weir({"keys", "finish"}).exit_code, 1) << "nothing to finish";
  ASSERT_EQ(WeirJson({"keys", "rotate"})["next"].is_object(), true);
  EXPECT_EQ(Weir({"keys", "rotate"}).exit_code, 1) << "one goes on";
  ASSERT_TRUE(WaitFor("all come over", [&] { return AllUseTheNextKey(); }));
  EXPECT_EQ(api().Get("/v1/bootstrap").json["fingerprint"], before);

  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("all come over again", [&] { return AllUseTheNextKey(); }));
  EXPECT_THAT(Weir({"keys", "finish"}).Text(), HasSubstr("on their way back"));
  ASSERT_TRUE(WaitFor("it may be finished", [&] {
    return Weir({"keys", "finish", "--reason", "yearly"}).exit_code == 0;
  }));
  const Json after = api().Get("/v1/bootstrap").json;
  EXPECT_NE(after["fingerprint"], before);
  EXPECT_FALSE(after.contains("next"));

  // The key alone is not the place: what is published still arrives, and again after a restart.
  for (int round = 0; round < 2; ++round) {
    const std::string name = fmt::format("after-{}", round);
    const Answer put = api().Put("/v1/flags/" + name, {{"apiVersion", "weir/v1"},
                                                       {"kind", "Flag"},
                                                       {"metadata", {{"name", name}}},
                                                       {"spec", {{"enabled", true}}}});
    ASSERT_TRUE(put.ok()) << put;
    ASSERT_TRUE(WaitFor("everyone", [&] { return EveryoneIsAtHead(); }));
    EXPECT_EQ(api().Get("/v1/status").json["nodes"]["live"], 3);
    if (round == 0) {
      ASSERT_EQ(control.Stop(), 0);
      ASSERT_TRUE(control.Start().ok());
      ASSERT_TRUE(WaitFor("everyone", [&] { return EveryoneIsAtHead(); }));
    }
  }
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  ASSERT_TRUE(WaitFor("all is told", [&] { return Counted() >= counts.served; }))
      << Counted() << " of " << counts.served;
  EXPECT_EQ(Counted(), counts.served);
}

}  // namespace
}  // namespace weir::integration
