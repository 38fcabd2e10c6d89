// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/judge.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/controlplane/analysis/make_judge.h"
#include "tests/unit/controlplane/analysis/traffic.h"

namespace weir::control::analysis {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Family = Trigger::Family;
using telemetry::Series;

// A judge and its traffic, one tick of 100 ms after the other.
class Court {
 public:
  Court(Judge judge, uint64_t seed) : judge_(std::move(judge)), traffic_(seed) {}

  std::vector<Verdict> Tick(const Series& stable, const Series& canary) {
    now_ms_ += 100;
    return judge_.Tick(now_ms_, stable, canary);
  }
  // Ticks until a verdict by `trigger`, at most `limit`; 0 if there was none.
  int TicksUntil(const std::string& trigger, int limit, const std::function<Series()>& stable,
                 const std::function<Series()>& canary) {
    for (int i = 1; i <= limit; ++i) {
      for (Verdict& v : Tick(stable(), canary())) {
        if (v.trigger != trigger) continue;
        verdict_ = std::move(v);
        return i;
      }
    }
    return 0;
  }
  void Healthy(int ticks, int stable = 95, int canary = 5) {
    for (int i = 0; i < ticks; ++i) {
      EXPECT_THAT(Tick(traffic_.Tick(stable, 0.001), traffic_.Tick(canary, 0.001)), IsEmpty());
    }
  }
  Judge& judge() { return judge_; }
  Traffic& traffic() { return traffic_; }
  const Verdict& verdict() const { return verdict_; }
  int64_t now_ms() const { return now_ms_; }

 private:
  Judge judge_;
  Traffic traffic_;
  Verdict verdict_;
  int64_t now_ms_ = 0;
};

TEST(Judge, SeesACanaryThatAlwaysFailsWithinAFewTicks) {
  Court court(MakeJudge(DefaultTriggers({})), 1);
  court.Healthy(100, 90, 10);
  Traffic& t = court.traffic();
  const int ticks = court.TicksUntil(
      "worse_than_stable", 20, [&] { return t.Tick(90, 0.001); }, [&] { return t.Tick(10, 1); });
  EXPECT_GE(ticks, 1);
  EXPECT_LE(ticks, 4);  // ten canary requests a tick: 100 a second
  const Verdict& v = court.verdict();
  EXPECT_EQ(v.action, Trigger::Action::kRollback);
  EXPECT_EQ(v.canary_requests, static_cast<uint64_t>(10 * ticks));
  EXPECT_EQ(v.canary_bad, v.canary_requests);
  EXPECT_EQ(v.canary_rate, 1);
  EXPECT_LT(v.stable_rate, 0.05);
  EXPECT_GE(v.evidence_ratio, 1);
  EXPECT_GE(v.distinct_bad_keys, 3);
  EXPECT_EQ(v.at_ms, court.now_ms());
  EXPECT_THAT(v.evidence, HasSubstr("requests bad (100 %)"));
}

TEST(Judge, SeesAQuarterOfErrors) {
  Court court(MakeJudge(DefaultTriggers({})), 2);
  court.Healthy(100, 90, 10);
  Traffic& t = court.traffic();
  const int ticks = court.TicksUntil(
      "worse_than_stable", 40, [&] { return t.Tick(90, 0.001); }, [&] { return t.Tick(10, 0.25); });
  EXPECT_GE(ticks, 2);
  EXPECT_LE(ticks, 10);
}

TEST(Judge, RepeatsItsVerdictUntilTrafficIsGoodAgain) {
  Court court(MakeJudge(DefaultTriggers({})), 3);
  court.Healthy(100);
  Traffic& t = court.traffic();
  for (int i = 0; i < 10; ++i) court.Tick(t.Tick(95, 0.001), t.Tick(5, 1));
  EXPECT_THAT(court.Tick(t.Tick(95, 0.001), {}), SizeIs(1));
  EXPECT_THAT(court.Tick({}, {}), SizeIs(1));
}

TEST(Judge, LeavesHealthyCanariesAlone) {
  auto triggers = DefaultTriggers({0.05, 500, 60'000, 0});
  for (const Trigger& t : RelativeTriggers(60'000, 0)) triggers.push_back(t);
  int rollbacks = 0;
  for (uint64_t run = 0; run < 8; ++run) {
    Court court(MakeJudge(triggers), 100 + run);
    Traffic& t = court.traffic();
    for (int tick = 0; tick < 600; ++tick) {
      rollbacks += !court.Tick(t.Tick(95, 0.01), t.Tick(5, 0.01)).empty();
    }
  }
  EXPECT_EQ(rollbacks, 0);  // 8 minutes at one false alarm in 30 days: 2e-4 of these
}

TEST(Judge, HoldsBothResponsibleWhenBothFail) {
  Court court(MakeJudge(DefaultTriggers({})), 4);
  court.Healthy(100);
  Traffic& t = court.traffic();
  for (int i = 0; i < 200; ++i) {
    EXPECT_THAT(court.Tick(t.Tick(95, 0.3), t.Tick(5, 0.3)), IsEmpty());
  }
}

TEST(Judge, TakesNoTrafficForNoData) {
  Court court(MakeJudge(DefaultTriggers({0.05, 500, 60'000, 0})), 5);
  for (int i = 0; i < 1000; ++i) EXPECT_THAT(court.Tick({}, {}), IsEmpty());
  EXPECT_FALSE(court.judge().Snapshot().canary.error_rate.has_value());
  EXPECT_FALSE(court.judge().Snapshot().canary.p99_latency_ms.has_value());
}

TEST(Judge, JudgesTheCanaryAloneOnceStableHasNoTraffic) {
  Court court(MakeJudge(DefaultTriggers({})), 6);
  court.Healthy(100);
  Traffic& t = court.traffic();
  for (int i = 0; i < 300; ++i) EXPECT_THAT(court.Tick({}, t.Tick(100, 0.002)), IsEmpty());
  const int ticks = court.TicksUntil(
      "worse_than_stable", 20, [] { return Series(); }, [&] { return t.Tick(100, 0.2); });
  EXPECT_GE(ticks, 1);
  EXPECT_LE(ticks, 5);
  EXPECT_THAT(court.verdict().evidence, HasSubstr("stable"));
}

TEST(Judge, LosesNoCanaryRequestsWhileStableIsRare) {
  Court court(MakeJudge(DefaultTriggers({})), 7);
  court.Healthy(100);
  Traffic& t = court.traffic();
  int tick = 0;
  const int ticks = court.TicksUntil(
      "worse_than_stable", 150, [&] { return t.Tick(tick++ % 3 == 0 ? 1 : 0, 0.001); },
      [&] { return t.Tick(9, 0.5); });
  EXPECT_GE(ticks, 1);
  EXPECT_GE(court.verdict().canary_requests, static_cast<uint64_t>(9 * ticks));
}

TEST(Judge, OneUnluckyKeyDoesNotCondemnAVersion) {
  Court court(MakeJudge(DefaultTriggers({})), 8);
  court.Healthy(100);
  Traffic& t = court.traffic();
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(court.Tick(t.Tick(95, 0.001), t.Tick(5, 0.2, 20, 1)), IsEmpty());
  }
  const int ticks = court.TicksUntil(
      "worse_than_stable", 20, [&] { return t.Tick(95, 0.001); },
      [&] { return t.Tick(5, 0.5, 20, 50); });
  EXPECT_GE(ticks, 1);
}

TEST(Judge, ASingleUserWhoseEveryRequestFailsIsEnough) {
  Court court(MakeJudge(DefaultTriggers({})), 9);
  for (int i = 0; i < 100; ++i) court.Tick(court.traffic().Tick(95, 0.001), {});
  Traffic& t = court.traffic();
  EXPECT_GE(court.TicksUntil(
                "worse_than_stable", 20, [&] { return t.Tick(95, 0.001); },
                [&] { return t.Tick(5, 1, 20, 1); }),
            1);
}

TEST(Judge, AbsoluteErrorRateNeedsMinRequestsAndEvidence) {
  const Trigger trigger{"error_rate", Family::kAbsolute, "error_rate", 0.05, 60'000, 200};
  Court court(MakeJudge({trigger}), 10);
  Traffic& t = court.traffic();
  for (int i = 0; i < 19; ++i) EXPECT_THAT(court.Tick({}, t.Tick(10, 0.5)), IsEmpty());
  EXPECT_THAT(court.Tick({}, t.Tick(10, 0.5)), SizeIs(1));
  Court below(MakeJudge({trigger}), 11);
  for (int i = 0; i < 600; ++i) {
    EXPECT_THAT(below.Tick({}, below.traffic().Tick(50, 0.03)), IsEmpty());
  }
}

TEST(Judge, AbsoluteLatencyCountsAboveTheBoundary) {
  Court court(MakeJudge({{"p99_latency", Family::kAbsolute, "p99_latency_ms", 500, 60'000, 0}}),
              12);
  Traffic& t = court.traffic();
  for (int i = 0; i < 200; ++i) EXPECT_THAT(court.Tick({}, t.Tick(10, 0, 100)), IsEmpty());
  const int ticks = court.TicksUntil(
      "p99_latency", 50, [] { return Series(); }, [&] { return t.Tick(10, 0, 400); });
  EXPECT_GE(ticks, 1);
  EXPECT_THAT(court.verdict().evidence, HasSubstr("above 512 ms"));
  EXPECT_GT(court.verdict().canary_rate, 0.01);
}

TEST(Judge, RelativeLatencyComparesPercentiles) {
  Court court(MakeJudge(RelativeTriggers(10'000, 50), 10'000), 13);
  Traffic& t = court.traffic();
  court.Healthy(250, 50, 50);
  const int ticks = court.TicksUntil(
      "p95_latency_ratio", 200, [&] { return t.Tick(50, 0.001); },
      [&] { return t.Tick(50, 0.001, 40); });
  EXPECT_GE(ticks, 1);
  EXPECT_THAT(court.verdict().evidence, HasSubstr("above stable's p95"));
}

TEST(Judge, RelativeErrorRateNeedsTwiceStables) {
  Court court(MakeJudge(RelativeTriggers(60'000, 50)), 14);
  Traffic& t = court.traffic();
  for (int i = 0; i < 100; ++i) court.Tick(t.Tick(90, 0.05), t.Tick(10, 0.05));
  for (int i = 0; i < 600; ++i) {
    EXPECT_THAT(court.Tick(t.Tick(90, 0.05), t.Tick(10, 0.06)), IsEmpty());
  }
  EXPECT_GE(court.TicksUntil(
                "error_rate_ratio", 300, [&] { return t.Tick(90, 0.05); },
                [&] { return t.Tick(10, 0.25); }),
            1);
}

TEST(Judge, SequentialLatencySeesASlowerCanaryAndAlerts) {
  Court court(MakeJudge(DefaultTriggers({})), 15);
  court.Healthy(150, 80, 20);
  Traffic& t = court.traffic();
  EXPECT_GE(court.TicksUntil(
                "slower_than_stable_p95", 200, [&] { return t.Tick(80, 0.001); },
                [&] { return t.Tick(20, 0.001, 40); }),
            1);
  EXPECT_EQ(court.verdict().action, Trigger::Action::kAlert);
}

TEST(Judge, RawLooksAtTheBareThresholdAndSaysSo) {
  Trigger trigger{"raw_errors", Family::kAbsolute, "error_rate", 0.05, 1'000, 10};
  trigger.raw = true;
  Court court(MakeJudge({trigger}), 16);
  EXPECT_THAT(court.Tick({}, court.traffic().Tick(9, 1)), IsEmpty());
  const auto verdicts = court.Tick({}, court.traffic().Tick(1, 1));
  ASSERT_THAT(verdicts, SizeIs(1));
  EXPECT_THAT(verdicts[0].evidence, HasSubstr("raw"));
  for (int i = 0; i < 12; ++i) court.Tick({}, court.traffic().Tick(10, 0));
  EXPECT_THAT(court.Tick({}, court.traffic().Tick(10, 0)), IsEmpty());  // out of the window
}

TEST(Judge, DetectorsShareTheFalseAlarmInterval) {
  EXPECT_DOUBLE_EQ(MakeJudge({DefaultTriggers({})[0]}).alarm_threshold(), 2.592e7);
  EXPECT_DOUBLE_EQ(MakeJudge(DefaultTriggers({0.05, 500, 60'000, 0})).alarm_threshold(),
                   5 * 2.592e7);
}

TEST(Judge, RefusesBadConfigurations) {
  JudgeConfig config;
  config.triggers = DefaultTriggers({});
  config.triggers.push_back(config.triggers[0]);
  EXPECT_EQ(Judge::Create(config).status().field(), "triggers[3].name");
  config.triggers = {{"x", Family::kAbsolute, "Speed!", 1}};
  EXPECT_EQ(Judge::Create(config).status().field(), "triggers[0].metric");
  config.triggers.clear();
  config.tick_ms = 0;
  EXPECT_EQ(Judge::Create(config).status().field(), "tick_ms");
}

}  // namespace
}  // namespace weir::control::analysis
