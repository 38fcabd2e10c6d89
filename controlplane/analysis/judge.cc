// SPDX-License-Identifier: Apache-2.0
// How a judge is made and fed. What it makes of it: judge_examine.cc.
#include "controlplane/analysis/judge.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "controlplane/analysis/judge_terms.h"

namespace weir::control::analysis {
namespace {

using telemetry::kBad;
using telemetry::kRequests;
using telemetry::Series;
using Severity = Trigger::Severity;

constexpr int64_t kStableSilentMs = 300;
constexpr int64_t kBaselineMs = 10'000;
constexpr int kWarningLooks = 3;
constexpr double kLeastOutcomeAlarm = 20;

Metric MetricOf(const Trigger& trigger) {
  if (trigger.family != Trigger::Family::kSequential || trigger.metric == "error_rate") {
    return ParseMetric(trigger.metric).value_or(Metric());
  }
  return {Metric::Kind::kLatency, false, trigger.metric == "p99_latency" ? 0.99 : 0.95};
}

// What the latencies of one arm are counted for: nothing is above where nothing was measured.
uint64_t BadOf(const Series& series) {
  return std::min(series.Counter(kBad), series.Counter(kRequests));
}

}  // namespace

Result<Judge> Judge::Create(JudgeConfig config) {
  if (config.tick_ms <= 0) return InvalidArgument("tick_ms", "must be positive");
  if (config.false_alarm_interval_ms < config.tick_ms) {
    return InvalidArgument("false_alarm_interval_ms", "must be at least one tick");
  }
  if (!(config.gate_alpha > 0 && config.gate_alpha < 1)) {
    return InvalidArgument("gate_alpha", fmt::format("{} is not in (0, 1)", config.gate_alpha));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < config.triggers.size(); ++i) {
    const std::string path = fmt::format("triggers[{}]", i);
    if (const Status s = Validate(config.triggers[i]); !s.ok()) {
      return Status(s.code(), s.message(), path + "." + s.field());
    }
    if (!names.insert(config.triggers[i].name).second) {
      return InvalidArgument(path + ".name", "\"" + config.triggers[i].name + "\" occurs twice");
    }
  }
  return Judge(std::move(config));
}

Judge::Judge(JudgeConfig config) : config_(std::move(config)) {
  windows_.try_emplace(config_.window_ms, config_.window_ms);
  paired_[kPairBad];  // the gate needs it whatever the triggers
  for (const Trigger& t : config_.triggers) cases_.push_back(Open(t));
  std::set<std::string> outcomes;
  for (const Case& c : cases_) {
    if (c.evidence == Case::Evidence::kOutcome) outcomes.insert(c.detector);
  }
  const double detectors =
      config_.detectors > 0
          ? config_.detectors
          : static_cast<double>(absolute_.size() + paired_.size() + outcomes.size());
  alarm_threshold_ = AlarmThreshold(detectors, config_.false_alarm_interval_ms, config_.tick_ms);
  ln_alarm_ = std::log(alarm_threshold_);
  for (size_t i = 0; i < cases_.size(); ++i) {
    if (cases_[i].evidence != Case::Evidence::kOutcome) continue;
    const Trigger& t = config_.triggers[i];
    const double alarm_at =
        std::max(kLeastOutcomeAlarm,
                 AlarmThreshold(detectors, config_.false_alarm_interval_ms, t.window_ms));
    outcomes_.try_emplace(cases_[i].detector,
                          OutcomeClaim{cases_[i].metric, t.threshold, t.IsBelow()}, t.window_ms,
                          alarm_at);
  }
}

Judge::Case Judge::Open(const Trigger& trigger) {
  Case out;
  out.metric = MetricOf(trigger);
  windows_.try_emplace(trigger.window_ms, trigger.window_ms);
  if (trigger.IsBare()) return out;
  // With the null in the key, saved evidence against another null is not taken up.
  const std::string own =
      fmt::format("{} {} {} {} {}", trigger.name, trigger.metric,
                  ComparisonText(trigger.comparison), trigger.threshold, trigger.window_ms);
  if (out.metric.IsOutcome()) {
    out.evidence = Case::Evidence::kOutcome;
    out.detector = own;
  } else if (trigger.family == Trigger::Family::kAbsolute) {
    out.evidence = Case::Evidence::kAbsolute;
    out.detector = own;
    absolute_[own];
  } else {
    out.evidence = Case::Evidence::kPaired;
    out.detector = PairOf(out.metric);
    paired_[out.detector];
  }
  return out;
}

std::vector<Verdict> Judge::Tick(int64_t now_ms, const Series& stable, const Series& canary) {
  last_tick_ms_ = now_ms;
  for (auto& [window_ms, window] : windows_) window.Add(now_ms, stable, canary);
  AddAbsolute(canary);
  AddPaired(now_ms, stable, canary);
  for (auto& [name, detector] : outcomes_) detector.Add(now_ms, stable, canary);
  std::vector<Verdict> out;
  for (size_t i = 0; i < cases_.size(); ++i) {
    const Trigger& trigger = config_.triggers[i];
    Case& c = cases_[i];
    std::optional<Verdict> verdict = Examine(trigger, c);
    if (!verdict) {
      c.in_a_row = 0;
      c.since_ms.reset();
      c.is_firing = false;
      continue;
    }
    c.in_a_row = std::min(c.in_a_row + 1, kWarningLooks);
    if (!c.since_ms) c.since_ms = now_ms;
    c.is_firing = (trigger.severity == Severity::kCritical || c.in_a_row >= kWarningLooks) &&
                  now_ms - *c.since_ms >= trigger.for_ms;
    if (c.is_firing) out.push_back(*std::move(verdict));
  }
  return out;
}

void Judge::AddAbsolute(const Series& canary) {
  for (size_t i = 0; i < cases_.size(); ++i) {
    const Case& c = cases_[i];
    if (c.evidence != Case::Evidence::kAbsolute) continue;
    const Trigger& t = config_.triggers[i];
    Detector& detector = absolute_.at(c.detector);
    if (c.metric.IsLatency()) {
      const int boundary = telemetry::BoundaryAtOrAbove(t.threshold);
      detector.AddOneSample(canary.latency.Count(), canary.latency.CountAbove(boundary),
                            NullOf(t, c.metric), {});
    } else if (c.metric.kind == Metric::Kind::kShadowDifference) {
      const uint64_t compared = canary.Counter(telemetry::kCompared);
      detector.AddOneSample(compared, std::min(canary.Counter(telemetry::kDiffered), compared),
                            NullOf(t, c.metric), {});
    } else {
      detector.AddOneSample(canary.Counter(kRequests), BadOf(canary), NullOf(t, c.metric),
                            canary.bad_keys);
    }
  }
}

void Judge::AddPaired(int64_t now_ms, const Series& stable, const Series& canary) {
  if (const uint64_t requests = canary.Counter(kRequests); requests > 0) {
    waiting_.counters[kRequests] += requests;
    if (const uint64_t bad = BadOf(canary); bad > 0) waiting_.counters[kBad] += bad;
    waiting_.latency.Merge(canary.latency);
    for (const uint32_t key : canary.bad_keys) waiting_.AddBadKey(key);
  }
  const bool stable_answers = stable.Counter(kRequests) > 0;
  if (stable_answers) stable_seen_ms_ = now_ms;
  const bool silent = stable_seen_ms_ && now_ms - *stable_seen_ms_ >= kStableSilentMs;
  const bool enough_past = stable_requests_ >= kLeastStablePast;
  if (enough_past && (stable_answers || silent) && !waiting_.counters.empty()) {
    FeedPaired(stable, !stable_answers);
    waiting_ = {};
  }
  if (stable_answers) LearnStable(now_ms, stable);
}

void Judge::FeedPaired(const Series& stable, bool alone) {
  for (auto& [pair, detector] : paired_) {
    Block block;
    double theta = 0;
    if (pair == kPairBad) {
      theta = SmoothedRate(stable_bad_, stable_requests_);
      block = {stable.Counter(kRequests), BadOf(stable), waiting_.Counter(kRequests),
               waiting_.Counter(kBad)};
    } else {
      if (baseline_.Empty()) continue;
      const int boundary = StableBoundary(pair);
      theta = ThetaAbove(boundary);
      block = {stable.latency.Count(), stable.latency.CountAbove(boundary),
               waiting_.latency.Count(), waiting_.latency.CountAbove(boundary)};
    }
    const std::vector<uint32_t> no_keys;
    const auto& keys = pair == kPairBad ? waiting_.bad_keys : no_keys;
    if (alone) {
      detector.AddOneSample(block.canary_requests, block.canary_bad, FrozenNull(theta), keys);
    } else {
      detector.AddTwoSample(block, theta, keys);
    }
  }
}

// After the tick was judged: theta_a and the baseline are stable's past, never its present.
void Judge::LearnStable(int64_t now_ms, const Series& stable) {
  stable_requests_ += stable.Counter(kRequests);
  stable_bad_ += BadOf(stable);
  if (current_.Empty()) current_since_ms_ = now_ms;
  current_.Merge(stable.latency);
  if (now_ms - current_since_ms_ >= kBaselineMs && current_.Count() >= kLeastBaselineRequests) {
    baseline_ = std::exchange(current_, {});
  }
}

}  // namespace weir::control::analysis
