// SPDX-License-Identifier: Apache-2.0
// Objectives: what they say at a level, what lasts, what is told, and that evidence replays.
#include "controlplane/analysis/slo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/domain/policy.h"

namespace weir::control::analysis {
namespace {

using domain::SloSpec;
using telemetry::Series;
using telemetry::SeriesKey;
using testing::HasSubstr;
using Edge = SloWatch::Edge;

constexpr int64_t kWallMs = 1'763'683'200'000;

SloSpec Slo(const std::string& metric, double threshold) {
  SloSpec slo;
  slo.name = slo.metric = metric;
  slo.comparison = domain::DefaultComparison(metric);
  slo.threshold = threshold;
  slo.keep_firing_for = {0};
  return slo;
}

Series Answers(uint64_t good, uint64_t bad, double ms = 10) {
  Series series;
  if (good + bad > 0) series.counters["requests"] = good + bad;
  if (bad > 0) series.counters["bad"] = bad;
  series.latency.Add(ms, good + bad);
  for (uint64_t i = 0; i < std::min<uint64_t>(good + bad, 1000); ++i) series.latency_digest.Add(ms);
  return series;
}

class SloTest : public testing::Test {
 protected:
  SloWatch& Watch(const SloSpec& slo) {
    SloSubject subject{"model/m", slo.version, slo.arm, {}};
    if (slo.target) subject.budget_ms = slo.threshold;
    const auto metric = SloMetricOf(slo.metric);
    if (!metric->IsOfNodes())
      window_ = std::make_shared<SloWindow>(subject, *metric, slo.window.ms, now_ms_);
    watch_ = std::make_unique<SloWatch>(slo, "m", window_);
    return *watch_;
  }
  void Add(const Series& series, const std::string& version = "1",
           const std::string& arm = "stable") {
    window_->Add(now_ms_, {"model/m", version, arm}, series);
  }
  Edge Look(int64_t after_ms = 1000) {
    now_ms_ += after_ms;
    return watch_->Evaluate(nodes_, now_ms_, kWallMs + now_ms_, hearing_);
  }
  SloState State() const { return watch_->verdict().state; }
  const std::string& Severity() const { return watch_->verdict().severity; }

  int64_t now_ms_ = 1'000'000;
  NodeReadings nodes_;
  SloHearing hearing_;
  std::shared_ptr<SloWindow> window_;
  std::unique_ptr<SloWatch> watch_;
};

TEST_F(SloTest, NothingIsSaidBelowTheLeastNumberOfSamples) {
  Watch(Slo("error_rate", 0.05));
  EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(State(), SloState::kNoData);
  Add(Answers(0, 19));
  EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(State(), SloState::kNoData);
  EXPECT_THAT(watch_->verdict().text, HasSubstr("19 of 20 samples"));
  Add(Answers(0, 1));
  EXPECT_EQ(Look(), Edge::kViolated);
  EXPECT_EQ(State(), SloState::kViolated);
}

TEST_F(SloTest, ATellingIsAnEdgeAndTheLevelStays) {
  Watch(Slo("error_rate", 0.05));
  Add(Answers(90, 10));
  EXPECT_EQ(Look(), Edge::kViolated);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Look(), Edge::kNone);
    EXPECT_EQ(State(), SloState::kViolated);
  }
  Add(Answers(900, 0));
  EXPECT_EQ(Look(), Edge::kRecovered);
  EXPECT_EQ(State(), SloState::kOk);
}

TEST_F(SloTest, TheWindowSlides) {
  Watch(Slo("error_rate", 0.05));
  Add(Answers(0, 100));
  Look();
  ASSERT_EQ(State(), SloState::kViolated);
  now_ms_ += 57'000;
  Add(Answers(100, 0));
  Look();
  EXPECT_EQ(watch_->verdict().value, 0.5);
  Look(6'000);  // the bad ones are more than a window and a slot ago
  EXPECT_EQ(watch_->verdict().value, 0.0);
}

TEST_F(SloTest, PercentilesAreOfMergedDigestsAndNeverAveraged) {
  Watch(Slo("p50_latency_ms", 50));
  Add(Answers(100, 0, 10));
  now_ms_ += 10'000;
  Add(Answers(900, 0, 100), "2");
  Look();
  EXPECT_EQ(watch_->verdict().value, 100.0) << "averaged it would be 55";
  EXPECT_EQ(State(), SloState::kViolated);
}

TEST_F(SloTest, VersionAndArmAreAskedForAndShadowIsLeftOut) {
  SloSpec slo = Slo("error_rate", 0.05);
  Watch(slo);
  Add(Answers(0, 100), "2", "shadow");
  Add(Answers(100, 0));
  Look();
  EXPECT_EQ(watch_->verdict().value, 0.0);
  slo.version = "2";
  Watch(slo);
  Add(Answers(100, 0), "1");
  Add(Answers(0, 100), "2", "canary");
  Look();
  EXPECT_EQ(watch_->verdict().value, 1.0);
  EXPECT_THAT(watch_->verdict().text, HasSubstr("of version 2"));
}

TEST_F(SloTest, SeverityIsByHowFarPast) {
  Watch(Slo("p95_latency_ms", 100));
  const auto severity = [&](double ms) {
    SloReading reading;
    reading.value = ms;
    reading.samples = 1000;
    return JudgeSlo(watch_->slo(), reading).severity;
  };
  EXPECT_EQ(severity(100), "");
  EXPECT_EQ(severity(110), "info");
  EXPECT_EQ(severity(111), "warning");
  EXPECT_EQ(severity(150), "warning");
  EXPECT_EQ(severity(200), "high");
  EXPECT_EQ(severity(201), "critical");
  EXPECT_EQ(SeverityByFactor(HowFarPast(">=", 60, 100)), "high") << "too low counts the other way";
  EXPECT_EQ(SeverityByFactor(HowFarPast(">=", 0, 100)), "critical");
  EXPECT_EQ(SeverityByFactor(HowFarPast("<=", 1, 0)), "critical");
}

TEST_F(SloTest, TwoLevels) {
  SloSpec slo = Slo("error_rate", 0.10);
  slo.warning = 0.05;
  slo.severity = "critical";
  Watch(slo);
  Add(Answers(93, 7));
  EXPECT_EQ(Look(), Edge::kWarned);
  EXPECT_EQ(State(), SloState::kWarning);
  EXPECT_EQ(Severity(), "warning");
  EXPECT_EQ(watch_->verdict().threshold, 0.05);
  Add(Answers(0, 20));
  EXPECT_EQ(Look(), Edge::kViolated);
  EXPECT_EQ(Severity(), "critical");
  Add(Answers(200, 0));
  EXPECT_EQ(Look(), Edge::kWarned) << "27 of 320";
  Add(Answers(1000, 0));
  EXPECT_EQ(Look(), Edge::kRecovered);
}

TEST_F(SloTest, WhatLastsTooShortDoesNotCount) {
  SloSpec slo = Slo("error_rate", 0.05);
  slo.for_ms = {10'000};
  Watch(slo);
  Add(Answers(50, 50));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Look(), Edge::kNone);
    EXPECT_EQ(State(), SloState::kOk);
  }
  EXPECT_THAT(watch_->verdict().text, HasSubstr("for 9s of 10s"));
  EXPECT_EQ(Look(), Edge::kViolated);
}

TEST_F(SloTest, ThroughputIsJudgedOnceAWholeWindowWasWatched) {
  Watch(Slo("throughput", 10));
  for (int i = 0; i < 59; ++i) {
    Add(Answers(20, 0));
    Look();
    ASSERT_EQ(State(), SloState::kNoData);
  }
  Add(Answers(20, 0));
  Look(1000);
  EXPECT_EQ(State(), SloState::kOk);
  EXPECT_NEAR(*watch_->verdict().value, 20, 1);
  for (int i = 0; i < 40; ++i) Look();
  EXPECT_EQ(State(), SloState::kViolated) << "silence is a throughput of nothing";
}

TEST_F(SloTest, TheFirstTokenIsItsOwnTimeWhereAnswersStream) {
  Watch(Slo("p50_ttft_ms", 50));
  Series streamed = Answers(100, 0, 400);
  for (int i = 0; i < 100; ++i) streamed.ttft.Add(30);
  Add(streamed);
  Look();
  EXPECT_EQ(State(), SloState::kOk);
  EXPECT_EQ(watch_->verdict().value, 30);
}

TEST_F(SloTest, TheFirstTokenOfAnAnswerInOnePieceIsItsLatency) {
  Watch(Slo("p50_ttft_ms", 50));
  Add(Answers(0, 100, 60'000));  // time-outs have no first token
  Look();
  EXPECT_EQ(State(), SloState::kNoData);
  Add(Answers(100, 0, 80));
  Look();
  EXPECT_EQ(State(), SloState::kViolated);
  EXPECT_EQ(watch_->verdict().value, 80);
}

TEST_F(SloTest, AMinimumIsNotMissedByWhatIsNotHeard) {
  SloSpec slo = Slo("throughput", 10);
  slo.severity = "high";
  Watch(slo);
  const auto run = [&](int seconds, uint64_t requests) {
    Edge last = Edge::kNone;
    for (int i = 0; i < seconds; ++i) {
      if (requests > 0) Add(Answers(requests, 0));
      const Edge edge = Look();
      if (edge != Edge::kNone) last = edge;
    }
    return last;
  };
  run(61, 20);
  ASSERT_EQ(State(), SloState::kOk);
  hearing_ = {"n2 was silent", false};
  EXPECT_EQ(run(90, 2), Edge::kNone);
  EXPECT_EQ(State(), SloState::kNoData);
  EXPECT_THAT(watch_->verdict().text,
              HasSubstr("no data: watched for 0s of 1m since n2 was silent"));
  hearing_ = {};
  EXPECT_EQ(run(59, 20), Edge::kNone) << "the hole is still in the window";
  EXPECT_EQ(State(), SloState::kNoData);
  run(2, 20);
  EXPECT_EQ(State(), SloState::kOk);
  EXPECT_EQ(run(60, 2), Edge::kViolated) << "what is heard and low is low";

  slo.comparison = "<=";
  Watch(slo);
  hearing_ = {"n2 was silent", false};
  EXPECT_EQ(run(61, 20), Edge::kViolated) << "what is missing would only add to it";
}

TEST_F(SloTest, TimeInWhichNothingIsHeardDoesNotCount) {
  SloSpec slo = Slo("error_rate", 0.05);
  slo.for_ms = {10'000};
  Watch(slo);
  Add(Answers(50, 50));
  for (int i = 0; i < 6; ++i) Look();  // missed for 5 s
  hearing_ = {"no node was live", true};
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(watch_->reading().missed_ms, 5000);
  hearing_ = {};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(Look(), Edge::kViolated);
}

TEST_F(SloTest, TimeBetweenTwoProcessesDoesNotCount) {
  SloSpec slo = Slo("error_rate", 0.05);
  slo.for_ms = {10'000};
  Watch(slo);
  Add(Answers(50, 50));
  for (int i = 0; i < 6; ++i) Look();
  const nlohmann::json saved = nlohmann::json::parse(watch_->Save().dump());
  now_ms_ += 3'600'000;
  Watch(slo);
  watch_->Restore(saved, now_ms_);
  Add(Answers(50, 50));
  EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(watch_->reading().missed_ms, 6000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(Look(), Edge::kViolated);
}

TEST_F(SloTest, TokensOfRequests) {
  Watch(Slo("tokens_per_second", 50));
  for (int i = 0; i < 61; ++i) {
    Series series = Answers(1, 0);
    series.counters["tokens"] = 30;
    Add(series);
    Look();
  }
  EXPECT_EQ(State(), SloState::kViolated);
  EXPECT_NEAR(*watch_->verdict().value, 30, 1.5);
}

TEST_F(SloTest, DegradationComparesTheArms) {
  Watch(Slo("performance_degradation", 0.2));
  Add(Answers(100, 0, 100));
  Look();
  EXPECT_EQ(State(), SloState::kNoData);
  Add(Answers(100, 0, 150), "2", "canary");
  Look();
  EXPECT_EQ(State(), SloState::kViolated);
  EXPECT_NEAR(*watch_->verdict().value, 0.5, 1e-9);
}

TEST_F(SloTest, NodesAreTheWorstOfThem) {
  Watch(Slo("staleness_s", 30));
  Look();
  EXPECT_EQ(State(), SloState::kNoData);
  nodes_.nodes = 2;
  nodes_.staleness_s = 31;
  Look();
  EXPECT_EQ(State(), SloState::kViolated);
}

TEST_F(SloTest, ViolationWithoutDataEndsOnlyAfterAWhile) {
  Watch(Slo("error_rate", 0.05));
  Add(Answers(0, 100));
  EXPECT_EQ(Look(), Edge::kViolated);
  EXPECT_EQ(Look(70'000), Edge::kNone);
  EXPECT_EQ(State(), SloState::kNoData);
  EXPECT_TRUE(watch_->IsFiring());
  EXPECT_EQ(Look(SloWatch::kForgetMs), Edge::kRecovered);
  EXPECT_FALSE(watch_->IsFiring());
}

TEST_F(SloTest, AValueThatSwingsIsOneViolation) {
  SloSpec slo = Slo("error_rate", 0.05);
  slo.window = {10'000};
  slo.keep_firing_for.reset();
  Watch(slo);
  Add(Answers(0, 100));
  ASSERT_EQ(Look(), Edge::kViolated);
  for (int swing = 0; swing < 5; ++swing) {
    now_ms_ += 11'000;
    Add(Answers(100, 0));
    for (int i = 0; i < 9; ++i) {
      EXPECT_EQ(Look(), Edge::kNone);
      EXPECT_EQ(State(), SloState::kOk) << "what is done about it looks at the level";
      EXPECT_TRUE(watch_->IsFiring());
    }
    Add(Answers(0, 100));
    EXPECT_EQ(Look(), Edge::kNone);
    EXPECT_EQ(State(), SloState::kViolated);
  }
  now_ms_ += 11'000;
  Add(Answers(1000, 0));
  EXPECT_EQ(Look(0), Edge::kNone);
  EXPECT_EQ(Look(9'999), Edge::kNone);
  Add(Answers(1000, 0));
  EXPECT_EQ(Look(1), Edge::kRecovered);
  EXPECT_FALSE(watch_->IsFiring());
}

TEST_F(SloTest, WhatIsMissedAgainIsNotGoodBeforeItCounts) {
  SloSpec slo = Slo("error_rate", 0.05);
  slo.window = {10'000};
  slo.for_ms = {60'000};
  slo.keep_firing_for.reset();
  Watch(slo);
  Edge edge = Edge::kNone;
  const auto look = [&](uint64_t good, uint64_t bad) {
    Add(Answers(good, bad));
    return Look();
  };
  for (int i = 0; i < 70 && edge == Edge::kNone; ++i) edge = look(0, 100);
  ASSERT_EQ(edge, Edge::kViolated);
  now_ms_ += 11'000;
  EXPECT_EQ(look(100, 0), Edge::kNone);
  now_ms_ += 11'000;
  for (int i = 0; i < 55; ++i) EXPECT_EQ(look(0, 100), Edge::kNone) << i;
  EXPECT_TRUE(watch_->IsFiring());
}

TEST_F(SloTest, WhatIsNotSeenDoesNotCountAsGood) {
  SloSpec slo = Slo("error_rate", 0.05);
  slo.window = {10'000};
  slo.keep_firing_for = {120'000};
  Watch(slo);
  Add(Answers(0, 100));
  ASSERT_EQ(Look(), Edge::kViolated);
  now_ms_ += 11'000;
  Add(Answers(100, 0));
  EXPECT_EQ(Look(), Edge::kNone);
  for (int i = 0; i < 130; ++i) EXPECT_EQ(Look(), Edge::kNone);
  Add(Answers(100, 0));
  EXPECT_EQ(Look(), Edge::kNone) << "good for ten seconds only, as far as anybody saw";
  EXPECT_TRUE(watch_->IsFiring());
}

TEST_F(SloTest, HowLongItMustBeGoodIsTheWindowUnlessItIsSaid) {
  SloSpec slo = Slo("error_rate", 0.05);
  EXPECT_EQ(HoldMsOf(slo), 0);
  slo.keep_firing_for.reset();
  EXPECT_EQ(HoldMsOf(slo), 60'000);
  slo.window = {3'600'000};
  EXPECT_EQ(HoldMsOf(slo), 300'000);
  slo.window = {60'000};
  slo.target = 0.999;
  EXPECT_EQ(HoldMsOf(slo), 300'000) << "a budget has no window of its own";
  slo.keep_firing_for = {1'000'000};
  EXPECT_EQ(HoldMsOf(slo), 1'000'000);
}

TEST_F(SloTest, ATrendWarnsBeforeTheThreshold) {
  SloSpec slo = Slo("p50_latency_ms", 100);
  slo.horizon = {60'000};
  slo.min_samples = 20;
  Watch(slo);
  Edge edge = Edge::kNone;
  for (int i = 0; i < 12 && edge == Edge::kNone; ++i) {
    Add(Answers(50, 0, 40 + 4 * i));
    edge = Look(3000);
  }
  EXPECT_EQ(edge, Edge::kWarned);
  EXPECT_EQ(Severity(), "warning");
  EXPECT_THAT(watch_->verdict().text, HasSubstr("would reach 100"));
}

// Google's SRE workbook, "Alerting on SLOs": 2 % of the budget of 30 days within an hour are a burn
// rate of 14.4, 5 % within six hours 6, 10 % within a day 3, and 10 % within three days 1.
TEST_F(SloTest, BurnRatesPageOnlyWhereBothWindowsExceed) {
  SloSpec slo = Slo("error_rate", 0);
  slo.target = 0.999;
  const SeriesKey key{"model/m", "1", "stable"};
  const Series hour_well = Answers(60'000, 0);
  const Series minute_well = Answers(1000, 0);
  const auto begin = [&](uint64_t bad) {
    Watch(slo);
    for (int hour = 0; hour < 72; ++hour)
      window_->AddPast(now_ms_ - hour * 3'600'000, 3'600'000, key, hour_well);
    for (int minute = 0; minute < 360; ++minute)
      window_->AddPast(now_ms_ - minute * 60'000, 60'000, key, minute_well);
    Add(Answers(0, bad));
  };
  begin(850);  // about 14 times too fast over an hour, more over 5 minutes
  EXPECT_EQ(Look(), Edge::kNone);
  EXPECT_EQ(State(), SloState::kOk);
  begin(900);
  EXPECT_EQ(Look(), Edge::kViolated);
  EXPECT_EQ(Severity(), "critical");
  EXPECT_GT(*watch_->verdict().value, 14.4);
  EXPECT_EQ(watch_->verdict().threshold, 14.4);
  EXPECT_THAT(watch_->verdict().text, HasSubstr("a page"));
  for (int i = 0; i < 7; ++i) {
    now_ms_ += 60'000;
    Add(Answers(1000, 0));
  }
  EXPECT_EQ(Look(), Edge::kRecovered) << "over 5 minutes it is well, whatever the hour says";
}

TEST_F(SloTest, ABudgetOfALatencyCountsWhatIsSlow) {
  SloSpec slo = Slo("p95_latency_ms", 128);
  slo.target = 0.99;
  Watch(slo);
  Add(Answers(800, 0, 20));
  Add(Answers(200, 0, 500));
  EXPECT_EQ(Look(), Edge::kViolated);
  EXPECT_EQ(watch_->reading().bad, 200u);
}

TEST_F(SloTest, ABudgetOfFirstTokensCountsTheLateOnesAndTheBad) {
  SloSpec slo = Slo("p95_ttft_ms", 260);
  slo.target = 0.99;
  Watch(slo);
  Series series = Answers(800, 100, 20);
  for (int i = 0; i < 600; ++i) series.ttft.Add(20);
  for (int i = 0; i < 200; ++i) series.ttft.Add(500);
  Add(series);
  EXPECT_EQ(Look(), Edge::kViolated);
  EXPECT_NEAR(static_cast<double>(watch_->reading().bad), 300, 20) << "from a digest";
}

TEST_F(SloTest, LongBurnWindowsComeFromWhatWasStored) {
  SloSpec slo = Slo("error_rate", 0);
  slo.target = 0.99;
  Watch(slo);
  for (int hour = 1; hour <= 48; ++hour) {
    window_->AddPast(now_ms_ - hour * 3'600'000, 3'600'000, {"model/m", "1", "stable"},
                     Answers(965, 35));
  }
  for (int minute = 1; minute <= 360; ++minute) {
    window_->AddPast(now_ms_ - minute * 60'000, 60'000, {"model/m", "1", "stable"}, Answers(97, 3));
  }
  Look();
  EXPECT_EQ(State(), SloState::kWarning) << watch_->verdict().text;
}

TEST_F(SloTest, WhatWasToldSurvivesARestart) {
  const SloSpec slo = Slo("error_rate", 0.05);
  Watch(slo);
  Add(Answers(50, 50));
  ASSERT_EQ(Look(), Edge::kViolated);
  const nlohmann::json saved = nlohmann::json::parse(watch_->Save().dump());
  const int64_t since = watch_->since_wall_ms();
  Watch(slo);
  watch_->Restore(saved, now_ms_);
  EXPECT_TRUE(watch_->IsFiring());
  EXPECT_EQ(watch_->since_wall_ms(), since);
  Add(Answers(50, 50));
  EXPECT_EQ(Look(), Edge::kNone) << "told already";
  EXPECT_EQ(watch_->since_wall_ms(), since);
  Add(Answers(5000, 0));
  EXPECT_EQ(Look(), Edge::kRecovered);
}

TEST_F(SloTest, EveryVerdictReplaysFromItsReading) {
  SloSpec two = Slo("error_rate", 0.10);
  two.warning = 0.02;
  SloSpec lasting = Slo("p95_latency_ms", 50);
  lasting.for_ms = {3000};
  lasting.horizon = {60'000};
  SloSpec budget = Slo("error_rate", 0);
  budget.target = 0.99;
  for (const SloSpec& slo : {two, lasting, budget, Slo("throughput", 3), Slo("shed_rate", 0.1)}) {
    Watch(slo);
    for (int i = 0; i < 70; ++i) {
      Series series = Answers(i % 7 * 5, i % 5, 20 + i);
      series.counters["shed"] = static_cast<uint64_t>(i % 3 * 2 + 1);
      Add(series);
      Look();
      const auto reading =
          SloReadingFromJson(nlohmann::json::parse(ToJson(watch_->reading()).dump()));
      ASSERT_TRUE(reading.ok()) << reading.status().ToString();
      const SloVerdict again = JudgeSlo(slo, *reading);
      ASSERT_EQ(again.state, State());
      ASSERT_EQ(again.severity, Severity());
      ASSERT_EQ(again.value, watch_->verdict().value);
      ASSERT_EQ(again.text, watch_->verdict().text);
    }
  }
  EXPECT_FALSE(SloReadingFromJson(nlohmann::json{{"value", "x"}}).ok());
}

TEST(SloMetrics, EveryMetricOfPoliciesIsKnown) {
  for (const std::string& name : domain::PolicyMetrics())
    EXPECT_TRUE(SloMetricOf(name).has_value()) << name;
  EXPECT_FALSE(SloMetricOf("latency").has_value());
}

}  // namespace
}  // namespace weir::control::analysis
