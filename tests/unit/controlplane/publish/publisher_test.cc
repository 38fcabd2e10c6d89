// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/controlplane/publish/model_node.h"

namespace weir::control::publish {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kFlag = domain::EntryKind::kFlag;

catalog::Committed CommitOf(uint64_t revision, std::vector<catalog::EntryBody> entries) {
  catalog::Committed committed;
  committed.revision = revision;
  committed.previous_revision = revision - 1;
  committed.entries = std::move(entries);
  return committed;
}

class PublisherTest : public ::testing::Test {
 protected:
  std::vector<wire::Type> Types(const std::vector<std::string>& frames) {
    std::vector<wire::Type> types;
    for (const std::string& frame : frames) types.push_back(TypeOf(frame));
    return types;
  }
  void Deliver(ModelNode& node, const std::vector<std::string>& frames) {
    for (const std::string& frame : frames) node.Receive(frame);
  }
  // As a node asks for what it lacks.
  std::vector<std::string> Ask(Publisher& publisher, const ModelNode& node,
                               const std::string& peer = "p", int64_t now_ms = 0) {
    publisher.BringUpToDate(peer, {node.epoch, node.version, node.digest()}, now_ms);
    return outbox_.TakeSent(peer);
  }
  void ExpectConverged(const ModelNode& node, const Publisher& publisher) {
    EXPECT_EQ(node.epoch, publisher.epoch());
    EXPECT_EQ(node.version, publisher.head());
    EXPECT_EQ(node.digest(), publisher.digest());
    EXPECT_EQ(node.entries.size(), publisher.entry_count());
    EXPECT_EQ(node.digest_errors, 0);
  }

  RecordingOutbox outbox_;
};

TEST_F(PublisherTest, ALateJoinerGetsOneSnapshotAndThenFollowsDeltas) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({{kFlag, "a", "1"}, {kFlag, "b", "2"}}, 7, {});
  ModelNode node;
  const auto frames = Ask(publisher, node);
  EXPECT_THAT(Types(frames), ElementsAre(wire::Type::kSnapshot));
  Deliver(node, frames);
  ExpectConverged(node, publisher);
  publisher.OnCommitted(CommitOf(9, {{kFlag, "a", "changed"}, {kFlag, "b", std::nullopt}}));
  publisher.OnCommitted(CommitOf(10, {{kFlag, "c", "3"}}));
  Deliver(node, outbox_.TakeBroadcasts());
  ExpectConverged(node, publisher);
  EXPECT_EQ(node.entries.at({1, "a"}), "changed");
  EXPECT_FALSE(node.entries.contains({1, "b"}));
}

TEST_F(PublisherTest, CommitsThatChangeNoEntryPublishNothing) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({{kFlag, "a", "1"}}, 7, {});
  publisher.OnCommitted(CommitOf(8, {}));
  EXPECT_THAT(outbox_.broadcasts, IsEmpty());
  EXPECT_EQ(publisher.head(), 7u);
  publisher.OnCommitted(CommitOf(9, {{kFlag, "b", "2"}}));
  const auto frames = outbox_.TakeBroadcasts();
  ASSERT_THAT(frames, SizeIs(1));
  EXPECT_EQ(wire::Decode<wire::Delta>(*wire::DecodeFrame(frames[0]))->base, 7u)
      << "the base is the version published before, not the revision before";
}

TEST_F(PublisherTest, ANodeThatMissedADeltaSeesTheGapAndGetsExactlyWhatItLacks) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({{kFlag, "a", "1"}}, 1, {});
  ModelNode node;
  Deliver(node, Ask(publisher, node));
  publisher.OnCommitted(CommitOf(2, {{kFlag, "b", "2"}}));
  publisher.OnCommitted(CommitOf(3, {{kFlag, "c", "3"}}));
  outbox_.TakeBroadcasts();  // lost
  publisher.SendBeacon();
  Deliver(node, outbox_.TakeBroadcasts());
  EXPECT_TRUE(node.has_gap);
  const auto frames = Ask(publisher, node);
  EXPECT_THAT(Types(frames), ElementsAre(wire::Type::kDelta, wire::Type::kDelta));
  Deliver(node, frames);
  ExpectConverged(node, publisher);
  publisher.SendBeacon();
  Deliver(node, outbox_.TakeBroadcasts());
  EXPECT_FALSE(node.has_gap);
}

TEST_F(PublisherTest, DuplicatesAndReorderingDoNoHarm) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({}, 0, {});
  ModelNode node;
  Deliver(node, Ask(publisher, node));
  std::mt19937 random(7);
  for (uint64_t revision = 1; revision <= 200; ++revision) {
    const std::string name = "f" + std::to_string(random() % 20);
    catalog::EntryBody entry{kFlag, name, std::to_string(revision)};
    if (random() % 5 == 0) entry.body.reset();
    publisher.OnCommitted(CommitOf(revision, {entry}));
    auto frames = outbox_.TakeBroadcasts();
    if (random() % 3 == 0) continue;  // lost
    frames.push_back(frames.front());
    Deliver(node, frames);
    if (node.has_gap) Deliver(node, Ask(publisher, node, "p" + std::to_string(revision)));
    node.has_gap = false;
  }
  Deliver(node, Ask(publisher, node, "end"));
  ExpectConverged(node, publisher);
}

TEST_F(PublisherTest, AskingAgainWithTheSameStateGetsASnapshot) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({}, 1, {});
  publisher.OnCommitted(CommitOf(2, {{kFlag, "a", "1"}}));
  publisher.BringUpToDate("p", {kEpoch, 1, ""}, 0);
  EXPECT_THAT(Types(outbox_.TakeSent("p")), ElementsAre(wire::Type::kDelta));
  publisher.BringUpToDate("p", {kEpoch, 1, ""}, 0);
  EXPECT_THAT(Types(outbox_.TakeSent("p")), ElementsAre(wire::Type::kSnapshot));
}

TEST_F(PublisherTest, AWrongDigestOrAForeignEpochGetsASnapshot) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({}, 1, {});
  publisher.OnCommitted(CommitOf(2, {{kFlag, "a", "1"}}));
  publisher.BringUpToDate("p", {kEpoch, 1, std::string(32, 'x')}, 0);
  publisher.BringUpToDate("q", {kEpoch - 1, 1, std::string(32, '\0')}, 0);
  EXPECT_THAT(Types(outbox_.TakeSent("p")), ElementsAre(wire::Type::kSnapshot));
  EXPECT_THAT(Types(outbox_.TakeSent("q")), ElementsAre(wire::Type::kSnapshot));
}

TEST_F(PublisherTest, ANewEpochLetsAnEqualSetCarryOn) {
  Publisher before(outbox_, kEpoch);
  before.Reset({{kFlag, "a", "1"}}, 5, {});
  ModelNode node;
  Deliver(node, Ask(before, node));
  Publisher after(outbox_, kEpoch + 100);
  after.Reset({{kFlag, "a", "1"}}, 6, {});
  EXPECT_TRUE(after.IsCurrent({node.epoch, node.version, node.digest()}));
  EXPECT_FALSE(after.IsCurrent({kEpoch + 200, node.version, node.digest()})) << "ahead of us";
  EXPECT_FALSE(after.IsCurrent({0, 0, after.digest()})) << "has nothing at all yet";
  after.OnCommitted(CommitOf(7, {{kFlag, "b", "2"}}));
  EXPECT_FALSE(after.IsCurrent({node.epoch, node.version, node.digest()}));
}

TEST_F(PublisherTest, EmergencyGoesOutFirstAndStandsInEveryBeacon) {
  Publisher publisher(outbox_, kEpoch);
  publisher.Reset({}, 1, {});
  ModelNode node;
  Deliver(node, Ask(publisher, node));
  catalog::Committed committed = CommitOf(2, {});
  committed.emergency.kill_switch = true;
  committed.emergency_changed = true;
  publisher.OnCommitted(committed);
  const auto frames = outbox_.TakeBroadcasts();
  EXPECT_THAT(Types(frames), ElementsAre(wire::Type::kEmergency, wire::Type::kDelta));
  EXPECT_EQ(frames[0][0], 'e');
  Deliver(node, {frames[0]});
  EXPECT_TRUE(node.emergency.kill_switch);
  ModelNode deaf;  // missed everything but a beacon
  publisher.SendBeacon();
  Deliver(deaf, outbox_.TakeBroadcasts());
  EXPECT_TRUE(deaf.emergency.kill_switch);
  committed = CommitOf(3, {});
  committed.emergency_changed = true;
  publisher.OnCommitted(committed);
  Deliver(node, outbox_.TakeBroadcasts());
  EXPECT_FALSE(node.emergency.kill_switch);
}

TEST_F(PublisherTest, LargeDeltasAreFetchedOverTheSession) {
  Publisher publisher(outbox_, kEpoch, {.max_broadcast_bytes = 1000});
  publisher.Reset({}, 1, {});
  ModelNode node;
  Deliver(node, Ask(publisher, node));
  publisher.OnCommitted(CommitOf(2, {{kFlag, "a", std::string(2000, 'x')}}));
  const auto frames = outbox_.TakeBroadcasts();
  EXPECT_THAT(Types(frames), ElementsAre(wire::Type::kBeacon));
  Deliver(node, frames);
  EXPECT_TRUE(node.has_gap);
  Deliver(node, Ask(publisher, node));
  ExpectConverged(node, publisher);
}

TEST_F(PublisherTest, KeepsABoundedNumberOfDeltas) {
  Publisher publisher(outbox_, kEpoch, {.max_deltas = 3});
  publisher.Reset({}, 1, {});
  EXPECT_EQ(publisher.oldest_delta(), 0u);
  for (uint64_t revision = 2; revision <= 10; ++revision) {
    publisher.OnCommitted(CommitOf(revision, {{kFlag, "a", std::to_string(revision)}}));
  }
  EXPECT_EQ(publisher.oldest_delta(), 7u);
  publisher.BringUpToDate("p", {kEpoch, 7, ""}, 0);
  EXPECT_THAT(outbox_.TakeSent("p"), SizeIs(3));
  publisher.BringUpToDate("q", {kEpoch, 6, ""}, 0);
  EXPECT_THAT(Types(outbox_.TakeSent("q")), ElementsAre(wire::Type::kSnapshot));
  Publisher small(outbox_, kEpoch, {.max_delta_bytes = 10});
  small.Reset({}, 1, {});
  small.OnCommitted(CommitOf(2, {{kFlag, "a", "1"}}));
  EXPECT_EQ(small.oldest_delta(), 0u) << "a delta above the bound is not kept at all";
}

TEST_F(PublisherTest, SnapshotsAreServedAtABoundedRate) {
  Publisher publisher(outbox_, kEpoch, {.snapshot_bytes_per_s = 1000});
  publisher.Reset({{kFlag, "a", std::string(3000, 'x')}}, 1, {});
  EXPECT_THAT(Ask(publisher, {}, "p1", 0), SizeIs(1));
  EXPECT_THAT(Ask(publisher, {}, "p2", 0), IsEmpty());
  EXPECT_THAT(Ask(publisher, {}, "p2", 0), IsEmpty());
  publisher.Tick(1000);
  EXPECT_THAT(outbox_.TakeSent("p2"), IsEmpty()) << "the first one's debt";
  publisher.Tick(2000);
  publisher.Tick(3000);
  EXPECT_THAT(outbox_.TakeSent("p2"), SizeIs(1)) << "once, though it asked twice";
}

}  // namespace
}  // namespace weir::control::publish
