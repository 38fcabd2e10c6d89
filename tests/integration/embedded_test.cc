// SPDX-License-Identifier: Apache-2.0
// The library that other programs link answers what a node answers, from the snapshot it has.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "shared/evaluator/decision.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Embedded : public ClusterTest {
 protected:
  void Apply(const std::string& text) {
    const Answer answer =
        api().Call("POST", "/v1/apply", text, {{"Content-Type", "application/yaml"}});
    ASSERT_EQ(answer.status, 200) << answer;
  }
  // The row of `weir explain`, as the library sees it.
  static Json Row(const Evaluation& evaluation) {
    Json row = {
        {"flag", evaluation.flag}, {"enabled", evaluation.enabled}, {"reason", evaluation.reason}};
    if (!evaluation.value.empty()) row["value"] = Json::parse(evaluation.value);
    if (!evaluation.variant.empty()) row["variant"] = evaluation.variant;
    if (!evaluation.error.empty()) row["error"] = evaluation.error;
    if (!evaluation.detail.empty()) row["detail"] = evaluation.detail;
    if (evaluation.bucket) row["bucket"] = *evaluation.bucket;
    if (evaluation.threshold) row["threshold"] = *evaluation.threshold;
    return row;
  }
};

constexpr char kFile[] = R"(
phase4_rollout: {enabled: true, percentage: 80, hash_seed: phase4-rollout-2025-01-08}
ttft_pipeline:
  enabled: true
  rollout_percentage: 30
  hash_seed: ttft-pipeline-2025-01-08
  speculation: {enabled: true, allowlist_only: true, allowlist: [user-2, user-5]}
adaptive_governor: {enabled: false, rollout_percentage: 0, hash_seed: g}
)";
constexpr char kDefinitions[] = R"({"flags": {
  "colour": {"state": "ENABLED", "variants": {"red": {"rgb": [15, 0, 0]}, "grey": {"rgb": [8, 8, 8]}},
             "defaultVariant": "red",
             "targeting": {"if": [{"ends_with": [{"var": "email"}, "@b.c"]}, "grey"]}},
  "mix": {"state": "ENABLED", "variants": {"a": 1, "b": 2.5}, "defaultVariant": "a",
          "targeting": {"fractional": [["a", 50], ["b", 50]]}},
  "gone": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"}}})";

TEST_F(Embedded, AnswersWhatANodeAnswersFromItsSnapshot) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Apply(kFile));
  ASSERT_NO_FATAL_FAILURE(Apply(Json::parse(kDefinitions).dump()));
  ASSERT_TRUE(WaitFor("the node has it", [&] { return EveryoneIsAtHead(); }));
  std::string error;
  const auto flags = Flags::FromText(api().Get("/v1/snapshot").text, &error);
  ASSERT_NE(flags, nullptr) << error;
  ASSERT_EQ(flags->AllFlags().size(), 7u);
  for (int i = 0; i < 40; ++i) {
    const std::string key = fmt::format("user-{}", i);
    const Json context = {{"email", i % 2 == 0 ? "a@b.c" : "a@d.e"}};
    const Answer answer =
        node(0).api().Post("/weir/v1/explain", {{"key", key}, {"context", context}});
    ASSERT_EQ(answer.status, 200) << answer;
    Json ours = Json::array();
    for (const FlagConfig& flag : flags->AllFlags())
      ours.push_back(Row(flags->Evaluate(flag.name, key, context.dump())));
    EXPECT_EQ(answer.json["flags"], ours) << key;
  }
  // So that equality means something: the answers differ from key to key.
  EXPECT_GT(flags->GetStats().flags["mix"].total_decisions, 0u);
  EXPECT_GT(flags->GetStats().flags["ttft_pipeline"].enabled_count, 0u);
  EXPECT_LT(flags->GetStats().flags["ttft_pipeline"].enabled_count, 40u);

  ASSERT_TRUE(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", true}}}}).ok());
  ASSERT_TRUE(flags->ReloadFrom(api().Get("/v1/snapshot").text, &error)) << error;
  EXPECT_TRUE(flags->KillSwitch());
  EXPECT_EQ(flags->Evaluate("ttft_pipeline", "user-2").reason, "KILL_SWITCH");
}

}  // namespace
}  // namespace weir::integration
