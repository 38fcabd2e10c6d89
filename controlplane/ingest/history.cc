// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/history.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/clock.h"
#include "shared/codec/msgpack.h"
#include "shared/wire/telemetry_body.h"

namespace weir::control::ingest {
namespace {

using codec::Json;

constexpr int64_t kMaxPoints = 10'000;

// As stored: the wire's msgpack of the series.
std::string Pack(const telemetry::SeriesKey& key, const telemetry::Series& series) {
  return codec::ToMsgpack(wire::ToWire(key, series));
}

Json PointOf(int64_t start_ms, const telemetry::Series& series) {
  const uint64_t requests = series.Counter(telemetry::kRequests);
  const uint64_t bad = series.Counter(telemetry::kBad);
  Json point = {{"at", FormatTimeMs(start_ms)},
                {"requests", requests},
                {"bad", bad},
                {"counters", series.counters}};
  if (requests == 0) return point;
  point["error_rate"] = static_cast<double>(bad) / static_cast<double>(requests);
  point["p50_latency_ms"] = series.latency_digest.Quantile(0.50);
  point["p95_latency_ms"] = series.latency_digest.Quantile(0.95);
  point["p99_latency_ms"] = series.latency_digest.Quantile(0.99);
  for (const auto& [name, digest] :
       {std::pair("queue", &series.queue), std::pair("ttft", &series.ttft)}) {
    if (digest->Empty()) continue;
    point[fmt::format("p50_{}_ms", name)] = digest->Quantile(0.50);
    point[fmt::format("p95_{}_ms", name)] = digest->Quantile(0.95);
    point[fmt::format("p99_{}_ms", name)] = digest->Quantile(0.99);
  }
  return point;
}

// The finest tier that reaches back to `from_ms`, or a coarser one that is still fine enough.
size_t TierFor(int64_t from_ms, int64_t step_ms, int64_t now_wall_ms) {
  const auto& tiers = History::kTiers;
  size_t tier = 0;
  while (tier + 1 < tiers.size() && from_ms < now_wall_ms - tiers[tier].keep_ms) ++tier;
  while (tier + 1 < tiers.size() && tiers[tier + 1].step_ms <= step_ms) ++tier;
  return tier;
}

}  // namespace

void History::Add(int64_t at_wall_ms, const telemetry::Window& window) {
  for (size_t i = 0; i < kTiers.size(); ++i) {
    const int64_t start_ms = at_wall_ms / kTiers[i].step_ms * kTiers[i].step_ms;
    telemetry::Merge(tiers_[i][start_ms], window);
    if (kTiers[i].stored) dirty_.emplace(i, start_ms);
  }
}

void History::Prune(int64_t now_wall_ms) {
  for (size_t i = 0; i < kTiers.size(); ++i) {
    const auto end = tiers_[i].lower_bound(now_wall_ms - kTiers[i].keep_ms);
    for (auto at = tiers_[i].begin(); at != end;) {
      // What is still to be stored stays until it is.
      at = dirty_.contains({i, at->first}) ? std::next(at) : tiers_[i].erase(at);
    }
  }
}

std::vector<store::WindowRow> History::TakeDirty() {
  std::vector<store::WindowRow> rows;
  for (const auto& [tier, start_ms] : dirty_) {
    for (const auto& [key, series] : tiers_[tier][start_ms]) {
      rows.push_back(
          {key.subject, key.version, key.arm, kTiers[tier].step_ms, start_ms, Pack(key, series)});
    }
  }
  dirty_.clear();
  return rows;
}

void History::MarkDirty(const std::vector<store::WindowRow>& rows) {
  for (const store::WindowRow& row : rows) {
    for (size_t i = 0; i < kTiers.size(); ++i) {
      if (kTiers[i].step_ms == row.resolution_ms) dirty_.emplace(i, row.start_wall_ms);
    }
  }
}

Status History::Restore(const store::WindowRow& row) {
  const auto tier = std::find_if(kTiers.begin(), kTiers.end(), [&](const Tier& t) {
    return t.stored && t.step_ms == row.resolution_ms;
  });
  if (tier == kTiers.end()) return OkStatus();
  const auto unreadable = [&](const Status& why) {
    return DataLoss(fmt::format("telemetry of {} at {}: {}", row.subject,
                                FormatTimeMs(row.start_wall_ms), why.ToString()));
  };
  const auto packed = codec::FromMsgpack<wire::Series>(row.counters);
  if (!packed.ok()) return unreadable(packed.status());
  const auto read = wire::FromWire(*packed);
  if (!read.ok()) return unreadable(read.status());
  tiers_[static_cast<size_t>(tier - kTiers.begin())][row.start_wall_ms][read->first].Merge(
      read->second);
  return OkStatus();
}

Result<Json> History::Query(const std::string& subject, int64_t from_ms, int64_t to_ms,
                            int64_t step_ms, int64_t now_wall_ms) const {
  if (from_ms >= to_ms) return InvalidArgument("from", "is not before to");
  const size_t tier = TierFor(from_ms, step_ms, now_wall_ms);
  const int64_t unit_ms = kTiers[tier].step_ms;
  const int64_t step = std::max(step_ms, unit_ms) / unit_ms * unit_ms;
  if ((to_ms - from_ms) / step > kMaxPoints)
    return InvalidArgument("step", fmt::format("gives more than {} points", kMaxPoints));
  std::map<telemetry::SeriesKey, std::map<int64_t, telemetry::Series>> found;
  const Windows& windows = tiers_[tier];
  for (auto at = windows.lower_bound(from_ms / unit_ms * unit_ms);
       at != windows.end() && at->first < to_ms; ++at) {
    for (const auto& [key, series] : at->second) {
      if (key.subject == subject) found[key][at->first / step * step].Merge(series);
    }
  }
  Json all = Json::array();
  for (const auto& [key, points] : found) {
    Json list = Json::array();
    for (const auto& [start_ms, series] : points) list.push_back(PointOf(start_ms, series));
    all.push_back({{"version", key.version}, {"arm", key.arm}, {"points", std::move(list)}});
  }
  return Json{{"subject", subject}, {"step_ms", step}, {"series", std::move(all)}};
}

void History::ForEach(const Tier& tier, int64_t from_wall_ms, int64_t to_wall_ms,
                      const std::function<void(int64_t, const telemetry::Window&)>& visit) const {
  for (size_t i = 0; i < kTiers.size(); ++i) {
    if (kTiers[i].step_ms != tier.step_ms) continue;
    const int64_t from_ms = from_wall_ms / tier.step_ms * tier.step_ms;
    for (auto at = tiers_[i].lower_bound(from_ms); at != tiers_[i].end() && at->first < to_wall_ms;
         ++at) {
      visit(at->first, at->second);
    }
  }
}

const History::Tier& History::FinestSince(int64_t from_wall_ms, int64_t now_wall_ms) const {
  constexpr size_t kFirstStored = 2;
  static_assert(kTiers[kFirstStored].stored && !kTiers[kFirstStored - 1].stored);
  const int64_t step_ms = kTiers[kFirstStored].step_ms;
  const auto known = tiers_[kFirstStored].lower_bound(from_wall_ms / step_ms * step_ms);
  const auto is_short = [&](size_t tier) {
    if (from_wall_ms < now_wall_ms - kTiers[tier].keep_ms - kTiers[tier].step_ms) return true;
    if (kTiers[tier].stored || known == tiers_[kFirstStored].end()) return false;
    const Windows& windows = tiers_[tier];
    return windows.empty() ||
           windows.begin()->first >= std::max(known->first, from_wall_ms) + step_ms;
  };
  size_t tier = 0;
  while (tier + 1 < kTiers.size() && is_short(tier)) ++tier;
  return kTiers[tier];
}

size_t History::WindowCount() const {
  size_t count = 0;
  for (const Windows& windows : tiers_) count += windows.size();
  return count;
}

}  // namespace weir::control::ingest
