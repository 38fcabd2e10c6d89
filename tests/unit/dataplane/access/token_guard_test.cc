// SPDX-License-Identifier: Apache-2.0
// Tokens of the snapshot, and the surfaces of a node that ask for them.
#include "dataplane/access/token_guard.h"

#include <gmock/gmock.h>

#include "shared/wire/digest.h"
#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

using access::Scope;
using testing::HasSubstr;

class Tokens : public NodeTest {
 protected:
  void Add(const std::string& name, std::vector<std::string> scopes, int64_t expires_ms = 0) {
    tokens_.push_back({name, wire::Sha256Hex("secret-of-" + name), std::move(scopes), expires_ms});
  }
  void Extend(decision::Ruleset& rules) override {
    for (const domain::TokenEntry& token : tokens_) rules.Set(token);
  }
  void StartRequiring(const std::vector<std::string>& surfaces,
                      std::vector<std::string> ofrep_tokens = {}) {
    FrontOptions options;
    options.require_token = *access::ParseRequired(surfaces);
    options.ofrep.tokens = std::move(ofrep_tokens);
    StartWithAll(std::move(options));
  }
  http::ClientResponse As(const std::string& token, const std::string& method,
                          const std::string& target, const std::string& body = "") {
    return Do(method, target, {{"Authorization", "Bearer " + token}}, body);
  }
  int InferAs(const std::string& token) {
    return As(token, "POST", kInfer, Body({std::vector<float>(12, 0.5F)}, "u").dump()).status;
  }

  static constexpr char kFlag[] = "/ofrep/v1/evaluate/flags/ttft_pipeline";
  static constexpr char kContext[] = R"({"context": {"targetingKey": "user-2"}})";
  std::vector<domain::TokenEntry> tokens_;
};

TEST_F(Tokens, ASurfaceOpensForItsScopeOnly) {
  Add("shop", {"ofrep"});
  Add("model", {"inference"});
  Add("ops", {"node-admin"});
  StartRequiring({"ofrep", "inference", "admin"});
  const struct {
    const char* scope;
    const char* owner;
    const char* method;
    std::string target;
    std::string body;
  } surfaces[] = {
      {"ofrep", "shop", "POST", kFlag, kContext},
      {"inference", "model", "POST", kInfer, Body({std::vector<float>(12, 0.5F)}, "u").dump()},
      {"inference", "model", "GET", "/v2/models/fraud_detection", ""},
      {"inference", "model", "GET", "/weir/v1/select?model=fraud_detection&user_id=u", ""},
      {"node-admin", "ops", "POST", "/weir/v1/explain", R"({"key": "u"})"},
      {"node-admin", "ops", "GET", "/metrics", ""},
  };
  for (const auto& surface : surfaces) {
    const std::string what = std::string(surface.method) + " " + surface.target;
    const auto without = Do(surface.method, surface.target, {}, surface.body);
    EXPECT_EQ(without.status, 401) << what;
    EXPECT_NE(without.Header("WWW-Authenticate"), "") << what;
    EXPECT_EQ(As("wrong", surface.method, surface.target, surface.body).status, 401) << what;
    for (const char* owner : {"shop", "model", "ops"}) {
      const auto answer =
          As(std::string("secret-of-") + owner, surface.method, surface.target, surface.body);
      if (std::string(owner) == surface.owner) {
        EXPECT_EQ(answer.status, 200) << what << ": " << answer.body;
        continue;
      }
      EXPECT_EQ(answer.status, 403) << what << ": " << answer.body;
      EXPECT_THAT(answer.body, HasSubstr(std::string("this needs the scope ") + surface.scope));
    }
  }
  for (const char* open : {"/health", "/ready", "/v2/health/live", "/v2/health/ready"}) {
    EXPECT_EQ(Get(open).status, 200) << open;
  }
  const auto key = Do("POST", kFlag, {{"X-API-Key", "secret-of-shop"}}, kContext);
  EXPECT_EQ(key.status, 200);
  const std::string metrics = As("secret-of-ops", "GET", "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("weir_auth_refusals_total{scope=\"inference\"} 12\n"));
}

TEST_F(Tokens, ARevokedOneIsRefusedFromTheNextSnapshotOn) {
  Add("a", {"inference"});
  Add("b", {"inference"});
  StartRequiring({"inference"});
  EXPECT_EQ(InferAs("secret-of-a"), 200);
  EXPECT_EQ(InferAs("secret-of-a"), 200);  // remembered
  tokens_.erase(tokens_.begin());
  PublishRules();
  EXPECT_EQ(InferAs("secret-of-a"), 401);
  EXPECT_EQ(InferAs("secret-of-b"), 200);
}

TEST_F(Tokens, AnExpiredOneIsRefusedWhileItStillStands) {
  const int64_t now_ms = Clock::System().WallMs();
  Add("old", {"inference"}, now_ms - 1);
  Add("good", {"inference"}, now_ms + 3'600'000);
  StartRequiring({"inference"});
  EXPECT_EQ(InferAs("secret-of-old"), 401);
  EXPECT_EQ(InferAs("secret-of-good"), 200);
}

TEST_F(Tokens, SurfacesThatAreNotListedAskForNone) {
  StartRequiring({"inference"});
  EXPECT_EQ(Do("POST", kFlag, {}, kContext).status, 200);
  EXPECT_EQ(Get("/metrics").status, 200);
  EXPECT_EQ(InferAs("x"), 401);
}

TEST_F(Tokens, OfrepTokensOfTheNodeStayGood) {
  Add("shop", {"ofrep"});
  StartRequiring({"ofrep"}, {"static-token"});
  EXPECT_EQ(As("static-token", "POST", kFlag, kContext).status, 200);
  EXPECT_EQ(As("secret-of-shop", "POST", kFlag, kContext).status, 200);
  EXPECT_EQ(As("wrong", "POST", kFlag, kContext).status, 401);
}

TEST_F(Tokens, TheStreamOpensByAKeyThatOpensNothingElse) {
  Add("shop", {"ofrep"});
  StartRequiring({"ofrep"});
  const auto all = As("secret-of-shop", "POST", "/ofrep/v1/evaluate/flags", kContext);
  ASSERT_EQ(all.status, 200) << all.body;
  const std::string url = json::parse(all.body)["eventStreams"][0]["url"];
  const size_t at = url.find("?access=");
  ASSERT_NE(at, std::string::npos) << url;
  const std::string key = url.substr(at + 8);
  EXPECT_EQ(url.find("secret-of-shop"), std::string::npos);
  EXPECT_EQ(url.find(tokens_[0].hash), std::string::npos);
  EXPECT_EQ(As(key, "POST", kFlag, kContext).status, 401);
  EXPECT_EQ(Get("/ofrep/v1/stream?access=0" + key.substr(1)).status, 401);
  http::ClientOptions options;
  options.timeout_ms = 20'000;
  http::Client stream(front_->http_address(), options);
  bool is_open = false;
  const Status status = stream.Stream("/ofrep/v1/stream?access=" + key, {}, [&](std::string_view) {
    is_open = true;
    return false;
  });
  EXPECT_TRUE(status.ok() && is_open) << status.ToString();
}

TEST_F(Tokens, WithoutASnapshotNobodyIsKnown) {
  FrontOptions options;
  options.require_token = *access::ParseRequired({"inference"});
  Start(std::move(options));
  EXPECT_EQ(InferAs("secret-of-a"), 503);
}

TEST(RequiredTokens, AreNamedBySurface) {
  EXPECT_EQ(*access::ParseRequired({}), 0u);
  EXPECT_EQ(*access::ParseRequired({"ofrep", "admin"}), 5u);
  EXPECT_THAT(access::ParseRequired({"inferrence"}).status().ToString(),
              HasSubstr("did you mean \"inference\"?"));
}

}  // namespace
}  // namespace weir::node::front
