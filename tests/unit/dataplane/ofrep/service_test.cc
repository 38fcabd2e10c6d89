// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/dataplane/ofrep/service_fixture.h"

namespace weir::node::ofrep {
namespace {

using testing::HasSubstr;
using testing::Not;

using OfrepService = ServiceTest;

TEST_F(OfrepService, ARolloutFlagAnswersTrueOrFalse) {
  Start();
  Publish([](auto& rules) { rules.Set(Rollout("ttft_pipeline", 32'000)); });
  // Buckets of DECISIONS: request-123 is 31573, request-456 is 38521.
  const json on = json::parse(One("ttft_pipeline", For("request-123")).body);
  EXPECT_EQ(on["value"], true);
  EXPECT_EQ(on["variant"], "on");
  EXPECT_EQ(on["reason"], "SPLIT");
  EXPECT_EQ(json::parse(One("ttft_pipeline", For("request-456")).body)["value"], false);
  Publish([](auto& rules) { rules.emergency.kill_switch = true; });
  const http::ClientResponse off = One("ttft_pipeline", For("request-123"));
  EXPECT_EQ(off.status, 200);
  EXPECT_EQ(off.Header("Content-Type"), "application/json");
  EXPECT_EQ(json::parse(off.body)["value"], false);
  EXPECT_EQ(json::parse(off.body)["reason"], "DISABLED");
  EXPECT_EQ(json::parse(off.body)["metadata"]["weirReason"], "KILL_SWITCH");
  EXPECT_EQ(json::parse(One("ttft_pipeline").body)["value"], false) << "without a key, too";
}

// An operator forced something on a node that has yet to hear from its control plane.
TEST_F(OfrepService, RulesOfNoSnapshotAreNoEmptyCatalog) {
  Start();
  auto rules = std::make_shared<decision::Ruleset>();
  decision::Overrides overrides;
  overrides.flags["f"] = "on";
  rules->overrides = std::make_shared<const decision::Overrides>(overrides);
  OnWorker([&] { service_->SetRules(rules); });
  for (const http::ClientResponse& answer : {All(), One("f"), One("g")}) {
    EXPECT_EQ(answer.status, 503) << answer.body;
    EXPECT_EQ(answer.Header("ETag"), "");
    EXPECT_EQ(json::parse(answer.body)["errorCode"], "PROVIDER_NOT_READY");
  }
  EXPECT_EQ(Do("GET", "/ofrep/v1/stream").status, 503);
  auto killed = std::make_shared<decision::Ruleset>(*rules);
  killed->emergency.kill_switch = true;
  OnWorker([&] { service_->SetRules(killed); });
  const http::ClientResponse one = One("f");
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(json::parse(one.body)["value"], false);
  EXPECT_EQ(json::parse(one.body)["metadata"]["weirReason"], "KILL_SWITCH");
  EXPECT_EQ(All().status, 503) << "an empty list would take every flag from the client";
}

TEST_F(OfrepService, ABulkOfSlowRulesEndsAndTheOthersAnswer) {
  Start();
  Publish([](auto& rules) {
    for (const char* name : {"a", "b", "c"}) {
      rules.Set(Variants(name, {{"one", "1"}}, R"({"if": [true, "one"]})"));
    }
    rules.Set(Rollout("d", domain::kFineAll));
  });
  EXPECT_THAT(All(For("u")).body, Not(HasSubstr("errorCode")));
  OnWorker([&] { clock_.TickMs(300); });
  const http::ClientResponse answer = All(For("u"));
  EXPECT_EQ(answer.status, 200);
  const json flags = json::parse(answer.body)["flags"];
  ASSERT_EQ(flags.size(), 4u);
  EXPECT_EQ(flags[0]["value"], 1);
  EXPECT_EQ(flags[2]["errorCode"], "GENERAL");
  EXPECT_EQ(flags[2]["errorDetails"], "the evaluation took too long");
  EXPECT_EQ(flags[3]["value"], true) << "a flag without a rule costs next to nothing";
}

TEST_F(OfrepService, AKeyIsNeededOnlyForBucketing) {
  Start();
  Publish([](auto& rules) {
    rules.Set(Rollout("all", 100'000));
    rules.Set(Rollout("some", 10'000));
  });
  for (const char* body :
       {"", "{}", R"({"context": {}})", R"({"context": {"targetingKey": ""}})"}) {
    EXPECT_EQ(json::parse(One("all", body).body)["value"], true) << body;
    const http::ClientResponse some = One("some", body);
    EXPECT_EQ(some.status, 400) << body;
    EXPECT_EQ(json::parse(some.body)["key"], "some");
    EXPECT_EQ(json::parse(some.body)["errorCode"], "TARGETING_KEY_MISSING") << body;
  }
}

TEST_F(OfrepService, VariantFlagsAnswerByContext) {
  Start();
  Publish([](auto& rules) {
    rules.Set(Variants("colour", {{"blue", R"("#00f")"}, {"red", R"("#f00")"}},
                       R"({"if": [{"==": [{"var": "country"}, "AT"]}, "red", null]})"));
    rules.Set(Variants("limits", {{"small", R"({"rps": 10, "burst": [1, 2]})"}}));
    domain::FlagEntry disabled = Variants("gone", {{"a", "1"}});
    disabled.enabled = false;
    rules.Set(disabled);
  });
  const json red = json::parse(One("colour", R"({"context": {"country": "AT"}})").body);
  EXPECT_EQ(red["value"], "#f00");
  EXPECT_EQ(red["variant"], "red");
  EXPECT_EQ(red["reason"], "TARGETING_MATCH");
  const json blue = json::parse(One("colour", R"({"context": {"country": "DE"}})").body);
  EXPECT_EQ(blue["value"], "#00f");
  EXPECT_EQ(blue["reason"], "DEFAULT");
  EXPECT_EQ(json::parse(One("limits").body)["value"]["burst"], json({1, 2}));
  const http::ClientResponse gone = One("gone");
  EXPECT_EQ(gone.status, 200);
  EXPECT_FALSE(json::parse(gone.body).contains("value"));
}

TEST_F(OfrepService, KeysAreDecoded) {
  Start();
  Publish([](auto& rules) {
    rules.Set(Rollout("a.b", 100'000));
    rules.Set(Rollout("team/\xC3\xBC ber", 100'000));
  });
  EXPECT_EQ(json::parse(One("a%2Eb").body)["key"], "a.b");
  EXPECT_EQ(json::parse(One("team%2F%c3%bc%20ber").body)["value"], true);
  EXPECT_EQ(json::parse(One("team/%C3%BC%20ber").body)["value"], true);
  const http::ClientResponse unknown = One("no%22%ff");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(json::parse(unknown.body)["key"], "no\"\xEF\xBF\xBD");
  EXPECT_EQ(json::parse(unknown.body)["errorCode"], "FLAG_NOT_FOUND");
}

TEST_F(OfrepService, BadRequestsSayWhatIsWrong) {
  Start();
  Publish([](auto& rules) { rules.Set(Rollout("f", 10'000)); });
  const http::ClientResponse malformed = One("f", "{");
  EXPECT_EQ(malformed.status, 400);
  EXPECT_EQ(json::parse(malformed.body)["key"], "f");
  EXPECT_EQ(json::parse(malformed.body)["errorCode"], "PARSE_ERROR");
  EXPECT_EQ(json::parse(One("f", R"({"context": 1})").body)["errorCode"], "INVALID_CONTEXT");
  const http::ClientResponse all = All(R"({"context": 1})");
  EXPECT_EQ(all.status, 400);
  EXPECT_FALSE(json::parse(all.body).contains("key"));
  EXPECT_EQ(json::parse(all.body)["errorCode"], "INVALID_CONTEXT");
}

TEST_F(OfrepService, OtherMethodsAndPathsAreRefused) {
  Start();
  Publish();
  for (const char* target : {"/ofrep/v1/evaluate/flags/f", "/ofrep/v1/evaluate/flags"}) {
    const http::ClientResponse get = Do("GET", target);
    EXPECT_EQ(get.status, 405) << target;
    EXPECT_EQ(get.Header("Allow"), "POST") << target;
  }
  const http::ClientResponse post = Do("POST", "/ofrep/v1/stream");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(post.Header("Allow"), "GET");
  for (const char* target :
       {"/ofrep/v1/evaluate", "/ofrep/v1/evaluate/flags/", "/ofrep/v2/x", "/ofrep/"}) {
    EXPECT_EQ(Do("POST", target).status, 404) << target;
  }
}

TEST_F(OfrepService, BeforeTheFirstSnapshotItIsNotReady) {
  Start();
  const http::ClientResponse one = One("f");
  EXPECT_EQ(one.status, 503);
  EXPECT_EQ(json::parse(one.body)["errorCode"], "PROVIDER_NOT_READY");
  EXPECT_EQ(one.Header("Retry-After"), "5");
  EXPECT_EQ(All().status, 503);
  EXPECT_EQ(Do("GET", "/ofrep/v1/stream").status, 503);
}

TEST_F(OfrepService, AllFlagsInOrderWithErrorsAmongThem) {
  Start();
  EXPECT_EQ(rules_->flags().size(), 0u);
  Publish();
  EXPECT_EQ(json::parse(All().body)["flags"], json::array());
  Publish([](auto& rules) {
    rules.Set(Rollout("zeta", 100'000));
    rules.Set(Rollout("alpha", 10'000));
    rules.Set(Variants("mid", {{"a", "7"}}));
  });
  const http::ClientResponse response = All();
  EXPECT_EQ(response.status, 200);
  const json flags = json::parse(response.body)["flags"];
  ASSERT_EQ(flags.size(), 3u);
  EXPECT_EQ(flags[0]["key"], "alpha");
  EXPECT_EQ(flags[0]["errorCode"], "TARGETING_KEY_MISSING");
  EXPECT_EQ(flags[1]["value"], 7);
  EXPECT_EQ(flags[2]["value"], true);
  EXPECT_TRUE(json::parse(All(For("user-1")).body)["flags"][0].contains("value"));
}

TEST_F(OfrepService, AnUnchangedAnswerIsNotSentAgain) {
  Start();
  Publish([](auto& rules) { rules.Set(Rollout("f", 50'000)); });
  const http::ClientResponse first = All(For("user-1"));
  const std::string etag(first.Header("ETag"));
  ASSERT_EQ(etag.size(), 34u);
  const http::ClientResponse again = All(For("user-1"), {{"If-None-Match", "W/" + etag}});
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(again.Header("ETag"), etag);
  Publish([](auto& rules) { rules.Set(Rollout("f", 0)); });
  const http::ClientResponse changed = All(For("user-1"), {{"If-None-Match", etag}});
  EXPECT_EQ(changed.status, 200);
  EXPECT_NE(changed.Header("ETag"), etag);
  EXPECT_EQ(All(For("user-1"), {{"If-None-Match", "*"}}).status, 304);
}

TEST_F(OfrepService, AllFlagsSayWhereChangesAreTold) {
  Start();
  Publish();
  const auto streams = [&](const std::vector<http::Header>& headers = {}) {
    return json::parse(All("", headers).body)["eventStreams"];
  };
  EXPECT_EQ(streams(), json::array({{{"type", "sse"},
                                     {"url", "http://" + server_.address() + "/ofrep/v1/stream"},
                                     {"inactivityDelaySec", 120}}}));
  EXPECT_THAT(streams({{"X-Forwarded-Proto", "https"}})[0]["url"], HasSubstr("https://127.0.0.1"));
}

TEST_F(OfrepService, OnlyConfiguredPagesMayCall) {
  OfrepOptions options;
  options.cors_origins = {"https://shop.example", "https://admin.example/"};
  Start(options);
  Publish();
  const auto call = [&](const std::string& method, const std::string& origin) {
    std::vector<http::Header> headers{{"Access-Control-Request-Method", "POST"}};
    if (!origin.empty()) headers.push_back({"Origin", origin});
    return Do(method, "/ofrep/v1/evaluate/flags", headers);
  };
  for (const char* origin : {"https://shop.example", "https://admin.example"}) {
    const http::ClientResponse preflight = call("OPTIONS", origin);
    EXPECT_EQ(preflight.status, 204);
    EXPECT_EQ(preflight.Header("Access-Control-Allow-Origin"), origin);
    EXPECT_EQ(preflight.Header("Access-Control-Allow-Methods"), "POST, OPTIONS");
    for (const char* name : {"Authorization", "X-API-Key", "If-None-Match", "Content-Type"}) {
      EXPECT_THAT(std::string(preflight.Header("Access-Control-Allow-Headers")), HasSubstr(name));
    }
    const http::ClientResponse answer = call("POST", origin);
    EXPECT_EQ(answer.Header("Access-Control-Allow-Origin"), origin);
    EXPECT_THAT(std::string(answer.Header("Access-Control-Expose-Headers")), HasSubstr("ETag"));
    EXPECT_EQ(answer.Header("Vary"), "Origin");
  }
  for (const char* origin : {"https://shop.example.evil", "null", ""}) {
    EXPECT_EQ(call("OPTIONS", origin).Header("Access-Control-Allow-Origin"), "") << origin;
    const http::ClientResponse answer = call("POST", origin);
    EXPECT_EQ(answer.status, 200) << "the browser keeps it from the page";
    EXPECT_EQ(answer.Header("Access-Control-Allow-Origin"), "") << origin;
    EXPECT_EQ(answer.Header("Vary"), "Origin");
  }
}

TEST_F(OfrepService, AnyPageMayCallOrNone) {
  Start();
  Publish();
  const std::vector<http::Header> origin{{"Origin", "https://x.example"}};
  EXPECT_EQ(Do("OPTIONS", "/ofrep/v1/evaluate/flags", origin).status, 405);
  EXPECT_EQ(All("", origin).Header("Access-Control-Allow-Origin"), "");
  OnWorker([&] {
    OfrepOptions options;
    options.cors_origins = {"*"};
    service_ = std::make_unique<Service>(options, clock_, desk_, *budget_, Streams::Later());
    service_->SetRules(rules_);
  });
  EXPECT_EQ(All("", origin).Header("Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(Do("OPTIONS", "/ofrep/v1/evaluate/flags", origin).status, 204);
}

TEST_F(OfrepService, TokensAreAskedFor) {
  OfrepOptions options;
  options.tokens = {"first-token", "second-token"};
  options.cors_origins = {"*"};
  Start(options);
  Publish([](auto& rules) { rules.Set(Rollout("f", 100'000)); });
  const auto status = [&](std::vector<http::Header> headers) { return All("", headers).status; };
  EXPECT_EQ(status({{"Authorization", "Bearer first-token"}}), 200);
  EXPECT_EQ(status({{"Authorization", "bearer  second-token"}}), 200);
  EXPECT_EQ(status({{"X-API-Key", "second-token"}}), 200);
  for (const char* wrong :
       {"", "Bearer", "Bearer ", "Bearer first-toke", "Bearer first-token2", "Basic first-token"}) {
    EXPECT_EQ(status({{"Authorization", wrong}}), 401) << wrong;
  }
  EXPECT_EQ(status({{"X-API-Key", "third"}}), 401);
  const http::ClientResponse none = All("", {{"Origin", "https://x.example"}});
  EXPECT_EQ(none.status, 401);
  EXPECT_THAT(std::string(none.Header("WWW-Authenticate")), HasSubstr("Bearer"));
  EXPECT_EQ(none.Header("Access-Control-Allow-Origin"), "*") << "pages see why";
  EXPECT_EQ(One("f").status, 401);
  EXPECT_EQ(Do("GET", "/ofrep/v1/stream").status, 401);
  EXPECT_EQ(Do("OPTIONS", "/ofrep/v1/evaluate/flags", {{"Origin", "x"}}).status, 204)
      << "browsers ask without a token";
}

TEST_F(OfrepService, DecisionsAreCounted) {
  Start();
  Publish([](auto& rules) { rules.Set(Rollout("f", 100'000)); });
  One("f", For("user-1"));
  All(For("user-1"));
  One("unknown");
  telemetry::Window window;
  OnWorker([&] { desk_.TakeInto(window); });
  ASSERT_EQ(window.size(), 1u);
  const auto& [key, series] = *window.begin();
  EXPECT_EQ(key.subject, "flag/f");
  EXPECT_EQ(key.arm, telemetry::kArmOn);
  EXPECT_EQ(series.counters.at(telemetry::kRequests), 2u);
}

}  // namespace
}  // namespace weir::node::ofrep
