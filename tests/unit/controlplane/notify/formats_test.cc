// SPDX-License-Identifier: Apache-2.0
// What PagerDuty and Alertmanager take. The shapes are those of their published references:
// PagerDuty's Events API v2 and the OpenAPI file of Alertmanager 0.25 (api/v2/openapi.yaml); a real
// Alertmanager is asked in tests/integration.
#include "controlplane/notify/formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::control::notify {
namespace {

using codec::Json;

Json Alert(const std::string& id, const std::string& state, const std::string& severity) {
  Json alert = {{"id", id},
                {"state", state},
                {"severity", severity},
                {"policy", "checkout"},
                {"slo", "p99_latency_ms"},
                {"model", "fraud"},
                {"version", ""},
                {"summary", "p99 is 740 ms, above 500 ms"},
                {"value", 740.0},
                {"threshold", 500.0},
                {"started_at", "2025-11-21T00:00:00.000Z"},
                {"runbook_url", "https://wiki/p99"},
                {"why", state}};
  if (state == "resolved") alert["resolved_at"] = "2025-11-21T00:10:00.000Z";
  return alert;
}
Notice Of(std::vector<Json> alerts) {
  return {"alert-1-a1.1",
          "alert",
          1'763'683'200'000,
          {{"policy", "checkout"}, {"status", "firing"}, {"alerts", std::move(alerts)}}};
}
std::vector<Json> BodiesOf(const domain::SinkSpec& sink, const Notice& notice) {
  std::vector<Json> bodies;
  for (const std::string& body : Bodies(sink, notice, "R0UT1NG", "http://127.0.0.1:7080"))
    bodies.push_back(Json::parse(body));
  return bodies;
}

TEST(Formats, AlertmanagerGetsOneListWithLabelsAndAnEnd) {
  const domain::SinkSpec sink{.url = "http://h", .format = "alertmanager", .team = "risk"};
  const auto bodies =
      BodiesOf(sink, Of({Alert("a1", "firing", "high"), Alert("a2", "resolved", "critical")}));
  ASSERT_EQ(bodies.size(), 1u);
  ASSERT_EQ(bodies[0].size(), 2u);
  const Json& firing = bodies[0][0];
  EXPECT_EQ(firing["labels"], (Json{{"alertname", "p99_latency_ms"},
                                    {"severity", "high"},
                                    {"policy", "checkout"},
                                    {"model", "fraud"},
                                    {"team", "risk"}}))
      << "an empty label is none";
  EXPECT_EQ(firing["annotations"], (Json{{"summary", "p99 is 740 ms, above 500 ms"},
                                         {"runbook_url", "https://wiki/p99"}}));
  EXPECT_EQ(firing["startsAt"], "2025-11-21T00:00:00.000Z");
  EXPECT_EQ(firing["endsAt"], "2025-11-21T00:04:00.000Z") << "four minutes without repetition";
  EXPECT_EQ(firing["generatorURL"], "http://127.0.0.1:7080/v1/alerts?state=all");
  EXPECT_EQ(bodies[0][1]["endsAt"], "2025-11-21T00:10:00.000Z");
  domain::SinkSpec seldom = sink;
  seldom.repeat_every = {600'000};
  EXPECT_EQ(BodiesOf(seldom, Of({Alert("a1", "firing", "high")}))[0][0]["endsAt"],
            "2025-11-21T00:40:00.000Z");
}

TEST(Formats, PagerDutyGetsAnEventForEachUnderOneKey) {
  const domain::SinkSpec sink{.url = "http://h", .format = "pagerduty"};
  const auto bodies =
      BodiesOf(sink, Of({Alert("a1", "firing", "high"), Alert("a1", "acknowledged", "critical"),
                         Alert("a1", "resolved", "warning")}));
  ASSERT_EQ(bodies.size(), 3u);
  EXPECT_EQ(bodies[0]["routing_key"], "R0UT1NG");
  EXPECT_EQ(bodies[0]["event_action"], "trigger");
  EXPECT_EQ(bodies[1]["event_action"], "acknowledge");
  EXPECT_EQ(bodies[2]["event_action"], "resolve");
  EXPECT_EQ(bodies[0]["payload"]["severity"], "error");
  EXPECT_EQ(bodies[1]["payload"]["severity"], "critical");
  EXPECT_EQ(bodies[2]["payload"]["severity"], "warning");
  for (const Json& body : bodies) {
    EXPECT_EQ(body["dedup_key"], bodies[0]["dedup_key"]);
    // Required by the reference, none empty.
    for (const char* field : {"summary", "source", "severity"})
      EXPECT_NE(body["payload"][field], "") << field;
  }
  EXPECT_EQ(bodies[0]["payload"]["group"], "checkout");
  EXPECT_EQ(bodies[0]["links"][0]["href"], "https://wiki/p99");
  EXPECT_NE(BodiesOf(sink, Of({Alert("a2", "firing", "high")}))[0]["dedup_key"],
            bodies[0]["dedup_key"]);
}

TEST(Formats, PagerDutysLimitsHold) {
  Json alert = Alert("a1", "firing", "high");
  alert["summary"] = std::string(5000, 'x');
  const auto body =
      BodiesOf({.url = "http://h", .format = "pagerduty"}, Of({std::move(alert)})).at(0);
  EXPECT_LE(body["payload"]["summary"].get<std::string>().size(), 1024u);
  EXPECT_LE(body["dedup_key"].get<std::string>().size(), 255u);
}

TEST(Formats, OtherNoticesAreAlertsThatTheirGoodEndResolves) {
  const domain::SinkSpec pager{.url = "http://h", .format = "pagerduty"};
  const domain::SinkSpec manager{.url = "http://h", .format = "alertmanager"};
  const Notice began{
      "7-1",
      "breaker",
      1'763'683'200'000,
      {{"node", "n1"}, {"subject", "model/m/1"}, {"state", "began"}, {"severity", "warning"}}};
  const Notice ended{
      "7-2",
      "breaker",
      1'763'683'260'000,
      {{"node", "n1"}, {"subject", "model/m/1"}, {"state", "ended"}, {"severity", "info"}}};
  const Json first = BodiesOf(pager, began).at(0);
  const Json second = BodiesOf(pager, ended).at(0);
  EXPECT_EQ(first["event_action"], "trigger");
  EXPECT_EQ(second["event_action"], "resolve");
  EXPECT_EQ(first["dedup_key"], second["dedup_key"]);
  const Json alert = BodiesOf(manager, began).at(0).at(0);
  EXPECT_EQ(alert["labels"]["alertname"], "weir_breaker");
  EXPECT_EQ(alert["labels"]["node"], "n1");
  EXPECT_EQ(BodiesOf(manager, ended).at(0).at(0)["endsAt"], "2025-11-21T00:01:00.000Z");
}

TEST(Formats, GoWhereTheirReceiversListen) {
  EXPECT_EQ(PathFor("alertmanager", "/"), "/api/v2/alerts");
  EXPECT_EQ(PathFor("alertmanager", ""), "/api/v2/alerts");
  EXPECT_EQ(PathFor("alertmanager", "/am/"), "/am/api/v2/alerts");
  EXPECT_EQ(PathFor("alertmanager", "/am"), "/am/api/v2/alerts");
  EXPECT_EQ(PathFor("alertmanager", "/am/api/v2/alerts"), "/am/api/v2/alerts");
  EXPECT_EQ(PathFor("pagerduty", "/"), "/v2/enqueue");
  EXPECT_EQ(PathFor("pagerduty", "/proxy/enqueue"), "/proxy/enqueue");
  EXPECT_EQ(PathFor("json", "/"), "/");
}

}  // namespace
}  // namespace weir::control::notify
