// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/event_log.h"

#include <charconv>
#include <utility>

namespace weir::control::api {
namespace {

// "7-12" → 12 if the epoch is ours; 0 otherwise.
uint64_t SequenceOf(std::string_view id, uint64_t epoch) {
  const std::string prefix = std::to_string(epoch) + "-";
  if (!id.starts_with(prefix)) return 0;
  id.remove_prefix(prefix.size());
  uint64_t sequence = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), sequence);
  return error == std::errc() && end == id.data() + id.size() ? sequence : 0;
}

}  // namespace

EventLog::EventLog(uint64_t epoch, const Clock& clock, size_t capacity)
    : epoch_(epoch), clock_(clock), capacity_(capacity) {}

void EventLog::Add(std::string type, codec::Json data) {
  ++last_;
  events_.push_back({std::to_string(epoch_) + "-" + std::to_string(last_), std::move(type),
                     clock_.WallMs(), std::move(data)});
  if (events_.size() > capacity_) events_.pop_front();
  if (listener_) listener_(events_.back());
}

EventLog::Tail EventLog::Since(std::string_view id) const {
  const uint64_t first = last_ - events_.size() + 1;  // sequence number of the oldest kept
  if (id.empty() || id == "0") return {{events_.begin(), events_.end()}, first == 1};
  const uint64_t seen = SequenceOf(id, epoch_);
  // An id of another epoch, or one that we never gave: all that we have may be new to the reader.
  if (seen == 0 || seen > last_) return {{events_.begin(), events_.end()}, false};
  if (seen + 1 < first) return {{events_.begin(), events_.end()}, false};
  return {{events_.begin() + static_cast<ptrdiff_t>(seen + 1 - first), events_.end()}, true};
}

}  // namespace weir::control::api
