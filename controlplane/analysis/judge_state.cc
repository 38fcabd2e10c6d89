// SPDX-License-Identifier: Apache-2.0
// What a judge keeps over a restart, and what it hands to the next one.
#include <exception>
#include <map>
#include <utility>

#include "controlplane/analysis/judge.h"

namespace weir::control::analysis {
namespace {

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

nlohmann::json Judge::Save() const {
  nlohmann::json windows = nlohmann::json::object();
  for (const auto& [window_ms, window] : windows_) {
    windows[std::to_string(window_ms)] = window.Save(last_tick_ms_);
  }
  nlohmann::json outcomes = nlohmann::json::object();
  for (const auto& [name, detector] : outcomes_) outcomes[name] = detector.Save(last_tick_ms_);
  nlohmann::json holding = nlohmann::json::object();
  for (size_t i = 0; i < cases_.size(); ++i) {
    const Case& c = cases_[i];
    if (!c.since_ms) continue;
    holding[config_.triggers[i].name] = {c.in_a_row, last_tick_ms_ - *c.since_ms, c.is_firing};
  }
  nlohmann::json out = {{"windows", windows},
                        {"absolute", SaveDetectors(absolute_)},
                        {"paired", SaveDetectors(paired_)},
                        {"outcomes", outcomes},
                        {"holding", holding},
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
    const auto& outcomes = saved.at("outcomes");
    for (auto& [name, detector] : fresh.outcomes_) {
      if (outcomes.contains(name)) detector.Restore(outcomes.at(name), now_ms);
    }
    const auto& holding = saved.at("holding");
    for (size_t i = 0; i < fresh.cases_.size(); ++i) {
      const std::string& name = config_.triggers[i].name;
      if (!holding.contains(name)) continue;
      const auto& held = holding.at(name);
      fresh.cases_[i].in_a_row = held.at(0).get<int>();
      fresh.cases_[i].since_ms = now_ms - held.at(1).get<int64_t>();
      fresh.cases_[i].is_firing = held.at(2).get<bool>();
    }
    const auto& waiting = saved.at("waiting");
    for (const char* name : {telemetry::kRequests, telemetry::kBad}) {
      if (const auto n = waiting.at(name).get<uint64_t>(); n > 0) fresh.waiting_.counters[name] = n;
    }
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
