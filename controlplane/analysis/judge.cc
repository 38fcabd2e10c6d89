// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/judge.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace weir::control::analysis {
namespace {

using telemetry::kBad;
using telemetry::kRequests;
using telemetry::Series;

constexpr uint64_t kLeastStablePast = 20;
constexpr int64_t kStableSilentMs = 300;
constexpr int64_t kBaselineMs = 10'000;
constexpr uint64_t kLeastBaselineRequests = 200;
constexpr double kLeastRatio = 1.5;  // of a sequential trigger's effect
constexpr double kLeastRelativeErrorRate = 0.01;
constexpr double kLeastRelativeLatencyMs = 1;

constexpr char kPairBad[] = "bad";
constexpr char kPairP95[] = "p95";
constexpr char kPairP99[] = "p99";

bool IsLatency(const Trigger& trigger) { return trigger.metric.rfind("error_rate", 0) != 0; }

std::string PairOf(const Trigger& trigger) {
  if (!IsLatency(trigger)) return kPairBad;
  return trigger.metric.rfind("p99", 0) == 0 ? kPairP99 : kPairP95;
}

// The null of an absolute trigger: for "p99 < 500 ms" one request in a hundred may be above 500 ms.
double NullOf(const Trigger& trigger) {
  if (!IsLatency(trigger)) return std::clamp(trigger.threshold, 1e-6, 0.999);
  return trigger.metric == "p50_latency_ms"   ? 0.5
         : trigger.metric == "p95_latency_ms" ? 0.05
                                              : 0.01;
}

double Rate(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
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
  for (const Trigger& t : config_.triggers) {
    windows_.try_emplace(t.window_ms, t.window_ms);
    if (t.raw) continue;
    if (t.family == Trigger::Family::kAbsolute) {
      absolute_[t.name];
    } else {
      paired_[PairOf(t)];
    }
  }
  const double detectors = config_.detectors > 0
                               ? config_.detectors
                               : static_cast<double>(absolute_.size() + paired_.size());
  alarm_threshold_ = AlarmThreshold(detectors, config_.false_alarm_interval_ms, config_.tick_ms);
}

std::vector<Verdict> Judge::Tick(int64_t now_ms, const Series& stable, const Series& canary) {
  last_tick_ms_ = now_ms;
  for (auto& [window_ms, window] : windows_) window.Add(now_ms, stable, canary);
  AddAbsolute(canary);
  AddPaired(now_ms, stable, canary);
  std::vector<Verdict> out;
  for (const Trigger& trigger : config_.triggers) {
    auto verdict = trigger.raw ? ExamineRaw(trigger, now_ms) : Examine(trigger, now_ms);
    if (verdict) out.push_back(*std::move(verdict));
  }
  return out;
}

void Judge::AddAbsolute(const Series& canary) {
  for (const Trigger& t : config_.triggers) {
    if (t.raw || t.family != Trigger::Family::kAbsolute) continue;
    Detector& detector = absolute_.at(t.name);
    if (IsLatency(t)) {
      const int boundary = telemetry::BoundaryAtOrAbove(t.threshold);
      detector.AddOneSample(canary.latency.Count(), canary.latency.CountAbove(boundary), NullOf(t),
                            {});
    } else {
      detector.AddOneSample(canary.Counter(kRequests), canary.Counter(kBad), NullOf(t),
                            canary.bad_keys);
    }
  }
}

void Judge::AddPaired(int64_t now_ms, const Series& stable, const Series& canary) {
  for (const char* name : {kRequests, kBad}) waiting_.counters[name] += canary.Counter(name);
  waiting_.latency.Merge(canary.latency);
  for (const uint32_t key : canary.bad_keys) waiting_.AddBadKey(key);

  const bool stable_answers = stable.Counter(kRequests) > 0;
  if (stable_answers) stable_seen_ms_ = now_ms;
  const bool silent = stable_seen_ms_ && now_ms - *stable_seen_ms_ >= kStableSilentMs;
  const bool enough_past = stable_requests_ >= kLeastStablePast;
  if (enough_past && (stable_answers || silent)) {
    if (waiting_.Counter(kRequests) > 0) FeedPaired(stable, !stable_answers);
    waiting_ = {};
  }
  LearnStable(now_ms, stable);
}

void Judge::FeedPaired(const Series& stable, bool alone) {
  for (auto& [pair, detector] : paired_) {
    Block block;
    double theta = 0;
    if (pair == kPairBad) {
      theta = SmoothedRate(stable_bad_, stable_requests_);
      block = {stable.Counter(kRequests), stable.Counter(kBad), waiting_.Counter(kRequests),
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
  stable_bad_ += stable.Counter(kBad);
  if (current_.Empty()) current_since_ms_ = now_ms;
  current_.Merge(stable.latency);
  if (now_ms - current_since_ms_ >= kBaselineMs && current_.Count() >= kLeastBaselineRequests) {
    baseline_ = std::exchange(current_, {});
  }
}

std::optional<Verdict> Judge::Examine(const Trigger& trigger, int64_t now_ms) const {
  const Detector& detector = DetectorOf(trigger);
  const double ln_ratio = detector.LnMeanS() - std::log(alarm_threshold_);
  if (ln_ratio < 0 || !HasEnoughRequests(trigger)) return std::nullopt;
  const Detector::Span& span = detector.Leading();
  if (!IsLatency(trigger) && !HasEnoughKeys(span)) return std::nullopt;

  Verdict v;
  v.trigger = trigger.name;
  v.action = trigger.action;
  v.threshold = trigger.threshold;
  v.evidence_ratio = std::exp(std::min(ln_ratio, 690.0));
  v.canary_requests = span.counts.canary_requests;
  v.canary_bad = span.counts.canary_bad;
  v.stable_requests = span.counts.stable_requests;
  v.stable_bad = span.counts.stable_bad;
  v.distinct_bad_keys = static_cast<int>(span.bad_keys.size());
  v.at_ms = now_ms;
  v.canary_rate = Rate(v.canary_bad, v.canary_requests);
  if (trigger.family != Trigger::Family::kAbsolute) {
    const std::string pair = PairOf(trigger);
    v.stable_rate = v.stable_requests > 0 ? Rate(v.stable_bad, v.stable_requests)
                    : pair == kPairBad    ? SmoothedRate(stable_bad_, stable_requests_)
                                          : ThetaAbove(StableBoundary(pair));
  }
  if (!ExceedsThreshold(trigger, v)) return std::nullopt;
  v.evidence = Describe(trigger, v);
  return v;
}

std::optional<Verdict> Judge::ExamineRaw(const Trigger& trigger, int64_t now_ms) const {
  if (!HasEnoughRequests(trigger)) return std::nullopt;
  const Arms arms = windows_.at(trigger.window_ms).Totals();
  const std::optional<double> value = MetricValue(arms, trigger.metric);
  if (!value || !(*value > trigger.threshold)) return std::nullopt;
  Verdict v;
  v.trigger = trigger.name;
  v.action = trigger.action;
  v.threshold = trigger.threshold;
  v.canary_requests = arms.canary.Counter(kRequests);
  v.canary_bad = arms.canary.Counter(kBad);
  v.stable_requests = arms.stable.Counter(kRequests);
  v.stable_bad = arms.stable.Counter(kBad);
  v.canary_rate = Rate(v.canary_bad, v.canary_requests);
  v.stable_rate = Rate(v.stable_bad, v.stable_requests);
  v.at_ms = now_ms;
  v.evidence = fmt::format(
      "{} is {:.4g}, above {:.4g}, over the last {:.4g} s and {} canary requests (raw: the bare "
      "threshold, without a test of chance)",
      trigger.metric, *value, trigger.threshold, static_cast<double>(trigger.window_ms) / 1000,
      v.canary_requests);
  return v;
}

bool Judge::ExceedsThreshold(const Trigger& trigger, const Verdict& v) const {
  switch (trigger.family) {
    case Trigger::Family::kAbsolute:
      return v.canary_rate > (IsLatency(trigger) ? NullOf(trigger) : trigger.threshold);
    case Trigger::Family::kRelative:
      if (IsLatency(trigger)) return ExceedsLatencyRatio(trigger);
      return v.canary_rate > trigger.threshold * v.stable_rate &&
             v.canary_rate > kLeastRelativeErrorRate;
    case Trigger::Family::kSequential:
      return v.canary_rate >= v.stable_rate + trigger.threshold &&
             v.canary_rate >= kLeastRatio * v.stable_rate;
  }
  return false;
}

bool Judge::ExceedsLatencyRatio(const Trigger& trigger) const {
  const Arms arms = windows_.at(trigger.window_ms).Totals();
  const double q = PairOf(trigger) == kPairP99 ? 0.99 : 0.95;
  const std::optional<double> stable = LatencyQuantile(arms.stable, q);
  const std::optional<double> canary = LatencyQuantile(arms.canary, q);
  const std::optional<double> value = MetricValue(arms, trigger.metric);
  return stable && canary && value && *value > trigger.threshold &&
         *canary - *stable >= kLeastRelativeLatencyMs;
}

bool Judge::HasEnoughRequests(const Trigger& trigger) const {
  if (trigger.min_requests == 0 || trigger.family == Trigger::Family::kSequential) return true;
  const EvaluationWindow& window = windows_.at(trigger.window_ms);
  return window.CanaryCount(kRequests) >= trigger.min_requests &&
         (trigger.family == Trigger::Family::kAbsolute ||
          window.StableCount(kRequests) >= trigger.min_requests);
}

bool Judge::HasEnoughKeys(const Detector::Span& span) const {
  const auto min_keys = static_cast<uint64_t>(std::max(0, config_.min_keys));
  const uint64_t good = span.counts.canary_requests - span.counts.canary_bad;
  return span.bad_keys.empty() || span.bad_keys.size() >= min_keys || good < min_keys;
}

const Detector& Judge::DetectorOf(const Trigger& trigger) const {
  return trigger.family == Trigger::Family::kAbsolute ? absolute_.at(trigger.name)
                                                      : paired_.at(PairOf(trigger));
}

double Judge::ThetaAbove(int boundary) const {
  return SmoothedRate(baseline_.CountAbove(boundary) + current_.CountAbove(boundary),
                      baseline_.Count() + current_.Count());
}

int Judge::StableBoundary(const std::string& pair) const {
  return telemetry::BoundaryAtOrAbove(baseline_.Quantile(pair == kPairP99 ? 0.99 : 0.95));
}

std::string Judge::Describe(const Trigger& trigger, const Verdict& v) const {
  std::string what = "bad";
  if (trigger.family == Trigger::Family::kAbsolute && IsLatency(trigger)) {
    what = fmt::format("above {:.4g} ms",
                       telemetry::BoundaryMs(telemetry::BoundaryAtOrAbove(trigger.threshold)));
  } else if (IsLatency(trigger)) {
    const std::string pair = PairOf(trigger);
    what = fmt::format("above stable's {} ({:.4g} ms)", pair,
                       telemetry::BoundaryMs(StableBoundary(pair)));
  }
  std::string out = fmt::format("canary: {} of {} requests {} ({:.3g} %)", v.canary_bad,
                                v.canary_requests, what, 100 * v.canary_rate);
  if (trigger.family == Trigger::Family::kAbsolute) {
    out += fmt::format(", allowed {:.3g} %", 100 * NullOf(trigger));
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
