// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include "shared/base/text.h"
#include "tests/unit/shared/transport/bus.h"

namespace weir::transport {
namespace {

class Sockets : public ::testing::Test {
 protected:
  Sockets() { EXPECT_TRUE(bus_.zap_.Allow(bus_.node_keys_.public_key, "node-7").ok()); }

  Bus bus_;
};

TEST_F(Sockets, TelemetryArrivesInOrderWithTheSendersNodeId) {
  const auto server = bus_.Server(Role::kTelemetryServer);
  const auto client = bus_.Client(Role::kTelemetryClient, server->address);
  for (int i = 0; i < 500; ++i) bus_.Send(*client, "batch " + std::to_string(i));
  for (int i = 0; i < 500; ++i) {
    const Message message = server->inbox.At(static_cast<size_t>(i));
    ASSERT_EQ(message.body, "batch " + std::to_string(i));
    ASSERT_EQ(message.user_id, "node-7");
    ASSERT_EQ(message.routing_id, "");
  }
}

TEST_F(Sockets, SessionAnswersTheConnectionThatAsked) {
  const auto server = bus_.Server(Role::kSessionServer);
  const auto first = bus_.Client(Role::kSessionClient, server->address);
  bus_.Send(*first, "hello from first");
  const Message hello = server->inbox.At(0);
  EXPECT_EQ(hello.body, "hello from first");
  EXPECT_EQ(hello.user_id, "node-7");
  const auto second = bus_.Client(Role::kSessionClient, server->address);
  bus_.Send(*second, "hello from second");
  const Message other = server->inbox.At(1);
  EXPECT_NE(other.routing_id, hello.routing_id);
  const std::string large(1'000'000, 's');  // a snapshot
  EXPECT_TRUE(bus_.SendTo(*server, hello.routing_id, "to first").ok());
  EXPECT_TRUE(bus_.SendTo(*server, other.routing_id, large).ok());
  EXPECT_EQ(first->inbox.At(0).body, "to first");
  EXPECT_EQ(second->inbox.At(0).body, large);
  EXPECT_EQ(first->inbox.size(), 1U);
}

TEST_F(Sockets, SendingToAnUnknownOrGonePeerIsAnError) {
  const auto server = bus_.Server(Role::kSessionServer);
  EXPECT_EQ(bus_.SendTo(*server, "nobody", "x").code(), Code::kNotFound);
  const auto client = bus_.Client(Role::kSessionClient, server->address);
  bus_.Send(*client, "hello");
  const std::string routing_id = server->inbox.At(0).routing_id;
  EXPECT_TRUE(bus_.SendTo(*server, routing_id, "x").ok());
  std::promise<void> gone;
  bus_.loop_.Call([&] {
    client->socket->Close();
    bus_.loop_.Every(1, [&, told = false]() mutable {
      if (told || bus_.SendTo(*server, routing_id, "x").code() != Code::kNotFound) return;
      told = true;
      gone.set_value();
    });
  });
  EXPECT_EQ(gone.get_future().wait_for(kDeadline), std::future_status::ready);
  bus_.loop_.Stop();
}

TEST_F(Sockets, ClientWithoutAServerIsToldToTryLater) {
  const auto session = bus_.Client(Role::kSessionClient, "tcp://127.0.0.1:1");
  const auto telemetry = bus_.Client(Role::kTelemetryClient, "tcp://127.0.0.1:1");
  bus_.loop_.Call([&] {
    EXPECT_EQ(session->socket->Send("x").code(), Code::kUnavailable);
    EXPECT_EQ(telemetry->socket->Send("x").code(), Code::kUnavailable);
    const auto received = session->socket->Receive();
    ASSERT_TRUE(received.ok());
    EXPECT_FALSE(received->has_value());
  });
}

TEST_F(Sockets, SubscriberGetsTheWelcomeAndThenWhatItSubscribedTo) {
  const auto publisher = bus_.Server(Role::kCfgPublisher, "welcome!");
  const auto subscriber =
      bus_.Client(Role::kCfgSubscriber, publisher->address, {"welcome", "cfg."});
  const std::vector<std::string> bodies = {publisher->inbox.At(0).body,
                                           publisher->inbox.At(1).body};
  EXPECT_THAT(bodies, ::testing::UnorderedElementsAre("\1welcome", "\1cfg."));
  EXPECT_EQ(publisher->inbox.At(0).user_id, "node-7");
  bus_.Send(*publisher, "other.not subscribed");
  bus_.Send(*publisher, "cfg.delta");
  EXPECT_EQ(subscriber->inbox.At(0).body, "welcome!");
  EXPECT_EQ(subscriber->inbox.At(1).body, "cfg.delta");
}

TEST_F(Sockets, PublisherHearsOfEachPeersSubscriptionAndItsEnd) {
  const auto publisher = bus_.Server(Role::kCfgPublisher);
  const auto first = bus_.Client(Role::kCfgSubscriber, publisher->address, {"cfg."});
  EXPECT_EQ(publisher->inbox.At(0).body, "\1cfg.");
  const auto second = bus_.Client(Role::kCfgSubscriber, publisher->address, {"cfg."});
  EXPECT_EQ(publisher->inbox.At(1).body, "\1cfg.");
  bus_.loop_.Call([&] { first->socket->Close(); });
  EXPECT_EQ(publisher->inbox.At(2).body, std::string("\0cfg.", 5));
}

TEST_F(Sockets, MultipartMessagesAreDroppedWholeAndCounted) {
  const auto telemetry = bus_.Server(Role::kTelemetryServer);
  RawClient push(bus_.context_, ZMQ_PUSH, bus_.node_keys_, bus_.server_keys_.public_key);
  push.Connect(telemetry->address);
  push.Send({"one", "two", "three"});
  push.Send({"single"});
  EXPECT_EQ(telemetry->inbox.At(0).body, "single");
  EXPECT_EQ(bus_.Malformed(*telemetry), 1U);

  const auto session = bus_.Server(Role::kSessionServer);
  RawClient dealer(bus_.context_, ZMQ_DEALER, bus_.node_keys_, bus_.server_keys_.public_key);
  dealer.Connect(session->address);
  dealer.Send({"", "as a REQ would"});
  dealer.Send({"single"});
  EXPECT_EQ(session->inbox.At(0).body, "single");
  EXPECT_EQ(bus_.Malformed(*session), 1U);
}

TEST_F(Sockets, PublisherDropsAndCountsWhatIsNoSubscription) {
  const auto publisher = bus_.Server(Role::kCfgPublisher);
  RawClient xsub(bus_.context_, ZMQ_XSUB, bus_.node_keys_, bus_.server_keys_.public_key);
  xsub.Connect(publisher->address);
  ASSERT_EQ(xsub.HandshakeOutcome(), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  xsub.Send({"\2 not a subscription"});
  xsub.Send({"\1cfg."});
  EXPECT_EQ(publisher->inbox.At(0).body, "\1cfg.");
  EXPECT_EQ(bus_.Malformed(*publisher), 1U);
}

TEST_F(Sockets, LargestFramePassesAndALargerOneIsRefusedBeforeItLeaves) {
  const auto telemetry = bus_.Server(Role::kTelemetryServer);
  const auto push = bus_.Client(Role::kTelemetryClient, telemetry->address);
  const auto session = bus_.Server(Role::kSessionServer);
  const auto dealer = bus_.Client(Role::kSessionClient, session->address);
  EXPECT_EQ(MaxSendBytes(Role::kTelemetryClient), 256U * 1024);
  EXPECT_EQ(MaxSendBytes(Role::kSessionClient), 64U * 1024);
  EXPECT_EQ(MaxSendBytes(Role::kSessionServer), 16U * 1024 * 1024);
  bus_.Send(*push, std::string(256 * 1024, 'x'));
  EXPECT_EQ(telemetry->inbox.At(0).body.size(), 256U * 1024);
  bus_.Send(*dealer, std::string(64 * 1024, 'x'));
  const Message hello = session->inbox.At(0);
  EXPECT_EQ(hello.body.size(), 64U * 1024);
  EXPECT_TRUE(bus_.SendTo(*session, hello.routing_id, std::string(16 * 1024 * 1024, 'x')).ok());
  EXPECT_EQ(dealer->inbox.At(0).body.size(), 16U * 1024 * 1024);
  bus_.loop_.Call([&] {
    EXPECT_EQ(push->socket->Send(std::string(256 * 1024 + 1, 'x')).code(),
              Code::kResourceExhausted);
    EXPECT_EQ(dealer->socket->Send(std::string(64 * 1024 + 1, 'x')).code(),
              Code::kResourceExhausted);
  });
}

TEST_F(Sockets, PeerThatSendsTooLargeAFrameIsDisconnected) {
  const auto telemetry = bus_.Server(Role::kTelemetryServer);
  RawClient push(bus_.context_, ZMQ_PUSH, bus_.node_keys_, bus_.server_keys_.public_key);
  push.Connect(telemetry->address);
  ASSERT_EQ(push.HandshakeOutcome(), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
  push.Send({std::string(256 * 1024 + 1024, 'x')});
  EXPECT_EQ(push.WaitForEvent(ZMQ_EVENT_DISCONNECTED), ZMQ_EVENT_DISCONNECTED);
  const auto honest = bus_.Client(Role::kTelemetryClient, telemetry->address);
  bus_.Send(*honest, "small");
  EXPECT_EQ(telemetry->inbox.At(0).body, "small");
}

TEST_F(Sockets, CallbackMayUnwatchAndCloseItsOwnSocket) {
  const auto server = bus_.Server(Role::kTelemetryServer);
  const auto client = bus_.Client(Role::kTelemetryClient, server->address);
  std::promise<void> closed;
  bus_.loop_.Call([&] {
    bus_.loop_.Watch(*server->socket, [&] {
      bus_.loop_.Unwatch(*server->socket);
      server->socket.reset();
      closed.set_value();  // a second call would throw
    });
  });
  bus_.Send(*client, "x");
  EXPECT_EQ(closed.get_future().wait_for(kDeadline), std::future_status::ready);
  EXPECT_TRUE(bus_.loop_.Call([] {}));
}

TEST_F(Sockets, WatchFollowsAMovedSocketAndCallsAgainUntilDrained) {
  const auto server = bus_.Server(Role::kTelemetryServer);
  const auto client = bus_.Client(Role::kTelemetryClient, server->address);
  bus_.loop_.Call([&] {
    bus_.loop_.Watch(*server->socket, [&] {
      EXPECT_TRUE(
          server->socket->Drain([&](Message m) { server->inbox.Put(std::move(m)); }, 1).ok());
    });
    Socket moved = std::move(*server->socket);
    EXPECT_FALSE(server->socket->IsOpen());
    *server->socket = std::move(moved);
  });
  for (int i = 0; i < 50; ++i) bus_.Send(*client, std::to_string(i));
  EXPECT_EQ(server->inbox.At(49).body, "49");
}

TEST_F(Sockets, AddressInUseAndAddressesThatCannotBeAreSaid) {
  const auto server = bus_.Server(Role::kTelemetryServer);
  bus_.loop_.Call([&] {
    auto second = *Socket::OpenServer(bus_.context_, Role::kTelemetryServer, bus_.server_keys_);
    const Status in_use = second.Bind(server->address);
    EXPECT_EQ(in_use.code(), Code::kFailedPrecondition);
    EXPECT_NE(in_use.message().find(server->address), std::string::npos);
    EXPECT_EQ(second.Bind("192.0.2.1:0").code(), Code::kInvalidArgument);
    EXPECT_EQ(second.Bind("nonsense").code(), Code::kInvalidArgument);
    EXPECT_EQ(second.BoundAddress().status().code(), Code::kFailedPrecondition);
    second.Close();
    second.Close();
    EXPECT_EQ(second.Bind("127.0.0.1:0").code(), Code::kFailedPrecondition);
    EXPECT_EQ(second.Receive().status().code(), Code::kFailedPrecondition);
  });
  const KeyPair wrong{"too short", "too short"};
  EXPECT_EQ(Socket::OpenServer(bus_.context_, Role::kTelemetryServer, wrong).status().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(Socket::OpenClient(bus_.context_, Role::kTelemetryClient, bus_.node_keys_, "too short")
                .status()
                .code(),
            Code::kInvalidArgument);
}

TEST_F(Sockets, SpeakOverIpcToo) {
  const std::string path = ::testing::TempDir() + "weir-ipc-" + RandomHex(6);
  auto server = std::make_unique<Peer>(bus_.loop_);
  bus_.loop_.Call([&] {
    server->socket = std::make_unique<Socket>(
        *Socket::OpenServer(bus_.context_, Role::kTelemetryServer, bus_.server_keys_));
    ASSERT_TRUE(server->socket->Bind("ipc://" + path).ok());
    EXPECT_EQ(*server->socket->BoundAddress(), "ipc://" + path);
    bus_.loop_.Watch(*server->socket, [&] {
      EXPECT_TRUE(server->socket->Drain([&](Message m) { server->inbox.Put(std::move(m)); }).ok());
    });
  });
  const auto client = bus_.Client(Role::kTelemetryClient, "ipc://" + path);
  bus_.Send(*client, "over ipc");
  EXPECT_EQ(server->inbox.At(0).body, "over ipc");
  EXPECT_EQ(server->inbox.At(0).user_id, "node-7");
  server.reset();
  std::filesystem::remove(path);
}

TEST(ContextLimits, SoftLimitOfOpenFilesIsRaised) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = std::min<rlim_t>(256, before.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const Context context;
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, std::min<rlim_t>(before.rlim_max, 65536));
}

}  // namespace
}  // namespace weir::transport
