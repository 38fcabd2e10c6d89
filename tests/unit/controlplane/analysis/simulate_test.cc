// SPDX-License-Identifier: Apache-2.0
// Medians and 95th percentiles are the design's published table, with room for chance and for what
// a tick is: here its requests are split at random.
#include "controlplane/analysis/simulate.h"

#include <cmath>

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

struct Row {
  double stable, canary, threshold, p50, p95;
};

// One detector that alarms at `alarm_threshold`, and judges errors only.
SimulationSpec OneDetector(double alarm_threshold) {
  SimulationSpec spec;
  spec.triggers = {DefaultTriggers({})[0]};
  spec.detectors = 1;
  spec.false_alarm_interval_ms = static_cast<int64_t>(alarm_threshold) * spec.tick_ms;
  return spec;
}

class SimulationTable : public ::testing::TestWithParam<Row> {};

TEST_P(SimulationTable, IsReproduced) {
  const Row& row = GetParam();
  SimulationSpec spec = OneDetector(row.threshold);
  spec.stable_error_rate = row.stable;
  spec.canary_error_rate = row.canary;
  spec.requests_per_second = 200;  // one canary request a tick
  spec.runs = 200;
  spec.healthy_run_ms = 0;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  ASSERT_TRUE(result->canary_requests.p95.has_value());
  RecordProperty("p50", std::to_string(*result->canary_requests.p50));
  RecordProperty("p95", std::to_string(*result->canary_requests.p95));
  EXPECT_NEAR(*result->canary_requests.p50, row.p50, std::max(2.0, 0.20 * row.p50));
  EXPECT_NEAR(*result->canary_requests.p95, row.p95, std::max(4.0, 0.20 * row.p95));
}

INSTANTIATE_TEST_SUITE_P(
    Published, SimulationTable,
    ::testing::Values(Row{0.001, 1, 1e6, 6, 10}, Row{0.001, 0.25, 1e6, 23, 43},
                      Row{0.001, 0.05, 1e6, 146, 286}, Row{0.01, 0.10, 1e6, 117, 227},
                      Row{0.01, 0.50, 1e6, 14, 25}, Row{0.001, 1, 2.6e7, 8, 13},
                      Row{0.001, 0.25, 2.6e7, 29, 52}, Row{0.001, 0.05, 2.6e7, 166, 310}));

TEST(Simulate, HealthyCanariesAreNotTakenBackByAnyTrigger) {
  SimulationSpec spec;
  domain::RollbackSpec rollback;
  rollback.error_rate = 0.05;
  rollback.p99_latency_ms = 500;
  rollback.performance_degradation = 0.2;
  spec.triggers = *TriggersOf(rollback, {});
  spec.stable_error_rate = 0.01;
  spec.runs = 0;
  spec.healthy_runs = 10;
  spec.healthy_run_ms = 300'000;
  spec.requests_per_second = 200;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->false_runs, 10);
  EXPECT_EQ(result->false_count, 0);
  EXPECT_EQ(result->false_rate, 0);
  EXPECT_DOUBLE_EQ(result->declared_rate, 300.0 / (30 * 86'400));
}

// The guarantee is about a mean time between alarms of 1 / c ticks: at a low c, alarms do occur,
// and not more often than declared. c = 2000 over 300 ticks: at most 0.15 of the runs.
TEST(Simulate, FalseAlarmsStayWithinWhatIsDeclared) {
  SimulationSpec spec = OneDetector(2000);
  spec.triggers[0].threshold = 0;
  spec.stable_error_rate = 0.02;
  spec.runs = 0;
  spec.healthy_runs = 200;
  spec.healthy_run_ms = 30'000;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_LE(result->false_rate, 0.15);
  EXPECT_DOUBLE_EQ(result->declared_rate, 0.15);
}

// The absolute limit notices what the sequential trigger, left out here, would have to.
TEST(Simulate, JudgesByTheTriggersThatItIsGiven) {
  SimulationSpec spec;
  spec.triggers = {DefaultTriggers({0.05, {}, 60'000, 100})[3]};
  spec.canary_error_rate = 0.3;
  spec.runs = 20;
  spec.healthy_runs = 0;
  int told = 0;
  spec.progress = [&](int done, int all) {
    EXPECT_EQ(all, 20);
    EXPECT_EQ(done, ++told);
  };
  EXPECT_LT(*Simulate(spec)->canary_requests.p95, 200);
  EXPECT_EQ(told, 20);
  spec.canary_error_rate = 0.03;  // allowed
  spec.give_up_after_ms = 60'000;
  spec.progress = nullptr;
  EXPECT_FALSE(Simulate(spec)->canary_requests.p50.has_value());
}

TEST(Simulate, TheSameSeedGivesTheSameAnswer) {
  SimulationSpec spec;
  spec.triggers = *TriggersOf({}, {});
  spec.runs = 20;
  spec.healthy_run_ms = 0;
  const auto a = Simulate(spec);
  const auto b = Simulate(spec);
  ASSERT_TRUE(a->canary_requests.p50.has_value());
  EXPECT_EQ(a->canary_requests.p50, b->canary_requests.p50);
  EXPECT_EQ(a->seconds.p95, b->seconds.p95);
  spec.canary_error_rate = spec.stable_error_rate;
  spec.give_up_after_ms = 10'000;
  EXPECT_FALSE(Simulate(spec)->seconds.p50.has_value());
}

// Hours of one request a second are mostly ticks in which nothing happens.
TEST(Simulate, LittleTrafficEndsInTime) {
  SimulationSpec spec;
  spec.triggers = *TriggersOf({}, {});
  spec.requests_per_second = 1;
  spec.canary_share = 0.5;
  spec.canary_error_rate = 0.5;
  spec.healthy_requests = 200;
  spec.runs = 20;
  spec.healthy_runs = 5;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  ASSERT_TRUE(result->seconds.p95.has_value());
  EXPECT_EQ(result->false_count, 0);
}

TEST(Simulate, RefusalNamesTheField) {
  SimulationSpec spec;
  spec.canary_share = 1;
  EXPECT_EQ(Simulate(spec).status().field(), "canary_share");
  spec = {};
  spec.stable_error_rate = 2;
  EXPECT_EQ(Simulate(spec).status().field(), "stable_error_rate");
  spec = {};
  spec.runs = 0;
  EXPECT_EQ(Simulate(spec).status().field(), "runs");
}

}  // namespace
}  // namespace weir::control::analysis
