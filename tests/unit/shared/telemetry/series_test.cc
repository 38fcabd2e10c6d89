// SPDX-License-Identifier: Apache-2.0
#include "shared/telemetry/series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::telemetry {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const SeriesKey kStable{"model/fraud_detection", "1.0.0", kArmStable};
const SeriesKey kCanary{"model/fraud_detection", "1.1.0", kArmCanary};

TEST(HashKey, IsFnv1a32) {  // vectors of Fowler, Noll and Vo
  EXPECT_EQ(HashKey(""), 0x811c9dc5u);
  EXPECT_EQ(HashKey("a"), 0xe40c292cu);
  EXPECT_EQ(HashKey("foobar"), 0xbf9cf968u);
}

TEST(Shard, HandsOverWhatWasRecordedOnce) {
  Shard shard;
  const auto stable = shard.Prepare(kStable);
  const auto canary = shard.Prepare(kCanary);
  EXPECT_EQ(shard.Prepare(kStable), stable);
  for (int i = 0; i < 10; ++i) stable->RecordAnswer(5, false, HashKey("u"));
  canary->RecordAnswer(7, true, HashKey("u1"));
  canary->RecordAnswer(9, true, HashKey("u1"));
  canary->Count(Cell::kShed, 3);

  const Window window = shard.Take();
  ASSERT_THAT(window, SizeIs(2));
  EXPECT_THAT(window.at(kStable).counters, UnorderedElementsAre(Pair(kRequests, 10)));
  EXPECT_THAT(window.at(kCanary).counters,
              UnorderedElementsAre(Pair(kRequests, 2), Pair(kBad, 2), Pair(kShed, 3)));
  EXPECT_THAT(window.at(kCanary).bad_keys, ElementsAre(HashKey("u1")));
  EXPECT_EQ(window.at(kStable).latency.Count(), 10u);
  EXPECT_EQ(window.at(kCanary).latency_digest.Quantile(1), 9);
  EXPECT_TRUE(shard.Take().empty());
}

TEST(Shard, QueueTimesAreHandedOverOnceAndMerge) {
  Shard shard;
  const auto cell = shard.Prepare(kStable);
  for (const double waited_ms : {0.0, 4.0, 8.0}) {
    cell->RecordAnswer(20, false, 0);
    cell->RecordQueue(waited_ms);
  }
  Window window = shard.Take();
  EXPECT_EQ(window.at(kStable).queue.Count(), 3);
  EXPECT_EQ(window.at(kStable).queue.Quantile(0.5), 4);
  Merge(window, window);
  EXPECT_EQ(window.at(kStable).queue.Count(), 6);
  EXPECT_EQ(window.at(kStable).queue.Quantile(1), 8);
  cell->RecordAnswer(20, false, 0);
  EXPECT_TRUE(shard.Take().at(kStable).queue.Empty());
}

TEST(Shard, TimesToFirstTokensAreHandedOverOnceAndMerge) {
  Shard shard;
  const auto cell = shard.Prepare(kStable);
  for (const double ttft_ms : {5.0, 7.0, 9.0}) {
    cell->RecordAnswer(20, false, 0);
    cell->RecordTtft(ttft_ms);
  }
  Window window = shard.Take();
  EXPECT_EQ(window.at(kStable).ttft.Count(), 3);
  EXPECT_EQ(window.at(kStable).ttft.Quantile(0.5), 7);
  Merge(window, window);
  EXPECT_EQ(window.at(kStable).ttft.Count(), 6);
  cell->RecordAnswer(20, false, 0);
  EXPECT_TRUE(shard.Take().at(kStable).ttft.Empty());
}

TEST(Shard, DropsCellsThatNobodyHolds) {
  Shard shard;
  const auto kept = shard.Prepare(kStable);
  shard.Prepare(kCanary)->RecordAnswer(1, false, 0);
  EXPECT_THAT(shard.Take(), SizeIs(1));
  EXPECT_EQ(shard.CellCount(), 1u);
  kept->RecordAnswer(1, false, 0);
  EXPECT_THAT(shard.Take(), SizeIs(1));
}

TEST(Series, KeepsAFewDistinctBadKeys) {
  Shard shard;
  const auto cell = shard.Prepare(kCanary);
  for (uint32_t i = 0; i < 40; ++i) cell->RecordAnswer(1, true, i / 2);
  EXPECT_THAT(shard.Take().at(kCanary).bad_keys, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(Window, MergesByKey) {
  Shard one;
  Shard two;
  const auto a = one.Prepare(kCanary);
  const auto b = two.Prepare(kCanary);
  const auto c = two.Prepare(kStable);
  a->RecordAnswer(1, true, 11);
  b->RecordAnswer(2, true, 12);
  b->RecordAnswer(3, false, 13);
  c->RecordAnswer(4, false, 14);
  Window sum = one.Take();
  Merge(sum, two.Take());
  ASSERT_THAT(sum, SizeIs(2));
  const Series& canary = sum.at(kCanary);
  EXPECT_EQ(canary.Counter(kRequests), 3u);
  EXPECT_EQ(canary.Counter(kBad), 2u);
  EXPECT_EQ(canary.Counter("never_counted"), 0u);
  EXPECT_EQ(canary.latency.Count(), 3u);
  EXPECT_EQ(canary.latency_digest.Quantile(0.5), 2);
  EXPECT_THAT(canary.bad_keys, ElementsAre(11, 12));
}

}  // namespace
}  // namespace weir::telemetry
