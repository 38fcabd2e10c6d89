// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/metric.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "controlplane/analysis/drift.h"
#include "controlplane/analysis/eprocess.h"

namespace weir::control::analysis {
namespace {

using telemetry::Series;
using Kind = Metric::Kind;

constexpr std::string_view kRatioSuffix = "_ratio";

const std::map<std::string, Metric>& BuiltIn() {
  static const std::map<std::string, Metric> known = {
      {"requests", {Kind::kRequests}},
      {"error_rate", {Kind::kErrorRate}},
      {"error_rate_ratio", {Kind::kErrorRate, true}},
      {"p50_latency_ms", {Kind::kLatency, false, 0.5}},
      {"p95_latency_ms", {Kind::kLatency, false, 0.95}},
      {"response_time", {Kind::kLatency, false, 0.95}},
      {"p99_latency_ms", {Kind::kLatency, false, 0.99}},
      {"p95_latency_ratio", {Kind::kLatency, true, 0.95}},
      {"p99_latency_ratio", {Kind::kLatency, true, 0.99}},
      {"performance_degradation", {Kind::kDegradation, false, 0.95}},
      {"prediction_drift", {Kind::kPsi}},
      {"prediction_drift_ks", {Kind::kKs}},
      {"shadow_difference", {Kind::kShadowDifference}}};
  return known;
}

const telemetry::Outcome& OutcomeOf(const Series& arm, const std::string& name) {
  static const telemetry::Outcome none;
  const auto it = arm.outcomes.find(name);
  return it == arm.outcomes.end() ? none : it->second;
}

// Absent instead of not finite.
std::optional<double> Quotient(double a, double b) {
  const double value = a / b;
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<double> Share(const Series& arm, const char* part, const char* whole) {
  const uint64_t n = arm.Counter(whole);
  if (n == 0) return std::nullopt;
  return static_cast<double>(std::min(arm.Counter(part), n)) / static_cast<double>(n);
}

std::optional<double> DriftValue(const Arms& arms, Kind kind) {
  if (arms.stable.outputs.Empty() || arms.canary.outputs.Empty()) return std::nullopt;
  const OutputShares stable(arms.stable.outputs);
  const OutputShares canary(arms.canary.outputs);
  return kind == Kind::kPsi ? PopulationStabilityIndex(stable, canary)
                            : KolmogorovSmirnov(stable, canary);
}

}  // namespace

bool IsOutcomeName(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

std::optional<Metric> ParseMetric(const std::string& name) {
  if (const auto it = BuiltIn().find(name); it != BuiltIn().end()) return it->second;
  Metric out{.kind = Kind::kOutcome, .outcome = name};
  if (name.size() > kRatioSuffix.size() && name.ends_with(kRatioSuffix)) {
    out.is_ratio = true;
    out.outcome.resize(name.size() - kRatioSuffix.size());
  }
  if (const size_t slash = out.outcome.find('/'); slash != std::string::npos) {
    out.per = out.outcome.substr(slash + 1);
    out.outcome.resize(slash);
    if (!IsOutcomeName(out.per)) return std::nullopt;
  }
  if (!IsOutcomeName(out.outcome)) return std::nullopt;
  return out;
}

std::optional<double> ArmValue(const Series& arm, const Metric& metric) {
  switch (metric.kind) {
    case Kind::kRequests:
      return static_cast<double>(arm.Counter(telemetry::kRequests));
    case Kind::kErrorRate:
      return Share(arm, telemetry::kBad, telemetry::kRequests);
    case Kind::kLatency:
    case Kind::kDegradation:
      return LatencyQuantile(arm, metric.q);
    case Kind::kShadowDifference:
      return Share(arm, telemetry::kDiffered, telemetry::kCompared);
    case Kind::kOutcome: {
      const telemetry::Outcome& value = OutcomeOf(arm, metric.outcome);
      if (metric.per.empty()) return Quotient(value.sum, static_cast<double>(value.n));
      return Quotient(value.sum, OutcomeOf(arm, metric.per).sum);
    }
    case Kind::kPsi:
    case Kind::kKs:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<double> MetricValue(const Arms& arms, const Metric& metric) {
  if (metric.IsDrift()) return DriftValue(arms, metric.kind);
  const std::optional<double> canary = ArmValue(arms.canary, metric);
  if (!canary || !metric.NeedsStable()) return canary;
  std::optional<double> stable = ArmValue(arms.stable, metric);
  if (stable && metric.kind == Kind::kErrorRate) {
    stable = SmoothedRate(arms.stable.Counter(telemetry::kBad),
                          arms.stable.Counter(telemetry::kRequests));
  }
  if (!stable || !(*stable > 0)) return std::nullopt;
  const std::optional<double> ratio = Quotient(*canary, *stable);
  if (ratio && metric.kind == Kind::kDegradation) return std::max(0.0, *ratio - 1);
  return ratio;
}

std::optional<double> MetricValue(const Arms& arms, const std::string& name) {
  const std::optional<Metric> metric = ParseMetric(name);
  return metric ? MetricValue(arms, *metric) : std::nullopt;
}

uint64_t CountOf(const Series& arm, const Metric& metric) {
  if (metric.IsDrift()) return static_cast<uint64_t>(arm.outputs.Count());
  if (metric.kind == Kind::kShadowDifference) return arm.Counter(telemetry::kCompared);
  if (!metric.IsOutcome()) return arm.Counter(telemetry::kRequests);
  return OutcomeOf(arm, metric.per.empty() ? metric.outcome : metric.per).n;
}

const char* CountedWhat(const Metric& metric) {
  if (metric.IsDrift()) return "outputs";
  if (metric.kind == Kind::kShadowDifference) return "comparisons";
  return metric.IsOutcome() ? "values" : "requests";
}

std::string WhyNoData(const Arms& arms, const Metric& metric) {
  if (metric.IsOutcome()) {
    const auto silent = [&](const std::string& name) {
      return OutcomeOf(arms.canary, name).n + OutcomeOf(arms.stable, name).n == 0;
    };
    if (silent(metric.outcome)) return "nobody sends " + metric.outcome;
    if (!metric.per.empty() && silent(metric.per)) return "nobody sends " + metric.per;
  }
  const std::string what = CountedWhat(metric);
  if (CountOf(arms.canary, metric) == 0) {
    const bool is_silent = arms.canary.Counter(telemetry::kRequests) == 0 && !metric.IsOutcome();
    return is_silent ? "no canary requests" : "no canary " + what;
  }
  if (metric.NeedsStable() && CountOf(arms.stable, metric) == 0) return "no stable " + what;
  return metric.NeedsStable() ? "stable's value is 0" : "no value";
}

std::optional<double> LatencyQuantile(const Series& series, double q) {
  if (!series.latency_digest.Empty()) return series.latency_digest.Quantile(q);
  if (!series.latency.Empty()) return series.latency.Quantile(q);
  return std::nullopt;
}

}  // namespace weir::control::analysis
