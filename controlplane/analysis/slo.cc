// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/slo.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "shared/base/clock.h"
#include "shared/domain/sink.h"

namespace weir::control::analysis {
namespace {

constexpr int64_t kMinuteOfMs = 60'000;
constexpr int64_t kHourOfMs = 3'600'000;

bool IsFloor(const std::string& comparison) { return comparison.starts_with('>'); }

std::string Worse(const std::string& a, const std::string& b) {
  return domain::SeverityRank(a) >= domain::SeverityRank(b) ? a : b;
}

std::string Milder(const std::string& a, const std::string& b) {
  return domain::SeverityRank(a) <= domain::SeverityRank(b) ? a : b;
}

double BurnRate(const BurnCount& count, double target) {
  if (count.total == 0) return 0;
  return static_cast<double>(count.bad) / static_cast<double>(count.total) / (1 - target);
}

// The rate that both windows have.
double BurnOfPair(const BurnReading& pair, double target) {
  return std::min(BurnRate(pair.longer, target), BurnRate(pair.shorter, target));
}

std::string About(const domain::SloSpec& slo) {
  std::string about = slo.metric;
  if (!slo.version.empty()) about += " of version " + slo.version;
  if (!slo.arm.empty()) about += fmt::format(" of the {} arm", slo.arm);
  if (!slo.tenant.empty()) about += " of tenant " + slo.tenant;
  return about;
}

SloVerdict NoData(const domain::SloSpec& slo, const SloReading& reading, std::string why) {
  return {SloState::kNoData, "", reading.value, slo.threshold,
          fmt::format("{}: no data: {}", About(slo), why)};
}

SloVerdict JudgeBudget(const domain::SloSpec& slo, const SloReading& reading) {
  const double target = *slo.target;
  const uint64_t least = MinSamplesOf(slo);
  if (reading.samples < least || reading.samples == 0) {
    return NoData(slo, reading,
                  fmt::format("{} of {} requests", reading.samples, std::max<uint64_t>(least, 1)));
  }
  // A page first, then a ticket, then what is closest to its factor.
  const auto rank = [&](const BurnReading& pair) {
    const double share = BurnOfPair(pair, target) / pair.factor;
    return std::tuple(share > 1, share > 1 && pair.is_page, share);
  };
  const auto worst = std::max_element(
      reading.burns.begin(), reading.burns.end(),
      [&](const BurnReading& a, const BurnReading& b) { return rank(a) < rank(b); });
  if (worst == reading.burns.end()) return NoData(slo, reading, "no windows");
  SloVerdict verdict{SloState::kOk, "", BurnOfPair(*worst, target), worst->factor, ""};
  if (std::get<0>(rank(*worst))) {
    verdict.state = worst->is_page ? SloState::kViolated : SloState::kWarning;
    verdict.severity = worst->is_page
                           ? (slo.severity.empty() ? "critical" : slo.severity)
                           : Milder("warning", slo.severity.empty() ? "warning" : slo.severity);
  }
  verdict.text = fmt::format(
      "{}: the error budget of {:.6g} % burns {:.3g} times too fast over {} ({} of {}) and {:.3g} "
      "over {} ({} of {}); {} at {}",
      About(slo), (1 - target) * 100, BurnRate(worst->longer, target),
      FormatDurationMs(worst->long_ms), worst->longer.bad, worst->longer.total,
      BurnRate(worst->shorter, target), FormatDurationMs(worst->short_ms), worst->shorter.bad,
      worst->shorter.total, worst->is_page ? "a page" : "a ticket", worst->factor);
  return verdict;
}

std::string LastsText(int64_t lasted_ms, int64_t for_ms) {
  if (for_ms == 0) return "";
  return fmt::format(", for {} of {}", FormatDurationMs(lasted_ms / 1000 * 1000),
                     FormatDurationMs(for_ms));
}

}  // namespace

const char* SloStateName(SloState state) {
  switch (state) {
    case SloState::kNoData:
      return "no_data";
    case SloState::kOk:
      return "ok";
    case SloState::kWarning:
      return "warning";
    case SloState::kViolated:
      return "violated";
  }
  return "";
}

bool IsPast(const std::string& comparison, double value, double threshold) {
  if (comparison == "<") return !(value < threshold);
  if (comparison == ">") return !(value > threshold);
  if (comparison == ">=") return !(value >= threshold);
  return !(value <= threshold);
}

double HowFarPast(const std::string& comparison, double value, double threshold) {
  const double part = IsFloor(comparison) ? threshold : value;
  const double of = IsFloor(comparison) ? value : threshold;
  if (of <= 0) return std::numeric_limits<double>::infinity();
  return part / of;
}

std::string SeverityByFactor(double factor) {
  if (factor <= 1.1) return "info";
  if (factor <= 1.5) return "warning";
  return factor <= 2 ? "high" : "critical";
}

uint64_t MinSamplesOf(const domain::SloSpec& slo) {
  if (slo.min_samples != 0) return slo.min_samples;
  const auto metric = SloMetricOf(slo.metric);
  return metric ? metric->min_samples : 0;
}

int64_t HoldMsOf(const domain::SloSpec& slo) {
  if (slo.keep_firing_for) return slo.keep_firing_for->ms;
  return slo.target ? kLongestHoldMs : std::min(slo.window.ms, kLongestHoldMs);
}

std::vector<BurnReading> BurnPairs() {
  const auto pair = [](int64_t long_ms, int64_t short_ms, double factor, bool is_page) {
    return BurnReading{long_ms, short_ms, factor, is_page, {}, {}};
  };
  return {
      pair(kHourOfMs, 5 * kMinuteOfMs, 14.4, true), pair(6 * kHourOfMs, 30 * kMinuteOfMs, 6, true),
      pair(24 * kHourOfMs, 2 * kHourOfMs, 3, false), pair(72 * kHourOfMs, 6 * kHourOfMs, 1, false)};
}

SloVerdict JudgeSlo(const domain::SloSpec& slo, const SloReading& reading) {
  if (slo.target) return JudgeBudget(slo, reading);
  const uint64_t least = MinSamplesOf(slo);
  const auto metric = SloMetricOf(slo.metric);
  if (metric && metric->IsRate() && reading.covered_ms < slo.window.ms) {
    return NoData(
        slo, reading,
        fmt::format("watched for {} of {}{}", FormatDurationMs(reading.covered_ms / 1000 * 1000),
                    FormatDurationMs(slo.window.ms),
                    reading.gap.empty() ? "" : " since " + reading.gap));
  }
  if (reading.samples < least || !reading.value)
    return NoData(slo, reading, fmt::format("{} of {} samples", reading.samples, least));
  const double value = *reading.value;
  SloVerdict verdict{SloState::kOk, "", value, slo.threshold, ""};
  std::string lasts;
  std::string trend;
  if (IsPast(slo.comparison, value, slo.threshold)) {
    lasts = LastsText(reading.missed_ms, slo.for_ms.ms);
    if (reading.missed_ms >= slo.for_ms.ms) {
      verdict.state = SloState::kViolated;
      verdict.severity = slo.severity;
      if (verdict.severity.empty()) {
        verdict.severity = SeverityByFactor(HowFarPast(slo.comparison, value, slo.threshold));
        if (slo.warning) verdict.severity = Worse(verdict.severity, "warning");
      }
    }
  }
  if (verdict.state == SloState::kOk && slo.warning &&
      IsPast(slo.comparison, value, *slo.warning)) {
    if (lasts.empty()) {
      lasts = LastsText(reading.warned_ms, slo.for_ms.ms);
      verdict.threshold = *slo.warning;
    }
    if (reading.warned_ms >= slo.for_ms.ms) verdict.state = SloState::kWarning;
  }
  if (verdict.state == SloState::kOk && reading.trend) {
    trend = "; " + TrendText(*reading.trend, slo.threshold);
    verdict.state = SloState::kWarning;
  }
  if (verdict.state == SloState::kWarning)
    verdict.severity = slo.severity.empty() ? "warning" : Milder("warning", slo.severity);
  const bool is_within = !IsPast(slo.comparison, value, verdict.threshold);
  verdict.text =
      fmt::format("{} is {:.6g} over {} ({} samples), {} {} {:.6g}{}{}", About(slo), value,
                  FormatDurationMs(slo.window.ms), reading.samples, is_within ? "within" : "not",
                  slo.comparison, verdict.threshold, lasts, trend);
  return verdict;
}

}  // namespace weir::control::analysis
