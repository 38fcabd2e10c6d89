// SPDX-License-Identifier: Apache-2.0
// Where one worker counts what one (model, version, arm) answered: into the telemetry that judges
// rollouts, and into the ever-growing sums that /metrics shows. All on that worker's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "shared/telemetry/series.h"

namespace weir::node::routing {

// A Prometheus histogram with fixed bounds, in seconds.
class DurationHistogram {
 public:
  static constexpr std::array<double, 16> kBoundsS = {
      .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 2.5, 5, 10};
  void Add(double seconds) {
    size_t at = 0;
    while (at < kBoundsS.size() && seconds > kBoundsS[at]) ++at;
    ++counts[at];
    sum_s += seconds;
  }
  void Merge(const DurationHistogram& other);

  std::array<uint64_t, kBoundsS.size() + 1> counts{};  // not cumulative; the last is beyond all
  double sum_s = 0;
};

struct ArmTotals {
  uint64_t requests = 0;
  uint64_t errors = 0;
  uint64_t diverted = 0;
  uint64_t fallbacks = 0;
  DurationHistogram duration;
  void Merge(const ArmTotals& other);
};

class Recorder {
 public:
  explicit Recorder(std::shared_ptr<telemetry::Cell> cell) : cell_(std::move(cell)) {}

  // A judged answer: one that the version gave, or failed to give.
  void Answer(double latency_ms, bool bad, uint32_t key_hash) {
    cell_->RecordAnswer(latency_ms, bad, key_hash);
    ++totals_.requests;
    totals_.errors += bad ? 1 : 0;
    totals_.duration.Add(latency_ms / 1000);
  }
  void ClientError() { cell_->Count(telemetry::Cell::kClientErrors); }
  void Cancelled() { cell_->Count(telemetry::Cell::kCancelled); }
  void Shed() { cell_->Count(telemetry::Cell::kShed); }
  void Tokens(uint64_t n) { cell_->Count(telemetry::Cell::kTokens, n); }
  void Diverted() {
    cell_->Count(telemetry::Cell::kDiverted);
    ++totals_.diverted;
  }
  // The bad answer just recorded was made good by stable.
  void FellBack() {
    cell_->Count(telemetry::Cell::kFallback);
    ++totals_.fallbacks;
  }
  // A shadow's answer was held against stable's.
  void Compared(bool differs) {
    cell_->Count(telemetry::Cell::kCompared);
    if (differs) cell_->Count(telemetry::Cell::kDiffered);
  }
  // How long the request of the answer just recorded had waited for a slot.
  void Queue(double waited_ms) { cell_->RecordQueue(waited_ms); }
  // From the request of the good answer just recorded to the answer's first token.
  void Ttft(double ttft_ms) { cell_->RecordTtft(ttft_ms); }
  // A number out of a good answer.
  void Output(double value) { cell_->RecordOutput(value); }
  telemetry::Cell& cell() { return *cell_; }
  const ArmTotals& totals() const { return totals_; }

 private:
  std::shared_ptr<telemetry::Cell> cell_;
  ArmTotals totals_;
};

// All recorders of a worker. A key's recorder and its sums last as long as a plan or a request
// holds it, and until the next Prune after that.
class Recorders {
 public:
  using Totals = std::map<telemetry::SeriesKey, ArmTotals>;

  // Of subject model/<model>.
  std::shared_ptr<Recorder> Prepare(const std::string& model, const std::string& version,
                                    const char* arm);
  std::shared_ptr<Recorder> Prepare(const telemetry::SeriesKey& key);
  // Where to record what is no answer of a version (outcomes, requests that a flag's rollout is
  // judged by); the one that an arm's recorder has, if there is one. For as long as somebody holds
  // it, and until the next TakeTelemetry after that.
  std::shared_ptr<telemetry::Cell> CellOf(const telemetry::SeriesKey& key) {
    return shard_.Prepare(key);
  }
  telemetry::Window TakeTelemetry() { return shard_.Take(); }
  // Of models only.
  void AddTo(Totals& totals) const;
  void Prune();

 private:
  telemetry::Shard shard_;
  std::map<telemetry::SeriesKey, std::shared_ptr<Recorder>> recorders_;
};

}  // namespace weir::node::routing
