// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/wire/telemetry_body.h"

namespace weir::control::ingest {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const telemetry::SeriesKey kCanaryKey{"model/fraud_detection", "1.1.0", "canary"};

telemetry::Series SeriesOf(uint64_t requests, uint64_t bad, double latency_ms = 5) {
  telemetry::Series series;
  series.counters = {{telemetry::kRequests, requests}};
  if (bad > 0) series.counters[telemetry::kBad] = bad;
  for (uint64_t i = 0; i < requests; ++i) {
    series.latency.Add(latency_ms);
    series.latency_digest.Add(latency_ms);
  }
  return series;
}

wire::Batch BatchOf(const std::string& node, std::vector<wire::Series> series, int64_t end_ms) {
  wire::Batch batch;
  batch.node = node;
  batch.incarnation = 1;
  batch.seq = 1;
  batch.window_start_ms = end_ms - 100;
  batch.window_end_ms = end_ms;
  batch.series = std::move(series);
  return batch;
}

TEST(Folder, AddsUpWhatNodesCounted) {
  Folder folder;
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(10, 1))}, 0), 50'000, 0);
  folder.Add(BatchOf("n2", {wire::ToWire(kCanaryKey, SeriesOf(5, 2))}, 0), 50'010, 0);
  const TelemetryTick tick = folder.Take();
  EXPECT_EQ(tick.live.at(kCanaryKey).Counter("requests"), 15u);
  EXPECT_EQ(tick.live.at(kCanaryKey).Counter("bad"), 3u);
  EXPECT_EQ(tick.live.at(kCanaryKey).latency.Count(), 15u);
  EXPECT_EQ(tick.by_node.at(kCanaryKey).at("n1"), (telemetry::NodeCount{10, 1}));
  EXPECT_EQ(tick.by_node.at(kCanaryKey).at("n2"), (telemetry::NodeCount{5, 2}));
  ASSERT_THAT(tick.history, SizeIs(1));
  EXPECT_EQ(tick.history.begin()->first, 50'000);
  EXPECT_EQ(tick.history.begin()->second, tick.live);
  EXPECT_TRUE(folder.Take().Empty()) << "a tick is handed over once";
}

TEST(Folder, OldDataGoesToHistoryButNotToJudgement) {
  Folder folder;
  folder.OnNodeClock({"n1", 1}, 1'000, 101'000);  // the node's clock is 100 s behind ours
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(3, 0))}, 1'500), 111'601, 0);
  const TelemetryTick old = folder.Take();
  EXPECT_THAT(old.live, IsEmpty());
  EXPECT_EQ(old.history.at(101'000).at(kCanaryKey).Counter("requests"), 3u);
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(3, 0))}, 1'500), 111'400, 0);
  EXPECT_EQ(folder.Take().live.at(kCanaryKey).Counter("requests"), 3u) << "10 s old is still live";
}

TEST(Folder, AWindowThatAnOutageMadeLongIsNotJudged) {
  Folder folder;
  folder.OnNodeClock({"n1", 1}, 600'000, 600'000);
  wire::Batch batch = BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(3, 3))}, 600'000);
  batch.window_start_ms = 1'000;
  folder.Add(batch, 600'000, 0);
  const TelemetryTick tick = folder.Take();
  EXPECT_THAT(tick.live, IsEmpty());
  EXPECT_EQ(tick.history.at(600'000).at(kCanaryKey).Counter("requests"), 3u);
}

TEST(Folder, ANodeWhoseMachineWasSuspendedIsJudgedAgain) {
  Folder folder;
  folder.OnNodeClock({"n1", 1}, 1'000, 1'000);
  for (int64_t ms = 2'000; ms <= 70'000; ms += 1'000) {  // its clock stood still for a minute
    folder.OnNodeClock({"n1", 1}, ms, ms + 60'000);
  }
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(1, 0))}, 70'000), 130'000, 0);
  EXPECT_EQ(folder.Take().live.size(), 1u);
}

TEST(Folder, TheLeastDelayedMessageSetsTheClockAndARestartForgetsIt) {
  Folder folder;
  folder.OnNodeClock({"n1", 1}, 1'000, 109'000);  // delayed by 8 s
  folder.OnNodeClock({"n1", 1}, 2'000, 102'000);
  folder.OnNodeClock({"n1", 1}, 3'000, 105'000);
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(1, 0))}, 3'000), 105'000, 0);
  EXPECT_THAT(folder.Take().history, testing::Contains(testing::Key(103'000)));
  folder.OnNodeClock({"n1", 2}, 0, 106'000);
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(1, 0))}, 3'000), 107'000, 0);
  EXPECT_THAT(folder.Take().history, testing::Contains(testing::Key(107'000)))
      << "the other life's clock is unknown: as old as its arrival";
}

TEST(Folder, NeverPutsDataIntoTheFuture) {
  Folder folder;
  folder.OnNodeClock({"n1", 1}, 1'000, 101'000);
  folder.Add(BatchOf("n1", {wire::ToWire(kCanaryKey, SeriesOf(1, 0))}, 99'000), 102'000, 0);
  EXPECT_THAT(folder.Take().history, testing::Contains(testing::Key(102'000)));
}

TEST(Folder, LeavesOutAMalformedSeriesAndCountsTheRest) {
  Folder folder;
  wire::Series bad = wire::ToWire(kCanaryKey, SeriesOf(2, 0));
  bad.latency_digest = {5, 1, 4, 1};
  const telemetry::SeriesKey stable{"model/fraud_detection", "1.0.0", "stable"};
  folder.Add(BatchOf("n1", {bad, wire::ToWire(stable, SeriesOf(2, 0))}, 0), 1'000, 0);
  const TelemetryTick tick = folder.Take();
  EXPECT_THAT(tick.live, SizeIs(1));
  EXPECT_EQ(tick.live.count(stable), 1u);
  EXPECT_EQ(folder.malformed_series(), 1u);
  EXPECT_THAT(folder.last_error(), testing::HasSubstr("out of order"));
}

TEST(Folder, FlagsGoNeitherIntoTheHistoryNorToJudgement) {
  Folder folder;
  folder.OnNodeClock({"n1", 1}, 0, 50'000);
  telemetry::Series counted;
  counted.counters = {{telemetry::kRequests, 7}};
  folder.Add(BatchOf("n1",
                     {wire::ToWire({"flag/checkout", "", "on"}, counted),
                      wire::ToWire({"flag/checkout", "", ""}, counted)},
                     1'234),
             60'000, 0);
  folder.Add(BatchOf("n1",
                     {wire::ToWire({"flag/checkout", "", "on"}, counted),
                      wire::ToWire({"flag/checkout", "12", "off"}, counted)},
                     1'234),
             60'000, 0);
  const TelemetryTick tick = folder.Take();
  EXPECT_THAT(tick.live, IsEmpty());
  EXPECT_THAT(tick.history, IsEmpty());
  // To the millisecond: periods begin anywhere.
  EXPECT_EQ(tick.flags, (std::map<FlagWindow, FlagCounts>{
                            {{51'234, 0}, {{"checkout", {{"on", 14u}, {"", 7u}}}}},
                            {{51'234, 12}, {{"checkout", {{"off", 7u}}}}}}));
  EXPECT_TRUE(folder.Take().Empty());
  EXPECT_EQ(folder.malformed_series(), 0u);
}

constexpr int64_t kWallMs = 1'763'683'200'000;

wire::Batch Samples(const std::string& node, int count, const wire::DecisionSample& sample) {
  wire::Batch batch = BatchOf(node, {}, 0);
  batch.decisions.assign(count, sample);
  return batch;
}
const wire::DecisionSample kSample{"checkout", "#ab12", "on", "SPLIT", kWallMs};

TEST(DecisionSamples, KeepToTheBudgetAndLeaveRoomForOtherNodes) {
  DecisionSamples samples;
  samples.Add(Samples("loud", 100, kSample), 5'000, kWallMs);
  EXPECT_THAT(samples.Take(), SizeIs(DecisionSamples::kPerNodeAndSecond));
  samples.Add(Samples("n2", 3, kSample), 5'100, kWallMs);
  const auto shown = samples.Take();
  ASSERT_THAT(shown, SizeIs(3));
  EXPECT_EQ(shown[0].node, "n2");
  EXPECT_EQ(shown[0].sample.flag, "checkout");
  for (int i = 0; i < 10; ++i)
    samples.Add(Samples("node" + std::to_string(i), 10, kSample), 5'900, kWallMs);
  EXPECT_THAT(samples.Take(), SizeIs(DecisionSamples::kPerSecond - 13));
  samples.Add(Samples("loud", 1, kSample), 6'000, kWallMs);
  EXPECT_THAT(samples.Take(), SizeIs(1)) << "another second";
  EXPECT_EQ(samples.left_out(), 90u + 93u);
}

TEST(DecisionSamples, LeaveOutWhatIsHostile) {
  const auto spoiled = [](auto change) {
    wire::DecisionSample sample = kSample;
    change(sample);
    return sample;
  };
  const wire::DecisionSample kBad[] = {
      spoiled([](auto& s) { s.flag = "a b"; }),
      spoiled([](auto& s) { s.key = "\xff"; }),
      spoiled([](auto& s) { s.key = "\xed\xa0\x80"; }),
      spoiled([](auto& s) { s.key = "\xc0\xaf"; }),
      spoiled([](auto& s) { s.key = "caf\xc3"; }),
      spoiled([](auto& s) { s.key = std::string(DecisionSamples::kMaxText + 1, 'k'); }),
      spoiled([](auto& s) { s.outcome = std::string(1000, 'o'); }),
      spoiled([](auto& s) { s.reason = "\xf8"; }),
      spoiled([](auto& s) { s.at_wall_ms = INT64_MAX; }),
      spoiled([](auto& s) { s.at_wall_ms = INT64_MIN; }),
  };
  DecisionSamples samples;
  int64_t now_ms = 0;
  for (const wire::DecisionSample& sample : kBad)
    samples.Add(Samples("n1", 1, sample), now_ms += 1'000, kWallMs);
  EXPECT_THAT(samples.Take(), IsEmpty());
  EXPECT_EQ(samples.left_out(), std::size(kBad));
  samples.Add(Samples("n1", 1, spoiled([](auto& s) { s.key = "J\xc3\xbcrgen \xf0\x9f\x98\x80"; })),
              now_ms + 1'000, kWallMs);
  EXPECT_THAT(samples.Take(), SizeIs(1));
  samples.Add(Samples("n1", 1, spoiled([](auto& s) { s.key = "a\x1b[2J\n"; })), now_ms + 2'000,
              kWallMs);
  EXPECT_EQ(samples.Take().at(0).sample.key, "a?[2J?") << "nothing that a terminal obeys";
}

}  // namespace
}  // namespace weir::control::ingest
