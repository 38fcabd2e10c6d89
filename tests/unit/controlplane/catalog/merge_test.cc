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

TEST(Merge, ARuleIsTakenOrKeptAsAWhole) {
  const std::string base = R"({"targeting": {"if": [{"==": [{"var": "a"}, 1]}, "on"]}})";
  const std::string theirs = R"({"targeting": {"!": {"var": "b"}}})";
  const auto kept = MergeFlag(base, theirs, base);
  EXPECT_EQ(kept.merged, Tree(theirs));
  ASSERT_EQ(kept.kept.size(), 1u);
  EXPECT_EQ(PathText(kept.kept[0].path), "spec.targeting");
  const std::string ours = R"({"targeting": {"or": [true, {"!": false}]}})";
  EXPECT_EQ(MergeFlag(base, theirs, ours).merged, Tree(ours)) << "no operator of the other is left";
}

TEST(Merge, MetadataAndTheValuesOfVariantsAreWhole) {
  const auto result = MergeFlag(R"({"metadata": {"a": 1}, "variants": {"x": {"n": 1}, "y": {}}})",
                                R"({"metadata": {"b": 1}, "variants": {"x": {"m": 1}, "y": {}}})",
                                R"({"metadata": {"c": 1}, "variants": {"x": {"n": 2}, "z": ""}})");
  EXPECT_EQ(result.merged, Tree(R"({"metadata": {"c": 1}, "variants": {"x": {"n": 2}, "z": ""}})"));
}

TEST(Merge, VariantsThatAreEmptyTextAreKept) {
  const std::string variants = R"({"variants": {"none": "", "some": "x"}})";
  EXPECT_EQ(MergeFlag("{}", "{}", variants).merged, Tree(variants));
  EXPECT_EQ(MergeFlag(variants, variants, R"({"variants": {"some": "x"}})").merged,
            Tree(R"({"variants": {"some": "x"}})"));
  EXPECT_EQ(Differences(Tree(variants), Tree(R"({"variants": {"some": "x"}})")).size(), 1u);
}

std::string Schedule(const std::string& items) { return R"({"schedule": [)" + items + "]}"; }

TEST(Merge, WhatHasHappenedIsNotScheduledAgain) {
  const std::string first = R"({"at": "2026-01-01T00:00:00Z", "set": {"enabled": true}})";
  const std::string second = R"({"at": "2026-02-01T00:00:00Z", "set": {"enabled": false}})";
  const std::string third = R"({"at": "2026-03-01T00:00:00Z", "set": {"enabled": true}})";
  const std::string both = Schedule(first + "," + second);
  const auto same = MergeFlag(both, Schedule(second), both);
  EXPECT_EQ(same.merged, Tree(Schedule(second)));
  EXPECT_THAT(same.kept, IsEmpty());
  const auto more = MergeFlag(both, Schedule(second), Schedule(first + "," + second + "," + third));
  EXPECT_EQ(more.merged, Tree(Schedule(second + "," + third)));
  const auto fewer = MergeFlag(both, Schedule(second), Schedule(first));
  EXPECT_TRUE(At(fewer.merged, {"spec", "schedule"}).is_null());
  const auto dropped = MergeFlag(both, Schedule(second), "{}");
  EXPECT_TRUE(At(dropped.merged, {"spec", "schedule"}).is_null());
  const auto others = MergeFlag(both, Schedule(second + "," + third), both);
  EXPECT_EQ(others.merged, Tree(Schedule(second + "," + third)));
  EXPECT_EQ(others.kept.size(), 1u);
}

}  // namespace
}  // namespace weir::control::catalog
