// SPDX-License-Identifier: Apache-2.0
// What objectives look at: a sliding window of one subject's series, and the error budget's burn
// over long and short windows. Pure; time is the caller's, in ms, monotonic, and must not go back.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/analysis/slo_metric.h"
#include "controlplane/analysis/trend.h"
#include "shared/telemetry/series.h"

namespace weir::control::analysis {

// Which series count.
struct SloSubject {
  std::string subject{};  // "model/fraud_detection", "tenant/acme/fraud_detection"
  std::string version{};  // "": all versions together
  std::string arm{};      // "": all but shadow; where arms are compared that is canary
  // What an error budget counts as slow, ms; a budget looks at a BurnRing instead of a window.
  std::optional<double> budget_ms{};
  auto operator<=>(const SloSubject&) const = default;
  bool Takes(const telemetry::SeriesKey& key, const SloMetric& metric) const;
};

struct BurnCount {
  uint64_t total = 0;
  uint64_t bad = 0;
};

// What an error budget is eaten by, in slots of a minute for 6 h and of an hour for 3 d.
class BurnRing {
 public:
  void Add(int64_t at_ms, const BurnCount& count) {
    AddMinute(at_ms, count);
    AddHour(at_ms, count);
  }
  // Of a history that has both resolutions apart.
  void AddMinute(int64_t at_ms, const BurnCount& count);
  void AddHour(int64_t at_ms, const BurnCount& count);
  // The last `window_ms`, which begins with a whole slot.
  BurnCount Over(int64_t now_ms, int64_t window_ms) const;

 private:
  std::map<int64_t, BurnCount> minutes_;  // by start
  std::map<int64_t, BurnCount> hours_;
};

// Slots of a twentieth of the window, which start at multiples of their length: what is looked at
// covers the window and less than a slot more. Digests are merged; percentiles are never averaged.
class SloWindow {
 public:
  // Watched since `began_ms`: a rate is not low because nobody looked.
  SloWindow(SloSubject subject, SloMetric metric, int64_t window_ms, int64_t began_ms);

  // What is not the subject's is left alone. `at_ms` may be past, within the window.
  void Add(int64_t at_ms, const telemetry::SeriesKey& key, const telemetry::Series& series);
  // A stored minute or hour of the time before the window was made.
  void AddPast(int64_t at_ms, int64_t step_ms, const telemetry::SeriesKey& key,
               const telemetry::Series& series);

  // Until the next call of anything else.
  const SloSums& Totals(int64_t now_ms);
  // How long a time Totals speaks of; 0 at the very beginning.
  int64_t CoveredMs(int64_t now_ms) const;
  // The metric in each whole slot that has `min_samples`, ascending.
  std::vector<TrendPoint> Points(int64_t now_ms, uint64_t min_samples) const;

  const SloSubject& subject() const { return subject_; }
  const SloMetric& metric() const { return metric_; }
  const BurnRing& ring() const { return ring_; }
  int64_t window_ms() const { return window_ms_; }

 private:
  struct Slot {
    int64_t start_ms = 0;
    SloSums sums;
  };
  void AddTo(int64_t at_ms, const telemetry::SeriesKey& key, const telemetry::Series& series);
  void Drop(int64_t now_ms);
  int64_t FromMs(int64_t now_ms) const;

  const SloSubject subject_;
  const SloMetric metric_;
  const int64_t window_ms_;
  const int64_t slot_ms_;
  int64_t began_ms_;
  std::deque<Slot> slots_;
  SloSums closed_;  // all slots but the last, merged
  bool closed_holds_ = true;
  SloSums totals_;
  bool totals_hold_ = false;
  BurnRing ring_;
};

// What counts against a budget in one series: bad answers, and those above `budget_ms` of the
// metric's quantity; of a latency exactly at boundaries of the histogram. Nobody knows how many are
// both, so the larger of the two is taken, which never overstates.
BurnCount BurnOf(const telemetry::Series& series, const SloMetric& metric, double budget_ms);

}  // namespace weir::control::analysis
