// SPDX-License-Identifier: Apache-2.0
// A node whose network is cut: the last good on its side, the quorum on the other; after healing
// both have the same, and everything is counted.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/integration/harness/cluster.h"
#include "tests/integration/harness/network.h"

namespace weir::integration {
namespace {

class FaultsPartition : public ClusterTest {
 protected:
  // n1 beside the control plane, n2 behind the cable.
  void StartDivided() {
    control.channel_host = cell_->outside();
    ASSERT_NO_FATAL_FAILURE(StartCluster(1));
    auto forwarder = Forwarder::Open(cell_->outside(), control.api().address());
    ASSERT_TRUE(forwarder.ok()) << forwarder.status().ToString();
    forwarder_ = *std::move(forwarder);
    NodeOptions options{.id = "n2", .control = "http://" + forwarder_->address(), .more = {}};
    options.prefix = cell_->Prefix();
    nodes.push_back(std::make_unique<Node>(dir.path(), options));
    ASSERT_TRUE(node(1).Start().ok()) << node(1).process().Tail();
    ASSERT_TRUE(WaitFor("n2 is known", [&] { return EveryoneIsAtHead(); }));
  }
  void TearDown() override {
    // It can be asked from inside only.
    if (nodes.size() == 2 && node(1).process().running()) {
      EXPECT_EQ(node(1).Stop(), 0);
    }
    ClusterTest::TearDown();
  }
  Answer Inside(const std::function<Answer()>& call) const {
    Answer answer;
    cell_->Run([&] { answer = call(); });
    return answer;
  }
  int ThresholdInside() const {
    int threshold = -1;
    cell_->Run([&] { threshold = Threshold(*nodes[1], "checkout"); });
    return threshold;
  }
  // Infers `times` times on n2 and adds what it was answered.
  void InferInside(int times, Arms& answered) const {
    for (int i = 0; i < times; ++i) {
      const Answer answer = Inside([&] { return Infer(nodes[1]->api(), Requests()[0]); });
      ASSERT_EQ(answer.status, 200) << answer;
      ++answered[{answer.Header("x-weir-version"), answer.Header("x-weir-arm")}];
    }
  }

  std::unique_ptr<Cell> cell_;
  std::unique_ptr<Forwarder> forwarder_;
};

TEST_F(FaultsPartition, EachSideKeepsItsLastGoodAndBothConvergeAfterHealing) {
  auto cell = Cell::Make();
  if (!cell.ok()) {
    std::fprintf(stderr, "NOT TESTED: a partition: %s\n", cell.status().ToString().c_str());
    GTEST_SKIP() << "network namespaces are not permitted here";
  }
  cell_ = *std::move(cell);
  ASSERT_NO_FATAL_FAILURE(StartDivided());
  const Answer pushed = PushVersion(api(), "1.0.0", ModelFile("1.0.0"));
  ASSERT_TRUE(pushed.ok()) << pushed;
  ASSERT_EQ(PutFlag("checkout", 10).status, 201);
  ASSERT_TRUE(WaitFor("ready", [&] { return VersionIs("1.0.0", "READY"); }));
  ASSERT_TRUE(WaitFor("both have it", [&] { return EveryoneIsAtHead(); }));
  Arms answered;
  ASSERT_NO_FATAL_FAILURE(InferInside(5, answered));

  const Status cut = cell_->Cut();
  ASSERT_TRUE(cut.ok()) << cut.ToString();
  const int64_t cut_ms = NowMs();
  ASSERT_EQ(PutFlag("checkout", 20).status, 200);
  EXPECT_TRUE(WaitFor("n1 has it", [&] { return Threshold(node(0), "checkout") == 20'000; }));
  ASSERT_NO_FATAL_FAILURE(InferInside(5, answered));
  ASSERT_TRUE(WaitFor("n2 says that it is stale", [&] {
    return Inside([&] { return node(1).api().Get("/ready"); }).json["stale"] == true;
  }));
  ASSERT_TRUE(WaitFor("n2 counts no more",
                      [&] { return api().Get("/v1/status").json["nodes"]["live"] == 1; }));
  EXPECT_LE(NowMs() - cut_ms, 8500 * kSlowness) << "a node that is cut off leaves the quorum late";
  EXPECT_EQ(ThresholdInside(), 10'000) << "its last good";
  ASSERT_NO_FATAL_FAILURE(InferInside(5, answered));

  const Status healed = cell_->Heal();
  ASSERT_TRUE(healed.ok()) << healed.ToString();
  const int64_t healed_ms = NowMs();
  ASSERT_TRUE(
      WaitFor("they converge", [&] { return ThresholdInside() == 20'000 && EveryoneIsAtHead(); }));
  std::printf("converged %ld ms after healing\n", static_cast<long>(NowMs() - healed_ms));
  EXPECT_TRUE(WaitFor("exact counts", [&] { return Counted() == answered; }))
      << testing::PrintToString(Counted());
}

}  // namespace
}  // namespace weir::integration
