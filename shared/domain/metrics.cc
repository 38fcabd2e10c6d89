// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>
#include <vector>

#include "shared/base/text.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxOutcomeName = 64;

const std::map<std::string, MetricUnit>& BuiltIn() {
  static const std::map<std::string, MetricUnit> kMetrics = {
      {"error_rate", MetricUnit::kRatio},
      {"requests", MetricUnit::kCount},
      {"p50_latency_ms", MetricUnit::kMs},
      {"p95_latency_ms", MetricUnit::kMs},
      {"p99_latency_ms", MetricUnit::kMs},
      {"error_rate_ratio", MetricUnit::kTimes},
      {"p95_latency_ratio", MetricUnit::kTimes},
      {"p99_latency_ratio", MetricUnit::kTimes},
      {"performance_degradation", MetricUnit::kExcess},
      {"prediction_drift", MetricUnit::kIndex},
      {"prediction_drift_ks", MetricUnit::kRatio},
      {"shadow_difference", MetricUnit::kRatio}};
  return kMetrics;
}

// Equal but for one place of at most two characters.
bool IsTypoOf(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty() && a.front() == b.front()) {
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a.remove_suffix(1);
    b.remove_suffix(1);
  }
  return a.size() <= 2 && b.size() <= 2;
}

// "p90_latency", "p95_latency_s": meant to be one of ours.
bool LooksLikeLatency(const std::string& metric) {
  return metric.size() > 2 && metric[0] == 'p' &&
         std::isdigit(static_cast<unsigned char>(metric[1])) != 0 &&
         metric.find("latency") != std::string::npos;
}

bool IsOutcomeName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxOutcomeName &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_' || c == '.';
         });
}

}  // namespace

Result<MetricUnit> UnitOf(const std::string& metric) {
  if (const auto known = BuiltIn().find(metric); known != BuiltIn().end()) return known->second;
  std::vector<std::string> names;
  bool is_typo = LooksLikeLatency(metric);
  for (const auto& [name, unit] : BuiltIn()) {
    names.push_back(name);
    is_typo = is_typo || IsTypoOf(metric, name);
  }
  const size_t slash = metric.find('/');
  const std::string first = metric.substr(0, slash);
  const bool is_outcome = slash == std::string::npos
                              ? IsOutcomeName(metric)
                              : IsOutcomeName(first) && IsOutcomeName(metric.substr(slash + 1));
  if (is_outcome && !is_typo) return MetricUnit::kOutcome;
  return InvalidArgument(
      "", fmt::format("\"{}\" is not one of {}{}, nor may it name an outcome{}", metric,
                      Join(names, ", "), DidYouMean(metric, names),
                      is_typo ? ": it is too much like a metric of ours"
                              : " (a-z 0-9 _ . as in user_satisfaction, or revenue/impressions)"));
}

std::string CanonicalMetric(const std::string& metric) {
  return metric == "response_time" ? "p95_latency_ms" : metric;
}

bool IsWorseAbove(MetricUnit unit) {
  return unit != MetricUnit::kCount && unit != MetricUnit::kOutcome;
}

}  // namespace weir::domain
