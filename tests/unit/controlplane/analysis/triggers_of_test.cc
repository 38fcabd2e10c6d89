// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/analysis/judge.h"
#include "controlplane/analysis/trigger.h"

namespace weir::control::analysis {
namespace {

using ::testing::ElementsAre;
using Family = Trigger::Family;

std::vector<std::string> Names(const std::vector<Trigger>& triggers) {
  std::vector<std::string> out;
  for (const Trigger& t : triggers) out.push_back(t.name);
  return out;
}

domain::TriggerSpec Spec(const char* metric, double threshold) {
  domain::TriggerSpec out;
  out.metric = metric;
  out.threshold = threshold;
  return out;
}

Trigger Last(const domain::TriggerSpec& spec) {
  domain::RollbackSpec rollback;
  rollback.min_requests = 40;
  rollback.triggers = {spec};
  auto triggers = TriggersOf(rollback, {});
  EXPECT_TRUE(triggers.ok()) << triggers.status().ToString();
  return triggers.ok() ? triggers->back() : Trigger();
}

TEST(TriggersOf, DefaultsAndLimitsOfAPhase) {
  domain::RollbackSpec rollback;
  rollback.error_rate = 0.05;
  rollback.evaluation_window = {60'000};
  domain::PhaseRollback phase;
  phase.error_rate = 0.02;
  phase.performance_degradation = 0.15;
  const auto triggers = TriggersOf(rollback, phase);
  ASSERT_TRUE(triggers.ok());
  EXPECT_THAT(Names(*triggers),
              ElementsAre("worse_than_stable", "slower_than_stable_p95", "slower_than_stable_p99",
                          "error_rate", "error_rate_ratio", "p95_latency_ratio",
                          "p95_latency_ratio_warning", "performance_degradation"));
  EXPECT_EQ((*triggers)[3].threshold, 0.02);
  EXPECT_EQ((*triggers)[4].min_requests, kRelativeMinRequests);
  EXPECT_EQ((*triggers)[7].threshold, 0.15);
  EXPECT_EQ((*triggers)[7].action, Trigger::Action::kRollback);
  for (const Trigger& t : *triggers) EXPECT_EQ(t.window_ms, 60'000);
  JudgeConfig config;
  config.triggers = *triggers;
  EXPECT_TRUE(Judge::Create(config).ok());
}

TEST(TriggersOf, OwnOnesByMetric) {
  const Trigger response = Last(Spec("response_time", 10'000));
  EXPECT_EQ(response.metric, "p95_latency_ms");
  EXPECT_EQ(response.family, Family::kAbsolute);
  EXPECT_EQ(response.name, "response_time > 10000");
  EXPECT_EQ(response.min_requests, 40u);
  const Trigger drift = Last(Spec("prediction_drift", 0.25));
  EXPECT_STREQ(FamilyName(drift), "raw");
  EXPECT_EQ(drift.min_requests, kDriftMinOutputs);
  EXPECT_EQ(Last(Spec("p99_latency_ratio", 2)).family, Family::kRelative);
  EXPECT_EQ(Last(Spec("performance_degradation", 0.3)).min_requests, kRelativeMinRequests);
  EXPECT_EQ(Last(Spec("user_satisfaction", 0.9)).family, Family::kAbsolute);
  EXPECT_EQ(Last(Spec("user_satisfaction_ratio", 0.9)).family, Family::kRelative);
  domain::TriggerSpec latency = Spec("checkout_latency_ms", 1.2);
  latency.family = "relative";
  EXPECT_EQ(Last(latency).metric, "checkout_latency_ms_ratio") << "an outcome";
  latency.metric = "p95_latency_ms";
  EXPECT_EQ(Last(latency).metric, "p95_latency_ratio");
  domain::TriggerSpec spec = Spec("revenue/views", 0.95);
  spec.family = "relative";
  spec.comparison = "<";
  spec.severity = "warning";
  spec.action = "pause";
  spec.for_ms = {5'000};
  spec.window = {30'000};
  spec.min_requests = 500;
  const Trigger t = Last(spec);
  EXPECT_EQ(t.metric, "revenue/views_ratio");
  EXPECT_EQ(t.name, "revenue/views < 0.95");
  EXPECT_EQ(t.comparison, Trigger::Comparison::kBelow);
  EXPECT_EQ(t.severity, Trigger::Severity::kWarning);
  EXPECT_EQ(t.action, Trigger::Action::kPause);
  EXPECT_EQ(t.for_ms, 5'000);
  EXPECT_EQ(t.window_ms, 30'000);
  EXPECT_EQ(t.min_requests, 500u);
  spec = Spec("p95_latency", 0.02);
  spec.family = "sequential";
  EXPECT_EQ(Last(spec).metric, "p95_latency");
  spec.metric = "p99_latency_ms";
  EXPECT_EQ(Last(spec).metric, "p99_latency");
}

TEST(TriggersOf, OneOfTheSameNameReplacesTheDefault) {
  domain::TriggerSpec spec = Spec("error_rate_ratio", 4);
  spec.name = "error_rate_ratio";
  domain::RollbackSpec rollback;
  rollback.triggers = {spec, Spec("system_failure", 0)};
  const auto triggers = TriggersOf(rollback, {});
  ASSERT_TRUE(triggers.ok());
  EXPECT_THAT(Names(*triggers),
              ElementsAre("worse_than_stable", "slower_than_stable_p95", "slower_than_stable_p99",
                          "p95_latency_ratio", "p95_latency_ratio_warning", "error_rate_ratio"));
  EXPECT_EQ(triggers->back().threshold, 4);
}

TEST(TriggersOf, RefusalNamesTheField) {
  const auto field = [](const domain::TriggerSpec& spec) {
    domain::RollbackSpec rollback;
    rollback.triggers = {Spec("error_rate", 0.1), spec};
    return TriggersOf(rollback, {}).status().field();
  };
  EXPECT_EQ(field(Spec("Speed!", 1)), "triggers[1].metric");
  EXPECT_EQ(field(Spec("error_rate", 3)), "triggers[1].threshold");
  EXPECT_EQ(field(Spec("error_rate", 0.1)), "triggers[1].name");
  domain::TriggerSpec spec = Spec("error_rate", 0.2);
  spec.comparison = "<";
  EXPECT_EQ(field(spec), "triggers[1].comparison");
  spec.comparison = "=";
  EXPECT_EQ(field(spec), "triggers[1].comparison");
  spec = Spec("error_rate", 0.2);
  spec.severity = "high";
  EXPECT_EQ(field(spec), "triggers[1].severity");
  spec = Spec("error_rate", 0.2);
  spec.action = "explode";
  EXPECT_EQ(field(spec), "triggers[1].do");
}

}  // namespace
}  // namespace weir::control::analysis
