// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/evaluation_window.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "controlplane/analysis/eprocess.h"

namespace weir::control::analysis {
namespace {

constexpr int64_t kSlots = 20;

void Fold(const telemetry::Series& tick, telemetry::Series& into) {
  for (const char* name : {telemetry::kRequests, telemetry::kBad}) {
    if (const uint64_t n = tick.Counter(name); n > 0) into.counters[name] += n;
  }
  into.latency.Merge(tick.latency);
  if (tick.latency_digest.Empty()) return;
  into.latency_digest.Merge(tick.latency_digest);
  into.latency_digest.Fold();  // so that a restored digest is the same to the last bit
}

nlohmann::json SeriesToJson(const telemetry::Series& series) {
  nlohmann::json digest = nlohmann::json::array();
  for (const auto& c : series.latency_digest.Centroids()) digest.push_back({c.mean, c.weight});
  return {{"counters", series.counters}, {"latency", ToJson(series.latency)}, {"digest", digest}};
}

telemetry::Series SeriesFromJson(const nlohmann::json& saved) {
  telemetry::Series out;
  saved.at("counters").get_to(out.counters);
  out.latency = HistogramFromJson(saved.at("latency"));
  std::vector<telemetry::TDigest::Centroid> centroids;
  for (const auto& c : saved.at("digest")) {
    centroids.push_back({c.at(0).get<double>(), c.at(1).get<double>()});
  }
  auto digest = telemetry::TDigest::FromCentroids(std::move(centroids));
  if (!digest.ok()) throw std::invalid_argument(digest.status().ToString());
  out.latency_digest = *std::move(digest);
  return out;
}

}  // namespace

std::optional<double> LatencyQuantile(const telemetry::Series& series, double q) {
  if (!series.latency_digest.Empty()) return series.latency_digest.Quantile(q);
  if (!series.latency.Empty()) return series.latency.Quantile(q);
  return std::nullopt;
}

bool IsMetric(const std::string& metric) {
  static const std::set<std::string> known = {
      "error_rate",        "p50_latency_ms",    "p95_latency_ms",
      "p99_latency_ms",    "requests",          "error_rate_ratio",
      "p95_latency_ratio", "p99_latency_ratio", "performance_degradation"};
  return known.count(metric) > 0;
}

std::optional<double> MetricValue(const Arms& arms, const std::string& metric) {
  const uint64_t requests = arms.canary.Counter(telemetry::kRequests);
  const uint64_t bad = arms.canary.Counter(telemetry::kBad);
  if (metric == "requests") return static_cast<double>(requests);
  if (requests == 0) return std::nullopt;
  if (metric == "error_rate") return static_cast<double>(bad) / static_cast<double>(requests);
  if (metric == "error_rate_ratio") {
    const uint64_t stable = arms.stable.Counter(telemetry::kRequests);
    if (stable == 0) return std::nullopt;
    return static_cast<double>(bad) / static_cast<double>(requests) /
           SmoothedRate(arms.stable.Counter(telemetry::kBad), stable);
  }
  const double q = metric.rfind("p50", 0) == 0 ? 0.5 : metric.rfind("p99", 0) == 0 ? 0.99 : 0.95;
  const std::optional<double> canary = LatencyQuantile(arms.canary, q);
  if (!canary || !IsMetric(metric)) return std::nullopt;
  if (metric.size() > 3 && metric.substr(metric.size() - 3) == "_ms") return canary;
  const std::optional<double> stable = LatencyQuantile(arms.stable, q);
  if (!stable || !(*stable > 0)) return std::nullopt;
  const double ratio = *canary / *stable;
  return metric == "performance_degradation" ? std::max(0.0, ratio - 1) : ratio;
}

EvaluationWindow::EvaluationWindow(int64_t window_ms)
    : window_ms_(window_ms), slot_ms_(std::max<int64_t>(1, window_ms / kSlots)) {}

void EvaluationWindow::Add(int64_t now_ms, const telemetry::Series& stable,
                           const telemetry::Series& canary) {
  if (slots_.empty() || now_ms - slots_.back().start_ms >= slot_ms_) slots_.push_back({now_ms, {}});
  while (now_ms - slots_.front().start_ms >= window_ms_ + slot_ms_) slots_.pop_front();
  Fold(stable, slots_.back().arms.stable);
  Fold(canary, slots_.back().arms.canary);
}

Arms EvaluationWindow::Totals() const {
  Arms out;
  for (const Slot& slot : slots_) {
    out.stable.Merge(slot.arms.stable);
    out.canary.Merge(slot.arms.canary);
  }
  return out;
}

uint64_t EvaluationWindow::StableCount(const char* counter) const {
  uint64_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.arms.stable.Counter(counter);
  return sum;
}

uint64_t EvaluationWindow::CanaryCount(const char* counter) const {
  uint64_t sum = 0;
  for (const Slot& slot : slots_) sum += slot.arms.canary.Counter(counter);
  return sum;
}

nlohmann::json EvaluationWindow::Save(int64_t now_ms) const {
  nlohmann::json slots = nlohmann::json::array();
  for (const Slot& slot : slots_) {
    slots.push_back({{"age_ms", now_ms - slot.start_ms},
                     {"stable", SeriesToJson(slot.arms.stable)},
                     {"canary", SeriesToJson(slot.arms.canary)}});
  }
  return slots;
}

void EvaluationWindow::Restore(const nlohmann::json& saved, int64_t now_ms) {
  slots_.clear();
  for (const auto& slot : saved) {
    slots_.push_back({now_ms - slot.at("age_ms").get<int64_t>(),
                      {SeriesFromJson(slot.at("stable")), SeriesFromJson(slot.at("canary"))}});
  }
}

nlohmann::json ToJson(const telemetry::LogHistogram& histogram) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& [bucket, count] : histogram.Entries()) out.push_back({bucket, count});
  return out;
}

telemetry::LogHistogram HistogramFromJson(const nlohmann::json& saved) {
  std::vector<telemetry::LogHistogram::Entry> entries;
  for (const auto& e : saved) entries.emplace_back(e.at(0).get<int>(), e.at(1).get<uint64_t>());
  auto out = telemetry::LogHistogram::FromEntries(std::move(entries));
  if (!out.ok()) throw std::invalid_argument(out.status().ToString());
  return *std::move(out);
}

}  // namespace weir::control::analysis
