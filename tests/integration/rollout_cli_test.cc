// SPDX-License-Identifier: Apache-2.0
// Rollouts as people begin them: by a command, from environment variables, from the documents'
// files.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RolloutCli : public CliTest {
 protected:
  Json Show(const std::string& name) { return WeirJson({"rollout", "show", name}); }
  Output Import(const std::string& variables, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"import", "env", "--model",
                                          "fraud",  "-f",  Write("canary.env", variables)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Weir(arguments);
  }
};

TEST_F(RolloutCli, StartMakesARolloutOfAModel) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  Push({"1.0.0", "1.1.0"});
  const Output unknown = Weir({"rollout", "start", kModel, "--to", "1.1.1"});
  EXPECT_EQ(unknown.exit_code, 1) << unknown.Text();
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("has no version 1.1.1 (did you mean \"1.1.0\"?)"),
                                 HasSubstr("push it first: weir model push")));
  const Output which = Weir({"rollout", "start", kModel, "--steps", "1,100"});
  EXPECT_EQ(which.exit_code, 2) << which.Text();
  EXPECT_THAT(which.err, HasSubstr("--to: is missing: which version of fraud_detection?"));
  EXPECT_EQ(Weir({"rollout", "start", kModel, "--to", "1.0.0"}).exit_code, 1) << "is stable";
  EXPECT_EQ(Weir({"rollout", "start", kModel, "--to", "1.1.0", "--steps", "10,5"}).exit_code, 2);
  EXPECT_THAT(Weir({"rollout", "start", kModel}).err,
              HasSubstr("fraud_detection is a model: weir rollout start fraud_detection --to"));

  const Output started = Weir({"rollout", "start", kModel, "--to", "1.1.0", "--steps", "1,50,100",
                               "--every", "1h", "--min-requests", "10"});
  ASSERT_EQ(started.exit_code, 0) << started.Text();
  EXPECT_THAT(started.err, HasSubstr("1/1 nodes"));
  const Json rollout = Show("fraud_detection-1.1.0");
  EXPECT_EQ(rollout["status"]["state"], "progressing");
  EXPECT_EQ(rollout["status"]["percentage"], 1);
  ASSERT_EQ(rollout["spec"]["phases"].size(), 3u) << rollout;
  EXPECT_EQ(rollout["spec"]["phases"][1]["name"], "step-2");
  EXPECT_EQ(rollout["spec"]["phases"][1]["duration"], "1h");
  EXPECT_THAT(Weir({"rollout", "start", kModel, "--to", "1.1.0"}).err,
              HasSubstr("rollout fraud_detection-1.1.0 is progressing already"));

  ASSERT_EQ(Weir({"rollout", "rollback", "fraud_detection-1.1.0"}).exit_code, 0);
  ASSERT_TRUE(
      WaitFor("rolled back", [&] { return RolloutIs("fraud_detection-1.1.0", "rolled_back"); }));
  EXPECT_THAT(Weir({"rollout", "start", kModel, "--to", "1.1.0"}).err, HasSubstr("--force"));
  const Output again =
      Weir({"rollout", "start", kModel, "--to", "1.1.0", "--steps", "5,100", "--force"});
  ASSERT_EQ(again.exit_code, 0) << again.Text();
  EXPECT_EQ(Show("fraud_detection-1.1.0")["status"]["percentage"], 5);
  EXPECT_EQ(Show("fraud_detection-1.1.0")["spec"]["phases"][0]["min_requests"], 100);
  EXPECT_THAT(again.err, HasSubstr("each step waits for 100 requests of the canary"));
  // As before: the name of a rollout.
  ASSERT_EQ(Weir({"rollout", "abort", "fraud_detection-1.1.0"}).exit_code, 0);
  ASSERT_EQ(Weir({"rollout", "start", "fraud_detection-1.1.0"}).exit_code, 0);
  EXPECT_EQ(Show("fraud_detection-1.1.0")["status"]["state"], "progressing");

  const std::string name = "fraud_detection-1.1.0";
  EXPECT_EQ(Weir({"rollout", "rollback", name, "--emergency", "--graceful"}).exit_code, 2);
  const Output emergency = Weir({"rollout", "rollback", name, "--emergency", "--reason", "now"});
  ASSERT_EQ(emergency.exit_code, 0) << emergency.Text();
  EXPECT_EQ(Show(name)["status"]["rollback_kind"], "emergency");
  ASSERT_TRUE(WaitFor("rolled back", [&] { return RolloutIs(name, "rolled_back"); }));
  ASSERT_EQ(Weir({"rollout", "start", name, "--force"}).exit_code, 0);
  const Output graceful = Weir({"rollout", "rollback", name, "--graceful"});
  ASSERT_EQ(graceful.exit_code, 0) << graceful.Text();
  EXPECT_EQ(Show(name)["status"]["rollback_kind"], "graceful");
}

TEST_F(RolloutCli, StartMakesARolloutOfAFlag) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(Weir({"flag", "create", "checkout"}).exit_code, 0);
  EXPECT_THAT(Weir({"rollout", "start", "checkout", "--steps", "5,100"}).err,
              HasSubstr("is on for 100 % already, and the first step is 5 %: weir flag set"));
  ASSERT_EQ(Weir({"flag", "set", "checkout", "--percent", "0"}).exit_code, 0);
  const Output started = Weir({"rollout", "start", "checkout", "--flag", "--steps", "5,100"});
  ASSERT_EQ(started.exit_code, 0) << started.Text();
  EXPECT_THAT(started.err, HasSubstr("no model lists flag checkout"));
  const Json rollout = Show("checkout");
  EXPECT_EQ(rollout["spec"]["flag"], "checkout");
  EXPECT_EQ(rollout["status"]["percentage"], 5);
}

TEST_F(RolloutCli, VariablesAreImportedAndRaisedAsTheDocumentDoes) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const std::string first =
      "ML_CANARY_ENABLED=true\nML_CANARY_MODEL_VERSION=1.1.0\nML_CANARY_TRAFFIC_PERCENT=1\n"
      "ML_INFERENCE_SERVICE_URL=http://127.0.0.1:1\nML_CANARY_SERVICE_URL=http://127.0.0.1:2\n";
  const Output dry = Import(first, {"--dry-run"});
  ASSERT_EQ(dry.exit_code, 0) << dry.Text();
  EXPECT_THAT(dry.err, AllOf(HasSubstr("sends 1 % of users to 1.1.0"), HasSubstr("dry run")));
  EXPECT_EQ(Weir({"get", "model/fraud"}).exit_code, 1);

  const Output imported = Import(first);
  ASSERT_EQ(imported.exit_code, 0) << imported.Text();
  EXPECT_EQ(WeirJson({"get", "model/fraud"})["spec"]["versions"]["1.1.0"]["url"],
            "http://127.0.0.1:2");
  EXPECT_EQ(Show("fraud-1.1.0")["status"]["percentage"], 1);

  const Output raised = Import("export ML_CANARY_TRAFFIC_PERCENT=10\n");
  ASSERT_EQ(raised.exit_code, 0) << raised.Text();
  EXPECT_THAT(raised.err, HasSubstr("goes from 1 % to 10 %"));
  EXPECT_EQ(Show("fraud-1.1.0")["status"]["percentage"], 10);
  EXPECT_EQ(node(0).api().Get("/weir/v1/select?model=fraud&user_id=u").json["threshold"], 10000)
      << "and the node splits so";

  const Output off = Import("export ML_CANARY_ENABLED=false\n");
  ASSERT_EQ(off.exit_code, 0) << off.Text();
  EXPECT_EQ(Show("fraud-1.1.0")["status"]["state"], "aborted");
  ASSERT_EQ(Import(first).exit_code, 0);
  EXPECT_EQ(Show("fraud-1.1.0")["status"]["state"], "progressing");
  EXPECT_EQ(Show("fraud-1.1.0")["status"]["percentage"], 1);

  const Output nothing = Import("PATH=/bin\n");
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("none of ML_CANARY_ENABLED"));
}

TEST_F(RolloutCli, TheDocumentsFilesAndSchedulesApply) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const std::string source = WEIR_SOURCE_DIR;
  const std::string file = dir.path() + "/production_deployment.yaml";
  std::filesystem::copy_file(source + "/tests/golden/seed_blocks/003_01.yaml", file);
  for (const std::string& path : {file, source + "/config/examples/progressive-rollout.yaml",
                                  source + "/config/examples/service-canary.yaml"}) {
    const Output applied = Weir({"apply", "-f", path});
    ASSERT_EQ(applied.exit_code, 0) << applied.Text();
  }
  const std::pair<const char*, std::vector<double>> expected[] = {
      {"production_deployment", {1, 10, 100}},
      {"ttft-pipeline", {1, 10, 50, 100}},
      {"new-feature-by-weeks", {1, 10, 50, 100}},
      {"fraud-service-1-1-0", {1, 10, 50, 100}}};
  for (const auto& [name, percentages] : expected) {
    const Json rollout = Show(name);
    EXPECT_EQ(rollout["status"]["state"], "progressing") << name;
    EXPECT_EQ(rollout["status"]["percentage"], 1) << name;
    ASSERT_EQ(rollout["spec"]["phases"].size(), percentages.size()) << rollout;
    for (size_t i = 0; i < percentages.size(); ++i)
      EXPECT_EQ(rollout["spec"]["phases"][i]["percentage"], percentages[i]) << name;
  }
  EXPECT_THAT(Weir({"rollout", "status", "production_deployment"}).out,
              HasSubstr("user_satisfaction"));
  const Output rules = Weir({"apply", "-f", source + "/tests/golden/seed_blocks/002_01.yaml"});
  EXPECT_NE(rules.exit_code, 0);
  EXPECT_THAT(rules.err, HasSubstr("is an alerting rule of Prometheus"));
}

}  // namespace
}  // namespace weir::integration
