// SPDX-License-Identifier: Apache-2.0
// What nodes decided, as the control plane shows it: every decision counted once, whatever dies.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class FlagTotals : public ClusterTest {
 protected:
  void PutFlag(double percentage) {
    const Answer answer =
        api().Put("/v1/flags/checkout", {{"apiVersion", "weir/v1"},
                                         {"kind", "Flag"},
                                         {"metadata", {{"name", "checkout"}}},
                                         {"spec",
                                          {{"enabled", true},
                                           {"rollout_percentage", percentage},
                                           {"hash_seed", "ttft-pipeline-2025-01-08"}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    ASSERT_TRUE(WaitFor("everyone has it", [&] { return EveryoneIsAtHead(); }));
  }
  // Decisions for user-FIRST … user-LAST.
  static int Decide(const Node& node, int first, int last) {
    int on = 0;
    for (int i = first; i <= last; ++i) {
      const Json body = {{"context", {{"targetingKey", fmt::format("user-{}", i)}}}};
      const Answer answer = node.api().Post("/ofrep/v1/evaluate/flags/checkout", body);
      EXPECT_EQ(answer.status, 200) << answer;
      if (answer.ok()) on += answer.json["value"] == true ? 1 : 0;
    }
    return on;
  }
  Json Stats() const {
    const Json flag = api().Get("/v1/flags/checkout").json;
    return flag.is_object() ? flag["status"].value("stats", Json::object()) : Json::object();
  }
};

TEST_F(FlagTotals, EveryDecisionIsCountedOnceThoughTheControlPlaneIsKilled) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(PutFlag(50));
  int on = Decide(node(0), 1, 100);
  on += Decide(node(1), 101, 150);
  ASSERT_TRUE(WaitFor("some are counted", [&] { return Stats().value("total", 0) > 0; }));
  control.Kill9();
  on += Decide(node(0), 151, 250);
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("all are counted", [&] { return Stats().value("total", 0) >= 250; }));
  // A later one arrives after everything that could be counted twice.
  on += Decide(node(0), 251, 251);
  on += Decide(node(1), 252, 252);
  ASSERT_TRUE(WaitFor("the last", [&] { return Stats().value("total", 0) >= 252; }));
  const Json stats = Stats();
  EXPECT_EQ(stats["total"], 252) << stats;
  EXPECT_EQ(stats["enabled"], on);
  EXPECT_EQ(stats["by_outcome"], (Json{{"on", on}, {"off", 252 - on}}));
  EXPECT_DOUBLE_EQ(stats["actual_percentage"].get<double>(), 100.0 * on / 252);
  EXPECT_EQ(stats["configured_percentage"], 50.0);
}

TEST_F(FlagTotals, AChangeOfTheFlagBeginsANewPeriodAndMetricsGoOn) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(PutFlag(100));
  EXPECT_EQ(Decide(node(0), 1, 20), 20);
  ASSERT_TRUE(WaitFor("counted", [&] { return Stats().value("total", 0) == 20; }));
  const std::string since = Stats()["since"];
  ASSERT_NO_FATAL_FAILURE(PutFlag(0));
  EXPECT_TRUE(Stats().empty()) << Stats();
  EXPECT_EQ(Decide(node(0), 1, 5), 0);
  ASSERT_TRUE(WaitFor("counted", [&] { return Stats().value("total", 0) == 5; }));
  EXPECT_GT(Stats()["since"], since);
  EXPECT_EQ(Stats()["actual_percentage"], 0.0);
  const std::string metrics = node(0).admin().Get("/metrics").text;
  const std::string name = "\nweir_feature_flags_decisions_total{feature=\"checkout\",enabled=";
  EXPECT_NE(metrics.find(name + "\"true\"} 20\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find(name + "\"false\"} 5\n"), std::string::npos);
}

TEST_F(FlagTotals, ThePeriodHoldsOnlyWhatWasDecidedAfterTheChange) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(PutFlag(0));
  std::atomic<bool> stop{false};
  std::atomic<int> decided{0};
  int on = 0;
  std::thread traffic([&] {
    while (!stop) {
      on += Decide(node(0), 1, 5);
      decided += 5;
    }
  });
  const bool is_counted = WaitFor("counted", [&] { return Stats().value("total", 0) > 100; });
  PutFlag(100);
  // Until the batch has arrived in which the change happened, and the one after it.
  const bool is_counted_anew = WaitFor("counted anew", [&] {
    const Json stats = Stats();
    EXPECT_EQ(stats.value("enabled", 0), stats.value("total", 0)) << stats;
    return stats.value("total", 0) > 100;
  });
  stop = true;
  traffic.join();
  ASSERT_TRUE(is_counted && is_counted_anew);
  EXPECT_LT(on, decided) << "some were decided before";
  ASSERT_TRUE(WaitFor("all are counted", [&] { return Stats().value("total", 0) >= on; }));
  EXPECT_EQ(Stats()["by_outcome"], (Json{{"on", on}})) << Stats();
  EXPECT_EQ(Stats()["actual_percentage"], 100.0);
}

TEST_F(FlagTotals, AFewDecisionsAreEventsWithoutTheirKeys) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(PutFlag(50));
  const auto decisions = [&] {
    std::vector<Json> found;
    const Json events = api().Get("/v1/events?follow=false").json;
    for (const Json& event : events["items"]) {
      if (event["type"] == "flag_decision") found.push_back(event["data"]);
    }
    return found;
  };
  ASSERT_TRUE(WaitFor("a decision is shown", [&] {
    Decide(node(0), 1, 10);
    return !decisions().empty();
  }));
  const Json decision = decisions().front();
  EXPECT_EQ(decision["node"], "n1");
  EXPECT_EQ(decision["flag"], "checkout");
  EXPECT_EQ(decision["reason"], "SPLIT");
  EXPECT_TRUE(decision["outcome"] == "on" || decision["outcome"] == "off") << decision;
  EXPECT_EQ(decision["key"].get<std::string>().find("user-"), std::string::npos) << decision;
}

}  // namespace
}  // namespace weir::integration
