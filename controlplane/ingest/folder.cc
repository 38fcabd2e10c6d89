// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/folder.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "shared/wire/telemetry_body.h"

namespace weir::control::ingest {
namespace {

constexpr int64_t kClockWindowMs = 30'000;

}  // namespace

void Folder::OnNodeClock(const Origin& origin, int64_t node_ms, int64_t now_ms) {
  const int64_t offset_ms = now_ms - node_ms;
  const auto [at, fresh] = clocks_.try_emplace(origin.node);
  NodeClock& clock = at->second;
  const bool restarted = fresh || clock.incarnation != origin.incarnation;
  // The message with the least delay says it best.
  if (restarted) {
    clock = {origin.incarnation, offset_ms, offset_ms, now_ms};
  } else if (now_ms - clock.since_ms >= kClockWindowMs) {
    clock = {origin.incarnation, offset_ms, clock.offset_ms, now_ms};
  } else {
    clock.offset_ms = std::min(clock.offset_ms, offset_ms);
  }
}

void Folder::Forget(const std::string& node) { clocks_.erase(node); }

int64_t Folder::HappenedAt(const wire::Batch& batch, int64_t now_ms) const {
  const auto clock = clocks_.find(batch.node);
  if (clock == clocks_.end() || clock->second.incarnation != batch.incarnation) return now_ms;
  const NodeClock& known = clock->second;
  return std::min(now_ms, batch.window_end_ms + std::min(known.before_ms, known.offset_ms));
}

void Folder::Add(const wire::Batch& batch, int64_t now_ms, int64_t now_wall_ms) {
  const int64_t at_ms = HappenedAt(batch, now_ms);
  // A window that an outage made long holds old counts, whenever it ended.
  const int64_t started_ms = at_ms - (batch.window_end_ms - batch.window_start_ms);
  const bool is_live = now_ms - started_ms <= kLiveMs;
  telemetry::Window& part = parts_[batch.node][{at_ms / 1000 * 1000, is_live}];
  for (const wire::Series& raw : batch.series) {
    auto read = wire::FromWire(raw);
    if (!read.ok()) {
      ++malformed_;
      last_error_ = batch.node + ": " + read.status().ToString();
      continue;
    }
    auto& [key, series] = *read;
    if (key.subject.starts_with(telemetry::kFlagSubject)) {
      const FlagWindow decided{at_ms, wire::ReadSnapshotVersion(key.version).value_or(0)};
      flags_[decided][key.subject.substr(std::string_view(telemetry::kFlagSubject).size())]
            [key.arm] += series.Counter(telemetry::kRequests);
      continue;
    }
    const auto [at, is_first] = part.try_emplace(key);
    if (is_first) {
      at->second = std::move(series);
    } else {
      at->second.Merge(series);
    }
  }
  samples_.Add(batch, now_ms, now_wall_ms);
}

TelemetryTick Folder::Take() {
  TelemetryTick tick;
  for (const auto& [node, parts] : parts_) {
    for (const auto& [span, window] : parts) {
      if (window.empty()) continue;
      telemetry::Merge(tick.history[span.second_ms], window);
      if (!span.is_live) continue;
      telemetry::Merge(tick.live, window);
      for (const auto& [key, series] : window) {
        const uint64_t requests = series.Counter(telemetry::kRequests);
        if (requests > 0) tick.by_node[key][node] += {requests, series.Counter(telemetry::kBad)};
      }
    }
  }
  tick.flags = std::exchange(flags_, {});
  tick.decisions = samples_.Take();
  parts_.clear();
  return tick;
}

}  // namespace weir::control::ingest
