// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/analysis/judge.h"
#include "tests/unit/controlplane/analysis/traffic.h"

namespace weir::control::analysis {
namespace {

using ::testing::HasSubstr;
using Answer = GateAnswer::Verdict;

Judge Make() {
  JudgeConfig config;
  config.triggers = DefaultTriggers({0.05, 500, 10'000, 0});
  for (const Trigger& t : RelativeTriggers(20'000, 50)) config.triggers.push_back(t);
  config.window_ms = 10'000;
  auto judge = Judge::Create(std::move(config));
  EXPECT_TRUE(judge.ok());
  return *std::move(judge);
}

void ExpectSame(const std::vector<Verdict>& a, const std::vector<Verdict>& b, int64_t offset_ms) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].trigger, b[i].trigger);
    EXPECT_EQ(a[i].evidence, b[i].evidence);
    EXPECT_EQ(a[i].canary_rate, b[i].canary_rate);
    EXPECT_EQ(a[i].stable_rate, b[i].stable_rate);
    EXPECT_EQ(a[i].evidence_ratio, b[i].evidence_ratio);
    EXPECT_EQ(a[i].distinct_bad_keys, b[i].distinct_bad_keys);
    EXPECT_EQ(a[i].at_ms + offset_ms, b[i].at_ms);
  }
}

// One judge runs through; the other is saved as text and restored every 70 ticks, on a clock that
// started anew. The canary turns slow and bad, and stable falls silent at the end.
TEST(JudgeState, ARestartedJudgeEqualsOneThatWentOn) {
  Traffic traffic(21);
  Judge whole = Make();
  Judge restarted = Make();
  int64_t offset_ms = 0;
  size_t verdicts = 0;
  for (int tick = 1; tick <= 500; ++tick) {
    const int64_t now_ms = tick * 100;
    const double canary_bad = tick > 300 ? 0.15 : 0.01;
    const double canary_ms = tick > 350 ? 45 : 20;
    const auto stable = tick > 450 ? telemetry::Series() : traffic.Tick(tick % 4 * 20, 0.01);
    const auto canary = traffic.Tick(20, canary_bad, canary_ms);
    const auto expected = whole.Tick(now_ms, stable, canary);
    ExpectSame(expected, restarted.Tick(now_ms + offset_ms, stable, canary), offset_ms);
    if (tick % 50 == 0) {
      ASSERT_EQ(whole.Save(), restarted.Save()) << tick;
    }
    verdicts += expected.size();
    if (tick % 70 == 0) {
      const std::string text = restarted.Save().dump();
      offset_ms += 1'000'003;
      restarted = Make();
      const Status status = restarted.Restore(nlohmann::json::parse(text), now_ms + offset_ms);
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
  }
  EXPECT_GT(verdicts, 100u);
}

TEST(JudgeState, RefusesDamagedStatesAndStaysAsItWas) {
  Traffic traffic(22);
  Judge judge = Make();
  for (int i = 1; i <= 150; ++i) judge.Tick(i * 100, traffic.Tick(50, 0.01), traffic.Tick(9, 0.01));
  const nlohmann::json good = judge.Save();
  EXPECT_FALSE(judge.Restore(nlohmann::json::object(), 0).ok());
  EXPECT_FALSE(judge.Restore(nlohmann::json("text"), 0).ok());
  for (const auto& item : good.items()) {
    if (item.key() == "stable_seen_age_ms") continue;  // may be absent
    nlohmann::json bad = good;
    bad.erase(item.key());
    EXPECT_EQ(judge.Restore(bad, 0).code(), Code::kDataLoss) << item.key();
  }
  nlohmann::json bad = good;
  bad["baseline"] = nlohmann::json::parse("[[5,1],[4,1]]");
  EXPECT_EQ(judge.Restore(bad, 0).code(), Code::kDataLoss);
  EXPECT_EQ(judge.Save(), good);
  EXPECT_TRUE(judge.Restore(good, 15'000).ok());
}

TEST(JudgeSnapshot, ShowsBothArmsOverTheWindow) {
  Traffic traffic(23);
  Judge judge = Make();
  for (int i = 1; i <= 300; ++i) {
    judge.Tick(i * 100, traffic.Tick(90, 0.01), traffic.Tick(10, i <= 150 ? 1 : 0));
  }
  const JudgeSnapshot s = judge.Snapshot();
  EXPECT_GE(s.canary.requests, 1000u);  // 10 s and at most a twentieth more
  EXPECT_LE(s.canary.requests, 1060u);
  EXPECT_EQ(s.canary.bad, 0u);
  EXPECT_EQ(s.canary.error_rate, 0);
  EXPECT_NEAR(*s.stable.error_rate, 0.01, 0.005);
  EXPECT_NEAR(*s.stable.p50_latency_ms, 20, 1);
  EXPECT_LT(*s.stable.p50_latency_ms, *s.stable.p95_latency_ms);
  EXPECT_LT(*s.stable.p95_latency_ms, *s.stable.p99_latency_ms);
}

TEST(JudgeGate, ComparesWaitsAndRefuses) {
  Traffic traffic(24);
  Judge judge = Make();
  EXPECT_EQ(judge.Check({"error_rate", "<", 0.01, 0})->verdict, Answer::kNoData);
  for (int i = 1; i <= 50; ++i) judge.Tick(i * 100, traffic.Tick(90, 0.001), traffic.Tick(10, 0));
  EXPECT_EQ(judge.Check({"error_rate", "<", 0.01, 500})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"error_rate", "<", 0.01, 501})->verdict, Answer::kNoData);
  EXPECT_THAT(judge.Check({"error_rate", "<", 0.01, 501})->reason, HasSubstr("500 of 501"));
  EXPECT_EQ(judge.Check({"error_rate", "<=", 0, 0})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"error_rate", ">", 0, 0})->verdict, Answer::kFailed);
  EXPECT_EQ(judge.Check({"p95_latency_ms", "<", 100, 0})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"p95_latency_ms", "<", 10, 0})->verdict, Answer::kFailed);
  EXPECT_EQ(judge.Check({"p95_latency_ratio", "<", 1.5, 500})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"performance_degradation", ">=", 0, 0})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"requests", ">=", 500, 0})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"Speed!", "<", 1, 0}).status().field(), "metric");
  EXPECT_EQ(judge.Check({"error_rate", "==", 1, 0}).status().field(), "op");
}

TEST(JudgeGate, FailsWhileTheCanaryIsWorseEvenBelowTheValue) {
  Traffic traffic(25);
  Judge judge = Make();
  for (int i = 1; i <= 400; ++i) {
    judge.Tick(i * 100, traffic.Tick(90, 0.001), traffic.Tick(10, 0.03));
  }
  EXPECT_TRUE(judge.Snapshot().worse);
  const auto answer = judge.Check({"error_rate", "<", 0.2, 100});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->verdict, Answer::kFailed);
  EXPECT_THAT(answer->reason, HasSubstr("worse than stable"));
}

}  // namespace
}  // namespace weir::control::analysis
