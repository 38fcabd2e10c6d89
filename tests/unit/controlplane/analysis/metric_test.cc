// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/metric.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tests/unit/controlplane/analysis/traffic.h"

namespace weir::control::analysis {
namespace {

TEST(Metric, NamesAreParsed) {
  EXPECT_EQ(ParseMetric("response_time")->kind, Metric::Kind::kLatency);
  EXPECT_EQ(ParseMetric("response_time")->q, 0.95);
  EXPECT_EQ(ParseMetric("user_satisfaction")->outcome, "user_satisfaction");
  EXPECT_FALSE(ParseMetric("user_satisfaction")->is_ratio);
  const auto ratio = ParseMetric("revenue/views_ratio");
  EXPECT_EQ(ratio->outcome, "revenue");
  EXPECT_EQ(ratio->per, "views");
  EXPECT_TRUE(ratio->is_ratio);
  for (const char* bad : {"", "Accuracy", "a b", "a/", "/b", "a/b/c", "_ratio/"}) {
    EXPECT_FALSE(ParseMetric(bad).has_value()) << bad;
  }
  EXPECT_FALSE(ParseMetric(std::string(65, 'a')).has_value());
}

TEST(Metric, ValuesOfOutcomes) {
  Arms arms;
  arms.stable.outcomes = {{"revenue", {4, 40, 500}}, {"views", {10, 20, 40}}};
  arms.canary.outcomes = {{"revenue", {2, 30, 500}}, {"views", {5, 10, 20}}};
  EXPECT_EQ(MetricValue(arms, "revenue"), 15);
  EXPECT_EQ(MetricValue(arms, "revenue_ratio"), 1.5);
  EXPECT_EQ(MetricValue(arms, "revenue/views"), 3);
  EXPECT_EQ(MetricValue(arms, "revenue/views_ratio"), 1.5);
  EXPECT_FALSE(MetricValue(arms, "clicks").has_value());
  EXPECT_FALSE(MetricValue(arms, "revenue/clicks").has_value());
  EXPECT_EQ(WhyNoData(arms, *ParseMetric("clicks")), "nobody sends clicks");
  EXPECT_EQ(WhyNoData(arms, *ParseMetric("revenue/clicks")), "nobody sends clicks");
  EXPECT_EQ(CountOf(arms.canary, *ParseMetric("revenue/views")), 5u);
}

TEST(Metric, ShadowDifferenceIsOfWhatWasCompared) {
  Arms arms;
  arms.canary.counters = {{telemetry::kCompared, 200}, {telemetry::kDiffered, 5}};
  EXPECT_EQ(MetricValue(arms, "shadow_difference"), 0.025);
  arms.canary.counters = {{telemetry::kRequests, 200}};
  EXPECT_FALSE(MetricValue(arms, "shadow_difference").has_value());
  EXPECT_EQ(WhyNoData(arms, *ParseMetric("shadow_difference")), "no canary comparisons");
}

TEST(Metric, IsAbsentRatherThanNotFinite) {
  const double infinite = std::numeric_limits<double>::infinity();
  Arms arms;
  arms.stable.outcomes["x"] = {10, 0, 0};
  arms.canary.outcomes["x"] = {10, 5, 5};
  EXPECT_FALSE(MetricValue(arms, "x_ratio").has_value());
  EXPECT_EQ(WhyNoData(arms, *ParseMetric("x_ratio")), "stable's value is 0");
  arms.canary.outcomes["x"] = {10, infinite, infinite};
  EXPECT_FALSE(MetricValue(arms, "x").has_value());
  arms.canary.counters = {{telemetry::kRequests, 3}, {telemetry::kBad, 9}};
  EXPECT_EQ(MetricValue(arms, "error_rate"), 1);
  arms.stable.counters = {{telemetry::kRequests, 100}};
  EXPECT_TRUE(std::isfinite(*MetricValue(arms, "error_rate_ratio")));
  for (const char* name : {"p95_latency_ms", "p95_latency_ratio", "performance_degradation",
                           "prediction_drift", "prediction_drift_ks"}) {
    EXPECT_FALSE(MetricValue(arms, name).has_value()) << name;
    EXPECT_FALSE(MetricValue({}, name).has_value()) << name;
  }
}

}  // namespace
}  // namespace weir::control::analysis
