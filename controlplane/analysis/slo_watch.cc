// SPDX-License-Identifier: Apache-2.0
// How readings are taken and what lasts; and readings as JSON, for evidence.
#include <algorithm>
#include <exception>
#include <utility>

#include "controlplane/analysis/slo.h"

namespace weir::control::analysis {
namespace {

using nlohmann::json;

constexpr uint64_t kWatchSlots = 20;

json ToJson(const BurnCount& count) { return {{"total", count.total}, {"bad", count.bad}}; }

BurnCount BurnCountFromJson(const json& saved) {
  return {saved.at("total").get<uint64_t>(), saved.at("bad").get<uint64_t>()};
}

}  // namespace

json ToJson(const SloReading& reading) {
  json out = {{"samples", reading.samples},     {"covered_ms", reading.covered_ms},
              {"missed_ms", reading.missed_ms}, {"warned_ms", reading.warned_ms},
              {"requests", reading.requests},   {"bad", reading.bad},
              {"shed", reading.shed},           {"tokens", reading.tokens}};
  if (reading.value) out["value"] = *reading.value;
  if (!reading.gap.empty()) out["gap"] = reading.gap;
  if (reading.trend) {
    out["trend"] = {{"per_minute", reading.trend->per_minute},
                    {"reaches_in_ms", reading.trend->reaches_in_ms}};
  }
  for (const BurnReading& pair : reading.burns) {
    out["burns"].push_back({{"long_ms", pair.long_ms},
                            {"short_ms", pair.short_ms},
                            {"factor", pair.factor},
                            {"page", pair.is_page},
                            {"long", ToJson(pair.longer)},
                            {"short", ToJson(pair.shorter)}});
  }
  return out;
}

Result<SloReading> SloReadingFromJson(const json& saved) try {
  SloReading reading;
  reading.samples = saved.at("samples").get<uint64_t>();
  reading.covered_ms = saved.at("covered_ms").get<int64_t>();
  reading.missed_ms = saved.at("missed_ms").get<int64_t>();
  reading.warned_ms = saved.at("warned_ms").get<int64_t>();
  reading.requests = saved.at("requests").get<uint64_t>();
  reading.bad = saved.at("bad").get<uint64_t>();
  reading.shed = saved.at("shed").get<uint64_t>();
  reading.tokens = saved.at("tokens").get<uint64_t>();
  reading.gap = saved.value("gap", std::string());
  if (saved.contains("value")) reading.value = saved["value"].get<double>();
  if (saved.contains("trend")) {
    reading.trend = Trend{saved["trend"].at("per_minute").get<double>(),
                          saved["trend"].at("reaches_in_ms").get<int64_t>()};
  }
  for (const json& pair : saved.value("burns", json::array())) {
    reading.burns.push_back({pair.at("long_ms").get<int64_t>(), pair.at("short_ms").get<int64_t>(),
                             pair.at("factor").get<double>(), pair.at("page").get<bool>(),
                             BurnCountFromJson(pair.at("long")),
                             BurnCountFromJson(pair.at("short"))});
  }
  return reading;
} catch (const std::exception& e) {
  return DataLoss(std::string("not a reading: ") + e.what());
}

SloWatch::SloWatch(domain::SloSpec slo, std::string model, std::shared_ptr<SloWindow> window)
    : slo_(std::move(slo)), model_(std::move(model)), window_(std::move(window)) {
  verdict_ = JudgeSlo(slo_, reading_);
}

SloReading SloWatch::Read(const NodeReadings& nodes, int64_t now_ms) const {
  SloReading reading;
  const auto metric = SloMetricOf(slo_.metric);
  if (!metric) return reading;
  if (metric->IsOfNodes()) {
    const bool is_memory = metric->kind == SloMetric::Kind::kMemory;
    reading.value = is_memory ? nodes.memory_bytes : nodes.staleness_s;
    reading.samples = nodes.nodes;
    return reading;
  }
  if (window_ == nullptr) return reading;
  if (slo_.target) {
    for (BurnReading& pair : reading.burns = BurnPairs()) {
      pair.longer = window_->ring().Over(now_ms, pair.long_ms);
      pair.shorter = window_->ring().Over(now_ms, pair.short_ms);
    }
    const BurnCount& shortest = reading.burns.front().longer;
    reading.samples = reading.requests = shortest.total;
    reading.bad = shortest.bad;
    return reading;
  }
  const SloSums& sums = window_->Totals(now_ms);
  reading.covered_ms = window_->CoveredMs(now_ms);
  reading.samples = SamplesOf(sums, *metric);
  reading.value = SloValueOf(sums, *metric, reading.covered_ms);
  reading.requests = sums.requests;
  reading.bad = sums.bad;
  reading.shed = sums.shed;
  reading.tokens = sums.tokens;
  if (slo_.horizon.ms > 0) {
    const uint64_t least = std::max<uint64_t>(1, MinSamplesOf(slo_) / kWatchSlots);
    reading.trend = FindTrend(window_->Points(now_ms, least), slo_.threshold,
                              slo_.comparison.starts_with('<'), slo_.horizon.ms);
  }
  return reading;
}

void SloWatch::CoverGap(SloReading& reading, int64_t now_ms, const SloHearing& hearing) {
  const auto metric = SloMetricOf(slo_.metric);
  if (!metric || !metric->IsRate() || !slo_.comparison.starts_with('>')) return;
  if (!hearing.gap.empty()) {
    gap_ms_ = now_ms;
    gap_ = hearing.gap;
  }
  if (!gap_ms_ || now_ms - *gap_ms_ >= slo_.window.ms) return;
  reading.covered_ms = std::min(reading.covered_ms, now_ms - *gap_ms_);
  reading.gap = gap_;
}

void SloWatch::Clock(SloReading& reading, int64_t now_ms, int64_t passed_ms, bool is_deaf) {
  const bool has_data = !slo_.target && reading.value && reading.samples >= MinSamplesOf(slo_);
  if (!has_data || is_deaf) {  // neither good nor bad: the clocks stand until there is some again
    if (missed_ms_) *missed_ms_ += passed_ms;
    if (warned_ms_) *warned_ms_ += passed_ms;
  }
  if (!has_data) return;
  const auto follow = [&](std::optional<int64_t>& since_ms, double threshold) {
    if (!IsPast(slo_.comparison, *reading.value, threshold)) {
      since_ms.reset();
      return int64_t{0};
    }
    if (!since_ms) since_ms = now_ms;
    return now_ms - *since_ms;
  };
  reading.missed_ms = follow(missed_ms_, slo_.threshold);
  if (slo_.warning) reading.warned_ms = follow(warned_ms_, *slo_.warning);
}

SloWatch::Edge SloWatch::Evaluate(const NodeReadings& nodes, int64_t now_ms, int64_t now_wall_ms,
                                  const SloHearing& hearing) {
  SloReading reading = Read(nodes, now_ms);
  CoverGap(reading, now_ms, hearing);
  const bool is_deaf = hearing.is_deaf || !reading.gap.empty();
  const int64_t passed_ms = looked_ms_ == 0 ? 0 : now_ms - looked_ms_;
  looked_ms_ = now_ms;
  Clock(reading, now_ms, passed_ms, is_deaf);
  reading_ = std::move(reading);
  const SloState before = verdict_.state;
  verdict_ = JudgeSlo(slo_, reading_);
  const bool says_nothing = is_deaf || verdict_.state == SloState::kNoData;
  if (says_nothing && good_since_ms_) *good_since_ms_ += passed_ms;
  const Edge edge = Tell(now_ms);
  if (edge == Edge::kViolated || edge == Edge::kWarned) told_since_wall_ms_ = now_wall_ms;
  if (verdict_.state != before || since_wall_ms_ == 0) {
    // A gap in what is heard ends nothing.
    const bool goes_on = IsFiring() && verdict_.state == told_;
    since_wall_ms_ = goes_on ? told_since_wall_ms_ : now_wall_ms;
  }
  return edge;
}

SloState SloWatch::Settled(int64_t now_ms) {
  if (verdict_.state == SloState::kNoData) {
    if (!silent_ms_) silent_ms_ = now_ms;
    if (now_ms - *silent_ms_ < std::max(slo_.window.ms, kForgetMs)) return told_;
    missed_ms_.reset();
    warned_ms_.reset();
    return SloState::kOk;
  }
  silent_ms_.reset();
  if (verdict_.state != SloState::kOk || told_ == SloState::kOk) {
    good_since_ms_.reset();
    return verdict_.state;
  }
  if (missed_ms_ || warned_ms_) {  // not for long enough to count, but not good either
    good_since_ms_.reset();
    return told_;
  }
  if (!good_since_ms_) good_since_ms_ = now_ms;
  return now_ms - *good_since_ms_ < HoldMsOf(slo_) ? told_ : SloState::kOk;
}

SloWatch::Edge SloWatch::Tell(int64_t now_ms) {
  const SloState now = Settled(now_ms);
  if (now == told_) {
    const bool is_new = now == verdict_.state && verdict_.severity != told_severity_;
    if (now == SloState::kOk || !is_new) return Edge::kNone;
    told_severity_ = verdict_.severity;
    return Edge::kChanged;
  }
  told_ = now;
  good_since_ms_.reset();
  told_severity_ = now == SloState::kOk ? "" : verdict_.severity;
  if (now == SloState::kViolated) return Edge::kViolated;
  return now == SloState::kWarning ? Edge::kWarned : Edge::kRecovered;
}

json SloWatch::Save() const {
  json saved = {{"state", SloStateName(verdict_.state)},
                {"since", since_wall_ms_},
                {"told", SloStateName(told_)},
                {"told_since", told_since_wall_ms_}};
  if (!told_severity_.empty()) saved["severity"] = told_severity_;
  if (missed_ms_) saved["missed_ms"] = looked_ms_ - *missed_ms_;
  if (warned_ms_) saved["warned_ms"] = looked_ms_ - *warned_ms_;
  if (silent_ms_) saved["silent_ms"] = looked_ms_ - *silent_ms_;
  return saved;
}

void SloWatch::Restore(const json& saved, int64_t now_ms) {
  const auto state = [&](const char* name) {
    const std::string text = saved.value(name, std::string());
    for (const SloState s : {SloState::kOk, SloState::kWarning, SloState::kViolated}) {
      if (text == SloStateName(s)) return s;
    }
    return SloState::kNoData;
  };
  const auto since = [&](const char* name) -> std::optional<int64_t> {
    if (!saved.contains(name)) return std::nullopt;
    return now_ms - std::max<int64_t>(0, saved.value(name, int64_t{0}));
  };
  verdict_.state = state("state");
  since_wall_ms_ = saved.value("since", int64_t{0});
  told_ = state("told") == SloState::kNoData ? SloState::kOk : state("told");
  told_since_wall_ms_ = saved.value("told_since", int64_t{0});
  told_severity_ = saved.value("severity", std::string());
  looked_ms_ = now_ms;
  missed_ms_ = since("missed_ms");
  warned_ms_ = since("warned_ms");
  silent_ms_ = since("silent_ms");
}

}  // namespace weir::control::analysis
