// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "shared/domain/metrics.h"
#include "shared/domain/validate.h"

namespace weir::domain {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Of(Kind kind, Spec spec) {
  Resource resource;
  resource.kind = kind;
  resource.name = "a";
  resource.spec = std::move(spec);
  FillDefaults(resource, 0);
  std::vector<std::string> out;
  for (const Violation& violation : Validate(resource))
    out.push_back(violation.path + ": " + violation.message);
  return out;
}

Phase At(const std::string& name, double percentage) {
  Phase phase;
  phase.name = name;
  phase.percentage = percentage;
  return phase;
}

RolloutSpec Rollout() {
  RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases = {At("canary", 1), At("full", 100)};
  return spec;
}

std::vector<std::string> OfGate(const Gate& gate) {
  RolloutSpec spec = Rollout();
  spec.phases[0].gates = {gate};
  return Of(Kind::kRollout, spec);
}

std::vector<std::string> OfTrigger(const TriggerSpec& trigger) {
  RolloutSpec spec = Rollout();
  spec.rollback.triggers = {trigger};
  return Of(Kind::kRollout, spec);
}

TriggerSpec Trigger(const std::string& metric, const std::string& comparison, double threshold) {
  TriggerSpec trigger;
  trigger.metric = metric;
  trigger.comparison = comparison;
  trigger.threshold = threshold;
  return trigger;
}

Gate Metrics(const std::string& metric, const std::string& condition) {
  Gate gate;
  gate.type = "metrics_threshold";
  gate.metric = metric;
  gate.condition = condition;
  return gate;
}

TEST(ValidateMetric, MistypedNamesAreNoOutcomes) {
  EXPECT_EQ(*UnitOf("error_rate"), MetricUnit::kRatio);
  EXPECT_EQ(*UnitOf("p95_latency_ms"), MetricUnit::kMs);
  for (const char* outcome : {"user_satisfaction", "clicks/impressions", "revenue_ratio",
                              "click_rate", "retry_rate", "search.ctr", "label.fp"}) {
    EXPECT_TRUE(UnitOf(outcome).ok()) << outcome;
  }
  for (const char* wrong : {"eror_rate", "error_rates", "p95_latency", "p90_latency_ms",
                            "p95_latency_s", "performance_degradtion", "User", "", "a/b/c", "a/"}) {
    EXPECT_FALSE(UnitOf(wrong).ok()) << wrong;
  }
  EXPECT_THAT(UnitOf("eror_rate").status().message(), HasSubstr("did you mean \"error_rate\"?"));
}

TEST(ValidateGate, EveryTypeTakesItsOwnFields) {
  EXPECT_THAT(OfGate(Metrics("error_rate", "< 0.01")), IsEmpty());
  Gate gate = Metrics("error_rate", "< 0.01");
  gate.approvals = 2;
  gate.url = "http://x";
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("gates[0].approvals: is not for a metrics_thresh"
                                                  "old gate; it takes metric, condition, min_requ"),
                                        HasSubstr("gates[0].url: is not for")));
  gate = {};
  gate.type = "manual_aproval";
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("did you mean \"manual_approval\"?")));
}

TEST(ValidateGate, ConditionsMayHaveUnits) {
  EXPECT_EQ(ParseCondition("< 5000ms")->value, 5000);
  EXPECT_EQ(ParseCondition("<= 5 s")->value, 5000);
  EXPECT_DOUBLE_EQ(ParseCondition("< 1%")->value, 0.01);
  EXPECT_EQ(ParseCondition(">0.95")->value, 0.95);
  for (const char* wrong : {"", "0.01", "< ", "< fast", "< 5h", "== 5", "< 1 %%"})
    EXPECT_FALSE(ParseCondition(wrong).ok()) << wrong;
  EXPECT_THAT(OfGate(Metrics("response_time", "< 5000ms")), IsEmpty());
  EXPECT_THAT(OfGate(Metrics("error_rate", "< 1%")), IsEmpty());
  EXPECT_THAT(OfGate(Metrics("user_satisfaction", "> 0.95")), IsEmpty());
  EXPECT_THAT(OfGate(Metrics("error_rate", "< 5ms")),
              ElementsAre(HasSubstr("has a unit of time, which only latencies have")));
  EXPECT_THAT(OfGate(Metrics("p99_latency_ms", "< 5%")), ElementsAre(HasSubstr("has a %")));
  EXPECT_THAT(OfGate(Metrics("error_rate", "< 5")),
              ElementsAre(HasSubstr("5 is not in 0..1 (a ratio: 5 % is 0.05)")));
}

TEST(ValidateGate, ApprovalsCanBeHad) {
  Gate gate;
  gate.type = "manual_approval";
  EXPECT_THAT(OfGate(gate), IsEmpty());
  gate.approvers = {"alice", "bob"};
  gate.approvals = 2;
  EXPECT_THAT(OfGate(gate), IsEmpty());
  gate.approvals = 3;
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("3 are more than the 2 who may approve")));
  gate = {.type = "manual_approval", .approvers = {"alice", "alice"}};
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("\"alice\" is empty or repeated")));
}

TEST(ValidateGate, ATestIsACommandOrAnAddress) {
  Gate gate;
  gate.type = "automated_test";
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("needs exactly one of command and url")));
  gate.command = {"/opt/checks/smoke", "--fast"};
  EXPECT_THAT(OfGate(gate), IsEmpty());
  gate.url = "https://checks.example/smoke";
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("needs exactly one of command and url")));
  gate.command.clear();
  EXPECT_THAT(OfGate(gate), IsEmpty());
  gate.url = "checks.example/smoke";
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("is not a URL such as http://")));
  gate = {.type = "automated_test", .command = {"smoke.sh"}};
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("\"smoke.sh\" is not an absolute path")));
}

TEST(ValidateGate, AWindowOfTheWeekHasBothEnds) {
  Gate gate;
  gate.type = "time_based";
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("needs a duration, or a window of the week")));
  gate.days = {"mon", "fri"};
  gate.from = "09:00";
  gate.to = "24:00";
  gate.time_zone = "Europe/Berlin";
  EXPECT_THAT(OfGate(gate), IsEmpty());
  gate.days = {"mon", "monday", "mon"};
  gate.to = "17:60";
  gate.time_zone = "../../etc/passwd";
  EXPECT_THAT(
      OfGate(gate),
      ElementsAre(HasSubstr("\"monday\" is not one of mon"), HasSubstr("mon is repeated"),
                  HasSubstr("\"17:60\" is not a time of day"), HasSubstr("is not a zone's name")));
  gate = {.type = "time_based", .from = "09:00"};
  EXPECT_THAT(OfGate(gate), ElementsAre(HasSubstr("gates[0].to: is missing")));
}

TEST(ValidateGate, PrometheusIsAskedWhole) {
  Gate gate;
  gate.type = "prometheus";
  EXPECT_THAT(OfGate(gate),
              ElementsAre(HasSubstr(".url: is missing"), HasSubstr(".query: is missing"),
                          HasSubstr(".condition: is missing")));
  gate.url = "http://prometheus:9090";
  gate.query = "sum(rate(errors_total[5m]))";
  gate.condition = "< 5";
  gate.on_no_data = "pass";
  EXPECT_THAT(OfGate(gate), IsEmpty()) << "what the query counts is not ours to know";
  gate.condition = "< 5ms";
  gate.on_no_data = "paus";
  EXPECT_THAT(OfGate(gate),
              ElementsAre(HasSubstr("did you mean \"pass\"?"), HasSubstr("is a bare number")));
}

TEST(ValidateTrigger, TakesWhatTheMetricHas) {
  for (const auto& [metric, threshold] :
       {std::pair("error_rate", 0.02), std::pair("response_time", 500.0),
        std::pair("performance_degradation", 0.3), std::pair("prediction_drift", 0.2),
        std::pair("error_rate_ratio", 2.0), std::pair("user_satisfaction", 0.9)}) {
    EXPECT_THAT(OfTrigger(Trigger(metric, ">", threshold)), IsEmpty()) << metric;
  }
  EXPECT_THAT(OfTrigger(Trigger("system_failure", "", 0)), IsEmpty());
  EXPECT_THAT(OfTrigger(Trigger("system_failure", ">", 1)),
              ElementsAre(HasSubstr(".comparison: is not for system_failure"),
                          HasSubstr(".threshold: is not for system_failure")));
  TriggerSpec trigger = Trigger("error_rate", ">", 0.02);
  trigger.family = "relative";
  EXPECT_THAT(OfTrigger(trigger), ElementsAre(HasSubstr("0.02 times stable's would take back")));
  trigger.threshold = 2;
  EXPECT_THAT(OfTrigger(trigger), IsEmpty()) << "twice stable's";
  trigger = Trigger("performance_degradation", ">", 0.2);
  trigger.family = "absolute";
  EXPECT_THAT(OfTrigger(trigger), ElementsAre(HasSubstr("it can as relative")));
  trigger = Trigger("p95_latency", ">", 0.01);
  trigger.family = "sequential";
  EXPECT_THAT(OfTrigger(trigger), IsEmpty());
}

TEST(ValidateTrigger, PercentagesAndReversalsAreNamed) {
  EXPECT_THAT(OfTrigger(Trigger("error_rate", ">", 5)),
              ElementsAre(HasSubstr("triggers[0].threshold: 5 is not in 0..1 (a ratio: 5 % is "
                                    "0.05)")));
  EXPECT_THAT(OfTrigger(Trigger("performance_degradation", ">", 30)),
              ElementsAre(HasSubstr("30 would be 3000 % slower; 30 % is 0.3")));
  EXPECT_THAT(OfTrigger(Trigger("error_rate", "<", 0.02)),
              ElementsAre(HasSubstr("what a good canary has; use >")));
  EXPECT_THAT(OfTrigger(Trigger("error_rate_ratio", ">", 0.5)),
              ElementsAre(HasSubstr("as good as stable")));
  EXPECT_THAT(OfTrigger(Trigger("user_satisfaction", "<", 0.9)), IsEmpty());
  EXPECT_THAT(OfTrigger(Trigger("requests", ">", 5)), ElementsAre(HasSubstr("cannot be bad")));
}

TEST(ValidateTrigger, WordsAreKnownAndNamesDiffer) {
  TriggerSpec trigger = Trigger("error_rate", "=>", 0.02);
  trigger.severity = "high";
  trigger.action = "stop";
  trigger.window = DurationMs{10};
  EXPECT_THAT(OfTrigger(trigger),
              ElementsAre(HasSubstr(".comparison: \"=>\""), HasSubstr(".severity: \"high\""),
                          HasSubstr(".do: \"stop\""), HasSubstr(".window: is not in 1s..35d")));
  RolloutSpec spec = Rollout();
  trigger = Trigger("error_rate", ">", 0.02);
  trigger.name = "errors";
  spec.rollback.triggers = {trigger, trigger};
  EXPECT_THAT(Of(Kind::kRollout, spec),
              ElementsAre(HasSubstr("triggers[1].name: \"errors\" is the name of another")));
  trigger.name.clear();
  spec.rollback.triggers = {trigger, trigger};
  EXPECT_THAT(Of(Kind::kRollout, spec),
              ElementsAre(HasSubstr("\"error_rate > 0.02\" is the name of another trigger; give")));
}

TEST(ValidateRollout, AShareOnlyRisesOnTheSameNodes) {
  RolloutSpec spec = Rollout();
  spec.phases = {At("a", 10), At("b", 5)};
  EXPECT_THAT(
      Of(Kind::kRollout, spec),
      ElementsAre(HasSubstr("phases[1].percentage: 5 is below the 10 of the phase before")));
  // The source documents' five phases: everyone in staging, then few in production.
  spec.phases = {At("development", 100), At("staging", 100), At("canary", 1), At("full", 100)};
  const char* const environments[] = {"development", "staging", "production", "production"};
  for (size_t i = 0; i < 4; ++i) spec.phases[i].nodes = {{"environment", environments[i]}};
  EXPECT_THAT(Of(Kind::kRollout, spec), IsEmpty());
  spec.phases = {At("copy", 100), At("canary", 1), At("full", 100)};
  spec.phases[0].mode = "shadow";
  EXPECT_THAT(Of(Kind::kRollout, spec), IsEmpty()) << "copies are no share";
}

TEST(ValidateRollout, WhatAPhaseSetsIsChecked) {
  RolloutSpec spec = Rollout();
  spec.nodes = {{"region", "eu"}};
  Phase& phase = spec.phases[0];
  phase.mode = "dark";
  phase.nodes = {{"region", "us"}};
  phase.rollback.error_rate = 5;
  phase.rollback.performance_degradation = 30;
  phase.flags = {"f", "f"};
  phase.log_level = "warning";
  EXPECT_THAT(Of(Kind::kRollout, spec),
              ElementsAre(HasSubstr("phases[0].mode: \"dark\""),
                          HasSubstr("nodes.region: \"us\" is never true"),
                          HasSubstr("rollback.error_rate: 5 is not in 0..1 (a ratio: 5 % is 0.05)"),
                          HasSubstr("30 % is 0.3"), HasSubstr("\"f\" is empty, repeated"),
                          HasSubstr("did you mean \"warn\"?")));
}

TEST(ValidateRollout, SharesOfNodesMakeUpAWhole) {
  RolloutSpec spec = Rollout();
  spec.max_node_share = 0.3;
  EXPECT_THAT(Of(Kind::kRollout, spec),
              ElementsAre("spec.max_node_share: 0.3 of each of 2 nodes does not make a whole; it "
                          "takes min_nodes: 4"));
  spec.min_nodes = 4;
  EXPECT_THAT(Of(Kind::kRollout, spec), IsEmpty());
  spec.phases[1].min_nodes = 3;
  EXPECT_THAT(Of(Kind::kRollout, spec), ElementsAre(HasSubstr("spec.phases[1].max_node_share")));
  spec.phases[1].max_node_share = 1.5;
  spec.phases[0].min_nodes = 65;
  EXPECT_THAT(Of(Kind::kRollout, spec),
              ElementsAre("spec.phases[0].min_nodes: 65 is above 64",
                          "spec.phases[1].max_node_share: 1.5 is not in 0..1 (a ratio: 1.5 % is "
                          "0.015)"));
  spec = Rollout();
  spec.rollback.one_node = "stop";
  EXPECT_THAT(Of(Kind::kRollout, spec), ElementsAre(HasSubstr("spec.rollback.one_node: \"stop\"")));
}

TEST(ValidateRollout, StepsBackFallToZero) {
  RolloutSpec spec = Rollout();
  spec.rollback.gradual = GradualRollback{.to = {25, 10, 0}, .every = {30'000}};
  EXPECT_THAT(Of(Kind::kRollout, spec), IsEmpty());
  spec.rollback.gradual->to = {10, 25};
  EXPECT_THAT(Of(Kind::kRollout, spec), ElementsAre(HasSubstr("25 is not below the 10 before it"),
                                                    HasSubstr("does not end with 0")));
  spec.rollback.gradual->to = {0};
  spec.rollback.on_failure = "previous_phase";
  EXPECT_THAT(Of(Kind::kRollout, spec), ElementsAre(HasSubstr("is for on_failure: zero")));
}

TEST(ValidateRollout, WordsOfTheRollout) {
  RolloutSpec spec = Rollout();
  spec.mode = "shadow";
  spec.fallback = "stabel";
  spec.when_unwatched = {.after = {10}, .action = "drop"};
  spec.rollback.on_failure = "previous";
  spec.attribution_window = {0};
  EXPECT_THAT(Of(Kind::kRollout, spec),
              ElementsAre(HasSubstr("spec.fallback: \"stabel\""), HasSubstr("rollback.on_failure"),
                          HasSubstr("when_unwatched.do"), HasSubstr("when_unwatched.after"),
                          HasSubstr("spec.attribution_window: is not in 1s..35d")));
  spec = Rollout();
  spec.model.clear();
  spec.candidate.clear();
  spec.flag = "f";
  spec.mode = "shadow";
  spec.fallback = "stable";
  spec.phases[0].flags = {"g"};
  EXPECT_THAT(Of(Kind::kRollout, spec), ElementsAre(HasSubstr("spec.mode: shadow is only for"),
                                                    HasSubstr("spec.fallback: is only for"),
                                                    HasSubstr("phases[0].flags: are only for")));
}

ModelSpec Service(const std::string& runtime, const std::string& url) {
  ModelSpec spec;
  spec.versions["1"].runtime = runtime;
  spec.versions["1"].url = url;
  return spec;
}

TEST(ValidateModel, AServiceHasAnAddressAndAFileHasBytes) {
  EXPECT_THAT(Of(Kind::kModel, Service("oip", "http://triton:8000")), IsEmpty());
  EXPECT_THAT(Of(Kind::kModel, Service("predict", "https://ml/prefix")), IsEmpty());
  EXPECT_THAT(Of(Kind::kModel, Service("oip", "")), ElementsAre(HasSubstr("url: is missing")));
  EXPECT_THAT(Of(Kind::kModel, Service("oip", "triton:8000")),
              ElementsAre(HasSubstr("\"triton:8000\" is not a URL")));
  EXPECT_THAT(Of(Kind::kModel, Service("opi", "http://x")), Contains(HasSubstr("mean \"oip\"?")));
  EXPECT_THAT(Of(Kind::kModel, Service("", "http://x")),
              Contains(HasSubstr("url: is for services; give runtime: oip")));
  ModelSpec spec = Service("oip", "");
  spec.versions["1"].urls = {"http://a", "http://b", "http://a"};
  spec.versions["1"].blob = "sha256:x";
  EXPECT_THAT(Of(Kind::kModel, spec),
              ElementsAre(HasSubstr("blob: is for files"), HasSubstr("urls[2]: is given twice")));
  spec = Service("oip", "http://a");
  spec.versions["1"].urls = {"http://b"};
  spec.versions["1"].health = "ready";
  EXPECT_THAT(Of(Kind::kModel, spec),
              ElementsAre(HasSubstr("both given"), HasSubstr("\"ready\" is not a path")));
}

TEST(ValidateReferences, FlagsOfModelsAndPhasesExist) {
  Resource model;
  model.kind = Kind::kModel;
  model.name = "m";
  model.spec = Service("oip", "http://a");
  model.As<ModelSpec>().flags = {"checkot"};
  Resource flag;
  flag.name = "checkout";
  const Lookup find = [&](Kind, const std::string& name) -> const Resource* {
    return name == "checkout" ? &flag : name == "m" ? &model : nullptr;
  };
  const ForEach each = [&](Kind kind, const auto& visit) {
    if (kind == Kind::kFlag) visit(flag);
  };
  const auto wrong = ValidateReferences(model, find, each);
  ASSERT_EQ(wrong.size(), 1u);
  EXPECT_EQ(wrong[0].path, "spec.flags");
  EXPECT_THAT(wrong[0].message, HasSubstr("(did you mean \"checkout\"?)"));

  Resource rollout;
  rollout.kind = Kind::kRollout;
  rollout.name = "r";
  rollout.spec = Rollout();
  rollout.As<RolloutSpec>().candidate = "1";
  rollout.As<RolloutSpec>().phases[0].flags = {"checkout"};
  EXPECT_THAT(ValidateReferences(rollout, find, each), IsEmpty());
  rollout.As<RolloutSpec>().phases[1].flags = {"core"};
  ASSERT_EQ(ValidateReferences(rollout, find, each).size(), 1u);
  EXPECT_EQ(ValidateReferences(rollout, find, each)[0].path, "spec.phases[1].flags");
}

}  // namespace
}  // namespace weir::domain
