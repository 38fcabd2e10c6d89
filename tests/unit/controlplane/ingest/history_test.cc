// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "controlplane/ingest/ledger.h"

namespace weir::control::ingest {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'763'683'200'000;  // a full hour
const telemetry::SeriesKey kStableKey{"model/m", "1", "stable"};

telemetry::Window WindowOf(uint64_t requests, uint64_t bad) {
  telemetry::Window window;
  telemetry::Series& series = window[kStableKey];
  series.counters = {{telemetry::kRequests, requests}, {telemetry::kBad, bad}};
  for (uint64_t i = 0; i < requests; ++i) {
    series.latency.Add(static_cast<double>(i + 1));
    series.latency_digest.Add(static_cast<double>(i + 1));
  }
  return window;
}

TEST(History, AnswersFromTheTierThatFits) {
  History history;
  for (int second = 0; second < 20; ++second) history.Add(kNow + second * 1000, WindowOf(10, 1));
  const int64_t now = kNow + 20'000;
  const auto fine = history.Query("model/m", kNow, now, 1000, now);
  ASSERT_TRUE(fine.ok());
  ASSERT_THAT((*fine)["series"], SizeIs(1));
  EXPECT_THAT((*fine)["series"][0]["points"], SizeIs(20));
  const auto coarse = history.Query("model/m", kNow, now, 10'000, now);
  ASSERT_THAT((*coarse)["series"][0]["points"], SizeIs(2));
  const codec::Json& point = (*coarse)["series"][0]["points"][0];
  EXPECT_EQ(point["requests"], 100);
  EXPECT_DOUBLE_EQ(point["error_rate"], 0.1);
  EXPECT_EQ(point["at"], "2025-11-21T00:00:00.000Z");
  EXPECT_NEAR(point["p95_latency_ms"].get<double>(), 10, 0.6);
  const auto old = history.Query("model/m", kNow - 7'200'000, now, 1000, now);
  EXPECT_EQ((*old)["step_ms"], 60'000) << "only minutes reach back that far";
  EXPECT_EQ((*old)["series"][0]["points"][0]["requests"], 200);
}

TEST(History, ShowsHowLongRequestsWaitedWhereTheyDid) {
  History history;
  telemetry::Window window = WindowOf(10, 0);
  for (int ms = 0; ms < 10; ++ms) window.begin()->second.queue.Add(ms);
  history.Add(kNow, window);
  history.Add(kNow + 1000, WindowOf(10, 0));
  const auto found = history.Query("model/m", kNow, kNow + 2000, 1000, kNow + 2000);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  const codec::Json& points = (*found)["series"][0]["points"];
  EXPECT_NEAR(points[0]["p50_queue_ms"].get<double>(), 4.5, 1);
  EXPECT_EQ(points[0]["p99_queue_ms"], 9);
  EXPECT_FALSE(points[0].contains("p50_ttft_ms"));
  EXPECT_FALSE(points[1].contains("p50_queue_ms"));
}

TEST(History, WindowsAreGivenByTheFinestTierThatReachesBack) {
  History history;
  const auto& tiers = History::kTiers;
  EXPECT_EQ(history.FinestSince(kNow, kNow + 1000).step_ms, tiers[0].step_ms);
  for (int second = 0; second < 120; ++second) history.Add(kNow + second * 1000, WindowOf(10, 1));
  const int64_t now = kNow + 120'000;
  EXPECT_EQ(history.FinestSince(now - 30'000, now).step_ms, tiers[0].step_ms);
  EXPECT_EQ(history.FinestSince(kNow, now).step_ms, tiers[1].step_ms);
  EXPECT_EQ(history.FinestSince(now - 2LL * 86'400'000, now).step_ms, tiers[3].step_ms);
  std::vector<int64_t> starts;
  uint64_t requests = 0;
  history.ForEach(tiers[1], kNow + 15'000, kNow + 40'000,
                  [&](int64_t start_ms, const telemetry::Window& window) {
                    starts.push_back(start_ms - kNow);
                    requests += window.at(kStableKey).Counter(telemetry::kRequests);
                  });
  EXPECT_THAT(starts, testing::ElementsAre(10'000, 20'000, 30'000));
  EXPECT_EQ(requests, 300u);
}

TEST(History, AfterARestartOnlyStoredTiersReachBack) {
  History before;
  for (int minute = 0; minute < 30; ++minute) before.Add(kNow + minute * 60'000, WindowOf(10, 1));
  History history;
  for (const store::WindowRow& row : before.TakeDirty()) ASSERT_TRUE(history.Restore(row).ok());
  const int64_t now = kNow + 30 * 60'000;
  history.Add(now - 1000, WindowOf(10, 1));
  EXPECT_EQ(history.FinestSince(kNow, now).step_ms, 60'000);
}

TEST(History, RefusesRangesThatMakeNoSense) {
  const History history;
  EXPECT_EQ(history.Query("m", kNow, kNow, 1000, kNow).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(history.Query("m", kNow, kNow + 100'000'000, 1000, kNow).status().field(), "step");
}

TEST(History, KeepsEachTierAsLongAsItSaysAndNothingUnstored) {
  History history;
  history.Add(kNow, WindowOf(1, 0));
  EXPECT_EQ(history.WindowCount(), 4u);
  history.Prune(kNow + 60'001);
  EXPECT_EQ(history.WindowCount(), 3u);
  history.Prune(kNow + 3'600'001);
  EXPECT_EQ(history.WindowCount(), 2u);
  history.Prune(kNow + 86'400'001);
  EXPECT_EQ(history.WindowCount(), 2u) << "the minute is not stored yet";
  EXPECT_THAT(history.TakeDirty(), SizeIs(2));
  history.Prune(kNow + 86'400'001);
  EXPECT_EQ(history.WindowCount(), 1u);
}

TEST(History, StoredWindowsComeBackAsTheyWere) {
  History history;
  history.Add(kNow, WindowOf(7, 2));
  const auto rows = history.TakeDirty();
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_THAT(history.TakeDirty(), IsEmpty());
  History restored;
  for (const store::WindowRow& row : rows) ASSERT_TRUE(restored.Restore(row).ok());
  restored.Add(kNow + 1000, WindowOf(3, 0));
  const auto answer = restored.Query("model/m", kNow, kNow + 60'000, 60'000, kNow + 60'000);
  EXPECT_EQ((*answer)["series"][0]["points"][0]["requests"], 10);
  EXPECT_EQ((*answer)["series"][0]["points"][0]["bad"], 2);
}

TEST(History, DamagedRowsAreRefused) {
  History history;
  store::WindowRow row{"model/m", "1", "stable", 60'000, kNow, "\xdd\xff\xff\xff\xff"};
  EXPECT_EQ(history.Restore(row).code(), Code::kDataLoss);
  EXPECT_EQ(history.WindowCount(), 0u);
}

const domain::Resource* NoFlag(const std::string&) { return nullptr; }

class LedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/weir-ledger-XXXXXX";
    directory_ = ::mkdtemp(pattern);
    Open();
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Open() {
    store_.reset();
    auto opened = store::Store::Open(directory_, clock_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = *std::move(opened);
  }
  TelemetryTick TickOf(uint64_t seq, uint64_t requests) {
    TelemetryTick tick;
    tick.live = WindowOf(requests, 0);
    tick.history[clock_.MonotonicMs()] = tick.live;
    tick.high_waters[{"n1", 5}] = {.seq = seq, .lost = 1, .counted = seq - 1};
    return tick;
  }

  ManualClock clock_;
  std::string directory_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(LedgerTest, ARestartGoesOnFromTheLastCommit) {
  {
    Ledger ledger(*store_, clock_, NoFlag);
    ASSERT_TRUE(ledger.Load().ok());
    ledger.Add(TickOf(3, 10));
    const auto stored = ledger.Commit({{"rollouts", "{\"a\":1}"}});
    ASSERT_TRUE(stored.ok()) << stored.status().ToString();
    EXPECT_EQ(stored->at({"n1", 5}).seq, 3u);
    ledger.Add(TickOf(4, 100));  // lost with the process: never acknowledged
  }
  Open();
  Ledger ledger(*store_, clock_, NoFlag);
  const auto committed = ledger.Load();
  ASSERT_TRUE(committed.ok());
  EXPECT_EQ(committed->at({"n1", 5}), (HighWater{.seq = 3, .lost = 1, .counted = 2}));
  const int64_t now = clock_.WallMs();
  const auto answer = ledger.history().Query("model/m", now - 3'600'000, now + 1, 60'000, now);
  EXPECT_EQ((*answer)["series"][0]["points"][0]["requests"], 10);
  EXPECT_EQ(store_->LoadStates("rollouts")->at("rollouts"), "{\"a\":1}");
}

TEST_F(LedgerTest, CommitsNothingWhenNothingIsNew) {
  Ledger ledger(*store_, clock_, NoFlag);
  ASSERT_TRUE(ledger.Load().ok());
  EXPECT_FALSE(ledger.IsDue() && clock_.MonotonicMs() < Ledger::kCommitEveryMs);
  ASSERT_TRUE(ledger.Commit({{"rollouts", "{}"}}).ok());
  EXPECT_FALSE(ledger.IsDue());
  clock_.AdvanceMs(Ledger::kCommitEveryMs);
  EXPECT_TRUE(ledger.IsDue());
  EXPECT_THAT(*ledger.Commit({{"rollouts", "{}"}}), IsEmpty());
}

}  // namespace
}  // namespace weir::control::ingest
