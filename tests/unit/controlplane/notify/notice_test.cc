// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/notice.h"

#include <gtest/gtest.h>

namespace weir::control::notify {
namespace {

using codec::Json;

Notice Of(const std::string& type, Json data) {
  return {"7-12", type, 1'763'683'200'000, std::move(data)};
}
Notice Rollout(const std::string& to) {
  return Of("rollout", {{"rollout", "fraud-1-2-0"},
                        {"from", "progressing"},
                        {"to", to},
                        {"percentage", 0},
                        {"reason", "error_rate: 0.4 > 0.05 & more"}});
}

TEST(Notice, HasOneSentence) {
  EXPECT_EQ(
      Summary(Rollout("rolling_back")),
      "rollout fraud-1-2-0 is rolling_back (was progressing) at 0 %: error_rate: 0.4 > 0.05 & "
      "more");
  EXPECT_EQ(Summary(Of("gate", {{"rollout", "r"},
                                {"phase", "canary"},
                                {"gate", "smoke"},
                                {"to", "passed"},
                                {"reason", "attempt 2: exit code 0"}})),
            "rollout r: gate smoke of phase canary is passed: attempt 2: exit code 0");
  EXPECT_EQ(Summary(Of("rollback_incomplete",
                       {{"rollout", "r"}, {"applied", 11}, {"live", 12}, {"missing", {"n7"}}})),
            "the rollback of r is incomplete: 11 of 12 nodes are back at stable; missing: n7");
  EXPECT_EQ(Summary(Of("emergency", {{"kill_switch", true},
                                     {"freeze", true},
                                     {"rollback_to_baseline", false},
                                     {"actor", "alice"},
                                     {"reason", "fire"}})),
            "emergency: kill_switch, freeze on, by alice: fire");
  EXPECT_EQ(Summary(Of("breaker", {{"node", "n1"},
                                   {"subject", "model/m/1.1.0"},
                                   {"state", "began"},
                                   {"detail", "12 of 20 failed"}})),
            "node n1: breaker of model/m/1.1.0 began: 12 of 20 failed");
  EXPECT_EQ(Summary(Of("rollout_trend", {{"rollout", "r"}, {"trend", "p99 grows"}})),
            "rollout_trend of rollout r: p99 grows");
  Json alert = {{"state", "firing"},
                {"why", "firing"},
                {"policy", "checkout"},
                {"slo", "p99"},
                {"model", "fraud"},
                {"version", "1.2.0"},
                {"summary", "740 ms, above 500 ms"}};
  EXPECT_EQ(Summary(Of("alert", {{"policy", "checkout"}, {"alerts", {alert}}})),
            "firing: checkout/p99 of fraud 1.2.0: 740 ms, above 500 ms");
  Json known = alert;
  known.update({{"state", "acknowledged"}, {"why", "acknowledged"}, {"acknowledged_by", "alice"}});
  alert.update({{"why", "escalated"}, {"version", ""}});
  EXPECT_EQ(Summary(Of("alert", {{"policy", "checkout"}, {"alerts", {alert, known}}})),
            "2 alerts of policy checkout: firing, escalated: checkout/p99 of fraud: 740 ms, above "
            "500 ms; acknowledged by alice: checkout/p99 of fraud 1.2.0: 740 ms, above 500 ms");
  EXPECT_EQ(Summary(Of("alert", nullptr)), "alert") << "whatever comes";
  EXPECT_EQ(Summary(Of("remediation", {{"summary", "throttled fraud"}})),
            "remediation: throttled fraud");
  EXPECT_EQ(Summary(Of("drift", nullptr)).find("rollout "), 0u) << "whatever comes";
  EXPECT_LE(Summary(Of("drift", {{"rollout", std::string(5000, 'x')}})).size(), 1004u);
}

TEST(Notice, IsAsBadAsItsType) {
  EXPECT_EQ(SeverityOf(Rollout("rolling_back")), "critical");
  EXPECT_EQ(SeverityOf(Rollout("rolled_back")), "warning");
  EXPECT_EQ(SeverityOf(Rollout("paused")), "warning");
  EXPECT_EQ(SeverityOf(Rollout("promoted")), "info");
  EXPECT_EQ(SeverityOf(Of("rollback_incomplete", {})), "critical");
  EXPECT_EQ(SeverityOf(Of("emergency", {{"freeze", true}})), "critical");
  EXPECT_EQ(SeverityOf(Of("emergency", {{"freeze", false}})), "info");
  EXPECT_EQ(SeverityOf(Of("gate", {{"severity", "warning"}})), "warning") << "as its data says";
  EXPECT_EQ(SeverityOf(Of("gate", {{"severity", "terrible"}})), "info");
}

TEST(Notice, GoesToSinksThatWantIt) {
  domain::SinkSpec sink{.url = "http://h"};
  EXPECT_TRUE(Wants(sink, Rollout("promoted")));
  EXPECT_FALSE(Wants(sink, Of("commit", {})));
  EXPECT_FALSE(Wants(sink, Of("flag_decision", {})));
  EXPECT_TRUE(Wants(sink, Of("resource_file", {{"result", "refused"}})));
  EXPECT_FALSE(Wants(sink, Of("resource_file", {{"result", "applied"}})));
  sink.min_severity = "critical";
  EXPECT_FALSE(Wants(sink, Rollout("rolled_back")));
  EXPECT_TRUE(Wants(sink, Rollout("rolling_back")));
  sink.events = {"emergency"};
  EXPECT_FALSE(Wants(sink, Rollout("rolling_back")));
  EXPECT_TRUE(Wants(sink, Of("emergency", {{"freeze", true}})));
  sink.events.clear();
  sink.min_severity = "high";
  EXPECT_TRUE(Wants(sink, Of("remediation", {{"severity", "high"}})));
  EXPECT_TRUE(Wants(sink, Of("remediation", {{"severity", "critical"}})));
  EXPECT_FALSE(Wants(sink, Of("remediation", {{"severity", "warning"}})));
  for (const char* quiet : {"silenced_by", "acknowledged_by"})
    EXPECT_FALSE(Wants(sink, Of("drift", {{"severity", "critical"}, {quiet, "alice"}}))) << quiet;
  sink.enabled = false;
  EXPECT_FALSE(Wants(sink, Of("emergency", {{"freeze", true}})));
}

TEST(Notice, IsJsonOrSlack) {
  const Json json = Json::parse(Body("json", Rollout("rolling_back")));
  EXPECT_EQ(json["id"], "7-12");
  EXPECT_EQ(json["type"], "rollout");
  EXPECT_EQ(json["severity"], "critical");
  EXPECT_EQ(json["at"], "2025-11-21T00:00:00.000Z");
  EXPECT_EQ(json["summary"], Summary(Rollout("rolling_back")));
  EXPECT_EQ(json["data"]["rollout"], "fraud-1-2-0");
  const Json slack = Json::parse(Body("slack", Rollout("rolling_back")));
  EXPECT_EQ(slack["text"],
            "[critical] rollout fraud-1-2-0 is rolling_back (was progressing) at 0 %: error_rate: "
            "0.4 &gt; 0.05 &amp; more");
  EXPECT_EQ(slack["blocks"][0]["text"]["text"], slack["text"]);
  EXPECT_EQ(slack["blocks"][1]["type"], "context");
}

}  // namespace
}  // namespace weir::control::notify
