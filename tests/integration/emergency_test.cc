// SPDX-License-Identifier: Apache-2.0
// Baseline, kill switch and freeze: at once on every node, and off brings back what was.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Emergency : public ClusterTest {
 protected:
  void Set(const char* field, bool on) {
    const Answer answer = api().Patch("/v1/emergency/default", {{"spec", {{field, on}}}});
    ASSERT_EQ(answer.status, 200) << answer;
  }
  // How often a resource file said something new.
  size_t FileEvents() const {
    const Json events = api().Get("/v1/events?follow=false").json;
    size_t count = 0;
    for (const Json& event : events["items"]) count += event["type"] == "resource_file";
    return count;
  }
  // What a node answers for the flag, now; empty while it does not know it.
  Json Flag(const Node& node) {
    const Answer answer = node.api().Post("/weir/v1/explain", {{"key", "user-1"}});
    if (!answer.ok() || answer.json["flags"].empty()) return Json::object();
    return answer.json["flags"][0];
  }
};

TEST_F(Emergency, BaselineSendsEverythingToStableWithinASecondAndOffBringsTheCanaryBack) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("half", "1.1.0", {{.percentage = 50, .duration = "1h"}}))
          .status,
      201);
  Traffic traffic(Addresses(), 300);
  ASSERT_TRUE(WaitFor("canary", [&] { return traffic.Counts().Arm("canary") > 20; }));

  ASSERT_NO_FATAL_FAILURE(Set("rollback_to_baseline", true));
  const int64_t second_later_ms = Clock::System().WallMs() + 1000 * kSlowness;
  ASSERT_TRUE(WaitFor("a second and more",
                      [&] { return traffic.Counts().last_began_ms > second_later_ms + 300; }));
  EXPECT_LE(traffic.Counts().last_canary_began_ms, second_later_ms);
  const Json status = api().Get("/v1/status").json;
  EXPECT_EQ(status["emergency"]["rollback_to_baseline"], true);
  EXPECT_EQ(status["emergency"]["by"], "test:alice");
  EXPECT_NE(status["problems"].dump().find("baseline"), std::string::npos) << status;

  ASSERT_NO_FATAL_FAILURE(Set("rollback_to_baseline", false));
  traffic.Mark();
  ASSERT_TRUE(WaitFor("the canary is back", [&] { return traffic.Counts().Arm("canary") > 20; }));
  EXPECT_EQ(RolloutState(api(), "half"), "progressing");
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
}

TEST_F(Emergency, KillSwitchTurnsFlagsOffAndBackAlsoOnANodeThatComesLater) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(api()
                .Put("/v1/flags/checkout", {{"apiVersion", "weir/v1"},
                                            {"kind", "Flag"},
                                            {"metadata", {{"name", "checkout"}}},
                                            {"spec", {{"enabled", true}}}})
                .status,
            201);
  ASSERT_TRUE(WaitFor("on", [&] { return Flag(node(0)).value("enabled", false); }));
  ASSERT_NO_FATAL_FAILURE(Set("kill_switch", true));
  ASSERT_TRUE(WaitFor(
      "off", [&] { return !Flag(node(0)).value("enabled", true); }, 1000 * kSlowness));
  EXPECT_EQ(Flag(node(0))["reason"], "KILL_SWITCH");
  ASSERT_NO_FATAL_FAILURE(AddNode({.id = "late", .control = "", .more = {}}));
  EXPECT_EQ(Flag(node(1))["reason"], "KILL_SWITCH");
  // It outlives the control plane.
  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  for (const auto& node : nodes) EXPECT_EQ(Flag(*node)["reason"], "KILL_SWITCH");

  ASSERT_NO_FATAL_FAILURE(Set("kill_switch", false));
  for (const auto& node : nodes) {
    ASSERT_TRUE(WaitFor("on", [&] { return Flag(*node).value("enabled", false); }));
  }
  EXPECT_EQ(api().Get("/v1/flags/checkout").json["metadata"]["revision"], 1)
      << "what is stored was never touched";
}

// What an emergency must give back exactly: every flag's document, and every node's answers.
TEST_F(Emergency, NothingBlocksItNoFileEndsItAndOffRestoresExactlyWhatWas) {
  const std::string resources = dir.path() + "/resources";
  std::filesystem::create_directories(resources);
  const auto save = [&](bool kill_switch) {
    return WriteFileAtomic(resources + "/flags.yaml",
                           fmt::format("checkout:\n  rollout_percentage: 50\n  hash_seed: seed\n"
                                       "emergency:\n  kill_switch: {}\n",
                                       kill_switch));
  };
  ASSERT_TRUE(save(false).ok());
  control.more = {"--resources", resources};
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  const auto put = [&](const std::string& name, const Json& spec) {
    const Answer answer = api().Put("/v1/flags/" + name, {{"apiVersion", "weir/v1"},
                                                          {"kind", "Flag"},
                                                          {"metadata", {{"name", name}}},
                                                          {"spec", spec}});
    ASSERT_EQ(answer.status, 201) << answer;
  };
  const Json gold = {{"if", {{{"==", {{{"var", "targetingKey"}}, "user-1"}}}, "gold", nullptr}}};
  ASSERT_NO_FATAL_FAILURE(put("tier", {{"variants", {{"gold", 3}, {"plain", 1}, {"none", 0}}},
                                       {"default_variant", "plain"},
                                       {"off_variant", "none"},
                                       {"targeting", gold}}));
  ASSERT_NO_FATAL_FAILURE(put(
      "no_off", {{"variants", {{"blue", "#00f"}, {"red", "#f00"}}}, {"default_variant", "blue"}}));
  ASSERT_TRUE(WaitFor("everyone has them", [&] { return EveryoneIsAtHead(); }));
  const auto flags = [&](const Node& node) {
    Json rows = Json::object();
    const Json answer = node.api().Post("/weir/v1/explain", {{"key", "user-1"}}).json;
    for (const Json& row : answer["flags"]) rows[row["flag"].get<std::string>()] = row;
    return rows;
  };
  const Json before = flags(node(0));
  ASSERT_EQ(before["tier"]["variant"], "gold") << before;
  const Json stored = api().Get("/v1/flags").json;

  for (const char* field : {"kill_switch", "rollback_to_baseline"}) {
    // Frozen rollouts do not hold it up.
    ASSERT_NO_FATAL_FAILURE(Set("freeze", true));
    ASSERT_NO_FATAL_FAILURE(Set(field, true));
    for (const auto& node : nodes) {
      ASSERT_TRUE(WaitFor("off", [&] { return flags(*node)["tier"]["enabled"] == false; }));
      const Json during = flags(*node);
      EXPECT_EQ(during["tier"]["variant"], "none") << during;
      EXPECT_EQ(during["tier"]["value"], 0);
      EXPECT_FALSE(during["no_off"].contains("value")) << "the code's default holds: " << during;
      EXPECT_EQ(during["checkout"]["enabled"], false);
    }
    // A file that says on and then off does not end it.
    for (const bool kill_switch : {true, false}) {
      const size_t read = FileEvents();
      ASSERT_TRUE(save(kill_switch).ok());
      ASSERT_TRUE(WaitFor("the file is read", [&] { return FileEvents() > read; }));
    }
    EXPECT_EQ(api().Get("/v1/emergency/default").json["spec"][field], true);
    EXPECT_EQ(flags(node(0))["tier"]["variant"], "none");
    for (const char* off : {"kill_switch", "rollback_to_baseline", "freeze"})
      ASSERT_NO_FATAL_FAILURE(Set(off, false));
    for (const auto& node : nodes)
      ASSERT_TRUE(WaitFor("as before", [&] { return flags(*node) == before; }));
  }
  Json after = api().Get("/v1/flags").json;
  for (size_t i = 0; i < after["items"].size(); ++i) {
    EXPECT_EQ(after["items"][i]["spec"], stored["items"][i]["spec"]);
    EXPECT_EQ(after["items"][i]["metadata"], stored["items"][i]["metadata"]);
  }
}

TEST_F(Emergency, FreezeHoldsARolloutUntilItEnds) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Traffic traffic(Addresses(), 100);
  ASSERT_NO_FATAL_FAILURE(Set("freeze", true));
  ASSERT_EQ(PutRollout(api(), RolloutResource("held", "1.1.0",
                                              {{.percentage = 10, .duration = "500ms"},
                                               {.percentage = 100, .duration = "500ms"}}))
                .status,
            201);
  ASSERT_TRUE(WaitFor("frozen", [&] { return RolloutIs("held", "frozen"); }));
  const uint64_t sent = traffic.Counts().sent;
  ASSERT_TRUE(WaitFor("three times the phase", [&] { return traffic.Counts().sent > sent + 150; }));
  const Json status = RolloutStatus(api(), "held");
  EXPECT_EQ(status["state"], "frozen");
  EXPECT_EQ(status["phase"], 0);
  EXPECT_EQ(status["percentage"], 10);
  EXPECT_NE(status["waiting_for"].get<std::string>().find("freeze"), std::string::npos) << status;
  ASSERT_NO_FATAL_FAILURE(Set("freeze", false));
  ASSERT_TRUE(WaitFor("promotion", [&] { return RolloutIs("held", "promoted"); }));
}

}  // namespace
}  // namespace weir::integration
