// SPDX-License-Identifier: Apache-2.0
// Who gets in: a ZAP handler that is present or absent, for a key that it knows or does not.
#include "shared/transport/zap.h"

#include <gtest/gtest.h>

#include "tests/unit/shared/transport/bus.h"

namespace weir::transport {
namespace {

int Outcome(Bus& bus, const std::string& address, const KeyPair& keys) {
  RawClient client(bus.context_, ZMQ_PUSH, keys, bus.server_keys_.public_key);
  client.Connect(address);
  return client.HandshakeOutcome();
}

TEST(Zap, HandlerAdmitsAnAllowedKeyUnderItsNodeId) {
  Bus bus;
  ASSERT_TRUE(bus.zap_.Allow(bus.node_keys_.public_key, "node-7").ok());
  const auto server = bus.Server(Role::kTelemetryServer);
  RawClient client(bus.context_, ZMQ_PUSH, bus.node_keys_, bus.server_keys_.public_key);
  client.Connect(server->address);
  EXPECT_EQ(client.HandshakeOutcome(), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  client.Send({"batch"});
  EXPECT_EQ(server->inbox.At(0).user_id, "node-7");
  EXPECT_EQ(bus.zap_.denied_count(), 0U);
}

TEST(Zap, HandlerRefusesAnUnknownKey) {
  for (const Role role : {Role::kCfgPublisher, Role::kSessionServer, Role::kTelemetryServer}) {
    Bus bus;
    const auto server = bus.Server(role);
    RawClient client(bus.context_,
                     role == Role::kCfgPublisher    ? ZMQ_SUB
                     : role == Role::kSessionServer ? ZMQ_DEALER
                                                    : ZMQ_PUSH,
                     bus.node_keys_, bus.server_keys_.public_key);
    client.Connect(server->address);
    EXPECT_EQ(client.HandshakeOutcome(), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    EXPECT_EQ(bus.zap_.denied_count(), 1U);
  }
}

TEST(Zap, WithoutAHandlerNobodyGetsInNotEvenAnAllowedKey) {
  Bus bus(/*with_zap=*/false);
  ZapHandler stopped;  // knows the key, but does not serve
  ASSERT_TRUE(stopped.Allow(bus.node_keys_.public_key, "node-7").ok());
  for (const Role role : {Role::kCfgPublisher, Role::kSessionServer, Role::kTelemetryServer}) {
    const auto server = bus.Server(role);
    for (const KeyPair& keys : {bus.node_keys_, *GenerateKeyPair()}) {
      RawClient client(bus.context_,
                       role == Role::kCfgPublisher    ? ZMQ_SUB
                       : role == Role::kSessionServer ? ZMQ_DEALER
                                                      : ZMQ_PUSH,
                       keys, bus.server_keys_.public_key);
      client.Connect(server->address);
      const int outcome = client.HandshakeOutcome();
      EXPECT_NE(outcome, 0) << "the handshake did not end";
      EXPECT_NE(outcome, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    }
  }
}

TEST(Zap, AfterStopNobodyGetsIn) {
  Bus bus;
  ASSERT_TRUE(bus.zap_.Allow(bus.node_keys_.public_key, "node-7").ok());
  const auto server = bus.Server(Role::kTelemetryServer);
  EXPECT_EQ(Outcome(bus, server->address, bus.node_keys_), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  bus.zap_.Stop();
  bus.zap_.Stop();
  const int outcome = Outcome(bus, server->address, bus.node_keys_);
  EXPECT_NE(outcome, 0);
  EXPECT_NE(outcome, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

TEST(Zap, RevokedKeyIsRefusedAtItsNextConnection) {
  Bus bus;
  const KeyPair other = *GenerateKeyPair();
  ASSERT_TRUE(bus.zap_.Allow(bus.node_keys_.public_key, "node-7").ok());
  ASSERT_TRUE(bus.zap_.Allow(other.public_key, "node-8").ok());
  const auto server = bus.Server(Role::kTelemetryServer);
  EXPECT_EQ(Outcome(bus, server->address, bus.node_keys_), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  bus.zap_.Revoke(bus.node_keys_.public_key);
  EXPECT_EQ(Outcome(bus, server->address, bus.node_keys_), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
  EXPECT_EQ(bus.zap_.denied_count(), 1U);
  EXPECT_EQ(Outcome(bus, server->address, other), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  ASSERT_TRUE(bus.zap_.Allow(bus.node_keys_.public_key, "node-7").ok());
  EXPECT_EQ(Outcome(bus, server->address, bus.node_keys_), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

TEST(Zap, WrongServerKeyNeverCompletes) {
  Bus bus;
  ASSERT_TRUE(bus.zap_.Allow(bus.node_keys_.public_key, "node-7").ok());
  const auto server = bus.Server(Role::kTelemetryServer);
  RawClient client(bus.context_, ZMQ_PUSH, bus.node_keys_, GenerateKeyPair()->public_key);
  client.Connect(server->address);
  const int outcome = client.HandshakeOutcome();
  EXPECT_NE(outcome, 0);
  EXPECT_NE(outcome, ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

// Asks the handler directly, as a server socket of another mechanism or domain would.
std::string Verdict(Context& context, const std::vector<std::string>& request) {
  void* const asker = zmq_socket(context.handle(), ZMQ_REQ);
  const int wait_ms = 20'000;
  zmq_setsockopt(asker, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
  EXPECT_EQ(zmq_connect(asker, "inproc://zeromq.zap.01"), 0);
  for (size_t i = 0; i < request.size(); ++i) {
    zmq_send(asker, request[i].data(), request[i].size(), i + 1 < request.size() ? ZMQ_SNDMORE : 0);
  }
  std::string status;
  for (int part = 0; part < 6; ++part) {
    char text[256];
    const int size = zmq_recv(asker, text, sizeof(text), 0);
    EXPECT_GE(size, 0);
    if (part == 2 && size > 0) status.assign(text, static_cast<size_t>(size));
  }
  zmq_close(asker);
  return status;
}

TEST(Zap, TakesCurveInItsOwnDomainAndNothingElse) {
  Bus bus;
  ASSERT_TRUE(bus.zap_.Allow(bus.node_keys_.public_key, "node-7").ok());
  const std::string key = *DecodeKey(bus.node_keys_.public_key);
  Context& context = bus.context_;
  EXPECT_EQ(Verdict(context, {"1.0", "1", "weir", "127.0.0.1", "", "CURVE", key}), "200");
  EXPECT_EQ(Verdict(context, {"1.0", "1", "other", "127.0.0.1", "", "CURVE", key}), "400");
  EXPECT_EQ(Verdict(context, {"1.0", "1", "", "127.0.0.1", "", "CURVE", key}), "400");
  EXPECT_EQ(Verdict(context, {"1.0", "1", "weir", "127.0.0.1", "", "NULL"}), "400");
  EXPECT_EQ(Verdict(context, {"1.0", "1", "weir", "127.0.0.1", "", "PLAIN", "user", "pass"}),
            "400");
  EXPECT_EQ(Verdict(context, {"1.0", "1", "weir", "127.0.0.1", "", "CURVE", key.substr(1)}), "400");
  EXPECT_EQ(Verdict(context, {"2.0", "1", "weir", "127.0.0.1", "", "CURVE", key}), "400");
  EXPECT_EQ(Verdict(context, {"rubbish"}), "400");
  EXPECT_EQ(bus.zap_.denied_count(), 7U);
}

TEST(Zap, RefusesASecondHandlerABadKeyAndAStoppedLoop) {
  Bus bus;
  ZapHandler second;
  EXPECT_EQ(second.Start(bus.context_, bus.loop_).code(), Code::kFailedPrecondition);
  EXPECT_EQ(bus.zap_.Allow("not a key", "node-7").code(), Code::kInvalidArgument);
  bus.loop_.Stop();
  bus.zap_.Stop();
  EXPECT_EQ(second.Start(bus.context_, bus.loop_).code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace weir::transport
