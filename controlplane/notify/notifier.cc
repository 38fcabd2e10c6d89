// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/notifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::control::notify {
namespace {

using codec::Json;
using domain::Kind;

constexpr char kTestType[] = "test";
constexpr int64_t kFirstRetryMs = 4000;
constexpr int kDoublings = 4;
constexpr int64_t kStopMs = 1000;
constexpr int64_t kFlushMs = 1000;

// Doubling up to 64 s, a quarter more or less.
int64_t DelayMs(int attempts) {
  const int64_t delay_ms = kFirstRetryMs << std::min(attempts - 1, kDoublings);
  const int64_t quarter_ms = delay_ms / 4;
  return delay_ms - quarter_ms +
         static_cast<int64_t>(RandomU64() % static_cast<uint64_t>(2 * quarter_ms + 1));
}

const char* Name(Sent::Result result) {
  switch (result) {
    case Sent::Result::kDelivered:
      return "delivered";
    case Sent::Result::kRetry:
      return "retry";
    case Sent::Result::kFailed:
      break;
  }
  return "failed";
}

}  // namespace

Notifier::Notifier(NotifierOptions options) : options_(std::move(options)) {}

Notifier::~Notifier() { Stop(); }

void Notifier::Stop() {
  *alive_ = false;
  const int64_t end_ms = Clock::System().MonotonicMs() + kStopMs;
  for (auto& [name, state] : sinks_) {
    state->thread.Stop(std::max<int64_t>(end_ms - Clock::System().MonotonicMs(), 0));
    if (state->on_way != 0 && state->arrived->load()) Forget(state->on_way);
  }
  sinks_.clear();
  const Status saved = Flush();
  if (!saved.ok()) Log("notify").error("notices that wait are lost: {}", saved.ToString());
}

void Notifier::Load(const std::vector<store::NoticeRow>& waiting) {
  const int64_t now_ms = options_.clock.MonotonicMs();
  const int64_t now_wall_ms = options_.clock.WallMs();
  for (const store::NoticeRow& row : waiting) {
    last_number_ = std::max(last_number_, row.number);
    Result<Json> data = codec::ParseJson(row.data);
    if (!data.ok()) {
      Log("notify").error("notice {} for sink {} is lost: {}", row.id, row.sink,
                          data.status().ToString());
      Forget(row.number);
      continue;
    }
    Queue::Item item;
    item.number = row.number;
    item.notice =
        std::make_shared<const Notice>(Notice{row.id, row.type, row.at_wall_ms, *std::move(data)});
    item.since_ms = now_ms - std::max<int64_t>(0, now_wall_ms - row.queued_wall_ms);
    Keep(StateOf(row.sink), std::move(item), row.sink);
  }
}

void Notifier::OnEvent(const Notice& notice) {
  if (!Notifies(notice)) return;
  std::vector<std::string> told;
  options_.for_each(Kind::kSink, [&](const domain::Resource& sink) {
    if (Wants(sink.As<domain::SinkSpec>(), notice)) told.push_back(sink.name);
  });
  if (told.empty()) return;
  const auto shared = std::make_shared<const Notice>(notice);
  for (const std::string& sink : told) Enqueue(sink, shared);
}

void Notifier::Tell(const std::string& sink, Notice notice) {
  Enqueue(sink, std::make_shared<const Notice>(std::move(notice)));
}

Result<std::string> Notifier::Test(const std::string& sink) {
  if (options_.find(Kind::kSink, sink) == nullptr)
    return NotFound(fmt::format("sink \"{}\" does not exist", sink));
  Notice notice{"test-" + RandomHex(8), kTestType, options_.clock.WallMs(), {{"sink", sink}}};
  Queue::Item item;
  item.number = ++last_number_;
  item.notice = std::make_shared<const Notice>(notice);
  item.is_test = true;
  SinkState& state = StateOf(sink);
  state.queue.Add(std::move(item), state.on_way);
  Pump(sink, state);
  return notice.id;
}

Notifier::SinkState& Notifier::StateOf(const std::string& sink) {
  auto& state = sinks_[sink];
  if (state == nullptr) state = std::make_unique<SinkState>(options_.core);
  return *state;
}

void Notifier::Enqueue(const std::string& sink, std::shared_ptr<const Notice> notice) {
  SinkState& state = StateOf(sink);
  if (state.queue.Has(notice->id)) return;
  Queue::Item item;
  item.number = ++last_number_;
  item.since_ms = options_.clock.MonotonicMs();
  if (options_.save) {
    unsaved_[item.number] = {item.number,
                             sink,
                             notice->id,
                             notice->type,
                             notice->at_wall_ms,
                             options_.clock.WallMs(),
                             notice->data.dump(-1, ' ', false, Json::error_handler_t::replace)};
    // While it fails, Tick tries it again: a locked database must not hold up each event.
    if (last_save_.ok() && !std::exchange(is_flush_posted_, true)) {
      options_.core.Post([this, alive = alive_] {
        if (*alive) (void)Flush();
      });
    }
  }
  item.notice = std::move(notice);
  Keep(state, std::move(item), sink);
  Pump(sink, state);
}

void Notifier::Keep(SinkState& state, Queue::Item item, const std::string& sink) {
  for (const uint64_t needless : state.queue.Add(std::move(item), state.on_way)) Forget(needless);
  if (state.queue.size() <= kMaxWaiting) return;
  const auto oldest = state.queue.TakeOldest(state.on_way);
  if (!oldest) return;
  ++state.counts.dropped;
  Forget(oldest->number);
  Log("notify").error("sink {}: {} of {} is dropped: more than {} wait", sink, oldest->notice->id,
                      oldest->notice->type, kMaxWaiting);
}

void Notifier::Forget(uint64_t number) {
  if (options_.save && unsaved_.erase(number) == 0) done_.push_back(number);
}

Status Notifier::Flush() {
  is_flush_posted_ = false;
  if (unsaved_.empty() && done_.empty()) return last_save_ = OkStatus();
  flushed_ms_ = options_.clock.MonotonicMs();
  std::vector<store::NoticeRow> waiting;
  for (const auto& [number, row] : unsaved_) waiting.push_back(row);
  Status saved = options_.save(waiting, done_);
  if (!saved.ok() && last_save_.ok())
    Log("notify").error("notices cannot be stored: {}", saved.ToString());
  last_save_ = saved;
  if (saved.ok()) {
    unsaved_.clear();
    done_.clear();
  }
  return saved;
}

void Notifier::Pump(const std::string& sink, SinkState& state) {
  const domain::Resource* resource = options_.find(Kind::kSink, sink);
  if (resource == nullptr || state.on_way != 0 || state.queue.size() == 0) return;
  const auto& spec = resource->As<domain::SinkSpec>();
  const int64_t now_ms = options_.clock.MonotonicMs();
  if (state.tried != spec) {
    state.due_ms = 0;
    state.queue.MakeDue();
  }
  const Queue::Item* next = state.queue.Next(now_ms);
  if (next == nullptr || (now_ms < state.due_ms && !next->is_test)) return;
  state.on_way = next->number;
  state.arrived = std::make_shared<std::atomic<bool>>(false);
  state.tried = spec;
  state.thread.Run([this, sink, spec, number = state.on_way, notice = next->notice,
                    arrived = state.arrived, now_ms = options_.clock.WallMs(),
                    surroundings = options_.surroundings(), alive = alive_]() -> WorkPool::Done {
    const Sent sent = Send(spec, *notice, now_ms, surroundings);
    arrived->store(sent.result == Sent::Result::kDelivered);
    return [this, sink, number, sent, alive] {
      if (*alive) OnSent(sink, number, sent);
    };
  });
}

Sent::Result Notifier::Outcome(const Queue::Item& item, Sent::Result result) const {
  const bool is_last =
      item.is_test || options_.clock.MonotonicMs() - item.since_ms >= kKeepTryingMs;
  return result == Sent::Result::kRetry && is_last ? Sent::Result::kFailed : result;
}

void Notifier::OnSent(const std::string& sink, uint64_t number, const Sent& sent) {
  const auto found = sinks_.find(sink);
  if (found == sinks_.end() || found->second->on_way != number) return;
  SinkState& state = *found->second;
  state.on_way = 0;
  Queue::Item& item = *state.queue.Find(number);
  ++item.attempts;
  const Sent::Result result = Outcome(item, sent.result);
  const Notice& notice = *item.notice;
  state.last = {{"id", notice.id},
                {"type", notice.type},
                {"at", FormatTimeMs(options_.clock.WallMs())},
                {"attempts", item.attempts},
                {"result", Name(result)},
                {"detail", sent.detail}};
  if (item.is_test) state.last_test = state.last;
  if (result == Sent::Result::kRetry) {
    SetTrouble(sink, state, fmt::format("attempt {}: {}", item.attempts, sent.detail));
    TryLater(state, item);
    return;
  }
  if (result == Sent::Result::kDelivered) {
    ++state.counts.delivered;
    if (!state.why.empty()) Log("notify").info("sink {}: {} again", sink, sent.detail);
    state.why.clear();
    if (std::exchange(state.failures, 0) > 0) state.queue.MakeDue();
    state.due_ms = 0;
  } else {
    ++state.counts.failed;
    Log("notify").error("sink {}: {} of {} is given up after {} attempts: {}", sink, notice.id,
                        notice.type, item.attempts, sent.detail);
    SetTrouble(sink, state, "given up: " + sent.detail);
  }
  if (!item.is_test) Forget(number);
  state.queue.Remove(number);
  Pump(sink, state);
}

void Notifier::TryLater(SinkState& state, Queue::Item& item) {
  const int64_t now_ms = options_.clock.MonotonicMs();
  if (item.attempts > kAttemptsInTurn) {
    item.due_ms = now_ms + DelayMs(item.attempts);
    return;
  }
  state.due_ms = now_ms + DelayMs(++state.failures);
  if (item.IsSetAside()) item.due_ms = state.due_ms;
}

void Notifier::SetTrouble(const std::string& sink, SinkState& state, std::string why) {
  if (state.why.empty()) {
    state.since_wall_ms = options_.clock.WallMs();
    Log("notify").warn("sink {}: {}", sink, why);
  }
  state.why = std::move(why);
}

void Notifier::Tick() {
  std::erase_if(sinks_, [this](auto& item) {
    auto& [name, state] = item;
    const domain::Resource* sink = options_.find(Kind::kSink, name);
    const bool is_told = sink != nullptr && sink->template As<domain::SinkSpec>().enabled;
    if (!is_told) {
      while (const auto left = state->queue.TakeOldest(state->on_way)) Forget(left->number);
      if (state->on_way == 0) state->why.clear();
    }
    if (sink == nullptr) {
      if (state->on_way != 0) Forget(state->on_way);
      return true;
    }
    Pump(name, *state);
    return false;
  });
  if (options_.clock.MonotonicMs() - flushed_ms_ >= kFlushMs) (void)Flush();
}

std::vector<Trouble> Notifier::Troubles() const {
  std::vector<Trouble> troubles;
  for (const auto& [name, state] : sinks_) {
    if (state->why.empty()) continue;
    troubles.push_back(
        {name, state->since_wall_ms,
         fmt::format("{}; {} waiting, {} given up, {} dropped", state->why, state->queue.size(),
                     state->counts.failed, state->counts.dropped)});
  }
  return troubles;
}

std::map<std::string, SinkCounts> Notifier::Counts() const {
  std::map<std::string, SinkCounts> counts;
  for (const auto& [name, state] : sinks_) counts[name] = state->counts;
  return counts;
}

Json Notifier::StatusOf(const std::string& sink) const {
  const auto found = sinks_.find(sink);
  if (found == sinks_.end())
    return {{"waiting", 0}, {"delivered", 0}, {"failed", 0}, {"dropped", 0}};
  const SinkState& state = *found->second;
  Json json = {{"waiting", state.queue.size()},
               {"delivered", state.counts.delivered},
               {"failed", state.counts.failed},
               {"dropped", state.counts.dropped}};
  if (!state.last.is_null()) json["last"] = state.last;
  if (!state.last_test.is_null()) json["last_test"] = state.last_test;
  return json;
}

}  // namespace weir::control::notify
