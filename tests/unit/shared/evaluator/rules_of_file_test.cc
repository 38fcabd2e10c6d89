// SPDX-License-Identifier: Apache-2.0
#include "shared/evaluator/rules_of_file.h"

#include <gtest/gtest.h>

#include "shared/codec/domain_fields.h"
#include "shared/decision/decide.h"

namespace weir::evaluator {
namespace {

constexpr int64_t kNow = 1'763'683'200'000;

decision::Ruleset Rules(std::string_view text) {
  auto rules = RulesOfText(text, "file.yaml", kNow);
  EXPECT_TRUE(rules.ok()) << rules.status().ToString();
  return rules.ok() ? *std::move(rules) : decision::Ruleset();
}

std::string ErrorOf(std::string_view text) {
  return RulesOfText(text, "file.yaml", kNow).status().ToString();
}

TEST(RulesOfFile, TakesTheDocumentsFlagFile) {
  const decision::Ruleset rules = Rules(R"(
phase4_rollout: {enabled: true, percentage: 0, hash_seed: p}
ttft_pipeline:
  enabled: true
  rollout_percentage: 10
  hash_seed: "ttft-pipeline-2025-01-08"
  warmup_queue: {enabled: true}
observability: {log_feature_decisions: true}
emergency: {kill_switch: false, rollback_to_baseline: false}
)");
  EXPECT_EQ(rules.epoch, 0u);
  const decision::Flag* flag = rules.flags().Find("ttft_pipeline");
  ASSERT_NE(flag, nullptr);
  EXPECT_EQ(flag->threshold, 10'000u);
  EXPECT_EQ(flag->seed, "ttft-pipeline-2025-01-08");
  EXPECT_EQ(decision::DecideFlag(rules, "ttft_pipeline", "k", 0).detail, "phase4_rollout");
  EXPECT_EQ(decision::DecideFlag(rules, "ttft_pipeline.warmup_queue", "k", 0).detail,
            "ttft_pipeline");
}

TEST(RulesOfFile, KeepsTheFilesEmergency) {
  EXPECT_TRUE(Rules("emergency: {kill_switch: true}").emergency.kill_switch);
  EXPECT_TRUE(Rules("emergency: {rollback_to_baseline: true}").emergency.baseline);
}

constexpr char kRollout[] = R"(
apiVersion: weir/v1
kind: Flag
metadata: {name: f}
spec: {enabled: true, rollout_percentage: 0}
---
apiVersion: weir/v1
kind: Model
metadata: {name: m}
spec: {stable: "1", versions: {"1": {uri: m1.json}, "2": {uri: m2.json}}}
---
apiVersion: weir/v1
kind: Rollout
metadata: {name: r}
spec:
  flag: f
  START
  phases: [{name: first, percentage: 25, duration: 1h}, {name: all, percentage: 100}]
---
apiVersion: weir/v1
kind: Rollout
metadata: {name: rm}
spec: {model: m, candidate: "2", phases: [{name: first, percentage: 5}]}
---
apiVersion: weir/v1
kind: Experiment
metadata: {name: e}
spec: {groups: [{name: control}, {name: treatment}]}
)";

TEST(RulesOfFile, StartsRolloutsAtTheirFirstPhaseUnlessTheyWait) {
  std::string text = kRollout;
  const size_t at = text.find("START");
  const decision::Ruleset started = Rules(text.replace(at, 5, ""));
  ASSERT_NE(started.flag_splits().Find("f"), nullptr);
  EXPECT_EQ(started.flag_splits().Find("f")->threshold, 25'000u);
  EXPECT_EQ(started.model_splits().Find("m")->threshold, 5'000u);
  EXPECT_EQ(started.models().Find("m")->versions.size(), 2u);
  EXPECT_EQ(started.experiments().Find("e")->total, 2u);
  const decision::Ruleset waiting = Rules(text.insert(at, "start: manual"));
  EXPECT_FALSE(decision::DecideFlag(waiting, "f", "k", 0).enabled);
}

TEST(RulesOfFile, SaysWhereTheFirstErrorIsAndHowManyMoreThereAre) {
  const std::string error = ErrorOf(
      "a: {enabled: true, rollout_percentage: 140, hash_seed: s}\n"
      "b: {enabled: maybe}\n");
  EXPECT_EQ(error.rfind("file.yaml:1: a.rollout_percentage: 140", 0), 0u) << error;
  EXPECT_NE(error.find("(and 1 more error"), std::string::npos) << error;
  EXPECT_NE(ErrorOf("").find("file.yaml"), std::string::npos);
  EXPECT_NE(ErrorOf("{").find("file.yaml"), std::string::npos);
}

// A block that only edits has nothing to edit here.
TEST(RulesOfFile, RefusesAnEditOfWhatIsNotThere) {
  const std::string error = ErrorOf("ttft_pipeline:\n  rollout_percentage: 10\n");
  EXPECT_EQ(error.rfind("file.yaml:", 0), 0u) << error;
  EXPECT_NE(error.find("ttft_pipeline.hash_seed"), std::string::npos) << error;
}

codec::Json Snapshot() {
  domain::FlagEntry flag;
  flag.name = "colour";
  flag.enabled = true;
  flag.variants = {{"grey", {"\"#888\""}}, {"red", {"\"#f00\""}}};
  flag.default_variant = "red";
  flag.off_variant = "grey";
  flag.targeting = {R"({"if":[{"==":[{"var":"tier"},"gold"]},"grey"]})"};
  flag.schedule = {{5000, std::nullopt, std::nullopt, "grey"}};
  domain::SplitEntry split;
  split.rollout = "r";
  split.model = "m";
  split.candidate = "2";
  split.threshold = 7;
  domain::ModelEntry model;
  model.name = "m";
  model.stable = "1";
  domain::ExperimentEntry experiment;
  experiment.name = "e";
  experiment.groups = {{"control", 1}, {"treatment", 3}};
  domain::ObservabilityEntry observability;
  observability.name = "default";
  observability.settings.metric_prefix = "mlx";
  const auto item = [](const char* kind, const char* name, codec::Json entry) {
    return codec::Json{{"kind", kind}, {"name", name}, {"entry", std::move(entry)}};
  };
  return {{"epoch", 7},
          {"version", 12},
          {"digest", "00"},
          {"emergency", {{"kill_switch", false}, {"freeze", true}}},
          {"entries",
           {item("flag", "colour", codec::ToJson(flag)), item("split", "r", codec::ToJson(split)),
            item("model", "m", codec::ToJson(model)),
            item("experiment", "e", codec::ToJson(experiment)),
            item("observability", "default", codec::ToJson(observability))}}};
}

TEST(RulesOfSnapshot, HasEveryEntryAsItWas) {
  const decision::Ruleset rules = Rules(Snapshot().dump());
  EXPECT_EQ(rules.epoch, 7u);
  EXPECT_EQ(rules.version, 12u);
  EXPECT_TRUE(rules.emergency.freeze);
  EXPECT_EQ(decision::DecideFlag(rules, "colour", "k", 0).value, "\"#f00\"");
  EXPECT_EQ(decision::DecideFlag(rules, "colour",
                                 {.key = "", .random = 0, .now_wall_ms = 5000, .context = {}})
                .value,
            "\"#888\"");
  EXPECT_EQ(rules.model_splits().Find("m")->threshold, 7u);
  EXPECT_EQ(rules.experiments().Find("e")->total, 4u);
  EXPECT_EQ(rules.observability().metric_prefix, "mlx");
}

TEST(RulesOfSnapshot, SaysWhatIsWrongWithIt) {
  codec::Json snapshot = Snapshot();
  snapshot["entries"][1]["entry"]["threshold"] = "many";
  std::string error = ErrorOf(snapshot.dump());
  EXPECT_EQ(error.rfind("file.yaml: entries[1].entry.threshold: ", 0), 0u) << error;
  snapshot = Snapshot();
  snapshot["entries"][0]["kind"] = "flagg";
  error = ErrorOf(snapshot.dump());
  EXPECT_EQ(error.rfind("file.yaml: entries[0].kind: \"flagg\"", 0), 0u) << error;
}

}  // namespace
}  // namespace weir::evaluator
