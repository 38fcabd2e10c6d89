// SPDX-License-Identifier: Apache-2.0
// An entry that one node does not understand: it is shown wherever somebody may look, it freezes
// the rollout that it belongs to and nothing else, and mending it clears everything.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "shared/wire/telemetry_body.h"
#include "tests/integration/harness/cli.h"
#include "tests/integration/harness/wire_node.h"

namespace weir::integration {
namespace {

using domain::EntryKind;

constexpr size_t kStrictBytes = 400;

Json FlagResource(const std::string& name, const Json& spec) {
  return {
      {"apiVersion", "weir/v1"}, {"kind", "Flag"}, {"metadata", {{"name", name}}}, {"spec", spec}};
}

class Nack : public CliTest {
 protected:
  // n1 is a real node; n2 takes no entry of more than 400 bytes.
  void StartBoth() {
    ASSERT_NO_FATAL_FAILURE(StartCluster(1));
    const Status joined = strict.Join(api());
    ASSERT_TRUE(joined.ok()) << joined.ToString();
    ASSERT_TRUE(Until("the strict node is welcome",
                      [&] { return strict.is_welcome() && strict.epoch() > 0; }));
  }
  template <class Condition>
  testing::AssertionResult Until(const std::string& what, Condition condition) {
    return WaitFor(what, [&] {
      strict.Pump();
      return testing::AssertionResult(condition());
    });
  }
  void PutFlag(const std::string& name, const Json& spec) {
    const Answer answer = api().Put("/v1/flags/" + name, FlagResource(name, spec));
    ASSERT_TRUE(answer.ok()) << answer;
  }
  bool EveryoneHasIt() {
    Json nodes = api().Get("/v1/status").json["nodes"];
    return nodes["live"] == 2 && nodes["applied"] == 2;
  }
  std::string ControlMetrics() { return api().Get("/metrics").text; }
  std::vector<Json> NackEvents() {
    std::vector<Json> found;
    const Answer events = api().Get("/v1/events?follow=false");
    for (const Json& event : events.json["items"]) {
      if (event["type"] == "nack") found.push_back(event["data"]);
    }
    return found;
  }
  Json ProblemAbout(const std::string& words) {
    const Answer status = api().Get("/v1/status");
    for (const Json& problem : status.json["problems"]) {
      if (problem["what"].get<std::string>().find(words) != std::string::npos) return problem;
    }
    return Json::object();
  }

  WireNode strict{"n2", [](const WireNode::Key& key, const std::string& body) {
                    return body.size() <= kStrictBytes || key.first == EntryKind::kModel
                               ? std::string()
                               : fmt::format("{} bytes are more than this node's {}", body.size(),
                                             kStrictBytes);
                  }};
  const std::string large = std::string(900, 'x');
};

TEST_F(Nack, RefusedFlagIsShownEverywhereStopsNothingElseAndIsNotSentAgain) {
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  const WireNode::Key key{EntryKind::kFlag, "checkout"};
  ASSERT_NO_FATAL_FAILURE(PutFlag("checkout", {{"enabled", true}}));
  ASSERT_TRUE(Until("the flag", [&] { return strict.HasTaken(key) && EveryoneHasIt(); }));
  ASSERT_NO_FATAL_FAILURE(PutFlag("checkout", {{"enabled", true}, {"allowlist", {large}}}));
  ASSERT_TRUE(Until("the NACK", [&] { return EveryoneHasIt() && NodeRow("n2").contains("nack"); }))
      << NodeRow("n2").dump();
  const int times = strict.Times(key);

  Json nack = NodeRow("n2")["nack"];
  EXPECT_EQ(nack["refused"][0]["kind"], "flag");
  EXPECT_EQ(nack["refused"][0]["name"], "checkout");
  EXPECT_NE(nack["refused"][0]["detail"].dump().find("more than this node's 400"),
            std::string::npos);
  EXPECT_FALSE(NodeRow("n1").contains("nack"));
  Json problem = ProblemAbout("node n2 refuses an entry");
  EXPECT_NE(problem["evidence"].dump().find("flag checkout: "), std::string::npos) << problem;
  EXPECT_EQ(problem["remedy"], "weir undo flag/checkout");
  EXPECT_NE(ControlMetrics().find("weir_entries_refused{kind=\"flag\"} 1\n"), std::string::npos);
  ASSERT_EQ(NackEvents().size(), 1u);
  EXPECT_EQ(NackEvents()[0]["node"], "n2");
  const Output list = Weir({"node", "list"});
  EXPECT_NE(list.out.find("refuses flag checkout: "), std::string::npos) << list.Text();
  strict.Pump();
  const Output show = Weir({"node", "show", "n2"});
  EXPECT_NE(show.out.find("REFUSED            flag checkout: "), std::string::npos) << show.Text();
  EXPECT_NE(show.out.find("the last good stays in force, since 20"), std::string::npos)
      << show.Text();
  Json view = api().Get("/v1/nodes/n2").json;
  EXPECT_EQ(view["applied"][0]["version"], view["snapshot"]["version"]) << view;
  EXPECT_EQ(view["applied"][0]["at"].get<std::string>().substr(0, 2), "20");

  // What comes next reaches it: a change that is not related, and an emergency.
  ASSERT_NO_FATAL_FAILURE(PutFlag("other", {{"enabled", true}}));
  ASSERT_TRUE(Until("the other flag", [&] {
    return strict.HasTaken({EntryKind::kFlag, "other"}) && EveryoneHasIt();
  }));
  ASSERT_TRUE(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", true}}}}).ok());
  ASSERT_TRUE(Until("the emergency", [&] { return strict.is_killed() && EveryoneHasIt(); }));
  EXPECT_EQ(strict.Times(key), times) << "its bytes were sent again";
  EXPECT_TRUE(NodeRow("n2").contains("nack")) << "it still stands";
  EXPECT_EQ(NackEvents().size(), 1u) << "it was told once";

  // The new control plane hears of it, too.
  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(
      Until("both are back", [&] { return EveryoneHasIt() && NodeRow("n2").contains("nack"); }));

  const Answer undone =
      api().Post("/v1/undo", {{"kind", "Flag"}, {"name", "checkout"}, {"reason", "too large"}});
  ASSERT_TRUE(undone.ok()) << undone;
  ASSERT_TRUE(Until("mended", [&] {
    return strict.HasTaken(key) && EveryoneHasIt() && !NodeRow("n2").contains("nack");
  }));
  EXPECT_TRUE(ProblemAbout("refuses").empty());
  EXPECT_NE(ControlMetrics().find("weir_entries_refused{kind=\"flag\"} 0\n"), std::string::npos);
}

TEST_F(Nack, RefusedRolloutIsFrozenUntilItsEntryIsMended) {
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  ASSERT_NO_FATAL_FAILURE(PutFlag("checkout", {{"enabled", true}, {"rollout_percentage", 0}}));
  Json rollout = {{"apiVersion", "weir/v1"},
                  {"kind", "Rollout"},
                  {"metadata", {{"name", "r"}}},
                  {"spec",
                   {{"flag", "checkout"},
                    {"hash_seed", std::string(100, 's')},
                    {"nodes", {{"zone", std::string(kStrictBytes, 'z')}}},
                    {"phases",
                     {{{"name", "ten"}, {"percentage", 10}, {"duration", "1s"}},
                      {{"name", "full"}, {"percentage", 100}, {"duration", "1h"}}}}}}};
  ASSERT_TRUE(api().Put("/v1/rollouts/r", rollout).ok());
  ASSERT_TRUE(Until("frozen", [&] { return RolloutIs("r", "frozen"); }));
  Json status = RolloutStatus(api(), "r");
  EXPECT_NE(status["waiting_for"].dump().find("n2 refused it: "), std::string::npos) << status;
  strict.Pump();
  const Output shown = Weir({"rollout", "status", "r"});
  EXPECT_NE(shown.out.find("frozen"), std::string::npos) << shown.Text();
  EXPECT_NE(shown.out.find("n2 refused it: "), std::string::npos) << shown.Text();
  Json problem = ProblemAbout("rollout r is frozen");
  EXPECT_EQ(problem["remedy"], "weir rollout show r") << problem;
  ASSERT_TRUE(Until("longer than the phase", [&] {
    return RolloutStatus(api(), "r").value("percentage", 0.0) == 10.0 && !NackEvents().empty();
  }));
  EXPECT_EQ(RolloutStatus(api(), "r")["phase"], 0);

  rollout["spec"].erase("nodes");
  ASSERT_TRUE(api().Put("/v1/rollouts/r", rollout).ok());
  ASSERT_TRUE(Until("it goes on", [&] { return RolloutStatus(api(), "r")["phase"] == 1; }))
      << RolloutStatus(api(), "r").dump();
  EXPECT_TRUE(ProblemAbout("refuses").empty());
}

TEST_F(Nack, TelemetryOfANodeThatLiesPromotesNothing) {
  ASSERT_NO_FATAL_FAILURE(StartBoth());
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  strict.Report({{kModel, "1.0.0", "READY", ""}, {kModel, "1.1.0", "READY", ""}});
  Json resource = RolloutResource(
      "r", "1.1.0", {{.percentage = 10, .duration = "1s"}, {.percentage = 100, .duration = "1h"}});
  resource["spec"]["phases"][0]["min_requests"] = 40;
  ASSERT_TRUE(PutRollout(api(), resource).ok());
  const auto invented = [](const char* version, const char* arm) {
    telemetry::Series series;
    series.counters["requests"] = 100'000;
    wire::Series sent = wire::ToWire({fmt::format("model/{}", kModel), version, arm}, series);
    sent.latency_buckets = {0, 100'000};
    sent.latency_digest = {1.0, 1.0, 1.0, 99'998.0, 1.0, 1.0};
    return sent;
  };
  for (int i = 0; i < 5; ++i)
    strict.Push({invented("1.0.0", "stable"), invented("1.1.0", "canary")});
  ASSERT_TRUE(Until("its telemetry is counted", [&] {
    return strict.pending() == 0 &&
           RolloutStatus(api(), "r").value("phase_age_ms", int64_t{0}) > 1500;
  })) << RolloutStatus(api(), "r").dump();
  Json status = RolloutStatus(api(), "r");
  EXPECT_EQ(status["phase"], 0) << status;
  EXPECT_EQ(status["quorum"]["alone"], "n2");
  EXPECT_EQ(status["quorum"]["counted_requests"], 0);
  EXPECT_NE(status["waiting_for"].dump().find("2 nodes: so far only n2"), std::string::npos);
  strict.Pump();
  const Output shown = Weir({"rollout", "status", "r"});
  EXPECT_NE(shown.out.find("evidence  1 of 2 wanted: n2 100 % (500000 requests), alone"),
            std::string::npos)
      << shown.Text();

  // What the honest node sees lets it go on.
  Traffic traffic(Addresses(), 200);
  ASSERT_TRUE(Until("the next phase", [&] { return RolloutStatus(api(), "r")["phase"] == 1; }))
      << RolloutStatus(api(), "r").dump();
}

}  // namespace
}  // namespace weir::integration
