// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/controlplane/api/api_fixture.h"
#include "tests/unit/shared/http/raw_socket.h"

namespace weir::control::api {
namespace {

using testing::HasSubstr;

using ApiResources = ApiTest;

TEST_F(ApiResources, PutGetListDelete) {
  const Reply put = Send("PUT", "/v1/flags/a?reason=first", Flag("a", 10).dump());
  ASSERT_EQ(put.status, 201) << put.body;
  EXPECT_EQ(put.json["kind"], "Flag");
  EXPECT_EQ(put.json["metadata"]["name"], "a");
  EXPECT_EQ(put.json["metadata"]["revision"], 1);
  EXPECT_EQ(put.json["metadata"]["updated_by"], "alice@laptop");
  EXPECT_EQ(put.json["status"]["threshold"], 10'000);
  EXPECT_EQ(put.response.Header("ETag"), "\"1\"");
  EXPECT_EQ(put.response.Header("X-Weir-Version"), "1");

  EXPECT_EQ(Send("PUT", "/v1/flags/a", Flag("a", 20).dump()).status, 200);
  const Reply got = Get("/v1/flags/a");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.json["spec"]["rollout_percentage"], 20.0);

  const Reply list = Get("/v1/flags");
  ASSERT_EQ(list.json["items"].size(), 1u);
  EXPECT_EQ(list.json["items"][0], got.json);

  const Reply gone = Send("DELETE", "/v1/flags/a?reason=done");
  ASSERT_EQ(gone.status, 200) << gone.body;
  EXPECT_EQ(gone.json["revision"], 3);
  EXPECT_EQ(gone.json["changes"][0]["action"], "deleted");
  EXPECT_EQ(Get("/v1/flags/a").status, 404);
  EXPECT_EQ(Send("DELETE", "/v1/flags/a").status, 404);
}

TEST_F(ApiResources, EveryKindHasItsPath) {
  for (const char* path : {"/v1/flags", "/v1/models", "/v1/rollouts", "/v1/experiments"}) {
    const Reply reply = Get(path);
    EXPECT_EQ(reply.status, 200) << path;
    EXPECT_TRUE(reply.json["items"].empty()) << path;
  }
  const Reply emergency = Get("/v1/emergency/default");
  EXPECT_EQ(emergency.status, 200) << emergency.body;
  EXPECT_EQ(emergency.json["spec"]["kill_switch"], false);
  EXPECT_EQ(Get("/v1/emergency").json["items"].size(), 1u);
}

TEST_F(ApiResources, SelectsByLabels) {
  Send("PUT", "/v1/flags/a", Flag("a", 10, {{"team", "risk"}, {"env", "prod"}}).dump());
  Send("PUT", "/v1/flags/b", Flag("b", 10, {{"team", "risk"}}).dump());
  EXPECT_EQ(Get("/v1/flags?l=team=risk").json["items"].size(), 2u);
  EXPECT_EQ(Get("/v1/flags?l=team=risk,env=prod").json["items"].size(), 1u);
  EXPECT_EQ(Get("/v1/flags?l=team=risk&l=env=prod").json["items"].size(), 1u);
  EXPECT_EQ(Get("/v1/flags?l=team%3Drisk").json["items"].size(), 2u);
  EXPECT_EQ(Get("/v1/flags?l=team=other").json["items"].size(), 0u);
  const Reply bad = Get("/v1/flags?l=team");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.json["field"], "l");
}

TEST_F(ApiResources, PatchMerges) {
  Send("PUT", "/v1/flags/a", Flag("a", 10, {{"team", "risk"}}).dump());
  const Reply patched = Send(
      "PATCH", "/v1/flags/a",
      R"({"metadata": {"labels": {"team": null, "env": "prod"}}, "spec": {"rollout_percentage": 50}})");
  ASSERT_EQ(patched.status, 200) << patched.body;
  EXPECT_EQ(patched.json["spec"]["rollout_percentage"], 50.0);
  EXPECT_EQ(patched.json["spec"]["hash_seed"], "s");
  EXPECT_EQ(patched.json["metadata"]["labels"], (Json{{"env", "prod"}}));
  EXPECT_EQ(Send("PATCH", "/v1/flags/zz", "{}").status, 404);
  const Reply bad = Send("PATCH", "/v1/flags/a", R"({"spek": {}})");
  EXPECT_EQ(bad.status, 400);
  EXPECT_THAT(bad.body, HasSubstr("spec"));
  EXPECT_EQ(Send("PATCH", "/v1/flags/a", R"({"metadata": {"name": "b"}})").status, 400);
}

TEST_F(ApiResources, PatchSwitchesTheEmergency) {
  const Reply on =
      Send("PATCH", "/v1/emergency/default?reason=fire", R"({"spec": {"kill_switch": true}})");
  ASSERT_EQ(on.status, 200) << on.body;
  EXPECT_EQ(Get("/v1/emergency/default").json["spec"]["kill_switch"], true);
  EXPECT_THAT(Get("/metrics").body, HasSubstr("weir_kill_switch 1\n"));
}

TEST_F(ApiResources, IfMatchGuardsAgainstOthers) {
  EXPECT_EQ(Send("PUT", "/v1/flags/a", Flag("a", 10).dump(), {{"If-Match", "*"}}).status, 412);
  EXPECT_EQ(Send("PUT", "/v1/flags/a", Flag("a", 10).dump(), {{"If-Match", "0"}}).status, 201);
  EXPECT_EQ(Send("PUT", "/v1/flags/a", Flag("a", 11).dump(), {{"If-Match", "\"1\""}}).status, 200);
  for (const char* method : {"PUT", "PATCH", "DELETE"}) {
    const Reply stale = Send(method, "/v1/flags/a", Flag("a", 12).dump(), {{"If-Match", "\"1\""}});
    EXPECT_EQ(stale.status, 412) << method;
    EXPECT_EQ(stale.json["revision"], 2) << method;
    EXPECT_THAT(std::string(stale.response.Header("Content-Type")),
                HasSubstr("application/problem+json"));
  }
  EXPECT_EQ(Get("/v1/flags/a").json["spec"]["rollout_percentage"], 11.0);
  EXPECT_EQ(Send("DELETE", "/v1/flags/a", "", {{"If-Match", "x"}}).status, 400);
  EXPECT_EQ(Send("DELETE", "/v1/flags/a", "", {{"If-Match", "W/\"2\""}}).status, 200);
}

TEST_F(ApiResources, BadBodiesAreNamed) {
  const auto refused = [&](const std::string& body) {
    const Reply reply = Send("PUT", "/v1/flags/a", body);
    EXPECT_EQ(reply.status, 400) << body << reply.body;
    EXPECT_EQ(reply.json["status"], 400);
    return reply;
  };
  EXPECT_THAT(refused("{").body, HasSubstr("not JSON"));
  EXPECT_THAT(refused("[1]").body, HasSubstr("object"));
  EXPECT_THAT(refused("").body, HasSubstr("missing"));
  EXPECT_THAT(refused(R"({"kind": "Flag", "kind": "Flag"})").body, HasSubstr("twice"));
  Json unknown = Flag("a", 10);
  unknown["spec"]["enabeld"] = true;
  const Reply nearest = refused(unknown.dump());
  EXPECT_EQ(nearest.json["field"], "spec.enabeld");
  EXPECT_THAT(nearest.body, HasSubstr("enabled"));
  const Reply range = refused(Flag("a", 140).dump());
  EXPECT_EQ(range.json["field"], "spec.rollout_percentage");
  EXPECT_THAT(range.body, HasSubstr("140"));
  EXPECT_EQ(refused(Flag("b", 10).dump()).json["field"], "metadata.name");
  Json model = Flag("a", 10);
  model["kind"] = "Experiment";
  model["spec"] = Json::object();
  EXPECT_EQ(refused(model.dump()).json["field"], "kind");
  EXPECT_EQ(Get("/v1/flags").json["items"].size(), 0u);
}

TEST_F(ApiResources, UnknownNamesGetTheNearest) {
  Send("PUT", "/v1/flags/ttft_pipeline", Flag("ttft_pipeline", 10).dump());
  const Reply name = Get("/v1/flags/ttft_pipelin");
  EXPECT_EQ(name.status, 404);
  EXPECT_THAT(name.body, HasSubstr("ttft_pipeline"));
  const Reply path = Get("/v1/flgas");
  EXPECT_EQ(path.status, 404);
  EXPECT_THAT(path.body, HasSubstr("/v1/flags"));
  const Reply query = Get("/v1/history?kind=Flag&limt=3");
  EXPECT_EQ(query.status, 400);
  EXPECT_THAT(query.body, HasSubstr("limit"));
}

TEST_F(ApiResources, AWrongMethodSaysWhichAreRight) {
  const Reply reply = Send("POST", "/v1/flags/a", "{}");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.response.Header("Allow"), "GET, PUT, PATCH, DELETE");
}

// DNS rebinding: the page's own name leads to this machine, and its browser says that name.
TEST_F(ApiResources, APageWhoseNameWasMadeToLeadHereGetsNothing) {
  const auto status_for = [&](const std::string& host) {
    http::RawSocket socket(api_->address());
    socket.Send("GET /v1/flags HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    return socket.ReadUntil("\r\n").substr(9, 3);
  };
  EXPECT_EQ(status_for("pages.example:7080"), "403");
  EXPECT_EQ(status_for("pages.example"), "403");
  for (const char* ours :
       {"127.0.0.1:7080", "localhost", "localhost:7080", "[::1]:7080", "10.1.2.3"})
    EXPECT_EQ(status_for(ours), "200") << ours;
}

TEST_F(ApiResources, TooLargeBodiesAreRefusedButBlobsMayBeLarge) {
  const std::string nine_mib(9 << 20, ' ');
  EXPECT_EQ(Send("PUT", "/v1/flags/a", nine_mib).status, 413);
  // Too large for JSON, not for a blob: what is wrong with it is its name.
  EXPECT_EQ(Send("PUT", std::string("/v1/blobs/") + kBlob, nine_mib).status, 400);
}

TEST_F(ApiResources, AModelShowsItsVersionsOnNodesAndItsFault) {
  PutModel();
  publish::NodeStatus node = NodeWith("n1", publish::NodeState::kReady, 1);
  node.versions = {{"fraud_detection", "1.0.0", "READY", ""},
                   {"fraud_detection", "1.1.0", "FAILED", "not a booster"}};
  SetNodes({node});
  const Json versions = Get("/v1/models/fraud_detection").json["status"]["versions"];
  EXPECT_EQ(versions["1.0.0"]["nodes"], (Json{{"n1", "READY"}}));
  EXPECT_EQ(versions["1.1.0"]["failed"], (Json{{"n1", "not a booster"}}));
  const Reply faulty =
      Send("PATCH", "/v1/models/fraud_detection",
           R"({"spec": {"versions": {"1.1.0": {"fault": {"error_rate": 0.5, "expires": "1h"}}}}})");
  ASSERT_EQ(faulty.status, 200) << faulty.body;
  EXPECT_THAT(faulty.json["status"]["versions"]["1.1.0"]["fault"].get<std::string>(),
              HasSubstr("in rehearsal until 2"));
}

TEST_F(ApiResources, AModelNeedsItsBlob) {
  const Json model = {
      {"apiVersion", "weir/v1"},
      {"kind", "Model"},
      {"metadata", {{"name", "m"}}},
      {"spec",
       {{"stable", "1"},
        {"versions",
         {{"1", {{"runtime", "xgboost"}, {"blob", std::string("sha256:") + kBlob}}}}}}}};
  const Reply missing = Send("PUT", "/v1/models/m", model.dump());
  EXPECT_EQ(missing.status, 400);
  EXPECT_EQ(missing.json["field"], "spec.versions.1.blob");
  Json file = model;
  file["spec"]["versions"]["1"] = {{"runtime", "xgboost"}, {"uri", "models/m.json"}};
  const Reply relative = Send("PUT", "/v1/models/m", file.dump());
  EXPECT_EQ(relative.status, 400);
  EXPECT_EQ(relative.json["field"], "spec.versions.1.uri");
}

TEST_F(ApiResources, AnActorIsOneLine) {
  const Reply reply = Send("GET", "/v1/flags", "", {{"X-Weir-Actor", std::string(300, 'a')}});
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json["field"], "X-Weir-Actor");
}

}  // namespace
}  // namespace weir::control::api
