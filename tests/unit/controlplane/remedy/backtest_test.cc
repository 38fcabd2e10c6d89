// SPDX-License-Identifier: Apache-2.0
// A replay of stored telemetry through the driver.
#include "controlplane/remedy/backtest.h"

#include "tests/unit/controlplane/remedy/driver_fixture.h"

namespace weir::control::remedy {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kBeginMs = 1'763'683'200'000 / kMinuteMs * kMinuteMs;

class RemedyBacktest : public RemedyTest {
 protected:
  // A policy that throttles, over so many minutes of which [from, to) are bad.
  BacktestInput Input(int minutes, int from, int to) {
    BacktestInput input;
    domain::PolicySpec policy = Policy("throttle");
    policy.remediations[0].factor = 0.5;
    policy.cooldown = {120'000};
    policy.enabled = false;
    input.policy = Put(Kind::kPolicy, "p", policy);
    input.resources = {resources_.at({Kind::kModel, "m"})};
    input.live_nodes = 2;
    input.from_wall_ms = kBeginMs;
    input.to_wall_ms = kBeginMs + minutes * kMinuteMs;
    input.step_ms = kMinuteMs;
    for (int i = 0; i < minutes; ++i) {
      telemetry::Window window;
      telemetry::Series& series = window[{"model/m", "1", "stable"}];
      series.counters["requests"] = 6000;
      if (i >= from && i < to) series.counters["bad"] = 1200;
      input.windows.emplace_back(kBeginMs + i * kMinuteMs, std::move(window));
    }
    return input;
  }
};

TEST_F(RemedyBacktest, SaysWhenItWouldHaveFiredAndActed) {
  const codec::Json said = Backtest(Input(30, 10, 15));
  EXPECT_EQ(said["from"], FormatTimeMs(kBeginMs));
  EXPECT_EQ(said["step_ms"], kMinuteMs);
  ASSERT_THAT(said["slos"], SizeIs(1));
  const codec::Json& slo = said["slos"][0];
  EXPECT_EQ(slo["name"], "error_rate");
  EXPECT_EQ(slo["model"], "m");
  EXPECT_EQ(slo["violations"], 1);
  EXPECT_EQ(slo["first_at"], FormatTimeMs(kBeginMs + 11 * kMinuteMs));
  EXPECT_EQ(slo["violated_ms"], 5 * kMinuteMs);
  EXPECT_EQ(slo["worst"], 0.2);
  ASSERT_THAT(said["actions"], SizeIs(3)) << "at minutes 11, 13 and 15: " << said["actions"];
  const codec::Json& action = said["actions"][0];
  EXPECT_EQ(action["at"], slo["first_at"]);
  EXPECT_EQ(action["action"], "throttle");
  EXPECT_EQ(action["target"], "limit/m");
  EXPECT_EQ(action["result"], "dry_run");
  EXPECT_EQ(action["value"], 25.0) << "half of 100 a second on two nodes";
  EXPECT_EQ(said["actions"][2]["at"], FormatTimeMs(kBeginMs + 15 * kMinuteMs));
}

TEST_F(RemedyBacktest, AWellTimeSaysNothing) {
  const codec::Json said = Backtest(Input(10, 0, 0));
  EXPECT_EQ(said["slos"][0]["violations"], 0);
  EXPECT_FALSE(said["slos"][0].contains("first_at"));
  EXPECT_THAT(said["actions"], IsEmpty());
}

TEST_F(RemedyBacktest, ARolloutIsTakenToBeUnderWay) {
  BacktestInput input = Input(10, 3, 5);
  auto& policy = input.policy.As<domain::PolicySpec>();
  policy.remediations[0] = {};
  policy.remediations[0].action = "rollback";
  const codec::Json said = Backtest(input);
  ASSERT_THAT(said["actions"], SizeIs(1));
  EXPECT_EQ(said["actions"][0]["result"], "dry_run");
}

}  // namespace
}  // namespace weir::control::remedy
