// SPDX-License-Identifier: Apache-2.0
// Scheduled changes: nodes do them on time by themselves, the control plane writes them down.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Schedule : public ClusterTest {
 protected:
  // A flag that is off, with a schedule of changes.
  void PutFlag(Json schedule) {
    const Answer answer =
        api().Put("/v1/flags/checkout", {{"apiVersion", "weir/v1"},
                                         {"kind", "Flag"},
                                         {"metadata", {{"name", "checkout"}}},
                                         {"spec", {{"enabled", false}, {"schedule", schedule}}}});
    ASSERT_EQ(answer.status, 201) << answer;
  }
  static int64_t WallMs() { return Clock::System().WallMs(); }
  Json Decision() const {
    const Answer answer = nodes[0]->api().Post("/weir/v1/explain", {{"key", "user-1"}});
    return answer.ok() && !answer.json["flags"].empty() ? answer.json["flags"][0] : Json::object();
  }
  testing::AssertionResult Becomes(int threshold) const {
    return WaitFor("the node's percentage",
                   [&] { return Decision().value("threshold", -1) == threshold; });
  }
  Json Spec() const { return api().Get("/v1/flags/checkout").json["spec"]; }
};

TEST_F(Schedule, NodesChangeOnTimeWithoutTheControlPlane) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const int64_t at_ms = WallMs() + 1500 * kSlowness;
  ASSERT_NO_FATAL_FAILURE(PutFlag({{{"at", FormatTimeMs(at_ms)}, {"set", {{"enabled", true}}}}}));
  ASSERT_TRUE(WaitFor("the node knows it", [&] { return Decision().contains("enabled"); }));
  ASSERT_TRUE(WaitFor("applied", [&] { return EveryoneIsAtHead(); }));
  control.process().Signal(SIGSTOP);
  ASSERT_LT(WallMs(), at_ms) << "this machine is too slow for the test";
  int64_t last_off_ms = 0;
  ASSERT_TRUE(WaitFor("on", [&] {
    const int64_t asked_ms = WallMs();
    const bool on = Decision().value("enabled", false);
    if (!on) last_off_ms = asked_ms;
    return on;
  }));
  EXPECT_GE(WallMs(), at_ms) << "not before";
  EXPECT_LT(last_off_ms, at_ms) << "every question asked after that moment was answered with on";
  control.process().Signal(SIGCONT);
  ASSERT_TRUE(WaitFor("written down", [&] { return Spec().value("enabled", false); }));
  EXPECT_FALSE(Spec().contains("schedule") && !Spec()["schedule"].empty()) << Spec();
  const Json newest = api().Get("/v1/history?kind=Flag&name=checkout&limit=1").json["items"][0];
  EXPECT_EQ(newest["actor"], "schedule");
  EXPECT_EQ(newest["reason"], "scheduled change of " + FormatTimeMs(at_ms));
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  EXPECT_EQ(Decision()["enabled"], true) << "as before";
}

TEST_F(Schedule, EachItemIsFoldedWhenItIsDue) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const int64_t now_ms = WallMs();
  ASSERT_NO_FATAL_FAILURE(PutFlag(
      {{{"at", FormatTimeMs(now_ms - 2000)}, {"set", {{"enabled", true}, {"percentage", 20}}}},
       {{"at", FormatTimeMs(now_ms - 1000)}, {"set", {{"percentage", 40}}}},
       {{"at", FormatTimeMs(now_ms + 3'600'000)}, {"set", {{"percentage", 100}}}}}));
  ASSERT_TRUE(WaitFor("written down", [&] { return Spec().value("enabled", false); }));
  const Json spec = Spec();
  EXPECT_EQ(spec["rollout_percentage"], 40) << spec;
  ASSERT_EQ(spec["schedule"].size(), 1u) << "what is not due stays";
  EXPECT_EQ(spec["schedule"][0]["at"], FormatTimeMs(now_ms + 3'600'000));
  ASSERT_TRUE(WaitFor("nodes agree", [&] { return Decision().value("threshold", 0) == 40'000; }));
}

// The control plane sleeps over the moment and wakes up with an edit waiting for it.
TEST_F(Schedule, AnEditAfterTheMomentStandsThoughNobodyHadWrittenTheChangeDown) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const int64_t at_ms = WallMs() + 1500 * kSlowness;
  ASSERT_NO_FATAL_FAILURE(
      PutFlag({{{"at", FormatTimeMs(at_ms)}, {"set", {{"enabled", true}, {"percentage", 50}}}}}));
  ASSERT_TRUE(WaitFor("the moment", [&] { return WallMs() >= at_ms; }));
  const Answer edited = api().Patch("/v1/flags/checkout", {{"spec", {{"rollout_percentage", 5}}}});
  ASSERT_EQ(edited.status, 200) << edited;
  EXPECT_EQ(Spec()["rollout_percentage"], 5) << Spec();
  EXPECT_EQ(Spec()["enabled"], true) << "the rest of the scheduled change";
  EXPECT_FALSE(Spec().contains("schedule") && !Spec()["schedule"].empty()) << Spec();
  ASSERT_TRUE(Becomes(5'000));
}

TEST_F(Schedule, AFileThatChangedWhileTheControlPlaneWasDownOverTheMomentStands) {
  const std::string resources = dir.path() + "/resources";
  std::filesystem::create_directories(resources);
  control.more = {"--resources", resources};
  const auto save = [&](const std::string& schedule, double percentage) {
    const std::string spec = fmt::format(
        "apiVersion: weir/v1\nkind: Flag\nmetadata: {{name: checkout}}\nspec:\n"
        "  enabled: true\n  rollout_percentage: {}\n  hash_seed: s\n{}",
        percentage, schedule);
    ASSERT_TRUE(WriteFileAtomic(resources + "/flag.yaml", spec).ok());
  };
  const int64_t at_ms = WallMs() + 3000 * kSlowness;
  const std::string schedule =
      fmt::format("  schedule: [{{at: \"{}\", set: {{percentage: 50}}}}]\n", FormatTimeMs(at_ms));
  ASSERT_NO_FATAL_FAILURE(save(schedule, 10));
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_TRUE(Becomes(10'000));
  control.Kill9();
  ASSERT_TRUE(Becomes(50'000));
  ASSERT_NO_FATAL_FAILURE(save(schedule, 20));
  ASSERT_TRUE(control.Start().ok());
  EXPECT_TRUE(Becomes(20'000)) << "the newest word";
  EXPECT_FALSE(Spec().contains("schedule") && !Spec()["schedule"].empty()) << Spec();
}

}  // namespace
}  // namespace weir::integration
