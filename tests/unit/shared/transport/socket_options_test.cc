// SPDX-License-Identifier: Apache-2.0
// The wire contract's table of socket options, row by row, as libzmq says that they stand.
#include "shared/transport/socket_options.h"

#include <gtest/gtest.h>
#include <zmq.h>

#include <array>
#include <vector>

namespace weir::transport {
namespace {

const std::vector<Role> kRoles = {Role::kCfgPublisher,    Role::kCfgSubscriber,
                                  Role::kSessionServer,   Role::kSessionClient,
                                  Role::kTelemetryServer, Role::kTelemetryClient};

class SocketOptions : public ::testing::Test {
 protected:
  template <class T = int>
  T Get(Role role, int option) {
    void* const handle = zmq_socket(context_.handle(), ZmqType(role));
    EXPECT_TRUE(SetRoleOptions(handle, role).ok());
    if (IsServer(role)) {
      EXPECT_TRUE(SetCurveServer(handle, keys_).ok());
    }
    T value{};
    size_t size = sizeof(value);
    EXPECT_EQ(zmq_getsockopt(handle, option, &value, &size), 0) << option;
    zmq_close(handle);
    return value;
  }

  Context context_;
  const KeyPair keys_ = *GenerateKeyPair();
};

TEST_F(SocketOptions, MarksBoundWhatASlowPeerHolds) {
  EXPECT_EQ(Get(Role::kCfgPublisher, ZMQ_SNDHWM), 64);
  EXPECT_EQ(Get(Role::kCfgPublisher, ZMQ_RCVHWM), 64);
  EXPECT_EQ(Get(Role::kCfgSubscriber, ZMQ_RCVHWM), 256);
  EXPECT_EQ(Get(Role::kTelemetryServer, ZMQ_RCVHWM), 64);
  EXPECT_EQ(Get(Role::kSessionServer, ZMQ_RCVHWM), 1000);
}

TEST_F(SocketOptions, NoRoleTakesAFrameOfAnySize) {
  constexpr int64_t kCurve = 64;
  EXPECT_EQ(Get<int64_t>(Role::kCfgSubscriber, ZMQ_MAXMSGSIZE), (16 << 20) + kCurve);
  EXPECT_EQ(Get<int64_t>(Role::kSessionClient, ZMQ_MAXMSGSIZE), (16 << 20) + kCurve);
  EXPECT_EQ(Get<int64_t>(Role::kSessionServer, ZMQ_MAXMSGSIZE), (64 << 10) + kCurve);
  EXPECT_EQ(Get<int64_t>(Role::kTelemetryServer, ZMQ_MAXMSGSIZE), (256 << 10) + kCurve);
  EXPECT_EQ(Get<int64_t>(Role::kTelemetryClient, ZMQ_MAXMSGSIZE), (64 << 10) + kCurve);
  EXPECT_EQ(Get<int64_t>(Role::kCfgPublisher, ZMQ_MAXMSGSIZE), (1 << 10) + kCurve);
}

TEST_F(SocketOptions, DeadPeersAreNoticed) {
  for (const Role role : kRoles) {
    const bool telemetry = role == Role::kTelemetryServer || role == Role::kTelemetryClient;
    EXPECT_EQ(Get(role, ZMQ_HEARTBEAT_IVL), telemetry ? 5000 : 2000);
    EXPECT_EQ(Get(role, ZMQ_HEARTBEAT_TIMEOUT), telemetry ? 20'000 : 6000);
    EXPECT_EQ(Get(role, ZMQ_HEARTBEAT_TTL), telemetry ? 30'000 : 10'000);
    EXPECT_EQ(Get(role, ZMQ_TCP_KEEPALIVE), 1);
    EXPECT_EQ(Get(role, ZMQ_TCP_KEEPALIVE_IDLE), 30);
    EXPECT_EQ(Get(role, ZMQ_TCP_KEEPALIVE_INTVL), 10);
    EXPECT_EQ(Get(role, ZMQ_TCP_KEEPALIVE_CNT), 3);
  }
}

TEST_F(SocketOptions, HerdsAreSpreadAndHandshakesEnd) {
  for (const Role role : kRoles) {
    EXPECT_GE(Get(role, ZMQ_RECONNECT_IVL), 200);
    EXPECT_LT(Get(role, ZMQ_RECONNECT_IVL), 300);
    EXPECT_EQ(Get(role, ZMQ_RECONNECT_IVL_MAX), 5000);
    EXPECT_EQ(Get(role, ZMQ_BACKLOG), 4096);
    EXPECT_EQ(Get(role, ZMQ_HANDSHAKE_IVL), 5000);
  }
}

TEST_F(SocketOptions, NothingQueuesForTheDeadOrHoldsUpTheEnd) {
  EXPECT_EQ(Get(Role::kSessionClient, ZMQ_IMMEDIATE), 1);
  EXPECT_EQ(Get(Role::kTelemetryClient, ZMQ_IMMEDIATE), 1);
  for (const Role role : kRoles)
    EXPECT_EQ(Get(role, ZMQ_LINGER), role == Role::kTelemetryClient ? 1000 : 0);
}

TEST_F(SocketOptions, NobodyTakesOverAnothersRoutingId) {
  for (const Role role : {Role::kSessionClient, Role::kTelemetryClient}) {
    void* const handle = zmq_socket(context_.handle(), ZmqType(role));
    ASSERT_TRUE(SetRoleOptions(handle, role).ok());
    char id[256];
    size_t size = sizeof(id);
    ASSERT_EQ(zmq_getsockopt(handle, ZMQ_ROUTING_ID, id, &size), 0);
    EXPECT_EQ(size, 0u);
    zmq_close(handle);
  }
}

TEST_F(SocketOptions, ServersAskTheZapHandlerOfTheirDomainAndLetNobodyInWithoutIt) {
  constexpr int kEnforceDomain = 93;  // not in the public header of libzmq 4.3.4
  for (const Role role : kRoles) {
    if (!IsServer(role)) continue;
    EXPECT_EQ(Get(role, ZMQ_CURVE_SERVER), 1);
    EXPECT_EQ(Get(role, kEnforceDomain), 1);
    using Text = std::array<char, 16>;
    EXPECT_STREQ(Get<Text>(role, ZMQ_ZAP_DOMAIN).data(), "weir");
  }
}

}  // namespace
}  // namespace weir::transport
