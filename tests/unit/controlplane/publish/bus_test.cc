// SPDX-License-Identifier: Apache-2.0
// The bus with real sockets on loopback.
#include "controlplane/publish/bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "shared/wire/telemetry_body.h"

namespace weir::control::publish {
namespace {

using ::testing::HasSubstr;
using transport::Role;

constexpr uint64_t kEpoch = 1'763'683'200;
constexpr int64_t kDeadlineMs = 20'000;

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

  BusOptions Options() {
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

TEST_F(BusTest, ANodeJoinsFollowsCountsAndIsAcknowledged) {
  StartBus();
  auto cfg = Connect(Role::kCfgSubscriber, node_, bus_->addresses().cfg);
  for (const char* topic : {"c", "e", "b"}) ASSERT_TRUE(cfg.Subscribe(topic).ok());
  auto session = Connect(Role::kSessionClient, node_, bus_->addresses().session);
  auto telemetry = Connect(Role::kTelemetryClient, node_, bus_->addresses().telemetry);
  Send(session, wire::Topic::kSession, wire::Type::kHello, HelloOf("n1"));
  Receive(session, wire::Type::kWelcome);
  const std::string snapshot = Receive(session, wire::Type::kSnapshot);
  EXPECT_EQ(wire::DecodeFrame(snapshot)->header.version, 5u);
  views_.Wait([](const auto& view) { return view->LiveCount() == 1; });
  Receive(cfg, wire::Type::kBeacon);

  catalog::Committed committed;
  committed.revision = 6;
  committed.entries = {{domain::EntryKind::kFlag, "b", "2"}};
  bus_->Publish(committed);
  EXPECT_EQ(wire::DecodeFrame(Receive(cfg, wire::Type::kDelta))->header.version, 6u);

  Send(telemetry, wire::Topic::kTelemetry, wire::Type::kBatch, BatchOf("n1", 1));
  const auto tick = ticks_.Wait([](const auto& t) { return !t.high_waters.empty(); });
  EXPECT_EQ(tick.live.begin()->second.Counter("requests"), 1u);
  EXPECT_EQ(tick.high_waters.at({"n1", 9}).seq, 1u);
  bus_->Acknowledge(tick.high_waters);
  const std::string ack = Receive(session, wire::Type::kBatchAck);
  EXPECT_EQ(wire::Decode<wire::BatchAck>(*wire::DecodeFrame(ack))->committed, 1u);
  Send(telemetry, wire::Topic::kTelemetry, wire::Type::kBatch, BatchOf("n1", 1));
  Receive(session, wire::Type::kBatchAck);  // again, and counted nowhere
}

TEST_F(BusTest, WhatSpeaksForAnotherNodeIsRefusedOnBothChannels) {
  StartBus();
  auto session = Connect(Role::kSessionClient, node_, bus_->addresses().session);
  auto telemetry = Connect(Role::kTelemetryClient, node_, bus_->addresses().telemetry);
  Send(session, wire::Topic::kSession, wire::Type::kHello, HelloOf("n2"));
  Receive(session, wire::Type::kRefused);
  Send(telemetry, wire::Topic::kTelemetry, wire::Type::kBatch, BatchOf("n2", 1));
  const auto counters = counters_.Wait([](const auto& c) { return c.frames_refused == 2; });
  EXPECT_EQ(counters.batches.applied, 0u);
}

TEST_F(BusTest, AKeyIsLetInOnceItIsAllowedAndANodesOldKeyNoMore) {
  StartBus();
  const auto fresh = *transport::GenerateKeyPair();
  ASSERT_TRUE(bus_->Allow("n1", fresh.public_key).ok());
  auto session = Connect(Role::kSessionClient, fresh, bus_->addresses().session);
  Send(session, wire::Topic::kSession, wire::Type::kHello, HelloOf("n1"));
  Receive(session, wire::Type::kWelcome);
  auto old = Connect(Role::kSessionClient, node_, bus_->addresses().session);
  counters_.Wait([](const auto& c) { return c.handshakes_denied >= 1; });
}

TEST_F(BusTest, AnAddressInUseIsNamedAndNothingRuns) {
  StartBus();
  BusOptions options = Options();
  options.session_listen = bus_->addresses().session;
  // A context of its own, as a second process has.
  transport::Context other;
  Bus second(other, Listen());
  const Status status = second.Start(options, {}, 0, {}, {});
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_EQ(status.field(), "session_listen");
  EXPECT_THAT(status.message(), HasSubstr("in use"));
}

}  // namespace
}  // namespace weir::control::publish
