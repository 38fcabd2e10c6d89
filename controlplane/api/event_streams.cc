// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/event_streams.h"

#include <utility>

namespace weir::control::api {
namespace {

constexpr int64_t kKeepAliveMs = 10'000;

std::string Dump(const codec::Json& json) {
  return json.dump(-1, ' ', false, codec::Json::error_handler_t::replace);
}

// One line of data: a JSON text has no line breaks of its own.
std::string Frame(const Event& event) {
  return "id: " + event.id + "\nevent: " + event.type + "\ndata: " + Dump(ToJson(event)) + "\n\n";
}

}  // namespace

codec::Json ToJson(const Event& event) {
  return {{"id", event.id},
          {"type", event.type},
          {"at", FormatTimeMs(event.at_wall_ms)},
          {"data", event.data}};
}

EventStreams::EventStreams(EventLog& log, const Clock& clock, PostToWorker post)
    : log_(log), clock_(clock), post_(std::move(post)), kept_alive_ms_(clock.MonotonicMs()) {
  listener_ = log_.AddListener([this](const Event& event) {
    const std::string frame = Frame(event);
    for (const auto& [id, exchange] : streams_) Send(exchange, frame);
  });
}

EventStreams::~EventStreams() { log_.RemoveListener(listener_); }

uint64_t EventStreams::Open(const std::shared_ptr<http::Exchange>& exchange,
                            const std::string& since, std::function<void(uint64_t)> on_close) {
  const uint64_t id = ++last_id_;
  std::string first = ": weir\n\n";
  if (!since.empty()) {
    const EventLog::Tail tail = log_.Since(since);
    if (!tail.complete) first += "event: reset\ndata: {\"reason\":\"events were lost\"}\n\n";
    for (const Event& event : tail.events) first += Frame(event);
  }
  streams_[id] = exchange;
  post_(exchange->worker(),
        [exchange, id, first = std::move(first), on_close = std::move(on_close)] {
          exchange->OnClose([id, on_close] { on_close(id); });
          http::Response head;
          head.content_type = "text/event-stream";
          head.headers.push_back({"Cache-Control", "no-store"});
          exchange->StartStream(std::move(head));
          exchange->Write(first);
        });
  return id;
}

void EventStreams::EndAll() {
  for (const auto& [id, exchange] : streams_) {
    post_(exchange->worker(), [exchange = exchange] { exchange->End(); });
  }
  streams_.clear();
}

void EventStreams::Tick() {
  if (clock_.MonotonicMs() - kept_alive_ms_ < kKeepAliveMs) return;
  kept_alive_ms_ = clock_.MonotonicMs();
  for (const auto& [id, exchange] : streams_) Send(exchange, ": still here\n\n");
}

void EventStreams::Send(const std::shared_ptr<http::Exchange>& exchange, std::string chunk) {
  post_(exchange->worker(), [exchange, chunk = std::move(chunk)] { exchange->Write(chunk); });
}

}  // namespace weir::control::api
