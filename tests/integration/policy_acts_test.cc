// SPDX-License-Identifier: Apache-2.0
// What a policy does, nodes do: each action that lets in more or less, or loads anew, by a policy
// that watches an objective under load; and people are told. rollback, shed_load and disable_flag
// are in policies_test.cc.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/integration/harness/policies.h"
#include "tests/integration/harness/service_model.h"

namespace weir::integration {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Of an act, so that it can be looked at.
const std::string kLasts = fmt::format("{}s", 6 * kSlowness);

class PolicyActs : public ServiceModelTest {
 protected:
  // What the service, which takes 20 ms, cannot hold.
  static Json TooQuick() { return OfModel({{"metric", "p95_latency_ms"}, {"threshold", 10}}); }
  static Json OfModel(Json slo) {
    slo.update({{"window", "2s"}, {"model", kModel}});
    return slo;
  }
  // The policy, which acts once.
  void Watch(const Json& slo, const Json& remediation) {
    PutPolicy(api(), PolicyResource("p", slo, remediation, {{"cooldown", "10m"}}));
  }
  testing::AssertionResult HasActed() {
    return WaitFor("the act", [&] { return PolicyCount(api(), "p", "remediations") >= 1; });
  }
  double InWork() { return Metric("weir_admission_inflight" + kOf); }
  // The most at once of so many looks.
  double MostInWork() {
    double most = 0;
    for (int i = 0; i < 20; ++i) most = std::max(most, InWork());
    return most;
  }
  bool HasRestarted(size_t index) {
    const Result<std::string> log = ReadFile(node(index).process().log());
    return log.ok() && log->find("is loaded anew") != std::string::npos;
  }
};

TEST_F(PolicyActs, ScaleUpEndsTheWaiting) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 2, most_concurrent: 16, replicas: 3}"));
  Crowd crowd(node(0).address(), 6);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  EXPECT_LE(MostInWork(), 2);
  // Four wait while two are in work.
  ASSERT_NO_FATAL_FAILURE(Watch(OfModel({{"metric", "p95_queue_ms"}, {"threshold", 15}}),
                                {{"action", "scale_up"}, {"step", 6}}));
  ASSERT_TRUE(HasActed()) << PolicyStatus(api(), "p");
  ASSERT_TRUE(WaitFor("more at once", [&] { return InWork() > 2; }));
  EXPECT_EQ(Metric("weir_admission_limit" + kOf), 8);
  ASSERT_TRUE(WaitFor("it is mended", [&] { return PolicyStatus(api(), "p")["state"] == "ok"; }))
      << PolicyStatus(api(), "p");
  EXPECT_THAT(api().Get("/metrics").text,
              HasSubstr(fmt::format("weir_replicas_recommended{} 12\n", kOf)));
  EXPECT_EQ(crowd.Stop().other, 0u);
}

TEST_F(PolicyActs, ScaleDownHoldsUntilItEnds) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 8, min_concurrent: 2, max_queue: 32}"));
  Crowd crowd(node(0).address(), 8);
  ASSERT_TRUE(WaitFor("many at once", [&] { return InWork() > 2; }));
  ASSERT_NO_FATAL_FAILURE(
      Watch(TooQuick(), {{"action", "scale_down"}, {"step", 100}, {"duration", kLasts}}));
  ASSERT_TRUE(WaitFor("the limit", [&] { return Metric("weir_admission_limit" + kOf) == 2; }))
      << PolicyStatus(api(), "p");
  ASSERT_TRUE(WaitFor("those before are answered", [&] { return InWork() <= 2; }));
  EXPECT_LE(MostInWork(), 2);
  ASSERT_TRUE(WaitFor("it ends", [&] { return InWork() > 2; }));
  EXPECT_EQ(crowd.Stop().other, 0u);
}

TEST_F(PolicyActs, ThrottleTakesAPartOfWhatComesAndHoldsEachCaller) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  Crowd crowd(node(0).address(), 4);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  ASSERT_NO_FATAL_FAILURE(
      Watch(OfModel({{"metric", "throughput"}, {"comparison", "<="}, {"threshold", 20}}),
            {{"action", "throttle"}, {"factor", 0.5}, {"caller_requests_per_second", 5}}));
  ASSERT_TRUE(HasActed()) << PolicyStatus(api(), "p");
  const Json acts = Acts(api());
  ASSERT_EQ(acts.size(), 1u);
  EXPECT_GT(acts[0]["value"], 10) << "half of what came: " << acts;
  ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  crowd.Mark();
  const int64_t start_ms = NowMs();
  ASSERT_TRUE(WaitFor("two seconds", [&] { return NowMs() - start_ms > 2000; }));
  const Crowd::Counts during = crowd.Stop();
  const double seconds = static_cast<double>(NowMs() - start_ms) / 1000;
  // Each of the four may ask 5 times a second, and has as much in hand at the beginning.
  EXPECT_LE(static_cast<double>(during.served), 4 * (5 * seconds + 10));
  EXPECT_GT(during.served, 0u);
  EXPECT_THAT(during.last_shed, HasSubstr("times a second on this node"));
  EXPECT_TRUE(during.every_shed_says_when);
}

TEST_F(PolicyActs, ABrokenCircuitSparesTheCanarysUsersUntilItEnds) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  // Nodes by themselves leave only what fails half of the time.
  ASSERT_TRUE(PushVersion(api(), "1.1.0", ModelFile("1.1.0"),
                          {{"fault", {{"error_rate", 0.3}, {"expires", "10m"}}}})
                  .ok());
  ASSERT_TRUE(WaitFor("it is READY", [&] { return VersionIs("1.1.0", "READY"); }));
  Traffic traffic(Addresses(), 300);
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("bad", "1.1.0", {{.percentage = 50, .duration = "1h"}},
                                        {{"enabled", false}}))
          .status,
      201);
  Json slo = OfModel({{"metric", "error_rate"}, {"threshold", 0.05}});
  slo["version"] = "1.1.0";
  ASSERT_NO_FATAL_FAILURE(Watch(slo, {{"action", "circuit_break"}, {"duration", kLasts}}));
  ASSERT_TRUE(HasActed()) << PolicyStatus(api(), "p");
  ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  traffic.Mark();
  ASSERT_TRUE(WaitFor("two hundred answers", [&] { return traffic.Counts().sent >= 200; }));
  const TrafficCounts during = traffic.Counts();
  EXPECT_EQ(during.failed, 0u) << during.last_problem;
  EXPECT_EQ(during.Arm("canary"), 0u);
  EXPECT_EQ(RolloutState(api(), "bad"), "progressing") << "only held back";
  ASSERT_TRUE(WaitFor("it ends", [&] { return traffic.Counts().Arm("canary") > 0; }));
}

TEST_F(PolicyActs, RestartGoesFromNodeToNodeAndFailsNobody) {
  ASSERT_NO_FATAL_FAILURE(StartWithService(2));
  Crowd first(node(0).address(), 2);
  Crowd second(node(1).address(), 2);
  ASSERT_NO_FATAL_FAILURE(Watch(TooQuick(), {{"action", "restart"}}));
  for (size_t i : {0, 1}) {
    ASSERT_TRUE(WaitFor("it is loaded anew", [&] { return HasRestarted(i); }))
        << i << PolicyStatus(api(), "p");
  }
  ASSERT_TRUE(WaitFor("it is over", [&] { return Acts(api()).empty(); })) << Acts(api());
  EXPECT_TRUE(VersionIs("1.0.0", "READY"));
  std::vector<std::string> nodes_asked;
  for (const Json& revision : RevisionsBy(api(), "policy/p")) {
    nodes_asked.push_back(revision["reason"]);
  }
  EXPECT_THAT(nodes_asked,
              ElementsAre(HasSubstr("everywhere"), HasSubstr("on n"), HasSubstr("on n")));
  for (Crowd* crowd : {&first, &second}) {
    const Crowd::Counts counts = crowd->Stop();
    EXPECT_EQ(counts.other + counts.shed, 0u) << counts.last_other << counts.last_shed;
    EXPECT_GT(counts.served, 0u);
  }
}

TEST_F(PolicyActs, SetPercentageChangesHowManyUsersHaveAFlag) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_TRUE(PutFlag("fancy", 100).ok());
  const auto users_with_it = [&] {
    int with = 0;
    for (int i = 0; i < 100; ++i) {
      const Json context = {{"context", {{"targetingKey", fmt::format("user-{}", i)}}}};
      with += node(0).api().Post("/ofrep/v1/evaluate/flags/fancy", context).json["value"] == true;
    }
    return with;
  };
  ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  EXPECT_EQ(users_with_it(), 100);
  Crowd crowd(node(0).address(), 4);
  ASSERT_NO_FATAL_FAILURE(Watch(TooQuick(), {{"action", "set_percentage"},
                                             {"target", "fancy"},
                                             {"percentage", 20},
                                             {"duration", kLasts}}));
  ASSERT_TRUE(WaitFor("less on the node", [&] { return Threshold(node(0), "fancy") == 20'000; }))
      << PolicyStatus(api(), "p");
  const int during = users_with_it();
  EXPECT_GT(during, 0);
  EXPECT_LT(during, 50);
  ASSERT_TRUE(WaitFor("all again", [&] { return Threshold(node(0), "fancy") == 100'000; }));
  EXPECT_EQ(crowd.Stop().other, 0u);
}

TEST_F(PolicyActs, AlertTellsPeopleWhenItBeginsAndWhenItEnds) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_EQ(PutSink("book", {{"format", "log"}, {"team", "risk"}}).status, 201);
  Crowd crowd(node(0).address(), 4);
  Json slo = TooQuick();
  slo["severity"] = "high";
  ASSERT_NO_FATAL_FAILURE(Watch(slo, {{"action", "alert"}}));
  const auto is_told = [&](const std::string& text) {
    return control.process().Tail(100'000).find(text) != std::string::npos;
  };
  ASSERT_TRUE(WaitFor("it is told", [&] {
    return is_told("[high] for risk") && is_told("p95_latency_ms is ");
  })) << control.process().Tail(2000);
  ASSERT_TRUE(HasActed()) << PolicyStatus(api(), "p");
  EXPECT_TRUE(Acts(api()).empty()) << "nothing is laid over the limit";
  service.delay_ms = 0;
  ASSERT_TRUE(WaitFor("its end is told", [&] { return is_told("resolved"); }))
      << control.process().Tail(2000);
  EXPECT_EQ(crowd.Stop().other, 0u);
}

}  // namespace
}  // namespace weir::integration
