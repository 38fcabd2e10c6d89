// SPDX-License-Identifier: Apache-2.0
// Gates that ask outside: a real Prometheus that scrapes a node, commands of the control plane's
// machine, windows of time.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"
#include "tests/integration/harness/prometheus.h"

namespace weir::integration {
namespace {

class Gates : public ClusterTest {
 protected:
  // Two phases; the first, at 10 %, has this gate.
  Json WithGate(const std::string& name, const Json& gate) {
    Json rollout = RolloutResource(
        name, "1.1.0",
        {{.percentage = 10, .duration = "0s"}, {.percentage = 20, .duration = "1h"}});
    rollout["spec"]["phases"][0]["gates"] = Json::array({gate});
    return rollout;
  }
  Json Gate(const std::string& name) {
    const Json status = RolloutStatus(api(), name);
    const Json gates = status.is_object() ? status.value("gates", Json::array()) : Json::array();
    return gates.empty() ? Json::object() : gates[0];
  }
  testing::AssertionResult GateSays(const std::string& name, const std::string& state,
                                    const std::string& text) {
    const Json gate = Gate(name);
    if (gate.value("state", "") == state &&
        gate.value("reason", "").find(text) != std::string::npos) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << RolloutStatus(api(), name).dump();
  }
  testing::AssertionResult IsInPhase(const std::string& name, int phase) {
    const Json status = RolloutStatus(api(), name);
    if (status.is_object() && status.value("phase", -1) == phase)
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << status.dump();
  }
  std::string Script(const std::string& name, const std::string& body) {
    const std::string path = dir.path() + "/" + name;
    EXPECT_TRUE(WriteFileAtomic(path, "#!/bin/sh\n" + body, 0755).ok());
    return path;
  }
};

class PrometheusGate : public Gates {
 protected:
  // Scrapes the first node's /metrics every second.
  void StartPrometheus() {
    prometheus_.Start(fmt::format(R"(global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: weir
    static_configs: [{{targets: ["{}"]}}]
)",
                                  node(0).admin_address()));
  }
  Json Gate(const std::string& query, const std::string& condition) {
    return {{"type", "prometheus"},
            {"name", "team-metric"},
            {"url", "http://" + prometheus_.address()},
            {"query", query},
            {"condition", condition},
            {"every", "500ms"}};
  }

  Prometheus prometheus_{dir.path()};
};

TEST_F(PrometheusGate, WaitsForAMetricThatNobodyHasAndPassesOnOneOfANode) {
  SKIP_WITHOUT_PROMETHEUS();
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_NO_FATAL_FAILURE(StartPrometheus());
  Traffic traffic(Addresses(), 100);
  ASSERT_EQ(PutRollout(api(), WithGate("r", Gate("sum(nobody_has_this_total)", "> 0"))).status,
            201);
  ASSERT_TRUE(WaitFor("the gate waits", [&] {
    return GateSays("r", "waiting", "no data: the query sum(nobody_has_this_total)");
  }));
  EXPECT_NE(RolloutStatus(api(), "r").value("waiting_for", "").find("no data"), std::string::npos)
      << RolloutStatus(api(), "r");

  // Prometheus says what is wrong with a query, and the gate passes it on.
  ASSERT_EQ(PutRollout(api(), WithGate("r", Gate("sum(", "> 0"))).status, 200);
  ASSERT_TRUE(WaitFor("the error is shown",
                      [&] { return GateSays("r", "waiting", "Prometheus: status 400"); }));

  // What is there but does not hold.
  const std::string requests = "sum(weir_inference_requests_total{model=\"fraud_detection\"})";
  ASSERT_EQ(PutRollout(api(), WithGate("r", Gate(requests, "< 0"))).status, 200);
  ASSERT_TRUE(
      WaitFor("the gate sees requests", [&] { return GateSays("r", "waiting", "required < 0"); }));
  EXPECT_TRUE(IsInPhase("r", 0));

  ASSERT_EQ(PutRollout(api(), WithGate("r", Gate(requests, "> 20"))).status, 200);
  ASSERT_TRUE(WaitFor("the next phase", [&] { return IsInPhase("r", 1); }));
  EXPECT_EQ(RolloutStatus(api(), "r")["percentage"], 20);
}

TEST_F(PrometheusGate, AFailedGatePausesTheRolloutAndAnAbsentPrometheusDoesNot) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  Json gate = Gate("up", "> 0");
  gate["on_no_data"] = "fail";
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 201);
  ASSERT_TRUE(
      WaitFor("the gate waits", [&] { return GateSays("r", "waiting", "Connection refused"); }));
  EXPECT_EQ(RolloutState(api(), "r"), "progressing");
  SKIP_WITHOUT_PROMETHEUS();
  ASSERT_NO_FATAL_FAILURE(StartPrometheus());
  gate = Gate("nobody_has_this_total", "> 0");
  gate["on_no_data"] = "fail";
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 200);
  EXPECT_TRUE(WaitFor("the rollout pauses", [&] { return RolloutIs("r", "paused"); }));
}

TEST_F(Gates, ACommandIsTriedUntilItPasses) {
  const std::string script =
      Script("smoke",
             "echo \"$WEIR_ROLLOUT $WEIR_PHASE $WEIR_SUBJECT $WEIR_CANDIDATE over $WEIR_STABLE\"\n"
             "[ -e " +
                 dir.path() + "/go ]\n");
  control.more = {"--gate-commands", dir.path()};
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  const Json gate = {
      {"type", "automated_test"}, {"command", Json::array({script})}, {"every", "200ms"}};
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 201);
  EXPECT_TRUE(WaitFor("the command fails more than once", [&] {
    return GateSays("r", "waiting",
                    ": exit code 1 (tried every 200ms): r p10 model/fraud_detection 1.1.0 over "
                    "1.0.0") &&
           Gate("r")["reason"].get<std::string>().rfind("attempt 1:", 0) != 0;
  }));
  EXPECT_TRUE(IsInPhase("r", 0));
  ASSERT_TRUE(WriteFileAtomic(dir.path() + "/go", "").ok());
  EXPECT_TRUE(WaitFor("the next phase", [&] { return IsInPhase("r", 1); }));
}

TEST_F(Gates, NoCommandRunsThatIsNotAllowed) {
  const std::string script = Script("smoke", "touch " + dir.path() + "/ran\n");
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  const Json gate = {
      {"type", "automated_test"}, {"command", Json::array({script})}, {"every", "200ms"}};
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 201);
  EXPECT_TRUE(WaitFor("the refusal is shown",
                      [&] { return GateSays("r", "waiting", "setting gate_commands"); }));
  EXPECT_EQ(RolloutState(api(), "r"), "progressing");
  EXPECT_NE(::access((dir.path() + "/ran").c_str(), F_OK), 0);
}

TEST_F(Gates, ACommandEndsWithItsRolloutAndWithTheControlPlane) {
  const std::string script = Script("hang", "echo $$ > " + dir.path() + "/pid; exec sleep 600\n");
  control.more = {"--gate-commands", script};
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  const Json gate = {
      {"type", "automated_test"}, {"command", Json::array({script})}, {"timeout", "10m"}};
  const auto is_running = [&] {
    const auto pid = ReadFile(dir.path() + "/pid");
    if (!pid.ok() || pid->empty()) return false;
    const auto name = ReadFile("/proc/" + pid->substr(0, pid->find('\n')) + "/comm");
    return name.ok() && *name == "sleep\n";
  };
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 201);
  ASSERT_TRUE(WaitFor("the command runs", is_running));
  ASSERT_TRUE(api().Post("/v1/rollouts/r/abort", {{"reason", "enough"}}).ok());
  EXPECT_TRUE(WaitFor("the command has ended", [&] { return !is_running(); }));
  ASSERT_TRUE(api().Post("/v1/rollouts/r/retry", {{"reason", "again"}}).ok());
  ASSERT_TRUE(WaitFor("the command runs", is_running));
  const int64_t before_ms = NowMs();
  EXPECT_EQ(control.Stop(), 0);
  EXPECT_LT(NowMs() - before_ms, 8000 * kSlowness);
  EXPECT_FALSE(is_running());
}

TEST_F(Gates, AWindowSaysWhenItOpens) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  // The day that is three days ahead, whatever the time zone.
  const std::vector<std::string> days = {"thu", "fri", "sat", "sun", "mon", "tue", "wed"};
  const auto today = static_cast<size_t>(Clock::System().WallMs() / 86'400'000 % 7);
  Json gate = {{"type", "time_based"},
               {"days", Json::array({days[(today + 3) % 7]})},
               {"from", "09:00"},
               {"to", "17:00"},
               {"time_zone", "Europe/Berlin"}};
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 201);
  EXPECT_TRUE(WaitFor("the window is closed",
                      [&] { return GateSays("r", "waiting", "09:00 Europe/Berlin, in "); }));
  gate["time_zone"] = "Europe/Nowhere";
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 200);
  EXPECT_TRUE(WaitFor("the zone is refused",
                      [&] { return GateSays("r", "waiting", "is not a time zone"); }));
  gate = {{"type", "time_based"}, {"days", {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}}};
  ASSERT_EQ(PutRollout(api(), WithGate("r", gate)).status, 200);
  EXPECT_TRUE(WaitFor("the next phase", [&] { return IsInPhase("r", 1); }));
}

}  // namespace
}  // namespace weir::integration
