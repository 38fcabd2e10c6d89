// SPDX-License-Identifier: Apache-2.0
// Many real nodes whose control plane restarts: all of them return at once. 40 of them; 200 with
// WEIR_LONG=1.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class FaultsHerd : public ClusterTest {
 protected:
  static size_t Count() { return std::getenv("WEIR_LONG") != nullptr ? 200 : 40; }
  void TearDown() override {
    // Together: one after the other, they would take minutes to say goodbye.
    for (const auto& node : nodes) node->Kill9();
    ClusterTest::TearDown();
  }
};

TEST_F(FaultsHerd, AllNodesReturnWhenTheControlPlaneRestarts) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  ASSERT_EQ(PutFlag("checkout", 10).status, 201);
  for (size_t i = 0; i < Count(); ++i) {
    NodeOptions options{.id = fmt::format("n{}", i), .control = control.url(), .more = {}};
    options.cached = i % 2 == 0;  // the others ask for a snapshot each time they start
    nodes.push_back(std::make_unique<Node>(dir.path(), options));
    ASSERT_TRUE(nodes.back()->Start().ok()) << nodes.back()->process().Tail();
  }
  ASSERT_TRUE(WaitFor("all are there", [&] { return EveryoneIsAtHead(); }));
  control.Kill9();
  const int64_t began_ms = NowMs();
  ASSERT_TRUE(control.Start().ok());
  const int64_t started_ms = NowMs();
  ASSERT_TRUE(WaitFor(
      "all are back", [&] { return EveryoneIsAtHead(); }, 3 * kPatienceMs));
  std::printf("%zu nodes were back %ld ms after the start, %ld ms after the API was there\n",
              nodes.size(), static_cast<long>(NowMs() - began_ms),
              static_cast<long>(NowMs() - started_ms));
  ASSERT_EQ(PutFlag("checkout", 20).status, 200);
  ASSERT_TRUE(WaitFor("all have what came afterwards", [&] { return EveryoneIsAtHead(); }));
  for (const auto& node : nodes) EXPECT_EQ(Threshold(*node, "checkout"), 20'000) << node->id();
}

}  // namespace
}  // namespace weir::integration
