// SPDX-License-Identifier: Apache-2.0
#include "bench/false_rollbacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/process.h"
#include "controlplane/analysis/simulate.h"

namespace weir::bench {
namespace {

namespace analysis = control::analysis;

constexpr int kPerChunk = 25;
constexpr double kRequests = 100'000;
constexpr double kRequestsPerSecond = 100;
constexpr double kShares[] = {0.01, 0.1, 0.5};
constexpr double kErrorRates[] = {0.001, 0.01, 0.03};

// P(X <= count) of a binomial with n trials.
double BinomialAtMost(uint64_t count, uint64_t n, double p) {
  if (p <= 0) return 1;
  if (p >= 1) return count >= n ? 1 : 0;
  const auto trials = static_cast<double>(n);
  double sum = 0;
  for (uint64_t k = 0; k <= count; ++k) {
    const auto x = static_cast<double>(k);
    sum += std::exp(std::lgamma(trials + 1) - std::lgamma(x + 1) - std::lgamma(trials - x + 1) +
                    x * std::log(p) + (trials - x) * std::log1p(-p));
  }
  return std::min(1.0, sum);
}

// The p at which P(X <= count) falls to `tail`.
double WhereAtMostIs(double tail, uint64_t count, uint64_t n) {
  double low = 0;
  double high = 1;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (BinomialAtMost(count, n, middle) > tail ? low : high) = middle;
  }
  return (low + high) / 2;
}

struct Tally {
  uint64_t runs = 0;
  uint64_t count = 0;
  double declared = 0;
  size_t triggers = 0;
};

Result<analysis::SimulationSpec> SpecOf(int chunk) {
  domain::RollbackSpec rollback;
  rollback.error_rate = 0.05;
  rollback.p99_latency_ms = 500;
  analysis::SimulationSpec spec;
  WEIR_ASSIGN_OR_RETURN(spec.triggers, analysis::TriggersOf(rollback, {}));
  spec.canary_share = kShares[chunk % 3];
  spec.stable_error_rate = spec.canary_error_rate = kErrorRates[chunk / 3 % 3];
  spec.requests_per_second = kRequestsPerSecond;
  spec.healthy_run_ms = static_cast<int64_t>(1000 * kRequests / kRequestsPerSecond);
  spec.runs = 0;
  spec.healthy_runs = kPerChunk;
  spec.seed = static_cast<uint64_t>(chunk) + 1;
  return spec;
}

// Chunks are dealt out to as many threads as there are cores; which thread takes which changes
// nothing.
Result<Tally> RunChunks(int chunks) {
  std::atomic<int> next{0};
  std::mutex mutex;
  Tally tally;
  Status failed = OkStatus();
  const auto work = [&] {
    for (int chunk = next++; chunk < chunks && !Interrupted(); chunk = next++) {
      const Result<analysis::SimulationSpec> spec = SpecOf(chunk);
      const auto result =
          spec.ok() ? analysis::Simulate(*spec) : Result<analysis::SimulationResult>(spec.status());
      const std::lock_guard lock(mutex);
      if (!result.ok()) {
        failed = result.status();
        return;
      }
      tally.runs += static_cast<uint64_t>(result->false_runs);
      tally.count += static_cast<uint64_t>(result->false_count);
      tally.declared = result->declared_rate;
      tally.triggers = spec->triggers.size();
      if (tally.runs % 1000 == 0) {
        std::fprintf(stderr, "bench: %llu of %d canaries\n",
                     static_cast<unsigned long long>(tally.runs), chunks * kPerChunk);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) thread.join();
  if (!failed.ok()) return failed;
  if (tally.runs == 0) return Unavailable("interrupted before the first canaries were judged");
  return tally;
}

}  // namespace

std::pair<double, double> ConfidenceInterval(uint64_t count, uint64_t n) {
  const double low = count == 0 ? 0 : WhereAtMostIs(0.975, count - 1, n);
  const double high = count == n ? 1 : WhereAtMostIs(0.025, count, n);
  return {low, high};
}

Status MeasureFalseRollbacks(int canaries, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const Tally tally,
                        RunChunks(std::max(1, (canaries + kPerChunk - 1) / kPerChunk)));
  const auto [low, high] = ConfidenceInterval(tally.count, tally.runs);
  report.Add({.name = "healthy canaries taken back",
              .value = 100 * static_cast<double>(tally.count) / static_cast<double>(tally.runs),
              .unit = "%",
              .yardstick = "declared, at most",
              .yardstick_value = 100 * tally.declared,
              .goal = 1});
  report.Note(fmt::format(
      "Healthy canaries taken back: {} of {}, 95 % confidence interval {:.2g} % to {:.2g} %; "
      "declared at most {:.2g} %: one false alarm of all detectors together in 30 days, over runs "
      "of "
      "{:.0f} requests ({:.0f} a second, 100 ms a look, {} triggers, shares of 1, 10 and 50 %, "
      "errors of 0.1, 1 and 3 %).",
      tally.count, tally.runs, 100 * low, 100 * high, 100 * tally.declared, kRequests,
      kRequestsPerSecond, tally.triggers));
  return OkStatus();
}

}  // namespace weir::bench
