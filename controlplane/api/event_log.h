// SPDX-License-Identifier: Apache-2.0
// What happened lately, for GET /v1/events: a bounded ring of events, each with an id that names
// the epoch it belongs to ("1763683200-17"), so that a reader who comes back after a restart learns
// that it missed something. Lives on the core thread.
//
// Types: commit {revision, actor, reason, resources}, rollout {rollout, from, to, reason},
// node {node, from, to}, nack {node, version, refused}, version {node, model, version, state,
// detail}, override {node, overrides: [sentence]} (none: they ended), resource_file {file, result:
// applied | unchanged | refused | gone, changed, errors}, emergency {kill_switch,
// rollback_to_baseline, freeze, revision, actor, reason} when one of them changes,
// alert (what GET /v1/alerts shows of it, with from and to: its states), and
// flag_decision {node, flag, key, outcome, reason, at}: a few of the decisions that nodes make.
// `key` is a salted hash ("#ab12…") unless the Observability resource says log_keys; `outcome` is
// on, off, a variant, or "" where the caller's default holds; `at` is when the node decided.
// What rollouts tell of (rollout_trend, rollback_incomplete, …) is listed in rollout/driver.h.
// Decisions have a ring of their own, so that they push out nothing else, and are no reason to call
// a tail incomplete.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/codec/json.h"

namespace weir::control::api {

struct Event {
  uint64_t sequence = 0;
  std::string id;
  std::string type;
  int64_t at_wall_ms = 0;
  codec::Json data;
};

class EventLog {
 public:
  // Keeps the last `capacity` events, and as many decisions.
  EventLog(uint64_t epoch, const Clock& clock, size_t capacity = 1024);

  void Add(std::string type, codec::Json data);
  // A flag_decision. The caller keeps to a budget.
  void AddDecision(codec::Json data);

  struct Tail {
    std::vector<Event> events;
    bool complete = true;  // false: events between `id` and the first of these are no longer kept
  };
  // Every event after the one with that id, in order; "" or "0": all that are kept.
  Tail Since(std::string_view id) const;
  const std::deque<Event>& events() const { return events_; }  // without decisions

  // Called for every new event, in the order of AddListener; the number is for RemoveListener.
  uint64_t AddListener(std::function<void(const Event&)> listener);
  void RemoveListener(uint64_t listener) { listeners_.erase(listener); }

 private:
  void AddTo(std::deque<Event>& ring, std::string type, codec::Json data);
  Tail After(uint64_t seen, bool complete) const;

  const uint64_t epoch_;
  const Clock& clock_;
  const size_t capacity_;
  uint64_t last_ = 0;  // sequence number of the newest event
  uint64_t lost_ = 0;  // of the newest event, no decision, that is no longer kept
  std::deque<Event> events_;
  std::deque<Event> decisions_;
  uint64_t last_listener_ = 0;
  std::map<uint64_t, std::function<void(const Event&)>> listeners_;
};

}  // namespace weir::control::api
