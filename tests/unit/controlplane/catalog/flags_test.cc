// SPDX-License-Identifier: Apache-2.0
// Flags of the documents' files and of flagd's definitions, applied; schedules; what is refused.
#include "controlplane/catalog/schedule.h"
#include "shared/base/text.h"
#include "tests/unit/controlplane/catalog/fixture.h"

namespace weir::control::catalog {
namespace {

const char kBlocks[] = WEIR_SOURCE_DIR "/tests/golden/seed_blocks";

class CatalogFlags : public CatalogFixture {
 protected:
  // As one file of its own name.
  Result<CommitResult> TryApply(const std::string& text, const std::string& source) {
    const codec::FileContent content = codec::ReadResources(text, source);
    if (!content.errors.empty()) return InvalidArgument("", content.errors[0].message);
    ApplyRequest request;
    request.documents = content.documents;
    request.source = "file:" + source;
    request.actor = request.source;
    return catalog_->Apply(request);
  }
  void CommitDue() {
    CommitRequest request;
    request.changes = DueSchedules(*catalog_, clock_.WallMs());
    request.actor = "schedule";
    ASSERT_FALSE(request.changes.empty());
    const auto result = catalog_->Commit(request);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
  }
  std::string In(int64_t ms) const { return FormatTimeMs(clock_.WallMs() + ms); }
};

constexpr char kWhole[] =
    "phase4_rollout: {enabled: true, percentage: 100, hash_seed: p4}\n"
    "ttft_pipeline: {enabled: true, rollout_percentage: 10, hash_seed: ttft-seed, owner: risk}\n"
    "qos_monitor: {enabled: true, executor: {enabled: true}}\n"
    "new_feature: {enabled: false, rollout_percentage: 0, hash_seed: new-seed}\n"
    "observability: {metric_prefix: mlx, log_keys: true}\n";

TEST_F(CatalogFlags, BlocksOfTheDocumentsApplyWhereTheyMay) {
  for (const std::string& row : Split(*ReadFile(std::string(kBlocks) + "/expected.tsv"), '\n')) {
    if (row.empty() || row[0] == '#') continue;
    const auto cells = Split(row, '\t');
    SCOPED_TRACE(cells[0]);
    const std::string text = *ReadFile(fmt::format("{}/{}.yaml", kBlocks, cells[0]));
    Anew();
    const auto alone = TryApply(text, cells[0]);
    EXPECT_EQ(alone.ok(), cells[1] == "loads") << alone.status().ToString();
    if (cells[1] == "edit") {
      EXPECT_THAT(alone.status().message(), HasSubstr(cells[3]));
      EXPECT_THAT(alone.status().message(), HasSubstr(cells[0] + ":" + cells[2]));
    }
    Anew();
    Apply(File(kWhole, "file:whole"));
    const auto onto = TryApply(text, cells[0]);
    EXPECT_EQ(onto.ok(), cells[1] != "refused") << onto.status().ToString();
  }
}

TEST_F(CatalogFlags, AnEditKeepsTheSeedAndEverythingElse) {
  Apply(File(kWhole, "file:whole"));
  for (const char* source : {"file:edit", "file:whole"}) {
    SCOPED_TRACE(source);
    Apply(File("ttft_pipeline: {enabled: false, rollout_percentage: 0}\n", source));
    EXPECT_EQ(Flag("ttft_pipeline").enabled, false);
    EXPECT_EQ(Flag("ttft_pipeline").rollout_percentage, 0);
    EXPECT_EQ(Flag("ttft_pipeline").hash_seed, "ttft-seed");
    EXPECT_EQ(Flag("ttft_pipeline").owner, "risk");
    EXPECT_THAT(Flag("ttft_pipeline").prerequisites, ElementsAre("phase4_rollout"));
    Apply(File("ttft_pipeline: {rollout_percentage: 50}\n", source));
    EXPECT_EQ(Flag("ttft_pipeline").rollout_percentage, 50);
    EXPECT_EQ(Flag("ttft_pipeline").enabled, false) << "an edit switches nothing on by itself";
    Apply(File("ttft_pipeline: {enabled: true, rollout_percentage: 50}\n", source));
    EXPECT_EQ(Flag("ttft_pipeline").enabled, true);
    EXPECT_EQ(Flag("ttft_pipeline").hash_seed, "ttft-seed");
  }
}

TEST_F(CatalogFlags, AWholeBlockStillGivesUpWhatItNoLongerSays) {
  Apply(File("a: {enabled: true, rollout_percentage: 5, hash_seed: s, owner: risk}\n"));
  Apply(File("a: {enabled: true, rollout_percentage: 5, hash_seed: s}\n"));
  EXPECT_EQ(Flag("a").owner, "");
}

TEST_F(CatalogFlags, ObservabilityIsMergedAndMayGo) {
  Apply(File(kWhole, "file:whole"));
  Apply(File("observability: {log_feature_decisions: true}\n", "file:whole"));
  const auto& spec =
      catalog_->Find(Kind::kObservability, "default")->As<domain::ObservabilitySpec>();
  EXPECT_TRUE(spec.log_feature_decisions);
  EXPECT_TRUE(spec.log_keys);
  EXPECT_EQ(spec.metric_prefix, "mlx");
  MustCommit({Remove(Kind::kObservability, "default")});
  ASSERT_EQ(told_.back().entries.size(), 1u);
  EXPECT_FALSE(told_.back().entries[0].body.has_value()) << "nodes go back to the defaults";
  Reopen();
  EXPECT_EQ(catalog_->Find(Kind::kObservability, "default"), nullptr);
}

constexpr char kDefinition[] = R"({"flags": {
  "a.b": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
          "targeting": {"if": [{"==": [{"var": "tier"}, "beta"]}, "on", "off"]}},
  "bad": {"state": "ENABLED", "variants": {"x": 1, "y": "2"}},
  "texts": {"state": "ENABLED", "variants": {"none": "", "some": "x"}, "defaultVariant": "none"}}})";

TEST_F(CatalogFlags, FlagdDefinitionsStandAndSurviveARestart) {
  Apply(kDefinition);
  Reopen();
  EXPECT_EQ(Flag("a.b").default_variant, "off") << "a dot in such a name means no parent";
  EXPECT_THAT(Flag("bad").malformed, HasSubstr("give all one type"));
  EXPECT_EQ(Flag("texts").variants.at("none").text, "\"\"");
  const auto again = Apply(kDefinition);
  EXPECT_EQ(again.revision, 1u);
  for (const ChangeSummary& change : again.changes) EXPECT_THAT(change.kept, IsEmpty());
}

TEST_F(CatalogFlags, AMalformedDefinitionLeavesItsFlagForLater) {
  Apply(kDefinition);
  std::string broken = kDefinition;
  broken.replace(broken.find("\"==\""), 4, "\"=!=\"");
  Apply(broken);
  EXPECT_THAT(Flag("a.b").malformed, HasSubstr("targeting"));
  Apply(kDefinition);
  EXPECT_EQ(Flag("a.b").malformed, "");
  EXPECT_FALSE(Flag("a.b").targeting.empty());
}

TEST_F(CatalogFlags, AHostileRuleIsRefusedAtEveryDoor) {
  std::string deep = "true";
  for (int i = 0; i < 40; ++i) deep = R"({"!": [)" + deep + "]}";
  const auto refused =
      Commit({Put(Kind::kFlag, "a", R"({"variants": {"x": 1}, "targeting": )" + deep + "}")});
  EXPECT_EQ(refused.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(refused.status().field(), HasSubstr("spec.targeting"));
  const auto mixed = Commit({Put(Kind::kFlag, "a", R"({"variants": {"x": 1, "y": "z"}})")});
  EXPECT_EQ(mixed.status().field(), "spec.variants.y");
}

// Schedules
// ------------------------------------------------------------------------------------------------

TEST_F(CatalogFlags, WhatIsDueIsWrittenIntoTheFlag) {
  MustCommit({Put(Kind::kFlag, "a",
                  R"({"rollout_percentage": 10, "schedule": [
                    {"at": ")" +
                      In(1000) + R"(", "set": {"rollout_percentage": 50}},
                    {"at": ")" +
                      In(2000) + R"(", "set": {"enabled": false}},
                    {"at": ")" +
                      In(9000) + R"(", "set": {"enabled": true}}]})")});
  EXPECT_TRUE(DueSchedules(*catalog_, clock_.WallMs()).empty());
  clock_.AdvanceMs(2000);
  CommitDue();
  EXPECT_EQ(Flag("a").rollout_percentage, 50);
  EXPECT_EQ(Flag("a").enabled, false);
  ASSERT_EQ(Flag("a").schedule.size(), 1u);
  EXPECT_TRUE(DueSchedules(*catalog_, clock_.WallMs()).empty());
}

TEST_F(CatalogFlags, ADueChangeDoesNotOverwriteWhatCameBetween) {
  MustCommit({Put(Kind::kFlag, "a",
                  R"({"enabled": true, "schedule": [{"at": ")" + In(1000) +
                      R"(", "set": {"enabled": false}}]})")});
  clock_.AdvanceMs(2000);
  CommitRequest late;
  late.changes = DueSchedules(*catalog_, clock_.WallMs());
  MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true, "owner": "bob"})")});
  EXPECT_EQ(catalog_->Commit(late).status().code(), Code::kFailedPrecondition);
}

TEST_F(CatalogFlags, AFileThatStillListsWhatHappenedDoesNotRepeatIt) {
  const auto file = [&](const std::string& more) {
    return "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: a}\nspec:\n  rollout_percentage: 10\n"
           "  schedule:\n    - {at: \"2025-11-21T00:00:10Z\", set: {percentage: 50}}\n" +
           more;
  };
  Apply(file(""));
  clock_.StepWallMs(*ParseTimeMs("2025-11-21T00:00:11Z") - clock_.WallMs());
  CommitDue();
  Resource edited = Copy(Kind::kFlag, "a");
  edited.As<domain::FlagSpec>().rollout_percentage = 30;
  MustCommit({Put(edited)}, "cli:bob");
  const auto again = Apply(file(""));
  EXPECT_EQ(again.changes[0].action, "unchanged");
  EXPECT_THAT(again.changes[0].kept,
              ElementsAre("spec.rollout_percentage = 30.0 (set by cli:bob)"));
  Apply(file("    - {at: \"2025-11-22T00:00:00Z\", set: {percentage: 70}}\n"));
  ASSERT_EQ(Flag("a").schedule.size(), 1u) << "only the new item is taken";
  EXPECT_EQ(Flag("a").schedule[0].set.rollout_percentage, 70);
  EXPECT_EQ(Flag("a").rollout_percentage, 30);
}

TEST_F(CatalogFlags, ASilenceThatEndedAWeekAgoIsDeletedAndHistoryKeepsIt) {
  const auto until = [&](int64_t from_now_ms) {
    return R"({"matchers": {"policy": "p"}, "until": ")" +
           FormatTimeMs(clock_.WallMs() + from_now_ms) + "\"}";
  };
  MustCommit({Put(Kind::kSilence, "short", until(1000))});
  MustCommit({Put(Kind::kSilence, "long", until(2000))});
  clock_.AdvanceMs(1000 + kKeepEndedSilencesMs - 1);
  EXPECT_TRUE(OldSilences(*catalog_, clock_.WallMs()).empty());
  clock_.AdvanceMs(1);
  const CommitResult deleted = MustCommit(OldSilences(*catalog_, clock_.WallMs()), "system");
  EXPECT_EQ(catalog_->Find(Kind::kSilence, "short"), nullptr);
  EXPECT_NE(catalog_->Find(Kind::kSilence, "long"), nullptr);
  const HistoryRow row = catalog_->History({})->at(0);
  EXPECT_EQ(row.revision, deleted.revision);
  EXPECT_EQ(row.actor, "system");
  EXPECT_EQ(row.items[0].before["spec"]["matchers"]["policy"], "p");
}

TEST_F(CatalogFlags, TakingAFoldedChangeBackDoesNotScheduleItAgain) {
  MustCommit({Put(Kind::kFlag, "a",
                  R"({"rollout_percentage": 10, "schedule": [{"at": ")" + In(1000) +
                      R"(", "set": {"rollout_percentage": 50}}]})")});
  clock_.AdvanceMs(1000);
  CommitDue();
  ASSERT_TRUE(catalog_->Undo(Kind::kFlag, "a", 0, "cli:bob", "").ok());
  EXPECT_EQ(Flag("a").rollout_percentage, 10);
  EXPECT_TRUE(DueSchedules(*catalog_, clock_.WallMs()).empty());
}

}  // namespace
}  // namespace weir::control::catalog
