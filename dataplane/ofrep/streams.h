// SPDX-License-Identifier: Apache-2.0
// One worker's open event streams (text/event-stream). Each is told once that its flags may have
// changed: a client asks again for everything, so one event stands for all that happened before.
//
//   id: <state id>
//   event: message
//   data: {"type":"refetchEvaluation","etag":"\"<state id>\"","lastModified":<Unix seconds>}
//
// Everything on the worker's thread, but for the budget, which the workers share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/ofrep/flag_state.h"
#include "shared/base/clock.h"
#include "shared/decision/ruleset.h"
#include "shared/http/server.h"

namespace weir::node::ofrep {

// How many streams may be open on all workers together. Any thread.
class StreamBudget {
 public:
  explicit StreamBudget(size_t limit) : limit_(limit) {}
  bool Take();
  void Give() { open_.fetch_sub(1); }
  size_t open() const { return open_.load(); }

 private:
  const size_t limit_;
  std::atomic<size_t> open_{0};
};

class Streams {
 public:
  // Runs a task on this worker's thread after so many milliseconds, or drops it when the worker
  // ends first.
  using Later = std::function<void(int64_t delay_ms, std::function<void()> task)>;

  static constexpr int64_t kKeepAliveMs = 15'000;  // a comment, so that proxies do not hang up
  static constexpr int64_t kSpacingMs = 100;       // between two events of a burst
  // A client that shows no id asked for its flags not long before; a change since then may have
  // been missed, so that it is told at once.
  static constexpr int64_t kRecentMs = 60'000;
  static constexpr int64_t kRetryMs = 2000;  // after which clients connect again

  // `clock` and `budget` outlive this.
  Streams(const Clock& clock, StreamBudget& budget, Later later);

  void SetRules(std::shared_ptr<const decision::Ruleset> rules);

  enum class Opened { kYes, kTooMany, kDraining };
  // Begins the stream. `last_id` is the client's Last-Event-ID; "" without one.
  Opened Open(std::shared_ptr<http::Exchange> exchange, std::string_view last_id,
              const http::Response& head);
  // Ends all, and refuses new ones. Idempotent.
  void Drain();

  size_t size() const { return open_.size(); }

 private:
  struct Stream {
    std::shared_ptr<http::Exchange> exchange;
    bool is_current;  // no change since it was opened or last told
  };

  void Changed();
  void Announce();
  static void Send(const std::vector<std::shared_ptr<http::Exchange>>& exchanges,
                   const std::string& text);
  std::vector<std::shared_ptr<http::Exchange>> All() const;
  void OnTimer(int64_t armed_ms);
  void Arm();
  std::string Event() const;

  const Clock& clock_;
  StreamBudget& budget_;
  const Later later_;
  FlagState state_;
  std::vector<Stream> open_;
  bool draining_ = false;

  // Monotonic milliseconds, but for the one that is sent.
  int64_t changed_ms_ = 0;
  int64_t changed_wall_ms_ = 0;
  int64_t announced_ms_;
  int64_t keep_alive_ms_ = 0;
  bool pending_ = false;                  // a change that is not announced yet
  int64_t armed_ms_ = FlagState::kNever;  // when the timer that counts is due
};

}  // namespace weir::node::ofrep
