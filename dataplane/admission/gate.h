// SPDX-License-Identifier: Apache-2.0
// What one model's requests pass on one node before a version sees them: circuits that policies
// hold open, shares of callers turned away, limits of callers and of the node, the governor, and
// slots with a bounded queue. Everything that a Limit says (domain/limit.h) holds for all workers
// together, so all of them use the same gate.
//
//   Enter → kEntered → Leave                       once the request is done
//         → kWaits → Waiter::wake(kNone) → Leave   a slot is free; on the waiter's worker
//                  → Waiter::wake(why)             its time ran out, or one more important came
//                  → Forget                        the client went away; no wake follows if true
//         → kRefused
//
// Those who wait are served by priority, then in the order they came; one more important takes the
// last one's place in a full queue. A request whose deadline has passed is dropped before any work.
//
// Any thread: the workers meet here, which needs a mutex (counts, queue and buckets change
// together); it is held for well under a microsecond, and models without a gate never see it.
// Wakes are posted to the waiter's executor after it is released. Times are arguments.
#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/admission/callers.h"
#include "dataplane/admission/governor.h"
#include "dataplane/admission/refusal.h"
#include "shared/base/executor.h"
#include "shared/domain/limit.h"

namespace weir::node::admission {

struct Now {
  int64_t ns = 0;       // monotonic
  int64_t wall_ms = 0;  // for acts, which end by the wall clock
};

struct Entry {
  std::string_view version{};  // that would answer
  int priority = kDefaultPriority;
  uint32_t caller = 0;       // whose limits it counts for
  uint32_t caller_hash = 0;  // where it stands when a share is turned away
  int64_t deadline_ns = 0;   // monotonic
};

struct Waiter {
  Executor* worker = nullptr;         // outlives the wait
  std::function<void(Refusal)> wake;  // kNone: it has a slot now
};

struct Outcome {
  enum class Kind : uint8_t { kEntered, kWaits, kRefused };
  Kind kind = Kind::kEntered;
  uint64_t ticket = 0;  // of one that waits
  Refusal refusal = Refusal::kNone;
  int64_t retry_after_ms = 0;
  std::string sentence{};  // of a refusal
};

// For /metrics.
struct GateView {
  std::string model;
  uint64_t slots = 0;  // 0: no limit
  uint64_t inflight = 0;
  uint64_t waiting = 0;
  std::optional<double> u{};  // of a governor
  std::array<uint64_t, kRefusals> refused{};
};

class Gate {
 public:
  explicit Gate(std::string model) : model_(std::move(model)) {}

  // Null: no limit. `governed_slots`: what a governor starts from where the limit says nothing; 0:
  // there is no governor. What waits and now may enter does.
  void Configure(const domain::LimitEntry* limit, uint64_t governed_slots, Now now);

  // `make_waiter` is called at most once, while the gate is locked, if the request has to wait.
  Outcome Enter(const Entry& entry, Now now, const std::function<Waiter()>& make_waiter);
  // `entered_ns`: when it got its slot; 0: it did no work.
  void Leave(uint32_t caller, int64_t entered_ns, Now now);
  // False: it waits no more, and its wake is on its way.
  bool Forget(uint64_t ticket);

  // Whether a policy holds the circuit of this version, or of the whole model, open. Lock-free
  // while none is held.
  bool IsBroken(std::string_view version, Now now);
  // What a client is told after a wake that was none.
  std::string SentenceOf(Refusal refusal, int64_t waited_ms);
  int64_t RetryAfterMs(Refusal refusal, Now now);

  // Drops what waits beyond its deadline, ends acts, and moves the governor every
  // Governor::kTickMs. At least that often.
  void Tick(Now now);
  // Wakes nobody: everybody who waits is forgotten.
  void Clear();
  bool IsIdle();
  GateView View();

 private:
  // By importance, then in the order of coming.
  struct Place {
    int behind = 0;  // 9 - priority
    uint64_t ticket = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Waiting {
    uint32_t caller = 0;
    int64_t deadline_ns = 0;
    int64_t since_ns = 0;
    Waiter waiter;
  };
  using Queue = std::map<Place, Waiting>;
  using Wakes = std::vector<std::pair<Waiter, Refusal>>;

  // With the mutex held.
  void Recompute(int64_t now_wall_ms);
  void Refresh(int64_t now_wall_ms);
  const domain::EffectiveLimit::Broken* FindBroken(std::string_view version) const;
  Refusal CheckCaller(const Entry& entry, int64_t now_ns);
  Refusal Check(const Entry& entry, int64_t now_ns);
  bool HasSlot() const { return slots_ == 0 || inflight_ < slots_; }
  bool MakeRoom(int behind, int64_t now_ns, Wakes& wakes);
  Waiting Pop(Queue::iterator at);
  void Drop(Queue::iterator at, Refusal refusal, Wakes& wakes);
  void Advance(int64_t now_ns, Wakes& wakes);
  void DropExpired(int64_t now_ns, Wakes& wakes);
  void TickGovernor(int64_t now_ns);
  Outcome Refused(Refusal refusal, const Entry& entry, Now now);
  Situation SituationOf(Refusal refusal) const;
  int64_t RetryMs(Refusal refusal, uint32_t caller, int64_t now_wall_ms);
  bool LimitsCallers() const {
    return now_.caller_concurrent > 0 || now_.caller_requests_per_second > 0;
  }
  static void Send(Wakes wakes);

  const std::string model_;
  std::atomic<bool> has_broken_{false};

  std::mutex mutex_;  // all of the following
  domain::LimitEntry limit_;
  uint64_t governed_slots_ = 0;
  domain::EffectiveLimit now_;  // what limit_ amounts to
  uint64_t slots_ = 0;          // 0: no limit
  uint64_t max_queue_ = 0;

  uint64_t inflight_ = 0;
  uint64_t next_ticket_ = 1;
  Queue queue_;
  std::map<uint64_t, int> behind_;  // of each ticket in queue_
  Callers callers_;
  int64_t pruned_ns_ = std::numeric_limits<int64_t>::min() / 2;
  TokenBucket bucket_;
  std::array<uint64_t, kRefusals> refused_{};

  Governor governor_;
  int64_t governed_ns_ = 0;  // when it was last moved; 0: never
  // Since then:
  double in_ = 0;
  double out_ = 0;
  double service_sum_ms_ = 0;
  size_t least_queue_ = 0;

  double service_ms_ = 0;  // what one takes lately; 0: unknown
};

}  // namespace weir::node::admission
