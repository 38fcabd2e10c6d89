// SPDX-License-Identifier: Apache-2.0
// Whether a trigger holds, and why.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "controlplane/analysis/judge.h"
#include "controlplane/analysis/judge_terms.h"

namespace weir::control::analysis {
namespace {

using Comparison = Trigger::Comparison;
using Family = Trigger::Family;

constexpr double kLeastRatio = 1.5;  // of a sequential trigger's effect
constexpr double kLeastRelativeErrorRate = 0.01;
constexpr double kLeastRelativeLatencyMs = 1;
constexpr double kLargestLnRatio = 690;  // e to it is finite

double Rate(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

bool IsWorseBy(double least_points, double canary, double stable) {
  return canary >= stable + least_points && canary >= kLeastRatio * stable;
}

}  // namespace

std::optional<Verdict> Judge::Examine(const Trigger& trigger, const Case& c) const {
  std::optional<Verdict> v;
  if (c.evidence == Case::Evidence::kNone) {
    v = ExamineBare(trigger, c);
  } else {
    if (!HasAlarmed(c) || !HasEnoughRequests(trigger, c)) return std::nullopt;
    v = c.evidence == Case::Evidence::kOutcome ? ExamineOutcome(trigger, c)
                                               : ExamineCounts(trigger, c);
    if (v) v->evidence_ratio = std::exp(std::min(LnRatio(c), kLargestLnRatio));
  }
  if (!v) return std::nullopt;
  v->trigger = trigger.name;
  v->action = trigger.action;
  v->threshold = trigger.threshold;
  v->at_ms = last_tick_ms_;
  v->on_errors = c.metric.kind == Metric::Kind::kErrorRate;
  if (v->evidence.empty()) v->evidence = Describe(trigger, c, *v);
  return v;
}

std::optional<Verdict> Judge::ExamineCounts(const Trigger& trigger, const Case& c) const {
  const Detector::Span& span = DetectorOf(c).Leading();
  if (c.metric.kind == Metric::Kind::kErrorRate && !HasEnoughKeys(span)) return std::nullopt;
  Verdict v;
  v.canary_requests = span.counts.canary_requests;
  v.canary_bad = span.counts.canary_bad;
  v.stable_requests = span.counts.stable_requests;
  v.stable_bad = span.counts.stable_bad;
  v.distinct_bad_keys = static_cast<int>(span.bad_keys.size());
  v.canary_rate = Rate(v.canary_bad, v.canary_requests);
  if (c.evidence == Case::Evidence::kPaired) {
    v.stable_rate = v.stable_requests > 0 ? Rate(v.stable_bad, v.stable_requests) : StableRate(c);
  }
  if (!ExceedsThreshold(trigger, c, v)) return std::nullopt;
  return v;
}

std::optional<Verdict> Judge::ExamineOutcome(const Trigger& trigger, const Case& c) const {
  const OutcomeDetector::Span* span = outcomes_.at(c.detector).Leading();
  if (span == nullptr) return std::nullopt;
  const std::optional<double> value = MetricValue(span->arms, c.metric);
  if (!value || !trigger.IsExceededBy(*value)) return std::nullopt;
  Verdict v;
  v.canary_rate = ArmValue(span->arms.canary, c.metric).value_or(0);
  v.stable_rate = ArmValue(span->arms.stable, c.metric).value_or(0);
  v.canary_requests = CountOf(span->arms.canary, c.metric);
  v.stable_requests = CountOf(span->arms.stable, c.metric);
  v.evidence = fmt::format(
      "{} is {:.4g}, {} {:.4g} (canary: {:.4g} over {} values; stable: {:.4g} over {}); evidence "
      "{:.3g} x what it alarms at",
      trigger.metric, *value, ComparisonText(trigger.comparison), trigger.threshold, v.canary_rate,
      v.canary_requests, v.stable_rate, v.stable_requests,
      std::exp(std::min(LnRatio(c), kLargestLnRatio)));
  return v;
}

std::optional<Verdict> Judge::ExamineBare(const Trigger& trigger, const Case& c) const {
  const EvaluationWindow& window = windows_.at(trigger.window_ms);
  const EvaluationWindow::Counts counts = window.CountsOf(c.metric);
  if (counts.canary == 0 || !HasEnoughRequests(trigger, c)) return std::nullopt;
  const Arms arms = window.Totals();
  const std::optional<double> value = MetricValue(arms, c.metric);
  if (!value || !trigger.IsExceededBy(*value)) return std::nullopt;
  Verdict v;
  v.canary_requests = counts.canary;
  v.stable_requests = counts.stable;
  if (c.metric.kind == Metric::Kind::kErrorRate) {
    v.canary_bad = std::min(arms.canary.Counter(telemetry::kBad), counts.canary);
    v.stable_bad = std::min(arms.stable.Counter(telemetry::kBad), counts.stable);
  }
  v.canary_rate = c.metric.IsDrift() ? *value : ArmValue(arms.canary, c.metric).value_or(*value);
  v.stable_rate = ArmValue(arms.stable, c.metric).value_or(0);
  v.evidence = fmt::format(
      "{} is {:.4g}, {} {:.4g}, over the last {:.4g} s with {} canary {} (raw: the bare threshold, "
      "without a test of chance)",
      trigger.metric, *value, ComparisonText(trigger.comparison), trigger.threshold,
      static_cast<double>(trigger.window_ms) / 1000, v.canary_requests, CountedWhat(c.metric));
  return v;
}

// Of the effect: what was counted since the evidence began to gather.
bool Judge::ExceedsThreshold(const Trigger& trigger, const Case& c, const Verdict& v) const {
  switch (trigger.family) {
    case Family::kAbsolute:
      if (c.metric.IsLatency()) return v.canary_rate > NullOf(trigger, c.metric);
      return trigger.IsExceededBy(v.canary_rate);
    case Family::kRelative:
      if (c.metric.IsLatency()) {
        return IsExceeded(trigger, c, windows_.at(trigger.window_ms).Totals());
      }
      return v.canary_rate > kLeastRelativeErrorRate &&
             (trigger.comparison == Comparison::kAtLeast
                  ? v.canary_rate >= trigger.threshold * v.stable_rate
                  : v.canary_rate > trigger.threshold * v.stable_rate);
    case Family::kSequential:
      return IsWorseBy(trigger.threshold, v.canary_rate, v.stable_rate);
    case Family::kRaw:
      break;
  }
  return false;
}

// The bare threshold over the window's totals.
bool Judge::IsExceeded(const Trigger& trigger, const Case& c, const Arms& arms) const {
  if (trigger.family == Family::kSequential) {
    const TriggerView view = View(trigger, c, arms);
    return view.canary && view.stable && IsWorseBy(trigger.threshold, *view.canary, *view.stable);
  }
  const std::optional<double> value = MetricValue(arms, c.metric);
  if (!value || !trigger.IsExceededBy(*value)) return false;
  if (trigger.IsBare() || trigger.family != Family::kRelative || c.metric.IsOutcome()) return true;
  const std::optional<double> canary = ArmValue(arms.canary, c.metric);
  const std::optional<double> stable = ArmValue(arms.stable, c.metric);
  if (!canary || !stable) return false;
  return c.metric.IsLatency() ? *canary - *stable >= kLeastRelativeLatencyMs
                              : *canary > kLeastRelativeErrorRate;
}

bool Judge::HasEnoughRequests(const Trigger& trigger, const Case& c) const {
  if (trigger.min_requests == 0 || trigger.family == Family::kSequential) return true;
  const auto counts = windows_.at(trigger.window_ms).CountsOf(c.metric);
  return counts.canary >= trigger.min_requests &&
         (!c.metric.NeedsStable() || counts.stable >= trigger.min_requests);
}

bool Judge::HasEnoughKeys(const Detector::Span& span) const {
  const auto min_keys = static_cast<uint64_t>(std::max(0, config_.min_keys));
  const uint64_t good = span.counts.canary_requests - span.counts.canary_bad;
  return span.bad_keys.empty() || span.bad_keys.size() >= min_keys || good < min_keys;
}

const Detector& Judge::DetectorOf(const Case& c) const {
  return c.evidence == Case::Evidence::kAbsolute ? absolute_.at(c.detector)
                                                 : paired_.at(c.detector);
}

// At most ticks there is nearly no evidence, which is cheap to see.
bool Judge::HasAlarmed(const Case& c) const {
  if (c.evidence != Case::Evidence::kOutcome && DetectorOf(c).LargestLnS() < ln_alarm_) {
    return false;
  }
  return LnRatio(c) >= 0;
}

double Judge::LnRatio(const Case& c) const {
  if (c.evidence == Case::Evidence::kOutcome) return outcomes_.at(c.detector).LnRatio();
  return DetectorOf(c).LnMeanS() - ln_alarm_;
}

// Stable's, of its past, while it has no traffic.
double Judge::StableRate(const Case& c) const {
  return c.detector == kPairBad ? SmoothedRate(stable_bad_, stable_requests_)
                                : ThetaAbove(StableBoundary(c.detector));
}

double Judge::ThetaAbove(int boundary) const {
  return SmoothedRate(baseline_.CountAbove(boundary) + current_.CountAbove(boundary),
                      baseline_.Count() + current_.Count());
}

int Judge::StableBoundary(const std::string& pair) const {
  return telemetry::BoundaryAtOrAbove(baseline_.Quantile(pair == kPairP99 ? 0.99 : 0.95));
}

std::string Judge::Describe(const Trigger& trigger, const Case& c, const Verdict& v) const {
  std::string what = "bad";
  const bool is_absolute = c.evidence == Case::Evidence::kAbsolute;
  if (c.metric.kind == Metric::Kind::kShadowDifference) what = "other than stable's";
  if (c.metric.IsLatency() && is_absolute) {
    what = fmt::format("above {:.4g} ms",
                       telemetry::BoundaryMs(telemetry::BoundaryAtOrAbove(trigger.threshold)));
  } else if (c.metric.IsLatency()) {
    what = fmt::format("above stable's {} ({:.4g} ms)", c.detector,
                       telemetry::BoundaryMs(StableBoundary(c.detector)));
  }
  std::string out =
      fmt::format("canary: {} of {} {} {} ({:.3g} %)", v.canary_bad, v.canary_requests,
                  CountedWhat(c.metric), what, 100 * v.canary_rate);
  if (is_absolute) {
    out += fmt::format(", allowed {:.3g} %", 100 * NullOf(trigger, c.metric));
  } else if (v.stable_requests > 0) {
    out += fmt::format(", stable: {} of {} ({:.3g} %)", v.stable_bad, v.stable_requests,
                       100 * v.stable_rate);
  } else {
    out += fmt::format(", stable before: {:.3g} %", 100 * v.stable_rate);
  }
  out += fmt::format("; evidence {:.3g} x the alarm threshold {:.3g}", v.evidence_ratio,
                     alarm_threshold_);
  if (v.distinct_bad_keys > 0) {
    out +=
        fmt::format("; bad ones from {}{} keys", v.distinct_bad_keys,
                    v.distinct_bad_keys >= static_cast<int>(Detector::kMaxKeys) ? " or more" : "");
  }
  return out;
}

}  // namespace weir::control::analysis
