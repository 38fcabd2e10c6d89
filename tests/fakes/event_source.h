// SPDX-License-Identifier: Apache-2.0
// A client of one event stream (text/event-stream), reading on a thread of its own until it is
// closed or the server ends the stream. Everything else on the test's thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "shared/http/client.h"

namespace weir::fakes {

struct Event {
  std::string id;
  std::string event;
  std::string data;
};

class EventSource {
 public:
  EventSource(const std::string& address, const std::string& target,
              const std::vector<http::Header>& headers = {})
      : thread_([this, address, target, headers] { Run(address, target, headers); }) {}
  // Waits for the next piece, or for the stream's end: destroy it after the server has ended.
  ~EventSource() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    thread_.join();
  }
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;

  // The next event with data that was not taken yet; absent if none comes in time.
  std::optional<Event> Next(int64_t deadline_ms = 10'000) {
    std::unique_lock lock(mutex_);
    if (!Wait(lock, deadline_ms, [&] { return taken_ < events_.size(); })) return std::nullopt;
    return events_[taken_++];
  }
  // Whether so many bytes, comments included, have come.
  bool HasText(std::string_view text, int64_t deadline_ms = 10'000) {
    std::unique_lock lock(mutex_);
    return Wait(lock, deadline_ms, [&] { return text_.find(text) != std::string::npos; });
  }
  // Whether the server ended the stream; its status then.
  std::optional<Status> End(int64_t deadline_ms = 10'000) {
    std::unique_lock lock(mutex_);
    Wait(lock, deadline_ms, [&] { return end_.has_value(); });
    return end_;
  }
  // Events with data that came and were not taken.
  size_t waiting() {
    const std::lock_guard lock(mutex_);
    return events_.size() - taken_;
  }
  // What a reconnecting client would show.
  std::string last_id() {
    const std::lock_guard lock(mutex_);
    return last_id_;
  }

 private:
  template <class Condition>
  bool Wait(std::unique_lock<std::mutex>& lock, int64_t deadline_ms, Condition condition) {
    return changed_.wait_for(lock, std::chrono::milliseconds(deadline_ms), condition);
  }

  void Run(const std::string& address, const std::string& target,
           const std::vector<http::Header>& headers) {
    http::ClientOptions options;
    options.timeout_ms = 0;
    http::Client client(address, options);
    const Status status = client.Stream(target, headers, [&](std::string_view piece) {
      const std::lock_guard lock(mutex_);
      text_.append(piece);
      Parse();
      changed_.notify_all();
      return !closed_;
    });
    const std::lock_guard lock(mutex_);
    end_ = status;
    changed_.notify_all();
  }

  void Parse() {
    size_t end = 0;
    while ((end = text_.find("\n\n", parsed_)) != std::string::npos) {
      Event event;
      std::string_view block = std::string_view(text_).substr(parsed_, end - parsed_);
      parsed_ = end + 2;
      while (!block.empty()) {
        const std::string_view line = block.substr(0, block.find('\n'));
        block.remove_prefix(std::min(line.size() + 1, block.size()));
        if (line.starts_with("id: ")) last_id_ = event.id = line.substr(4);
        if (line.starts_with("event: ")) event.event = line.substr(7);
        if (line.starts_with("data: ")) event.data = line.substr(6);
      }
      if (!event.data.empty()) events_.push_back(std::move(event));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  size_t parsed_ = 0;
  std::string last_id_;
  std::vector<Event> events_;
  size_t taken_ = 0;
  std::optional<Status> end_;
  bool closed_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace weir::fakes
