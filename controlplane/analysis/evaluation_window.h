// SPDX-License-Identifier: Apache-2.0
// What both arms did over the last `window_ms`, in at most 21 slots of a twentieth each (so it
// covers up to a twentieth more than the window). Time is the caller's and must not go back.
// Digests are kept with the precision of a float, so that a restored window is the same to the last
// bit and yet short to write.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include <nlohmann/json.hpp>

#include "controlplane/analysis/metric.h"
#include "shared/telemetry/series.h"

namespace weir::control::analysis {

class EvaluationWindow {
 public:
  struct Counts {
    uint64_t stable = 0;
    uint64_t canary = 0;
  };
  struct Slot {
    int64_t start_ms = 0;
    Arms arms;
    std::string text;  // as Save writes it, once the slot takes nothing more; else ""
  };

  explicit EvaluationWindow(int64_t window_ms);

  // Of the two these are kept: requests, bad, compared, differed, latencies, outputs and outcomes.
  void Add(int64_t now_ms, const telemetry::Series& stable, const telemetry::Series& canary);

  // Everything of all slots, merged.
  Arms Totals() const;
  // CountOf both arms of all slots, cheaper.
  Counts CountsOf(const Metric& metric) const;
  // Ascending; the last one still takes what comes.
  const std::deque<Slot>& slots() const { return slots_; }
  int64_t slot_ms() const { return slot_ms_; }

  // Times are saved as ages at `now_ms`, so that another clock can take over.
  nlohmann::json Save(int64_t now_ms) const;
  // Throws nlohmann's exceptions or std::invalid_argument on what Save did not write; the judge's
  // Restore catches them.
  void Restore(const nlohmann::json& saved, int64_t now_ms);

 private:
  void Close();

  int64_t window_ms_;
  int64_t slot_ms_;
  std::deque<Slot> slots_;
  Arms closed_;  // all slots but the last, merged
};

// A latency histogram as JSON, for the states that are saved. FromJson throws as above.
nlohmann::json ToJson(const telemetry::LogHistogram& histogram);
telemetry::LogHistogram HistogramFromJson(const nlohmann::json& saved);

}  // namespace weir::control::analysis
