// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/entries.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::domain {
namespace {

Resource FlagRollout(const std::string& name, const std::string& state, int64_t since_ms,
                     double percentage = 12.5) {
  Resource rollout;
  rollout.kind = Kind::kRollout;
  rollout.name = name;
  RolloutSpec spec;
  spec.flag = "ttft";
  spec.hash_seed = "ttft";
  spec.phases.resize(1);
  rollout.spec = spec;
  rollout.status.emplace();
  rollout.status->state = state;
  rollout.status->since.ms = since_ms;
  rollout.status->percentage = percentage;
  return rollout;
}

bool RolledBack(const std::vector<Resource>& rollouts) {
  Resource flag;
  flag.name = "ttft";
  FlagSpec spec;
  spec.enabled = true;
  flag.spec = spec;
  return FlagEntryOf(flag,
                     [&](Kind kind, const auto& visit) {
                       for (const Resource& rollout : rollouts) {
                         if (kind == Kind::kRollout) visit(rollout);
                       }
                     })
      .rolled_back;
}

TEST(Entries, AFlagIsRolledBackWhileItsLatestRolloutIs) {
  EXPECT_FALSE(RolledBack({}));
  EXPECT_TRUE(RolledBack({FlagRollout("a", "rolled_back", 10)}));
  EXPECT_TRUE(RolledBack({FlagRollout("a", "rolling_back", 10, 0)}));
  EXPECT_FALSE(RolledBack({FlagRollout("a", "rolling_back", 10, 5)}))
      << "taken back in steps, the rest of its keys has it still";
  EXPECT_TRUE(RolledBack({FlagRollout("a", "rolled_back", 10), FlagRollout("b", "promoted", 5)}));
  EXPECT_FALSE(RolledBack({FlagRollout("a", "rolled_back", 10), FlagRollout("b", "promoted", 15)}));
  EXPECT_FALSE(
      RolledBack({FlagRollout("a", "rolled_back", 10), FlagRollout("b", "progressing", 5)}))
      << "a clock set back does not matter to one that runs";
  EXPECT_TRUE(RolledBack({FlagRollout("a", "rolled_back", 10), FlagRollout("b", "pending", 15)}));
  Resource promoted = FlagRollout("a", "rolled_back", 10);
  promoted.status->promoted_at.ms = 5;
  EXPECT_FALSE(RolledBack({promoted})) << "the flag has its percentage from before again";
  promoted.status->state = "rolling_back";
  promoted.status->percentage = 0;
  EXPECT_FALSE(RolledBack({promoted}));
}

TEST(Entries, OnlyAnActiveRolloutSplits) {
  for (const char* state : {"pending", "promoted", "rolled_back", "aborted"}) {
    EXPECT_FALSE(SplitEntryOf(FlagRollout("a", state, 0)).has_value()) << state;
  }
  EXPECT_FALSE(SplitEntryOf(FlagRollout("a", "rolling_back", 0, 0)).has_value());
  EXPECT_TRUE(SplitEntryOf(FlagRollout("a", "rolling_back", 0, 5)).has_value());
  const auto split = SplitEntryOf(FlagRollout("a", "paused", 0));
  ASSERT_TRUE(split.has_value());
  EXPECT_EQ(split->threshold, 12'500u);
  EXPECT_EQ(split->flag, "ttft");
}

TEST(Entries, AModelKeepsDigestsAndFaults) {
  Resource model;
  model.kind = Kind::kModel;
  model.name = "m";
  ModelSpec spec;
  spec.stable = "1";
  spec.versions["1"] = {.runtime = "xgboost", .uri = "", .blob = "sha256:abc", .fault = {}};
  spec.versions["2"] = spec.versions["1"];
  spec.versions["2"].fault =
      Fault{.error_rate = 0.5, .delay = {.ms = 20}, .expires = "2025-11-21T00:00:00.000Z"};
  model.spec = spec;
  const ModelEntry entry = ModelEntryOf(model);
  ASSERT_EQ(entry.versions.size(), 2u);
  EXPECT_EQ(entry.versions[0].sha256, "abc");
  EXPECT_FALSE(entry.versions[0].fault.has_value());
  EXPECT_EQ(entry.versions[1].fault->delay_ms, 20);
  EXPECT_EQ(entry.versions[1].fault->expires_wall_ms, 1'763'683'200'000);
}

}  // namespace
}  // namespace weir::domain
