// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/slo_window.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace weir::control::analysis {
namespace {

constexpr int64_t kSlotsOfWindow = 20;
constexpr int64_t kRingMinuteMs = 60'000;
constexpr int64_t kRingHourMs = 3'600'000;
constexpr int64_t kLongestOfMinutesMs = 6 * kRingHourMs;
constexpr int64_t kLongestMs = 72 * kRingHourMs;

int64_t Floor(int64_t at_ms, int64_t step_ms) {
  const int64_t rest = at_ms % step_ms;
  return at_ms - (rest < 0 ? rest + step_ms : rest);
}

void AddTo(std::map<int64_t, BurnCount>& slots, int64_t at_ms, int64_t step_ms, int64_t keep_ms,
           const BurnCount& count) {
  if (count.total == 0) return;
  BurnCount& slot = slots[Floor(at_ms, step_ms)];
  slot.total += count.total;
  slot.bad += std::min(count.bad, count.total);
  slots.erase(slots.begin(), slots.lower_bound(slots.rbegin()->first - keep_ms - step_ms));
}

}  // namespace

bool SloSubject::Takes(const telemetry::SeriesKey& key, const SloMetric& metric) const {
  if (key.subject != subject) return false;
  if (metric.ComparesArms()) {
    const bool is_stable = key.arm == telemetry::kArmStable;
    if (is_stable) return true;
    return key.arm == (arm.empty() ? telemetry::kArmCanary : arm) &&
           (version.empty() || key.version == version);
  }
  if (!version.empty() && key.version != version) return false;
  return arm.empty() ? key.arm != telemetry::kArmShadow : key.arm == arm;
}

void BurnRing::AddMinute(int64_t at_ms, const BurnCount& count) {
  AddTo(minutes_, at_ms, kRingMinuteMs, kLongestOfMinutesMs, count);
}

void BurnRing::AddHour(int64_t at_ms, const BurnCount& count) {
  AddTo(hours_, at_ms, kRingHourMs, kLongestMs, count);
}

BurnCount BurnRing::Over(int64_t now_ms, int64_t window_ms) const {
  const bool is_short = window_ms <= kLongestOfMinutesMs;
  const auto& slots = is_short ? minutes_ : hours_;
  const int64_t step_ms = is_short ? kRingMinuteMs : kRingHourMs;
  BurnCount sum;
  for (auto at = slots.lower_bound(Floor(now_ms - window_ms, step_ms)); at != slots.end(); ++at) {
    sum.total += at->second.total;
    sum.bad += at->second.bad;
  }
  return sum;
}

SloWindow::SloWindow(SloSubject subject, SloMetric metric, int64_t window_ms, int64_t began_ms)
    : subject_(std::move(subject)),
      metric_(metric),
      window_ms_(window_ms),
      slot_ms_(std::max<int64_t>(1, window_ms / kSlotsOfWindow)),
      began_ms_(began_ms) {}

void SloWindow::Add(int64_t at_ms, const telemetry::SeriesKey& key,
                    const telemetry::Series& series) {
  if (!subject_.Takes(key, metric_)) return;
  if (subject_.budget_ms) return ring_.Add(at_ms, BurnOf(series, metric_, *subject_.budget_ms));
  AddTo(at_ms, key, series);
}

void SloWindow::AddPast(int64_t at_ms, int64_t step_ms, const telemetry::SeriesKey& key,
                        const telemetry::Series& series) {
  // Of a rate, a time in which nobody counted would look like a time without requests.
  if (!subject_.budget_ms && !metric_.IsRate()) began_ms_ = std::min(began_ms_, at_ms);
  if (!subject_.Takes(key, metric_)) return;
  if (!subject_.budget_ms) return AddTo(at_ms, key, series);
  const BurnCount count = BurnOf(series, metric_, *subject_.budget_ms);
  if (step_ms >= kRingHourMs) return ring_.AddHour(at_ms, count);
  ring_.AddMinute(at_ms, count);
}

void SloWindow::AddTo(int64_t at_ms, const telemetry::SeriesKey& key,
                      const telemetry::Series& series) {
  const int64_t start_ms = Floor(at_ms, slot_ms_);
  auto slot = std::find_if(slots_.rbegin(), slots_.rend(),
                           [&](const Slot& s) { return s.start_ms <= start_ms; });
  if (slot == slots_.rend() || slot->start_ms != start_ms) {
    slots_.insert(slot.base(), Slot{start_ms, {}});
    slot = std::find_if(slots_.rbegin(), slots_.rend(),
                        [&](const Slot& s) { return s.start_ms == start_ms; });
    closed_holds_ = false;
  } else if (slot != slots_.rbegin()) {
    closed_holds_ = false;
  }
  slot->sums.Add(series, metric_, key.arm == telemetry::kArmStable);
  totals_hold_ = false;
}

int64_t SloWindow::FromMs(int64_t now_ms) const { return Floor(now_ms - window_ms_, slot_ms_); }

void SloWindow::Drop(int64_t now_ms) {
  while (!slots_.empty() && slots_.front().start_ms < FromMs(now_ms)) {
    slots_.pop_front();
    closed_holds_ = totals_hold_ = false;
  }
}

const SloSums& SloWindow::Totals(int64_t now_ms) {
  Drop(now_ms);
  if (!closed_holds_) {
    closed_ = {};
    for (size_t i = 0; i + 1 < slots_.size(); ++i) closed_.Merge(slots_[i].sums);
    closed_holds_ = true;
    totals_hold_ = false;
  }
  if (!totals_hold_) {
    totals_ = closed_;
    if (!slots_.empty()) totals_.Merge(slots_.back().sums);
    totals_hold_ = true;
  }
  return totals_;
}

int64_t SloWindow::CoveredMs(int64_t now_ms) const {
  return now_ms - std::max(FromMs(now_ms), began_ms_);
}

std::vector<TrendPoint> SloWindow::Points(int64_t now_ms, uint64_t min_samples) const {
  std::vector<TrendPoint> points;
  for (const Slot& slot : slots_) {
    if (slot.start_ms + slot_ms_ > now_ms || slot.start_ms < began_ms_) continue;
    if (SamplesOf(slot.sums, metric_) < min_samples) continue;
    if (const auto value = SloValueOf(slot.sums, metric_, slot_ms_))
      points.push_back({slot.start_ms, *value});
  }
  return points;
}

BurnCount BurnOf(const telemetry::Series& series, const SloMetric& metric, double budget_ms) {
  BurnCount count{series.Counter(telemetry::kRequests), series.Counter(telemetry::kBad)};
  uint64_t slow = 0;
  if (metric.quantity == SloMetric::Quantity::kLatency) {
    slow = series.latency.CountAbove(telemetry::BoundaryAtOrAbove(budget_ms));
  } else if (const auto* digest = DigestOf(series, metric.quantity);
             digest != nullptr && !digest->Empty()) {
    slow = static_cast<uint64_t>(std::llround((1 - digest->Cdf(budget_ms)) * digest->Count()));
  }
  // Times to first tokens are of good answers alone; what else is slow may be bad as well.
  const bool is_of_good = metric.quantity == SloMetric::Quantity::kTtft && !series.ttft.Empty();
  count.bad = std::min(is_of_good ? count.bad + slow : std::max(count.bad, slow), count.total);
  return count;
}

}  // namespace weir::control::analysis
