// SPDX-License-Identifier: Apache-2.0
// Medians and 95th percentiles are the design's published table, with room for chance.
#include "controlplane/analysis/simulate.h"

#include <cmath>

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

struct Row {
  double stable, canary, threshold, p50, p95;
};

class SimulationTable : public ::testing::TestWithParam<Row> {};

TEST_P(SimulationTable, IsReproduced) {
  const Row& row = GetParam();
  SimulationSpec spec;
  spec.stable_error_rate = row.stable;
  spec.canary_error_rate = row.canary;
  spec.alarm_threshold = row.threshold;
  spec.requests_per_second = 200;  // one canary request a tick
  spec.runs = 300;
  spec.healthy_run_ms = 0;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  ASSERT_TRUE(result->canary_requests.p95.has_value());
  RecordProperty("p50", std::to_string(*result->canary_requests.p50));
  RecordProperty("p95", std::to_string(*result->canary_requests.p95));
  EXPECT_NEAR(*result->canary_requests.p50, row.p50, std::max(2.0, 0.15 * row.p50));
  EXPECT_NEAR(*result->canary_requests.p95, row.p95, std::max(4.0, 0.20 * row.p95));
}

INSTANTIATE_TEST_SUITE_P(
    Published, SimulationTable,
    ::testing::Values(Row{0.001, 1, 1e6, 6, 10}, Row{0.001, 0.25, 1e6, 23, 43},
                      Row{0.001, 0.05, 1e6, 146, 286}, Row{0.01, 0.10, 1e6, 117, 227},
                      Row{0.01, 0.50, 1e6, 14, 25}, Row{0.001, 1, 2.6e7, 8, 13},
                      Row{0.001, 0.25, 2.6e7, 29, 52}, Row{0.001, 0.05, 2.6e7, 166, 310}));

TEST(Simulate, HealthyCanariesAreNotTakenBack) {
  SimulationSpec spec;
  spec.stable_error_rate = 0.01;
  spec.canary_error_rate = 1;
  spec.runs = 10;
  spec.healthy_run_ms = 300'000;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->false_runs, 10);
  EXPECT_EQ(result->false_count, 0);
  EXPECT_EQ(result->false_rate, 0);
}

// The guarantee is about a mean time between alarms of 1 / c ticks: at a low c, alarms do occur,
// and not more often than declared. c = 2000 over 300 ticks: at most 0.15 of the runs.
TEST(Simulate, FalseAlarmsStayWithinWhatIsDeclared) {
  SimulationSpec spec;
  spec.stable_error_rate = 0.02;
  spec.canary_error_rate = 1;
  spec.alarm_threshold = 2000;
  spec.least_effect = 0;
  spec.runs = 200;
  spec.healthy_run_ms = 30'000;
  const auto result = Simulate(spec);
  ASSERT_TRUE(result.ok());
  EXPECT_LE(result->false_rate, 0.15);
}

TEST(Simulate, TheSameSeedGivesTheSameAnswer) {
  SimulationSpec spec;
  spec.runs = 20;
  spec.healthy_run_ms = 0;
  const auto a = Simulate(spec);
  const auto b = Simulate(spec);
  EXPECT_EQ(a->canary_requests.p50, b->canary_requests.p50);
  EXPECT_EQ(a->seconds.p95, b->seconds.p95);
  spec.canary_error_rate = spec.stable_error_rate;
  spec.give_up_after_ms = 10'000;
  EXPECT_FALSE(Simulate(spec)->seconds.p50.has_value());
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
