// SPDX-License-Identifier: Apache-2.0
// The bus with real sockets on loopback.
#include "controlplane/publish/bus.h"

#include "tests/unit/controlplane/publish/bus_fixture.h"

namespace weir::control::publish {
namespace {

using ::testing::HasSubstr;

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
