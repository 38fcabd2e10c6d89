// SPDX-License-Identifier: Apache-2.0
// What a judge shows: Snapshot, Triggers, and Check for gates.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "controlplane/analysis/drift.h"
#include "controlplane/analysis/judge.h"
#include "controlplane/analysis/judge_terms.h"
#include "controlplane/analysis/trend.h"

namespace weir::control::analysis {
namespace {

using Family = Trigger::Family;

constexpr double kLargestLn = 690;  // e to it is finite

ArmStats StatsOf(const telemetry::Series& series) {
  ArmStats out;
  out.requests = series.Counter(telemetry::kRequests);
  out.bad = series.Counter(telemetry::kBad);
  if (out.requests > 0) {
    out.error_rate =
        static_cast<double>(std::min(out.bad, out.requests)) / static_cast<double>(out.requests);
  }
  out.p50_latency_ms = LatencyQuantile(series, 0.5);
  out.p95_latency_ms = LatencyQuantile(series, 0.95);
  out.p99_latency_ms = LatencyQuantile(series, 0.99);
  return out;
}

std::optional<Drift> DriftOf(const Arms& arms) {
  if (arms.stable.outputs.Empty() || arms.canary.outputs.Empty()) return std::nullopt;
  const OutputShares stable(arms.stable.outputs);
  const OutputShares canary(arms.canary.outputs);
  return Drift{PopulationStabilityIndex(stable, canary), KolmogorovSmirnov(stable, canary),
               static_cast<uint64_t>(canary.Count()), static_cast<uint64_t>(stable.Count())};
}

std::map<std::string, OutcomeStats> OutcomesOf(const Arms& arms) {
  std::map<std::string, OutcomeStats> out;
  const auto collect = [&out](const telemetry::Series& arm, auto value, auto n) {
    for (const auto& [name, outcome] : arm.outcomes) {
      out[name].*n = outcome.n;
      if (outcome.n > 0) out[name].*value = outcome.sum / static_cast<double>(outcome.n);
    }
  };
  collect(arms.stable, &OutcomeStats::stable, &OutcomeStats::stable_n);
  collect(arms.canary, &OutcomeStats::canary, &OutcomeStats::canary_n);
  return out;
}

// "81 more canary requests", "5 more canary and 20 more stable outputs"; "" if there are enough.
std::string MoreNeeded(uint64_t least, uint64_t canary, std::optional<uint64_t> stable,
                       const char* what) {
  std::string out;
  if (canary < least) out = fmt::format("{} more canary", least - canary);
  if (stable && *stable < least) {
    out += fmt::format("{}{} more stable", out.empty() ? "" : " and ", least - *stable);
  }
  return out.empty() ? out : out + " " + what;
}

}  // namespace

JudgeSnapshot Judge::Snapshot() const {
  const Arms arms = windows_.at(config_.window_ms).Totals();
  const Detector& bad = paired_.at(kPairBad);
  JudgeSnapshot out;
  out.stable = StatsOf(arms.stable);
  out.canary = StatsOf(arms.canary);
  out.drift = DriftOf(arms);
  out.outcomes = OutcomesOf(arms);
  out.compared = arms.canary.Counter(telemetry::kCompared);
  out.differed = std::min(arms.canary.Counter(telemetry::kDiffered), out.compared);
  out.worse = bad.LnMeanM() >= -std::log(config_.gate_alpha);
  out.evidence_ratio = std::exp(std::min(bad.LnMeanS() - ln_alarm_, kLargestLn));
  return out;
}

std::vector<TriggerView> Judge::Triggers() const {
  std::map<int64_t, Arms> totals;
  std::vector<TriggerView> views;
  for (size_t i = 0; i < cases_.size(); ++i) {
    const Trigger& trigger = config_.triggers[i];
    const Case& c = cases_[i];
    const auto [at, is_new] = totals.try_emplace(trigger.window_ms);
    if (is_new) at->second = windows_.at(trigger.window_ms).Totals();
    TriggerView& view = views.emplace_back(View(trigger, c, at->second));
    view.is_exceeded = IsExceeded(trigger, c, at->second);
    view.needs = NeedsOf(trigger, c, at->second, view);
    if (!view.is_exceeded && view.canary) view.trend = TrendOf(trigger, c);
  }
  return views;
}

// Without is_exceeded, needs and trend.
TriggerView Judge::View(const Trigger& trigger, const Case& c, const Arms& arms) const {
  TriggerView view;
  view.name = trigger.name;
  view.metric = trigger.metric;
  view.family = FamilyName(trigger);
  view.comparison = ComparisonText(trigger.comparison);
  view.threshold = trigger.threshold;
  view.action = ActionName(trigger.action);
  view.severity = trigger.severity == Trigger::Severity::kWarning ? "warning" : "critical";
  view.is_firing = c.is_firing;
  if (c.evidence != Case::Evidence::kNone) {
    view.evidence_ratio = std::exp(std::min(LnRatio(c), kLargestLn));
  }
  if (c.metric.IsDrift()) {
    view.canary = MetricValue(arms, c.metric);
  } else if (trigger.family == Family::kSequential && c.metric.IsLatency()) {
    if (baseline_.Empty()) return view;
    const int boundary = StableBoundary(c.detector);
    const auto share = [boundary](const telemetry::LogHistogram& h) -> std::optional<double> {
      if (h.Empty()) return std::nullopt;
      return static_cast<double>(h.CountAbove(boundary)) / static_cast<double>(h.Count());
    };
    view.canary = share(arms.canary.latency);
    view.stable = share(arms.stable.latency);
  } else {
    view.canary = ArmValue(arms.canary, c.metric);
    view.stable = ArmValue(arms.stable, c.metric);
  }
  const bool is_paired_count =
      c.evidence == Case::Evidence::kPaired && trigger.family == Family::kSequential;
  if (is_paired_count && !view.stable && stable_requests_ >= kLeastStablePast) {
    view.stable = StableRate(c);
  }
  return view;
}

std::string Judge::NeedsOf(const Trigger& trigger, const Case& c, const Arms& arms,
                           const TriggerView& view) const {
  if (c.is_firing) return "";
  if (const std::string no_data = NoDataOf(trigger, c, arms); !no_data.empty()) {
    return "no data: " + no_data;
  }
  uint64_t least = trigger.family == Family::kSequential ? 0 : trigger.min_requests;
  if (c.evidence == Case::Evidence::kOutcome) least = std::max(least, kLeastOutcomes);
  const uint64_t stable = CountOf(arms.stable, c.metric);
  const std::string more = MoreNeeded(least, CountOf(arms.canary, c.metric),
                                      c.metric.NeedsStable() ? std::optional(stable) : std::nullopt,
                                      CountedWhat(c.metric));
  if (!more.empty()) return more;
  if (c.evidence != Case::Evidence::kNone && LnRatio(c) < 0) {
    if (!view.is_exceeded) return "";
    const double ln_alarm = c.evidence == Case::Evidence::kOutcome
                                ? outcomes_.at(c.detector).LnSum() - LnRatio(c)
                                : ln_alarm_;
    const double part = std::clamp(1 + LnRatio(c) / ln_alarm, 0.0, 0.99);
    return fmt::format("evidence {:.0f} % of what it takes", std::floor(100 * part));
  }
  if (c.metric.kind == Metric::Kind::kErrorRate && c.evidence != Case::Evidence::kNone) {
    const Detector::Span& span = DetectorOf(c).Leading();
    if (!HasEnoughKeys(span)) {
      return fmt::format("bad requests of {} keys, so far of {}", config_.min_keys,
                         span.bad_keys.size());
    }
  }
  if (!c.since_ms) return "";
  const int64_t left_ms = trigger.for_ms - (last_tick_ms_ - *c.since_ms);
  return left_ms > 0 ? fmt::format("{:.3g}s more of it", static_cast<double>(left_ms) / 1000)
                     : "more looks in a row";
}

std::string Judge::NoDataOf(const Trigger& trigger, const Case& c, const Arms& arms) const {
  if (CountOf(arms.canary, c.metric) == 0) return WhyNoData(arms, c.metric);
  if (c.evidence == Case::Evidence::kPaired && stable_requests_ < kLeastStablePast) {
    return fmt::format("stable has had {} of the {} requests it takes", stable_requests_,
                       kLeastStablePast);
  }
  if (c.evidence == Case::Evidence::kPaired && c.metric.IsLatency() && baseline_.Empty()) {
    return fmt::format("stable's percentiles take 10 s with {} requests", kLeastBaselineRequests);
  }
  if (trigger.family == Family::kSequential || MetricValue(arms, c.metric)) return "";
  return WhyNoData(arms, c.metric);
}

// Of the slots that are full: the last one has too little in it.
std::string Judge::TrendOf(const Trigger& trigger, const Case& c) const {
  if (trigger.family == Family::kSequential) return "";
  const EvaluationWindow& window = windows_.at(trigger.window_ms);
  if (window.slots().size() <= kLeastTrendPoints) return "";
  std::vector<TrendPoint> points;
  for (const EvaluationWindow::Slot& slot : window.slots()) {
    if (&slot == &window.slots().back()) break;
    const std::optional<double> value = MetricValue(slot.arms, c.metric);
    if (value) points.push_back({slot.start_ms + window.slot_ms() / 2, *value});
  }
  const auto trend = FindTrend(points, trigger.threshold, !trigger.IsBelow(), trigger.window_ms);
  return trend ? TrendText(*trend, trigger.threshold) : "";
}

Result<GateAnswer> Judge::Check(const MetricCondition& condition) const {
  static const std::map<std::string, std::function<bool(double, double)>> operators = {
      {"<", std::less<>()},
      {"<=", std::less_equal<>()},
      {">", std::greater<>()},
      {">=", std::greater_equal<>()}};
  const auto op = operators.find(condition.op);
  if (op == operators.end()) {
    return InvalidArgument("op", "\"" + condition.op + "\" is not one of <, <=, >, >=");
  }
  const std::optional<Metric> metric = ParseMetric(condition.metric);
  if (!metric) {
    return InvalidArgument("metric", "\"" + condition.metric + "\" is not a metric of a rollout");
  }
  const Arms arms = windows_.at(config_.window_ms).Totals();
  GateAnswer out;
  uint64_t count = CountOf(arms.canary, *metric);
  if (metric->NeedsStable()) count = std::min(count, CountOf(arms.stable, *metric));
  out.actual = MetricValue(arms, *metric);
  const double ln_worse = paired_.at(kPairBad).LnMeanM();
  if (ln_worse >= -std::log(config_.gate_alpha)) {
    out.verdict = GateAnswer::Verdict::kFailed;
    out.reason = fmt::format("the canary is worse than stable (evidence {:.3g}, from {:.3g} on)",
                             std::exp(std::min(ln_worse, kLargestLn)), 1 / config_.gate_alpha);
  } else if (count < std::max<uint64_t>(1, condition.min_requests) && count > 0) {
    out.reason = fmt::format("{}: no data yet, {} of {} {}", condition.metric, count,
                             condition.min_requests, CountedWhat(*metric));
  } else if (!out.actual || count == 0) {
    out.reason = fmt::format("{}: no data: {}", condition.metric, WhyNoData(arms, *metric));
  } else {
    out.verdict = op->second(*out.actual, condition.value) ? GateAnswer::Verdict::kPassed
                                                           : GateAnswer::Verdict::kFailed;
    out.reason = fmt::format("{} is {:.4g}, required {} {:.4g}", condition.metric, *out.actual,
                             condition.op, condition.value);
  }
  return out;
}

}  // namespace weir::control::analysis
