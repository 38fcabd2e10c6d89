// SPDX-License-Identifier: Apache-2.0
// `weir` itself against a running control plane: exit codes, and the JSON that scripts rely on.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

constexpr char kModels[] = WEIR_SOURCE_DIR "/config/models/fraud_detection-";

class Cli : public CliTest {
 protected:
  // A model whose versions are files beside it, and a flag.
  std::string ModelFileOf(const std::string& stable) {
    for (const char* version : {"1.0.0", "1.1.0"}) {
      Write(std::string("fraud-") + version + ".json", ModelFile(version));
    }
    return Write("model.yaml", fmt::format(R"(apiVersion: weir/v1
kind: Model
metadata: {{name: fraud_detection}}
spec:
  stable: "{}"
  versions:
    "1.0.0": {{runtime: xgboost, uri: fraud-1.0.0.json}}
    "1.1.0": {{runtime: xgboost, uri: fraud-1.1.0.json}}
  inputs: [{{name: features, datatype: FP32, shape: [-1, 12]}}]
---
apiVersion: weir/v1
kind: Flag
metadata: {{name: checkout}}
spec: {{rollout_percentage: 20, hash_seed: "fraud_detection"}}
)",
                                           stable));
  }
};

TEST_F(Cli, ValidateNeedsNoServerAndNamesFileLineAndPath) {
  const std::string good = ModelFileOf("1.0.0");
  EXPECT_EQ(Weir({"validate", good}).exit_code, 0);
  const std::string bad = Write("bad.yaml",
                                "apiVersion: weir/v1\n"
                                "kind: Flag\n"
                                "metadata: {name: checkout}\n"
                                "spec:\n"
                                "  rollout_percentage: 140\n");
  const Output output = Weir({"-o", "json", "validate", good, bad});
  EXPECT_EQ(output.exit_code, 1) << output.Text();
  const Json answer = output.Json();
  EXPECT_EQ(answer["valid"], false);
  ASSERT_EQ(answer["errors"].size(), 1u) << answer;
  EXPECT_EQ(answer["errors"][0]["file"], bad);
  EXPECT_EQ(answer["errors"][0]["line"], 5);
  EXPECT_EQ(answer["errors"][0]["path"], "spec.rollout_percentage");
  EXPECT_NE(answer["errors"][0]["message"].get<std::string>().find("140"), std::string::npos);
  EXPECT_TRUE(answer["warnings"].is_array());
}

TEST_F(Cli, ApplyDiffGetHistoryAndUndo) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  const std::string file = ModelFileOf("1.0.0");
  EXPECT_EQ(Weir({"diff", "-f", file}).exit_code, 1);
  const Output dry = Weir({"apply", "-f", file, "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.Text();
  EXPECT_EQ(Weir({"get", "flag/checkout"}).exit_code, 1) << "a dry run changes nothing";

  const Output applied = Weir({"apply", "-f", file, "--reason", "first"});
  ASSERT_EQ(applied.exit_code, 0) << applied.Text();
  EXPECT_NE(applied.err.find("2/2 nodes"), std::string::npos) << applied.Text();
  const Output same = Weir({"diff", "-f", file});
  EXPECT_EQ(same.exit_code, 0) << same.Text();
  EXPECT_EQ(Weir({"diff", "-f", ModelFileOf("1.1.0")}).exit_code, 1);

  const Json models = WeirJson({"get", "models"});
  ASSERT_EQ(models["items"].size(), 1u) << models;
  EXPECT_EQ(models["items"][0]["metadata"]["name"], kModel);
  EXPECT_EQ(models["items"][0]["spec"]["stable"], "1.0.0");
  EXPECT_EQ(WeirJson({"get", "flag/checkout"})["spec"]["rollout_percentage"], 20);

  EXPECT_EQ(Weir({"flag", "set", "checkout", "--percent", "50"}).exit_code, 0);
  EXPECT_EQ(WeirJson({"get", "flag/checkout"})["spec"]["rollout_percentage"], 50);
  const Json history = WeirJson({"history", "flag/checkout"});
  ASSERT_EQ(history["items"].size(), 2u) << history;
  EXPECT_EQ(history["items"][1]["reason"], "first");
  EXPECT_FALSE(history["items"][0]["actor"].get<std::string>().empty());
  EXPECT_EQ(Weir({"undo", "flag/checkout"}).exit_code, 0);
  EXPECT_EQ(WeirJson({"get", "flag/checkout"})["spec"]["rollout_percentage"], 20);

  const Output nearest = Weir({"get", "flag/chekout"});
  EXPECT_EQ(nearest.exit_code, 1) << nearest.Text();
  EXPECT_NE(nearest.err.find("checkout"), std::string::npos) << nearest.Text();
  EXPECT_TRUE(nearest.out.empty()) << "only data on stdout";
}

TEST_F(Cli, ExplainSaysWhatANodeDoes) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(Weir({"apply", "-f", ModelFileOf("1.0.0")}).exit_code, 0);
  // MD5("user_123:fraud_detection") begins with 49d096b1: bucket 33 (DECISIONS).
  const Json answer = WeirJson({"explain", "--key", "user_123"});
  EXPECT_EQ(answer["key"], "user_123");
  EXPECT_GT(answer["snapshot"]["version"], 0);
  ASSERT_EQ(answer["flags"].size(), 1u) << answer;
  EXPECT_EQ(answer["flags"][0]["flag"], "checkout");
  EXPECT_EQ(answer["flags"][0]["enabled"], false);
  EXPECT_EQ(answer["flags"][0]["reason"], "SPLIT");
  EXPECT_EQ(answer["flags"][0]["bucket"], 33068);
  EXPECT_EQ(answer["flags"][0]["threshold"], 20000);
  ASSERT_EQ(answer["splits"].size(), 1u);
  EXPECT_EQ(answer["splits"][0]["version"], "1.0.0");
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  const Json node_says = node(0).api().Post("/weir/v1/explain", {{"key", "user_123"}}).json;
  for (const char* field : {"enabled", "reason", "bucket", "threshold"}) {
    EXPECT_EQ(node_says["flags"][0][field], answer["flags"][0][field]) << field;
  }
}

TEST_F(Cli, ModelsArePushedTestedPinnedAndRolledOut) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  const Output first = Weir({"model", "push", kModel, "1.0.0", std::string(kModels) + "1.0.0.json",
                             "--input", "features:FP32:-1,12"});
  ASSERT_EQ(first.exit_code, 0) << first.Text();
  ASSERT_EQ(Weir({"model", "push", kModel, "1.1.0", std::string(kModels) + "1.1.0.json"}).exit_code,
            0);
  ASSERT_TRUE(WaitFor("1.1.0 is READY", [&] { return VersionIs("1.1.0", "READY"); }));
  const std::string request = Write("request.json", Requests()[0]);
  EXPECT_EQ(Weir({"model", "test", kModel, "1.1.0", "-f", request}).exit_code, 0);
  EXPECT_EQ(Weir({"model", "test", kModel, "9.9.9", "-f", request}).exit_code, 1);
  EXPECT_EQ(Weir({"model", "pin", kModel, "1.1.0"}).exit_code, 0);
  EXPECT_EQ(Infer(node(1).api(), Requests()[0]).Header("x-weir-version"), "1.1.0");
  EXPECT_EQ(Weir({"model", "unpin", kModel}).exit_code, 0);
  EXPECT_EQ(Infer(node(1).api(), Requests()[0]).Header("x-weir-version"), "1.0.0");

  const Json resource =
      RolloutResource("fraud-1-1-0", "1.1.0", {{.percentage = 50, .duration = "1h"}});
  ASSERT_EQ(Weir({"apply", "-f", Write("rollout.json", resource.dump())}).exit_code, 0);
  const Json shown = WeirJson({"rollout", "show", "fraud-1-1-0"});
  EXPECT_EQ(shown["status"]["state"], "progressing") << shown;
  EXPECT_EQ(shown["status"]["phase"], 0);
  EXPECT_EQ(shown["status"]["percentage"], 50);
  EXPECT_EQ(Weir({"rollout", "pause", "fraud-1-1-0", "--reason", "lunch"}).exit_code, 0);
  EXPECT_EQ(WeirJson({"rollout", "status", "fraud-1-1-0"})["status"]["state"], "paused");
  EXPECT_EQ(Weir({"rollout", "pause", "fraud-1-1-0"}).exit_code, 1) << "it is paused already";
  EXPECT_EQ(Weir({"rollout", "resume", "fraud-1-1-0"}).exit_code, 0);
  EXPECT_EQ(Weir({"rollout", "rollback", "fraud-1-1-0", "--reason", "no"}).exit_code, 0);
  const Output waited = Weir({"rollout", "status", "--wait", "fraud-1-1-0"});
  EXPECT_EQ(waited.exit_code, 1) << "it ended rolled back: " << waited.Text();
  const Json history = WeirJson({"rollout", "history", "fraud-1-1-0"});
  EXPECT_NE(history.dump().find("lunch"), std::string::npos) << history;
}

TEST_F(Cli, StatusNodesAndEmergency) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_EQ(Weir({"emergency", "baseline", "on", "--reason", "drill"}).exit_code, 0);
  const Json list = WeirJson({"node", "list"});
  ASSERT_EQ(list["items"].size(), 2u) << list;
  for (const Json& row : list["items"]) {
    EXPECT_EQ(row["state"], "ready");
    EXPECT_GT(row["snapshot"]["epoch"], 0);
    EXPECT_TRUE(row["labels"].is_object());
    EXPECT_TRUE(row["last_seen_ms"].is_number());
  }
  const Output status = Weir({"status"});
  EXPECT_EQ(status.exit_code, 0) << status.Text();
  EXPECT_NE(status.out.find("weir emergency baseline off"), std::string::npos) << status.Text();
  EXPECT_EQ(Weir({"emergency", "baseline", "off"}).exit_code, 0);
  EXPECT_EQ(api().Get("/v1/status").json["emergency"]["rollback_to_baseline"], false);
}

TEST_F(Cli, ExitCodesTellUsageUnreachableAndTimeoutApart) {
  EXPECT_EQ(Weir({"get", "models"}).exit_code, 3) << "nobody listens there";
  EXPECT_EQ(Weir({}).exit_code, 2);
  const Output unknown = Weir({"rolout", "list"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.err.find("rollout"), std::string::npos) << unknown.Text();
  EXPECT_EQ(Weir({"get", "models", "--no-such-flag"}).exit_code, 2);
  EXPECT_EQ(Weir({"get", "nonsense/x"}).exit_code, 2);
  EXPECT_EQ(Weir({"diff", "-f", dir.path() + "/missing.yaml"}).exit_code, 2) << "1 says: differs";

  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  node(0).Signal(SIGSTOP);
  const Output late = Weir({"--timeout", "500ms", "flag", "create", "checkout"});
  node(0).Signal(SIGCONT);
  EXPECT_EQ(late.exit_code, 4) << late.Text();
  EXPECT_NE(late.err.find("0/1"), std::string::npos) << late.Text();
  EXPECT_EQ(api().Get("/v1/flags/checkout").status, 200) << "committed all the same";
  ASSERT_TRUE(WaitFor("the node wakes", [&] { return EveryoneIsAtHead(); }));
}

}  // namespace
}  // namespace weir::integration
