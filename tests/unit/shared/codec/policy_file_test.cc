// SPDX-License-Identifier: Apache-2.0
// Policies in the source documents' shape.
#include "shared/codec/policy_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "shared/base/text.h"
#include "shared/domain/policy.h"
#include "tests/unit/shared/codec/read_files.h"

namespace weir::codec {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kTwoPolicies[] = R"(policies:
  - id: default-ttft
    name: Default TTFT Policy
    description: keeps the first token quick
    enabled: true
    priority: 100
    dryRun: true
    cooldownMs: 90000
    maxExecutions: 3
    slos:
      - {name: TTFT P95, metric: ttft, threshold: 200, windowMs: 60000, severity: medium}
      - {name: slow, metric: latency_p99, comparison: lt, threshold: 500, window: 5m,
         modelId: llama-70b, tenantId: premium, severity: critical, keepFiringForMs: 30000}
    remediations:
      - {type: scale_up, target: batch_queue, params: {increment: 2, maxBatchSize: 32},
         reason: more slots}
      - {type: throttle, target: governor, params: {rate: 0.8, duration_ms: 300000}}
      - {type: alert, target: governor, params: {channel: ops}}
  - name: "Error rate: too high!"
    slos: [{name: errors, metric: error_rate, comparison: lte, threshold: 0.05}]
    remediations:
      - {action: rollback, target: fraud-1-1-0}
      - {type: shedLoad, params: {percent: 25, durationMs: 60000}, slos: [errors]}
)";

TEST(PolicyFile, AListBecomesPoliciesWithOurFields) {
  const FileContent content = ReadResources(kTwoPolicies, "policies.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  ASSERT_THAT(content.documents, SizeIs(2));
  EXPECT_EQ(content.documents[0].name, "default-ttft");
  EXPECT_EQ(content.documents[0].line, 2);
  const domain::PolicySpec ttft = SpecOf(content.documents[0]);
  EXPECT_EQ(ttft.description, "keeps the first token quick");
  EXPECT_TRUE(ttft.enabled);
  EXPECT_TRUE(ttft.dry_run);
  EXPECT_EQ(ttft.priority, 100);
  EXPECT_EQ(ttft.cooldown.ms, 90'000);
  EXPECT_EQ(ttft.max_executions, 3u);
  ASSERT_THAT(ttft.slos, SizeIs(2));
  EXPECT_EQ(ttft.slos[0].name, "ttft-p95");
  EXPECT_EQ(ttft.slos[0].metric, "p95_ttft_ms");
  EXPECT_EQ(ttft.slos[0].threshold, 200);
  EXPECT_EQ(ttft.slos[0].window.ms, 60'000);
  EXPECT_FALSE(ttft.slos[0].keep_firing_for.has_value());
  EXPECT_EQ(ttft.slos[0].severity, "warning");
  EXPECT_EQ(ttft.slos[1].keep_firing_for, domain::DurationMs{30'000});
  EXPECT_EQ(ttft.slos[1].metric, "p99_latency_ms");
  EXPECT_EQ(ttft.slos[1].comparison, "<") << "what must hold";
  EXPECT_EQ(ttft.slos[1].window.ms, 300'000);
  EXPECT_EQ(ttft.slos[1].model, "llama-70b");
  EXPECT_EQ(ttft.slos[1].tenant, "premium");
  ASSERT_THAT(ttft.remediations, SizeIs(3));
  EXPECT_EQ(ttft.remediations[0].action, "scale_up");
  EXPECT_EQ(ttft.remediations[0].step, 2);
  EXPECT_EQ(ttft.remediations[0].target, "") << "batch_queue is nothing of Weir's";
  EXPECT_EQ(ttft.remediations[0].reason, "more slots");
  EXPECT_EQ(ttft.remediations[1].factor, 0.8);
  EXPECT_EQ(ttft.remediations[1].duration.ms, 300'000);
  EXPECT_EQ(ttft.remediations[2].action, "alert");

  EXPECT_EQ(content.documents[1].name, "error-rate-too-high");
  const domain::PolicySpec errors = SpecOf(content.documents[1]);
  EXPECT_EQ(errors.description, "Error rate: too high!") << "the title is not lost";
  EXPECT_EQ(errors.slos[0].comparison, "<=");
  EXPECT_EQ(errors.remediations[0].target, "fraud-1-1-0");
  EXPECT_EQ(errors.remediations[1].action, "shed_load");
  EXPECT_EQ(errors.remediations[1].share, 0.25);
  EXPECT_EQ(errors.remediations[1].duration.ms, 60'000);
}

TEST(PolicyFile, WhatIsLeftOutIsNamed) {
  const FileContent content = ReadResources(kTwoPolicies, "policies.yaml");
  EXPECT_THAT(Texts(content.warnings),
              ElementsAre(AllOf(HasSubstr("14: policies[0].remediations "),
                                HasSubstr("batch_queue, governor")),
                          AllOf(HasSubstr("15: policies[0].remediations[0].params "),
                                HasSubstr("maxBatchSize is left out")),
                          AllOf(HasSubstr("policies[0].remediations[2].params "),
                                HasSubstr("channel is left out"), HasSubstr("Sink"))));
}

TEST(PolicyFile, WhatComesOutIsAppliedAsAResource) {
  const FileContent content = ReadResources(kTwoPolicies, "policies.yaml");
  ASSERT_THAT(content.documents, SizeIs(2));
  for (const ResourceDocument& document : content.documents) {
    const FileContent posted = ReadResources(DocumentToJson(document).dump(), "-");
    EXPECT_THAT(Texts(posted.errors), IsEmpty());
    ASSERT_THAT(posted.documents, SizeIs(1));
    EXPECT_EQ(posted.documents[0].spec, document.spec);
  }
}

TEST(PolicyFile, OnePolicyMayBeTheFileOrAMappingByName) {
  const FileContent one = ReadResources(
      R"({"id": "p", "selector": {"team": "risk"}, "slos": [{"metric": "error_rate"}]})", "p.json");
  EXPECT_THAT(Texts(one.errors), IsEmpty());
  ASSERT_THAT(one.documents, SizeIs(1));
  EXPECT_EQ(one.documents[0].name, "p");
  EXPECT_EQ(SpecOf(one.documents[0]).selector.at("team"), "risk");
  const FileContent mapping = ReadResources(
      "version: 1\npolicies:\n  quick: {slos: [{metric: latency, threshold: 200}]}\n", "p.yaml");
  EXPECT_THAT(Texts(mapping.errors), IsEmpty());
  ASSERT_THAT(mapping.documents, SizeIs(1));
  EXPECT_EQ(mapping.documents[0].name, "quick");
  EXPECT_EQ(SpecOf(mapping.documents[0]).slos[0].metric, "p95_latency_ms");
}

TEST(PolicyFile, ErrorsStandWhereTheFileHasThem) {
  const FileContent content = ReadResources(R"(policies:
  - id: a
    slos:
      - {metric: eror_rate, threshold: 0.05}
      - {metric: error_rate, threshold: 5, windowMs: 100}
    remediations:
      - {type: throttle, params: {rate: 80}}
      - {type: reboot}
  - id: b
    slos: [{metric: error_rate, threshold: 0.1, colour: red}]
  - id: c
    slos: [{metric: latency, threshold: 1, window: 1m, windowMs: 60000}]
  - id: d
    cooldownMs: soon
    slos: [{metric: latency, threshold: 1}]
  - slos: [{metric: latency, threshold: 1}]
  - 7
)",
                                            "p.yaml");
  EXPECT_THAT(
      Texts(content.errors),
      ElementsAre(HasSubstr("4: policies[0].slos[0].metric \"eror_rate\""),
                  AllOf(HasSubstr("5: policies[0].slos[1].threshold 5"), HasSubstr("5 % is 0.05")),
                  HasSubstr("5: policies[0].slos[1].windowMs is not in 1s..35d"),
                  HasSubstr("7: policies[0].remediations[0].params.rate 80"),
                  HasSubstr("8: policies[0].remediations[1].type \"reboot\""),
                  HasSubstr("10: policies[1].slos[0].colour"),
                  HasSubstr("12: policies[2].slos[0].windowMs means window, which is given too"),
                  HasSubstr("14: policies[3].cooldownMs \"soon\" is text, but a whole number of"),
                  HasSubstr("16: policies[4].name is missing"),
                  HasSubstr("17: policies[5] 7 is a number, but a policy is a mapping")));
  EXPECT_THAT(content.documents, IsEmpty());
}

TEST(PolicyFile, AThroughputWithoutComparisonSaysHowItIsRead) {
  const FileContent content =
      ReadResources("slos: [{metric: throughput, threshold: 1000}]\nid: most\n", "p.yaml");
  EXPECT_THAT(Texts(content.warnings),
              ElementsAre(AllOf(HasSubstr("slos[0].metric must be at least"),
                                HasSubstr("comparison: lte"), HasSubstr("tokens_per_second"))));
}

TEST(PolicyFile, APercentOfAThrottleSaysHowItIsRead) {
  const FileContent content = ReadResources(
      "id: p\nslos: [{metric: error_rate}]\n"
      "remediations: [{type: throttle, params: {percent: 80}}]\n",
      "p.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  EXPECT_EQ(SpecOf(content.documents.at(0)).remediations[0].factor, 0.8);
  EXPECT_THAT(Texts(content.warnings), ElementsAre(HasSubstr("factor: 0.8")));
}

TEST(PolicyFile, SwitchesOfTheRuntimeStayFlags) {
  const FileContent content = ReadResources(
      "qos_monitor:\n  enabled: true\n  evaluator: {enabled: true}\n"
      "  executor: {enabled: true, dry_run: false}\n  policy_store: {enabled: true}\n",
      "runtime.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  std::vector<std::string> names;
  for (const ResourceDocument& document : content.documents) {
    EXPECT_EQ(document.kind, domain::Kind::kFlag);
    names.push_back(document.name);
  }
  EXPECT_THAT(names,
              testing::UnorderedElementsAre("qos_monitor", "qos_monitor.evaluator",
                                            "qos_monitor.executor", "qos_monitor.policy_store"));
  const auto executor = std::find(names.begin(), names.end(), "qos_monitor.executor");
  ASSERT_NE(executor, names.end());
  const auto index = static_cast<size_t>(executor - names.begin());
  EXPECT_EQ(content.documents[index].spec["metadata"]["dry_run"], false);
}

TEST(PolicyFile, TheExamplesAreRight) {
  for (const char* name : {"latency-policy", "burn-rate-policy", "fraud-limit", "openslo"}) {
    const std::string path = fmt::format("{}/config/examples/{}.yaml", WEIR_SOURCE_DIR, name);
    const FileContent content = ReadResources(*ReadFile(path), path);
    EXPECT_THAT(Texts(content.errors), IsEmpty());
    EXPECT_THAT(Texts(content.warnings), IsEmpty());
    EXPECT_THAT(content.documents, SizeIs(1)) << path;
  }
}

TEST(PolicyFile, ComparisonsAreReadInWordsAndSigns) {
  for (const auto& [word, sign] :
       {std::pair("lt", "<"), std::pair("LTE", "<="), std::pair("greaterThan", ">"),
        std::pair("gte", ">="), std::pair(">=", ">="), std::pair("between", "between")}) {
    EXPECT_EQ(CanonicalComparison(word), sign) << word;
  }
}

}  // namespace
}  // namespace weir::codec
