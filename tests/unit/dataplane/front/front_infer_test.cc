// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

using testing::HasSubstr;

class FrontInfer : public NodeTest {};

TEST_F(FrontInfer, AnswersWhatTheModelSays) {
  StartWithAll();
  json body = Body(Rows());
  body["id"] = "call \"7\"";
  const auto response = Infer(body, {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-1-01"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const json answer = json::parse(response.body);
  EXPECT_EQ(answer["model_name"], "fraud_detection");
  EXPECT_EQ(answer["model_version"], "1.0.0");
  EXPECT_EQ(answer["id"], "call \"7\"");
  ASSERT_EQ(answer["outputs"].size(), 1U);
  EXPECT_EQ(answer["outputs"][0]["name"], "predict");
  EXPECT_EQ(answer["outputs"][0]["datatype"], "FP32");
  EXPECT_EQ(answer["outputs"][0]["shape"], json::array({4}));
  EXPECT_EQ(answer["outputs"][0]["data"].get<std::vector<float>>(), Direct("1.0.0", Rows()));
  EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(response.Header("x-weir-arm"), "stable");
  EXPECT_EQ(response.Header("x-weir-snapshot"), "3.42");
  EXPECT_EQ(response.Header("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-1-01");
}

TEST_F(FrontInfer, NestedAndFlatDataAreTheSame) {
  StartWithAll();
  json nested = Body(Rows());
  nested["inputs"][0]["data"] = Rows();
  const auto response = Infer(nested);
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["outputs"][0]["data"].get<std::vector<float>>(),
            Direct("1.0.0", Rows()));
}

TEST_F(FrontInfer, WhatDoesNotFitIsTheClientsError) {
  StartWithAll();
  const auto with = [](const char* pointer, const json& value) {
    json body = Body(Rows());
    body[json::json_pointer(pointer)] = value;
    return body;
  };
  json two = Body(Rows());
  two["inputs"].push_back(two["inputs"][0]);
  json unnamed = Body(Rows());
  unnamed["inputs"][0].erase("name");
  const std::pair<json, const char*> cases[] = {
      {with("/inputs/0/shape", {4, 11}), "this model takes [-1,12]"},
      {with("/inputs/0/shape", {48}), "this model takes [-1,12]"},
      {with("/inputs/0/shape", {3, 12}), "more elements than its shape"},
      {with("/inputs/0/shape", {5, 12}), "has 48 elements"},
      {with("/inputs/0/shape", {0, 12}), "positive whole number"},
      {with("/inputs/0/shape", {-1, 12}), "positive whole number"},
      {with("/inputs/0/shape", {4'000'000'000'000'000'000, 12}), "more elements than the body"},
      {with("/inputs/0/datatype", "FP64"), "this model takes FP32"},
      {with("/inputs/0/datatype", "FLOAT"), "unknown or not supported"},
      {with("/inputs/0/name", "feature"), "is no input of this model"},
      {with("/inputs/0/data/7", "seven"), "inputs[0].data[7]: is no FP32"},
      {with("/inputs/0/data/7", 1e300), "inputs[0].data[7]: is no FP32"},
      {with("/inputs/0/data/7", nullptr), "inputs[0].data[7]: is no FP32"},
      {with("/inputs", json::array()), "this model takes 1"},
      {with("/outputs", json::parse(R"([{"name": "nothing"}])")), "is no output of"},
      {with("/parameters", {{"user_id", true}}), "parameters.user_id"},
      {with("/id", 7), "id: is no text"},
      {two, "is given twice"},
      {unnamed, "inputs[0].name: is missing"},
      {json::object(), "inputs: is missing"}};
  for (const auto& [body, reason] : cases) {
    const auto response = Infer(body);
    EXPECT_EQ(response.status, 400) << body.dump();
    EXPECT_THAT(json::parse(response.body)["error"].get<std::string>(), HasSubstr(reason));
  }
  telemetry::Window window = Telemetry();
  const telemetry::Series& stable = window[Key("1.0.0", "stable")];
  EXPECT_EQ(stable.Counter(telemetry::kRequests), 0U);
  EXPECT_EQ(stable.Counter(telemetry::kBad), 0U);
  EXPECT_EQ(stable.Counter(telemetry::kClientErrors), std::size(cases));
}

TEST_F(FrontInfer, GarbageNeverStopsTheNode) {
  StartWithAll();
  const std::string good = Body({Rows()[0]}, "user-1").dump();
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("nul"), std::string("[1]"), std::string("7"),
        good + "x", good + good, std::string(5000, '['), std::string(5000, '{'),
        std::string("\0\0\0", 3), std::string("{\"inputs\":\"\xff\xfe\"}"),
        std::string("{\"inputs\":[{]}")}) {
    EXPECT_EQ(Infer(body).status, 400) << body.substr(0, 40);
  }
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (const char c : {'\0', '"', '{', ']', ',', '9', '-', '\x80'}) {
      std::string mutated = good;
      mutated[at] = c;
      const int status = Infer(mutated).status;
      EXPECT_TRUE(status == 200 || status == 400) << status << " " << mutated;
      refused += status == 400 ? 1 : 0;
    }
    const int cut = Infer(good.substr(0, at)).status;
    EXPECT_EQ(cut, 400) << at;
  }
  EXPECT_GT(refused, 500);
  EXPECT_EQ(Infer(good).status, 200);
}

TEST_F(FrontInfer, AnOversizeBodyIsRefused) {
  FrontOptions options;
  options.http.max_body = 1000;
  StartWithAll(options);
  const auto response = client_->Do("POST", kInfer, {}, std::string(2000, ' '));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(Infer(Body({Rows()[0]})).status, 200);
}

TEST_F(FrontInfer, UnknownModelsVersionsAndPathsAre404) {
  StartWithAll();
  const std::string body = Body(Rows()).dump();
  for (const char* path :
       {"/v2/models/other/infer", "/v2/models/fraud_detection/versions/9/infer",
        "/v2/models/fraud_detection/versions//infer", "/v2/models//infer",
        "/v2/models/fraud_detection/predict", "/v2/models/fraud_detection/infer/more", "/v3"}) {
    EXPECT_EQ(Do("POST", path, {}, body).status, 404) << path;
  }
  EXPECT_EQ(Get(kInfer).status, 405);
}

TEST_F(FrontInfer, ABrokenCandidateFailsInItsOwnArm) {
  threshold_ = domain::kFineAll;
  candidate_ = "1.2.0";
  StartWithAll();
  const auto response = Infer(Body({Rows()[0]}, "user-1"));
  EXPECT_EQ(response.status, 500);
  EXPECT_THAT(json::parse(response.body)["error"].get<std::string>(), HasSubstr("12 vs. 15"));
  EXPECT_EQ(response.Header("x-weir-arm"), "canary");
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-2")).status, 500);
  telemetry::Window window = Telemetry();
  const telemetry::Series& canary = window[Key("1.2.0", "canary")];
  EXPECT_EQ(canary.Counter(telemetry::kRequests), 2U);
  EXPECT_EQ(canary.Counter(telemetry::kBad), 2U);
  EXPECT_EQ(canary.latency.Count(), 2U);
  EXPECT_THAT(canary.bad_keys,
              testing::ElementsAre(telemetry::HashKey("user-1"), telemetry::HashKey("user-2")));
  EXPECT_FALSE(window.contains(Key("1.0.0", "stable")));
  EXPECT_TRUE(Telemetry().empty());
}

// user_123 has bucket 33068 of fraud_detection, user-2 has another: both sides of a split.
TEST_F(FrontInfer, TheKeyDecidesAndTheHeaderWins) {
  threshold_ = 33'069;
  StartWithAll();
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user_123")).Header("x-weir-arm"), "canary");
  std::string stable_user;
  for (int i = 0; stable_user.empty(); ++i) {
    const std::string user = fmt::format("u{}", i);
    if (Infer(Body({Rows()[0]}, user)).Header("x-weir-arm") == "stable") stable_user = user;
  }
  const auto response = Infer(Body({Rows()[0]}, stable_user), {{"X-User-Id", "user_123"}});
  EXPECT_EQ(response.Header("x-weir-arm"), "canary");
  EXPECT_EQ(response.Header("x-weir-version"), "1.1.0");
  EXPECT_EQ(json::parse(response.body)["outputs"][0]["data"].get<std::vector<float>>(),
            Direct("1.1.0", {Rows()[0]}));
}

TEST_F(FrontInfer, ACandidateThatIsNotReadyIsDivertedAndCountsInNeitherArm) {
  threshold_ = domain::kFineAll;
  Start();
  PublishVersions({"1.0.0"});
  PublishRules();
  const auto response = Infer(Body({Rows()[0]}, "user-1"));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(response.Header("x-weir-arm"), "diverted");
  telemetry::Window window = Telemetry();
  ASSERT_EQ(window.size(), 1U);
  EXPECT_EQ(window[Key("1.1.0", "canary")].Counter(telemetry::kDiverted), 1U);
  EXPECT_EQ(window[Key("1.1.0", "canary")].Counter(telemetry::kRequests), 0U);
}

TEST_F(FrontInfer, AVersionInThePathIsPinned) {
  StartWithAll();
  const auto response =
      Do("POST", "/v2/models/fraud_detection/versions/1.1.0/infer", {}, Body({Rows()[0]}).dump());
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("x-weir-arm"), "pinned");
  EXPECT_EQ(response.Header("x-weir-version"), "1.1.0");
  telemetry::Window window = Telemetry();
  ASSERT_EQ(window.size(), 1U);
  EXPECT_EQ(window[Key("1.1.0", "pinned")].Counter(telemetry::kRequests), 1U);
}

TEST_F(FrontInfer, NothingReadyIs503WithTheReason) {
  Start();
  EXPECT_EQ(Infer(Body({Rows()[0]})).status, 503);  // no snapshot
  PublishVersions({});
  PublishRules();
  const auto response = Infer(Body({Rows()[0]}));
  EXPECT_EQ(response.status, 503);
  EXPECT_THAT(response.body, HasSubstr("1.0.0 is FAILED: did not load"));
  EXPECT_TRUE(Telemetry().empty());
}

TEST_F(FrontInfer, SeveralWorkersCountTogether) {
  FrontOptions options;
  options.http.workers = 2;
  StartWithAll(options);
  http::Client second(front_->http_address());
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Infer(Body({Rows()[0]})).status, 200);
    EXPECT_EQ(second.Do("POST", kInfer, {}, Body({Rows()[1]}).dump())->status, 200);
  }
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 20U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].latency.Count(), 20U);
}

}  // namespace
}  // namespace weir::node::front
