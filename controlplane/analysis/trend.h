// SPDX-License-Identifier: Apache-2.0
// A warning before a threshold is met: where a metric is on its way there. It never acts by itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::control::analysis {

struct TrendPoint {
  int64_t at_ms = 0;
  double value = 0;
};

struct Trend {
  double per_minute = 0;      // slope, signed
  int64_t reaches_in_ms = 0;  // from the last point; 0: it would be there
};

inline constexpr size_t kLeastTrendPoints = 8;

// Whether `points` (ascending in time) are on a line to `threshold` within `within_ms`: the
// least-squares line points to it (upwards if `is_rising`), its slope is at least three of its
// standard errors, and the line is by now closer to the threshold than half the threshold.
std::optional<Trend> FindTrend(const std::vector<TrendPoint>& points, double threshold,
                               bool is_rising, int64_t within_ms);

// "rises 0.004 a minute, would reach 0.05 in about 4m"
std::string TrendText(const Trend& trend, double threshold);

}  // namespace weir::control::analysis
