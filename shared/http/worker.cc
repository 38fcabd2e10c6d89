// SPDX-License-Identifier: Apache-2.0
#include "shared/http/worker.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/http/session.h"
#include "shared/http/stream.h"

namespace weir::http::internal {
namespace {

// A tenth of the shortest time-out: time-outs are at most that much late.
int64_t TickMs(const ServerOptions& options) {
  const int64_t shortest = std::min({options.header_timeout_ms, options.idle_timeout_ms,
                                     options.request_timeout_ms, options.handshake_timeout_ms});
  return std::clamp<int64_t>(shortest / 10, 5, 250);
}

}  // namespace

Worker::Worker(int index, Shared* shared)
    : index_(index), shared_(*shared), tick_ms_(TickMs(shared->options)), timer_(context_) {}

void Worker::Post(std::function<void()> task) {
  asio::post(context_, [this, task = std::move(task)] {
    ArmHook();
    task();
  });
}

void Worker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Worker::Stop() {
  if (!thread_.joinable()) return;
  asio::post(context_, [this] {
    while (!sessions_.empty()) {
      const auto session = sessions_.back();
      session->Close();
    }
    context_.stop();
  });
  thread_.join();
}

void Worker::Run() {
  thread_id_ = std::this_thread::get_id();
  RefreshTime();
  Tick();
  const auto work = asio::make_work_guard(context_);
  while (!context_.stopped()) {
    try {
      context_.run();
    } catch (const std::exception& e) {
      Log("http").error("a task on worker {} threw: {}", index_, e.what());
    } catch (...) {
      Log("http").error("a task on worker {} threw something that is no exception", index_);
    }
  }
}

// Posted behind everything that is ready, and behind what one more look at the sockets brings.
void Worker::ArmHook() {
  if (!shared_.idle_hook || hook_armed_) return;
  hook_armed_ = true;
  asio::post(context_, [this] {
    hook_armed_ = false;
    shared_.idle_hook(index_);
  });
}

void Worker::Adopt(Tcp::socket socket, std::string remote, bool refuse) {
  auto session = std::make_shared<Session>(this, std::move(socket), std::move(remote));
  session->slot = sessions_.size();
  sessions_.push_back(session);
  if (draining_) return session->Close();
  if (refuse) {
    counters.busy.Add(1);
    session->Refuse();
  } else {
    session->Start();
  }
}

void Worker::Remove(Session* session) {
  const size_t slot = session->slot;
  const std::shared_ptr<Session> removed = std::move(sessions_[slot]);
  if (slot + 1 < sessions_.size()) {
    sessions_[slot] = std::move(sessions_.back());
    sessions_[slot]->slot = slot;
  }
  sessions_.pop_back();
  open.fetch_sub(1);
  if (drained_ && open.load() == 0) std::exchange(drained_, nullptr)();
}

void Worker::Drain(std::function<void()> drained) {
  draining_ = true;
  drained_ = std::move(drained);
  const auto sessions = sessions_;
  for (const auto& session : sessions) {
    if (session->Idle()) session->Close();
  }
  if (drained_ && open.load() == 0) std::exchange(drained_, nullptr)();
}

void Worker::Tick() {
  RefreshTime();
  for (const auto& session : sessions_) {
    if (session->Expired(now_ms_)) expired_.push_back(session);
  }
  for (const auto& session : expired_) session->OnDeadline();
  expired_.clear();
  timer_.expires_after(std::chrono::milliseconds(tick_ms_));
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) Tick();
  });
}

void Worker::RefreshTime() {
  const Clock& clock = Clock::System();
  now_ms_ = clock.MonotonicMs();
  const int64_t second = clock.WallMs() / 1000;
  if (second == second_) return;
  second_ = second;
  common_header_ = fmt::format("Server: weir\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n",
                               fmt::gmtime(static_cast<std::time_t>(second)));
}

}  // namespace weir::http::internal
