// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/canary_env.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "shared/base/text.h"
#include "shared/codec/resource.h"

namespace weir::control::cli {
namespace {

using codec::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const char kBlocks[] = WEIR_SOURCE_DIR "/tests/golden/seed_blocks/";

std::map<std::string, std::string> Scan(const std::string& text) {
  std::vector<std::string> notes;
  return ScanVariables(text, notes);
}

CanaryEnv Env(const std::string& text) {
  const auto env = ReadCanaryEnv(Scan(text));
  EXPECT_TRUE(env.ok()) << env.status().ToString();
  return env.ok() ? *env : CanaryEnv{};
}

CanaryOptions Fraud() { return {.model = "fraud", .stable_version = "", .runtime = "predict"}; }

// As the control plane shows them after the first import, at `percentage`.
CanaryWorld Running(double percentage, const std::string& state = "progressing") {
  CanaryWorld world;
  world.model = {{"metadata", {{"name", "fraud"}}},
                 {"spec",
                  {{"stable", "1.0.0"},
                   {"versions",
                    {{"1.0.0", {{"runtime", "predict"}, {"url", "http://a"}}},
                     {"1.1.0", {{"runtime", "predict"}, {"url", "http://b"}}}}}}}};
  world.rollout = {{"metadata", {{"name", "fraud-1.1.0"}}},
                   {"spec",
                    {{"model", "fraud"},
                     {"candidate", "1.1.0"},
                     {"phases", Json::array({{{"name", "canary"}, {"percentage", percentage}}})}}},
                   {"status", {{"state", state}}}};
  return world;
}

constexpr char kFirst[] =
    "ML_CANARY_ENABLED=true\nML_CANARY_MODEL_VERSION=1.1.0\nML_CANARY_TRAFFIC_PERCENT=1\n"
    "ML_INFERENCE_SERVICE_URL=http://a\nML_CANARY_SERVICE_URL=http://b\n";

TEST(CanaryEnv, EveryBlockOfTheDocumentIsRead) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kBlocks))
    files += entry.path().extension() == ".env" ? 1 : 0;
  size_t rows = 0;
  for (const std::string& row : Split(*ReadFile(std::string(kBlocks) + "expected_env.tsv"), '\n')) {
    if (row.empty() || row[0] == '#') continue;
    ++rows;
    const auto cells = Split(row, '\t');
    SCOPED_TRACE(cells[0]);
    const CanaryEnv env = Env(*ReadFile(kBlocks + cells[0] + ".env"));
    EXPECT_EQ(env.enabled ? (*env.enabled ? "true" : "false") : "-", cells[1]);
    EXPECT_EQ(env.version.empty() ? "-" : env.version, cells[2]);
    EXPECT_EQ(env.percent ? fmt::format("{}", *env.percent) : "-", cells[3]);
    EXPECT_EQ(env.stable_url.empty() ? "-" : env.stable_url, cells[4]);
    EXPECT_EQ(env.canary_url.empty() ? "-" : env.canary_url, cells[5]);
  }
  EXPECT_EQ(rows, files);
  EXPECT_EQ(rows, 9u);
}

TEST(CanaryEnv, ScriptsAndManifestsAreReadAlike) {
  const auto percent = Pair("ML_CANARY_TRAFFIC_PERCENT", "5");
  for (const char* text :
       {"ML_CANARY_TRAFFIC_PERCENT=5", "export ML_CANARY_TRAFFIC_PERCENT='5' # a few\r\n",
        "kubectl set env deployment/backend \\\n  ML_CANARY_TRAFFIC_PERCENT=5 \\\n  -n production",
        "data:\n  ML_CANARY_TRAFFIC_PERCENT: \"5\"\n",
        "env:\n- name: ML_CANARY_TRAFFIC_PERCENT\n  value: \"5\"\n",
        "docker run -e \"ML_CANARY_TRAFFIC_PERCENT=5\" x; echo"}) {
    EXPECT_THAT(Scan(text), ElementsAre(percent)) << text;
  }
  EXPECT_THAT(Scan("# ML_CANARY_TRAFFIC_PERCENT=5\nXML_CANARY_TRAFFIC_PERCENT=5\n"), IsEmpty());
  std::vector<std::string> notes;
  ScanVariables("ML_CANARY_TRAFFIC_PERCENT=25\nML_CANARY_TRAFFIC_PERCENT=10\n", notes);
  EXPECT_THAT(notes, ElementsAre(HasSubstr("more than once; the last value counts: 10")));
}

TEST(CanaryEnv, WrongValuesNameTheVariable) {
  const std::pair<const char*, const char*> wrong[] = {
      {"ML_CANARY_ENABLED=maybe", "ML_CANARY_ENABLED: \"maybe\" is neither true nor false"},
      {"ML_CANARY_TRAFFIC_PERCENT=110", "ML_CANARY_TRAFFIC_PERCENT: 110 is not in 0..100"},
      {"ML_CANARY_TRAFFIC_PERCENT=few", "ML_CANARY_TRAFFIC_PERCENT: \"few\" is not a percentage"},
      {"ML_CANARY_SERVICE_URL=ml:8000", "ML_CANARY_SERVICE_URL: \"ml:8000\" is not a URL"},
      {"ML_CANARY_MODEL_VERSION='1 1'", "ML_CANARY_MODEL_VERSION: \"1 1\""},
      {"PATH=/bin", "none of ML_CANARY_ENABLED"}};
  for (const auto& [text, message] : wrong)
    EXPECT_THAT(ReadCanaryEnv(Scan(text)).status().ToString(), HasSubstr(message));
}

TEST(CanaryEnv, TheFirstImportMakesAModelAndARollout) {
  const auto plan = PlanCanary(Env(kFirst), {}, Fraud());
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_EQ(plan->rollout, "fraud-1.1.0");
  EXPECT_EQ(plan->verb, "");
  const codec::FileContent content = codec::ReadResources(plan->resources.dump(), "body");
  ASSERT_THAT(content.errors, IsEmpty()) << content.errors[0].path << content.errors[0].message;
  ASSERT_EQ(content.documents.size(), 2u);
  const Json& model = content.documents[0].spec;
  EXPECT_EQ(model["stable"], "1.0.0");
  EXPECT_EQ(model["versions"]["1.0.0"], (Json{{"runtime", "predict"}, {"url", "http://a"}}));
  EXPECT_EQ(model["versions"]["1.1.0"]["url"], "http://b");
  const Json& rollout = content.documents[1].spec;
  EXPECT_EQ(rollout["candidate"], "1.1.0");
  EXPECT_EQ(rollout["start"], "auto");
  ASSERT_EQ(rollout["phases"].size(), 1u);
  EXPECT_EQ(rollout["phases"][0]["percentage"], 1);
  EXPECT_EQ(rollout["phases"][0]["gates"][0]["type"], "manual_approval");
}

TEST(CanaryEnv, ARestartWithAnotherPercentageRaisesIt) {
  const auto plan = PlanCanary(Env("ML_CANARY_TRAFFIC_PERCENT=10"), Running(1), Fraud());
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  ASSERT_EQ(plan->resources.size(), 1u) << "nothing is said of the services";
  EXPECT_EQ(plan->resources[0]["metadata"]["name"], "fraud-1.1.0");
  EXPECT_EQ(plan->resources[0]["spec"]["candidate"], "1.1.0");
  EXPECT_EQ(plan->resources[0]["spec"]["start"], "auto");
  EXPECT_EQ(plan->resources[0]["spec"]["phases"][0]["percentage"], 10);
  EXPECT_THAT(plan->lines[0], HasSubstr("goes from 1 % to 10 %"));
}

TEST(CanaryEnv, SwitchedOffItIsAbortedAndOnAgainRetried) {
  const auto off = PlanCanary(Env("ML_CANARY_ENABLED=false"), Running(50), Fraud());
  ASSERT_TRUE(off.ok());
  EXPECT_EQ(off->verb, "abort");
  EXPECT_THAT(off->resources, IsEmpty());
  const auto still =
      PlanCanary(Env("ML_CANARY_TRAFFIC_PERCENT=5"), Running(50, "aborted"), Fraud());
  ASSERT_TRUE(still.ok());
  EXPECT_EQ(still->verb, "") << "a percentage alone does not switch it on";
  const auto on = PlanCanary(Env("ML_CANARY_ENABLED=true"), Running(50, "aborted"), Fraud());
  ASSERT_TRUE(on.ok());
  EXPECT_EQ(on->verb, "retry");
  EXPECT_EQ(on->resources[0]["spec"]["phases"][0]["percentage"], 50);
  std::string text = kFirst;
  text.replace(text.find("true"), 4, "false");
  const auto never = PlanCanary(Env(text), {}, Fraud());
  ASSERT_TRUE(never.ok());
  EXPECT_EQ(never->resources[1]["spec"]["start"], "manual");
}

TEST(CanaryEnv, WhatIsMissingIsNamed) {
  const auto message = [](const std::string& text, const CanaryWorld& world) {
    return PlanCanary(Env(text), world, Fraud()).status().ToString();
  };
  EXPECT_THAT(message("ML_CANARY_TRAFFIC_PERCENT=10", {}),
              HasSubstr("ML_CANARY_MODEL_VERSION: is missing"));
  EXPECT_THAT(message("ML_CANARY_MODEL_VERSION=1.1.0", {}),
              HasSubstr("ML_INFERENCE_SERVICE_URL: is missing, and fraud has no version 1.0.0"));
  CanaryWorld world = Running(1);
  world.rollout = Json();
  EXPECT_THAT(message("ML_CANARY_MODEL_VERSION=1.2.0\nML_CANARY_ENABLED=true", world),
              HasSubstr("ML_CANARY_SERVICE_URL: is missing"));
  EXPECT_THAT(message("ML_CANARY_MODEL_VERSION=1.1.0\nML_CANARY_ENABLED=true", world),
              HasSubstr("ML_CANARY_TRAFFIC_PERCENT: is missing"));
  EXPECT_THAT(message("ML_CANARY_ENABLED=true", Running(1, "rolling_back")),
              HasSubstr("is rolling_back"));
  world.model["spec"]["versions"]["1.1.0"] = {{"runtime", "xgboost"}, {"blob", "sha256:x"}};
  EXPECT_THAT(message(kFirst, world), HasSubstr("which is a file"));
}

TEST(CanaryEnv, WhatPromotionsDidStays) {
  CanaryWorld world = Running(100, "promoted");
  world.model["spec"]["stable"] = "1.1.0";
  const auto plan = PlanCanary(Env("ML_CANARY_MODEL_VERSION=1.1.0"), world, Fraud());
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_THAT(plan->resources, IsEmpty());
  EXPECT_THAT(plan->lines, ElementsAre(HasSubstr("is the stable version of fraud already")));
}

}  // namespace
}  // namespace weir::control::cli
