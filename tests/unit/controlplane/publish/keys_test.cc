// SPDX-License-Identifier: Apache-2.0
// Keys that end: a node's is revoked and a server's is rotated, under real sockets.
#include <sys/stat.h>

#include "controlplane/publish/server_keys.h"
#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"
#include "tests/unit/controlplane/publish/bus_fixture.h"

namespace weir::control::publish {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A node with all three channels open, welcomed.
struct FakeNode {
  std::string id;
  transport::KeyPair keys;
  std::optional<transport::Socket> cfg, session, telemetry;
  std::vector<uint64_t> versions;  // of the deltas it heard
};

class BusKeys : public BusTest {
 protected:
  BusOptions Options() override {
    BusOptions options = BusTest::Options();
    options.nodes.clear();
    for (const FakeNode& node : nodes_) options.nodes.emplace_back(node.id, node.keys.public_key);
    return options;
  }
  void StartNodes() {
    for (const char* id : {"n1", "n2", "n3"})
      nodes_.push_back({id, *transport::GenerateKeyPair(), {}, {}, {}, {}});
    StartBus();
    for (FakeNode& node : nodes_) Join(node, bus_->addresses(), server_.public_key);
    views_.Wait([](const auto& view) { return view->LiveCount() == 3; });
  }
  void Join(FakeNode& node, const Bus::Addresses& addresses, const std::string& server_key) {
    const auto open = [&](Role role, const std::string& address) {
      auto socket = transport::Socket::OpenClient(context_, role, node.keys, server_key);
      EXPECT_TRUE(socket.ok());
      for (const char* topic : {"c", "b"}) {
        if (role == Role::kCfgSubscriber) {
          EXPECT_TRUE(socket->Subscribe(topic).ok());
        }
      }
      EXPECT_TRUE(socket->Connect(address).ok());
      return *std::move(socket);
    };
    node.cfg = open(Role::kCfgSubscriber, addresses.cfg);
    node.session = open(Role::kSessionClient, addresses.session);
    node.telemetry = open(Role::kTelemetryClient, addresses.telemetry);
    Receive(*node.cfg, wire::Type::kBeacon);
    Send(*node.session, wire::Topic::kSession, wire::Type::kHello, HelloOf(node.id));
    Receive(*node.session, wire::Type::kWelcome);
  }
  void Publish(uint64_t revision) {
    catalog::Committed committed;
    committed.revision = revision;
    committed.entries = {{domain::EntryKind::kFlag, "b", std::to_string(revision)}};
    bus_->Publish(committed);
  }
  // Notes what is there for the node now.
  void Hear(FakeNode& node) {
    while (true) {
      const auto message = node.cfg->Receive();
      if (!message.ok() || !message->has_value()) return;
      const auto frame = wire::DecodeFrame((*message)->body);
      if (frame->header.type == wire::Type::kDelta) node.versions.push_back(frame->header.version);
    }
  }
  void WaitUntilHeard(FakeNode& node, size_t count) {
    const int64_t until = Clock::System().MonotonicMs() + kDeadlineMs;
    while (node.versions.size() < count && Clock::System().MonotonicMs() < until) {
      Hear(node);
      ::poll(nullptr, 0, 2);
    }
    EXPECT_EQ(node.versions.size(), count) << node.id;
  }

  std::vector<FakeNode> nodes_;
};

TEST_F(BusKeys, ARevokedNodesStreamStopsAndTheOthersLoseNothing) {
  StartNodes();
  for (uint64_t revision = 6; revision < 26; ++revision) Publish(revision);
  for (FakeNode& node : nodes_) WaitUntilHeard(node, 20);

  bus_->Revoke("n2", "revoked by cli:alice: stolen");
  const std::string refused = Receive(*nodes_[1].session, wire::Type::kRefused);
  EXPECT_EQ(wire::Decode<wire::Refused>(*wire::DecodeFrame(refused))->reason,
            "revoked by cli:alice: stolen");
  for (uint64_t heard = 20; heard < 120; heard += 20) {  // no more at once than a queue holds
    for (uint64_t i = 0; i < 20; ++i) Publish(6 + heard + i);
    WaitUntilHeard(nodes_[0], heard + 20);
    WaitUntilHeard(nodes_[2], heard + 20);
  }
  // A beacon later there is still nothing for it: not one delta of those after its end.
  Receive(*nodes_[0].cfg, wire::Type::kBeacon);
  Hear(nodes_[1]);
  EXPECT_EQ(nodes_[1].versions.size(), 20u);
  for (const FakeNode* node : {&nodes_[0], &nodes_[2]}) {
    ASSERT_EQ(node->versions.size(), 120u);
    for (uint64_t i = 0; i < 120; ++i) ASSERT_EQ(node->versions[i], 6 + i) << node->id;
  }
  const auto view = views_.Wait([](const auto& v) { return v->LiveCount() == 2; });
  EXPECT_EQ(view->Find("n2")->state, NodeState::kGone);
  EXPECT_EQ(view->Find("n2")->problem, "revoked by cli:alice: stolen");
  // The others' telemetry is counted as ever.
  Send(*nodes_[0].telemetry, wire::Topic::kTelemetry, wire::Type::kBatch, BatchOf("n1", 1));
  ticks_.Wait([](const auto& t) { return t.high_waters.contains({"n1", 9}); });
  // And its key is let in no more.
  transport::Socket again =
      Connect(Role::kSessionClient, nodes_[1].keys, bus_->addresses().session);
  counters_.Wait([](const auto& c) { return c.wire.key >= 1; });
}

TEST_F(BusKeys, ANodesNewKeyEndsTheConnectionsOfItsOldOne) {
  StartNodes();
  transport::Socket old = std::move(*nodes_[0].session);
  nodes_[0].keys = *transport::GenerateKeyPair();
  ASSERT_TRUE(bus_->Allow("n1", nodes_[0].keys.public_key).ok());
  Join(nodes_[0], bus_->addresses(), server_.public_key);
  wire::Header header;
  header.type = wire::Type::kGoodbye;
  // Its connection is gone: what it sends finds nobody, and its next handshake is refused.
  counters_.Wait([](const auto& c) { return c.wire.key >= 1; });
  EXPECT_FALSE(old.Send(wire::Encode(header, wire::Goodbye{"not me"})).ok());
  EXPECT_EQ(bus_->places().current.nodes.size(), 3u);
}

TEST_F(BusKeys, NodesComeOverToTheNextKeyAndTheFirstOneEnds) {
  StartNodes();
  const auto next = *transport::GenerateKeyPair();
  const std::string first_session = bus_->addresses().session;
  ASSERT_TRUE(bus_->OpenNext(next, {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}).ok());
  Bus::Places places = bus_->places();
  EXPECT_THAT(places.current.nodes, ElementsAre("n1", "n2", "n3"));
  EXPECT_THAT(places.next->nodes, IsEmpty());
  for (FakeNode& node : nodes_) {
    const std::string bytes = Receive(*node.session, wire::Type::kMove);
    const auto move = *wire::Decode<wire::Move>(*wire::DecodeFrame(bytes));
    EXPECT_EQ(move.server_key, next.public_key);
    if (node.id == "n3") continue;
    Join(node, {move.cfg, move.session, move.telemetry}, move.server_key);
  }
  places = bus_->places();
  EXPECT_THAT(places.current.nodes, ElementsAre("n3"));
  EXPECT_THAT(places.next->nodes, ElementsAre("n1", "n2"));
  // Both places hear what is published, and both count.
  Publish(6);
  for (FakeNode& node : nodes_) WaitUntilHeard(node, 1);
  uint64_t applied = 0;
  for (FakeNode& node : nodes_)
    Send(*node.telemetry, wire::Topic::kTelemetry, wire::Type::kBatch, BatchOf(node.id, 1));
  counters_.Wait([&](const auto& c) { return (applied = c.batches.applied) == 3; });
  EXPECT_EQ(applied, 3u);

  bus_->RetireFirst();
  EXPECT_FALSE(bus_->places().next.has_value());
  EXPECT_THAT(bus_->places().current.nodes, ElementsAre("n1", "n2"));
  Publish(7);
  WaitUntilHeard(nodes_[0], 2);
  WaitUntilHeard(nodes_[1], 2);
}

TEST_F(BusKeys, WhatTheFirstKeyListenedOnIsTheNextOnesAfterItsEnd) {
  StartNodes();
  const auto ports = bus_->addresses();
  bus_->Stop();
  bus_.reset();
  for (FakeNode& node : nodes_) {
    node.cfg.reset();
    node.session.reset();
    node.telemetry.reset();
  }
  bus_ = std::make_unique<Bus>(context_, Listen());
  BusOptions options = Options();
  options.cfg_listen = ports.cfg;
  options.session_listen = ports.session;
  options.telemetry_listen = ports.telemetry;
  Status status;
  for (int i = 0; i < 100; ++i) {  // libzmq frees an address a little later
    status = bus_->Start(options, {}, 5, {}, {});
    if (status.ok()) break;
    bus_ = std::make_unique<Bus>(context_, Listen());
    ::poll(nullptr, 0, 50);
  }
  ASSERT_TRUE(status.ok()) << status.ToString();
  const auto next = *transport::GenerateKeyPair();
  ASSERT_TRUE(bus_->OpenNext(next, {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}).ok());
  EXPECT_NE(bus_->places().next->addresses.session, ports.session);
  bus_->RetireFirst();
  const int64_t until = Clock::System().MonotonicMs() + kDeadlineMs;
  while (bus_->places().current.addresses.session != ports.session &&
         Clock::System().MonotonicMs() < until)
    ::poll(nullptr, 0, 20);
  EXPECT_EQ(bus_->places().current.addresses.session, ports.session);
  Join(nodes_[0], bus_->places().current.addresses, next.public_key);
}

TEST(ServerKeys, ARotationGoesOnAfterARestartAndLeavesOneKey) {
  const fakes::TempDir dir;
  auto keys = *ServerKeys::Load(dir.path());
  const std::string first = keys.current().public_key;
  EXPECT_EQ(keys.FinishRotation().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(keys.BeginRotation().ok());
  EXPECT_EQ(keys.BeginRotation().code(), Code::kFailedPrecondition);
  const std::string next = keys.next()->public_key;
  EXPECT_NE(next, first);
  struct stat info {};
  ASSERT_EQ(::stat((dir.path() + "/server.key.next").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  auto again = *ServerKeys::Load(dir.path());
  EXPECT_EQ(again.current().public_key, first);
  ASSERT_TRUE(again.next().has_value());
  EXPECT_EQ(again.next()->public_key, next);
  ASSERT_TRUE(again.FinishRotation().ok());

  const auto after = *ServerKeys::Load(dir.path());
  EXPECT_EQ(after.current().public_key, next);
  EXPECT_FALSE(after.next().has_value());
  const std::string kept = *ReadFile(dir.path() + "/server.key");
  EXPECT_THAT(kept, ::testing::Not(HasSubstr(first)));
}

TEST(ServerKeys, AnAbandonedRotationLeavesTheFirstKey) {
  const fakes::TempDir dir;
  auto keys = *ServerKeys::Load(dir.path());
  ASSERT_TRUE(keys.BeginRotation().ok());
  keys.AbandonRotation();
  EXPECT_FALSE(keys.next().has_value());
  EXPECT_FALSE(ServerKeys::Load(dir.path())->next().has_value());
}

}  // namespace
}  // namespace weir::control::publish
