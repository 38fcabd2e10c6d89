// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "shared/domain/policy.h"
#include "shared/domain/validate.h"

namespace weir::domain {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Resource PolicyOf(const PolicySpec& spec) {
  Resource resource;
  resource.kind = Kind::kPolicy;
  resource.name = "p";
  resource.spec = spec;
  FillDefaults(resource, 0);
  return resource;
}

std::vector<std::string> Texts(const std::vector<Violation>& violations) {
  std::vector<std::string> out;
  for (const Violation& violation : violations)
    out.push_back(violation.path + ": " + violation.message);
  return out;
}

std::vector<std::string> WrongPolicy(const PolicySpec& spec) {
  return Texts(Validate(PolicyOf(spec)));
}
std::vector<std::string> WrongSlo(const SloSpec& slo) { return WrongPolicy({.slos = {slo}}); }
using Fill = std::function<void(RemediationSpec&)>;
RemediationSpec Do(
    const std::string& action, const Fill& fill = [](RemediationSpec&) {}) {
  RemediationSpec remediation;
  remediation.action = action;
  fill(remediation);
  return remediation;
}
std::vector<std::string> WrongAction(
    const std::string& action, const Fill& fill = [](RemediationSpec&) {}) {
  return WrongPolicy({.slos = {{.metric = "error_rate"}}, .remediations = {Do(action, fill)}});
}

TEST(PolicyRules, FillInNamesComparisonsAndOurWords) {
  const Resource policy =
      PolicyOf({.slos = {{.metric = "latency", .threshold = 200, .severity = "medium"},
                         {.metric = "throughput", .threshold = 50},
                         {.metric = "response_time", .threshold = 500}},
                .remediations = {Do("alert", [](auto& r) { r.min_severity = "low"; })}});
  EXPECT_THAT(Validate(policy), IsEmpty());
  const auto& spec = policy.As<PolicySpec>();
  EXPECT_EQ(spec.slos[0].metric, "p95_latency_ms");
  EXPECT_EQ(spec.slos[0].name, "p95_latency_ms");
  EXPECT_EQ(spec.slos[0].comparison, "<=");
  EXPECT_EQ(spec.slos[0].severity, "warning");
  EXPECT_EQ(spec.slos[1].comparison, ">=") << "there should be much of it";
  EXPECT_EQ(spec.slos[2].name, "p95_latency_ms-2") << "names differ";
  EXPECT_EQ(spec.remediations[0].min_severity, "info");
}

TEST(PolicyRules, EverydayNamesOfMetricsAreOurs) {
  for (const auto& [name, ours] :
       {std::pair("ttft", "p95_ttft_ms"), std::pair("latency_p99", "p99_latency_ms"),
        std::pair("p50_latency", "p50_latency_ms"), std::pair("ttft_p99_ms", "p99_ttft_ms"),
        std::pair("queue_time_p95", "p95_queue_ms"), std::pair("drift", "prediction_drift"),
        std::pair("latency_p97", "latency_p97")}) {
    EXPECT_EQ(CanonicalPolicyMetric(name), ours);
  }
  for (const std::string& metric : PolicyMetrics()) {
    EXPECT_EQ(CanonicalPolicyMetric(metric), metric);
    EXPECT_THAT(WrongSlo({.metric = metric, .threshold = 1}), IsEmpty()) << metric;
  }
}

TEST(PolicyRules, ThresholdsAreInTheMetricsUnit) {
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .threshold = 5}),
              ElementsAre(AllOf(HasSubstr("spec.slos[0].threshold: 5 is not in 0..1"),
                                HasSubstr("5 % is 0.05"))));
  EXPECT_THAT(WrongSlo({.metric = "throughput", .threshold = -1}),
              ElementsAre(HasSubstr("-1 is not a number from 0 on")));
  EXPECT_THAT(WrongSlo({.metric = "p95_latency_ms"}),
              ElementsAre(HasSubstr("spec.slos[0].threshold: is missing")));
  EXPECT_THAT(WrongSlo({.metric = "error_rate"}), IsEmpty()) << "no error at all can be meant";
  EXPECT_THAT(WrongSlo({.metric = "p95_latencies", .threshold = 1}),
              ElementsAre(HasSubstr("spec.slos[0].metric: \"p95_latencies\" is not one of")));
}

TEST(PolicyRules, AWarningComesBeforeTheThreshold) {
  EXPECT_THAT(WrongSlo({.metric = "p95_latency_ms", .threshold = 500, .warning = 300}), IsEmpty());
  EXPECT_THAT(WrongSlo({.metric = "p95_latency_ms", .threshold = 500, .warning = 900}),
              ElementsAre(HasSubstr("spec.slos[0].warning: 900 is past the threshold 500")));
  EXPECT_THAT(WrongSlo({.metric = "throughput", .threshold = 50, .warning = 80}), IsEmpty());
  EXPECT_THAT(WrongSlo({.metric = "throughput", .threshold = 50, .warning = 20}),
              ElementsAre(HasSubstr("spec.slos[0].warning: ")));
}

TEST(PolicyRules, AnErrorBudgetIsOfErrorsOrOfSlowRequests) {
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .target = 0.999}), IsEmpty());
  EXPECT_THAT(WrongSlo({.metric = "p95_latency_ms", .threshold = 300, .target = 0.99}), IsEmpty());
  EXPECT_THAT(WrongSlo({.metric = "p95_latency_ms", .target = 0.99}),
              ElementsAre(HasSubstr("spec.slos[0].target: an error budget is of error_rate")));
  EXPECT_THAT(WrongSlo({.metric = "throughput", .threshold = 1, .target = 0.99}),
              ElementsAre(HasSubstr("spec.slos[0].target: ")));
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .target = 99.9}),
              ElementsAre(HasSubstr("99.9 is not between 0 and 1, such as 0.999")));
}

TEST(PolicyRules, TimesHaveTheirLimits) {
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .window = {500}}),
              ElementsAre(HasSubstr("spec.slos[0].window: is not in 1s..35d")));
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .keep_firing_for = DurationMs{-1}}),
              ElementsAre(HasSubstr("spec.slos[0].keep_firing_for: is not in 0s..30d")));
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .keep_firing_for = DurationMs{0}}), IsEmpty());
  EXPECT_THAT(WrongPolicy({.slos = {{.metric = "error_rate"}}, .max_executions = 0}),
              ElementsAre(AllOf(HasSubstr("spec.max_executions: 0 is not in 1..1000"),
                                HasSubstr("dry_run: true"))));
  EXPECT_THAT(WrongPolicy({.slos = {{.metric = "error_rate"}}, .budget_window = {0}}),
              ElementsAre(HasSubstr("spec.budget_window: ")));
  EXPECT_THAT(WrongPolicy({}), ElementsAre(HasSubstr("spec.slos: is empty")));
}

TEST(PolicyRules, EveryActionTakesItsFieldsAndNoOthers) {
  EXPECT_THAT(WrongAction("rollback"), IsEmpty());
  EXPECT_THAT(WrongAction("set_percentage",
                          [](auto& r) {
                            r.target = "f";
                            r.percentage = 5;
                          }),
              IsEmpty());
  EXPECT_THAT(WrongAction("disable_flag",
                          [](auto& r) {
                            r.target = "f";
                            r.duration = {60'000};
                          }),
              IsEmpty());
  EXPECT_THAT(WrongAction("scale_up"), IsEmpty()) << "a quarter of the limit";
  EXPECT_THAT(WrongAction("scale_down", [](auto& r) { r.step = 2; }), IsEmpty());
  EXPECT_THAT(WrongAction("throttle", [](auto& r) { r.factor = 0.8; }), IsEmpty());
  EXPECT_THAT(WrongAction("throttle", [](auto& r) { r.caller_concurrent = 2; }), IsEmpty());
  EXPECT_THAT(WrongAction("shed_load", [](auto& r) { r.share = 0.1; }), IsEmpty());
  EXPECT_THAT(WrongAction("circuit_break",
                          [](auto& r) {
                            r.version = "2";
                            r.duration = {1'000};
                          }),
              IsEmpty());
  EXPECT_THAT(WrongAction("restart", [](auto& r) { r.version = "2"; }), IsEmpty());
  EXPECT_THAT(WrongAction("alert"), IsEmpty());

  EXPECT_THAT(WrongAction("restart",
                          [](auto& r) {
                            r.step = 1;
                            r.factor = 0.5;
                          }),
              ElementsAre(HasSubstr("spec.remediations[0].factor: has no meaning for restart"),
                          HasSubstr("spec.remediations[0].step: has no meaning for restart")));
  EXPECT_THAT(WrongAction("set_percentage"),
              ElementsAre(HasSubstr("spec.remediations[0].percentage: is missing"),
                          HasSubstr("spec.remediations[0].target: is missing: the flag")));
  EXPECT_THAT(WrongAction("throttle"),
              ElementsAre(HasSubstr("spec.remediations[0].factor: is missing")));
  EXPECT_THAT(WrongAction("shed_load"),
              ElementsAre(HasSubstr("spec.remediations[0].share: is missing")));
  EXPECT_THAT(WrongAction("throttle", [](auto& r) { r.factor = 1.5; }),
              ElementsAre(HasSubstr("1.5 is not between 0 and 1")));
  EXPECT_THAT(WrongAction("throtle"), ElementsAre(HasSubstr("did you mean \"throttle\"")));
}

TEST(PolicyRules, ARemediationNamesObjectivesOfItsPolicy) {
  EXPECT_THAT(WrongPolicy({.slos = {{.name = "quick", .metric = "p95_latency_ms", .threshold = 1}},
                           .remediations = {Do("alert", [](auto& r) { r.slos = {"quick"}; }),
                                            Do("alert", [](auto& r) { r.slos = {"quik"}; })}}),
              ElementsAre(AllOf(HasSubstr("spec.remediations[1].slos[0]: \"quik\""),
                                HasSubstr("did you mean \"quick\""))));
  EXPECT_THAT(WrongPolicy({.slos = {{.name = "a", .metric = "error_rate"},
                                    {.name = "a", .metric = "throughput", .threshold = 1}}}),
              ElementsAre(HasSubstr("spec.slos[1].name: \"a\" is repeated")));
}

TEST(PolicyRules, ModelsAndVersionsMustExist) {
  Resource model;
  model.kind = Kind::kModel;
  model.name = "m";
  ModelSpec spec;
  spec.versions["1"] = {};
  model.spec = spec;
  const auto find = [&](Kind kind, const std::string& name) -> const Resource* {
    return kind == Kind::kModel && name == "m" ? &model : nullptr;
  };
  const auto for_each = [&](Kind, const std::function<void(const Resource&)>& f) { f(model); };
  const Resource policy = PolicyOf({.slos = {{.metric = "error_rate", .model = "m", .version = "1"},
                                             {.metric = "error_rate", .model = "m", .version = "2"},
                                             {.metric = "error_rate", .model = "n"},
                                             {.metric = "error_rate"}}});
  EXPECT_THAT(Texts(ValidateReferences(policy, find, for_each)),
              ElementsAre("spec.slos[1].version: the model \"m\" has no version \"2\"",
                          "spec.slos[2].model: there is no model \"n\""));
  EXPECT_THAT(WrongSlo({.metric = "error_rate", .version = "1"}),
              ElementsAre(HasSubstr("spec.slos[0].version: needs a model beside it")));
}

TEST(PolicyRules, LimitActionsEndByThemselves) {
  for (const char* action : {"scale_up", "scale_down", "throttle", "shed_load", "circuit_break"}) {
    EXPECT_TRUE(IsLimitAction(action)) << action;
    EXPECT_GT(DefaultDurationMs(action), 0) << action;
  }
  for (const char* action : {"rollback", "set_percentage", "disable_flag", "alert", "dance"}) {
    EXPECT_FALSE(IsLimitAction(action)) << action;
    EXPECT_EQ(DefaultDurationMs(action), 0) << action;
  }
  EXPECT_TRUE(IsLimitAction("restart"));
}

}  // namespace
}  // namespace weir::domain
