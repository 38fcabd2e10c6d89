// SPDX-License-Identifier: Apache-2.0
// kill -9 of the control plane at any moment: what was acknowledged is there, no revision is used
// twice, and the node ends up at the head.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

constexpr int kRounds = 15;
constexpr unsigned kSeed = 20251121;

class Durability : public ClusterTest {
 protected:
  // Revision → percentage that the flag was given in it.
  using Revisions = std::map<uint64_t, double>;

  // Gives the flag one percentage after the other until the control plane is gone.
  void PatchUntilKilled(int delay_us, int& counter, Revisions& acknowledged) {
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
      control.process().Signal(SIGKILL);
    });
    for (;;) {
      const double percentage = ++counter / 1000.0;
      const Answer answer =
          api().Patch("/v1/flags/checkout", {{"spec", {{"rollout_percentage", percentage}}}});
      if (!answer.ok()) break;
      const uint64_t revision = answer.json["metadata"]["revision"];
      EXPECT_FALSE(acknowledged.contains(revision)) << "revision " << revision << " was used twice";
      acknowledged[revision] = percentage;
    }
    killer.join();
    control.Kill9();
  }
  Revisions Stored() {
    Revisions stored;
    for (uint64_t before = 0;;) {
      const Answer page = api().Get(
          fmt::format("/v1/history?kind=Flag&name=checkout&limit=1000&before={}", before));
      EXPECT_EQ(page.status, 200) << page;
      if (!page.ok() || page.json["items"].empty()) return stored;
      for (const Json& row : page.json["items"]) {
        before = row["revision"];
        EXPECT_FALSE(stored.contains(before)) << "revision " << before << " is there twice";
        stored[before] = row["changes"][0]["after"]["spec"]["rollout_percentage"];
      }
    }
  }
};

TEST_F(Durability, KillAtAnyMomentLosesNoAcknowledgedRevision) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const Answer made = api().Put("/v1/flags/checkout", {{"apiVersion", "weir/v1"},
                                                       {"kind", "Flag"},
                                                       {"metadata", {{"name", "checkout"}}},
                                                       {"spec", {{"rollout_percentage", 0}}}});
  ASSERT_EQ(made.status, 201) << made;
  std::mt19937 random(kSeed);
  std::uniform_int_distribution<int> delay_us(500, 120'000);
  Revisions acknowledged;
  int counter = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(fmt::format("round {} of seed {}", round, kSeed));
    ASSERT_NO_FATAL_FAILURE(
        PatchUntilKilled(delay_us(random) * static_cast<int>(kSlowness), counter, acknowledged));
    const Status started = control.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    const Revisions stored = Stored();
    for (const auto& [revision, percentage] : acknowledged) {
      const auto found = stored.find(revision);
      ASSERT_TRUE(found != stored.end()) << "revision " << revision << " is lost";
      ASSERT_EQ(found->second, percentage) << "revision " << revision << " holds something else";
    }
    // At most the one change that was under way was kept without having been acknowledged.
    EXPECT_LE(stored.size(), acknowledged.size() + 1 + static_cast<size_t>(round) + 1);
    EXPECT_GE(api().Get("/v1/status").json["head"], stored.rbegin()->first);
    EXPECT_EQ(api().Get("/v1/flags/checkout").json["spec"]["rollout_percentage"],
              stored.rbegin()->second);
  }
  EXPECT_GT(acknowledged.size(), static_cast<size_t>(kRounds)) << "too little was tried";
  ASSERT_TRUE(WaitFor("the node is at the head", [&] { return EveryoneIsAtHead(); }));
  // What it decides by is the last percentage.
  const Json flag = api().Get("/v1/flags/checkout").json;
  const Answer explained = node(0).api().Post("/weir/v1/explain", {{"key", "user-1"}});
  ASSERT_EQ(explained.status, 200) << explained;
  EXPECT_EQ(explained.json["flags"][0]["threshold"], flag["status"]["threshold"]) << explained;
}

}  // namespace
}  // namespace weir::integration
