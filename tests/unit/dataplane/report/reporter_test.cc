// SPDX-License-Identifier: Apache-2.0
#include "dataplane/report/reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "shared/wire/telemetry_body.h"

namespace weir::node::report {
namespace {

using testing::ElementsAre;

telemetry::Window Answers(const std::string& version, uint64_t requests, uint64_t bad = 0) {
  telemetry::Series series;
  series.counters[telemetry::kRequests] = requests;
  if (bad > 0) series.counters[telemetry::kBad] = bad;
  series.latency.Add(3.5, requests);
  for (uint64_t i = 0; i < requests; ++i) series.latency_digest.Add(3.5);
  return {{{"model/fraud", version, telemetry::kArmStable}, series}};
}

class ReporterTest : public testing::Test {
 protected:
  static ReporterOptions Options() {
    ReporterOptions options;
    options.node = "n1";
    options.incarnation = 77;
    return options;
  }
  // One tick: what was recorded since the last, and a flush.
  void Tick(const telemetry::Window& window = {}, bool watched = true) {
    now_ms += 100;
    reporter.Add(window, now_ms);
    Flush(watched);
  }
  void Flush(bool watched = true) {
    reporter.Flush(now_ms, watched, [this](const std::string& frame) {
      if (!is_open) return false;
      frames.push_back(frame);
      return true;
    });
  }
  wire::Batch BatchOf(size_t index) const {
    const auto frame = wire::DecodeFrame(frames.at(index));
    EXPECT_EQ(frame->header.topic, wire::Topic::kTelemetry);
    EXPECT_EQ(frame->header.type, wire::Type::kBatch);
    return *wire::Decode<wire::Batch>(*frame);
  }
  std::vector<uint64_t> Numbers() const {
    std::vector<uint64_t> numbers;
    for (size_t i = 0; i < frames.size(); ++i) numbers.push_back(BatchOf(i).seq);
    return numbers;
  }
  // Requests over all batches, each number counted once.
  uint64_t Sent() const {
    std::map<uint64_t, uint64_t> requests;
    for (size_t i = 0; i < frames.size(); ++i) {
      const wire::Batch batch = BatchOf(i);
      requests[batch.seq] = 0;
      for (const wire::Series& series : batch.series) {
        requests[batch.seq] += series.counters.at(telemetry::kRequests);
      }
    }
    uint64_t sum = 0;
    for (const auto& [seq, count] : requests) sum += count;
    return sum;
  }

  int64_t now_ms = 10'000;
  bool is_open = true;
  std::vector<std::string> frames;
  std::optional<Reporter> owner{Options()};
  Reporter& reporter = *owner;  // stays, whatever is emplaced
};

TEST_F(ReporterTest, SaysNothingWhenNothingWasCounted) {
  for (int i = 0; i < 50; ++i) Tick();
  EXPECT_TRUE(frames.empty());
  EXPECT_EQ(reporter.oldest_unacked(), 0u);
  EXPECT_EQ(reporter.pending_batches(), 0u);
}

TEST_F(ReporterTest, NumbersBatchesWithoutGapsAndSaysWhatTheyCover) {
  Tick(Answers("1", 3));
  Tick(Answers("1", 4));
  ASSERT_THAT(Numbers(), ElementsAre(1, 2));
  const wire::Batch batch = BatchOf(1);
  EXPECT_EQ(batch.node, "n1");
  EXPECT_EQ(batch.incarnation, 77u);
  EXPECT_EQ(batch.window_start_ms, 10'100);
  EXPECT_EQ(batch.window_end_ms, 10'200);
  ASSERT_EQ(batch.series.size(), 1u);
  const auto series = wire::FromWire(batch.series[0]);
  ASSERT_TRUE(series.ok()) << series.status().ToString();
  EXPECT_EQ(series->second, Answers("1", 4).begin()->second);
  EXPECT_EQ(reporter.oldest_unacked(), 1u);
}

TEST_F(ReporterTest, FlushesEverySecondUnlessWatchedOrSomethingIsBad) {
  Tick(Answers("1", 1), false);
  const size_t first = frames.size();
  for (int i = 0; i < 9; ++i) Tick(Answers("1", 1), false);
  EXPECT_EQ(frames.size(), first);
  Tick(Answers("1", 1), false);
  EXPECT_EQ(frames.size(), first + 1);
  Tick(Answers("1", 1), false);
  EXPECT_EQ(frames.size(), first + 1);
  Tick(Answers("1", 2, 1), false);
  EXPECT_EQ(frames.size(), first + 2) << "something bad goes at once";
  Tick(Answers("1", 1), true);
  EXPECT_EQ(frames.size(), first + 3) << "so does anything while a split is active";
}

TEST_F(ReporterTest, ResendsTheSameBytesAfterThreeSeconds) {
  Tick(Answers("1", 3));
  for (int i = 0; i < 29; ++i) Tick();
  ASSERT_EQ(frames.size(), 1u);
  Tick();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0], frames[1]);
}

TEST_F(ReporterTest, ResendsTheSameBytesOnANewSession) {
  Tick(Answers("1", 3));
  Tick(Answers("1", 4));
  reporter.OnAck(77, 1);
  reporter.OnSession();
  Tick();
  ASSERT_THAT(Numbers(), ElementsAre(1, 2, 2));
  EXPECT_EQ(frames[1], frames[2]);
}

TEST_F(ReporterTest, KeepsABatchThatTheSocketDidNotTake) {
  is_open = false;
  Tick(Answers("1", 3));
  EXPECT_TRUE(frames.empty());
  is_open = true;
  Tick(Answers("1", 4));
  EXPECT_THAT(Numbers(), ElementsAre(1, 2));
  EXPECT_EQ(BatchOf(0).series[0].counters.at(telemetry::kRequests), 3u);
}

TEST_F(ReporterTest, AcknowledgementsComeInAnyOrderAndOnlyTheirOwnCount) {
  for (int i = 0; i < 5; ++i) Tick(Answers("1", 1));
  reporter.OnAck(77, 3);
  EXPECT_EQ(reporter.oldest_unacked(), 4u);
  reporter.OnAck(77, 1);
  EXPECT_EQ(reporter.oldest_unacked(), 4u);
  reporter.OnAck(76, 5);
  EXPECT_EQ(reporter.oldest_unacked(), 4u);
  EXPECT_EQ(reporter.in_flight(), 2u);
  reporter.OnAck(77, 5);
  EXPECT_EQ(reporter.in_flight(), 0u);
  EXPECT_EQ(reporter.oldest_unacked(), 6u) << "five were sent, so it is not 0";
  reporter.OnAck(77, 900);
  Tick(Answers("1", 1));
  EXPECT_EQ(reporter.oldest_unacked(), 6u);
}

TEST_F(ReporterTest, MergesWhileTheWindowIsFullAndLosesNothing) {
  for (int i = 0; i < 100; ++i) Tick(Answers(i % 2 == 0 ? "1" : "2", 2));
  EXPECT_EQ(reporter.in_flight(), 32u);
  EXPECT_EQ(reporter.pending_batches(), 33u);
  EXPECT_LT(Sent(), 200u);
  reporter.OnAck(77, 32);
  Tick();
  const wire::Batch merged = BatchOf(frames.size() - 1);
  EXPECT_EQ(merged.seq, 33u);
  EXPECT_EQ(merged.window_start_ms, 10'000 + 32 * 100);
  EXPECT_EQ(merged.series.size(), 2u);
  EXPECT_EQ(Sent(), 200u);
  for (const wire::Series& series : merged.series) EXPECT_TRUE(wire::FromWire(series).ok());
}

TEST_F(ReporterTest, NumbersNothingWithoutASession) {
  for (int i = 0; i < 1000; ++i) {  // an outage: windows are added and never flushed
    now_ms += 100;
    reporter.Add(Answers("1", 2), now_ms);
  }
  EXPECT_EQ(reporter.oldest_unacked(), 0u);
  EXPECT_LT(reporter.pending_bytes(), 8192u) << "merged, not queued";
  Flush();
  ASSERT_THAT(Numbers(), ElementsAre(1));
  EXPECT_EQ(Sent(), 2000u);
}

TEST_F(ReporterTest, SplitsWhatDoesNotFitIntoOneFrame) {
  ReporterOptions options = Options();
  options.max_frame_bytes = 1000;
  owner.emplace(options);
  telemetry::Window window;
  for (int i = 0; i < 40; ++i) {
    telemetry::Merge(window, Answers("version-" + std::to_string(i), 1));
  }
  Tick(window);
  EXPECT_GT(frames.size(), 2u);
  std::set<std::string> versions;
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_LE(frames[i].size(), 1000u);
    for (const wire::Series& series : BatchOf(i).series) versions.insert(series.version);
  }
  EXPECT_EQ(versions.size(), 40u);
  EXPECT_EQ(Sent(), 40u);
}

telemetry::Window Decisions(const std::string& flag, uint64_t count) {
  telemetry::Series series;
  series.counters[telemetry::kRequests] = count;
  return {{{telemetry::kFlagSubject + flag, "", telemetry::kArmOn}, series}};
}

TEST_F(ReporterTest, FlagsWaitForTheSlowRateWhateverElseIsDue) {
  Tick();  // the first second begins
  const auto flag_batches = [this] {
    std::vector<uint64_t> counts;
    for (size_t i = 0; i < frames.size(); ++i) {
      for (const wire::Series& series : BatchOf(i).series) {
        if (series.subject == "flag/f") counts.push_back(series.counters.at(telemetry::kRequests));
      }
    }
    return counts;
  };
  for (int i = 0; i < 10; ++i) Tick(Decisions("f", 1));
  EXPECT_THAT(flag_batches(), ElementsAre(10)) << "alone, although watched";
  EXPECT_EQ(frames.size(), 1u);
  for (int i = 0; i < 9; ++i) {
    telemetry::Window window = Decisions("f", 1);
    telemetry::Merge(window, Answers("1", 1, 1));
    Tick(window);
  }
  EXPECT_EQ(frames.size(), 10u) << "what is judged goes at once";
  EXPECT_THAT(flag_batches(), ElementsAre(10));
  Tick(Decisions("f", 1));
  EXPECT_THAT(flag_batches(), ElementsAre(10, 10));
  EXPECT_EQ(reporter.pending_bytes(), 0u);
  EXPECT_EQ(reporter.pending_batches(), frames.size());
}

TEST_F(ReporterTest, FlagsAreNotLostWhenEverythingIsFlushed) {
  reporter.Add(Decisions("f", 3), now_ms);
  EXPECT_EQ(reporter.pending_batches(), 1u);
  reporter.FlushAll(now_ms, [this](const std::string& frame) {
    frames.push_back(frame);
    return true;
  });
  EXPECT_EQ(Sent(), 3u);
}

wire::DecisionSample SampleOf(int number) { return {"flag", "#0123456789", "on", "SPLIT", number}; }

TEST_F(ReporterTest, CarriesTheLastDecisionsThatWerePickedOut) {
  std::vector<wire::DecisionSample> samples;
  for (int i = 0; i < 30; ++i) samples.push_back(SampleOf(i));
  now_ms += 100;
  reporter.Add(Answers("1", 1), now_ms, samples);
  Flush();
  ASSERT_EQ(frames.size(), 1u);
  const wire::Batch batch = BatchOf(0);
  ASSERT_EQ(batch.decisions.size(), 20u);
  EXPECT_EQ(batch.decisions.front().at_wall_ms, 10);
  EXPECT_EQ(batch.decisions.back().at_wall_ms, 29);
  Tick(Answers("1", 1));
  EXPECT_TRUE(BatchOf(1).decisions.empty());
  for (int i = 0; i < 31; ++i) Tick();
  ASSERT_GT(frames.size(), 2u);
  EXPECT_EQ(frames[2], frames[0]) << "sent again as it was";
}

TEST_F(ReporterTest, DropsPickedDecisionsRatherThanExceedAFrame) {
  ReporterOptions options = Options();
  options.max_frame_bytes = 1000;
  owner.emplace(options);
  telemetry::Window window;
  for (int i = 0; i < 40; ++i) {
    telemetry::Merge(window, Answers("version-" + std::to_string(i), 1));
  }
  std::vector<wire::DecisionSample> samples;
  for (int i = 0; i < 20; ++i) samples.push_back(SampleOf(i));
  now_ms += 100;
  reporter.Add(window, now_ms, samples);
  Flush();
  size_t carried = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_LE(frames[i].size(), 1000u);
    carried += BatchOf(i).decisions.size();
  }
  EXPECT_LT(carried, 20u);
  EXPECT_EQ(Sent(), 40u) << "no counts are lost for them";
}

TEST_F(ReporterTest, KeepsToItsByteBoundAndCountsWhatItDrops) {
  ReporterOptions options = Options();
  options.max_pending_bytes = 20'000;
  owner.emplace(options);
  for (int i = 0; i < 1000; ++i) {
    reporter.Add(Answers("version-" + std::to_string(i), 1), now_ms + i);
  }
  EXPECT_LE(reporter.pending_bytes(), 20'000u);
  EXPECT_GT(reporter.dropped_series(), 0u);
  Flush();
  EXPECT_EQ(Sent() + reporter.dropped_series(), 1000u);
  EXPECT_EQ(reporter.pending_bytes(), 0u);
}

}  // namespace
}  // namespace weir::node::report
