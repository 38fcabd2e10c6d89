// SPDX-License-Identifier: Apache-2.0
// What happened lately, for GET /v1/events: a bounded ring of events, each with an id that names
// the epoch it belongs to ("1763683200-17"), so that a reader who comes back after a restart learns
// that it missed something. Lives on the core thread.
//
// Types: commit {revision, actor, reason, resources}, rollout {rollout, from, to, reason},
// node {node, from, to}, nack {node, version, refused}, version {node, model, version, state,
// detail}, resource_file {file, errors}.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/codec/json.h"

namespace weir::control::api {

struct Event {
  std::string id;
  std::string type;
  int64_t at_wall_ms = 0;
  codec::Json data;
};

class EventLog {
 public:
  // Keeps the last `capacity` events.
  EventLog(uint64_t epoch, const Clock& clock, size_t capacity = 1024);

  void Add(std::string type, codec::Json data);

  struct Tail {
    std::vector<Event> events;
    bool complete = true;  // false: events between `id` and the first of these are no longer kept
  };
  // Every event after the one with that id; "" or "0": all that are kept.
  Tail Since(std::string_view id) const;
  const std::deque<Event>& events() const { return events_; }

  // Called for every new event. One listener.
  void SetListener(std::function<void(const Event&)> listener) { listener_ = std::move(listener); }

 private:
  const uint64_t epoch_;
  const Clock& clock_;
  const size_t capacity_;
  uint64_t last_ = 0;  // sequence number of the newest event
  std::deque<Event> events_;
  std::function<void(const Event&)> listener_;
};

}  // namespace weir::control::api
