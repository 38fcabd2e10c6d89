// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controlplane/publish/model_node.h"

namespace weir::control::publish {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SessionTest : public ::testing::Test {
 protected:
  SessionTest()
      : publisher_(outbox_, kEpoch),
        nodes_(
            kEpoch, [this](auto view) { view_ = std::move(view); },
            [this](const AppliedEvent& event) { applied_.push_back(event); }),
        session_(outbox_, publisher_, nodes_,
                 {[this](const wire::Hello& hello, int64_t) {
                    hellos_.push_back(hello);
                    return uint64_t{41};
                  },
                  [this](const std::string&, uint64_t, int64_t node_ms, int64_t) {
                    clocks_.push_back(node_ms);
                  },
                  [this](const std::string&, uint64_t, const wire::Delivery& delivery, bool ended) {
                    deliveries_.emplace_back(delivery, ended);
                  }}) {
    publisher_.Reset({{domain::EntryKind::kFlag, "a", "1"}}, 5, {});
  }

  template <class Body>
  void Send(wire::Type type, const Body& body, const std::string& node = "n1", uint64_t version = 0,
            uint64_t epoch = kEpoch) {
    wire::Header header;
    header.topic = wire::Topic::kSession;
    header.type = type;
    header.epoch = epoch;
    header.version = version;
    session_.OnFrame("peer-" + node, node, wire::Encode(header, body), now_ms_);
  }
  void Hello(const std::string& node = "n1", uint64_t incarnation = 1) {
    wire::Hello hello;
    hello.node = node;
    hello.incarnation = incarnation;
    hello.labels = {{"zone", "a"}};
    Send(wire::Type::kHello, hello, node);
  }
  std::vector<wire::Type> Sent(const std::string& node = "n1") {
    std::vector<wire::Type> types;
    for (const std::string& frame : outbox_.TakeSent("peer-" + node)) {
      types.push_back(TypeOf(frame));
    }
    return types;
  }
  std::string State(const std::string& node = "n1") {
    nodes_.Flush(now_ms_);
    const NodeStatus* status = view_->Find(node);
    return status == nullptr ? "unknown" : NodeStateName(status->state);
  }
  void PassMs(int64_t ms) {
    now_ms_ += ms;
    nodes_.Tick(now_ms_);
  }

  int64_t now_ms_ = 1'000'000;
  RecordingOutbox outbox_;
  std::shared_ptr<const NodesView> view_;
  std::vector<AppliedEvent> applied_;
  std::vector<wire::Hello> hellos_;
  std::vector<int64_t> clocks_;
  std::vector<std::pair<wire::Delivery, bool>> deliveries_;
  Publisher publisher_;
  Nodes nodes_;
  Session session_;
};

TEST_F(SessionTest, WelcomesANodeAndGivesItTheSnapshot) {
  Hello();
  const auto frames = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(frames, SizeIs(2));
  const wire::Frame welcome = *wire::DecodeFrame(frames[0]);
  EXPECT_EQ(welcome.header.type, wire::Type::kWelcome);
  EXPECT_EQ(welcome.header.epoch, kEpoch);
  EXPECT_EQ(welcome.header.version, 5u);
  EXPECT_EQ(wire::Decode<wire::Welcome>(welcome)->committed, 41u);
  EXPECT_EQ(TypeOf(frames[1]), wire::Type::kSnapshot);
  EXPECT_EQ(State(), "joining");
  Send(wire::Type::kApplied, wire::Applied{}, "n1", 5);
  EXPECT_EQ(State(), "ready");
  ASSERT_THAT(applied_, SizeIs(1));
  EXPECT_EQ(applied_[0].version, 5u);
  EXPECT_EQ(applied_[0].at_ms, now_ms_);
  EXPECT_EQ(applied_[0].labels.at("zone"), "a");
  EXPECT_TRUE(view_->EveryoneHas(5));
  EXPECT_FALSE(view_->EveryoneHas(6));
}

TEST_F(SessionTest, ANodeWithOurSetCarriesOn) {
  wire::Hello hello;
  hello.node = "n1";
  hello.have_epoch = kEpoch - 10;
  hello.have_version = 4;
  hello.have_digest.value = publisher_.digest();
  Send(wire::Type::kHello, hello);
  EXPECT_THAT(Sent(), ElementsAre(wire::Type::kWelcome));
  EXPECT_EQ(State(), "ready");
  EXPECT_EQ(view_->Find("n1")->version, 5u);
}

TEST_F(SessionTest, ABodyThatSpeaksForAnotherNodeIsRefusedAndCounted) {
  wire::Hello hello;
  hello.node = "n2";
  Send(wire::Type::kHello, hello, "n1");
  EXPECT_EQ(session_.refused_count(), 1u);
  EXPECT_THAT(Sent(), ElementsAre(wire::Type::kRefused));
  EXPECT_EQ(State("n1"), "unknown");
  EXPECT_EQ(State("n2"), "unknown");
  EXPECT_THAT(hellos_, IsEmpty());
}

TEST_F(SessionTest, WithoutACommonMajorANodeIsRefusedAndShown) {
  wire::Hello hello;
  hello.node = "n1";
  hello.min_major = 2;
  hello.max_major = 3;
  Send(wire::Type::kHello, hello);
  const auto frames = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_THAT(wire::Decode<wire::Refused>(*wire::DecodeFrame(frames[0]))->reason,
              HasSubstr("wire versions 2..3"));
  EXPECT_EQ(State(), "gone");
  EXPECT_EQ(view_->LiveCount(), 0u);
  EXPECT_THAT(view_->Find("n1")->problem, HasSubstr("wire versions 2..3"));
}

TEST_F(SessionTest, ANodeAheadOfUsIsShownAndNeverAdopted) {
  wire::Hello hello;
  hello.node = "n1";
  hello.have_epoch = kEpoch + 5;
  Send(wire::Type::kHello, hello);
  EXPECT_THAT(Sent(), ElementsAre(wire::Type::kRefused));
  nodes_.Flush(now_ms_);
  EXPECT_THAT(view_->Find("n1")->problem, HasSubstr("control plane behind"));
}

TEST_F(SessionTest, MalformedFramesAreCountedAndHarmless) {
  for (const std::string& bytes :
       {std::string(), std::string("s"), std::string(100, '\xff'), std::string("sWEIR")}) {
    session_.OnFrame("peer-n1", "n1", bytes, now_ms_);
  }
  Send(wire::Type::kBatchAck, wire::BatchAck{});  // not a node's
  wire::Header header;
  header.type = wire::Type::kHello;
  session_.OnFrame("peer-n1", "n1", wire::EncodeFrame(header, "\xdd\xff\xff\xff\xff"), now_ms_);
  EXPECT_EQ(session_.refused_count(), 6u);
  EXPECT_THAT(hellos_, IsEmpty());
}

TEST_F(SessionTest, HeartbeatsAreAnsweredAndCarryTheClock) {
  Hello();
  Sent();
  Send(wire::Type::kHeartbeat, wire::Heartbeat{12'345, 3});
  const auto frames = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(wire::Decode<wire::Heartbeat>(*wire::DecodeFrame(frames[0]))->monotonic_ms, 12'345);
  EXPECT_EQ(clocks_.back(), 12'345);
  PassMs(0);
  nodes_.Flush(now_ms_);
  EXPECT_EQ(view_->Find("n1")->pending_batches, 3u);
}

TEST_F(SessionTest, AConnectionThatCameBackIsWelcomedSoThatTheNodeRepeatsWhatWasLost) {
  Hello();
  Sent();
  wire::Header header;
  header.topic = wire::Topic::kSession;
  header.type = wire::Type::kHeartbeat;
  const std::string heartbeat = wire::Encode(header, wire::Heartbeat{5, 0});
  for (const size_t expected : {2u, 1u}) {  // with the first frame, and not again
    session_.OnFrame("another", "n1", heartbeat, now_ms_);
    const auto frames = outbox_.TakeSent("another");
    ASSERT_THAT(frames, SizeIs(expected));
    if (expected == 1) break;
    const wire::Frame welcome = *wire::DecodeFrame(frames[0]);
    EXPECT_EQ(welcome.header.type, wire::Type::kWelcome);
    EXPECT_EQ(wire::Decode<wire::Welcome>(welcome)->committed, 0u);
  }
}

TEST_F(SessionTest, ANodeWhoseSessionReconnectsByItselfStaysCordoned) {
  Hello();
  session_.SetCordon("n1", true, "an upgrade");
  wire::Header header;
  header.topic = wire::Topic::kSession;
  header.type = wire::Type::kHeartbeat;
  session_.OnFrame("another", "n1", wire::Encode(header, wire::Heartbeat{5, 0}), now_ms_);
  const auto frames = outbox_.TakeSent("another");
  ASSERT_FALSE(frames.empty());
  const auto welcome = wire::Decode<wire::Welcome>(*wire::DecodeFrame(frames[0]));
  EXPECT_TRUE(welcome->cordoned);
  EXPECT_EQ(welcome->cordon_reason, "an upgrade");
}

TEST_F(SessionTest, WhatComesLateOrAgainChangesNothing) {
  const auto send = [&](const std::string& peer, wire::Type type, uint64_t sequence,
                        uint64_t version, const auto& body) {
    wire::Header header;
    header.topic = wire::Topic::kSession;
    header.type = type;
    header.epoch = kEpoch;
    header.version = version;
    header.sequence = sequence;
    session_.OnFrame(peer, "n1", wire::Encode(header, body), now_ms_);
  };
  const auto hello = [&](const std::string& peer, uint64_t incarnation, uint64_t sequence) {
    wire::Hello body;
    body.node = "n1";
    body.incarnation = incarnation;
    send(peer, wire::Type::kHello, sequence, 0, body);
  };
  hello("old", 1, 1);
  send("old", wire::Type::kApplied, 3, 5, wire::Applied{});
  send("old", wire::Type::kApplied, 2, 4, wire::Applied{});  // overtaken
  send("old", wire::Type::kNodeReport, 2, 0, wire::NodeReport{.draining = true});
  EXPECT_EQ(State(), "draining") << "another type: nothing newer was said of it";
  EXPECT_EQ(view_->Find("n1")->version, 5u);

  hello("new", 2, 1);
  hello("old", 1, 4);
  send("old", wire::Type::kApplied, 5, 5, wire::Applied{});
  nodes_.Flush(now_ms_);
  EXPECT_EQ(view_->Find("n1")->incarnation, 2u);
  EXPECT_EQ(view_->Find("n1")->version, 0u);
  EXPECT_EQ(nodes_.PeerOf("n1"), "new");
  send("new", wire::Type::kNodeReport, 900, 0,
       wire::NodeReport{.draining = true, .incarnation = 1});
  send("new", wire::Type::kGoodbye, 900, 0, wire::Goodbye{.reason = "", .incarnation = 1});
  send("new", wire::Type::kApplied, 900, 5, wire::Applied{.refused = {}, .incarnation = 1});
  nodes_.Flush(now_ms_);
  EXPECT_EQ(view_->Find("n1")->version, 0u) << "what the life before said, played again";
  send("new", wire::Type::kNodeReport, 2, 0, wire::NodeReport{.incarnation = 2});
  send("new", wire::Type::kApplied, 2, 5, wire::Applied{.refused = {}, .incarnation = 2});
  EXPECT_EQ(State(), "ready");
}

TEST_F(SessionTest, AStrangersHeartbeatLearnsOurEpochAndNothingElse) {
  Send(wire::Type::kHeartbeat, wire::Heartbeat{1, 0});
  const auto frames = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(wire::DecodeFrame(frames[0])->header.epoch, kEpoch);
  EXPECT_EQ(State(), "unknown");
  EXPECT_THAT(clocks_, IsEmpty());
}

TEST_F(SessionTest, ASilentNodeTurnsStaleThenLeavesTheQuorumWithinEightSeconds) {
  Hello();
  Send(wire::Type::kApplied, wire::Applied{}, "n1", 5);
  PassMs(3000);
  EXPECT_EQ(State(), "ready");
  PassMs(500);
  EXPECT_EQ(State(), "stale");
  EXPECT_EQ(view_->LiveCount(), 1u);
  PassMs(4300);
  EXPECT_EQ(State(), "gone");
  EXPECT_EQ(view_->LiveCount(), 0u);
  Send(wire::Type::kHeartbeat, wire::Heartbeat{});
  EXPECT_EQ(State(), "ready") << "it only hung";
  PassMs(kForgetAfterMs);
  EXPECT_EQ(State(), "unknown");
}

TEST_F(SessionTest, GoodbyeEndsItAtOnceUntilTheNextHello) {
  Hello();
  Send(wire::Type::kApplied, wire::Applied{}, "n1", 5);
  Send(wire::Type::kGoodbye, wire::Goodbye{"stopping"});
  EXPECT_EQ(State(), "gone");
  Hello("n1", 2);
  EXPECT_EQ(State(), "joining");
  EXPECT_EQ(view_->Find("n1")->incarnation, 2u);
}

TEST_F(SessionTest, ReportsAndRefusalsAreShown) {
  Hello();
  wire::NodeReport report;
  report.draining = true;
  report.versions = {{"m", "1.0.0", "READY", ""}, {"m", "1.1.0", "FAILED", "no such file"}};
  report.overrides = {"the kill switch is on", std::string(10'000, 'x')};
  Send(wire::Type::kNodeReport, report);
  Send(wire::Type::kApplied, wire::Applied{{{3, "r1", "data_loss", "unknown key 8"}}}, "n1", 5);
  EXPECT_EQ(State(), "draining");
  EXPECT_EQ(view_->Find("n1")->VersionState("m", "1.1.0"), "FAILED");
  EXPECT_EQ(view_->Find("n1")->VersionState("m", "9"), "");
  const codec::Json json = ToJson(*view_, now_ms_ + 250);
  EXPECT_EQ(json["items"][0]["id"], "n1");
  EXPECT_EQ(json["items"][0]["state"], "draining");
  EXPECT_EQ(json["items"][0]["snapshot"]["version"], 5);
  EXPECT_EQ(json["items"][0]["labels"]["zone"], "a");
  EXPECT_EQ(json["items"][0]["last_seen_ms"], 250);
  EXPECT_EQ(json["items"][0]["overrides"][0], "the kill switch is on");
  EXPECT_LT(json["items"][0]["overrides"][1].get<std::string>().size(), 1000u);
  EXPECT_EQ(json["items"][0]["nack"]["refused"][0]["kind"], "split");
  EXPECT_EQ(json["items"][0]["nack"]["refused"][0]["name"], "r1");
}

TEST_F(SessionTest, WhatANodeSaysCanBeShownInATerminal) {
  wire::Hello hello;
  hello.node = "n1";
  hello.incarnation = 1;
  hello.http = "10.0.0.1:8080";
  hello.admin = "$(reboot):80";
  Send(wire::Type::kHello, hello);
  wire::NodeReport report;
  report.versions = {{"m", "1", "FAILED", "\x1b]0;x\x07"}};
  report.overrides = {"a\x1b[2Jb\nc\x7f", "J\xc3\xbcrgen"};
  Send(wire::Type::kNodeReport, report);
  EXPECT_EQ(State(), "joining");
  const auto node = view_->Find("n1");
  EXPECT_EQ(node->http, "10.0.0.1:8080");
  EXPECT_EQ(node->admin, "");
  EXPECT_THAT(node->overrides, ElementsAre("a?[2Jb?c?", "J\xc3\xbcrgen"));
  EXPECT_EQ(node->versions[0].detail, "?]0;x?");
  for (const std::string bad : {"", "host", "h:1; reboot", "h:`id`", "a'b:80", "http://h:1"}) {
    hello.admin = bad;
    Send(wire::Type::kHello, hello);
    EXPECT_EQ(State(), "joining");
    EXPECT_EQ(view_->Find("n1")->admin, "") << bad;
  }
  hello.admin = "[::1]:9090";
  Send(wire::Type::kHello, hello);
  EXPECT_EQ(State(), "joining");
  EXPECT_EQ(view_->Find("n1")->admin, "[::1]:9090");
}

TEST_F(SessionTest, ViewsThatWereHandedOutNeverChange) {
  Hello();
  nodes_.Flush(now_ms_);
  const auto before = view_;
  Send(wire::Type::kApplied, wire::Applied{}, "n1", 5);
  nodes_.Flush(now_ms_);
  EXPECT_EQ(before->Find("n1")->version, 0u);
  EXPECT_EQ(view_->Find("n1")->version, 5u);
}

TEST_F(SessionTest, WhatWasAppliedOfAnotherEpochDoesNotCount) {
  Hello();
  Send(wire::Type::kApplied, wire::Applied{}, "n1", 900, kEpoch - 1);
  EXPECT_EQ(State(), "joining");
  EXPECT_FALSE(view_->EveryoneHas(5));
  EXPECT_THAT(applied_, IsEmpty());
}

TEST_F(SessionTest, AcknowledgementsGoToTheLifeTheyAreFor) {
  Hello("n1", 7);
  Sent();
  session_.SendBatchAck("n1", 6, 10);
  session_.SendBatchAck("n2", 7, 10);
  EXPECT_THAT(outbox_.sent, IsEmpty());
  session_.SendBatchAck("n1", 7, 10);
  const auto frames = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(wire::Decode<wire::BatchAck>(*wire::DecodeFrame(frames[0]))->committed, 10u);
}

TEST_F(SessionTest, TellsANodeThatItIsCordonedAndSaysItAgainAfterARestart) {
  Hello();
  Sent();
  session_.SetCordon("n1", true, "an upgrade");
  auto sent = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(sent, SizeIs(1));
  const auto command = wire::Decode<wire::Command>(*wire::DecodeFrame(sent[0]));
  ASSERT_TRUE(command.ok());
  EXPECT_TRUE(command->cordoned);
  EXPECT_EQ(command->reason, "an upgrade");
  Hello("n1", 2);
  sent = outbox_.TakeSent("peer-n1");
  ASSERT_FALSE(sent.empty());
  EXPECT_TRUE(wire::Decode<wire::Welcome>(*wire::DecodeFrame(sent[0]))->cordoned);
  session_.SetCordon("n1", false, "");
  Hello("n1", 3);
  sent = outbox_.TakeSent("peer-n1");
  ASSERT_THAT(sent, ::testing::Not(IsEmpty()));
  EXPECT_FALSE(wire::Decode<wire::Command>(*wire::DecodeFrame(sent[0]))->cordoned);
  EXPECT_FALSE(wire::Decode<wire::Welcome>(*wire::DecodeFrame(sent[1]))->cordoned);
  session_.SetCordon("n2", true, "away: it learns it from its welcome");
  EXPECT_THAT(Sent("n2"), IsEmpty());
}

TEST_F(SessionTest, NotesWhatANodeCountsItselfAndWhatItHeard) {
  Hello();
  wire::Heartbeat heartbeat;
  heartbeat.delivery = wire::Delivery{10, 2, 1};
  heartbeat.open_requests = 3;
  heartbeat.resident_bytes = 40'000'000;
  heartbeat.quiet_ms = 500;
  heartbeat.heard = {{kEpoch, 7, {std::string(32, 'h')}}};
  Send(wire::Type::kHeartbeat, heartbeat);
  PassMs(0);
  nodes_.Flush(now_ms_);
  const NodeStatus* status = view_->Find("n1");
  ASSERT_NE(status, nullptr);
  EXPECT_EQ(status->open_requests, 3u);
  EXPECT_EQ(status->memory_bytes, 40'000'000u);
  EXPECT_EQ(status->quiet_ms, 500);
  ASSERT_THAT(status->heard, SizeIs(1));
  EXPECT_EQ(status->heard[0].rows, 7u);
  ASSERT_THAT(deliveries_, SizeIs(1));
  EXPECT_EQ(deliveries_[0], std::pair(wire::Delivery{10, 2, 1}, false));
  Send(wire::Type::kGoodbye, wire::Goodbye{"stopping", wire::Delivery{12, 0, 1}});
  EXPECT_EQ(deliveries_.back(), std::pair(wire::Delivery{12, 0, 1}, true));
}

TEST_F(SessionTest, ViewsOfManyNodesAreMadeSeldomAndTheLastIsNotForgotten) {
  for (int i = 0; i < 1000; ++i) Hello("n" + std::to_string(i));
  nodes_.Flush(now_ms_);
  const auto first = view_;
  Send(wire::Type::kApplied, wire::Applied{}, "n1", 5);
  now_ms_ += 4;
  EXPECT_EQ(nodes_.Flush(now_ms_), 6) << "10 ms after the last one";
  EXPECT_EQ(view_, first);
  Send(wire::Type::kApplied, wire::Applied{}, "n2", 5);
  now_ms_ += 6;
  EXPECT_EQ(nodes_.Flush(now_ms_), 0);
  EXPECT_EQ(view_->AppliedCount(5), 2u);
  EXPECT_EQ(nodes_.Flush(now_ms_), 0) << "nothing is held back";
}

}  // namespace
}  // namespace weir::control::publish
