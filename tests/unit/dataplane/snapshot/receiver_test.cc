// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/receiver.h"

#include <gmock/gmock.h>

#include "tests/unit/dataplane/snapshot/publisher.h"

namespace weir::node::snapshot {
namespace {

using Receive = ReceiverTest;

TEST_F(Receive, AppliesDeltasInOrderAndSharesWhatDidNotChange) {
  Join();
  const auto before = receiver.ruleset();
  ASSERT_TRUE(Give(control.Change("b", FlagBytes("b", 2500))).ok());
  ASSERT_TRUE(Give(control.Change("c", FlagBytes("c", 3000))).ok());
  EXPECT_EQ(receiver.position().version, 4u);
  EXPECT_EQ(receiver.ruleset()->version, 4u);
  EXPECT_EQ(receiver.ruleset()->epoch, kEpoch);
  EXPECT_EQ(Threshold("b"), 2500u);
  EXPECT_EQ(Threshold("c"), 3000u);
  EXPECT_EQ(receiver.ruleset()->flags().Find("a"), before->flags().Find("a"));
  EXPECT_EQ(before->flags().Find("b")->threshold, 2000u) << "a published ruleset never changes";
  EXPECT_EQ(receiver.position().digest, control.Digest());
}

TEST_F(Receive, RemovesWhatADeltaRemoves) {
  Join();
  ASSERT_TRUE(Give(control.Change("a", "")).ok());
  EXPECT_FALSE(Threshold("a"));
  EXPECT_EQ(Threshold("b"), 2000u);
}

TEST_F(Receive, AsksAtOnceForAGapAndAppliesTheLaterOneAfterwards) {
  Join();
  const Bytes missed = control.Change("a", FlagBytes("a", 1500));
  const Bytes later = control.Change("b", FlagBytes("b", 2500));
  EXPECT_FALSE(Give(later).ok());
  EXPECT_EQ(receiver.position().version, 2u);
  const auto request = Request();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->have_epoch, kEpoch);
  EXPECT_EQ(request->have_version, 2u);
  EXPECT_FALSE(Request()) << "one request per gap";

  ASSERT_TRUE(Give(missed).ok());
  EXPECT_EQ(receiver.position().version, 4u);
  EXPECT_EQ(Threshold("a"), 1500u);
  EXPECT_EQ(Threshold("b"), 2500u);
  now_ms += 10'000;
  EXPECT_FALSE(Request());
}

TEST_F(Receive, AsksAgainWhileAGapStands) {
  Join();
  control.Change("a", FlagBytes("a", 1500));
  EXPECT_FALSE(Give(control.Change("b", FlagBytes("b", 2500))).ok());
  ASSERT_TRUE(Request());
  now_ms += Receiver::kRetryMs - 1;
  EXPECT_FALSE(Request());
  now_ms += 1;
  EXPECT_TRUE(Request());
}

TEST_F(Receive, DropsDuplicatesAndOldNews) {
  Join();
  const Bytes delta = control.Change("a", FlagBytes("a", 1500));
  ASSERT_TRUE(Give(delta).ok());
  const Bytes old = control.Snapshot();
  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 1600))).ok());
  const size_t count = told.size();
  EXPECT_TRUE(Give(delta).ok());
  EXPECT_TRUE(Give(old).ok());
  EXPECT_TRUE(Give(control.Snapshot()).ok());
  EXPECT_EQ(told.size(), count);
  EXPECT_EQ(receiver.position().version, 4u);
  EXPECT_EQ(Threshold("a"), 1600u);
  EXPECT_EQ(receiver.counters().duplicates, 3u);
}

TEST_F(Receive, RefusesADeltaOfTheWrongDigestWholeAndAsksForASnapshot) {
  Join();
  control.flags["hidden"] = FlagBytes("hidden", 5);  // the node never heard of it
  EXPECT_EQ(Give(control.Change("a", FlagBytes("a", 1500))).code(), Code::kDataLoss);
  EXPECT_EQ(receiver.position().version, 2u);
  EXPECT_EQ(Threshold("a"), 1000u);
  EXPECT_EQ(receiver.counters().wrong_digest, 1u);
  const auto request = Request();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->have_epoch, 0u) << "no delta repairs that";

  ASSERT_TRUE(Give(control.Snapshot()).ok());
  EXPECT_EQ(receiver.position().version, 3u);
  EXPECT_EQ(Threshold("a"), 1500u);
  EXPECT_EQ(Threshold("hidden"), 5u);
  EXPECT_FALSE(receiver.IsBehind());
}

TEST_F(Receive, RefusesASnapshotOfTheWrongDigestWhole) {
  Join();
  control.version = 9;
  wire::SnapshotBody body;
  body.entries.push_back({1, "a", {FlagBytes("a", 7)}});
  body.digest = {std::string(32, 'x')};
  EXPECT_EQ(Give(control.Encode(wire::Type::kSnapshot, body)).code(), Code::kDataLoss);
  EXPECT_EQ(receiver.position().version, 2u);
  EXPECT_EQ(Threshold("b"), 2000u);
}

TEST_F(Receive, RefusesASnapshotWithAnEmptyEntryWhole) {
  Join();
  control.flags["c"] = "";
  ++control.version;
  EXPECT_FALSE(Give(control.Snapshot()).ok());
  EXPECT_EQ(receiver.position().version, 2u);
  EXPECT_TRUE(Threshold("a"));
}

TEST_F(Receive, ABeaconShowsWhatWasLost) {
  Join();
  control.Change("a", FlagBytes("a", 1500));
  ASSERT_TRUE(Give(control.Beacon()).ok());
  const auto request = Request();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->have_version, 2u);
}

TEST_F(Receive, ABeaconOfAnotherDigestAtOurVersionCastsDoubtOnEverything) {
  Join();
  control.flags["a"] = FlagBytes("a", 1);
  EXPECT_EQ(Give(control.Beacon()).code(), Code::kDataLoss);
  const auto request = Request();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->have_version, 0u);
  ASSERT_TRUE(Give(control.Snapshot()).ok()) << "the same version, other content";
  EXPECT_EQ(Threshold("a"), 1u);
  EXPECT_FALSE(receiver.IsBehind());
}

TEST_F(Receive, JittersItsRequestsAfterAHello) {
  random = 499;
  receiver.OnHello(now_ms);
  Join();  // the answer to the hello
  receiver.OnHello(now_ms);
  control.Change("a", FlagBytes("a", 1500));
  ASSERT_TRUE(Give(control.Beacon()).ok());
  EXPECT_FALSE(Request()) << "the answer to the hello may still come";
  now_ms += Receiver::kRetryMs;
  ASSERT_TRUE(Request());
  now_ms += Receiver::kRetryMs + 498;
  EXPECT_FALSE(Request());
  now_ms += 1;
  EXPECT_TRUE(Request());
}

TEST_F(Receive, RefusesAMalformedEntryAloneAndKeepsItsLastGood) {
  Join();
  const std::string broken = FlagBytes("a", 1500) + "x";
  ASSERT_TRUE(Give(control.Change("a", broken)).ok());
  ASSERT_TRUE(Give(control.Change("new", broken)).ok());
  EXPECT_EQ(receiver.position().version, 4u) << "the version advances";
  EXPECT_EQ(receiver.position().digest, control.Digest()) << "refused entries count";
  EXPECT_EQ(Threshold("a"), 1000u);
  EXPECT_FALSE(Threshold("new"));
  ASSERT_EQ(receiver.refused().size(), 2u);
  EXPECT_EQ(receiver.refused()[0].name, "a");
  EXPECT_EQ(receiver.refused()[0].code, "data_loss");
  EXPECT_FALSE(receiver.refused()[0].detail.empty());

  ASSERT_TRUE(Give(control.Change("a", broken + "y")).ok()) << "again";
  EXPECT_EQ(Threshold("a"), 1000u) << "still the last good one";
  ASSERT_TRUE(Give(control.Change("b", FlagBytes("b", 2500))).ok()) << "others are not held up";
  EXPECT_EQ(Threshold("b"), 2500u);

  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 1700))).ok());
  ASSERT_TRUE(Give(control.Change("new", "")).ok());
  EXPECT_EQ(Threshold("a"), 1700u);
  EXPECT_TRUE(receiver.refused().empty());
  EXPECT_EQ(receiver.position().digest, control.Digest());
}

TEST_F(Receive, RefusesAnUnknownEvenKeyAndSkipsAnOddOne) {
  Join();
  ASSERT_TRUE(Give(control.Change("a", WithUnknownKey(FlagBytes("a", 1500), 41))).ok());
  EXPECT_EQ(Threshold("a"), 1500u);
  EXPECT_TRUE(receiver.refused().empty());
  ASSERT_TRUE(Give(control.Change("a", WithUnknownKey(FlagBytes("a", 1600), 42))).ok());
  EXPECT_EQ(Threshold("a"), 1500u);
  ASSERT_EQ(receiver.refused().size(), 1u);
}

TEST_F(Receive, RefusesEntriesThatNoDecisionCouldStandOn) {
  Join();
  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 100'001))).ok());
  ASSERT_TRUE(Give(control.Change("b", FlagBytes("other", 1))).ok());
  EXPECT_EQ(receiver.refused().size(), 2u);
  EXPECT_EQ(Threshold("a"), 1000u);
  EXPECT_EQ(Threshold("b"), 2000u);

  wire::SnapshotBody body;
  const std::string experiment = codec::ToMsgpack(domain::ExperimentEntry{"e", "user_id", "s", {}});
  body.entries = {{4, "e", {experiment}}, {9, "f", {"?"}}};
  wire::SetDigest digest;
  digest.Add(wire::EntryHash(domain::EntryKind::kExperiment, "e", experiment));
  digest.Add(wire::EntryHash(static_cast<domain::EntryKind>(9), "f", "?"));
  body.digest = {digest.Raw()};
  ++control.version;
  ASSERT_TRUE(Give(control.Encode(wire::Type::kSnapshot, body)).ok());
  EXPECT_EQ(receiver.refused().size(), 2u) << "no groups; no such kind";
  EXPECT_EQ(receiver.ruleset()->experiments().size(), 0u);
}

TEST_F(Receive, RefusesVariantFlagsThatCannotBeEvaluatedHere) {
  Join();
  domain::FlagEntry good;
  good.name = "a";
  good.enabled = true;
  good.variants = {{"red", {"\"#f00\""}}, {"blue", {"\"#00f\""}}};
  good.default_variant = "red";
  good.targeting = {R"({"if": [{"==": [{"var": "plan"}, "gold"]}, "blue", null]})"};
  good.metadata = {R"({"team": "risk"})"};
  ASSERT_TRUE(Give(control.Change("a", codec::ToMsgpack(good))).ok());
  ASSERT_TRUE(receiver.refused().empty()) << receiver.refused()[0].detail;
  const auto refuses = [&](const char* field, auto&& spoil) {
    domain::FlagEntry bad = good;
    spoil(bad);
    EXPECT_TRUE(Give(control.Change("a", codec::ToMsgpack(bad))).ok());
    ASSERT_EQ(receiver.refused().size(), 1u) << field;
    EXPECT_EQ(receiver.refused()[0].detail.substr(0, std::string(field).size()), field);
    EXPECT_EQ(receiver.ruleset()->flags().Find("a")->default_variant, "red") << "the last good one";
    EXPECT_NE(receiver.ruleset()->flags().Find("a")->rule, nullptr);
  };
  refuses("targeting", [](auto& flag) { flag.targeting = {R"({"no_such_operator": [1]})"}; });
  refuses("targeting", [](auto& flag) { flag.targeting = {"{"}; });
  refuses("default_variant", [](auto& flag) { flag.default_variant = "green"; });
  refuses("off_variant", [](auto& flag) { flag.off_variant = "green"; });
  refuses("variants", [](auto& flag) { flag.variants[1].name = "red"; });
  refuses("variants.blue", [](auto& flag) { flag.variants[1].value = {"#00f"}; });
  refuses("metadata", [](auto& flag) { flag.metadata = {"[1]"}; });
  refuses("threshold", [](auto& flag) { flag.schedule = {{5, {}, 100'001, ""}}; });
  refuses("schedule", [](auto& flag) { flag.schedule = {{5, {}, {}, ""}, {4, {}, {}, ""}}; });
  refuses("schedule.default_variant", [](auto& flag) { flag.schedule = {{5, {}, {}, "green"}}; });
  domain::FlagEntry malformed;  // said by the control plane: it answers with that
  malformed.name = "a";
  malformed.malformed = "variants: is missing";
  malformed.default_variant = "green";
  ASSERT_TRUE(Give(control.Change("a", codec::ToMsgpack(malformed))).ok());
  EXPECT_TRUE(receiver.refused().empty());
  EXPECT_EQ(receiver.ruleset()->flags().Find("a")->malformed, "variants: is missing");
}

TEST_F(Receive, TakesStoresAndDropsWhatIsToBeObserved) {
  Join();
  const domain::ObservabilityEntry entry{
      "default", {.log_feature_decisions = true, .metric_prefix = "mlx_serving_feature_flags"}};
  wire::SnapshotBody body;
  const std::string bytes = codec::ToMsgpack(entry);
  body.entries = {{5, "default", {bytes}}};
  wire::SetDigest digest;
  digest.Add(wire::EntryHash(domain::EntryKind::kObservability, "default", bytes));
  body.digest = {digest.Raw()};
  ++control.version;
  ASSERT_TRUE(Give(control.Encode(wire::Type::kSnapshot, body)).ok());
  EXPECT_TRUE(receiver.refused().empty());
  EXPECT_EQ(receiver.ruleset()->observability(), entry.settings);

  const auto stored = receiver.Export(0);
  ASSERT_TRUE(stored.has_value());
  std::shared_ptr<const decision::Ruleset> restored;
  Receiver other(
      {}, [] { return 0; }, [&](auto rules) { restored = std::move(rules); });
  other.Restore(*stored);
  ASSERT_NE(restored, nullptr);
  EXPECT_EQ(restored->observability(), entry.settings);

  wire::SnapshotBody empty;
  empty.digest = {wire::SetDigest().Raw()};
  ++control.version;
  ASSERT_TRUE(Give(control.Encode(wire::Type::kSnapshot, empty)).ok());
  EXPECT_EQ(receiver.ruleset()->observability(), domain::ObservabilitySpec());
}

TEST_F(Receive, RefusesLowerEpochs) {
  Join();
  Published old = control;
  old.epoch = kEpoch - 1;
  old.version = 50;
  old.emergency = {kEpoch + 5, 60, true, false, false};
  EXPECT_EQ(Give(old.Snapshot()).code(), Code::kFailedPrecondition);
  EXPECT_EQ(Give(old.Beacon()).code(), Code::kFailedPrecondition);
  EXPECT_EQ(Give(old.Change("a", FlagBytes("a", 1))).code(), Code::kFailedPrecondition);
  EXPECT_EQ(Give(old.Emergency()).code(), Code::kFailedPrecondition);
  EXPECT_EQ(receiver.counters().fenced, 4u);
  EXPECT_EQ(receiver.position().version, 2u);
  EXPECT_FALSE(receiver.ruleset()->emergency.kill_switch);
  EXPECT_FALSE(Request());
}

TEST_F(Receive, ANewEpochIsFollowedDownToALowerVersion) {
  Join();
  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 1500))).ok());
  Published restored(kEpoch + 1);
  restored.Change("a", FlagBytes("a", 900));
  EXPECT_TRUE(Give(restored.Beacon()).ok());
  EXPECT_EQ(receiver.leader_epoch(), kEpoch + 1);
  EXPECT_EQ(receiver.position().epoch, kEpoch) << "not yet";
  EXPECT_EQ(Give(control.Change("a", FlagBytes("a", 1))).code(), Code::kFailedPrecondition);
  ASSERT_TRUE(Request());
  ASSERT_TRUE(Give(restored.Snapshot()).ok());
  EXPECT_EQ(receiver.ruleset()->epoch, kEpoch + 1);
  EXPECT_EQ(receiver.ruleset()->version, 1u);
  EXPECT_EQ(Threshold("a"), 900u);
  EXPECT_FALSE(Threshold("b"));
}

TEST_F(Receive, ANewEpochOfTheSameSetIsCarriedOn) {
  Join();
  const auto before = receiver.ruleset();
  control.epoch = kEpoch + 1;
  control.version = 7;
  ASSERT_TRUE(Give(control.Beacon()).ok());
  EXPECT_EQ(receiver.position().epoch, kEpoch + 1);
  EXPECT_EQ(receiver.position().version, 7u);
  EXPECT_EQ(receiver.ruleset()->flags().Find("a"), before->flags().Find("a"));
  EXPECT_FALSE(Request());
  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 1500))).ok());
}

TEST_F(Receive, ADeltaOfANewEpochIsAppliedOnlyToTheSetThatItWasMadeFrom) {
  Join();
  Published other = control;
  other.epoch = control.epoch = kEpoch + 1;
  other.flags["hidden"] = FlagBytes("hidden", 5);
  EXPECT_FALSE(Give(other.Change("a", FlagBytes("a", 1))).ok());
  EXPECT_EQ(Threshold("a"), 1000u);
  EXPECT_TRUE(Request());
  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 1500))).ok());
  EXPECT_EQ(receiver.ruleset()->epoch, kEpoch + 1);
  EXPECT_EQ(Threshold("a"), 1500u);
}

TEST_F(Receive, IsNotLedDownwardWithinAnEpoch) {
  Join();
  Published behind;
  behind.Change("a", FlagBytes("a", 1));
  ASSERT_TRUE(Give(behind.Beacon()).ok());
  EXPECT_TRUE(receiver.control_plane_behind());
  EXPECT_TRUE(Give(behind.Snapshot()).ok());
  EXPECT_EQ(receiver.position().version, 2u);
  EXPECT_EQ(Threshold("a"), 1000u);
  EXPECT_FALSE(Request());
  ASSERT_TRUE(Give(control.Beacon()).ok());
  EXPECT_FALSE(receiver.control_plane_behind());
}

TEST_F(Receive, LaysAnEmergencyOverWhateverItHas) {
  Join();
  control.emergency = {kEpoch, 3, true, false, false};
  ASSERT_TRUE(Give(control.Emergency()).ok());
  EXPECT_TRUE(receiver.ruleset()->emergency.kill_switch);
  EXPECT_EQ(receiver.ruleset()->version, 2u);
  const size_t count = told.size();
  ASSERT_TRUE(Give(control.Emergency()).ok());
  EXPECT_EQ(told.size(), count) << "not newer";

  control.emergency = {kEpoch, 2, false, false, false};
  ASSERT_TRUE(Give(control.Beacon()).ok());
  EXPECT_TRUE(receiver.ruleset()->emergency.kill_switch) << "older news";
  control.emergency = {kEpoch, 5, false, true, false};
  control.Change("a", FlagBytes("a", 1));  // lost
  EXPECT_FALSE(Give(control.Change("b", FlagBytes("b", 1))).ok()) << "a gap";
  EXPECT_TRUE(receiver.ruleset()->emergency.baseline) << "even a delta without its base brings it";
  EXPECT_FALSE(receiver.ruleset()->emergency.kill_switch);
}

TEST_F(Receive, AFreshNodeTakesAnEmptySet) {
  ASSERT_TRUE(Give(control.Beacon()).ok());
  ASSERT_TRUE(receiver.ruleset());
  EXPECT_EQ(receiver.ruleset()->epoch, kEpoch);
  EXPECT_FALSE(receiver.IsBehind());
}

TEST_F(Receive, IsStaleAfterThreeMissedBeacons) {
  EXPECT_TRUE(receiver.IsStale(now_ms, 1000)) << "none was ever heard";
  Join();
  EXPECT_FALSE(receiver.IsStale(now_ms + 3000, 1000));
  EXPECT_TRUE(receiver.IsStale(now_ms + 3001, 1000));
}

TEST_F(Receive, RefusesBodiesThatCannotBeRead) {
  Join();
  wire::Header header;
  header.epoch = kEpoch;
  header.version = 3;
  for (const auto type : {wire::Type::kDelta, wire::Type::kSnapshot, wire::Type::kBeacon,
                          wire::Type::kEmergency, wire::Type::kBatch}) {
    header.type = type;
    const Bytes bytes{wire::EncodeFrame(header, "\xdd\xff")};
    EXPECT_EQ(Give(bytes).code(), Code::kDataLoss);
  }
  EXPECT_EQ(receiver.counters().malformed, 5u);
  EXPECT_EQ(receiver.position().version, 2u);
  EXPECT_TRUE(Request());
}

TEST_F(Receive, KeepsTheAuditsHeadOfThisEpochAndOfTheOneBefore) {
  Join();
  EXPECT_TRUE(receiver.heard().empty()) << "of a control plane that does not say";
  const auto beacon = [&](uint64_t epoch, uint64_t rows, char hash) {
    wire::Header header;
    header.type = wire::Type::kBeacon;
    header.epoch = epoch;
    header.version = control.version;
    const wire::Beacon body{
        control.version, {control.Digest()}, 0, {}, {std::string(32, hash)}, rows};
    EXPECT_TRUE(Give(Bytes{wire::Encode(header, body)}).ok());
  };
  beacon(kEpoch, 5, 'a');
  beacon(kEpoch, 6, 'b');
  beacon(kEpoch + 1, 3, 'c');
  EXPECT_THAT(receiver.heard(),
              testing::ElementsAre(wire::HeardHead{kEpoch, 6, {std::string(32, 'b')}},
                                   wire::HeardHead{kEpoch + 1, 3, {std::string(32, 'c')}}));
  beacon(kEpoch + 2, 4, 'd');
  ASSERT_EQ(receiver.heard().size(), 2u);
  EXPECT_EQ(receiver.heard().front().epoch, kEpoch + 1);
}

}  // namespace
}  // namespace weir::node::snapshot
