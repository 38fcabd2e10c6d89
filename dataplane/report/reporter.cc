// SPDX-License-Identifier: Apache-2.0
#include "dataplane/report/reporter.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "shared/base/crash_point.h"
#include "shared/codec/msgpack.h"
#include "shared/wire/telemetry_body.h"

namespace weir::node::report {
namespace {

// What the batch around its series takes, generously: header, ids, numbers.
constexpr size_t kEnvelopeBytes = wire::kHeaderBytes + 512;
constexpr size_t kMaxSeriesPerBatch = 4096;  // the wire's limit for arrays

size_t EstimateBytes(const telemetry::SeriesKey& key, const telemetry::Series& series) {
  return 256 + key.subject.size() + key.version.size() + key.arm.size() +
         series.counters.size() * 64 + series.latency.Entries().size() * 16 +
         static_cast<size_t>(std::min(series.latency_digest.Count(), 256.0)) * 16;
}

}  // namespace

Reporter::Reporter(ReporterOptions options) : options_(std::move(options)) {}

void Reporter::Add(const telemetry::Window& window, int64_t now_ms,
                   std::vector<wire::DecisionSample> samples) {
  const int64_t start_ms = window_end_ms_ == 0 ? now_ms : window_end_ms_;
  if (!window.empty() && !(pending_.empty() && flags_.empty())) ++merged_windows_;
  if (pending_.empty()) window_start_ms_ = start_ms;
  if (flags_.empty()) flags_start_ms_ = start_ms;
  for (const auto& [key, series] : window) AddSeries(key, series);
  std::move(samples.begin(), samples.end(), std::back_inserter(samples_));
  while (samples_.size() > options_.max_samples) samples_.pop_front();
  window_end_ms_ = now_ms;
}

void Reporter::AddSeries(const telemetry::SeriesKey& key, const telemetry::Series& series) {
  telemetry::Window& window = key.subject.starts_with(telemetry::kFlagSubject) ? flags_ : pending_;
  auto at = window.find(key);
  if (at == window.end()) {
    if (pending_bytes_ + EstimateBytes(key, series) > options_.max_pending_bytes) {
      ++dropped_series_;
      return;
    }
    at = window.try_emplace(key).first;
  } else {
    pending_bytes_ -= EstimateBytes(key, at->second);
  }
  at->second.Merge(series);
  pending_bytes_ += EstimateBytes(key, at->second);
  pending_bad_ = pending_bad_ || series.Counter(telemetry::kBad) > 0;
}

// What stayed in the pending window for want of room there may be of a flag that has more.
void Reporter::JoinFlags(int64_t now_ms) {
  last_flags_ms_ = now_ms;
  if (flags_.empty()) return;
  window_start_ms_ =
      pending_.empty() ? flags_start_ms_ : std::min(window_start_ms_, flags_start_ms_);
  for (auto& [key, series] : flags_) {
    const auto [at, is_new] = pending_.try_emplace(key);
    pending_bytes_ -= EstimateBytes(key, series) + (is_new ? 0 : EstimateBytes(key, at->second));
    at->second.Merge(series);
    pending_bytes_ += EstimateBytes(key, at->second);
  }
  flags_.clear();
}

void Reporter::Flush(int64_t now_ms, bool watched, const Send& send) {
  const bool fast = watched || pending_bad_;
  const int64_t period = fast ? options_.fast_flush_ms : options_.slow_flush_ms;
  // A tick that comes a little early must not cost a whole period.
  const int64_t early_ms = options_.fast_flush_ms / 4;
  const bool due = now_ms - last_flush_ms_ >= period - early_ms;
  const bool flags_due = now_ms - last_flags_ms_ >= options_.slow_flush_ms - early_ms;
  if (flags_due) JoinFlags(now_ms);
  if (due || flags_due) Number(now_ms);
  SendDue(now_ms, send);
}

void Reporter::FlushAll(int64_t now_ms, const Send& send) {
  JoinFlags(now_ms);
  Number(now_ms);
  SendDue(now_ms, send);
}

// Cuts the pending window into batches, as many as may be in flight; the rest stays pending.
void Reporter::Number(int64_t now_ms) {
  if (in_flight_.size() >= options_.max_in_flight) return;
  if (pending_.empty() && samples_.empty()) return;
  last_flush_ms_ = now_ms;
  if (pending_.empty()) window_start_ms_ = window_end_ms_;
  wire::Batch batch{
      options_.node, options_.incarnation, 0, window_start_ms_, window_end_ms_, {}, {}};
  size_t bytes = kEnvelopeBytes;
  while (!pending_.empty()) {
    const auto first = pending_.begin();
    wire::Series series = wire::ToWire(first->first, first->second);
    const size_t size = codec::ToMsgpack(series).size();
    const bool full =
        bytes + size > options_.max_frame_bytes || batch.series.size() >= kMaxSeriesPerBatch;
    if (full && !batch.series.empty()) {
      Push(batch);
      bytes = kEnvelopeBytes;
      if (in_flight_.size() >= options_.max_in_flight) break;
    }
    bytes += size;
    batch.series.push_back(std::move(series));
    pending_bytes_ -= EstimateBytes(first->first, first->second);
    pending_.erase(first);
  }
  if (pending_.empty()) AddSamples(batch, bytes);
  if (!batch.series.empty() || !batch.decisions.empty()) Push(batch);
  pending_bad_ = std::any_of(pending_.begin(), pending_.end(), [](const auto& item) {
    return item.second.Counter(telemetry::kBad) > 0;
  });
}

// As many as there is room for; the others are gone.
void Reporter::AddSamples(wire::Batch& batch, size_t bytes) {
  for (wire::DecisionSample& sample : samples_) {
    bytes += codec::ToMsgpack(sample).size();
    if (bytes > options_.max_frame_bytes) break;
    batch.decisions.push_back(std::move(sample));
  }
  samples_.clear();
}

void Reporter::Push(wire::Batch& batch) {
  batch.seq = next_seq_++;
  wire::Header header;
  header.topic = wire::Topic::kTelemetry;
  header.type = wire::Type::kBatch;
  header.sequence = batch.seq;
  in_flight_.push_back({batch.seq, wire::Encode(header, batch), 0, false});
  batch.series.clear();
}

void Reporter::SendDue(int64_t now_ms, const Send& send) {
  for (InFlight& item : in_flight_) {
    if (item.is_sent && now_ms - item.sent_ms < options_.resend_ms) continue;
    if (!send(item.frame)) return;
    item.is_sent = true;
    item.sent_ms = now_ms;
    CrashPoint("report.after_send");
  }
}

void Reporter::OnAck(uint64_t incarnation, uint64_t committed) {
  if (incarnation != options_.incarnation) return;
  while (!in_flight_.empty() && in_flight_.front().seq <= committed) in_flight_.pop_front();
}

void Reporter::OnSession() {
  for (InFlight& item : in_flight_) item.is_sent = false;
}

uint64_t Reporter::oldest_unacked() const {
  if (!in_flight_.empty()) return in_flight_.front().seq;
  return next_seq_ == 1 ? 0 : next_seq_;
}

}  // namespace weir::node::report
