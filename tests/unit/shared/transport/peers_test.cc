// SPDX-License-Identifier: Apache-2.0
// Peers that go too far, on plain TCP without libzmq, against our server sockets: each is cut and
// counted, memory and descriptors stay bounded, and a good peer beside it goes on.
#include "shared/transport/peers.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <list>

#include "shared/base/text.h"
#include "tests/fakes/raw_peer.h"
#include "tests/unit/shared/transport/bus.h"

namespace weir::transport {
namespace {

using fakes::RawPeer;

constexpr uint64_t kMiB = 1 << 20;

const char* TypeAgainst(Role server) {
  switch (server) {
    case Role::kCfgPublisher:
      return "SUB";
    case Role::kSessionServer:
      return "DEALER";
    default:
      return "PUSH";
  }
}

uint64_t ResidentBytes() {
  uint64_t size = 0;
  uint64_t resident = 0;
  const std::string text = *ReadFile("/proc/self/statm");
  EXPECT_EQ(std::sscanf(text.c_str(), "%lu %lu", &size, &resident), 2);
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

size_t OpenDescriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

Role ClientOf(Role server) {
  switch (server) {
    case Role::kCfgPublisher:
      return Role::kCfgSubscriber;
    case Role::kSessionServer:
      return Role::kSessionClient;
    default:
      return Role::kTelemetryClient;
  }
}

// A node beside the hostile one: what it sends still arrives, what it subscribes to is heard.
class GoodPeer {
 public:
  GoodPeer(Bus& bus, Role role, Peer& server) : server_(server), role_(ClientOf(role)) {
    const KeyPair keys = *GenerateKeyPair();
    EXPECT_TRUE(bus.zap_.Allow(keys.public_key, "good").ok());
    socket_.emplace(*Socket::OpenClient(bus.context_, role_, keys, bus.server_keys_.public_key));
    EXPECT_TRUE(socket_->Connect(server.address).ok());
    Send();
  }
  void Send() {
    const std::string text(1, static_cast<char>('a' + sent_++));
    if (role_ == Role::kCfgSubscriber) {
      EXPECT_TRUE(socket_->Subscribe(text).ok());
    } else {
      const auto until = std::chrono::steady_clock::now() + kDeadline;
      while (!socket_->Send(text).ok() && std::chrono::steady_clock::now() < until)
        ::poll(nullptr, 0, 5);
    }
    while (!::testing::Test::HasFailure()) {
      const Message message = server_.inbox.At(read_++);
      if (message.user_id == "good" && message.body.ends_with(text)) return;
    }
  }

 private:
  Peer& server_;
  const Role role_;
  std::optional<Socket> socket_;
  int sent_ = 0;
  size_t read_ = 0;
};

class HostilePeer : public ::testing::TestWithParam<Role> {
 protected:
  RawPeer Join(Bus& bus, const Peer& server, const KeyPair& keys) {
    RawPeer peer(server.address);
    EXPECT_TRUE(peer.Handshake(keys, bus.server_keys_.public_key, TypeAgainst(GetParam())));
    return peer;
  }
  void SetUp() override { ASSERT_TRUE(bus_.zap_.Allow(bus_.node_keys_.public_key, "bad").ok()); }
  Bus bus_;
};

TEST_P(HostilePeer, MessageThatDoesNotEndIsCutBeforeItFillsTheMemory) {
  const auto server = bus_.Server(GetParam());
  GoodPeer good(bus_, GetParam(), *server);
  // Frames as large as the role takes, so that only their number is wrong.
  const std::string part(GetParam() == Role::kCfgPublisher ? 900 : 60'000, 'x');
  RawPeer bad = Join(bus_, *server, bus_.node_keys_);
  const uint64_t before = ResidentBytes();
  const uint64_t timer = [&] {
    uint64_t id = 0;
    bus_.loop_.Call([&] {
      id = bus_.loop_.Every(50,
                            [&] { server->socket->CheckPeers(bus_.loop_.clock().MonotonicMs()); });
    });
    return id;
  }();
  uint64_t sent = 0;
  uint64_t highest = before;
  while (sent < 4096 * kMiB && bad.SendFrame(part, RawPeer::kMore)) {
    sent += part.size();
    if (sent % (4 * kMiB) < part.size()) highest = std::max(highest, ResidentBytes());
  }
  EXPECT_LT(sent, 4096 * kMiB) << "it was never cut";
  EXPECT_LT(highest - before, 512 * kMiB) << "after " << sent / kMiB << " MiB";
  bus_.WaitForPeers(*server, [](const auto& c) { return c.cut_unfinished == 1 && c.open == 1; });
  good.Send();
  bus_.loop_.Call([&] { bus_.loop_.Cancel(timer); });
}

TEST_P(HostilePeer, LongMessagesThatEndAreNotCut) {
  PeerLimits limits;
  limits.max_unfinished_bytes = 100'000;
  const auto server = bus_.Server(GetParam(), "", limits);
  RawPeer peer = Join(bus_, *server, bus_.node_keys_);
  for (int i = 0; i < 40; ++i) {
    const std::string frame = GetParam() == Role::kCfgPublisher ? "\1c" : std::string(50'000, 'x');
    ASSERT_TRUE(peer.SendFrame(frame));
    server->inbox.At(static_cast<size_t>(i));
    bus_.WaitForPeers(*server, [](const auto&) { return true; });
  }
  bus_.WaitForPeers(*server, [](const auto& c) { return c.cut_unfinished == 0 && c.open == 1; });
}

TEST_P(HostilePeer, CutKeyEndsEveryConnectionOfTheKeyAndNoOther) {
  const auto server = bus_.Server(GetParam());
  GoodPeer good(bus_, GetParam(), *server);
  RawPeer one = Join(bus_, *server, bus_.node_keys_);
  RawPeer two = Join(bus_, *server, bus_.node_keys_);
  ASSERT_TRUE(one.SendFrame("\1c"));
  ASSERT_TRUE(two.SendFrame("\1c"));
  EXPECT_EQ(server->inbox.At(1).key, bus_.node_keys_.public_key);
  EXPECT_EQ(server->inbox.At(2).user_id, "bad");
  bus_.zap_.Revoke(bus_.node_keys_.public_key);
  bus_.loop_.Call([&] { server->socket->CutKey(bus_.node_keys_.public_key); });
  EXPECT_TRUE(one.WaitUntilCut());
  EXPECT_TRUE(two.WaitUntilCut());
  EXPECT_FALSE(
      RawPeer(server->address)
          .Handshake(bus_.node_keys_, bus_.server_keys_.public_key, TypeAgainst(GetParam())));
  const auto counters = bus_.WaitForPeers(*server, [](const auto& c) { return c.open == 1; });
  EXPECT_EQ(counters.cut_by_key, 2u);
  good.Send();
}

TEST_P(HostilePeer, GarbageInsteadOfAHandshakeIsCounted) {
  const auto server = bus_.Server(GetParam());
  const std::string garbage[] = {
      "GET / HTTP/1.1\r\nHost: weir\r\n\r\n" + std::string(64, 'x'),
      std::string(4096, '\xff'),
      RawPeer::Greeting("NULL"),                     // without any key
      RawPeer::Greeting() + std::string(300, '\4'),  // not a HELLO
      RawPeer::Greeting() + std::string("\6\xff\xff\xff\xff\xff\xff\xff\xff", 9),  // without end
  };
  std::list<RawPeer> peers;
  for (const std::string& bytes : garbage) {
    peers.emplace_back(server->address);
    ASSERT_TRUE(peers.back().SendBytes(bytes));
    EXPECT_TRUE(peers.back().WaitUntilCut()) << bytes.substr(0, 12);
  }
  bus_.WaitForPeers(*server, [&](const auto& c) {
    return c.open == 0 && c.handshakes_failed == std::size(garbage);
  });
  EXPECT_EQ(server->inbox.size(), 0u);
}

TEST_P(HostilePeer, HandshakesThatAreHeldOpenEnd) {
  PeerLimits limits;
  limits.handshake_ms = 200;
  const auto server = bus_.Server(GetParam(), "", limits);
  std::list<RawPeer> peers;
  for (const std::string& begin : {std::string(), std::string("\xff"), RawPeer::Greeting()}) {
    for (int i = 0; i < 20; ++i) {
      peers.emplace_back(server->address);
      ASSERT_TRUE(peers.back().SendBytes(begin));
    }
  }
  for (RawPeer& peer : peers) EXPECT_TRUE(peer.WaitUntilCut());
  bus_.WaitForPeers(*server, [](const auto& c) { return c.open == 0; });
}

TEST_P(HostilePeer, StrangersAreOnlySoManyAndDoNotKeepNodesOut) {
  PeerLimits limits;
  limits.max_strangers = 16;
  const auto server = bus_.Server(GetParam(), "", limits);
  const size_t before = OpenDescriptors();
  std::list<RawPeer> peers;
  for (int i = 0; i < 100; ++i) peers.emplace_back(server->address);
  bus_.WaitForPeers(*server, [](const auto& c) { return c.cut_crowd == 84 && c.open == 16; });
  EXPECT_LE(OpenDescriptors(), before + 100 + 16 + 2);
  EXPECT_TRUE(peers.front().WaitUntilCut()) << "the oldest goes first";
  GoodPeer good(bus_, GetParam(), *server);
  bus_.WaitForPeers(*server, [](const auto& c) { return c.open == 17; });
}

TEST_P(HostilePeer, OneKeyHasOnlySoManyConnections) {
  const auto server = bus_.Server(GetParam());
  GoodPeer good(bus_, GetParam(), *server);
  std::list<RawPeer> peers;
  for (size_t i = 0; i < 20; ++i) {
    peers.push_back(Join(bus_, *server, bus_.node_keys_));
    ASSERT_TRUE(peers.back().SendFrame("\1c"));
  }
  bus_.WaitForPeers(*server, [](const auto& c) { return c.cut_crowd == 12 && c.open == 9; });
  EXPECT_TRUE(peers.front().WaitUntilCut());
  good.Send();
}

TEST_P(HostilePeer, FramesAreRefusedBeforeTheyAreAllocated) {
  const auto server = bus_.Server(GetParam());
  GoodPeer good(bus_, GetParam(), *server);
  const uint64_t before = ResidentBytes();
  for (const uint64_t size : {uint64_t{300} << 10, uint64_t{1} << 40, ~uint64_t{0}}) {
    RawPeer bad = Join(bus_, *server, bus_.node_keys_);
    ASSERT_TRUE(bad.AnnounceFrame(size));
    EXPECT_TRUE(bad.WaitUntilCut()) << size;
  }
  EXPECT_LT(ResidentBytes(), before + 64 * kMiB);
  good.Send();
}

INSTANTIATE_TEST_SUITE_P(Servers, HostilePeer,
                         ::testing::Values(Role::kCfgPublisher, Role::kSessionServer,
                                           Role::kTelemetryServer),
                         [](const auto& info) -> std::string { return TypeAgainst(info.param); });

class HostileSubscriber : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(bus_.zap_.Allow(bus_.node_keys_.public_key, "bad").ok());
    server_ = bus_.Server(Role::kCfgPublisher);
    good_ = std::make_unique<GoodPeer>(bus_, Role::kCfgPublisher, *server_);
    ASSERT_TRUE(bad_.emplace(server_->address)
                    .Handshake(bus_.node_keys_, bus_.server_keys_.public_key, "SUB"));
  }
  // Sends until the server hangs up; false if it never does.
  bool SendsUntilCut(const std::function<std::string(int)>& frame) {
    for (int i = 0; i < 1'000'000; ++i) {
      if (!bad_->SendFrame(frame(i))) return true;
    }
    return false;
  }
  Bus bus_;
  std::unique_ptr<Peer> server_;
  std::unique_ptr<GoodPeer> good_;
  std::optional<RawPeer> bad_;
};

TEST_F(HostileSubscriber, EndlessPrefixesAreCut) {
  const uint64_t before = ResidentBytes();
  EXPECT_TRUE(SendsUntilCut([](int i) { return "\1" + std::to_string(i); }));
  EXPECT_LT(ResidentBytes(), before + 64 * kMiB);
  bus_.WaitForPeers(*server_, [](const auto& c) { return c.cut_flood == 1 && c.open == 1; });
  good_->Send();
}

TEST_F(HostileSubscriber, AnEndlessPrefixIsCut) {
  ASSERT_TRUE(bad_->SendFrame("\1" + std::string(900, 'x')));
  EXPECT_TRUE(bad_->WaitUntilCut());
  bus_.WaitForPeers(*server_, [](const auto& c) { return c.cut_flood == 1 && c.open == 1; });
  good_->Send();
}

TEST_F(HostileSubscriber, TheSameAgainAndAgainIsCut) {
  EXPECT_TRUE(SendsUntilCut([](int i) { return i % 2 == 0 ? "\1c" : std::string("\0c", 2); }));
  bus_.WaitForPeers(*server_, [](const auto& c) { return c.cut_flood == 1 && c.open == 1; });
  good_->Send();
}

TEST_F(HostileSubscriber, WhatIsNoSubscriptionIsCountedAndCut) {
  EXPECT_TRUE(SendsUntilCut([](int) { return "rubbish"; }));
  const auto counters =
      bus_.WaitForPeers(*server_, [](const auto& c) { return c.cut_flood == 1 && c.open == 1; });
  EXPECT_GE(counters.multipart, 4096u);
  good_->Send();
}

}  // namespace
}  // namespace weir::transport
