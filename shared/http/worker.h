// SPDX-License-Identifier: Apache-2.0
// Internal: one thread with its event loop and its connections.
#pragma once

#include <utility>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shared/base/executor.h"
#include "shared/http/server.h"

namespace weir::http::internal {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

class TlsContext;

// A number that one thread writes and any thread reads.
class Counter {
 public:
  void Add(uint64_t n) { value_.store(Get() + n, std::memory_order_relaxed); }
  uint64_t Get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct WorkerCounters {
  Counter requests, ended, malformed, oversize, headers, busy, header_timeouts, request_timeouts,
      handshakes;
};

// What all workers share: constant from Start on, but for in_flight.
struct Shared {
  ServerOptions options;
  Handler handler;
  std::function<void(int)> idle_hook;
  std::atomic<size_t> in_flight{0};  // counted only with max_concurrent_requests
};

class Worker : public Executor {
 public:
  Worker(int index, Shared* shared);

  // Any thread.
  void Post(std::function<void()> task) override;
  void Start();
  // Closes every connection, ends the loop and joins the thread.
  void Stop();
  asio::io_context& context() { return context_; }
  int index() const { return index_; }
  // The acceptor counts a connection in, its worker counts it out.
  std::atomic<size_t> open{0};
  WorkerCounters counters;

  // The worker's thread.
  bool OnThread() const { return std::this_thread::get_id() == thread_id_; }
  // The idle hook runs once after what is ready now.
  void ArmHook();
  // Before Start, or on the worker's thread: of connections from now on; null: in the clear.
  void SetTls(std::shared_ptr<const TlsContext> tls) { tls_ = std::move(tls); }
  const TlsContext* tls() const { return tls_.get(); }
  void Adopt(Tcp::socket socket, std::string remote, bool refuse);
  void Remove(Session* session);
  // Closes idle connections; `drained` is called as soon as there is none left.
  void Drain(std::function<void()> drained);
  bool draining() const { return draining_; }
  int64_t now_ms() const { return now_ms_; }  // up to one tick old
  // When something that starts now has lasted `timeout_ms`, never too early.
  int64_t DeadlineAfter(int64_t timeout_ms) const { return now_ms_ + timeout_ms + tick_ms_; }
  const std::string& common_header() const { return common_header_; }
  Shared& shared() { return shared_; }

 private:
  void Run();
  void Tick();
  void RefreshTime();

  // Constant after construction.
  const int index_;
  Shared& shared_;
  const int64_t tick_ms_;

  // The worker's thread.
  asio::io_context context_{1};
  asio::steady_timer timer_;
  std::vector<std::shared_ptr<Session>> sessions_;
  std::vector<std::shared_ptr<Session>> expired_;
  std::shared_ptr<const TlsContext> tls_;
  int64_t now_ms_ = 0;
  int64_t second_ = 0;
  std::string common_header_;  // "Server: weir\r\nDate: …\r\n"
  bool draining_ = false;
  bool hook_armed_ = false;
  std::thread::id thread_id_;
  std::function<void()> drained_;

  std::thread thread_;
};

}  // namespace weir::http::internal
