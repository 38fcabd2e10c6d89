// SPDX-License-Identifier: Apache-2.0
// What validation lets a rollout say, its judge can be made of: else it would run unjudged.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "controlplane/analysis/metric.h"
#include "controlplane/analysis/trigger.h"
#include "shared/domain/metrics.h"
#include "shared/domain/validate.h"

namespace weir::control::analysis {
namespace {

domain::Resource RolloutWith(const domain::TriggerSpec& trigger) {
  domain::Resource rollout;
  rollout.kind = domain::Kind::kRollout;
  rollout.name = "r";
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = "2";
  spec.phases.resize(1);
  spec.phases[0].name = "canary";
  spec.rollback.triggers = {trigger};
  rollout.spec = spec;
  domain::FillDefaults(rollout, 0);
  return rollout;
}

TEST(ValidatedTriggers, CanAllBeJudged) {
  int valid = 0;
  for (const char* metric : {"error_rate",
                             "requests",
                             "p50_latency_ms",
                             "p95_latency_ms",
                             "p99_latency_ms",
                             "response_time",
                             "p95_latency",
                             "p99_latency",
                             "error_rate_ratio",
                             "p95_latency_ratio",
                             "p99_latency_ratio",
                             "p50_latency_ratio",
                             "performance_degradation",
                             "prediction_drift",
                             "prediction_drift_ks",
                             "shadow_difference",
                             "user_satisfaction",
                             "user_satisfaction_ratio",
                             "clicks/views",
                             "clicks/views_ratio",
                             "eror_rate",
                             "_ratio",
                             "/",
                             "A"}) {
    for (const char* family : {"", "absolute", "relative", "sequential"}) {
      for (const char* comparison : {"", ">", ">=", "<", "<="}) {
        for (const double threshold : {-1.0, 0.0, 0.02, 1.0, 2.0, 500.0}) {
          for (const bool raw : {false, true}) {
            domain::TriggerSpec trigger;
            trigger.metric = metric;
            trigger.family = family;
            trigger.comparison = comparison;
            trigger.threshold = threshold;
            trigger.raw = raw;
            const domain::Resource rollout = RolloutWith(trigger);
            if (!domain::Validate(rollout).empty()) continue;
            ++valid;
            const auto made = TriggersOf(rollout.As<domain::RolloutSpec>().rollback, {});
            EXPECT_TRUE(made.ok())
                << fmt::format("{} {} {} {} raw={}: {}", family, metric, comparison, threshold, raw,
                               made.status().ToString());
          }
        }
      }
    }
  }
  EXPECT_GT(valid, 200);
}

TEST(ValidatedTriggers, GatesKnowTheirMetrics) {
  for (const char* metric :
       {"error_rate", "requests", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
        "error_rate_ratio", "p95_latency_ratio", "p99_latency_ratio", "performance_degradation",
        "prediction_drift", "prediction_drift_ks", "shadow_difference"}) {
    ASSERT_TRUE(domain::UnitOf(metric).ok()) << metric;
    EXPECT_NE(*domain::UnitOf(metric), domain::MetricUnit::kOutcome) << metric;
    ASSERT_TRUE(ParseMetric(metric).has_value()) << metric;
    EXPECT_FALSE(ParseMetric(metric)->IsOutcome()) << metric;
  }
  for (const char* outcome : {"user_satisfaction", "clicks/views", "search.ctr_ratio"}) {
    EXPECT_EQ(*domain::UnitOf(outcome), domain::MetricUnit::kOutcome) << outcome;
    EXPECT_TRUE(ParseMetric(outcome)->IsOutcome()) << outcome;
  }
}

}  // namespace
}  // namespace weir::control::analysis
