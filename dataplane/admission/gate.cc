// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/gate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace weir::node::admission {
namespace {

constexpr int64_t kShortestRetryMs = 50;
constexpr int64_t kLongestRetryMs = 60'000;
constexpr int64_t kUsualRetryMs = 1000;
constexpr int64_t kPruneEveryNs = 100'000'000;  // a full table of callers is looked through
constexpr double kNewest = 0.1;  // weight of the newest service time in the usual one
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
// A tick that comes later than this says nothing about what the node can do.
constexpr int64_t kLongestTickMs = 4 * Governor::kTickMs;

double Ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }

}  // namespace

void Gate::Configure(const domain::LimitEntry* limit, uint64_t governed_slots, Now now) {
  Wakes wakes;
  {
    const std::lock_guard lock(mutex_);
    limit_ = limit == nullptr ? domain::LimitEntry{} : *limit;
    if (governed_slots == 0 || governed_slots_ == 0) {
      governor_ = Governor();
      governed_ns_ = 0;
    }
    governed_slots_ = governed_slots;
    Recompute(now.wall_ms);
    Advance(now.ns, wakes);
  }
  Send(std::move(wakes));
}

void Gate::Recompute(int64_t now_wall_ms) {
  now_ = domain::EffectiveLimitAt(limit_, now_wall_ms);
  slots_ = now_.max_concurrent > 0 ? now_.max_concurrent : governed_slots_;
  max_queue_ = now_.max_queue > 0 ? now_.max_queue : 2 * slots_;
  // A longer queue than that is of no use to a governor: who waits in it gives up.
  if (governed_slots_ > 0) max_queue_ = std::min(max_queue_, 2 * slots_);
  if (!LimitsCallers()) callers_.Clear();
  has_broken_.store(!now_.broken.empty(), std::memory_order_relaxed);
}

void Gate::Refresh(int64_t now_wall_ms) {
  if (now_.changes_at_wall_ms != 0 && now_wall_ms >= now_.changes_at_wall_ms)
    Recompute(now_wall_ms);
}

const domain::EffectiveLimit::Broken* Gate::FindBroken(std::string_view version) const {
  const auto found = std::find_if(now_.broken.begin(), now_.broken.end(), [&](const auto& broken) {
    return broken.version.empty() || broken.version == version;
  });
  return found == now_.broken.end() ? nullptr : &*found;
}

bool Gate::IsBroken(std::string_view version, Now now) {
  if (!has_broken_.load(std::memory_order_relaxed)) return false;
  const std::lock_guard lock(mutex_);
  Refresh(now.wall_ms);
  return FindBroken(version) != nullptr;
}

Refusal Gate::CheckCaller(const Entry& entry, int64_t now_ns) {
  if (!LimitsCallers()) return Refusal::kNone;
  Callers::Caller* caller = callers_.Find(entry.caller);
  if (caller == nullptr && now_ns - pruned_ns_ >= kPruneEveryNs) {
    pruned_ns_ = now_ns;
    callers_.Prune(now_.caller_requests_per_second, now_ns);
    caller = callers_.Find(entry.caller);
  }
  if (caller == nullptr) return Refusal::kNone;
  if (now_.caller_concurrent > 0 && caller->inside >= now_.caller_concurrent)
    return Refusal::kCallerConcurrent;
  const double rate = now_.caller_requests_per_second;
  if (rate > 0 && !caller->bucket.Take(rate, now_ns)) return Refusal::kCallerRate;
  return Refusal::kNone;
}

// All but slots and queue.
Refusal Gate::Check(const Entry& entry, int64_t now_ns) {
  if (FindBroken(entry.version) != nullptr) return Refusal::kCircuit;
  if (now_.shed > 0 && ShareOf(entry.caller_hash) < now_.shed) return Refusal::kShedLoad;
  if (const Refusal caller = CheckCaller(entry, now_ns); caller != Refusal::kNone) return caller;
  const double rate = now_.requests_per_second;
  if (rate > 0 && !bucket_.Take(rate, now_ns)) return Refusal::kRate;
  if (governed_slots_ > 0 && !governor_.LetsIn(entry.priority, entry.caller_hash))
    return Refusal::kGovernor;
  return Refusal::kNone;
}

Outcome Gate::Enter(const Entry& entry, Now now, const std::function<Waiter()>& make_waiter) {
  Wakes wakes;
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    Refresh(now.wall_ms);
    const int behind = kPriorities - 1 - std::clamp(entry.priority, 0, kPriorities - 1);
    const Refusal refusal = now.ns >= entry.deadline_ns ? Refusal::kDeadline : Check(entry, now.ns);
    if (refusal != Refusal::kNone) return Refused(refusal, entry, now);
    ++in_;
    if (HasSlot() && queue_.empty()) {
      ++inflight_;
    } else if (MakeRoom(behind, now.ns, wakes)) {
      outcome.kind = Outcome::Kind::kWaits;
      outcome.ticket = next_ticket_++;
      queue_.emplace(Place{behind, outcome.ticket},
                     Waiting{entry.caller, entry.deadline_ns, now.ns, make_waiter()});
      behind_.emplace(outcome.ticket, behind);
    } else {
      outcome = Refused(Refusal::kQueueFull, entry, now);
    }
    if (outcome.kind != Outcome::Kind::kRefused && LimitsCallers()) callers_.Entered(entry.caller);
  }
  Send(std::move(wakes));
  return outcome;
}

// Whether one more may wait; the last of those less important than it makes way.
bool Gate::MakeRoom(int behind, int64_t now_ns, Wakes& wakes) {
  if (queue_.size() < max_queue_) return true;
  DropExpired(now_ns, wakes);
  if (queue_.size() < max_queue_) return true;
  if (queue_.empty()) return false;
  const auto last = std::prev(queue_.end());
  if (last->first.behind <= behind) return false;
  Drop(last, Refusal::kQueueFull, wakes);
  return true;
}

Gate::Waiting Gate::Pop(Queue::iterator at) {
  Waiting waiting = std::move(at->second);
  behind_.erase(at->first.ticket);
  queue_.erase(at);
  least_queue_ = std::min(least_queue_, queue_.size());
  return waiting;
}

void Gate::Drop(Queue::iterator at, Refusal refusal, Wakes& wakes) {
  Waiting waiting = Pop(at);
  ++refused_[static_cast<size_t>(refusal)];
  callers_.Left(waiting.caller);
  wakes.emplace_back(std::move(waiting.waiter), refusal);
}

void Gate::DropExpired(int64_t now_ns, Wakes& wakes) {
  for (auto at = queue_.begin(); at != queue_.end();) {
    const auto next = std::next(at);
    if (now_ns >= at->second.deadline_ns) Drop(at, Refusal::kDeadline, wakes);
    at = next;
  }
}

// Gives free slots to those who wait.
void Gate::Advance(int64_t now_ns, Wakes& wakes) {
  while (HasSlot() && !queue_.empty()) {
    const auto first = queue_.begin();
    if (now_ns >= first->second.deadline_ns) {
      Drop(first, Refusal::kDeadline, wakes);
      continue;
    }
    wakes.emplace_back(Pop(first).waiter, Refusal::kNone);
    ++inflight_;
  }
}

void Gate::Leave(uint32_t caller, int64_t entered_ns, Now now) {
  Wakes wakes;
  {
    const std::lock_guard lock(mutex_);
    Refresh(now.wall_ms);
    if (inflight_ > 0) --inflight_;
    if (entered_ns > 0) {
      ++out_;
      const double took_ms = Ms(std::max<int64_t>(0, now.ns - entered_ns));
      service_sum_ms_ += took_ms;
      service_ms_ += (service_ms_ == 0 ? 1 : kNewest) * (took_ms - service_ms_);
    }
    callers_.Left(caller);
    Advance(now.ns, wakes);
  }
  Send(std::move(wakes));
}

bool Gate::Forget(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = behind_.find(ticket);
  if (found == behind_.end()) return false;
  const Waiting waiting = Pop(queue_.find(Place{found->second, ticket}));
  callers_.Left(waiting.caller);
  in_ = std::max(0.0, in_ - 1);  // it left without any work
  return true;
}

void Gate::Tick(Now now) {
  Wakes wakes;
  {
    const std::lock_guard lock(mutex_);
    Refresh(now.wall_ms);
    DropExpired(now.ns, wakes);
    Advance(now.ns, wakes);
    if (governed_slots_ > 0) TickGovernor(now.ns);
    if (callers_.size() > Callers::kMaxCallers / 2)
      callers_.Prune(now_.caller_requests_per_second, now.ns);
  }
  Send(std::move(wakes));
}

void Gate::TickGovernor(int64_t now_ns) {
  const int64_t passed_ms = (now_ns - governed_ns_) / 1'000'000;
  if (governed_ns_ != 0 && passed_ms < Governor::kTickMs) return;
  const double service_ms = out_ > 0 ? service_sum_ms_ / out_ : service_ms_;
  // Counts as of a tick that is just as long as it should be.
  const bool is_usable = governed_ns_ != 0 && passed_ms <= kLongestTickMs && service_ms > 0;
  const double scale = is_usable
                           ? static_cast<double>(Governor::kTickMs) / static_cast<double>(passed_ms)
                           : kMissing;
  governor_.Tick({.in = in_ * scale,
                  .out = out_ * scale,
                  .queue = static_cast<double>(queue_.size()),
                  .least_queue = static_cast<double>(least_queue_),
                  .inflight = static_cast<double>(inflight_),
                  .service_ms = service_ms},
                 static_cast<double>(slots_), static_cast<double>(limit_.target_delay_ms));
  governed_ns_ = now_ns;
  in_ = out_ = service_sum_ms_ = 0;
  least_queue_ = queue_.size();
}

void Gate::Clear() {
  const std::lock_guard lock(mutex_);
  queue_.clear();
  behind_.clear();
}

bool Gate::IsIdle() {
  const std::lock_guard lock(mutex_);
  return inflight_ == 0 && queue_.empty();
}

GateView Gate::View() {
  const std::lock_guard lock(mutex_);
  GateView view{.model = model_,
                .slots = slots_,
                .inflight = inflight_,
                .waiting = queue_.size(),
                .refused = refused_};
  if (governed_slots_ > 0) view.u = governor_.u();
  return view;
}

Outcome Gate::Refused(Refusal refusal, const Entry& entry, Now now) {
  ++refused_[static_cast<size_t>(refusal)];
  Situation situation = SituationOf(refusal);
  if (refusal == Refusal::kCircuit) situation.why = FindBroken(entry.version)->why;
  return {.kind = Outcome::Kind::kRefused,
          .refusal = refusal,
          .retry_after_ms = RetryMs(refusal, entry.caller, now.wall_ms),
          .sentence = Sentence(refusal, model_, situation)};
}

Situation Gate::SituationOf(Refusal refusal) const {
  return {.slots = slots_,
          .max_queue = max_queue_,
          .rate = refusal == Refusal::kCallerRate ? now_.caller_requests_per_second
                                                  : now_.requests_per_second,
          .caller_slots = now_.caller_concurrent,
          .share = refusal == Refusal::kShedLoad ? now_.shed : governor_.u()};
}

int64_t Gate::RetryMs(Refusal refusal, uint32_t caller, int64_t now_wall_ms) {
  int64_t retry_ms = kUsualRetryMs;
  if (refusal == Refusal::kRate) retry_ms = bucket_.WaitMs(now_.requests_per_second);
  if (refusal == Refusal::kCallerRate) {
    if (const Callers::Caller* known = callers_.Find(caller))
      retry_ms = known->bucket.WaitMs(now_.caller_requests_per_second);
  }
  if (refusal == Refusal::kCircuit || refusal == Refusal::kShedLoad) {
    if (now_.changes_at_wall_ms > 0) retry_ms = now_.changes_at_wall_ms - now_wall_ms;
  }
  // Until all who wait have been served.
  if (refusal == Refusal::kQueueFull && service_ms_ > 0 && slots_ > 0) {
    const double rounds = static_cast<double>(queue_.size() + slots_) / static_cast<double>(slots_);
    retry_ms = std::llround(std::min<double>(kLongestRetryMs, rounds * service_ms_));
  }
  if (refusal == Refusal::kCallerConcurrent && service_ms_ > 0)
    retry_ms = std::llround(std::min<double>(kLongestRetryMs, service_ms_));
  return std::clamp(retry_ms, kShortestRetryMs, kLongestRetryMs);
}

std::string Gate::SentenceOf(Refusal refusal, int64_t waited_ms) {
  const std::lock_guard lock(mutex_);
  Situation situation = SituationOf(refusal);
  situation.waited_ms = waited_ms;
  return Sentence(refusal, model_, situation);
}

int64_t Gate::RetryAfterMs(Refusal refusal, Now now) {
  const std::lock_guard lock(mutex_);
  return RetryMs(refusal, 0, now.wall_ms);
}

void Gate::Send(Wakes wakes) {
  for (auto& [waiter, refusal] : wakes) {
    waiter.worker->Post([wake = std::move(waiter.wake), refusal = refusal] { wake(refusal); });
  }
}

}  // namespace weir::node::admission
