// SPDX-License-Identifier: Apache-2.0
// Who may ask the admin API for what.
#include "controlplane/api/access.h"

#include "shared/base/text.h"
#include "shared/wire/digest.h"
#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Access : public ApiTest {
 protected:
  Access() { require_tokens_ = true; }

  void SetUp() override {
    ApiTest::SetUp();
    AddToken("root", "admin", kRoot);
  }

  void AddToken(const std::string& name, const std::string& role, const std::string& secret,
                int64_t expires_ms = 0) {
    catalog::CommitRequest request;
    domain::Resource token;
    token.kind = domain::Kind::kToken;
    token.name = name;
    token.spec = domain::TokenSpec{.hash = wire::Sha256Hex(secret),
                                   .role = role,
                                   .scopes = {},
                                   .expires = {expires_ms},
                                   .description = ""};
    request.changes.push_back({token, false, std::nullopt});
    request.tokens = true;
    OnCore([&] {
      const auto made = catalog_->Commit(request);
      ASSERT_TRUE(made.ok()) << made.status().ToString();
    });
  }
  Reply As(const std::string& token, const std::string& method, const std::string& target,
           const std::string& body = "") {
    return Send(method, target, body, {{"Authorization", "Bearer " + token}});
  }
  std::string Create(const Json& body) {
    const Reply made = As(kRoot, "POST", "/v1/tokens", body.dump());
    EXPECT_EQ(made.status, 201) << made.body;
    return made.json.value("token", "");
  }

  static constexpr char kRoot[] = "root-secret-root-secret";
};

TEST_F(Access, AsksEveryoneButProbesAndNodes) {
  const Reply refused = Get("/v1/flags");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.response.Header("WWW-Authenticate"), "Bearer realm=\"weir\"");
  EXPECT_THAT(refused.json["detail"].get<std::string>(), HasSubstr("a token is needed"));
  EXPECT_EQ(Get("/metrics").status, 401);
  EXPECT_EQ(Get("/v1/events").status, 401);
  EXPECT_EQ(Post("/v1/tokens", {{"expires", "1h"}}).status, 401);
  for (const char* open : {"/health", "/ready", "/v1/bootstrap"}) {
    EXPECT_EQ(Get(open).status, 200) << open;
  }
  const std::string key(40, 'k');
  EXPECT_EQ(Post("/v1/enroll", {{"node", "n1"}, {"public_key", key}}).status, 200);
  EXPECT_EQ(As(kRoot, "GET", "/v1/flags").status, 200);
  const Reply basic = Send("GET", "/v1/flags", "", {{"Authorization", "Basic cm9vdDp4"}});
  EXPECT_EQ(basic.status, 401);
}

// Each route, and the first role that may.
TEST_F(Access, EachRoleMayWhatItIsFor) {
  const std::pair<const char*, std::string> tokens[] = {{"viewer", "viewer-secret-1234"},
                                                        {"operator", "operator-secret-12"},
                                                        {"admin", "admin-secret-12345"}};
  for (const auto& [role, secret] : tokens) AddToken(role, role, secret);
  const std::string flag = Flag("f", 10).dump();
  const struct {
    const char* method;
    std::string target;
    std::string body;
    int rank;
  } routes[] = {
      {"GET", "/v1/flags", "", 0},
      {"GET", "/v1/tokens", "", 0},
      {"GET", "/v1/history", "", 0},
      {"GET", "/v1/snapshot", "", 0},
      {"GET", "/v1/status", "", 0},
      {"GET", "/metrics", "", 0},
      {"GET", std::string("/v1/blobs/") + kBlob, "", 0},
      {"POST", "/v1/explain", R"({"key": "u"})", 0},
      {"POST", "/v1/validate", R"({"content": ""})", 0},
      {"PUT", "/v1/flags/f", flag, 1},
      {"PATCH", "/v1/flags/f", "{}", 1},
      {"DELETE", "/v1/flags/f", "", 1},
      {"POST", "/v1/apply", flag, 1},
      {"POST", "/v1/undo", R"({"kind": "Flag", "name": "f"})", 1},
      {"PATCH", "/v1/emergency/default", "{}", 1},
      {"POST", "/v1/rollouts/r/start", "{}", 1},
      {"PUT", std::string("/v1/blobs/") + kBlob, "abc", 1},
      {"POST", "/v1/tokens", R"({"expires": "1h"})", 2},
      {"DELETE", "/v1/tokens/none", "", 2},
  };
  for (const auto& route : routes) {
    for (int rank = 0; rank < 3; ++rank) {
      const Reply reply = As(tokens[rank].second, route.method, route.target, route.body);
      const std::string what = std::string(tokens[rank].first) + " " + route.method + " " +
                               route.target + ": " + reply.body;
      if (rank >= route.rank) {
        EXPECT_TRUE(reply.status != 401 && reply.status != 403) << what;
        continue;
      }
      EXPECT_EQ(reply.status, 403) << what;
      EXPECT_EQ(reply.json["role"], tokens[route.rank].first) << what;
      EXPECT_THAT(reply.json["detail"].get<std::string>(),
                  HasSubstr("the token \"" + std::string(tokens[rank].first) + "\" has the role"));
    }
  }
}

TEST_F(Access, TheTokensNameIsTheActor) {
  const std::string alice = Create({{"name", "alice"}, {"role", "operator"}});
  EXPECT_THAT(alice, testing::MatchesRegex("weir_[0-9a-f]{64}"));
  ASSERT_EQ(As(alice, "PUT", "/v1/flags/f", Flag("f", 10).dump()).status, 201);
  const Reply history = As(kRoot, "GET", "/v1/history?kind=Flag&name=f");
  EXPECT_EQ(history.json["items"][0]["actor"], "alice");
}

TEST_F(Access, IsShownOnceAndKeptAsAHash) {
  const std::string secret = Create({{"name", "ci"}, {"role", "viewer"}, {"scopes", {"ofrep"}}});
  const std::string hash = wire::Sha256Hex(secret);
  for (const char* target : {"/v1/tokens", "/v1/tokens/ci", "/v1/history", "/v1/snapshot",
                             "/v1/events?follow=false&since=0"}) {
    const Reply reply = As(kRoot, "GET", target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_THAT(reply.body, AllOf(Not(HasSubstr(secret)), Not(HasSubstr(hash)))) << target;
  }
  const Reply token = As(kRoot, "GET", "/v1/tokens/ci");
  EXPECT_EQ(token.json["spec"]["hash"], hash.substr(0, 12) + "…");
  EXPECT_EQ(token.json["metadata"]["updated_by"], "root");
}

TEST_F(Access, EndsWithItsRevocationForGood) {
  const std::string secret = Create({{"name", "ci"}, {"role", "viewer"}});
  EXPECT_EQ(As(secret, "GET", "/v1/flags").status, 200);
  const Reply revoked = As(kRoot, "DELETE", "/v1/tokens/ci?reason=left");
  ASSERT_EQ(revoked.status, 200) << revoked.body;
  const Reply refused = As(secret, "GET", "/v1/flags");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.body, HasSubstr("it may have been revoked"));
  const Reply undo = As(kRoot, "POST", "/v1/undo", R"({"kind": "Token", "name": "ci"})");
  EXPECT_EQ(undo.status, 409) << undo.body;
  const Reply revert =
      As(kRoot, "POST", "/v1/revert", Json{{"revision", revoked.json["revision"]}}.dump());
  EXPECT_EQ(revert.status, 409) << revert.body;
  const Json document = {{"apiVersion", "weir/v1"},
                         {"kind", "Token"},
                         {"metadata", {{"name", "mine"}}},
                         {"spec", {{"hash", std::string(64, 'a')}, {"role", "admin"}}}};
  const Reply applied = As(kRoot, "POST", "/v1/apply", document.dump());
  EXPECT_EQ(applied.status, 409);
  EXPECT_THAT(applied.body, HasSubstr("weir token create"));
  EXPECT_EQ(As(kRoot, "PUT", "/v1/tokens/mine", document.dump()).status, 405);
}

TEST_F(Access, ExpiresByTheClock) {
  AddToken("old", "viewer", "old-secret-old-secret", Clock::System().WallMs() - 1000);
  const Reply refused = As("old-secret-old-secret", "GET", "/v1/flags");
  EXPECT_EQ(refused.status, 401);
  EXPECT_THAT(refused.body, HasSubstr("expired at"));
}

TEST_F(Access, NobodyIsLeftWithoutAnAdmin) {
  const Reply last = As(kRoot, "DELETE", "/v1/tokens/root");
  EXPECT_EQ(last.status, 409);
  EXPECT_THAT(last.body, HasSubstr("last admin token"));
  const std::string other = Create({{"name", "other"}, {"role", "admin"}});
  EXPECT_EQ(As(other, "DELETE", "/v1/tokens/root").status, 200);
  EXPECT_EQ(As(kRoot, "GET", "/v1/flags").status, 401);
}

TEST_F(Access, SaysWhatATokenCannotBe) {
  const auto refusal = [&](const Json& body) {
    const Reply reply = As(kRoot, "POST", "/v1/tokens", body.dump());
    return std::to_string(reply.status) + " " + reply.body;
  };
  EXPECT_THAT(refusal({{"name", "x"}}), AllOf(HasSubstr("400"), HasSubstr("open nothing")));
  EXPECT_THAT(refusal({{"name", "x"}, {"role", "amdin"}}), HasSubstr("did you mean"));
  EXPECT_THAT(refusal({{"name", "x"}, {"scopes", {"all"}}}), HasSubstr("spec.scopes[0]"));
  EXPECT_THAT(refusal({{"role", "viewer"}}), HasSubstr("name"));
  EXPECT_THAT(refusal({{"name", "root"}, {"role", "viewer"}}), HasSubstr("409"));
  EXPECT_THAT(refusal({{"name", "bootstrap"}, {"role", "viewer"}}), HasSubstr("bootstrap"));
}

TEST_F(Access, WrongTokensAreSlowedDownAndGoodOnesAreNot) {
  for (int i = 0; i < 2 * FailedAttempts::kMost; ++i) As("wrong", "GET", "/v1/flags");
  const Reply refused = As("wrong", "GET", "/v1/flags");
  EXPECT_EQ(refused.status, 429);
  EXPECT_NE(refused.response.Header("Retry-After"), "");
  const Reply metrics = As(kRoot, "GET", "/metrics");
  EXPECT_EQ(metrics.status, 200) << "whoever shares the address gets in";
  EXPECT_THAT(metrics.body, AllOf(HasSubstr("weir_auth_refusals_total{reason=\"unknown\"} 20\n"),
                                  HasSubstr("weir_auth_refusals_total{reason=\"too_many\"} 21\n")));
}

TEST_F(Access, NodesFetchModelsAndNothingElse) {
  ASSERT_EQ(As(kRoot, "PUT", std::string("/v1/blobs/") + kBlob, "abc").status, 201);
  const std::string path = std::string("/v1/blobs/") + kBlob;
  const auto as_node = [&](const std::string& target, const std::string& proof) {
    return Send("GET", target, "", {{"Authorization", "Weir-Node n1." + proof}});
  };
  EXPECT_EQ(as_node(path, "proof-of-GET " + path).body, "abc");
  EXPECT_EQ(as_node(path, "wrong").status, 401);
  EXPECT_EQ(as_node("/v1/flags", "proof-of-GET /v1/flags").status, 401);
  EXPECT_EQ(Get(path).status, 401);
}

using Open = ApiTest;

TEST_F(Open, TheFirstAdminTokenClosesTheDoor) {
  EXPECT_EQ(Get("/v1/flags").status, 200);
  const Reply scoped = Post("/v1/tokens", {{"name", "shop"}, {"scopes", {"ofrep"}}});
  EXPECT_EQ(scoped.status, 201);
  EXPECT_EQ(Get("/v1/flags").status, 200);
  const Reply made = Post("/v1/tokens", {{"name", "root"}, {"role", "admin"}});
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_THAT(made.json["note"].get<std::string>(), HasSubstr("asks for a token"));
  EXPECT_EQ(Get("/v1/flags").status, 401);
}

TEST(FailedAttempts, AreCountedPerAddressAndForgotten) {
  FailedAttempts attempts;
  for (int i = 0; i < FailedAttempts::kMost; ++i) EXPECT_EQ(attempts.Note("10.0.0.1", 0), 0);
  EXPECT_EQ(attempts.Note("10.0.0.1", 1000), 59);
  EXPECT_EQ(attempts.Note("10.0.0.2", 1000), 0);
  EXPECT_EQ(attempts.Note("10.0.0.1", FailedAttempts::kWindowMs), 0);
}

TEST(FailedAttempts, AreBounded) {
  FailedAttempts attempts;
  for (int i = 0; i < 5000; ++i) attempts.Note("10.0." + std::to_string(i), 1);
  EXPECT_EQ(attempts.size(), FailedAttempts::kMostAddresses);
  EXPECT_GT(attempts.Note("another", 2), 0) << "beyond the bound strangers share one count";
  attempts.Note("another", FailedAttempts::kWindowMs + 2);
  EXPECT_EQ(attempts.size(), 1u);
}

}  // namespace
}  // namespace weir::control::api
