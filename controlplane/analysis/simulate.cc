// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/simulate.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <fmt/format.h>

#include "controlplane/analysis/eprocess.h"

namespace weir::control::analysis {
namespace {

using Random = std::mt19937_64;

// Our own, since the standard library's distributions differ between implementations.
double Uniform(Random& random) {  // (0, 1]
  return (static_cast<double>(random() >> 11) + 1) * 0x1p-53;
}

// Successes among n, by jumping from success to success: about n * p steps.
uint64_t Binomial(Random& random, uint64_t n, double p) {
  if (p <= 0) return 0;
  if (p > 0.5) return n - Binomial(random, n, 1 - p);
  const double ln_q = std::log1p(-p);
  uint64_t successes = 0;
  double at = 0;
  while (true) {
    at += 1 + std::floor(std::log(Uniform(random)) / ln_q);
    if (at > static_cast<double>(n)) return successes;
    ++successes;
  }
}

struct RunEnd {
  bool detected = false;
  uint64_t canary_requests = 0;
  double seconds = 0;
};

// One rollout: healthy_requests good ones, then a canary with `canary_rate` until the alarm or
// `end`.
class Run {
 public:
  Run(const SimulationSpec& spec, uint64_t seed) : spec_(spec), random_(seed) {}

  RunEnd Go(double canary_rate, int64_t end_ms) {
    while (stable_requests_ + canary_requests_ < spec_.healthy_requests) {
      Step(spec_.stable_error_rate);
    }
    RunEnd out;
    const uint64_t before = canary_requests_;
    for (int64_t ms = spec_.tick_ms; ms <= end_ms && !out.detected; ms += spec_.tick_ms) {
      Step(canary_rate);
      out.detected = Alarmed();
      out.seconds = static_cast<double>(ms) / 1000;
    }
    out.canary_requests = canary_requests_ - before;
    return out;
  }

 private:
  void Step(double canary_rate) {
    due_ += spec_.requests_per_second * static_cast<double>(spec_.tick_ms) / 1000;
    const auto total = static_cast<uint64_t>(due_);
    due_ -= static_cast<double>(total);
    Block block;
    block.canary_requests = Binomial(random_, total, spec_.canary_share);
    block.stable_requests = total - block.canary_requests;
    block.canary_bad = Binomial(random_, block.canary_requests, canary_rate);
    block.stable_bad = Binomial(random_, block.stable_requests, spec_.stable_error_rate);
    detector_.AddTwoSample(block, SmoothedRate(stable_bad_, stable_requests_), {});
    stable_requests_ += block.stable_requests;
    stable_bad_ += block.stable_bad;
    canary_requests_ += block.canary_requests;
  }

  bool Alarmed() const {
    if (detector_.LnMeanS() < std::log(spec_.alarm_threshold)) return false;
    const Block& c = detector_.Leading().counts;
    const double canary =
        static_cast<double>(c.canary_bad) / static_cast<double>(c.canary_requests);
    const double stable =
        static_cast<double>(c.stable_bad) / static_cast<double>(c.stable_requests);
    return canary >= stable + spec_.least_effect && canary >= 1.5 * stable;
  }

  const SimulationSpec& spec_;
  Random random_;
  Detector detector_;
  double due_ = 0;
  uint64_t stable_requests_ = 0, stable_bad_ = 0, canary_requests_ = 0;
};

std::optional<double> Percentile(std::vector<double> detected, int runs, double q) {
  const auto rank = static_cast<size_t>(std::ceil(q * runs));
  if (rank > detected.size()) return std::nullopt;
  std::sort(detected.begin(), detected.end());
  return detected[std::max<size_t>(rank, 1) - 1];
}

Status Check(const SimulationSpec& s) {
  const auto rate = [](double r) { return r >= 0 && r <= 1; };
  if (!rate(s.stable_error_rate)) return InvalidArgument("stable_error_rate", "is not in 0..1");
  if (!rate(s.canary_error_rate)) return InvalidArgument("canary_error_rate", "is not in 0..1");
  if (!(s.requests_per_second >= 1 && s.requests_per_second <= 1e6)) {
    return InvalidArgument("requests_per_second", "is not in 1..1000000");
  }
  if (!(s.canary_share > 0 && s.canary_share < 1)) {
    return InvalidArgument("canary_share", "is not within 0..1, exclusive");
  }
  if (s.runs < 1 || s.runs > 100'000) return InvalidArgument("runs", "is not in 1..100000");
  if (s.tick_ms < 1) return InvalidArgument("tick_ms", "must be positive");
  if (!(s.alarm_threshold > 1)) return InvalidArgument("alarm_threshold", "must exceed 1");
  return OkStatus();
}

}  // namespace

Result<SimulationResult> Simulate(const SimulationSpec& spec) {
  WEIR_RETURN_IF_ERROR(Check(spec));
  SimulationResult out;
  std::vector<double> requests;
  std::vector<double> seconds;
  Random seeds(spec.seed);
  for (int i = 0; i < spec.runs; ++i) {
    const RunEnd end = Run(spec, seeds()).Go(spec.canary_error_rate, spec.give_up_after_ms);
    if (!end.detected) continue;
    requests.push_back(static_cast<double>(end.canary_requests));
    seconds.push_back(end.seconds);
  }
  out.canary_requests = {Percentile(requests, spec.runs, 0.5),
                         Percentile(requests, spec.runs, 0.95)};
  out.seconds = {Percentile(seconds, spec.runs, 0.5), Percentile(seconds, spec.runs, 0.95)};
  out.false_runs = spec.healthy_run_ms > 0 ? spec.runs : 0;
  for (int i = 0; i < out.false_runs; ++i) {
    if (Run(spec, seeds()).Go(spec.stable_error_rate, spec.healthy_run_ms).detected) {
      ++out.false_count;
    }
  }
  out.false_rate = out.false_runs > 0 ? static_cast<double>(out.false_count) / out.false_runs : 0;
  return out;
}

}  // namespace weir::control::analysis
