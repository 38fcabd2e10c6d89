// SPDX-License-Identifier: Apache-2.0
// What nodes let in: a Limit that people apply, what policies lay over it, and that both end.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/integration/harness/service_model.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

class Admission : public ServiceModelTest {
 protected:
  // As a policy does it.
  void LayActs(const Json& acts) {
    const Answer answer = api().Patch(fmt::format("/v1/limits/{}?reason=an%20act", kModel),
                                      {{"spec", {{"acts", acts}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  }
  static std::string InMs(int64_t ms) { return FormatTimeMs(Clock::System().WallMs() + ms); }
};

TEST_F(Admission, ALimitThatIsAppliedHoldsUnderLoadAndEndsWhenItIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  Crowd crowd(node(0).address(), 12);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 2, max_queue: 3}"));
  ASSERT_TRUE(WaitFor("429", [&] { return crowd.counts().shed > 20; }));
  for (int i = 0; i < 50; ++i) {
    EXPECT_LE(Metric("weir_admission_inflight" + kOf), 2);
    EXPECT_LE(Metric("weir_admission_queue_length" + kOf), 3);
  }
  const uint64_t calls = service.calls();
  ASSERT_TRUE(WaitFor("the service works on", [&] { return service.calls() > calls + 50; }));
  const Crowd::Counts counts = crowd.counts();
  EXPECT_THAT(counts.last_shed,
              HasSubstr("2 of 2 slots are taken, and 3 of 3 places in the queue"));
  EXPECT_TRUE(counts.every_shed_says_when);
  EXPECT_EQ(counts.other, 0u) << counts.last_other;

  const Output removed = Weir({"delete", fmt::format("limit/{}", kModel), "--reason", "enough"});
  ASSERT_EQ(removed.exit_code, 0) << removed.Text();
  ASSERT_TRUE(EverybodyIsServed(crowd));
  crowd.Stop();
  // What was turned away is neither an error nor a request of the version.
  ASSERT_TRUE(WaitFor("nothing pending", [&] { return NothingPending(); }));
  EXPECT_EQ(Metric(fmt::format("weir_inference_errors_total{{model=\"{}\",model_version=\"1.0.0\","
                               "arm=\"stable\"}}",
                               kModel)),
            0);
  const Json row = NodeRow("n1");
  EXPECT_GT(row["memory_bytes"].get<uint64_t>(), 1'000'000u) << row;
}

TEST_F(Admission, WhatPoliciesLaidOverItEndsWithoutTheControlPlane) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  Crowd crowd(node(0).address(), 12);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  const std::string until = InMs(4000);
  ASSERT_NO_FATAL_FAILURE(LayActs(
      Json::array({{{"policy", "p"}, {"action", "shed_load"}, {"value", 0.5}, {"until", until}}})));
  crowd.Mark();
  ASSERT_TRUE(WaitFor("somebody is turned away", [&] { return crowd.counts().shed > 50; }));
  const Crowd::Counts during = crowd.counts();
  EXPECT_THAT(during.last_shed, HasSubstr("a policy turns 50 % of the callers"));
  // One caller is wholly in or wholly out.
  const auto in = std::count(during.is_served.begin(), during.is_served.end(), true);
  EXPECT_GT(in, 0);
  EXPECT_LT(in, 12);
  control.Kill9();
  ASSERT_TRUE(EverybodyIsServed(crowd));
  EXPECT_GE(FormatTimeMs(Clock::System().WallMs()), until);
}

TEST_F(Admission, AThrottleSlowsTheNodeDown) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  Crowd crowd(node(0).address(), 4);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  ASSERT_NO_FATAL_FAILURE(LayActs(Json::array(
      {{{"policy", "p"}, {"action", "throttle"}, {"value", 20}, {"until", InMs(4500)}}})));
  crowd.Mark();
  const int64_t start_ms = NowMs();
  ASSERT_TRUE(WaitFor("a second", [&] { return NowMs() - start_ms > 1000; }));
  const Crowd::Counts during = crowd.counts();
  const double seconds = static_cast<double>(NowMs() - start_ms) / 1000;
  EXPECT_LE(static_cast<double>(during.served), 20 * seconds + 12) << "and what was on its way";
  EXPECT_THAT(during.last_shed, HasSubstr("this node takes 20 requests a second"));
  ASSERT_TRUE(EverybodyIsServed(crowd));
}

TEST_F(Admission, ABrokenCircuitAnswersAtOnceUntilItEnds) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  ASSERT_NO_FATAL_FAILURE(LayActs(Json::array({{{"policy", "p"},
                                                {"action", "circuit_break"},
                                                {"version", "1.0.0"},
                                                {"until", InMs(2000)},
                                                {"reason", "error_rate is 0.4"}}})));
  const uint64_t calls = service.calls();
  const Answer broken = Infer(node(0).api(), Requests()[0], "u");
  EXPECT_EQ(broken.status, 503) << broken;
  EXPECT_THAT(broken.text, HasSubstr("is held back by a policy: error_rate is 0.4"));
  EXPECT_FALSE(broken.Header("Retry-After").empty());
  EXPECT_EQ(service.calls(), calls);
  ASSERT_TRUE(WaitFor("it is answered again",
                      [&] { return Infer(node(0).api(), Requests()[0], "u").status == 200; }));
}

TEST_F(Admission, ARestartLoadsAVersionAnewAndFailsNobody) {
  ASSERT_NO_FATAL_FAILURE(StartWithService(2));
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  Crowd crowd(node(0).address(), 4);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  const uint64_t checks = service.checks();
  ASSERT_NO_FATAL_FAILURE(LayActs(Json::array({{{"policy", "p"},
                                                {"action", "restart"},
                                                {"version", "1.0.0"},
                                                {"node", "n1"},
                                                {"value", 1}}})));
  const auto has_restarted = [](Node& node) {
    const Result<std::string> log = ReadFile(node.process().log());
    return log.ok() && log->find("is loaded anew") != std::string::npos;
  };
  ASSERT_TRUE(WaitFor("n1 loads it anew", [&] { return has_restarted(node(0)); }));
  ASSERT_TRUE(WaitFor("it is asked again", [&] { return service.checks() > checks; }));
  ASSERT_TRUE(WaitFor("it is READY", [&] { return VersionIs("1.0.0", "READY"); }));
  EXPECT_FALSE(has_restarted(node(1)));
  const Crowd::Counts counts = crowd.Stop();
  EXPECT_EQ(counts.other + counts.shed, 0u) << counts.last_other << counts.last_shed;
}

TEST_F(Admission, TheGovernorKeepsAServiceBusyAndItsQueueShort) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 2}"));
  ASSERT_TRUE(PutFlag("adaptive_governor", 100).ok());
  ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  ASSERT_TRUE(WaitFor("it governs", [&] { return Metric("weir_governor_u" + kOf) == 0; }));
  Crowd crowd(node(0).address(), 24);
  ASSERT_TRUE(WaitFor("it turns some away", [&] { return Metric("weir_governor_u" + kOf) > 0.2; }));
  crowd.Mark();
  const uint64_t calls = service.calls();
  ASSERT_TRUE(WaitFor("the service works on", [&] { return service.calls() > calls + 100; }));
  EXPECT_GT(crowd.counts().shed, 0u);
  EXPECT_EQ(crowd.counts().other, 0u) << crowd.counts().last_other;
  EXPECT_GT(
      Metric(fmt::format("weir_admission_shed_total{{model=\"{}\",reason=\"governor\"}}", kModel)),
      0);
}

}  // namespace
}  // namespace weir::integration
