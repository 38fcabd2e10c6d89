// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

using testing::HasSubstr;

class FrontSurface : public NodeTest {
 protected:
  // Sample name with labels → value; fails the test on a line that is not Prometheus text.
  static std::map<std::string, double> Parse(const std::string& text) {
    static const std::regex comment("# (HELP [a-z_]+ .+|TYPE [a-z_]+ (counter|gauge|histogram))");
    static const std::regex sample(
        R"(([a-z_]+(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})?) (-?[0-9.e+-]+))");
    std::map<std::string, double> samples;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('#')) {
        EXPECT_TRUE(std::regex_match(line, comment)) << line;
        continue;
      }
      std::smatch match;
      if (!std::regex_match(line, match, sample)) {
        ADD_FAILURE() << "no Prometheus text: " << line;
        continue;
      }
      EXPECT_TRUE(samples.emplace(match[1], std::stod(match[6])).second) << "twice: " << line;
    }
    return samples;
  }
};

TEST_F(FrontSurface, ServerAndModelMetadata) {
  StartWithAll();
  EXPECT_EQ(json::parse(Get("/v2").body)["name"], "weir");
  EXPECT_EQ(Get("/v2/health/live").status, 200);
  EXPECT_EQ(Get("/v2/health/ready").status, 200);
  EXPECT_EQ(Get("/health").status, 200);
  const json model = json::parse(Get("/v2/models/fraud_detection").body);
  EXPECT_EQ(model["name"], "fraud_detection");
  EXPECT_EQ(model["versions"], json({"1.0.0", "1.1.0", "1.2.0"}));
  EXPECT_EQ(model["platform"], "xgboost");
  EXPECT_EQ(model["inputs"][0],
            json({{"name", "features"}, {"datatype", "FP32"}, {"shape", {-1, 12}}}));
  EXPECT_EQ(model["outputs"][0]["name"], "predict");
  EXPECT_EQ(Get("/v2/models/fraud_detection/versions/1.1.0").status, 200);
  EXPECT_EQ(Get("/v2/models/fraud_detection/ready").status, 200);
  EXPECT_EQ(Get("/v2/models/fraud%5Fdetection/ready").status, 200);
  EXPECT_EQ(Get("/v2/models/other").status, 404);
  PublishVersions({"1.0.0"});
  PublishRules();
  EXPECT_EQ(Get("/v2/models/fraud_detection/versions/1.1.0/ready").status, 503);
  EXPECT_EQ(Get("/v2/models/fraud_detection/ready").status, 200);
}

TEST_F(FrontSurface, SelectTellsTheDecision) {
  threshold_ = 33'069;
  StartWithAll();
  const json chosen =
      json::parse(Get("/weir/v1/select?model=fraud_detection&user_id=user_123").body);
  EXPECT_EQ(chosen["model"], "fraud_detection");
  EXPECT_EQ(chosen["version"], "1.1.0");
  EXPECT_EQ(chosen["is_canary"], true);
  EXPECT_EQ(chosen["arm"], "canary");
  EXPECT_EQ(chosen["reason"], "SPLIT");
  EXPECT_EQ(chosen["bucket"], 33'068);
  EXPECT_EQ(chosen["threshold"], 33'069);
  EXPECT_EQ(Get("/weir/v1/select").status, 400);
  EXPECT_EQ(Get("/weir/v1/select?model=other").status, 404);
  emergency_.baseline = true;
  PublishRules();
  const json baseline =
      json::parse(Get("/weir/v1/select?model=fraud_detection&user_id=user_123").body);
  EXPECT_EQ(baseline["arm"], "stable");
  EXPECT_EQ(baseline["reason"], "ROLLBACK_TO_BASELINE");
  EXPECT_TRUE(Telemetry().empty());
}

// user-2: bucket 17159 of the flag's seed; the experiment's vector is of user-1 (DECISIONS).
TEST_F(FrontSurface, ExplainListsEveryDecision) {
  threshold_ = 50'000;
  StartWithAll();
  const json all = json::parse(Do("POST", "/weir/v1/explain", {}, R"({"key": "user-2"})").body);
  EXPECT_EQ(all["key"], "user-2");
  EXPECT_EQ(all["snapshot"], json({{"epoch", 3}, {"version", 42}}));
  EXPECT_EQ(all["flags"][0], json({{"flag", "ttft_pipeline"},
                                   {"enabled", true},
                                   {"value", true},
                                   {"variant", "on"},
                                   {"reason", "SPLIT"},
                                   {"bucket", 17159},
                                   {"threshold", 20000}}));
  EXPECT_EQ(all["splits"][0]["model"], "fraud_detection");
  EXPECT_EQ(all["splits"][0]["rollout"], "fraud-next");
  EXPECT_EQ(all["splits"][0]["percentage"], 50.0);
  const json first =
      json::parse(Do("POST", "/weir/v1/explain", {}, R"({"user_id":"user-1"})").body);
  EXPECT_EQ(first["experiments"][0], json({{"experiment", "prompts"},
                                           {"group", "treatment"},
                                           {"bucket", 72},
                                           {"reason", "SPLIT"}}));
  EXPECT_EQ(Do("POST", "/weir/v1/explain", {}, "{}").status, 400);
  EXPECT_EQ(Do("POST", "/weir/v1/explain", {}, "no").status, 400);
  EXPECT_EQ(Do("POST", "/weir/v1/explain", {}, R"({"key": 7})").status, 400);
  EXPECT_EQ(Get("/weir/v1/explain").status, 405);
}

TEST_F(FrontSurface, ReadyListsWhatIsMissing) {
  Start();
  auto response = Get("/ready");
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("snapshot: none has come"));
  PublishVersions({"1.0.0", "1.1.0"});
  PublishRules();
  response = Get("/ready");
  EXPECT_EQ(response.status, 200);
  json body = json::parse(response.body);
  EXPECT_EQ(body["snapshot"], json({{"epoch", 3}, {"version", 42}}));
  EXPECT_EQ(body["versions"], json::array({{{"model", "fraud_detection"},
                                            {"version", "1.2.0"},
                                            {"state", "FAILED"},
                                            {"detail", "did not load"}}}));
  NodeStatusView status;
  status.stale = true;
  status.control_error = "no beacon for 3 s";
  front_->PublishStatus(std::make_shared<const NodeStatusView>(status));
  PublishRules();
  response = Get("/ready");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(json::parse(response.body)["stale"], true);
  EXPECT_THAT(response.body, HasSubstr("no beacon for 3 s"));
  status.draining = true;
  front_->PublishStatus(std::make_shared<const NodeStatusView>(status));
  PublishRules();
  EXPECT_EQ(Get("/ready").status, 503);
  EXPECT_EQ(Infer(Body({Rows()[0]})).status, 200);
}

TEST_F(FrontSurface, MetricsAreCompleteAndWellFormed) {
  threshold_ = domain::kFineAll;
  candidate_ = "1.2.0";
  FrontOptions options;
  options.http.workers = 2;
  options.admin = http::ServerOptions{};
  StartWithAll(options);
  emergency_.kill_switch = true;
  PublishRules();
  NodeStatusView status;
  status.current_at_ms = Clock::System().MonotonicMs() - 2000;
  status.pending_batches = 5;
  status.nacks = 1;
  front_->PublishStatus(std::make_shared<const NodeStatusView>(status));
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 500);
  EXPECT_EQ(Infer(std::string("{")).status, 400);
  http::Client second(front_->http_address());
  EXPECT_EQ(second
                .Do("POST", "/v2/models/fraud_detection/versions/1.0.0/infer", {},
                    Body({Rows()[0]}).dump())
                ->status,
            200);
  http::Client admin(front_->admin_address());
  const auto scraped = admin.Do("GET", "/metrics");
  ASSERT_TRUE(scraped.ok());
  EXPECT_THAT(std::string(scraped->Header("content-type")), HasSubstr("text/plain; version=0.0.4"));
  const auto samples = Parse(scraped->body);
  const auto value = [&](const std::string& name) {
    const auto found = samples.find(name);
    EXPECT_NE(found, samples.end()) << name << " is missing";
    return found == samples.end() ? -1 : found->second;
  };
  const std::string canary = R"(model="fraud_detection",model_version="1.2.0",arm="canary")";
  const std::string pinned = R"(model="fraud_detection",model_version="1.0.0",arm="pinned")";
  EXPECT_EQ(value("weir_inference_requests_total{" + canary + "}"), 1);
  EXPECT_EQ(value("weir_inference_errors_total{" + canary + "}"), 1);
  EXPECT_EQ(value("weir_inference_requests_total{" + pinned + "}"), 1);
  EXPECT_EQ(value("weir_inference_errors_total{" + pinned + "}"), 0);
  EXPECT_EQ(value("weir_inference_duration_seconds_count{" + pinned + "}"), 1);
  EXPECT_EQ(value("weir_inference_duration_seconds_bucket{" + pinned + R"(,le="+Inf"})"), 1);
  EXPECT_EQ(value(R"(weir_requests_total{endpoint="infer",status="200"})"), 1);
  EXPECT_EQ(value(R"(weir_requests_total{endpoint="infer",status="400"})"), 1);
  EXPECT_EQ(value(R"(weir_requests_total{endpoint="infer",status="500"})"), 1);
  EXPECT_EQ(value(R"(weir_request_duration_seconds_count{endpoint="infer"})"), 3);
  EXPECT_EQ(value(R"(weir_errors_total{type="bad_request",endpoint="infer"})"), 1);
  EXPECT_EQ(value(R"(weir_errors_total{type="internal",endpoint="infer"})"), 1);
  EXPECT_EQ(value("weir_snapshot_version"), 43);
  EXPECT_EQ(value("weir_kill_switch"), 1);
  EXPECT_EQ(value("weir_telemetry_pending_batches"), 5);
  EXPECT_EQ(value("weir_snapshot_nacks_total"), 1);
  EXPECT_GE(value("weir_snapshot_age_seconds"), 2);
  EXPECT_LT(value("weir_snapshot_age_seconds"), 60);
  EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value("process_open_fds"), 3);
  const double started = value("process_start_time_seconds");
  EXPECT_NEAR(started, static_cast<double>(Clock::System().WallMs()) / 1000, 120);
  EXPECT_THAT(scraped->body, HasSubstr("weir_build_info{version="));
}

TEST_F(FrontSurface, TheAdminAddressServesAllButInference) {
  FrontOptions options;
  options.admin = http::ServerOptions{};
  StartWithAll(options);
  EXPECT_NE(front_->admin_address(), front_->http_address());
  http::Client admin(front_->admin_address());
  EXPECT_EQ(admin.Do("GET", "/ready")->status, 200);
  EXPECT_EQ(admin.Do("GET", "/weir/v1/select?model=fraud_detection")->status, 200);
  EXPECT_EQ(admin.Do("POST", kInfer, {}, Body({Rows()[0]}).dump())->status, 404);
  EXPECT_EQ(admin.Do("GET", "/v2")->status, 404);
}

TEST_F(FrontSurface, APortInUseIsOneClearError) {
  Start();
  FrontOptions options;
  options.http.listen = "127.0.0.1:0";
  options.admin = http::ServerOptions{};
  options.admin->listen = front_->http_address();
  Front second(options);
  const Status status = second.Start();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr(front_->http_address()));
}

}  // namespace
}  // namespace weir::node::front
