// SPDX-License-Identifier: Apache-2.0
// Versions that are services: what they are sent, and what becomes of what they say.
#include <gmock/gmock.h>

#include "tests/unit/dataplane/front/service_node.h"

namespace weir::node::front {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kNoInputs = R"({"inputs":[]})";
constexpr char kPredict[] = "/predict/fraud_detection";

class FrontServices : public ServiceNodeTest {
 protected:
  void Extend(decision::Ruleset& rules) override {
    if (model_.flags.empty()) return;
    domain::FlagEntry on;
    on.name = "new_ui";
    on.enabled = true;
    on.threshold = 0;
    on.seed = "new_ui";
    rules.Set(on);
    domain::FlagEntry variants;
    variants.name = "prompt";
    variants.enabled = true;
    variants.variants = {{"short, please", {"\"s\""}}, {"long", {"\"l\""}}};
    variants.default_variant = "short, please";
    rules.Set(variants);
    domain::SplitEntry split;
    split.rollout = "new-ui";
    split.flag = "new_ui";
    split.threshold = flag_share_;
    split.hash_key = "user_id";
    split.seed = "new_ui";
    rules.Set(split);
  }
  static telemetry::SeriesKey FlagKey(const std::string& arm) {
    return {"split/new_ui", "new-ui", arm};
  }

  TestService service_;
  TestService other_;
  domain::FinePercent flag_share_ = 50'000;
};

TEST_F(FrontServices, TimesToFirstTokensAreOfGoodAnswersThatSayOrStreamThem) {
  OnlyServices("oip", {service_.url()});
  service_.SetBody(R"({"outputs":[],"usage":{"time_to_first_token_ms":0}})");
  StartAll();
  EXPECT_EQ(Infer(kNothing, {{"x-tenant-id", "acme"}}).status, 200);
  service_.SetBody("{}", 500);
  EXPECT_EQ(Infer(kNothing).status, 500);
  telemetry::Window window = Telemetry();
  const telemetry::Series& stable = window[Key("1.0.0", "stable")];
  EXPECT_EQ(stable.Counter(telemetry::kRequests), 2U);
  ASSERT_EQ(stable.ttft.Count(), 1);
  EXPECT_GT(stable.ttft.Quantile(1), 0) << "what passed before the call counts";
  EXPECT_LT(stable.ttft.Quantile(1), stable.latency_digest.Quantile(1));
  EXPECT_EQ((window[{"tenant/acme/fraud_detection", "1.0.0", "stable"}].ttft.Count()), 1);
}

TEST_F(FrontServices, AUrlThatUsersGetErrorsFromIsLeftOutAndMetricsSaySo) {
  OnlyServices("oip", {service_.url()});
  model_.versions[0].urls.push_back(other_.url());
  service_.SetBody(R"({"outputs":[]})");
  other_.SetBody("{}", 500);
  StartAll();
  const auto state_of = [](const TestService& service) {
    return "weir_upstream_state{model=\"fraud_detection\",model_version=\"1.0.0\",upstream=\"" +
           service.url() + "\"} ";
  };
  EXPECT_THAT(Get("/metrics").body, HasSubstr(state_of(other_) + "0\n"));
  for (int i = 0; i < 40; ++i) Infer(kNothing, {{"X-User-Id", "one"}});
  EXPECT_EQ(other_.asked().size(), 20U) << "no user does that alone";
  for (int i = 0; i < 40; ++i) Infer(kNothing, {{"X-User-Id", "user-" + std::to_string(i)}});
  EXPECT_LE(other_.asked().size(), 25U);
  const std::string metrics = Get("/metrics").body;
  EXPECT_THAT(metrics, HasSubstr(state_of(other_) + "1\n"));
  EXPECT_THAT(metrics, HasSubstr(state_of(service_) + "0\n"));
}

TEST_F(FrontServices, OipPassesTheBodyOnAndTheAnswerBackAsItIs) {
  OnlyServices("oip", {service_.url()});
  service_.SetBody(
      R"({"model_name":"x","model_version":"9","outputs":[{"name":"p","shape":[1],"datatype":)"
      R"("BYTES","data":["ha\"llo", 1.10, 18446744073709551615]}],"parameters":{"a":1.50}})");
  StartAll();
  const std::string body =
      R"({"id":"r-7","parameters":{"user_id":"u1"},"outputs":[{"name":"p"}],"inputs":[)"
      R"({"name":"text","shape":[1],"datatype":"BYTES","data":["hi"]}]})";
  const auto response = Infer(body, {{"traceparent", "00-1-2-01"}});
  ASSERT_EQ(response.status, 200) << response.body;
  // Numbers are written as the service wrote them.
  EXPECT_EQ(response.body,
            R"({"model_name":"fraud_detection","model_version":"1.0.0","id":"r-7","outputs":)"
            R"([{"name":"p","shape":[1],"datatype":"BYTES","data":["ha\"llo", 1.10, )"
            R"(18446744073709551615]}],"parameters":{"a":1.50}})");
  EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(response.Header("x-weir-arm"), "stable");
  EXPECT_EQ(response.Header("x-weir-decision"), "");  // nothing rolls out
  const auto asked = service_.asked();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].body, body);
  EXPECT_EQ(asked[0].target, "/v2/models/fraud_detection/infer");
  EXPECT_EQ(asked[0].Header("x-user-id"), "u1");
  EXPECT_EQ(asked[0].Header("x-request-id"), "r-7");
  EXPECT_EQ(asked[0].Header("traceparent"), "00-1-2-01");
  EXPECT_EQ(Telemetry()[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 1U);
}

TEST_F(FrontServices, ABodyThatIsNoRequestNeverReachesThem) {
  OnlyServices("oip", {service_.url()});
  StartAll();
  const std::pair<const char*, const char*> cases[] = {
      {"", "body"},
      {"[]", "body: is no JSON object"},
      {"{}", "inputs: is missing"},
      {R"({"inputs":{}})", "inputs: is no list"},
      {R"({"inputs":[],"inputs":[]})", "inputs: is given twice"},
      {R"({"inputs":[],"id":7})", "id: is no text"},
      {R"({"inputs":[],"parameters":[]})", "parameters: is no object"},
      {R"({"inputs":[],"parameters":{"user_id":1.5}})", "parameters.user_id"},
      {R"({"inputs":[{]})", "body"},
      {R"({"inputs":[1.2.3]})", "body"}};
  for (const auto& [body, why] : cases) {
    const auto response = Infer(std::string(body));
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_THAT(response.body, HasSubstr(why)) << body;
  }
  EXPECT_TRUE(service_.asked().empty());
  EXPECT_EQ(Telemetry()[Key("1.0.0", "stable")].Counter(telemetry::kClientErrors),
            std::size(cases));
}

TEST_F(FrontServices, WhatTheServiceSaysIsWhatCounts) {
  OnlyServices("oip", {service_.url()});
  StartAll();
  service_.SetBody(R"({"error":"text: too long"})", 422);
  const auto refused = Infer(kNoInputs);
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("text: too long"));
  service_.SetBody("{}", 429);
  const auto shed = Infer(kNoInputs);
  EXPECT_EQ(shed.status, 429);
  EXPECT_EQ(shed.Header("Retry-After"), "1");
  EXPECT_EQ(shed.Header("retry-after-ms"), "1000");
  service_.SetBody("{}", 500);
  EXPECT_EQ(Infer(kNoInputs).status, 500);
  service_.SetBody("no JSON");
  EXPECT_EQ(Infer(kNoInputs).status, 500);
  telemetry::Window window = Telemetry();
  const telemetry::Series& stable = window[Key("1.0.0", "stable")];
  EXPECT_EQ(stable.Counter(telemetry::kClientErrors), 1U);
  EXPECT_EQ(stable.Counter(telemetry::kShed), 1U);
  EXPECT_EQ(stable.Counter(telemetry::kRequests), 2U);
  EXPECT_EQ(stable.Counter(telemetry::kBad), 2U);
}

TEST_F(FrontServices, WhereInputsAreDeclaredARefusalIsTheVersionsError) {
  AddService("2.0.0", "oip", service_.url());
  service_.SetBody(R"({"error":"cannot"})", 400);
  StartAll();
  const auto response =
      Do("POST", "/v2/models/fraud_detection/versions/2.0.0/infer", {}, Body({Rows()[0]}).dump());
  EXPECT_EQ(response.status, 500) << response.body;
  // Which outputs there are, only the service knows.
  json named = Body({Rows()[0]});
  named["outputs"] = json::array({{{"name", "no such"}}});
  const auto unknown =
      Do("POST", "/v2/models/fraud_detection/versions/2.0.0/infer", {}, named.dump());
  EXPECT_EQ(unknown.status, 400) << unknown.body;
  telemetry::Window window = Telemetry();
  const telemetry::Series& pinned = window[Key("2.0.0", "pinned")];
  EXPECT_EQ(pinned.Counter(telemetry::kBad), 1U);
  EXPECT_EQ(pinned.Counter(telemetry::kClientErrors), 1U);
}

TEST_F(FrontServices, AServiceMayBeTheCanaryOfAFile) {
  AddService("2.0.0", "oip", service_.url());
  candidate_ = "2.0.0";
  threshold_ = domain::kFineAll;
  service_.SetBody(Oip("[0.25]"));
  StartAll();
  const std::string body = Body({Rows()[0]}, "user-1").dump();
  const auto response = Infer(body);
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.Header("x-weir-arm"), "canary");
  EXPECT_EQ(json::parse(response.body)["outputs"][0]["data"], json::array({0.25}));
  // What was checked goes there, and nothing else of the body.
  const json asked = json::parse(service_.asked().at(0).body);
  EXPECT_EQ(asked.at("inputs").at(0).at("name"), json::parse(body)["inputs"][0]["name"]);
  EXPECT_FALSE(asked.contains("parameters"));
  // What does not fit the declared inputs is still refused before it is asked.
  EXPECT_EQ(Infer(kNoInputs).status, 400);
  EXPECT_EQ(service_.asked().size(), 1U);
}

TEST_F(FrontServices, PredictTakesAnyJsonAndSplitsByItsKeys) {
  OnlyServices("predict", {service_.url(), other_.url()});
  threshold_ = 33'069;  // user_123 has bucket 33068
  service_.SetBody(R"({"score": 1.0})");
  other_.SetBody(R"({"score": 2.0})");
  StartAll();
  const std::string body = R"({"user_id":"user_123","features":[1,2]})";
  const auto canary = Do("POST", kPredict, {}, body);
  ASSERT_EQ(canary.status, 200) << canary.body;
  EXPECT_EQ(canary.body, R"({"score": 2.0})");
  EXPECT_EQ(canary.Header("x-weir-version"), "2.0.0");
  EXPECT_EQ(canary.Header("x-weir-arm"), "canary");
  EXPECT_NE(canary.Header("x-weir-decision"), "");
  EXPECT_EQ(other_.asked().at(0).body, body);
  EXPECT_EQ(other_.asked().at(0).target, "/predict/fraud_detection");
  // The header wins.
  EXPECT_EQ(Do("POST", kPredict, {{"x-user-id", "user-2000"}}, body).Header("x-weir-arm"),
            Do("POST", kPredict, {}, R"({"user_id":"user-2000"})").Header("x-weir-arm"));
  EXPECT_EQ(Do("POST", std::string(kPredict) + "?user_id=user_123", {}, "[1]").Header("x-weir-arm"),
            "canary");
  for (const char* any : {"[1,2]", "7", "\"text\"", "null", R"({"user_id": {"not": "a key"}})"}) {
    EXPECT_EQ(Do("POST", kPredict, {}, any).status, 200) << any;
  }
  for (const char* none : {"", "{", "1 2", "nul"}) {
    EXPECT_EQ(Do("POST", kPredict, {}, none).status, 400) << none;
  }
  EXPECT_EQ(Do("GET", kPredict).status, 405);
  EXPECT_EQ(Do("POST", "/predict/other", {}, "{}").status, 404);
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("weir_requests_total{endpoint=\"predict\",status=\"200\"}"));
}

TEST_F(FrontServices, EachProtocolNamesTheOther) {
  OnlyServices("predict", {service_.url()});
  StartAll();
  const auto infer = Infer(kNoInputs);
  EXPECT_EQ(infer.status, 400);
  EXPECT_THAT(infer.body, HasSubstr("POST /predict/fraud_detection"));
  EXPECT_TRUE(service_.asked().empty());
}

TEST_F(FrontServices, PredictIsNotForFiles) {
  StartAll();
  const auto response = Do("POST", kPredict, {}, "{}");
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("POST /v2/models/fraud_detection/infer"));
}

TEST_F(FrontServices, ABlockedVersionAnswersNobodyWhoeverAsks) {
  model_.versions[1].blocked = "rolled back in an emergency by ann: it leaks";
  threshold_ = domain::kFineAll;
  StartAll();
  const auto split = Infer(Body({Rows()[0]}, "user-1"));
  EXPECT_EQ(split.status, 200);
  EXPECT_EQ(split.Header("x-weir-version"), "1.0.0");
  const auto asked =
      Do("POST", "/v2/models/fraud_detection/versions/1.1.0/infer", {}, Body({Rows()[0]}).dump());
  EXPECT_EQ(asked.status, 503);
  EXPECT_THAT(asked.body, HasSubstr("1.1.0 is blocked: rolled back in an emergency by ann"));
  model_.versions[0].blocked = "everything is wrong";
  PublishRules();
  const auto stable = Infer(Body({Rows()[0]}, "user-1"));
  EXPECT_EQ(stable.status, 503);
  EXPECT_THAT(stable.body, HasSubstr("everything is wrong"));
}

TEST_F(FrontServices, TheModelsFlagsGoToTheServiceAndTheClientAndAreJudged) {
  OnlyServices("oip", {service_.url()});
  model_.flags = {"new_ui", "prompt"};
  service_.SetBody(Oip("[1]"));
  StartAll();
  int on = 0;
  for (int i = 0; i < 40; ++i) {
    const auto response = Infer(kNoInputs, {{"x-user-id", "user-" + std::to_string(i)}});
    const std::string flags(response.Header("x-weir-flags"));
    EXPECT_EQ(service_.asked().back().Header("x-weir-flags"), flags);
    const bool is_on = flags.starts_with("new_ui=on,");
    on += is_on ? 1 : 0;
    EXPECT_EQ(flags, std::string(is_on ? "new_ui=on" : "new_ui=off") + ",prompt=short%2C%20please");
  }
  EXPECT_GT(on, 5);
  EXPECT_LT(on, 35);
  service_.SetBody("{}", 500);
  Infer(kNoInputs, {{"x-user-id", "user-0"}});
  telemetry::Window window = Telemetry();
  const auto& canary = window[FlagKey("canary")];
  const auto& stable = window[FlagKey("stable")];
  EXPECT_EQ(canary.Counter(telemetry::kRequests) + stable.Counter(telemetry::kRequests), 41U);
  EXPECT_NEAR(static_cast<double>(canary.Counter(telemetry::kRequests)), on, 1);
  EXPECT_EQ(canary.Counter(telemetry::kBad) + stable.Counter(telemetry::kBad), 1U);
  // They are decisions that somebody acts on.
  EXPECT_EQ(window[telemetry::SeriesKey("flag/prompt", "42", "short, please")].Counter(
                telemetry::kRequests),
            41U);
  // A request without a key is in neither arm, nor is one whose client chose the version.
  Infer(kNoInputs);
  Do("POST", "/v2/models/fraud_detection/versions/1.0.0/infer", {{"x-user-id", "user-0"}},
     kNoInputs);
  window = Telemetry();
  EXPECT_EQ(window.count(FlagKey("canary")) + window.count(FlagKey("stable")), 0U);
}

}  // namespace
}  // namespace weir::node::front
