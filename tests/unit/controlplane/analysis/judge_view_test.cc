// SPDX-License-Identifier: Apache-2.0
// What a judge tells of its triggers before they fire, and the triggers that rollouts write
// themselves.
#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/analysis/judge.h"
#include "tests/unit/controlplane/analysis/make_judge.h"
#include "tests/unit/controlplane/analysis/traffic.h"

namespace weir::control::analysis {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Answer = GateAnswer::Verdict;
using Comparison = Trigger::Comparison;
using Family = Trigger::Family;
using telemetry::Series;

TriggerView ViewOf(const Judge& judge, const std::string& name) {
  for (TriggerView& view : judge.Triggers()) {
    if (view.name == name) return view;
  }
  ADD_FAILURE() << "no trigger " << name;
  return {};
}

Series Requests(uint64_t n, uint64_t bad = 0) {
  Series out;
  if (n > 0) out.counters[telemetry::kRequests] = n;
  if (bad > 0) out.counters[telemetry::kBad] = bad;
  for (uint32_t i = 0; i < std::min<uint64_t>(bad, 8); ++i) out.AddBadKey(i + 1);
  out.latency.Add(20, n);
  return out;
}

Series Outcomes(const std::string& metric, int n, double value) {
  Series out;
  for (int i = 0; i < n; ++i) out.outcomes[metric].Add(value);
  return out;
}

Series Outputs(std::mt19937_64& random, int n, double mean) {
  std::normal_distribution<double> value(mean, 1);
  Series out = Requests(static_cast<uint64_t>(n));
  for (int i = 0; i < n; ++i) out.outputs.Add(value(random));
  return out;
}

TEST(JudgeTriggers, SayWhatIsMissing) {
  auto triggers = DefaultTriggers({0.05, 500, 60'000, 200});
  for (const Trigger& t : RelativeTriggers(60'000, 100)) triggers.push_back(t);
  Judge judge = MakeJudge(triggers);
  ASSERT_THAT(judge.Triggers(), SizeIs(triggers.size()));
  TriggerView view = ViewOf(judge, "error_rate");
  EXPECT_EQ(view.metric, "error_rate");
  EXPECT_EQ(view.family, "absolute");
  EXPECT_EQ(view.comparison, ">");
  EXPECT_EQ(view.severity, "critical");
  EXPECT_EQ(view.action, "rollback");
  EXPECT_FALSE(view.canary.has_value());
  EXPECT_EQ(view.needs, "no data: no canary requests");

  judge.Tick(100, Requests(12), Requests(119));
  EXPECT_EQ(ViewOf(judge, "error_rate").needs, "81 more canary requests");
  EXPECT_EQ(ViewOf(judge, "worse_than_stable").needs,
            "no data: stable has had 12 of the 20 requests it takes");
  judge.Tick(200, Requests(30), Requests(0));
  EXPECT_EQ(ViewOf(judge, "error_rate_ratio").needs, "58 more stable requests");
  EXPECT_EQ(ViewOf(judge, "p95_latency_ratio").needs,
            "no data: stable's percentiles take 10 s with 200 requests");

  for (int i = 3; i <= 120; ++i) judge.Tick(i * 100, Requests(90), Requests(10));
  view = ViewOf(judge, "error_rate");
  EXPECT_EQ(view.needs, "");
  EXPECT_EQ(view.canary, 0);
  EXPECT_EQ(view.stable, 0);
  EXPECT_FALSE(view.is_exceeded);
  EXPECT_FALSE(view.is_firing);
  EXPECT_LT(view.evidence_ratio, 1e-6);
}

TEST(JudgeTriggers, ShowEvidenceOnItsWay) {
  Judge judge = MakeJudge({{"errors", Family::kAbsolute, "error_rate", 0.05, 60'000, 0}});
  judge.Tick(100, {}, Requests(10, 4));
  TriggerView view = ViewOf(judge, "errors");
  EXPECT_TRUE(view.is_exceeded);
  EXPECT_FALSE(view.is_firing);
  EXPECT_EQ(view.canary, 0.4);
  EXPECT_GT(view.evidence_ratio, 0);
  EXPECT_LT(view.evidence_ratio, 1);
  EXPECT_THAT(view.needs, StartsWith("evidence "));
  EXPECT_THAT(view.needs, HasSubstr(" % of what it takes"));
  for (int i = 2; i < 20; ++i) judge.Tick(i * 100, {}, Requests(10, 4));
  view = ViewOf(judge, "errors");
  EXPECT_TRUE(view.is_firing);
  EXPECT_GE(view.evidence_ratio, 1);
  EXPECT_EQ(view.needs, "");
}

TEST(JudgeTriggers, SequentialOnesShowTheSharesThatTheyCompare) {
  Traffic traffic(31);
  Judge judge = MakeJudge(DefaultTriggers({}));
  for (int i = 1; i <= 200; ++i) {
    judge.Tick(i * 100, traffic.Tick(90, 0.01), traffic.Tick(10, 0.01, i > 150 ? 60 : 20));
  }
  const TriggerView view = ViewOf(judge, "slower_than_stable_p95");
  EXPECT_EQ(view.family, "sequential");
  ASSERT_TRUE(view.canary.has_value());
  EXPECT_NEAR(*view.stable, 0.03, 0.03);  // the boundary is the one at or above stable's p95
  EXPECT_GT(*view.canary, 0.15);
  EXPECT_TRUE(view.is_exceeded);
  EXPECT_TRUE(view.is_firing);
}

TEST(JudgeTriggers, WarnBeforeAThresholdIsMet) {
  Judge judge = MakeJudge({{"errors", Family::kAbsolute, "error_rate", 0.05, 60'000, 0}});
  for (int i = 1; i <= 400; ++i) {
    const auto bad = static_cast<uint64_t>(10 + i / 10);  // of a thousand: 1 % to 5 %
    EXPECT_THAT(judge.Tick(i * 100, {}, Requests(1000, bad)), IsEmpty());
  }
  const TriggerView view = ViewOf(judge, "errors");
  EXPECT_FALSE(view.is_exceeded);
  EXPECT_THAT(view.trend, StartsWith("rises 0.06 a minute, would reach 0.05 in about "));
  Judge even = MakeJudge({{"errors", Family::kAbsolute, "error_rate", 0.05, 60'000, 0}});
  for (int i = 1; i <= 400; ++i) even.Tick(i * 100, {}, Requests(1000, 40));
  EXPECT_EQ(ViewOf(even, "errors").trend, "");
}

TEST(JudgeTriggers, AWarningTakesThreeLooksInARowAndForTakesItsTime) {
  Trigger warning{"warning", Family::kAbsolute, "error_rate", 0.05, 1'000, 0, true};
  warning.severity = Trigger::Severity::kWarning;
  Trigger lasting{"lasting", Family::kAbsolute, "error_rate", 0.05, 1'000, 0, true};
  lasting.for_ms = 1'000;
  Judge judge = MakeJudge({warning, lasting});
  int64_t now_ms = 0;
  const auto tick = [&](uint64_t bad) { return judge.Tick(now_ms += 100, {}, Requests(10, bad)); };
  EXPECT_THAT(tick(5), IsEmpty());
  EXPECT_EQ(ViewOf(judge, "warning").needs, "more looks in a row");
  EXPECT_EQ(ViewOf(judge, "warning").severity, "warning");
  EXPECT_EQ(ViewOf(judge, "lasting").needs, "1s more of it");
  EXPECT_THAT(tick(5), IsEmpty());
  const auto third = tick(5);
  ASSERT_THAT(third, SizeIs(1));
  EXPECT_EQ(third[0].trigger, "warning");
  for (int i = 4; i <= 10; ++i) EXPECT_THAT(tick(5), SizeIs(1));
  EXPECT_THAT(tick(5), SizeIs(2));  // a second after the first
  for (int i = 0; i < 12; ++i) tick(0);
  EXPECT_THAT(tick(0), IsEmpty());
  for (int i = 0; i < 2; ++i) EXPECT_THAT(tick(9), IsEmpty());  // counts anew
}

TEST(JudgeOutcomes, AThresholdOfOnesOwn) {
  Trigger trigger{"satisfaction", Family::kAbsolute, "user_satisfaction", 0.9, 60'000, 0};
  trigger.comparison = Comparison::kBelow;
  Judge judge = MakeJudge({trigger});
  judge.Tick(100, Requests(10), Requests(10));
  EXPECT_EQ(ViewOf(judge, "satisfaction").needs, "no data: nobody sends user_satisfaction");
  std::mt19937_64 random(32);
  int64_t now_ms = 100;
  const auto tick = [&](double rate) {
    Series canary;
    for (int i = 0; i < 5; ++i) {
      canary.outcomes["user_satisfaction"].Add(std::bernoulli_distribution(rate)(random) ? 1 : 0);
    }
    return judge.Tick(now_ms += 100, Outcomes("user_satisfaction", 20, 1), canary);
  };
  EXPECT_THAT(tick(0.95), IsEmpty());
  EXPECT_EQ(ViewOf(judge, "satisfaction").needs, "95 more canary values");
  for (int i = 0; i < 500; ++i) ASSERT_THAT(tick(0.95), IsEmpty());
  EXPECT_FALSE(ViewOf(judge, "satisfaction").is_exceeded);
  std::vector<Verdict> verdicts;
  for (int i = 0; i < 1200 && verdicts.empty(); ++i) verdicts = tick(0.6);
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_LT(verdicts[0].canary_rate, 0.9);
  EXPECT_GE(verdicts[0].evidence_ratio, 1);
  EXPECT_THAT(verdicts[0].evidence, StartsWith("user_satisfaction is 0."));
  EXPECT_THAT(verdicts[0].evidence, HasSubstr("< 0.9"));
  const TriggerView view = ViewOf(judge, "satisfaction");
  EXPECT_TRUE(view.is_firing);
  EXPECT_EQ(view.stable, 1);
}

TEST(JudgeOutcomes, RelativeToStableIgnoresWhatBothShare) {
  Trigger trigger{"revenue", Family::kRelative, "revenue_ratio", 0.9, 60'000, 0};
  trigger.comparison = Comparison::kBelow;
  Judge judge = MakeJudge({trigger});
  std::mt19937_64 random(33);
  int64_t now_ms = 0;
  const auto tick = [&](double stable_mean, double canary_mean) {
    Series stable;
    Series canary;
    for (int i = 0; i < 20; ++i) {
      stable.outcomes["revenue"].Add(
          std::exponential_distribution<double>(1 / stable_mean)(random));
      canary.outcomes["revenue"].Add(
          std::exponential_distribution<double>(1 / canary_mean)(random));
    }
    return judge.Tick(now_ms += 100, stable, canary);
  };
  for (int i = 0; i < 300; ++i) ASSERT_THAT(tick(10, 10), IsEmpty());
  for (int i = 0; i < 300; ++i) ASSERT_THAT(tick(5, 5), IsEmpty());
  bool fired = false;
  for (int i = 0; i < 1200 && !fired; ++i) fired = !tick(5, 3).empty();
  EXPECT_TRUE(fired);
}

TEST(JudgeOutcomes, RawLooksAtTheBareMean) {
  Trigger trigger{"raw", Family::kAbsolute, "accuracy", 0.9, 10'000, 10, true};
  trigger.comparison = Comparison::kBelow;
  Judge judge = MakeJudge({trigger});
  EXPECT_THAT(judge.Tick(100, {}, Outcomes("accuracy", 9, 0.5)), IsEmpty());
  const auto verdicts = judge.Tick(200, {}, Outcomes("accuracy", 1, 0.5));
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_THAT(verdicts[0].evidence, HasSubstr("raw"));
  EXPECT_EQ(ViewOf(judge, "raw").family, "raw");
}

TEST(JudgeDrift, FiresOnItsBareThresholdOnceThereIsEnough) {
  Judge judge = MakeJudge({{"drift", Family::kRaw, "prediction_drift", 0.25, 60'000, 1000}});
  std::mt19937_64 random(34);
  int64_t now_ms = 0;
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(judge.Tick(now_ms += 100, Outputs(random, 50, 0), Outputs(random, 10, 1)),
                IsEmpty());
  }
  EXPECT_EQ(ViewOf(judge, "drift").needs, "500 more canary outputs");
  EXPECT_TRUE(ViewOf(judge, "drift").is_exceeded);
  std::vector<Verdict> verdicts;
  for (int i = 0; i < 50; ++i) {
    verdicts = judge.Tick(now_ms += 100, Outputs(random, 50, 0), Outputs(random, 10, 1));
  }
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_THAT(verdicts[0].evidence, HasSubstr("prediction_drift is "));
  EXPECT_THAT(verdicts[0].evidence, HasSubstr("raw"));
  const JudgeSnapshot snapshot = judge.Snapshot();
  ASSERT_TRUE(snapshot.drift.has_value());
  EXPECT_NEAR(snapshot.drift->psi, 1.0, 0.2);    // J divergence of normals one sigma apart
  EXPECT_NEAR(snapshot.drift->ks, 0.383, 0.04);  // 2 Phi(1/2) - 1
  EXPECT_EQ(snapshot.drift->canary_values, 1000u);
  EXPECT_EQ(snapshot.drift->stable_values, 5000u);
}

TEST(JudgeShadow, DifferencesAreAnAbsoluteRate) {
  Judge judge =
      MakeJudge({{"difference", Family::kAbsolute, "shadow_difference", 0.02, 60'000, 100}});
  const auto compared = [](uint64_t differed) {
    Series out = Requests(50);
    out.counters[telemetry::kCompared] = 50;
    if (differed > 0) out.counters[telemetry::kDiffered] = differed;
    return out;
  };
  int64_t now_ms = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(judge.Tick(now_ms += 100, Requests(50), compared(i % 2)), IsEmpty());
  }
  EXPECT_EQ(judge.Snapshot().compared, 5000u);
  EXPECT_EQ(judge.Snapshot().differed, 50u);
  EXPECT_EQ(judge.Check({"shadow_difference", "<", 0.02, 1000})->verdict, Answer::kPassed);
  std::vector<Verdict> verdicts;
  for (int i = 0; i < 50 && verdicts.empty(); ++i) {
    verdicts = judge.Tick(now_ms += 100, Requests(50), compared(8));
  }
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_THAT(verdicts[0].evidence, HasSubstr("comparisons other than stable's"));
}

TEST(JudgeGate, KnowsEveryMetric) {
  std::mt19937_64 random(35);
  Judge judge = MakeJudge({});
  const auto reason = [&](const char* metric) { return judge.Check({metric, "<", 1, 0})->reason; };
  EXPECT_EQ(reason("user_satisfaction"),
            "user_satisfaction: no data: nobody sends "
            "user_satisfaction");
  EXPECT_EQ(reason("prediction_drift"), "prediction_drift: no data: no canary requests");
  EXPECT_EQ(judge.Check({"user_satisfaction", "<", 1, 0})->verdict, Answer::kNoData);
  for (int i = 1; i <= 100; ++i) {
    Series stable = Outputs(random, 50, 0);
    Series canary = Outputs(random, 10, 0.2);
    stable.outcomes["user_satisfaction"].Add(i % 10 == 0 ? 0 : 1);
    canary.outcomes["user_satisfaction"].Add(i % 20 == 0 ? 0 : 1);
    canary.outcomes["cost"].Add(2);
    judge.Tick(i * 100, stable, canary);
  }
  EXPECT_EQ(judge.Check({"user_satisfaction", ">", 0.9, 100})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"user_satisfaction", ">", 0.9, 101})->verdict, Answer::kNoData);
  EXPECT_EQ(judge.Check({"user_satisfaction", ">", 0.9, 101})->reason,
            "user_satisfaction: no data yet, 100 of 101 values");
  EXPECT_EQ(judge.Check({"user_satisfaction_ratio", ">=", 1, 0})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"cost/user_satisfaction", "<", 2, 0})->verdict, Answer::kFailed);
  EXPECT_EQ(judge.Check({"cost_ratio", "<", 2, 0})->verdict, Answer::kNoData);
  EXPECT_EQ(reason("cost_ratio"), "cost_ratio: no data: no stable values");
  EXPECT_EQ(judge.Check({"prediction_drift", "<", 0.25, 1000})->verdict, Answer::kPassed);
  EXPECT_EQ(judge.Check({"prediction_drift_ks", "<", 0.01, 1000})->verdict, Answer::kFailed);
  EXPECT_EQ(judge.Check({"response_time", "<", 100, 0})->verdict, Answer::kPassed);
  const JudgeSnapshot snapshot = judge.Snapshot();
  EXPECT_EQ(snapshot.outcomes.at("user_satisfaction").canary, 0.95);
  EXPECT_EQ(snapshot.outcomes.at("user_satisfaction").stable_n, 100u);
  EXPECT_FALSE(snapshot.outcomes.at("cost").stable.has_value());
}

TEST(JudgeTriggers, AreFiniteWhateverComes) {
  auto triggers = DefaultTriggers({0.05, 500, 1'000, 0});
  for (const Trigger& t : RelativeTriggers(1'000, 0)) triggers.push_back(t);
  triggers.push_back({"drift", Family::kRaw, "prediction_drift", 0.25, 1'000, 0});
  triggers.push_back({"x", Family::kAbsolute, "x", 0, 1'000, 0});
  triggers.push_back({"x_ratio", Family::kRelative, "x_ratio", 1, 1'000, 0});
  Judge judge = MakeJudge(triggers, 1'000);
  const double infinite = std::numeric_limits<double>::infinity();
  Series odd = Requests(5);
  odd.counters[telemetry::kBad] = 50;
  odd.counters[telemetry::kDiffered] = 5;
  odd.outcomes["x"] = {3, infinite, NAN};
  odd.outcomes["Not a name;"] = {3, 1, 1};
  odd.outputs.Add(1e300);
  Series zeros = Requests(30);
  zeros.outcomes["x"] = {200, 0, 0};
  zeros.outputs.Add(0);
  const Series kinds[] = {odd, zeros, {}, Requests(1'000'000, 1'000'000)};
  for (int i = 1; i <= 200; ++i) {
    for (const Verdict& v : judge.Tick(i * 100, kinds[i % 4], kinds[i / 4 % 4])) {
      EXPECT_TRUE(std::isfinite(v.evidence_ratio) && std::isfinite(v.canary_rate) &&
                  std::isfinite(v.stable_rate))
          << v.trigger;
    }
    for (const TriggerView& view : judge.Triggers()) {
      EXPECT_TRUE(std::isfinite(view.evidence_ratio) && std::isfinite(view.canary.value_or(0)) &&
                  std::isfinite(view.stable.value_or(0)))
          << view.name;
    }
    ASSERT_TRUE(judge.Restore(nlohmann::json::parse(judge.Save().dump()), i * 100).ok());
  }
}

}  // namespace
}  // namespace weir::control::analysis
