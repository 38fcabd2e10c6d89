// SPDX-License-Identifier: Apache-2.0
// The source documents' production_deployment.yaml, and what Rollouts may be written shorter with.
#include "shared/codec/deployment_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/rollout_text.h"
#include "tests/unit/shared/codec/read_files.h"

namespace weir::codec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const char kBlocks[] = WEIR_SOURCE_DIR "/tests/golden/seed_blocks/";

const ResourceDocument* Find(const FileContent& content, domain::Kind kind) {
  for (const ResourceDocument& document : content.documents) {
    if (document.kind == kind) return &document;
  }
  return nullptr;
}

domain::RolloutSpec RolloutOf(const FileContent& content) {
  const ResourceDocument* document = Find(content, domain::Kind::kRollout);
  EXPECT_NE(document, nullptr);
  if (document == nullptr) return {};
  Errors errors;
  const domain::Spec spec = SpecFromJson(domain::Kind::kRollout, document->spec, errors);
  EXPECT_THAT(errors, IsEmpty());
  return std::get<domain::RolloutSpec>(spec);
}

std::string Head(const std::string& spec) {
  return "apiVersion: weir/v1\nkind: Rollout\nmetadata: {name: r}\nspec:\n  model: m\n"
         "  candidate: '2'\n" +
         spec;
}

TEST(DeploymentFile, TheBlockOfTheDocumentsBecomesARollout) {
  const FileContent content = ReadResources(*ReadFile(std::string(kBlocks) + "003_01.yaml"),
                                            "deploy/production_deployment.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  ASSERT_EQ(content.documents.size(), 6u);
  const ResourceDocument& flag = *Find(content, domain::Kind::kFlag);
  EXPECT_EQ(flag.name, "production_deployment");
  EXPECT_EQ(flag.spec, (Json{{"enabled", true}, {"rollout_percentage", 0}}));
  const FileContent posted = ReadResources(DocumentToJson(flag).dump(), "-");
  EXPECT_THAT(Texts(posted.errors), IsEmpty());
  EXPECT_TRUE(posted.documents.at(0).only_if_absent);

  const ResourceDocument& document = *Find(content, domain::Kind::kRollout);
  EXPECT_EQ(document.name, "production_deployment");
  EXPECT_EQ(document.line, 2);
  EXPECT_EQ(document.metadata["annotations"]["emergency_contacts"],
            "engineering (on call), product");
  const domain::RolloutSpec rollout = RolloutOf(content);
  EXPECT_EQ(rollout.flag, "production_deployment");
  ASSERT_EQ(rollout.phases.size(), 3u);
  EXPECT_EQ(rollout.phases[0].name, "canary");
  EXPECT_EQ(rollout.phases[1].name, "limited_production") << "in the order of the text";
  EXPECT_EQ(rollout.phases[2].name, "full_production");
  EXPECT_EQ(rollout.phases[0].percentage, 1);
  EXPECT_EQ(rollout.phases[0].duration.ms, 86'400'000);
  EXPECT_EQ(rollout.phases[2].duration.ms, 0) << "null";
  ASSERT_EQ(rollout.phases[0].gates.size(), 3u);
  const domain::Gate& satisfaction = rollout.phases[0].gates[2];
  EXPECT_EQ(satisfaction.type, "metrics_threshold");
  EXPECT_EQ(satisfaction.metric, "user_satisfaction");
  EXPECT_EQ(satisfaction.condition, "> 0.95");

  const auto& triggers = rollout.rollback.triggers;
  ASSERT_EQ(triggers.size(), 3u);
  EXPECT_EQ(triggers[0].metric, "error_rate");
  EXPECT_EQ(triggers[0].comparison, ">");
  EXPECT_EQ(triggers[0].threshold, 0.02);
  EXPECT_EQ(triggers[0].action, "") << "rolls back";
  EXPECT_EQ(triggers[2].metric, "system_failure");

  const ResourceDocument& experiment = *Find(content, domain::Kind::kExperiment);
  EXPECT_EQ(experiment.name, "dspy_vs_traditional");
  EXPECT_EQ(experiment.spec["groups"],
            (Json{{{"name", "control"}, {"weight", 50}}, {{"name", "treatment"}, {"weight", 50}}}));
  EXPECT_EQ(experiment.metadata["annotations"]["duration"], "30d");
  EXPECT_EQ(experiment.metadata["annotations"]["configuration.treatment"],
            R"({"dspy_enabled":true})");
  EXPECT_THAT(
      Texts(content.warnings),
      ElementsAre(HasSubstr("2: deployment names no subject, so flag \"production_deployme"),
                  HasSubstr("26: deployment.experiments.dspy_vs_traditional keeps configur"),
                  HasSubstr("deployment.monitoring.alerts watch every model"),
                  HasSubstr("dashboards are left out (production_overview, experiment_r"),
                  HasSubstr("engineering, product are told in the control plane's log, unless")));
}

TEST(DeploymentFile, ItsAlertsBecomeAPolicyAndItsContactsSinks) {
  const FileContent content = ReadResources(*ReadFile(std::string(kBlocks) + "003_01.yaml"),
                                            "deploy/production_deployment.yaml");
  const ResourceDocument* policy = Find(content, domain::Kind::kPolicy);
  ASSERT_NE(policy, nullptr);
  EXPECT_EQ(policy->name, "production_deployment");
  Errors errors;
  const domain::Spec spec = SpecFromJson(domain::Kind::kPolicy, policy->spec, errors);
  EXPECT_THAT(errors, IsEmpty());
  const auto& slos = std::get<domain::PolicySpec>(spec).slos;
  ASSERT_EQ(slos.size(), 3u);
  EXPECT_EQ(slos[0].name, "error_rate");
  EXPECT_EQ(slos[0].warning, 0.01);
  EXPECT_EQ(slos[0].threshold, 0.02);
  EXPECT_EQ(slos[0].severity, "critical");
  EXPECT_EQ(slos[1].metric, "performance_degradation");
  EXPECT_EQ(slos[2].name, "response_time");
  EXPECT_EQ(slos[2].metric, "p95_latency_ms");
  EXPECT_EQ(slos[2].warning, 5000);
  EXPECT_EQ(slos[2].threshold, 10'000);

  std::map<std::string, bool> on_call;
  for (const ResourceDocument& document : content.documents) {
    if (document.kind != domain::Kind::kSink) continue;
    EXPECT_TRUE(document.only_if_absent) << "who gave it an address keeps that";
    EXPECT_EQ(document.spec["format"], "log");
    EXPECT_EQ(document.spec["team"], document.name);
    on_call[document.name] = document.spec.value("on_call", false);
  }
  EXPECT_EQ(on_call, (std::map<std::string, bool>{{"engineering", true}, {"product", false}}));
}

TEST(DeploymentFile, OneLevelAloneIsTheLimitAndOtherMetricsAreTriggers) {
  const std::string head =
      "deployment:\n  model: m\n  candidate: '2'\n  phases: {all: {percentage: 100}}\n"
      "  monitoring:\n    alerts:\n";
  const FileContent content = ReadResources(
      head + "      error_rate: {warning: 5%}\n      user_satisfaction: {critical: 0.9}\n", "f");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  const ResourceDocument* policy = Find(content, domain::Kind::kPolicy);
  ASSERT_NE(policy, nullptr);
  ASSERT_EQ(policy->spec["slos"].size(), 1u);
  EXPECT_EQ(policy->spec["slos"][0]["threshold"], 0.05);
  EXPECT_EQ(policy->spec["slos"][0]["severity"], "warning");
  EXPECT_EQ(policy->spec["slos"][0]["model"], "m");
  EXPECT_FALSE(policy->spec["slos"][0].contains("warning"));
  ASSERT_EQ(RolloutOf(content).rollback.triggers.size(), 1u);
  EXPECT_EQ(RolloutOf(content).rollback.triggers[0].name, "user_satisfaction_critical");
  EXPECT_THAT(Texts(ReadResources(head + "      response_time: {critical: soon}\n", "f").errors),
              ElementsAre(HasSubstr("7: deployment.monitoring.alerts.response_time.critical "
                                    "\"soon\" is text, but a number of ms, or such as 500ms, is")));
}

TEST(DeploymentFile, NamesItsSubjectAndMayWantApprovals) {
  const FileContent content = ReadResources(
      "deployment:\n  name: fraud\n  model: fraud_detection\n  candidate: 1.1.0\n"
      "  phases: {small: {user_percentage: 5}, all: {user_percentage: 100}}\n"
      "rollback: {manual_approval_required: true, errorRateThreshold: 0.05}\n",
      "-");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  EXPECT_THAT(Texts(content.warnings), IsEmpty());
  ASSERT_EQ(content.documents.size(), 1u);
  EXPECT_EQ(content.documents[0].name, "fraud");
  const domain::RolloutSpec rollout = RolloutOf(content);
  EXPECT_EQ(rollout.model, "fraud_detection");
  EXPECT_EQ(rollout.candidate, "1.1.0");
  EXPECT_EQ(rollout.phases[0].name, "small") << "columns tell the order within a line";
  EXPECT_EQ(rollout.rollback.error_rate, 0.05);
  for (const domain::Phase& phase : rollout.phases) {
    ASSERT_EQ(phase.gates.size(), 1u);
    EXPECT_EQ(phase.gates[0].type, "manual_approval");
  }
}

TEST(DeploymentFile, ErrorsStandWhereTheyWereWritten) {
  const FileContent content = ReadResources(R"(deployment:
  model: m
  phases:
    canary:
      user_percentage: 1
      success_criteria:
        error_rate: < 5
        eror_rate: < 0.1
        requests: 100
    full:
      user_percentage: 0.5
  monitoring:
    alerts:
      error_rate: {warning: 5, critcal: 0.2}
  rollback:
    automatic_triggers:
      - error_rate > 2
      - panic
)",
                                            "f.yaml");
  EXPECT_THAT(
      Texts(content.errors),
      ElementsAre(HasSubstr("1: deployment.candidate is missing"),
                  HasSubstr("7: deployment.phases.canary.success_criteria.error_rate.condition"),
                  HasSubstr("8: deployment.phases.canary.success_criteria.eror_rate.metric \"eror"),
                  HasSubstr("9: deployment.phases.canary.success_criteria.requests 100 is a"),
                  HasSubstr("10: deployment.phases.full.percentage 0.5 is below the 1 of the"),
                  HasSubstr("14: deployment.monitoring.alerts.error_rate.critcal is not a known"),
                  HasSubstr("14: deployment.monitoring.alerts.error_rate.warning 5 is not in 0..1"),
                  HasSubstr("17: deployment.rollback.automatic_triggers[0].threshold 2 is not in"),
                  HasSubstr("18: deployment.rollback.automatic_triggers[1] \"panic\" is not a")));
}

TEST(DeploymentFile, AnOrderThatCannotBeToldIsAsked) {
  const std::string line =
      R"({"deployment": {"flag": "f", "phases": {"b": {"percentage": 1}, "a": {"percentage": 9}}}})";
  EXPECT_THAT(Texts(ReadResources(line, "f").errors),
              ElementsAre(HasSubstr("stands in one line with a, so that their order")));
  const FileContent list = ReadResources(
      R"({"deployment": {"flag": "f", "phases": [{"name": "b", "percentage": 1},
          {"name": "a", "percentage": 9}]}})",
      "f");
  EXPECT_THAT(Texts(list.errors), IsEmpty());
  EXPECT_EQ(RolloutOf(list).phases[0].name, "b");
}

TEST(RolloutText, IsReadInRolloutsToo) {
  const FileContent content = ReadResources(Head(R"(
  phases:
    - name: canary
      percentage: 1
      duration: null
      success_criteria: {error_rate: < 1%, response_time: "< 5000ms"}
      gates: [{type: manual_approval}]
    - {name: full, percentage: 100, success_criteria: {user_satisfaction: > 0.95 } } # bare
  rollback:
    automatic_triggers: [error_rate > 0.02, system_failure, {metric: response_time, threshold: 2s}]
)"),
                                            "f.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  const domain::RolloutSpec rollout = RolloutOf(content);
  ASSERT_EQ(rollout.phases[0].gates.size(), 3u);
  EXPECT_EQ(rollout.phases[0].gates[0].type, "manual_approval");
  EXPECT_EQ(rollout.phases[0].gates[2].metric, "p95_latency_ms");
  EXPECT_EQ(rollout.phases[1].gates[0].condition, "> 0.95");
  ASSERT_EQ(rollout.rollback.triggers.size(), 3u);
  EXPECT_EQ(rollout.rollback.triggers[2].threshold, 2000);
  // What is sent on is plain, and reads as the same.
  const FileContent again = ReadResources(DocumentToJson(content.documents[0]).dump(), "body");
  EXPECT_EQ(RolloutOf(again), rollout);
  EXPECT_FALSE(content.documents[0].spec["phases"][0].contains("success_criteria"));
}

TEST(RolloutText, MistakesAreNamedAsWritten) {
  const FileContent content = ReadResources(Head(R"(
  phases:
    - name: canary
      percentage: 1
      success_criteria: {error_rate: 0.01}
  rollback:
    triggers: [error_rate, error_rate > 0.02]
    automatic_triggers: [system_failure]
)"),
                                            "f.yaml");
  EXPECT_THAT(Texts(content.errors),
              ElementsAre(HasSubstr("spec.phases[0].success_criteria.error_rate 0.01 is a number, "
                                    "but a comparison such as \"< 0.01\" is expected"),
                          HasSubstr("spec.rollback.triggers[0] \"error_rate\" is not a trigger"),
                          HasSubstr("automatic_triggers means the same as triggers")));
}

TEST(RolloutText, BareComparisonsAreQuotedOnlyWhereYamlRefuses) {
  EXPECT_EQ(QuoteComparisons("a: > 0.95\nb: < 1\n"), "a: \"> 0.95\"\nb: < 1\n");
  EXPECT_EQ(QuoteComparisons("a: >= 1 # why\r\nb: >\n  text"), "a: \">= 1\" # why\r\nb: >\n  text");
  EXPECT_EQ(QuoteComparisons("a: {b: > 5ms, c: 1}"), "a: {b: \"> 5ms\", c: 1}");
  EXPECT_EQ(QuoteComparisons("a: \"> 0.95\""), "a: \"> 0.95\"");
  const FileContent folded = ReadResources(
      "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: f}\nspec:\n  enabled: true\n"
      "  description: |\n    keep: > 0.95\n",
      "f.yaml");
  EXPECT_THAT(Texts(folded.errors), IsEmpty());
  EXPECT_EQ(folded.documents[0].spec["description"], "keep: > 0.95\n");
}

// The phase-config of the source documents, in its own words.
TEST(RolloutText, ThePhaseConfigOfTheDocumentsIsARollout) {
  std::string phases = "  phases:\n";
  struct Row {
    const char* name;
    double percentage;
    const char* environment;
    const char* flag;
    const char* level;
    double error_rate, degradation;
  };
  const Row rows[] = {
      {"development", 100, "development", "all_features", "debug", 0.1, 0.3},
      {"staging", 100, "staging", "core_features", "info", 0.05, 0.2},
      {"canary", 1, "production", "core_features", "warn", 0.02, 0.15},
      {"limited_production", 10, "production", "core_features", "warn", 0.01, 0.1},
      {"full_production", 100, "production", "core_features", "error", 0.005, 0.05}};
  for (const Row& row : rows) {
    phases += fmt::format(
        "    - name: {}\n      user_percentage: {}\n      nodes: {{environment: {}}}\n"
        "      feature_flags: [{}]\n      monitoring_level: {}\n"
        "      rollback_threshold: {{error_rate: {}, performance_degradation: {}}}\n",
        row.name, row.percentage, row.environment, row.flag, row.level, row.error_rate,
        row.degradation);
  }
  const FileContent content = ReadResources(Head(phases), "f.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  const domain::RolloutSpec rollout = RolloutOf(content);
  ASSERT_EQ(rollout.phases.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(rollout.phases[i].name, rows[i].name);
    EXPECT_EQ(rollout.phases[i].percentage, rows[i].percentage);
    EXPECT_THAT(rollout.phases[i].flags, ElementsAre(rows[i].flag));
    EXPECT_EQ(rollout.phases[i].log_level, rows[i].level);
    EXPECT_EQ(rollout.phases[i].rollback.error_rate, rows[i].error_rate);
    EXPECT_EQ(rollout.phases[i].rollback.performance_degradation, rows[i].degradation);
    EXPECT_EQ(rollout.phases[i].nodes.at("environment"), rows[i].environment);
  }
}

TEST(RolloutText, EveryFileInTheReferenceIsValid) {
  const std::string page = *ReadFile(WEIR_SOURCE_DIR "/docs/rollouts.md");
  int blocks = 0;
  for (size_t at = page.find("```yaml\n"); at != std::string::npos; ++blocks) {
    const size_t begin = at + 8;
    const size_t end = page.find("```", begin);
    const std::string text = page.substr(begin, end - begin);
    EXPECT_THAT(Texts(ReadResources(text, "docs.yaml").errors), IsEmpty()) << text;
    at = page.find("```yaml\n", end);
  }
  EXPECT_EQ(blocks, 4);
}

TEST(RolloutText, ALastPhaseThatOnlyCopiesIsWarnedOf) {
  const FileContent content =
      ReadResources(Head("  mode: shadow\n  phases: [{name: copy, percentage: 100}]\n"), "f.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  EXPECT_THAT(Texts(content.warnings),
              ElementsAre(HasSubstr("8: spec.phases[0] is the last phase and only copies")));
}

TEST(RolloutText, AlertingRulesOfPrometheusAreKnown) {
  const FileContent content = ReadResources(
      "groups:\n  - name: canary\n    rules:\n      - {alert: A, expr: up == 0}\n", "alerts.yml");
  EXPECT_THAT(Texts(content.errors), ElementsAre(HasSubstr("is an alerting rule of Prometheus")));
}

}  // namespace
}  // namespace weir::codec
