// SPDX-License-Identifier: Apache-2.0
// Whose telemetry arrives.
#include "controlplane/remedy/hearing.h"

#include <gtest/gtest.h>

#include <utility>

namespace weir::control::remedy {
namespace {

class HearingTest : public testing::Test {
 protected:
  HearingTest() {
    for (const char* id : {"n1", "n2", "n3"}) {
      NodeFacts node;
      node.id = id;
      node.live = true;
      if (node.id != "n3") node.versions = {{"m", "1", "READY", ""}};
      nodes_.push_back(node);
    }
  }
  analysis::SloHearing Of(const std::string& model = "m") {
    hearing_.Look(nodes_, now_ms_);
    return hearing_.Of(model);
  }
  std::string Gap() { return Of().gap; }

  Hearing hearing_;
  std::vector<NodeFacts> nodes_;
  int64_t now_ms_ = 50'000;
};

TEST_F(HearingTest, NobodyAsksIsNoGap) {
  EXPECT_EQ(Gap(), "");
  EXPECT_FALSE(Of().is_deaf);
}

TEST_F(HearingTest, ANodeThatFellSilentIsAGapOfItsModels) {
  nodes_[0].lost = true;
  EXPECT_EQ(Gap(), "n1 was silent");
  EXPECT_FALSE(Of().is_deaf) << "n2 is heard";
  EXPECT_EQ(Of("another").gap, "");
  nodes_[0].live = false;
  EXPECT_EQ(Gap(), "n1 was silent");
  nodes_[1].lost = true;
  EXPECT_EQ(Gap(), "n1 was silent, and 1 more");
  EXPECT_TRUE(Of().is_deaf);
}

TEST_F(HearingTest, ANewProcessMissesWhoServedUntilTheyAreSeen) {
  EXPECT_EQ(Gap(), "");
  Hearing before = std::exchange(hearing_, Hearing());
  hearing_.Load(before.Save(), now_ms_);
  const std::vector<NodeFacts> all = std::exchange(nodes_, {nodes_[0], nodes_[2]});
  EXPECT_EQ(Gap(), "n2 was silent");
  EXPECT_FALSE(Of().is_deaf);
  nodes_ = all;
  nodes_[1].live = false;
  EXPECT_EQ(Gap(), "") << "it said goodbye";
  hearing_.Load(before.Save(), now_ms_);
  nodes_ = {all[0], all[2]};
  now_ms_ += 3'600'000;
  EXPECT_EQ(Gap(), "") << "forgotten";
}

TEST_F(HearingTest, WhoLeftIsNotMissed) {
  nodes_[0].live = false;
  EXPECT_EQ(Gap(), "");
  for (NodeFacts& node : nodes_) node.live = false;
  EXPECT_EQ(Gap(), "no node was live");
  EXPECT_TRUE(Of().is_deaf);
}

TEST_F(HearingTest, WhatWaitsAndDoesNotComeIsOverdue) {
  nodes_[1].pending_batches = 3;
  EXPECT_EQ(Gap(), "");
  now_ms_ += Hearing::kOverdueMs - 1;
  hearing_.OnBatches({"n2"}, now_ms_);
  now_ms_ += Hearing::kOverdueMs - 1;
  EXPECT_EQ(Gap(), "") << "it does come";
  now_ms_ += 1;
  EXPECT_EQ(Gap(), "the telemetry of n2 was overdue");
  nodes_[1].pending_batches = 0;
  EXPECT_EQ(Gap(), "");
}

}  // namespace
}  // namespace weir::control::remedy
