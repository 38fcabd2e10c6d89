// SPDX-License-Identifier: Apache-2.0
// `weir rollout simulate`: how soon would a canary this bad be noticed, and how often would a
// healthy one be taken back? Monte Carlo with the same detector that judges real rollouts. The same
// seed gives the same answer on every machine.
#pragma once

#include <cstdint>
#include <optional>

#include "shared/base/status.h"

namespace weir::control::analysis {

struct SimulationSpec {
  double stable_error_rate = 0.001;   // 0..1
  double canary_error_rate = 0.05;    // 0..1
  double requests_per_second = 1000;  // of both arms
  double canary_share = 0.05;         // 0..1, exclusive
  uint64_t seed = 1;
  int runs = 200;
  int64_t tick_ms = 100;
  double alarm_threshold = 2.592e7;      // mean of S; AlarmThreshold() of eprocess.h
  double least_effect = 0.005;           // points above stable's rate
  uint64_t healthy_requests = 10'000;    // of both arms, before the canary turns bad
  int64_t give_up_after_ms = 3'600'000;  // a run that is not detected by then never is
  int64_t healthy_run_ms = 600'000;      // length of a run that looks for false rollbacks
};

struct Percentiles {
  // Over all runs; absent where that share of the runs ended undetected.
  std::optional<double> p50, p95;
};

struct SimulationResult {
  Percentiles canary_requests;  // from the first request of the bad canary to the alarm
  Percentiles seconds;
  int false_runs = 0;   // runs with canary_error_rate = stable_error_rate
  int false_count = 0;  // of them taken back
  double false_rate = 0;
};

// InvalidArgument names the offending field.
Result<SimulationResult> Simulate(const SimulationSpec& spec);

}  // namespace weir::control::analysis
