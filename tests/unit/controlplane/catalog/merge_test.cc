// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::control::catalog {
namespace {

using ::testing::IsEmpty;

Json Tree(const std::string& spec) { return {{"spec", Json::parse(spec)}}; }

MergeResult MergeFlag(const std::string& base, const std::string& theirs, const std::string& ours,
                      bool replace = false) {
  return Merge({.kind = domain::Kind::kFlag,
                .base = Tree(base),
                .theirs = Tree(theirs),
                .ours = Tree(ours),
                .replace = replace});
}

TEST(Merge, NothingStandsYet) {
  const auto result = Merge({.kind = domain::Kind::kFlag,
                             .base = Tree(R"({"owner": "stale"})"),
                             .theirs = Json(),
                             .ours = Tree(R"({"owner": "a"})"),
                             .replace = false});
  EXPECT_EQ(result.merged, Tree(R"({"owner": "a"})"));
  EXPECT_THAT(result.kept, IsEmpty());
}

TEST(Merge, ListsAreOneField) {
  const auto changed =
      MergeFlag(R"({"tags": ["a"]})", R"({"tags": ["a", "b"]})", R"({"tags": ["c"]})");
  EXPECT_EQ(changed.merged, Tree(R"({"tags": ["c"]})"));
  const auto kept =
      MergeFlag(R"({"tags": ["a"]})", R"({"tags": ["a", "b"]})", R"({"tags": ["a"]})");
  EXPECT_EQ(kept.merged, Tree(R"({"tags": ["a", "b"]})"));
  ASSERT_EQ(kept.kept.size(), 1u);
  EXPECT_EQ(PathText(kept.kept[0].path), "spec.tags");
}

TEST(Merge, AnEmptyListInTheFileEmptiesTheField) {
  const auto result = MergeFlag("{}", R"({"owner": "o", "tags": ["a"]})", R"({"tags": []})");
  EXPECT_EQ(result.merged, Tree(R"({"owner": "o"})"));
}

TEST(Merge, AnEmptyMappingInTheFileEmptiesTheMapping) {
  const auto result =
      MergeFlag(R"({"nodes": {"zone": "a"}})", R"({"nodes": {"zone": "a"}})", R"({"nodes": {}})");
  EXPECT_TRUE(At(result.merged, {"spec", "nodes"}).is_null());
}

TEST(Merge, AnEmptyMappingInTheFileTakesNothingFromOthers) {
  const auto result = MergeFlag(R"({"rollback": {"error_rate": 0.1}})",
                                R"({"rollback": {"error_rate": 0.1, "p99_latency_ms": 500}})",
                                R"({"rollback": {}})");
  EXPECT_EQ(result.merged, Tree(R"({"rollback": {"p99_latency_ms": 500}})"));
}

TEST(Merge, AFileThatLeavesItsStableVersionOutDoesNotTakeItAway) {
  const auto result = MergeFlag(R"({"stable": "1"})", R"({"stable": "1"})", R"({"pinned": "1"})");
  EXPECT_EQ(result.merged, Tree(R"({"stable": "1", "pinned": "1"})"));
  ASSERT_EQ(result.kept.size(), 1u);
  EXPECT_EQ(result.kept[0].note, "a model keeps its stable version");
}

TEST(Merge, BothMadeTheSameChange) {
  const auto result = MergeFlag(R"({"owner": "a"})", R"({"owner": "b"})", R"({"owner": "b"})");
  EXPECT_EQ(result.merged, Tree(R"({"owner": "b"})"));
  EXPECT_THAT(result.kept, IsEmpty());
}

TEST(Merge, BothChangedItAndTheFileWins) {
  const auto result = MergeFlag(R"({"owner": "a"})", R"({"owner": "b"})", R"({"owner": "c"})");
  EXPECT_EQ(result.merged, Tree(R"({"owner": "c"})"));
  EXPECT_THAT(result.kept, IsEmpty());
  EXPECT_THAT(result.taken, IsEmpty());
}

TEST(Merge, SomebodyRemovedItAndAnOldFileDoesNotBringItBack) {
  const auto result = MergeFlag(R"({"owner": "a"})", "{}", R"({"owner": "a"})");
  EXPECT_TRUE(At(result.merged, {"spec", "owner"}).is_null());
  ASSERT_EQ(result.kept.size(), 1u);
  EXPECT_EQ(ValueText(result.kept[0].value), "unset");
}

TEST(Merge, ReplaceLeavesFieldsThatTheFileNeverNamed) {
  const auto result = MergeFlag(R"({"owner": "a"})", R"({"owner": "b", "description": "d"})",
                                R"({"owner": "a"})", true);
  EXPECT_EQ(result.merged, Tree(R"({"owner": "a", "description": "d"})"));
  ASSERT_EQ(result.taken.size(), 1u);
  EXPECT_EQ(result.taken[0].value, "b");
}

TEST(Merge, ADroppedVersionWithAForeignFieldInItGoesWhole) {
  const auto result = Merge({.kind = domain::Kind::kModel,
                             .base = Tree(R"({"versions": {"1.0.0": {"blob": "x"}}})"),
                             .theirs = Tree(R"({"versions": {"1.0.0": {"blob": "x",
                                  "runtime": "xgboost"}, "2.0.0": {"blob": "y"}}})"),
                             .ours = Tree(R"({"versions": {"2.0.0": {"blob": "y"}}})"),
                             .replace = false});
  EXPECT_EQ(result.merged, Tree(R"({"versions": {"2.0.0": {"blob": "y"}}})"));
}

}  // namespace
}  // namespace weir::control::catalog
