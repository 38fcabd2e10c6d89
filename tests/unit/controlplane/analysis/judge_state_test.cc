// SPDX-License-Identifier: Apache-2.0
#include <set>

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

std::vector<Trigger> OwnTriggers() {
  domain::RollbackSpec spec;
  spec.evaluation_window = {8'000};
  const auto add = [&](const char* metric, const char* comparison, double threshold) {
    domain::TriggerSpec& t = spec.triggers.emplace_back();
    t.metric = metric;
    t.comparison = comparison;
    t.threshold = threshold;
    return &t;
  };
  add("user_satisfaction", "<", 0.8);
  add("revenue_ratio", "<", 0.9);
  add("revenue/user_satisfaction", ">", 1);
  add("shadow_difference", ">", 0.5)->severity = "warning";
  domain::TriggerSpec* drift = add("prediction_drift", ">", 0.2);
  drift->for_ms = {3'000};
  drift->min_requests = 300;
  auto triggers = TriggersOf(spec, {});
  EXPECT_TRUE(triggers.ok()) << triggers.status().ToString();
  return *std::move(triggers);
}

void ExpectSameView(const Judge& a, const Judge& b) {
  const auto x = a.Triggers();
  const auto y = b.Triggers();
  ASSERT_EQ(x.size(), y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(x[i].canary, y[i].canary) << x[i].name;
    EXPECT_EQ(x[i].stable, y[i].stable) << x[i].name;
    EXPECT_EQ(x[i].evidence_ratio, y[i].evidence_ratio) << x[i].name;
    EXPECT_EQ(x[i].is_firing, y[i].is_firing) << x[i].name;
    EXPECT_EQ(x[i].needs, y[i].needs) << x[i].name;
    EXPECT_EQ(x[i].trend, y[i].trend) << x[i].name;
  }
  ASSERT_EQ(a.Snapshot().drift.has_value(), b.Snapshot().drift.has_value());
  if (a.Snapshot().drift) {
    EXPECT_EQ(a.Snapshot().drift->psi, b.Snapshot().drift->psi);
    EXPECT_EQ(a.Snapshot().drift->ks, b.Snapshot().drift->ks);
  }
}

// The same for everything that rollouts add: outcomes, drift, shadow, looks in a row and `for`.
TEST(JudgeState, ARestartedJudgeHasEveryTriggerWhereItWas) {
  Traffic traffic(26);
  JudgeConfig config;
  config.triggers = OwnTriggers();
  config.window_ms = 8'000;
  Judge whole = *Judge::Create(config);
  Judge restarted = whole;
  int64_t offset_ms = 0;
  std::set<std::string> fired;
  for (int tick = 1; tick <= 600; ++tick) {
    const bool is_bad = tick > 250;
    const auto stable = traffic.Full(20, 0.01, 2, 0.9);
    const auto canary = traffic.Full(8, 0.01, is_bad ? 1.2 : 2, is_bad ? 0.6 : 0.9);
    const auto expected = whole.Tick(tick * 100, stable, canary);
    ExpectSame(expected, restarted.Tick(tick * 100 + offset_ms, stable, canary), offset_ms);
    for (const Verdict& v : expected) fired.insert(v.trigger);
    if (tick % 37 != 0) continue;
    ASSERT_EQ(whole.Save(), restarted.Save()) << tick;
    const std::string text = restarted.Save().dump();
    offset_ms += 999'983;
    restarted = *Judge::Create(config);
    const Status status = restarted.Restore(nlohmann::json::parse(text), tick * 100 + offset_ms);
    ASSERT_TRUE(status.ok()) << status.ToString();
    ExpectSameView(whole, restarted);
  }
  EXPECT_EQ(fired.count("user_satisfaction < 0.8"), 1u);
  EXPECT_EQ(fired.count("revenue_ratio < 0.9"), 1u);
  EXPECT_EQ(fired.count("shadow_difference > 0.5"), 1u);
  EXPECT_EQ(fired.count("prediction_drift > 0.2"), 1u);
}

TEST(JudgeState, EvidenceAgainstAnotherThresholdIsNotTakenUp) {
  const Trigger strict{"errors", Trigger::Family::kAbsolute, "error_rate", 0.01, 10'000, 0};
  Trigger lenient = strict;
  lenient.threshold = 0.5;
  JudgeConfig config;
  config.triggers = {strict};
  Judge before = *Judge::Create(config);
  Traffic traffic(27);
  for (int i = 1; i <= 50; ++i) before.Tick(i * 100, {}, traffic.Tick(20, 0.2));
  EXPECT_TRUE(before.Triggers()[0].is_firing);
  config.triggers = {lenient};
  Judge after = *Judge::Create(config);
  ASSERT_TRUE(after.Restore(before.Save(), 5'000).ok());
  EXPECT_LT(after.Triggers()[0].evidence_ratio, 1e-3);
  EXPECT_TRUE(after.Tick(5'100, {}, traffic.Tick(20, 0.2)).empty());
}

// It is written every second for every rollout that is under way.
TEST(JudgeState, IsShort) {
  Traffic traffic(28);
  JudgeConfig config;
  config.triggers = *TriggersOf({}, {});
  Judge judge = *Judge::Create(config);
  for (int i = 1; i <= 3'200; ++i) {
    judge.Tick(i * 100, traffic.Full(18, 0.01, 2, 0.9), traffic.Full(2, 0.01, 2, 0.9));
  }
  EXPECT_LT(judge.Save().dump().size(), 100'000u);
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
