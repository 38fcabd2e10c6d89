// SPDX-License-Identifier: Apache-2.0
// Nodes whose key is good and whose frames are not, against the real bus: each frame is refused and
// counted, memory stays bounded, and a good node beside it goes on.
#include <sys/stat.h>

#include <cstdio>

#include "shared/base/text.h"
#include "tests/fakes/raw_peer.h"
#include "tests/unit/controlplane/publish/bus_fixture.h"

namespace weir::control::publish {
namespace {

using fakes::RawPeer;

constexpr uint64_t kMiB = 1 << 20;

uint64_t ResidentBytes() {
  uint64_t size = 0;
  uint64_t resident = 0;
  EXPECT_EQ(std::sscanf(ReadFile("/proc/self/statm")->c_str(), "%lu %lu", &size, &resident), 2);
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string FrameOf(wire::Topic topic, wire::Type type, const std::string& body) {
  wire::Header header;
  header.topic = topic;
  header.type = type;
  return wire::EncodeFrame(header, body);
}

class HostileNode : public BusTest {
 protected:
  BusOptions Options() override {
    BusOptions options = BusTest::Options();
    options.nodes = {{"n1", node_.public_key}, {"bad", bad_.public_key}};
    return options;
  }
  void SetUp() override {
    StartBus();
    good_session_ = Connect(Role::kSessionClient, node_, bus_->addresses().session);
    good_telemetry_ = Connect(Role::kTelemetryClient, node_, bus_->addresses().telemetry);
    Send(*good_session_, wire::Topic::kSession, wire::Type::kHello, HelloOf("n1"));
    Receive(*good_session_, wire::Type::kWelcome);
    resident_ = ResidentBytes();
  }
  void TearDown() override {
    EXPECT_LT(ResidentBytes(), resident_ + 128 * kMiB);
    // The good node is counted and answered as before.
    Send(*good_telemetry_, wire::Topic::kTelemetry, wire::Type::kBatch, BatchOf("n1", 1));
    ticks_.Wait([](const auto& t) { return t.high_waters.contains({"n1", 9}); });
    Send(*good_session_, wire::Topic::kSession, wire::Type::kHeartbeat, wire::Heartbeat{1, 0});
    Receive(*good_session_, wire::Type::kHeartbeat);
  }
  RawPeer Attack(const std::string& address, const char* type) {
    RawPeer peer(address);
    EXPECT_TRUE(peer.Handshake(bad_, server_.public_key, type));
    return peer;
  }
  // Every one of these, on the session and on telemetry, is refused and counted.
  void ExpectRefused(const std::vector<std::string>& frames) {
    RawPeer session = Attack(bus_->addresses().session, "DEALER");
    RawPeer telemetry = Attack(bus_->addresses().telemetry, "PUSH");
    for (const std::string& frame : frames) {
      ASSERT_TRUE(session.SendFrame(frame));
      ASSERT_TRUE(telemetry.SendFrame(frame));
    }
    const auto counters =
        counters_.Wait([&](const auto& c) { return c.frames_refused >= 2 * frames.size(); });
    EXPECT_EQ(counters.frames_refused, 2 * frames.size());
    EXPECT_EQ(counters.batches.applied, 0u);
  }

  const transport::KeyPair bad_ = *transport::GenerateKeyPair();
  std::optional<transport::Socket> good_session_, good_telemetry_;
  uint64_t resident_ = 0;
};

TEST_F(HostileNode, RubbishInsteadOfFramesIsRefused) {
  ExpectRefused({"", "x", std::string(37, '\0'), std::string(60'000, '\xff'), "sWEIR",
                 FrameOf(wire::Topic::kSession, wire::Type::kHello, "") + "trailing"});
}

TEST_F(HostileNode, MsgpackBombsAreRefusedBeforeTheyAllocate) {
  std::vector<std::string> frames;
  const std::string bombs[] = {
      std::string("\xdd\xff\xff\xff\xff", 5),               // an array of 4 billion
      std::string("\xdf\xff\xff\xff\xff", 5),               // a map
      std::string("\x81\x02\xdb\xff\xff\xff\xff", 7),       // a text of 4 GiB
      std::string("\x81\x02\xc6\xff\xff\xff\xff", 7),       // bytes
      std::string(50'000, '\x91'),                          // depth
      "\x81\x0c" + std::string("\xdd\x00\x0f\x42\x40", 5),  // a million series
      std::string("\x81\x02\xc9\xff\xff\xff\xff\x01", 8),   // an extension
  };
  for (const std::string& bomb : bombs) {
    frames.push_back(FrameOf(wire::Topic::kSession, wire::Type::kHello, bomb));
    frames.push_back(FrameOf(wire::Topic::kTelemetry, wire::Type::kBatch, bomb));
  }
  ExpectRefused(frames);
}

TEST_F(HostileNode, UnknownVersionsAndTypesAreRefused) {
  std::vector<std::string> frames;
  for (const int major : {0, 2, 255}) {
    std::string frame = FrameOf(wire::Topic::kSession, wire::Type::kHeartbeat, "\x80");
    frame[5] = static_cast<char>(major);
    frames.push_back(frame);
  }
  for (const int type : {0, 99, 255})
    frames.push_back(FrameOf(wire::Topic::kSession, static_cast<wire::Type>(type), "\x80"));
  for (const auto type : {wire::Type::kWelcome, wire::Type::kDelta, wire::Type::kMove})
    frames.push_back(FrameOf(wire::Topic::kSession, type, "\x80"));  // the control plane's own
  ExpectRefused(frames);
}

TEST_F(HostileNode, AnotherMajorIsToldWhatIsSpokenHere) {
  auto session = Connect(Role::kSessionClient, bad_, bus_->addresses().session);
  wire::Hello hello = HelloOf("bad");
  hello.min_major = 2;
  hello.max_major = 3;
  Send(session, wire::Topic::kSession, wire::Type::kHello, hello);
  const std::string bytes = Receive(session, wire::Type::kRefused);
  const std::string reason = wire::Decode<wire::Refused>(*wire::DecodeFrame(bytes))->reason;
  EXPECT_EQ(reason, "it speaks wire versions 2..3, this control plane 1");
  const auto view = views_.Wait([](const auto& v) { return v->Find("bad") != nullptr; });
  EXPECT_EQ(view->Find("bad")->state, NodeState::kGone);
  EXPECT_EQ(view->Find("bad")->problem, reason);
}

TEST_F(HostileNode, SpeakingUnderAnotherNamePutsNothingUnderIt) {
  wire::Hello hello = HelloOf("n1");
  hello.incarnation = 10;
  wire::Batch batch = BatchOf("n1", 7);
  ExpectRefused({wire::Encode(
                     [] {
                       wire::Header header;
                       header.type = wire::Type::kHello;
                       return header;
                     }(),
                     hello),
                 wire::Encode(
                     [] {
                       wire::Header header;
                       header.topic = wire::Topic::kTelemetry;
                       header.type = wire::Type::kBatch;
                       return header;
                     }(),
                     batch)});
  const auto view = views_.Wait([](const auto& v) { return v->Find("n1") != nullptr; });
  EXPECT_EQ(view->Find("n1")->incarnation, 9u);
  EXPECT_EQ(view->Find("bad"), nullptr);
}

TEST_F(HostileNode, ReplayedBatchesCountOnce) {
  RawPeer telemetry = Attack(bus_->addresses().telemetry, "PUSH");
  wire::Header header;
  header.topic = wire::Topic::kTelemetry;
  header.type = wire::Type::kBatch;
  const std::string frame = wire::Encode(header, BatchOf("bad", 1));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(telemetry.SendFrame(frame));
  // The same again from another connection, as one who had listened would.
  RawPeer other = Attack(bus_->addresses().telemetry, "PUSH");
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(other.SendFrame(frame));
  const auto counters = counters_.Wait([](const auto& c) { return c.batches.duplicates >= 99; });
  EXPECT_EQ(counters.batches.applied, 1u);
}

TEST_F(HostileNode, AMessageWithoutEndIsCutByTheBusItself) {
  RawPeer session = Attack(bus_->addresses().session, "DEALER");
  const std::string part(60'000, 'x');
  uint64_t sent = 0;
  while (sent < 2048 * kMiB && session.SendFrame(part, RawPeer::kMore)) sent += part.size();
  EXPECT_LT(sent, 2048 * kMiB);
  counters_.Wait([](const auto& c) { return c.wire.unfinished == 1; });
}

TEST_F(HostileNode, AFloodOfSubscriptionsIsCutByTheBusItself) {
  RawPeer cfg = Attack(bus_->addresses().cfg, "SUB");
  int sent = 0;
  while (sent < 1'000'000 && cfg.SendFrame("\1" + std::to_string(sent))) ++sent;
  EXPECT_LT(sent, 1'000'000);
  counters_.Wait([](const auto& c) { return c.wire.subscriptions == 1; });
}

}  // namespace
}  // namespace weir::control::publish
