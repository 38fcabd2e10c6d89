// SPDX-License-Identifier: Apache-2.0
// `weir rollout simulate`: how soon would a canary this bad be noticed, and how often would a
// healthy one be taken back? Monte Carlo with the judge that judges real rollouts and all of its
// triggers. The same seed gives the same answer on every machine.
//
// Both arms' latencies have one lognormal distribution (sigma 0.4), its median at most 20 ms and so
// low that the percentiles which triggers limit are half of their limits: a slow version is not
// what is simulated here. Every bad request has a key of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "controlplane/analysis/trigger.h"
#include "shared/base/status.h"

namespace weir::control::analysis {

struct SimulationSpec {
  std::vector<Trigger> triggers;      // TriggersOf a rollout
  double stable_error_rate = 0.001;   // 0..1
  double canary_error_rate = 0.05;    // 0..1
  double requests_per_second = 1000;  // of both arms
  double canary_share = 0.05;         // 0..1, exclusive
  uint64_t seed = 1;
  int runs = 200;                        // with the bad canary
  std::optional<int> healthy_runs{};     // with a canary as good as stable; default: as many
  uint64_t healthy_requests = 10'000;    // of both arms, before the canary turns bad
  int64_t give_up_after_ms = 3'600'000;  // a run that is not detected by then never is
  int64_t healthy_run_ms = 600'000;      // how long a healthy canary is watched
  // As of the judge.
  int64_t tick_ms = 100;
  int64_t false_alarm_interval_ms = 30LL * 86'400'000;
  int detectors = 0;
  // Told after each run, if set: how many are done, of how many.
  std::function<void(int done, int all)> progress{};
};

struct Percentiles {
  // Over all runs; absent where that share of the runs ended undetected.
  std::optional<double> p50, p95;
};

struct SimulationResult {
  Percentiles canary_requests;  // from the first request of the bad canary to the rollback
  Percentiles seconds;
  int false_runs = 0;   // healthy_runs
  int false_count = 0;  // of them taken back, by whichever trigger
  double false_rate = 0;
  double declared_rate = 0;  // at most: the share of the false-alarm interval that a run lasts
};

// InvalidArgument names the offending field.
Result<SimulationResult> Simulate(const SimulationSpec& spec);

}  // namespace weir::control::analysis
