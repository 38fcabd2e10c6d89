// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/api.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

using testing::HasSubstr;
using testing::Not;

using ApiReads = ApiTest;

TEST_F(ApiReads, TheSnapshotIsWhatNodesGet) {
  Send("PUT", "/v1/flags/a", Flag("a", 10).dump());
  const Reply reply = Get("/v1/snapshot");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json["epoch"], kEpoch);
  EXPECT_EQ(reply.json["version"], 1);
  EXPECT_EQ(reply.json["digest"].get<std::string>().size(), 64u);
  ASSERT_EQ(reply.json["entries"].size(), 1u);
  EXPECT_EQ(reply.json["entries"][0]["kind"], "flag");
  EXPECT_EQ(reply.json["entries"][0]["entry"]["threshold"], 10'000);
  Send("PUT", "/v1/flags/a", Flag("a", 20).dump());
  const Reply next = Get("/v1/snapshot");
  EXPECT_EQ(next.json["version"], 2);
  EXPECT_NE(next.json["digest"], reply.json["digest"]);
  EXPECT_EQ(next.json["entries"][0]["entry"]["threshold"], 20'000);
}

TEST_F(ApiReads, ACommitThatChangesNothingForNodesKeepsTheirVersion) {
  Send("PUT", "/v1/flags/a", Flag("a", 10).dump());
  Send("PATCH", "/v1/flags/a", R"({"spec": {"description": "for people"}})");
  const Json status = Get("/v1/status").json;
  EXPECT_EQ(status["head"], 2);
  EXPECT_EQ(status["version"], 1);
}

TEST_F(ApiReads, ListsNodes) {
  EXPECT_TRUE(Get("/v1/nodes").json["items"].empty());
  SetNodes({NodeWith("node-1", publish::NodeState::kReady, 3)});
  const Reply list = Get("/v1/nodes");
  ASSERT_EQ(list.json["items"].size(), 1u) << list.body;
  EXPECT_EQ(list.json["items"][0]["id"], "node-1");
  EXPECT_EQ(list.json["items"][0]["state"], "ready");
  EXPECT_EQ(list.json["items"][0]["snapshot"], (Json{{"epoch", kEpoch}, {"version", 3}}));
  EXPECT_EQ(Get("/v1/nodes/node-1").json["id"], "node-1");
  const Reply unknown = Get("/v1/nodes/node-2");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr("node-1"));
}

TEST_F(ApiReads, StatusSaysWhatIsWrongAndWhatHelps) {
  PutModel();
  PutRollout("auto");
  Post("/v1/rollouts/fraud-1-1-0/rollback", {{"reason", "looks bad"}});
  Send("PATCH", "/v1/emergency/default", R"({"spec": {"kill_switch": true}})");
  Send("PATCH", "/v1/models/fraud_detection",
       R"({"spec": {"versions": {"1.1.0": {"fault": {"error_rate": 0.5, "expires": "1h"}}}}})");
  publish::NodeStatus failing = NodeWith("n1", publish::NodeState::kReady, 9);
  failing.versions = {{"fraud_detection", "1.0.0", "FAILED", "no such tree"}};
  failing.refused = {{1, "a", "invalid_argument", "key 99 is unknown"}};
  SetNodes({failing, NodeWith("n2", publish::NodeState::kStale, 1)});
  const Reply reply = Get("/v1/status");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json& status = reply.json;
  EXPECT_EQ(status["nodes"]["total"], 2);
  EXPECT_EQ(status["nodes"]["states"], (Json{{"ready", 1}, {"stale", 1}}));
  EXPECT_EQ(status["nodes"]["behind"], Json::array({"n2"}));
  ASSERT_EQ(status["rollouts"].size(), 1u);
  EXPECT_EQ(status["rollouts"][0]["state"], "rolling_back");
  EXPECT_EQ(status["emergency"]["kill_switch"], true);
  EXPECT_EQ(status["emergency"]["by"], "alice@laptop");
  const auto find = [&](const std::string& what) -> Json {
    for (const Json& problem : status["problems"]) {
      if (problem["what"].get<std::string>().find(what) != std::string::npos) return problem;
    }
    ADD_FAILURE() << what << " is not in " << status["problems"].dump(1);
    return Json::object();
  };
  EXPECT_EQ(find("kill switch")["severity"], "critical");
  EXPECT_EQ(find("kill switch")["remedy"], "weir emergency kill-switch off");
  EXPECT_EQ(find("FAILED on node n1")["severity"], "critical");
  EXPECT_EQ(find("FAILED on node n1")["evidence"], "no such tree");
  EXPECT_THAT(find("n1 refuses")["evidence"].get<std::string>(), HasSubstr("key 99"));
  EXPECT_EQ(find("n1 refuses")["remedy"], "weir undo flag/a");
  EXPECT_THAT(Get("/metrics").body, HasSubstr("weir_entries_refused{kind=\"flag\"} 1\n"));
  EXPECT_THAT(Get("/v1/nodes/n1").json["nack"].dump(), HasSubstr("\"since\":\"20"));
  EXPECT_EQ(find("n2 is stale")["severity"], "warning");
  EXPECT_EQ(find("rolling back")["severity"], "critical");
  EXPECT_EQ(find("rehearses a fault")["severity"], "info");
  EXPECT_EQ(find("flags.yaml")["remedy"], "weir validate flags.yaml");
  EXPECT_EQ(find("flags.yaml")["since"], "1970-01-01T00:00:01.000Z");
  EXPECT_EQ(status["problems"].front()["severity"], "critical");
  EXPECT_EQ(status["problems"].back()["severity"], "info");
}

TEST_F(ApiReads, ExplainsAKey) {
  Send("PUT", "/v1/flags/a", Flag("a", 100).dump());
  PutModel();
  const Reply reply = Post("/v1/explain", {{"key", "user-1"}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json["key"], "user-1");
  EXPECT_EQ(reply.json["snapshot"]["epoch"], kEpoch);
  EXPECT_EQ(reply.json["flags"][0]["enabled"], true);
  EXPECT_EQ(reply.json["splits"][0]["model"], "fraud_detection");
  Send("PATCH", "/v1/emergency/default", R"({"spec": {"kill_switch": true}})");
  EXPECT_EQ(Post("/v1/explain", {{"key", "user-1"}}).json["flags"][0]["reason"], "KILL_SWITCH");
  EXPECT_EQ(Post("/v1/explain", {{"key", ""}}).status, 400);
  EXPECT_EQ(Post("/v1/explain", Json::object()).json["field"], "key");
  EXPECT_EQ(Post("/v1/explain", {{"key", "k"}, {"modle", "m"}}).json["field"], "modle");
  const Reply model = Post("/v1/explain", {{"key", "k"}, {"model", "fraud_detectio"}});
  EXPECT_EQ(model.status, 404);
  EXPECT_THAT(model.body, HasSubstr("fraud_detection"));
  EXPECT_EQ(Post("/v1/explain", {{"key", "k"}, {"flag", "b"}}).status, 404);
}

TEST_F(ApiReads, TellsNodesWhereToGo) {
  const Reply reply = Get("/v1/bootstrap");
  EXPECT_EQ(reply.json, (Json{{"epoch", kEpoch},
                              {"server_key", "key"},
                              {"fingerprint", "finger"},
                              {"channels",
                               {{"cfg", "tcp://127.0.0.1:7081"},
                                {"session", "tcp://127.0.0.1:7082"},
                                {"telemetry", "tcp://127.0.0.1:7083"}}},
                              {"heartbeat_ms", 1000}}));
}

TEST_F(ApiReads, EnrolsNodes) {
  const std::string key(40, 'k');
  const Reply ok = Post("/v1/enroll", {{"node", "n1"}, {"public_key", key}});
  EXPECT_EQ(ok.status, 200) << ok.body;
  EXPECT_EQ(ok.json, (Json{{"node", "n1"}}));
  OnCore([&] {
    ASSERT_EQ(enrolled_.size(), 1u);
    EXPECT_EQ(enrolled_[0].public_key, key);
    enroll_answer_ = FailedPrecondition("node n1 is revoked");
  });
  const Reply refused = Post("/v1/enroll", {{"node", "n1"}, {"public_key", key}, {"token", "t"}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("revoked"));
  OnCore([&] { enroll_answer_ = Unavailable("the database is busy"); });
  EXPECT_EQ(Post("/v1/enroll", {{"node", "n1"}, {"public_key", key}}).status, 503);
  EXPECT_EQ(Post("/v1/enroll", {{"node", "../n"}, {"public_key", key}}).json["field"], "node");
  EXPECT_EQ(Post("/v1/enroll", {{"node", "n"}, {"public_key", "k"}}).json["field"], "public_key");
  EXPECT_EQ(Post("/v1/enroll", {{"public_key", key}}).json["field"], "node");
}

TEST_F(ApiReads, MakesEnrolmentTokens) {
  const Reply made = Post("/v1/tokens", {{"expires", "10m"}});
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.json["lifetime_ms"], 600'000);
  EXPECT_EQ(Post("/v1/tokens", {{"expires", "soon"}}).json["field"], "expires");
  EXPECT_EQ(Post("/v1/tokens", {{"expires", "0s"}}).json["field"], "expires");
}

// The IPv4 address of an interface other than loopback, "" if there is none.
std::string OtherAddress() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return "";
  std::string found;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN];
    const auto* address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
    inet_ntop(AF_INET, &address->sin_addr, text, sizeof(text));
    if (!std::string(text).starts_with("127.")) found = text;
  }
  freeifaddrs(all);
  return found;
}

class ApiOpenToAll : public ApiTest {
 protected:
  ApiOpenToAll() { listen_ = "0.0.0.0:0"; }
};

TEST_F(ApiOpenToAll, EnrolsNobodyFromElsewhereWithoutAToken) {
  const std::string host = OtherAddress();
  if (host.empty()) GTEST_SKIP() << "no interface but loopback";
  const std::string port = api_->address().substr(api_->address().rfind(':'));
  client_ = std::make_unique<http::Client>(host + port);
  const std::string key(40, 'k');
  const Reply refused = Post("/v1/enroll", {{"node", "n1"}, {"public_key", key}});
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("token"));
  OnCore([&] { EXPECT_TRUE(enrolled_.empty()); });
  const Reply asked = Post("/v1/enroll", {{"node", "n1"}, {"public_key", key}, {"token", "t"}});
  EXPECT_EQ(asked.status, 200) << asked.body;
  OnCore([&] {
    ASSERT_EQ(enrolled_.size(), 1u);
    EXPECT_EQ(enrolled_[0].token, "t");
  });
}

TEST(IsLoopback, KnowsTheAddressesOfThisMachineAlone) {
  for (const char* address :
       {"127.0.0.1:80", "127.8.0.1:1", "[::1]:80", "localhost:0", "[::ffff:127.0.0.1]:80"})
    EXPECT_TRUE(IsLoopback(address)) << address;
  for (const char* address :
       {"10.0.0.1:80", "0.0.0.0:80", ":80", "[::]:80", "[fe80::1]:80", "", "[::ffff:10.0.0.1]:80",
        "128.0.0.1:80", "127.evil.example:80", "localhost.example:80"})
    EXPECT_FALSE(IsLoopback(address)) << address;
}

TEST_F(ApiReads, KeepsBlobsUnderTheirHash) {
  const std::string path = std::string("/v1/blobs/") + kBlob;
  EXPECT_EQ(Get(path).status, 404);
  const Reply put = Send("PUT", path, "abc");
  EXPECT_EQ(put.status, 201) << put.body;
  EXPECT_EQ(put.json, (Json{{"sha256", kBlob}, {"bytes", 3}}));
  EXPECT_EQ(Send("PUT", path, "abc").status, 200);
  const Reply got = Get(path);
  EXPECT_EQ(got.body, "abc");
  EXPECT_EQ(got.response.Header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(Send("PUT", path, "abd").status, 400);
  EXPECT_EQ(Send("PUT", "/v1/blobs/xyz", "abc").status, 400);
  EXPECT_EQ(Get("/v1/blobs/..%2F..%2Fetc%2Fpasswd").status, 404);
}

TEST_F(ApiReads, AsksForTelemetryInWords) {
  const Reply reply = Get(
      "/v1/telemetry?subject=model/m&from=2026-11-20T14:00:00Z&to=2026-11-20T14:05:00Z&step=1m");
  EXPECT_EQ(reply.json, (Json{{"subject", "model/m"}, {"step_ms", 60'000}, {"range_ms", 300'000}}));
  EXPECT_EQ(Get("/v1/telemetry?subject=model/m").json["range_ms"], 3'600'000);
  EXPECT_EQ(Get("/v1/telemetry?subject=model/m&from=1000&to=3000").json["range_ms"], 2000);
  EXPECT_EQ(Get("/v1/telemetry").json["field"], "subject");
  EXPECT_THAT(Get("/v1/telemetry?subject=flag/a").body, HasSubstr("GET /v1/flags/NAME"));
  EXPECT_EQ(Get("/v1/telemetry?subject=model/m&from=3000&to=1000").json["field"], "from");
  EXPECT_EQ(Get("/v1/telemetry?subject=model/m&from=yesterday").json["field"], "from");
  EXPECT_EQ(Get("/v1/telemetry?subject=model/m&step=0").json["field"], "step");
}

TEST_F(ApiReads, HealthAndReadiness) {
  EXPECT_EQ(Get("/health").json["status"], "ok");
  EXPECT_EQ(Get("/ready").status, 200);
  OnCore([&] { not_ready_ = "the database is read-only"; });
  const Reply no = Get("/ready");
  EXPECT_EQ(no.status, 503);
  EXPECT_EQ(no.json["missing"][0], "the database is read-only");
  OnCore([&] {
    not_ready_.clear();
    api_->BeginDrain();
  });
  EXPECT_EQ(Get("/ready").status, 503);
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(ApiReads, CanaryHealth) {
  EXPECT_EQ(Get("/health/canary").json["enabled"], false);
  EXPECT_EQ(Get("/health/canary").json["health"], "idle");
  PutModel();
  PutRollout("auto");
  const Json health = Get("/health/canary").json;
  EXPECT_EQ(health["enabled"], true);
  EXPECT_EQ(health["rollout"], "fraud-1-1-0");
  EXPECT_EQ(health["percentage"], 10.0);
  EXPECT_TRUE(health["actual_percentage"].is_null());
  for (const char* field : {"enabled", "percentage", "baseline", "deltas", "health"})
    EXPECT_EQ(health["canary"][field], health[field]) << field;
  EXPECT_EQ(health["baseline"]["version"], "1.0.0");
  EXPECT_EQ(health["canary"]["version"], "1.1.0");
  EXPECT_EQ(health["health"], "unknown");
  EXPECT_TRUE(health["deltas"].is_object());
  EXPECT_EQ(Get("/health/canary?rollout=fraud-1-1-0").status, 200);
  EXPECT_EQ(Get("/health/canary?rollout=fraud").status, 404);
  Post("/v1/rollouts/fraud-1-1-0/rollback", {{"reason", "looks bad"}});
  EXPECT_EQ(Get("/health/canary").json["health"], "rolling_back");
}

TEST_F(ApiReads, Metrics) {
  PutModel();
  PutRollout("auto");
  SetNodes({NodeWith("n1", publish::NodeState::kReady, 1)});
  const std::string before = Get("/metrics").body;
  EXPECT_THAT(before, HasSubstr("weir_nodes{state=\"ready\"} 1\n"));
  EXPECT_THAT(before, HasSubstr("weir_nodes{state=\"gone\"} 0\n"));
  EXPECT_THAT(before, HasSubstr("weir_rollout_traffic_ratio{rollout=\"fraud-1-1-0\",state="
                                "\"desired\"} 0.1\n"));
  EXPECT_THAT(before, Not(HasSubstr("weir_rollbacks_total{")));
  EXPECT_THAT(before, HasSubstr("weir_commits_total 2\n"));
  EXPECT_THAT(before, HasSubstr("weir_build_info{version=\""));
  EXPECT_THAT(before, HasSubstr("process_resident_memory_bytes "));
  EXPECT_THAT(before, HasSubstr("weir_extra 1\n"));
  EXPECT_THAT(before,
              HasSubstr("weir_requests_total{endpoint=\"/v1/models/{name}\",status=\"201\"} 1\n"));
  Post("/v1/rollouts/fraud-1-1-0/rollback", {{"reason", "looks bad"}});
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("weir_rollbacks_total{rollout=\"fraud-1-1-0\",trigger=\"manual\"} 1\n"));
}

}  // namespace
}  // namespace weir::control::api
