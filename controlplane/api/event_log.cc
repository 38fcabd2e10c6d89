// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/event_log.h"

#include <algorithm>
#include <charconv>
#include <iterator>
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

uint64_t EventLog::AddListener(std::function<void(const Event&)> listener) {
  listeners_[++last_listener_] = std::move(listener);
  return last_listener_;
}

void EventLog::AddTo(std::deque<Event>& ring, std::string type, codec::Json data) {
  ++last_;
  ring.push_back({last_, std::to_string(epoch_) + "-" + std::to_string(last_), std::move(type),
                  clock_.WallMs(), std::move(data)});
  for (const auto& [number, listener] : listeners_) listener(ring.back());
}

void EventLog::Add(std::string type, codec::Json data) {
  AddTo(events_, std::move(type), std::move(data));
  if (events_.size() <= capacity_) return;
  lost_ = events_.front().sequence;
  events_.pop_front();
}

void EventLog::AddDecision(codec::Json data) {
  AddTo(decisions_, "flag_decision", std::move(data));
  if (decisions_.size() > capacity_) decisions_.pop_front();
}

EventLog::Tail EventLog::Since(std::string_view id) const {
  if (id.empty() || id == "0") return After(0, lost_ == 0);
  const uint64_t seen = SequenceOf(id, epoch_);
  // An id of another epoch, or one that we never gave: all that we have may be new to the reader.
  if (seen == 0 || seen > last_ || seen < lost_) return After(0, false);
  return After(seen, true);
}

EventLog::Tail EventLog::After(uint64_t seen, bool complete) const {
  Tail tail;
  tail.complete = complete;
  const auto is_before = [](const Event& a, const Event& b) { return a.sequence < b.sequence; };
  std::merge(events_.begin(), events_.end(), decisions_.begin(), decisions_.end(),
             std::back_inserter(tail.events), is_before);
  std::erase_if(tail.events, [seen](const Event& event) { return event.sequence <= seen; });
  return tail;
}

}  // namespace weir::control::api
