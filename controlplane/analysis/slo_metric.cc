// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/slo_metric.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "controlplane/analysis/drift.h"

namespace weir::control::analysis {
namespace {

using telemetry::Series;
using telemetry::TDigest;
using Kind = SloMetric::Kind;
using Quantity = SloMetric::Quantity;

constexpr uint64_t kLeastOfShares = 20;
constexpr uint64_t kLeastOfOutputs = 1000;  // drift.h: below, the index is mostly noise

SloMetric QuantileOf(Quantity quantity, double q, uint64_t min_samples) {
  return {Kind::kQuantile, quantity, q, min_samples};
}

std::optional<double> Share(uint64_t part, uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(std::min(part, whole)) / static_cast<double>(whole);
}

const TDigest* TtftOf(const Series& series) {
  if (!series.ttft.Empty()) return &series.ttft;
  const bool has_good = series.Counter(telemetry::kBad) < series.Counter(telemetry::kRequests);
  return has_good ? &series.latency_digest : nullptr;
}

std::optional<double> PerSecond(uint64_t count, int64_t covered_ms) {
  if (covered_ms <= 0) return std::nullopt;
  return static_cast<double>(count) * 1000 / static_cast<double>(covered_ms);
}

}  // namespace

std::optional<SloMetric> SloMetricOf(const std::string& name) {
  static const std::map<std::string, SloMetric> kMetrics = {
      {"error_rate", {Kind::kErrorRate, Quantity::kNone, 0, kLeastOfShares}},
      {"shed_rate", {Kind::kShedRate, Quantity::kNone, 0, kLeastOfShares}},
      {"p50_latency_ms", QuantileOf(Quantity::kLatency, 0.50, 10)},
      {"p95_latency_ms", QuantileOf(Quantity::kLatency, 0.95, 40)},
      {"p99_latency_ms", QuantileOf(Quantity::kLatency, 0.99, 100)},
      {"p50_ttft_ms", QuantileOf(Quantity::kTtft, 0.50, 10)},
      {"p95_ttft_ms", QuantileOf(Quantity::kTtft, 0.95, 40)},
      {"p99_ttft_ms", QuantileOf(Quantity::kTtft, 0.99, 100)},
      {"p50_queue_ms", QuantileOf(Quantity::kQueue, 0.50, 10)},
      {"p95_queue_ms", QuantileOf(Quantity::kQueue, 0.95, 40)},
      {"p99_queue_ms", QuantileOf(Quantity::kQueue, 0.99, 100)},
      {"throughput", {Kind::kThroughput, Quantity::kNone, 0, 0}},
      {"tokens_per_second", {Kind::kTokens, Quantity::kNone, 0, 1}},
      {"prediction_drift", {Kind::kDrift, Quantity::kOutputs, 0, kLeastOfOutputs}},
      {"performance_degradation", {Kind::kDegradation, Quantity::kLatency, 0.95, 40}},
      {"staleness_s", {Kind::kStaleness, Quantity::kNone, 0, 1}},
      {"memory_bytes", {Kind::kMemory, Quantity::kNone, 0, 1}}};
  const auto found = kMetrics.find(name);
  if (found == kMetrics.end()) return std::nullopt;
  return found->second;
}

const TDigest* DigestOf(const Series& series, Quantity quantity) {
  switch (quantity) {
    case Quantity::kLatency:
      return &series.latency_digest;
    case Quantity::kOutputs:
      return &series.outputs;
    case Quantity::kTtft:
      return TtftOf(series);
    case Quantity::kQueue:
      return &series.queue;
    case Quantity::kNone:
      break;
  }
  return nullptr;
}

void SloSums::Add(const Series& series, const SloMetric& metric, bool is_stable) {
  requests += series.Counter(telemetry::kRequests);
  bad += series.Counter(telemetry::kBad);
  shed += series.Counter(telemetry::kShed);
  tokens += series.Counter(telemetry::kTokens);
  const TDigest* digest = DigestOf(series, metric.quantity);
  if (digest == nullptr || digest->Empty()) return;
  (metric.ComparesArms() && is_stable ? stable : values).Merge(*digest);
}

void SloSums::Merge(const SloSums& other) {
  requests += other.requests;
  bad += other.bad;
  shed += other.shed;
  tokens += other.tokens;
  if (!other.values.Empty()) values.Merge(other.values);
  if (!other.stable.Empty()) stable.Merge(other.stable);
}

uint64_t SamplesOf(const SloSums& sums, const SloMetric& metric) {
  switch (metric.kind) {
    case Kind::kShedRate:
      return sums.requests + sums.shed;
    case Kind::kQuantile:
      return static_cast<uint64_t>(sums.values.Count());
    case Kind::kDrift:
    case Kind::kDegradation:
      return static_cast<uint64_t>(std::min(sums.values.Count(), sums.stable.Count()));
    default:
      return sums.requests;
  }
}

std::optional<double> SloValueOf(const SloSums& sums, const SloMetric& metric, int64_t covered_ms) {
  switch (metric.kind) {
    case Kind::kErrorRate:
      return Share(sums.bad, sums.requests);
    case Kind::kShedRate:
      return Share(sums.shed, sums.requests + sums.shed);
    case Kind::kThroughput:
      return PerSecond(sums.requests, covered_ms);
    case Kind::kTokens:
      return PerSecond(sums.tokens, covered_ms);
    case Kind::kQuantile:
      if (sums.values.Empty()) return std::nullopt;
      return sums.values.Quantile(metric.q);
    case Kind::kDrift:
      if (sums.values.Empty() || sums.stable.Empty()) return std::nullopt;
      return PopulationStabilityIndex(OutputShares(sums.stable), OutputShares(sums.values));
    case Kind::kDegradation: {
      if (sums.values.Empty() || sums.stable.Empty()) return std::nullopt;
      const double ratio = sums.values.Quantile(metric.q) / sums.stable.Quantile(metric.q);
      if (!std::isfinite(ratio)) return std::nullopt;
      return std::max(0.0, ratio - 1);
    }
    case Kind::kStaleness:
    case Kind::kMemory:
      break;
  }
  return std::nullopt;
}

}  // namespace weir::control::analysis
