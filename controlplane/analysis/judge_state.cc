// SPDX-License-Identifier: Apache-2.0
// What a judge shows (Snapshot, Check) and what it keeps over a restart (Save, Restore).
#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "controlplane/analysis/judge.h"

namespace weir::control::analysis {
namespace {

ArmStats StatsOf(const telemetry::Series& series) {
  ArmStats out;
  out.requests = series.Counter(telemetry::kRequests);
  out.bad = series.Counter(telemetry::kBad);
  if (out.requests > 0) {
    out.error_rate = static_cast<double>(out.bad) / static_cast<double>(out.requests);
  }
  out.p50_latency_ms = LatencyQuantile(series, 0.5);
  out.p95_latency_ms = LatencyQuantile(series, 0.95);
  out.p99_latency_ms = LatencyQuantile(series, 0.99);
  return out;
}

bool NeedsStable(const std::string& metric) {
  return metric.find("ratio") != std::string::npos || metric == "performance_degradation";
}

nlohmann::json SaveDetectors(const std::map<std::string, Detector>& detectors) {
  nlohmann::json out = nlohmann::json::object();
  for (const auto& [name, detector] : detectors) out[name] = detector.Save();
  return out;
}

Status RestoreDetectors(const nlohmann::json& saved, std::map<std::string, Detector>& detectors) {
  for (auto& [name, detector] : detectors) {
    if (!saved.contains(name)) continue;
    WEIR_ASSIGN_OR_RETURN(detector, Detector::Restore(saved.at(name)));
  }
  return OkStatus();
}

}  // namespace

std::vector<TriggerView> Judge::Triggers() const {
  std::vector<TriggerView> views;
  for (const Trigger& trigger : config_.triggers) {
    TriggerView& view = views.emplace_back();
    view.name = trigger.name;
    view.metric = trigger.metric;
    view.threshold = trigger.threshold;
    view.action = ActionName(trigger.action);
  }
  return views;
}

JudgeSnapshot Judge::Snapshot() const {
  const Arms arms = windows_.at(config_.window_ms).Totals();
  const Detector& bad = paired_.at("bad");
  JudgeSnapshot out;
  out.stable = StatsOf(arms.stable);
  out.canary = StatsOf(arms.canary);
  out.worse = bad.LnMeanM() >= -std::log(config_.gate_alpha);
  out.evidence_ratio = std::exp(std::min(bad.LnMeanS() - std::log(alarm_threshold_), 690.0));
  return out;
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
  if (!IsMetric(condition.metric)) {
    return InvalidArgument("metric", "\"" + condition.metric + "\" is not a metric of a rollout");
  }
  const Arms arms = windows_.at(config_.window_ms).Totals();
  GateAnswer out;
  uint64_t requests = arms.canary.Counter(telemetry::kRequests);
  if (NeedsStable(condition.metric)) {
    requests = std::min(requests, arms.stable.Counter(telemetry::kRequests));
  }
  out.actual = MetricValue(arms, condition.metric);
  const double ln_worse = paired_.at("bad").LnMeanM();
  if (ln_worse >= -std::log(config_.gate_alpha)) {
    out.verdict = GateAnswer::Verdict::kFailed;
    out.reason = fmt::format("the canary is worse than stable (evidence {:.3g}, from {:.3g} on)",
                             std::exp(std::min(ln_worse, 690.0)), 1 / config_.gate_alpha);
  } else if (!out.actual || requests < condition.min_requests) {
    out.reason = fmt::format("{}: no data yet, {} of {} requests", condition.metric, requests,
                             std::max<uint64_t>(1, condition.min_requests));
  } else {
    out.verdict = op->second(*out.actual, condition.value) ? GateAnswer::Verdict::kPassed
                                                           : GateAnswer::Verdict::kFailed;
    out.reason = fmt::format("{} is {:.4g}, required {} {:.4g}", condition.metric, *out.actual,
                             condition.op, condition.value);
  }
  return out;
}

nlohmann::json Judge::Save() const {
  nlohmann::json windows = nlohmann::json::object();
  for (const auto& [window_ms, window] : windows_) {
    windows[std::to_string(window_ms)] = window.Save(last_tick_ms_);
  }
  nlohmann::json out = {{"windows", windows},
                        {"absolute", SaveDetectors(absolute_)},
                        {"paired", SaveDetectors(paired_)},
                        {"waiting",
                         {{"requests", waiting_.Counter(telemetry::kRequests)},
                          {"bad", waiting_.Counter(telemetry::kBad)},
                          {"latency", ToJson(waiting_.latency)},
                          {"bad_keys", waiting_.bad_keys}}},
                        {"stable_requests", stable_requests_},
                        {"stable_bad", stable_bad_},
                        {"baseline", ToJson(baseline_)},
                        {"current", ToJson(current_)},
                        {"current_age_ms", last_tick_ms_ - current_since_ms_}};
  if (stable_seen_ms_) out["stable_seen_age_ms"] = last_tick_ms_ - *stable_seen_ms_;
  return out;
}

Status Judge::Restore(const nlohmann::json& saved, int64_t now_ms) {
  try {
    Judge fresh(config_);
    fresh.last_tick_ms_ = now_ms;
    for (auto& [window_ms, window] : fresh.windows_) {
      const auto& windows = saved.at("windows");
      const std::string key = std::to_string(window_ms);
      if (windows.contains(key)) window.Restore(windows.at(key), now_ms);
    }
    WEIR_RETURN_IF_ERROR(RestoreDetectors(saved.at("absolute"), fresh.absolute_));
    WEIR_RETURN_IF_ERROR(RestoreDetectors(saved.at("paired"), fresh.paired_));
    const auto& waiting = saved.at("waiting");
    fresh.waiting_.counters[telemetry::kRequests] = waiting.at("requests").get<uint64_t>();
    fresh.waiting_.counters[telemetry::kBad] = waiting.at("bad").get<uint64_t>();
    fresh.waiting_.latency = HistogramFromJson(waiting.at("latency"));
    waiting.at("bad_keys").get_to(fresh.waiting_.bad_keys);
    saved.at("stable_requests").get_to(fresh.stable_requests_);
    saved.at("stable_bad").get_to(fresh.stable_bad_);
    fresh.baseline_ = HistogramFromJson(saved.at("baseline"));
    fresh.current_ = HistogramFromJson(saved.at("current"));
    fresh.current_since_ms_ = now_ms - saved.at("current_age_ms").get<int64_t>();
    if (saved.contains("stable_seen_age_ms")) {
      fresh.stable_seen_ms_ = now_ms - saved.at("stable_seen_age_ms").get<int64_t>();
    }
    *this = std::move(fresh);
    return OkStatus();
  } catch (const std::exception& e) {
    return DataLoss(std::string("saved judge: ") + e.what());
  }
}

void Judge::LearnStableFrom(const Judge& other) {
  last_tick_ms_ = other.last_tick_ms_;
  stable_requests_ = other.stable_requests_;
  stable_bad_ = other.stable_bad_;
  stable_seen_ms_ = other.stable_seen_ms_;
  baseline_ = other.baseline_;
  current_ = other.current_;
  current_since_ms_ = other.current_since_ms_;
}

}  // namespace weir::control::analysis
