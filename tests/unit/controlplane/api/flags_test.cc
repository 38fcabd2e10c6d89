// SPDX-License-Identifier: Apache-2.0
// What the API knows of flags beyond their specs: what was counted, distributions, overrides.
#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

using testing::HasSubstr;
using testing::Not;

class ApiFlags : public ApiTest {
 protected:
  void PutFlag(const std::string& name, const Json& spec) {
    const Reply reply = Send("PUT", "/v1/flags/" + name,
                             Json{{"apiVersion", "weir/v1"},
                                  {"kind", "Flag"},
                                  {"metadata", {{"name", name}}},
                                  {"spec", spec}}
                                 .dump());
    ASSERT_EQ(reply.status, 201) << reply.body;
  }
  void PutRolloutFlag(double percentage) {
    PutFlag("ttft", {{"enabled", true},
                     {"rollout_percentage", percentage},
                     {"hash_seed", "ttft-pipeline-2025-01-08"}});
  }
  void PutVariantFlag() {
    PutFlag("color", {{"variants", {{"blue", "#00f"}, {"red", "#f00"}}},
                      {"default_variant", "red"},
                      {"off_variant", "red"}});
  }
  void Count(const ingest::FlagCounts& counts) {
    OnCore([&] { totals_.Add(counts, Clock::System().WallMs() + 1000); });
  }
};

TEST_F(ApiFlags, StatsCompareWhatIsWithWhatIsConfigured) {
  PutRolloutFlag(10);
  EXPECT_FALSE(Get("/v1/flags/ttft").json["status"].contains("stats"));
  Count({{"ttft", {{"on", 30}, {"off", 170}}}});
  const Json stats = Get("/v1/flags/ttft").json["status"]["stats"];
  EXPECT_EQ(stats["total"], 200) << stats;
  EXPECT_EQ(stats["enabled"], 30);
  EXPECT_EQ(stats["actual_percentage"], 15.0);
  EXPECT_EQ(stats["configured_percentage"], 10.0);
  EXPECT_EQ(stats["by_outcome"], (Json{{"on", 30}, {"off", 170}}));
  EXPECT_TRUE(ParseTimeMs(stats["since"].get<std::string>()).ok());
  Send("PATCH", "/v1/flags/ttft", R"({"spec": {"enabled": false}})");
  EXPECT_EQ(Get("/v1/flags/ttft").json["status"]["stats"]["configured_percentage"], 0.0);
}

TEST_F(ApiFlags, AVariantFlagHasItsOutcomesAndNoPercentage) {
  PutVariantFlag();
  Count({{"color", {{"red", 3}, {"blue", 1}, {"", 2}}}});
  const Json status = Get("/v1/flags/color").json["status"];
  EXPECT_FALSE(status.contains("percentage")) << status;
  EXPECT_EQ(status["stats"]["total"], 6);
  EXPECT_EQ(status["stats"]["by_outcome"], (Json{{"", 2}, {"blue", 1}, {"red", 3}}));
  EXPECT_FALSE(status["stats"].contains("configured_percentage"));
}

TEST_F(ApiFlags, MetricsUseThePrefixOfTheDocuments) {
  PutRolloutFlag(10);
  PutVariantFlag();
  Count({{"ttft", {{"on", 30}, {"off", 170}}}, {"color", {{"blue", 1}}}});
  std::string metrics = Get("/metrics").body;
  for (const char* line : {
           "weir_feature_flags_rollout_percentage{feature=\"ttft\"} 10\n",
           "weir_feature_flags_kill_switch{value=\"false\"} 0\n",
       })
    EXPECT_THAT(metrics, HasSubstr(line));
  EXPECT_THAT(metrics, Not(HasSubstr("rollout_percentage{feature=\"color\"}")));
  EXPECT_THAT(metrics, Not(HasSubstr("decisions_total"))) << "the nodes' own, else sums double";
  const auto observe = [&](const Json& spec) {
    const Reply reply = Send("PUT", "/v1/observability/default",
                             Json{{"apiVersion", "weir/v1"},
                                  {"kind", "Observability"},
                                  {"metadata", {{"name", "default"}}},
                                  {"spec", spec}}
                                 .dump());
    EXPECT_EQ(reply.status / 100, 2) << reply.body;
  };
  observe({{"metric_prefix", "mlx_serving_feature_flags"}});
  metrics = Get("/metrics").body;
  for (const char* prefix : {"mlx_serving_feature_flags", "weir_feature_flags"}) {
    EXPECT_THAT(metrics,
                HasSubstr(fmt::format("\n{}_rollout_percentage{{feature=\"ttft\"}} 10\n", prefix)));
  }
  EXPECT_THAT(metrics, Not(HasSubstr("decisions_total")));
  observe({{"export_metrics", false}, {"metric_prefix", "mlx_serving_feature_flags"}});
  EXPECT_THAT(Get("/metrics").body, Not(HasSubstr("feature_flags")));
}

TEST_F(ApiFlags, AFlagThatBecomesMalformedIsAProblem) {
  const auto apply = [&](const std::string& text) {
    const Reply reply = Send("POST", "/v1/apply?source=file:flags.json", text);
    ASSERT_EQ(reply.status, 200) << reply.body;
  };
  const auto malformed = [&] {
    std::vector<Json> found;
    const Json status = Get("/v1/status").json;
    for (const Json& problem : status["problems"]) {
      if (problem["what"].get<std::string>().find("malformed") != std::string::npos)
        found.push_back(problem);
    }
    return found;
  };
  const std::string good = R"({"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "x"})";
  const std::string bad = R"({"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "y"})";
  apply(R"({"flags": {"gg": )" + good + "}}");
  EXPECT_TRUE(malformed().empty());
  apply(R"({"flags": {"gg": )" + bad + "}}");
  ASSERT_EQ(malformed().size(), 1u);
  const Json problem = malformed().front();
  EXPECT_EQ(problem["severity"], "warning");
  EXPECT_THAT(problem["what"].get<std::string>(), HasSubstr("flag gg is malformed: "));
  EXPECT_THAT(problem["what"].get<std::string>(), HasSubstr("defaultVariant"));
  EXPECT_EQ(problem["since"], Get("/v1/flags/gg").json["metadata"]["updated_at"]);
  EXPECT_EQ(problem["remedy"], "weir flag show gg");
  std::string many = R"({"flags": {"gg": )" + bad;
  for (int i = 0; i < 12; ++i) many += fmt::format(", \"f{}\": {}", i, bad);
  apply(many + "}}");
  ASSERT_EQ(malformed().size(), 11u);
  EXPECT_EQ(malformed().back()["what"], "and 3 more flags are malformed");
  apply(R"({"flags": {"gg": )" + good + "}}");
  EXPECT_EQ(malformed().size(), 11u) << "12 others";
}

TEST_F(ApiFlags, ObservabilityIsAResourceLikeOthers) {
  EXPECT_TRUE(Get("/v1/observability").json["items"].empty());
  EXPECT_EQ(Get("/v1/observability/default").status, 404);
  const Json resource = {{"apiVersion", "weir/v1"},
                         {"kind", "Observability"},
                         {"metadata", {{"name", "default"}}},
                         {"spec", {{"log_feature_decisions", true}}}};
  EXPECT_EQ(Send("PUT", "/v1/observability/default", resource.dump()).status, 201);
  EXPECT_EQ(Get("/v1/observability").json["items"].size(), 1u);
  EXPECT_EQ(Get("/v1/observability/default").json["spec"]["log_feature_decisions"], true);
  EXPECT_EQ(Send("PATCH", "/v1/observability/default", R"({"spec": {"log_keys": true}})").status,
            200);
  Json other = resource;
  other["metadata"]["name"] = "mine";
  EXPECT_EQ(Send("PUT", "/v1/observability/mine", other.dump()).status, 400);
  EXPECT_EQ(Send("DELETE", "/v1/observability/default").status, 200);
}

TEST_F(ApiFlags, CountsWhatManyKeysGet) {
  PutRolloutFlag(10);
  const Reply reply = Post("/v1/explain", {{"key", "user-"}, {"flag", "ttft"}, {"count", 10'000}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  // Python: hashlib.md5(f"user-{i}:ttft-pipeline-2025-01-08"), fine buckets below 10000.
  EXPECT_EQ(reply.json, (Json{{"flag", "ttft"},
                              {"keys", 10'000},
                              {"outcomes", {{"on", 965}, {"off", 9035}}},
                              {"percentage", 965 / 100.0}}));
}

TEST_F(ApiFlags, ManyKeysKeepNobodyWaiting) {
  PutRolloutFlag(50);
  http::Client other(api_->address());
  http::ClientOptions patient;
  patient.timeout_ms = 60'000;  // under a sanitizer
  client_ = std::make_unique<http::Client>(api_->address(), patient);
  std::atomic<bool> done = false;
  Reply reply;
  std::thread counting([&] {
    reply = Post("/v1/explain", {{"key", "k"}, {"flag", "ttft"}, {"count", 100'000}});
    done = true;
  });
  int answered = 0;
  while (!done) {
    const auto health = other.Do("GET", "/health", {}, "");
    ASSERT_TRUE(health.ok()) << health.status().ToString();
    ++answered;
  }
  counting.join();
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json["keys"], 100'000);
  EXPECT_NEAR(reply.json["percentage"].get<double>(), 50, 0.64) << "4 sigma";
  EXPECT_GT(answered, 3);
}

TEST_F(ApiFlags, ContextReachesTheRules) {
  PutFlag("color",
          {{"variants", {{"blue", "#00f"}, {"red", "#f00"}}},
           {"default_variant", "red"},
           {"targeting", {{"if", {{{"==", {{{"var", "tier"}}, "gold"}}}, "blue", nullptr}}}}});
  const auto explain = [&](const Json& context) {
    return Post("/v1/explain", {{"key", "k"}, {"flag", "color"}, {"context", context}});
  };
  EXPECT_EQ(explain({{"tier", "gold"}}).json["flags"][0]["variant"], "blue");
  EXPECT_EQ(explain({{"tier", "tin"}}).json["flags"][0]["variant"], "red");
  const Reply many =
      Post("/v1/explain",
           {{"key", "k"}, {"flag", "color"}, {"count", 10}, {"context", {{"tier", "gold"}}}});
  EXPECT_EQ(many.json["outcomes"], (Json{{"blue", 10}})) << many.body;
}

TEST_F(ApiFlags, RefusesToCountNonsense) {
  PutRolloutFlag(10);
  const auto field = [&](const Json& body) -> std::string {
    const Reply reply = Post("/v1/explain", body);
    EXPECT_EQ(reply.status, 400) << body << reply.body;
    return reply.json.value("field", "");
  };
  EXPECT_EQ(field({{"key", "k"}, {"count", 10}}), "flag");
  EXPECT_EQ(field({{"key", "k"}, {"flag", "ttft"}, {"count", 0}}), "count");
  EXPECT_EQ(field({{"key", "k"}, {"flag", "ttft"}, {"count", 1'000'001}}), "count");
  EXPECT_EQ(field({{"key", "k"}, {"flag", "ttft"}, {"context", "gold"}}), "context");
}

TEST_F(ApiFlags, ANodeThatIsOverriddenIsShownEverywhere) {
  publish::NodeStatus node = NodeWith("n1", publish::NodeState::kReady, 0);
  node.admin = "127.0.0.1:9090";
  node.overrides = {"flag checkout is forced off by hand since 2026-11-20T10:00:00.000Z: incident"};
  SetNodes({node});
  EXPECT_EQ(Get("/v1/nodes/n1").json["overrides"], Json(node.overrides));
  EXPECT_THAT(Get("/metrics").body, HasSubstr("weir_node_overrides{node=\"n1\"} 1\n"));
  const Json problems = Get("/v1/status").json["problems"];
  const auto found = std::find_if(problems.begin(), problems.end(), [](const Json& problem) {
    return problem["what"] == "node n1 is overridden by hand";
  });
  ASSERT_NE(found, problems.end()) << problems;
  EXPECT_THAT((*found)["evidence"].get<std::string>(), HasSubstr("checkout is forced off"));
  const std::string remedy = (*found)["remedy"];
  EXPECT_THAT(remedy, HasSubstr("DELETE /weir/v1/override"));
  EXPECT_THAT(remedy, Not(HasSubstr("127.0.0.1"))) << "no token goes where a node says";
  EXPECT_TRUE((*found)["since"].is_string());
  EXPECT_THAT(Get("/v1/events?follow=false").body, HasSubstr("\"override\""));
  node.overrides = {"the kill switch is on by hand since 2026-11-20T10:00:00.000Z: incident"};
  SetNodes({node});
  EXPECT_THAT(Get("/v1/status").body, HasSubstr("weir emergency kill-switch off --direct"));
  node.overrides = {"flag checkout is forced off by /etc/weir/override.yaml"};
  SetNodes({node});
  EXPECT_THAT(Get("/v1/status").body, HasSubstr("kill -HUP"));
  node.overrides.clear();
  SetNodes({node});
  EXPECT_THAT(Get("/v1/status").body, Not(HasSubstr("overridden")));
  EXPECT_FALSE(Get("/v1/nodes/n1").json.contains("overrides"));
}

TEST_F(ApiFlags, ANodeCannotFloodTheEventsWithItsOverrides) {
  publish::NodeStatus node = NodeWith("n1", publish::NodeState::kReady, 0);
  for (int i = 0; i < 100; ++i) {
    node.overrides = {fmt::format("flag f{} is forced off by hand since now: why", i)};
    SetNodes({node});
  }
  EXPECT_EQ(Get("/v1/nodes/n1").json["overrides"], Json(node.overrides)) << "the newest";
  int events = 0;
  const Json log = Get("/v1/events?follow=false").json;
  for (const Json& event : log["items"]) events += event["type"] == "override" ? 1 : 0;
  EXPECT_LE(events, 2);
  EXPECT_GE(events, 1);
}

}  // namespace
}  // namespace weir::control::api
