// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/outcome_evidence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "controlplane/analysis/slot_text.h"

namespace weir::control::analysis {
namespace {

using telemetry::Outcome;
using telemetry::Series;

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr double kUsualSpan = 1000;  // values at which a sequence should be narrowest

Outcome Find(const Series& arm, const std::string& name) {
  const auto it = arm.outcomes.find(name);
  return it == arm.outcomes.end() ? Outcome() : it->second;
}

// Of the values, not of their mean; 0 of fewer than two.
double SampleVariance(const Outcome& o) {
  if (o.n < 2) return 0;
  const auto n = static_cast<double>(o.n);
  return std::max(0.0, (o.sum_squares - o.sum * o.sum / n) / (n - 1));
}

// Takes what the claim is about, false if there was none of it.
bool Collect(const Series& tick, const Metric& metric, Series& into) {
  bool any = false;
  for (const std::string& name : {metric.outcome, metric.per}) {
    const auto it = name.empty() ? tick.outcomes.end() : tick.outcomes.find(name);
    if (it == tick.outcomes.end() || it->second.n == 0 || !std::isfinite(it->second.sum) ||
        !std::isfinite(it->second.sum_squares)) {
      continue;
    }
    into.outcomes[name].Merge(it->second);
    any = true;
  }
  return any;
}

}  // namespace

std::optional<Estimate> EstimateOf(const Series& arm, const Series& other, const Metric& metric,
                                   double against) {
  const Outcome value = Find(arm, metric.outcome);
  const Outcome per = metric.per.empty() ? value : Find(arm, metric.per);
  if (per.n < kLeastOutcomes) return std::nullopt;
  Estimate out;
  out.n = per.n;
  if (metric.per.empty()) {
    const auto n = static_cast<double>(value.n);
    out.value = value.sum / n;
    double variance = std::max(SampleVariance(value), SampleVariance(Find(other, metric.outcome)));
    if (value.sum == value.sum_squares && against > 0 && against < 1) {
      variance = std::max(variance, against * (1 - against));
    }
    out.variance = variance / n;
  } else {
    out.value = value.sum / per.sum;
    const double q = std::max(std::abs(out.value), std::abs(against));
    out.variance = (value.sum_squares + q * q * per.sum_squares) / (per.sum * per.sum);
  }
  if (!std::isfinite(out.value) || !std::isfinite(out.variance)) return std::nullopt;
  return out;
}

double LnOutcomeEvidence(const Arms& arms, const OutcomeClaim& claim, double rho_squared) {
  double threshold = claim.threshold;
  double variance = 0;
  double n = 0;
  if (claim.metric.is_ratio) {
    const auto rough = ArmValue(arms.stable, claim.metric);
    if (!rough || !(*rough > 0)) return kNone;
    const auto stable = EstimateOf(arms.stable, arms.canary, claim.metric, *rough);
    if (!stable) return kNone;
    threshold *= stable->value;
    variance = claim.threshold * claim.threshold * stable->variance;
    n = static_cast<double>(stable->n);
  }
  const auto canary = EstimateOf(arms.canary, arms.stable, claim.metric, threshold);
  if (!canary) return kNone;
  variance += canary->variance;
  const auto n_canary = static_cast<double>(canary->n);
  n = n == 0 ? n_canary : n * n_canary / (n + n_canary);
  const double excess = claim.is_below ? threshold - canary->value : canary->value - threshold;
  if (!(excess > 0) || !(variance > 0)) return kNone;
  const double spread = n * rho_squared + 1;
  const double half_square = excess * excess / variance * (spread - 1) / (2 * spread);
  // ln(e^x - 1), which is x where e^x would overflow.
  const double ln_growth = half_square > 30 ? half_square : std::log(std::expm1(half_square));
  const double ln_e = std::log(2.0) + ln_growth - std::log(spread) / 2;
  return std::isnan(ln_e) ? kNone : ln_e;
}

double BestRhoSquared(double alpha, double n) {
  const double l = -2 * std::log(2 * std::clamp(alpha, 1e-300, 0.05));
  return (l + std::log(l) + 1) / n;
}

double OneSidedMargin(double n, double rho_squared, double alpha) {
  const double spread = n * rho_squared + 1;
  return std::sqrt(2 * spread / (spread - 1) * std::log1p(std::sqrt(spread) / (2 * alpha)));
}

OutcomeDetector::OutcomeDetector(OutcomeClaim claim, int64_t period_ms, double alarm_at)
    : claim_(std::move(claim)),
      period_ms_(period_ms),
      alarm_at_(alarm_at),
      rho_squared_(BestRhoSquared(1 / alarm_at, kUsualSpan)),
      ln_sum_(kNone) {}

void OutcomeDetector::Add(int64_t now_ms, const Series& stable, const Series& canary) {
  if (stable.outcomes.empty() && canary.outcomes.empty()) return;
  Span tick{now_ms, {}, kNone};
  const bool from_stable = Collect(stable, claim_.metric, tick.arms.stable);
  const bool from_canary = Collect(canary, claim_.metric, tick.arms.canary);
  if (!from_stable && !from_canary) return;
  if (spans_.empty() || now_ms - spans_.back().start_ms >= period_ms_) {
    if (spans_.size() == kSpans) spans_.erase(spans_.begin() + 1);
    spans_.push_back({now_ms, {}, kNone});
  }
  for (Span& span : spans_) {
    Collect(tick.arms.stable, claim_.metric, span.arms.stable);
    Collect(tick.arms.canary, claim_.metric, span.arms.canary);
    Weigh(span);
  }
  Sum();
}

void OutcomeDetector::Weigh(Span& span) const {
  span.ln_e = LnOutcomeEvidence(span.arms, claim_, rho_squared_);
}

void OutcomeDetector::Sum() {
  ln_sum_ = kNone;
  const Span* leading = Leading();
  if (leading == nullptr || leading->ln_e == kNone) return;
  double sum = 0;
  for (const Span& span : spans_) sum += std::exp(span.ln_e - leading->ln_e);
  ln_sum_ = leading->ln_e + std::log(sum);
}

double OutcomeDetector::LnRatio() const { return ln_sum_ - std::log(alarm_at_); }

const OutcomeDetector::Span* OutcomeDetector::Leading() const {
  const auto it = std::max_element(spans_.begin(), spans_.end(),
                                   [](const Span& a, const Span& b) { return a.ln_e < b.ln_e; });
  return it == spans_.end() ? nullptr : &*it;
}

nlohmann::json OutcomeDetector::Save(int64_t now_ms) const {
  nlohmann::json out = nlohmann::json::array();
  for (const Span& span : spans_) {
    out.push_back({now_ms - span.start_ms, ToText(span.arms.stable), ToText(span.arms.canary)});
  }
  return out;
}

void OutcomeDetector::Restore(const nlohmann::json& saved, int64_t now_ms) {
  if (!saved.is_array() || saved.size() > kSpans) throw std::invalid_argument("too many spans");
  spans_.clear();
  for (const nlohmann::json& s : saved) {
    auto stable = FromText(s.at(1).get_ref<const std::string&>());
    auto canary = FromText(s.at(2).get_ref<const std::string&>());
    if (!stable.ok()) throw std::invalid_argument(stable.status().ToString());
    if (!canary.ok()) throw std::invalid_argument(canary.status().ToString());
    spans_.push_back(
        {now_ms - s.at(0).get<int64_t>(), {*std::move(stable), *std::move(canary)}, kNone});
    Weigh(spans_.back());
  }
  Sum();
}

}  // namespace weir::control::analysis
