// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/simulate.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "controlplane/analysis/judge.h"
#include "controlplane/analysis/synthetic_traffic.h"

namespace weir::control::analysis {
namespace {

constexpr double kUsualMedianMs = 20;

struct RunEnd {
  bool detected = false;
  uint64_t canary_requests = 0;
  double seconds = 0;
};

// Half of every limit that a trigger sets to a percentile, as the median of the lognormal law whose
// percentile it is.
double MedianMs(const std::vector<Trigger>& triggers) {
  constexpr std::pair<const char*, double> kNormalQuantiles[] = {
      {"p50_latency_ms", 0}, {"p95_latency_ms", 1.645}, {"p99_latency_ms", 2.327}};
  double median = kUsualMedianMs;
  for (const Trigger& t : triggers) {
    for (const auto& [metric, quantile] : kNormalQuantiles) {
      if (t.metric != metric) continue;
      median = std::min(median, t.threshold / 2 / std::exp(LatencyLaw::kSigma * quantile));
    }
  }
  return std::max(median, 0.01);
}

// One rollout: healthy_requests good ones, then a canary with `canary_rate` until it is taken back,
// or `end_ms`.
class Run {
 public:
  Run(const SimulationSpec& spec, const LatencyLaw& latency, Judge judge, uint64_t seed)
      : spec_(spec), latency_(latency), judge_(std::move(judge)), random_(seed) {}

  RunEnd Go(uint64_t healthy_requests, double canary_rate, int64_t end_ms) {
    while (requests_ < healthy_requests) Step(spec_.stable_error_rate);
    RunEnd out;
    const uint64_t before = canary_requests_;
    const int64_t begin_ms = now_ms_;
    while (now_ms_ - begin_ms < end_ms && !out.detected) out.detected = Step(canary_rate);
    out.seconds = static_cast<double>(now_ms_ - begin_ms) / 1000;
    out.canary_requests = canary_requests_ - before;
    return out;
  }

 private:
  // One tick; true when a trigger takes the canary back.
  bool Step(double canary_rate) {
    now_ms_ += spec_.tick_ms;
    due_ += spec_.requests_per_second * static_cast<double>(spec_.tick_ms) / 1000;
    const auto total = static_cast<uint64_t>(due_);
    due_ -= static_cast<double>(total);
    const uint64_t to_canary = Binomial(random_, total, spec_.canary_share);
    requests_ += total;
    canary_requests_ += to_canary;
    const telemetry::Series canary = DrawSeries(random_, to_canary, canary_rate, latency_);
    const telemetry::Series stable =
        DrawSeries(random_, total - to_canary, spec_.stable_error_rate, latency_);
    const std::vector<Verdict> verdicts = judge_.Tick(now_ms_, stable, canary);
    return std::any_of(verdicts.begin(), verdicts.end(),
                       [](const Verdict& v) { return v.action == Trigger::Action::kRollback; });
  }

  const SimulationSpec& spec_;
  const LatencyLaw& latency_;
  Judge judge_;
  Random random_;
  int64_t now_ms_ = 0;
  double due_ = 0;
  uint64_t requests_ = 0, canary_requests_ = 0;
};

std::optional<double> Percentile(std::vector<double> detected, int runs, double q) {
  const auto rank = static_cast<size_t>(std::ceil(q * runs));
  if (rank > detected.size() || detected.empty()) return std::nullopt;
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
  const int healthy = s.healthy_runs.value_or(s.runs);
  if (s.runs < 0 || s.runs > 100'000 || s.runs + healthy < 1) {
    return InvalidArgument("runs", "is not in 1..100000");
  }
  if (healthy < 0 || healthy > 1'000'000) {
    return InvalidArgument("healthy_runs", "is not in 0..1000000");
  }
  return OkStatus();
}

}  // namespace

Result<SimulationResult> Simulate(const SimulationSpec& spec) {
  WEIR_RETURN_IF_ERROR(Check(spec));
  JudgeConfig config;
  config.triggers = spec.triggers;
  config.tick_ms = spec.tick_ms;
  config.false_alarm_interval_ms = spec.false_alarm_interval_ms;
  config.detectors = spec.detectors;
  if (!spec.triggers.empty()) config.window_ms = spec.triggers[0].window_ms;
  WEIR_ASSIGN_OR_RETURN(const Judge judge, Judge::Create(std::move(config)));
  const LatencyLaw latency(MedianMs(spec.triggers));

  SimulationResult out;
  out.false_runs = spec.healthy_run_ms > 0 ? spec.healthy_runs.value_or(spec.runs) : 0;
  const int all = spec.runs + out.false_runs;
  const auto tell = [&](int done) {
    if (spec.progress) spec.progress(done, all);
  };
  std::vector<double> requests;
  std::vector<double> seconds;
  Random seeds(spec.seed);
  for (int i = 0; i < spec.runs; ++i) {
    const RunEnd end =
        Run(spec, latency, judge, seeds())
            .Go(spec.healthy_requests, spec.canary_error_rate, spec.give_up_after_ms);
    tell(i + 1);
    if (!end.detected) continue;
    requests.push_back(static_cast<double>(end.canary_requests));
    seconds.push_back(end.seconds);
  }
  out.canary_requests = {Percentile(requests, spec.runs, 0.5),
                         Percentile(requests, spec.runs, 0.95)};
  out.seconds = {Percentile(seconds, spec.runs, 0.5), Percentile(seconds, spec.runs, 0.95)};
  for (int i = 0; i < out.false_runs; ++i) {
    const RunEnd end =
        Run(spec, latency, judge, seeds()).Go(0, spec.stable_error_rate, spec.healthy_run_ms);
    out.false_count += end.detected ? 1 : 0;
    tell(spec.runs + i + 1);
  }
  out.false_rate = out.false_runs > 0 ? static_cast<double>(out.false_count) / out.false_runs : 0;
  out.declared_rate = std::min(1.0, static_cast<double>(spec.healthy_run_ms) /
                                        static_cast<double>(spec.false_alarm_interval_ms));
  return out;
}

}  // namespace weir::control::analysis
