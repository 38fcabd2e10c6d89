// SPDX-License-Identifier: Apache-2.0
// What tests of Upstream stand on: a server whose worker makes the calls, and a listener whose
// connections the test itself answers, byte by byte.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "shared/base/clock.h"
#include "shared/http/server.h"
#include "shared/http/upstream.h"
#include "tests/unit/shared/http/raw_socket.h"

namespace weir::http {

inline int64_t InMs(int64_t ms) { return Clock::System().MonotonicNs() + ms * 1'000'000; }

class Home {
 public:
  explicit Home(UpstreamOptions options, int workers = 1) {
    ServerOptions own;
    own.workers = workers;
    EXPECT_TRUE(server.Start(own, [](const std::shared_ptr<Exchange>&) {}).ok());
    auto made = Upstream::Create(server.worker(0), std::move(options));
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    if (made.ok()) upstream = *std::move(made);
  }

  void OnWorker(std::function<void()> task) {
    std::promise<void> done;
    server.worker(0).Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  // The future stays without a value if the call is cancelled.
  std::future<UpstreamAnswer> Send(UpstreamCall call, uint64_t* id = nullptr) {
    auto promise = std::make_shared<std::promise<UpstreamAnswer>>();
    auto future = promise->get_future();
    OnWorker([&] {
      const uint64_t sent = upstream->Send(
          std::move(call), [promise](UpstreamAnswer a) { promise->set_value(std::move(a)); });
      if (id != nullptr) *id = sent;
    });
    return future;
  }
  std::future<UpstreamAnswer> Post(std::string body, int64_t deadline_ns = InMs(20'000)) {
    return Send({.target = "/x", .body = std::move(body), .deadline_ns = deadline_ns});
  }
  void Cancel(uint64_t id) {
    OnWorker([&] { upstream->Cancel(id); });
  }
  size_t open() {
    size_t n = 0;
    OnWorker([&] { n = upstream->open(); });
    return n;
  }
  size_t busy() {
    size_t n = 0;
    OnWorker([&] { n = upstream->busy(); });
    return n;
  }
  bool Eventually(const std::function<bool()>& holds) {
    const int64_t until = InMs(20'000);
    while (!holds()) {
      if (Clock::System().MonotonicNs() > until) return false;
      OnWorker([] {});
    }
    return true;
  }

  Server server;
  std::shared_ptr<Upstream> upstream;
};

inline UpstreamAnswer Get(std::future<UpstreamAnswer>&& future) {
  if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
    ADD_FAILURE() << "no answer";
    return {};
  }
  return future.get();
}

inline bool IsDropped(std::future<UpstreamAnswer>& future) {  // its promise is gone
  if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) return false;
  try {
    future.get();
  } catch (const std::future_error&) {
    return true;
  }
  return false;
}

class RawListener {
 public:
  explicit RawListener(int backlog = 64) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(listen(fd_, backlog), 0);
    socklen_t size = sizeof at;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  ~RawListener() { close(fd_); }
  RawListener(const RawListener&) = delete;
  RawListener& operator=(const RawListener&) = delete;

  const std::string& address() const { return address_; }
  RawSocket Accept() {
    pollfd entry = {fd_, POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, 20'000), 1) << "nobody connects";
    return RawSocket(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
  }
  bool HasWaiting() const {
    pollfd entry = {fd_, POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
  }

 private:
  int fd_ = -1;
  std::string address_;
};

}  // namespace weir::http
