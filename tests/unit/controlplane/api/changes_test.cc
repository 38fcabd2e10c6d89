// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

using testing::HasSubstr;

using ApiChanges = ApiTest;

constexpr char kYaml[] = R"(apiVersion: weir/v1
kind: Flag
metadata: {name: a, labels: {team: risk}}
spec: {enabled: true, rollout_percentage: 10, hash_seed: s}
---
apiVersion: weir/v1
kind: Flag
metadata: {name: b, labels: {team: risk}}
spec: {enabled: true, rollout_percentage: 20, hash_seed: s}
)";

constexpr char kFlagsFile[] = R"(ttft_pipeline:
  enabled: true
  rollout_percentage: 10
  hash_seed: "ttft-pipeline-2025-01-08"
emergency:
  kill_switch: true
  rollback_to_baseline: false
)";

TEST_F(ApiChanges, AppliesJson) {
  const Reply reply = Post("/v1/apply", {{"resources", {Flag("a", 10), Flag("b", 20)}},
                                         {"reason", "because"},
                                         {"source", "file:flags.yaml"}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json["revision"], 1);
  EXPECT_EQ(reply.json["version"], 1);
  EXPECT_EQ(reply.json["dry_run"], false);
  ASSERT_EQ(reply.json["changes"].size(), 2u);
  EXPECT_EQ(reply.json["changes"][0]["kind"], "Flag");
  EXPECT_EQ(reply.json["changes"][0]["action"], "created");
  const Json history = Get("/v1/history").json["items"];
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0]["actor"], "alice@laptop");
  EXPECT_EQ(history[0]["reason"], "because");
}

TEST_F(ApiChanges, AppliesYamlAndADryRunChangesNothing) {
  const Reply dry = Send("POST", "/v1/apply?source=file:x.yaml&dry_run=true", kYaml);
  ASSERT_EQ(dry.status, 200) << dry.body;
  EXPECT_EQ(dry.json["dry_run"], true);
  EXPECT_EQ(dry.json["changes"][1]["action"], "created");
  EXPECT_EQ(Get("/v1/flags").json["items"].size(), 0u);
  const Reply real = Send("POST", "/v1/apply?source=file:x.yaml&reason=go", kYaml);
  ASSERT_EQ(real.status, 200) << real.body;
  EXPECT_EQ(Get("/v1/flags").json["items"].size(), 2u);
  const Reply again = Send("POST", "/v1/apply?source=file:x.yaml", kYaml);
  EXPECT_EQ(again.json["revision"], real.json["revision"]);
  EXPECT_EQ(again.json["changes"][0]["action"], "unchanged");
}

TEST_F(ApiChanges, KeepsWhatOthersSet) {
  Send("POST", "/v1/apply?source=file:x.yaml", kYaml);
  Send("PATCH", "/v1/flags/a", R"({"spec": {"rollout_percentage": 55}})");
  const Reply again = Send("POST", "/v1/apply?source=file:x.yaml", kYaml);
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_THAT(again.json["changes"][0]["kept"].dump(), HasSubstr("55"));
  const Reply replaced = Send("POST", "/v1/apply?source=file:x.yaml&replace", kYaml);
  ASSERT_EQ(replaced.status, 200) << replaced.body;
  EXPECT_EQ(Get("/v1/flags/a").json["spec"]["rollout_percentage"], 10.0);
}

TEST_F(ApiChanges, PrunesWhatTheSourceNoLongerHas) {
  Send("POST", "/v1/apply?source=file:x.yaml", kYaml);
  const Reply unlimited = Post("/v1/apply", {{"resources", {Flag("a", 10)}}, {"prune", ""}});
  EXPECT_EQ(unlimited.status, 400);
  EXPECT_EQ(unlimited.json["field"], "prune");
  const Reply pruned = Post("/v1/apply", {{"resources", {Flag("a", 10, {{"team", "risk"}})}},
                                          {"source", "file:x.yaml"},
                                          {"prune", {{"team", "risk"}}}});
  ASSERT_EQ(pruned.status, 200) << pruned.body;
  EXPECT_EQ(Get("/v1/flags/b").status, 404);
}

TEST_F(ApiChanges, AppliesAFlagsFileWhichSwitchesAnEmergencyOnButNotOff) {
  const Reply reply = Send("POST", "/v1/apply?source=file:feature-flags.yaml", kFlagsFile);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(Get("/v1/flags/ttft_pipeline").json["spec"]["rollout_percentage"], 10.0);
  EXPECT_EQ(Get("/v1/emergency/default").json["spec"]["kill_switch"], true);
  std::string off = kFlagsFile;
  off.replace(off.find("kill_switch: true"), 17, "kill_switch: false");
  ASSERT_EQ(Send("POST", "/v1/apply?source=file:feature-flags.yaml", off).status, 200);
  EXPECT_EQ(Get("/v1/emergency/default").json["spec"]["kill_switch"], true);
}

TEST_F(ApiChanges, APartialBlockIsAnEditOfWhatStandsAndRefusedOtherwise) {
  const std::string edit =
      "emergency: {kill_switch: false}\nttft_pipeline:\n  rollout_percentage: 50\n";
  const Reply alone = Send("POST", "/v1/apply?source=file:edit.yaml", edit);
  EXPECT_EQ(alone.status, 400);
  ASSERT_EQ(alone.json["errors"].size(), 1u) << alone.body;
  EXPECT_EQ(alone.json["errors"][0]["file"], "file:edit.yaml");
  EXPECT_EQ(alone.json["errors"][0]["line"], 2);
  EXPECT_EQ(alone.json["errors"][0]["path"], "ttft_pipeline.hash_seed");
  const Json file = {{"content", edit}, {"file", "edit.yaml"}};
  EXPECT_EQ(Post("/v1/validate", file).json["valid"], false);
  ASSERT_EQ(Send("POST", "/v1/apply?source=file:whole.yaml", kFlagsFile).status, 200);
  EXPECT_EQ(Post("/v1/validate", file).json["valid"], true);
  ASSERT_EQ(Send("POST", "/v1/apply?source=file:edit.yaml", edit).status, 200);
  const Json spec = Get("/v1/flags/ttft_pipeline").json["spec"];
  EXPECT_EQ(spec["rollout_percentage"], 50.0);
  EXPECT_EQ(spec["hash_seed"], "ttft-pipeline-2025-01-08");
}

TEST_F(ApiChanges, AllPartialBlocksThatDoNotStandAreNamedAtOnce) {
  const Reply reply = Send("POST", "/v1/apply?source=file:edit.yaml",
                           "one:\n  rollout_percentage: 50\ntwo:\n  rollout_percentage: 50\n"
                           "three:\n  rollout_percentage: 50\n");
  EXPECT_EQ(reply.status, 400);
  ASSERT_EQ(reply.json["errors"].size(), 3u) << reply.body;
  EXPECT_FALSE(reply.json.contains("field")) << "it is not about one";
  const std::string detail = reply.json["detail"];
  for (const char* line :
       {"3 errors; nothing was applied; what does not stand yet must be given",
        "\nfile:edit.yaml:1: one.hash_seed ", "\nfile:edit.yaml:3: two.hash_seed ",
        "\nfile:edit.yaml:5: three.hash_seed "})
    EXPECT_THAT(detail, HasSubstr(line));
}

TEST_F(ApiChanges, APatchReplacesARuleAndAHostileOneIsRefused) {
  const Json spec = {{"variants", {{"x", {{"n", 1}}}, {"y", {{"n", 2}}}}},
                     {"default_variant", "x"},
                     {"targeting", {{"if", {true, "x", nullptr}}}}};
  const Json flag = {
      {"apiVersion", "weir/v1"}, {"kind", "Flag"}, {"metadata", {{"name", "v"}}}, {"spec", spec}};
  ASSERT_EQ(Send("PUT", "/v1/flags/v", flag.dump()).status, 201);
  const Reply patched = Send("PATCH", "/v1/flags/v",
                             R"({"spec": {"targeting": {"fractional": [["x", 1], ["y", 1]]},
                                          "variants": {"y": {"m": 3}}}})");
  ASSERT_EQ(patched.status, 200) << patched.body;
  const Json now = Get("/v1/flags/v").json["spec"];
  EXPECT_EQ(now["targeting"].size(), 1u);
  EXPECT_EQ(now["variants"]["y"], (Json{{"m", 3}}));
  const Reply hostile =
      Send("PATCH", "/v1/flags/v", R"({"spec": {"targeting": {"reduse": [1, 2, 3]}}})");
  EXPECT_EQ(hostile.status, 400);
  EXPECT_THAT(hostile.json["field"].get<std::string>(), HasSubstr("spec.targeting"));
  EXPECT_THAT(hostile.body, HasSubstr("reduce"));
}

TEST_F(ApiChanges, AMalformedDefinitionDisablesItselfAndIsAWarning) {
  const char kDefinitions[] = R"({"flags": {
    "good": {"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "x"},
    "bad": {"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "y"}}})";
  const Reply reply = Send("POST", "/v1/apply?source=file:flags.json", kDefinitions);
  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_EQ(reply.json["warnings"].size(), 1u);
  EXPECT_EQ(reply.json["warnings"][0]["path"], "flags.bad.defaultVariant");
  EXPECT_EQ(reply.json["warnings"][0]["line"], 3);
  EXPECT_EQ(Get("/v1/flags/good").json["spec"]["default_variant"], "x");
  EXPECT_THAT(Get("/v1/flags/bad").body, HasSubstr("malformed"));
  EXPECT_EQ(Post("/v1/validate", {{"content", kDefinitions}}).json["valid"], false);
}

TEST_F(ApiChanges, RefusesAWholeFileForOneError) {
  const std::string bad = std::string(kYaml) + R"(---
apiVersion: weir/v1
kind: Flag
metadata: {name: c}
spec: {enabled: true, rollout_percentage: 140}
)";
  const Reply reply = Send("POST", "/v1/apply?source=file:x.yaml", bad);
  EXPECT_EQ(reply.status, 400);
  ASSERT_EQ(reply.json["errors"].size(), 1u);
  EXPECT_EQ(reply.json["errors"][0]["file"], "file:x.yaml");
  EXPECT_EQ(reply.json["errors"][0]["line"], 14);
  EXPECT_EQ(reply.json["errors"][0]["path"], "spec.rollout_percentage");
  EXPECT_EQ(Get("/v1/flags").json["items"].size(), 0u);
}

TEST_F(ApiChanges, RefusesWhatItDoesNotUnderstand) {
  const auto refused = [&](const std::string& target, const std::string& body) {
    const Reply reply = Send("POST", target, body);
    EXPECT_EQ(reply.status, 400) << target << " " << body << " " << reply.body;
    return reply;
  };
  refused("/v1/apply", "");
  refused("/v1/apply", "{");
  refused("/v1/apply", "a: [");
  EXPECT_EQ(refused("/v1/apply", R"({"resources": {}})").json["field"], "resources");
  EXPECT_THAT(refused("/v1/apply", R"({"resources": []})").body, HasSubstr("holds no resource"));
  const Json typo = {{"resources", {Flag("a", 10)}}, {"dryrun", true}};
  EXPECT_THAT(refused("/v1/apply", typo.dump()).body, HasSubstr("dry_run"));
  const Json both = {{"resources", {Flag("a", 10)}}};
  EXPECT_EQ(refused("/v1/apply?dry_run=true", both.dump()).json["field"], "dry_run");
  EXPECT_EQ(refused("/v1/apply?dry_run=maybe", kYaml).json["field"], "dry_run");
  Json broken = Flag("a", 140);
  EXPECT_EQ(refused("/v1/apply", Json{{"resources", {broken}}}.dump()).json["field"],
            "resources[0].spec.rollout_percentage");
  EXPECT_EQ(Get("/v1/flags").json["items"].size(), 0u);
}

TEST_F(ApiChanges, AFileWithoutItsBlobIsRefused) {
  const Reply reply = Send("POST", "/v1/apply", R"(apiVersion: weir/v1
kind: Model
metadata: {name: m}
spec:
  stable: "1"
  versions: {"1": {runtime: xgboost, uri: models/m.json}}
)");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json["field"], "Model/m.spec.versions.1.uri");
  EXPECT_THAT(reply.body, HasSubstr("models/m.json"));
}

TEST_F(ApiChanges, Validates) {
  const Reply good = Post("/v1/validate", {{"content", kYaml}, {"file", "x.yaml"}});
  ASSERT_EQ(good.status, 200) << good.body;
  EXPECT_EQ(good.json["valid"], true);
  EXPECT_TRUE(good.json["errors"].empty());
  const Reply bad = Post("/v1/validate", {{"content", "a: 1\na: 2\n"}, {"file", "x.yaml"}});
  EXPECT_EQ(bad.status, 200);
  EXPECT_EQ(bad.json["valid"], false);
  EXPECT_EQ(bad.json["errors"][0]["file"], "x.yaml");
  const Reply dangling = Post("/v1/validate", {{"content", R"(apiVersion: weir/v1
kind: Rollout
metadata: {name: r}
spec: {model: nobody, candidate: "2", phases: [{name: all, percentage: 100}]}
)"}});
  EXPECT_EQ(dangling.json["valid"], false);
  EXPECT_THAT(dangling.body, HasSubstr("nobody"));
  const Reply file = Post("/v1/validate", {{"content", R"(apiVersion: weir/v1
kind: Model
metadata: {name: m}
spec: {stable: "1", versions: {"1": {runtime: xgboost, uri: m.json}}}
)"}});
  EXPECT_EQ(file.json["valid"], true) << file.body;
  EXPECT_EQ(Post("/v1/validate", Json::object()).json["field"], "content");
  EXPECT_EQ(Get("/v1/flags").json["items"].size(), 0u);
}

TEST_F(ApiChanges, WhatIsDueStandsBeforeAnythingIsChanged) {
  Send("PUT", "/v1/flags/a", Flag("a", 10).dump());
  Send("PATCH", "/v1/flags/a", Json{{"spec", {{"rollout_percentage", 20}}}}.dump());
  Post("/v1/apply", Flag("b", 10));
  Post("/v1/undo", {{"kind", "flag"}, {"name", "a"}});
  Send("DELETE", "/v1/flags/a");
  OnCore([&] { EXPECT_EQ(changes_asked_, 5); });
  Get("/v1/flags/b");
  OnCore([&] { EXPECT_EQ(changes_asked_, 5); });
}

TEST_F(ApiChanges, HistoryRevertAndUndo) {
  Send("PUT", "/v1/flags/a", Flag("a", 10).dump());
  Send("PUT", "/v1/flags/a", Flag("a", 20).dump());
  Send("PUT", "/v1/flags/b", Flag("b", 30).dump());
  const Json of_a = Get("/v1/history?kind=flag&name=a&limit=1").json["items"];
  ASSERT_EQ(of_a.size(), 1u);
  EXPECT_EQ(of_a[0]["revision"], 2);
  EXPECT_EQ(of_a[0]["changes"][0]["before"]["spec"]["rollout_percentage"], 10.0);
  EXPECT_EQ(of_a[0]["changes"][0]["after"]["spec"]["rollout_percentage"], 20.0);
  EXPECT_EQ(Get("/v1/history?before=3").json["items"].size(), 2u);

  const Reply reverted = Post("/v1/revert", {{"revision", 2}, {"reason", "too fast"}});
  ASSERT_EQ(reverted.status, 200) << reverted.body;
  EXPECT_EQ(reverted.json["revision"], 4);
  EXPECT_EQ(Get("/v1/flags/a").json["spec"]["rollout_percentage"], 10.0);
  const Reply undone = Post("/v1/undo", {{"kind", "Flag"}, {"name", "a"}, {"to_revision", 2}});
  ASSERT_EQ(undone.status, 200) << undone.body;
  EXPECT_EQ(Get("/v1/flags/a").json["spec"]["rollout_percentage"], 20.0);

  EXPECT_EQ(Post("/v1/revert", {{"revision", 99}}).status, 404);
  EXPECT_EQ(Post("/v1/revert", Json::object()).json["field"], "revision");
  EXPECT_EQ(Post("/v1/revert", {{"revision", "two"}}).status, 400);
  EXPECT_EQ(Post("/v1/undo", {{"kind", "Flg"}, {"name", "a"}}).json["field"], "kind");
  EXPECT_EQ(Get("/v1/history?kind=flagg").status, 400);
  EXPECT_EQ(Get("/v1/history?limit=0").json["field"], "limit");
  EXPECT_EQ(Get("/v1/history?before=x").json["field"], "before");
  EXPECT_EQ(Get("/v1/history?name=a").json["field"], "kind");
}

TEST_F(ApiChanges, CommandsRollouts) {
  PutModel();
  PutRollout("manual");
  const auto command = [&](const std::string& verb, const Json& body) {
    return Post("/v1/rollouts/fraud-1-1-0/" + verb, body);
  };
  EXPECT_EQ(command("pause", Json::object()).status, 409);
  const Reply started = command("start", {{"reason", "go"}});
  ASSERT_EQ(started.status, 200) << started.body;
  EXPECT_EQ(started.json["resource"]["status"]["state"], "progressing");
  EXPECT_EQ(started.json["resource"]["status"]["percentage"], 10.0);
  EXPECT_EQ(started.json["resource"]["status"]["phase_name"], "canary");
  EXPECT_EQ(started.json["version"], started.json["revision"]);
  EXPECT_EQ(Get("/v1/models/fraud_detection").json["status"]["rollout"], "fraud-1-1-0");
  EXPECT_EQ(command("pause", Json::object()).json["resource"]["status"]["state"], "paused");
  EXPECT_EQ(Send("POST", "/v1/rollouts/fraud-1-1-0/resume").status, 200);
  EXPECT_EQ(command("approve", Json::object()).status, 200);
  EXPECT_EQ(command("approve", Json::object()).status, 409);
  const Reply promoted = command("promote", {{"full", true}, {"reason", "well enough"}});
  ASSERT_EQ(promoted.status, 200) << promoted.body;
  EXPECT_EQ(promoted.json["resource"]["status"]["state"], "promoted");
  EXPECT_EQ(Get("/v1/models/fraud_detection").json["spec"]["stable"], "1.1.0");
  EXPECT_EQ(command("pause", {{"emergency", true}}).json["field"], "emergency");
  EXPECT_EQ(command("rollback", {{"force", true}}).json["field"], "force");
  const Reply both = command("rollback", {{"emergency", true}, {"graceful", true}});
  EXPECT_EQ(both.status, 400);
  EXPECT_EQ(both.json["field"], "graceful");
  const Reply back = command("rollback", {{"reason", "not after all"}});
  ASSERT_EQ(back.status, 200) << back.body;
  EXPECT_EQ(back.json["resource"]["status"]["state"], "rolling_back");
  EXPECT_EQ(back.json["resource"]["status"]["rollback_by"], "alice@laptop");
  EXPECT_EQ(Get("/v1/models/fraud_detection").json["spec"]["stable"], "1.0.0");
  EXPECT_EQ(command("rollback", Json::object()).status, 409);
  EXPECT_EQ(command("retry", {{"full", true}}).json["field"], "full");
  EXPECT_EQ(command("retry", {{"forse", true}}).json["field"], "forse");
  EXPECT_EQ(command("premote", Json::object()).status, 404);
  const Reply unknown = Post("/v1/rollouts/fraud-1-1-1/pause", Json::object());
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr("fraud-1-1-0"));
}

TEST_F(ApiChanges, ARolloutsStatusIsNobodysToWrite) {
  PutModel();
  PutRollout("auto");
  Json rollout = Get("/v1/rollouts/fraud-1-1-0").json;
  const Json spec = rollout["spec"];
  rollout["status"] = {{"state", "promoted"}};
  const Reply put = Send("PUT", "/v1/rollouts/fraud-1-1-0", rollout.dump());
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.json["status"]["state"], "progressing");
  EXPECT_EQ(put.json["spec"], spec);
}

}  // namespace
}  // namespace weir::control::api
