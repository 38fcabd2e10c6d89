// SPDX-License-Identifier: Apache-2.0
// The bus with real sockets on loopback, and nodes that a test plays.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "controlplane/publish/bus.h"
#include "shared/wire/telemetry_body.h"
#include "tests/unit/controlplane/publish/model_node.h"

namespace weir::control::publish {
using transport::Role;

inline constexpr int64_t kDeadlineMs = 20'000;

// What the bus told, for a test that waits.
template <class T>
class Inbox {
 public:
  void Put(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    condition_.notify_all();
  }
  // The first value that fits, dropping those before it; fails the test at the deadline.
  T Wait(const std::function<bool(const T&)>& fits) {
    std::unique_lock lock(mutex_);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kDeadlineMs);
    while (true) {
      while (!values_.empty()) {
        T value = std::move(values_.front());
        values_.pop_front();
        if (fits(value)) return value;
      }
      if (condition_.wait_until(lock, until) == std::cv_status::timeout) {
        ADD_FAILURE() << "it did not come";
        return T();
      }
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  std::deque<T> values_;
};

class BusTest : public ::testing::Test {
 protected:
  BusTest() : server_(*transport::GenerateKeyPair()), node_(*transport::GenerateKeyPair()) {}

  virtual BusOptions Options() {
    return {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0",
            server_,       kEpoch,        {{"n1", node_.public_key}}};
  }
  Bus::Listener Listen() {
    return {[this](auto view) { views_.Put(std::move(view)); }, [](const AppliedEvent&) {},
            [this](ingest::TelemetryTick tick) { ticks_.Put(std::move(tick)); },
            [this](const BusCounters& counters) { counters_.Put(counters); }};
  }
  void StartBus() {
    bus_ = std::make_unique<Bus>(context_, Listen());
    const Status status = bus_->Start(Options(), {{domain::EntryKind::kFlag, "a", "1"}}, 5, {}, {});
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  transport::Socket Connect(Role role, const transport::KeyPair& keys, const std::string& address) {
    auto socket = transport::Socket::OpenClient(context_, role, keys, server_.public_key);
    EXPECT_TRUE(socket.ok() && socket->Connect(address).ok());
    return *std::move(socket);
  }
  template <class Body>
  void Send(transport::Socket& socket, wire::Topic topic, wire::Type type, const Body& body) {
    wire::Header header;
    header.topic = topic;
    header.type = type;
    const std::string frame = wire::Encode(header, body);
    const int64_t until = Clock::System().MonotonicMs() + kDeadlineMs;
    while (!socket.Send(frame).ok()) {  // until the handshake is over
      ASSERT_LT(Clock::System().MonotonicMs(), until);
      ::poll(nullptr, 0, 5);
    }
  }
  std::string Receive(transport::Socket& socket, wire::Type type) {
    const int64_t until = Clock::System().MonotonicMs() + kDeadlineMs;
    while (Clock::System().MonotonicMs() < until) {
      const auto message = socket.Receive();
      if (!message.ok() || !message->has_value()) {
        ::poll(nullptr, 0, 5);
      } else if (wire::DecodeFrame((*message)->body)->header.type == type) {
        return (*message)->body;
      }
    }
    ADD_FAILURE() << "no frame of type " << static_cast<int>(type);
    return "";
  }
  wire::Hello HelloOf(const std::string& node) {
    wire::Hello hello;
    hello.node = node;
    hello.incarnation = 9;
    return hello;
  }
  wire::Batch BatchOf(const std::string& node, uint64_t seq) {
    telemetry::Series series;
    series.counters["requests"] = 1;
    series.latency.Add(5);
    series.latency_digest.Add(5);
    wire::Batch batch;
    batch.node = node;
    batch.incarnation = 9;
    batch.seq = seq;
    batch.series.push_back(wire::ToWire({"model/m", "1", "stable"}, series));
    return batch;
  }

  transport::Context context_;
  const transport::KeyPair server_, node_;
  Inbox<std::shared_ptr<const NodesView>> views_;
  Inbox<ingest::TelemetryTick> ticks_;
  Inbox<BusCounters> counters_;
  std::unique_ptr<Bus> bus_;
};

}  // namespace weir::control::publish
