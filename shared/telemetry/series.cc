// SPDX-License-Identifier: Apache-2.0
#include "shared/telemetry/series.h"

#include <algorithm>
#include <utility>

namespace weir::telemetry {

uint64_t Series::Counter(const std::string& name) const {
  const auto it = counters.find(name);
  return it == counters.end() ? 0 : it->second;
}

void Series::AddBadKey(uint32_t hash) {
  if (bad_keys.size() >= kMaxBadKeys) return;
  if (std::find(bad_keys.begin(), bad_keys.end(), hash) == bad_keys.end()) bad_keys.push_back(hash);
}

void Series::Merge(const Series& other) {
  for (const auto& [name, count] : other.counters) counters[name] += count;
  latency.Merge(other.latency);
  if (!other.latency_digest.Empty()) latency_digest.Merge(other.latency_digest);
  for (size_t i = 0; i < other.bad_keys.size(); ++i) AddBadKey(other.bad_keys[i]);
  if (!other.outputs.Empty()) outputs.Merge(other.outputs);
  if (!other.queue.Empty()) queue.Merge(other.queue);
  if (!other.ttft.Empty()) ttft.Merge(other.ttft);
  for (const auto& [metric, outcome] : other.outcomes) {
    if (outcomes.size() < kMaxOutcomes || outcomes.contains(metric))
      outcomes[metric].Merge(outcome);
  }
}

void Merge(Window& into, const Window& from) {
  for (const auto& [key, series] : from) into[key].Merge(series);
}

uint32_t HashKey(std::string_view key) {
  uint32_t hash = 2166136261u;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

bool Cell::Empty() const {
  return requests_ == 0 && outcomes_.empty() && outputs_.Empty() &&
         std::all_of(counters_.begin(), counters_.end(), [](uint64_t n) { return n == 0; });
}

Series Cell::Take() {
  constexpr std::array<const char*, kCounterCount> kNames = {
      telemetry::kDiverted,     telemetry::kShed,     telemetry::kCancelled,
      telemetry::kClientErrors, telemetry::kTokens,   telemetry::kFallback,
      telemetry::kCompared,     telemetry::kDiffered, telemetry::kLate};
  Series out;
  if (requests_ > 0) out.counters[kRequests] = requests_;
  if (bad_ > 0) out.counters[kBad] = bad_;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (counters_[i] > 0) out.counters[kNames[i]] = counters_[i];
  }
  out.latency = latency_.ToSparse();
  if (!digest_.Empty()) out.latency_digest.Merge(digest_);
  out.bad_keys.assign(bad_keys_.begin(), bad_keys_.begin() + static_cast<long>(bad_key_count_));
  if (!outputs_.Empty()) out.outputs.Merge(outputs_);
  if (!queue_.Empty()) out.queue.Merge(queue_);
  if (!ttft_.Empty()) out.ttft.Merge(ttft_);
  out.outcomes = std::move(outcomes_);
  outcomes_.clear();
  outputs_.Clear();
  queue_.Clear();
  ttft_.Clear();
  requests_ = bad_ = 0;
  counters_.fill(0);
  latency_.Clear();
  digest_.Clear();
  bad_key_count_ = 0;
  return out;
}

bool Cell::RecordOutcome(const std::string& metric, double value) {
  if (outcomes_.size() >= Series::kMaxOutcomes && !outcomes_.contains(metric)) return false;
  outcomes_[metric].Add(value);
  return true;
}

void Cell::RecordBad(uint32_t key_hash) {
  ++bad_;
  const auto end = bad_keys_.begin() + static_cast<long>(bad_key_count_);
  if (bad_key_count_ < bad_keys_.size() && std::find(bad_keys_.begin(), end, key_hash) == end) {
    bad_keys_[bad_key_count_++] = key_hash;
  }
}

std::shared_ptr<Cell> Shard::Prepare(const SeriesKey& key) {
  auto& cell = cells_[key];
  if (!cell) cell = std::make_shared<Cell>();
  return cell;
}

Window Shard::Take() {
  Window out;
  for (auto it = cells_.begin(); it != cells_.end();) {
    if (!it->second->Empty()) out.emplace(it->first, it->second->Take());
    it = it->second.use_count() == 1 ? cells_.erase(it) : std::next(it);
  }
  return out;
}

}  // namespace weir::telemetry
