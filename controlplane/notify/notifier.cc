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
constexpr int64_t kStopMs = 1000;

// Doubling, a quarter more or less.
int64_t DelayMs(int attempts) {
  const int64_t delay_ms = kFirstRetryMs << std::min(attempts - 1, 10);
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
  for (auto& [name, state] : sinks_)
    state->thread.Stop(std::max<int64_t>(end_ms - Clock::System().MonotonicMs(), 0));
  sinks_.clear();
}

void Notifier::OnEvent(const Notice& notice) {
  if (!Notifies(notice)) return;
  std::vector<std::string> told;
  options_.for_each(Kind::kSink, [&](const domain::Resource& sink) {
    if (Wants(sink.As<domain::SinkSpec>(), notice)) told.push_back(sink.name);
  });
  if (told.empty()) return;
  const auto shared = std::make_shared<const Notice>(notice);
  for (const std::string& sink : told) Enqueue(sink, {shared});
}

void Notifier::Tell(const std::string& sink, Notice notice) {
  Enqueue(sink, {std::make_shared<const Notice>(std::move(notice))});
}

Result<std::string> Notifier::Test(const std::string& sink) {
  if (options_.find(Kind::kSink, sink) == nullptr)
    return NotFound(fmt::format("sink \"{}\" does not exist", sink));
  Notice notice{"test-" + RandomHex(8), kTestType, options_.clock.WallMs(), {{"sink", sink}}};
  SinkState& state = StateOf(sink);
  state.waiting.push_front({std::make_shared<const Notice>(notice), 1});
  if (state.attempt == 0 && state.current.has_value()) {  // what waits for its retry goes behind it
    state.waiting.insert(state.waiting.begin() + 1, *std::exchange(state.current, std::nullopt));
  }
  Pump(sink, state);
  return notice.id;
}

Notifier::SinkState& Notifier::StateOf(const std::string& sink) {
  auto& state = sinks_[sink];
  if (state == nullptr) state = std::make_unique<SinkState>(options_.core);
  return *state;
}

void Notifier::Enqueue(const std::string& sink, Delivery delivery) {
  SinkState& state = StateOf(sink);
  state.waiting.push_back(std::move(delivery));
  if (state.waiting.size() > kMaxWaiting) {
    state.waiting.pop_front();
    ++state.counts.dropped;
  }
  Pump(sink, state);
}

void Notifier::Pump(const std::string& sink, SinkState& state) {
  const domain::Resource* resource = options_.find(Kind::kSink, sink);
  if (resource == nullptr || state.attempt != 0) return;
  const auto& spec = resource->As<domain::SinkSpec>();
  if (!state.current.has_value()) {
    if (state.waiting.empty()) return;
    state.current = std::move(state.waiting.front());
    state.waiting.pop_front();
    state.due_ms = 0;
  }
  const bool is_due = options_.clock.MonotonicMs() >= state.due_ms || state.tried != spec;
  if (!is_due) return;
  state.attempt = ++last_attempt_;
  state.tried = spec;
  ++state.current->attempts;
  state.thread.Run([this, sink, spec, attempt = state.attempt, notice = state.current->notice,
                    now_ms = options_.clock.WallMs(), surroundings = options_.surroundings(),
                    alive = alive_]() -> WorkPool::Done {
    const Sent sent = Send(spec, *notice, now_ms, surroundings);
    return [this, sink, attempt, sent, alive] {
      if (*alive) OnSent(sink, attempt, sent);
    };
  });
}

void Notifier::OnSent(const std::string& sink, uint64_t attempt, const Sent& sent) {
  const auto found = sinks_.find(sink);
  if (found == sinks_.end() || found->second->attempt != attempt) return;
  SinkState& state = *found->second;
  state.attempt = 0;
  Delivery& current = *state.current;
  const bool is_last = current.attempts >= current.most_attempts;
  const auto result =
      sent.result == Sent::Result::kRetry && is_last ? Sent::Result::kFailed : sent.result;
  state.last = {{"id", current.notice->id},
                {"type", current.notice->type},
                {"at", FormatTimeMs(options_.clock.WallMs())},
                {"attempts", current.attempts},
                {"result", Name(result)},
                {"detail", sent.detail}};
  if (current.notice->type == kTestType) state.last_test = state.last;
  if (result == Sent::Result::kDelivered) {
    ++state.counts.delivered;
    if (!state.why.empty()) Log("notify").info("sink {}: {} again", sink, sent.detail);
    state.why.clear();
  } else if (result == Sent::Result::kRetry) {
    state.due_ms = options_.clock.MonotonicMs() + DelayMs(current.attempts);
    SetTrouble(
        sink, state,
        fmt::format("attempt {} of {}: {}", current.attempts, current.most_attempts, sent.detail));
    return;
  } else {
    ++state.counts.failed;
    Log("notify").error("sink {}: {} of {} is given up after {} attempts: {}", sink,
                        current.notice->id, current.notice->type, current.attempts, sent.detail);
    SetTrouble(sink, state, "given up: " + sent.detail);
  }
  state.current.reset();
  Pump(sink, state);
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
    if (sink == nullptr) return true;
    const bool is_test = state->current.has_value() && state->current->most_attempts == 1;
    if (!sink->template As<domain::SinkSpec>().enabled && state->attempt == 0 && !is_test) {
      state->waiting.clear();
      state->current.reset();
      state->why.clear();
    }
    Pump(name, *state);
    return false;
  });
}

std::vector<Trouble> Notifier::Troubles() const {
  std::vector<Trouble> troubles;
  for (const auto& [name, state] : sinks_) {
    if (state->why.empty()) continue;
    const size_t waiting = state->waiting.size() + (state->current.has_value() ? 1 : 0);
    troubles.push_back({name, state->since_wall_ms,
                        fmt::format("{}; {} waiting, {} given up, {} dropped", state->why, waiting,
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
  Json json = {{"waiting", state.waiting.size() + (state.current.has_value() ? 1 : 0)},
               {"delivered", state.counts.delivered},
               {"failed", state.counts.failed},
               {"dropped", state.counts.dropped}};
  if (!state.last.is_null()) json["last"] = state.last;
  if (!state.last_test.is_null()) json["last_test"] = state.last_test;
  return json;
}

}  // namespace weir::control::notify
