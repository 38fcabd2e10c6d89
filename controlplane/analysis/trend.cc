// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/trend.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace weir::control::analysis {
namespace {

constexpr double kLeastStandardErrors = 3;
constexpr double kMinuteMs = 60'000;

std::string About(int64_t ms) {
  if (ms >= 2 * 3'600'000) return fmt::format("{}h", (ms + 1'800'000) / 3'600'000);
  if (ms >= 2 * 60'000) return fmt::format("{}m", (ms + 30'000) / 60'000);
  return fmt::format("{}s", std::max<int64_t>(1, (ms + 500) / 1000));
}

}  // namespace

std::optional<Trend> FindTrend(const std::vector<TrendPoint>& points, double threshold,
                               bool is_rising, int64_t within_ms) {
  if (points.size() < kLeastTrendPoints) return std::nullopt;
  const auto n = static_cast<double>(points.size());
  const int64_t origin_ms = points.front().at_ms;
  double mean_t = 0;
  double mean_y = 0;
  for (const TrendPoint& p : points) {
    mean_t += static_cast<double>(p.at_ms - origin_ms) / n;
    mean_y += p.value / n;
  }
  double s_tt = 0;
  double s_ty = 0;
  double s_yy = 0;
  for (const TrendPoint& p : points) {
    const double t = static_cast<double>(p.at_ms - origin_ms) - mean_t;
    const double y = p.value - mean_y;
    s_tt += t * t;
    s_ty += t * y;
    s_yy += y * y;
  }
  if (!(s_tt > 0) || !std::isfinite(s_ty)) return std::nullopt;
  const double slope = s_ty / s_tt;  // per ms
  if (is_rising ? !(slope > 0) : !(slope < 0)) return std::nullopt;
  const double residual = std::max(0.0, s_yy - slope * s_ty);
  const double error = std::sqrt(residual / (n - 2) / s_tt);
  if (std::abs(slope) < kLeastStandardErrors * error) return std::nullopt;

  const double now =
      mean_y + slope * (static_cast<double>(points.back().at_ms - origin_ms) - mean_t);
  const double left = is_rising ? threshold - now : now - threshold;
  if (left > std::abs(threshold) / 2) return std::nullopt;
  const double in_ms = std::max(0.0, left / std::abs(slope));
  if (in_ms > static_cast<double>(within_ms)) return std::nullopt;
  return Trend{slope * kMinuteMs, std::llround(in_ms)};
}

std::string TrendText(const Trend& trend, double threshold) {
  return fmt::format("{} {:.2g} a minute, would reach {:.4g} in about {}",
                     trend.per_minute > 0 ? "rises" : "falls", std::abs(trend.per_minute),
                     threshold, About(trend.reaches_in_ms));
}

}  // namespace weir::control::analysis
