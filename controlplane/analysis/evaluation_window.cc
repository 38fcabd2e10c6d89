// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/evaluation_window.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "controlplane/analysis/slot_text.h"

namespace weir::control::analysis {
namespace {

constexpr int64_t kSlots = 20;

void FoldDigest(const telemetry::TDigest& tick, telemetry::TDigest& into) {
  if (tick.Empty()) return;
  into.Merge(tick);
  into = Rounded(into);
}

void Fold(const telemetry::Series& tick, telemetry::Series& into) {
  for (const char* name : kSlotCounters) {
    if (const uint64_t n = tick.Counter(name); n > 0) into.counters[name] += n;
  }
  into.latency.Merge(tick.latency);
  FoldDigest(tick.latency_digest, into.latency_digest);
  FoldDigest(tick.outputs, into.outputs);
  for (const auto& [name, outcome] : tick.outcomes) {
    if (!IsOutcomeName(name) || !std::isfinite(outcome.sum) || !std::isfinite(outcome.sum_squares))
      continue;
    if (into.outcomes.size() >= telemetry::Series::kMaxOutcomes && !into.outcomes.contains(name))
      continue;
    into.outcomes[name].Merge(outcome);
  }
}

void Merge(const Arms& from, Arms& into) {
  into.stable.Merge(from.stable);
  into.canary.Merge(from.canary);
}

bool IsEmpty(const telemetry::Series& series) {
  return series.counters.empty() && series.latency.Empty() && series.outputs.Empty() &&
         series.outcomes.empty();
}

std::string TextOf(const Arms& arms) { return ToText(arms.stable) + '|' + ToText(arms.canary); }

Arms ArmsOf(const std::string& text) {
  const size_t bar = text.find('|');
  if (bar == std::string::npos) throw std::invalid_argument("a slot has two arms");
  auto stable = FromText(std::string_view(text).substr(0, bar));
  auto canary = FromText(std::string_view(text).substr(bar + 1));
  if (!stable.ok()) throw std::invalid_argument(stable.status().ToString());
  if (!canary.ok()) throw std::invalid_argument(canary.status().ToString());
  return {*std::move(stable), *std::move(canary)};
}

}  // namespace

EvaluationWindow::EvaluationWindow(int64_t window_ms)
    : window_ms_(window_ms), slot_ms_(std::max<int64_t>(1, window_ms / kSlots)) {}

void EvaluationWindow::Add(int64_t now_ms, const telemetry::Series& stable,
                           const telemetry::Series& canary) {
  const size_t slots = slots_.size();
  while (!slots_.empty() && now_ms - slots_.front().start_ms >= window_ms_ + slot_ms_) {
    slots_.pop_front();
  }
  const bool dropped = slots_.size() != slots;
  const bool is_empty = IsEmpty(stable) && IsEmpty(canary);
  const bool is_full = !slots_.empty() && now_ms - slots_.back().start_ms >= slot_ms_;
  if (!is_empty && (slots_.empty() || is_full)) {
    if (is_full && slots_.back().text.empty()) slots_.back().text = TextOf(slots_.back().arms);
    slots_.push_back({now_ms, {}, ""});
    Close();
  } else if (dropped) {
    Close();
  }
  if (is_empty) return;
  Fold(stable, slots_.back().arms.stable);
  Fold(canary, slots_.back().arms.canary);
}

// All slots but the last take nothing more: merged in order, so that a restored window has the
// same.
void EvaluationWindow::Close() {
  closed_ = {};
  for (size_t i = 0; i + 1 < slots_.size(); ++i) Merge(slots_[i].arms, closed_);
}

Arms EvaluationWindow::Totals() const {
  Arms out = closed_;
  if (!slots_.empty()) Merge(slots_.back().arms, out);
  return out;
}

EvaluationWindow::Counts EvaluationWindow::CountsOf(const Metric& metric) const {
  Counts out{CountOf(closed_.stable, metric), CountOf(closed_.canary, metric)};
  if (!slots_.empty()) {
    out.stable += CountOf(slots_.back().arms.stable, metric);
    out.canary += CountOf(slots_.back().arms.canary, metric);
  }
  return out;
}

nlohmann::json EvaluationWindow::Save(int64_t now_ms) const {
  nlohmann::json slots = nlohmann::json::array();
  for (const Slot& slot : slots_) {
    slots.push_back(now_ms - slot.start_ms);
    slots.push_back(slot.text.empty() ? TextOf(slot.arms) : slot.text);
  }
  return slots;
}

void EvaluationWindow::Restore(const nlohmann::json& saved, int64_t now_ms) {
  slots_.clear();
  if (!saved.is_array() || saved.size() % 2 != 0) throw std::invalid_argument("slots are pairs");
  for (size_t i = 0; i < saved.size(); i += 2) {
    auto text = saved[i + 1].get<std::string>();
    Arms arms = ArmsOf(text);
    const bool is_open = i + 2 == saved.size();
    slots_.push_back(
        {now_ms - saved[i].get<int64_t>(), std::move(arms), is_open ? "" : std::move(text)});
  }
  Close();
}

nlohmann::json ToJson(const telemetry::LogHistogram& histogram) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& [bucket, count] : histogram.Entries()) out.push_back({bucket, count});
  return out;
}

telemetry::LogHistogram HistogramFromJson(const nlohmann::json& saved) {
  std::vector<telemetry::LogHistogram::Entry> entries;
  for (const auto& e : saved) entries.emplace_back(e.at(0).get<int>(), e.at(1).get<uint64_t>());
  auto out = telemetry::LogHistogram::FromEntries(std::move(entries));
  if (!out.ok()) throw std::invalid_argument(out.status().ToString());
  return *std::move(out);
}

}  // namespace weir::control::analysis
