// SPDX-License-Identifier: Apache-2.0
// Who owns what: files against people, rollouts and policies.
#include "tests/unit/controlplane/catalog/fixture.h"

namespace weir::control::catalog {
namespace {

class CatalogApply : public CatalogFixture {
 protected:
  std::string ModelFile(const std::string& stable) const {
    return "apiVersion: weir/v1\nkind: Model\nmetadata: {name: fraud}\nspec:\n  stable: \"" +
           stable + "\"\n  versions:\n    \"1.0.0\": {blob: \"" + Blob('1') +
           "\"}\n    \"1.1.0\": {blob: \"" + Blob('2') + "\"}\n";
  }
  static std::string FlagFile(const std::string& spec, const std::string& name = "a") {
    return "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: " + name + "}\nspec: " + spec + "\n";
  }
  static std::string EmergencyFile(const std::string& spec) {
    return "apiVersion: weir/v1\nkind: Emergency\nmetadata: {name: default}\nspec: " + spec + "\n";
  }
};

TEST_F(CatalogApply, CreatesWhatIsNotThere) {
  const auto result = Apply(FlagFile("{rolloutPercentage: 10, hashSeed: s}"));
  EXPECT_EQ(result.changes[0].action, "created");
  EXPECT_EQ(Flag("a").rollout_percentage, 10);
  EXPECT_EQ(Flag("a").hash_seed, "s");
  EXPECT_EQ(Flag("a").enabled, true);
}

TEST_F(CatalogApply, TheSameFileAgainMakesNoRevision) {
  Apply(FlagFile("{rollout_percentage: 10}"));
  const auto again = Apply(FlagFile("{percentage: 10.0}"));
  EXPECT_EQ(again.revision, 1u);
  EXPECT_EQ(again.changes[0].action, "unchanged");
  EXPECT_THAT(again.changes[0].kept, IsEmpty());
}

TEST_F(CatalogApply, AnOldFileUndoesNoPromotion) {
  Apply(ModelFile("1.0.0"));
  Resource model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().stable = "1.1.0";
  MustCommit({Put(model)}, "rollout/fraud-1-1-0");
  const auto again = Apply(ModelFile("1.0.0"));
  EXPECT_EQ(again.changes[0].action, "unchanged");
  EXPECT_THAT(again.changes[0].kept,
              ElementsAre("spec.stable = 1.1.0 (set by rollout/fraud-1-1-0)"));
  EXPECT_EQ(Model("fraud").stable, "1.1.0");
  Reopen();
  Apply(ModelFile("1.0.0"));
  EXPECT_EQ(Model("fraud").stable, "1.1.0") << "what was applied survives a restart";
}

TEST_F(CatalogApply, AFlagMadeForADeploymentIsMadeOnce) {
  const std::string file = "deployment:\n  phases: {all: {user_percentage: 100}}\n";
  ApplyRequest request = File(file, "file:a/checkout.yaml");
  request.documents.resize(1);
  Apply(request);
  EXPECT_EQ(Flag(request.documents[0].name).rollout_percentage, 0);
  Resource flag = Copy(Kind::kFlag, request.documents[0].name);
  flag.As<domain::FlagSpec>().rollout_percentage = 100;
  MustCommit({Put(flag)}, "rollout/checkout");
  request.source = "file:b/checkout.yaml";
  request.replace = true;
  EXPECT_THAT(Apply(request).changes, IsEmpty());
  EXPECT_EQ(Flag(flag.name).rollout_percentage, 100) << "from another path as well";
}

TEST_F(CatalogApply, AFieldChangedInTheFileIsTakenAndTheOthersStay) {
  Apply(ModelFile("1.0.0"));
  Resource model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().pinned = "1.1.0";
  model.labels["team"] = "risk";
  MustCommit({Put(model)});
  const auto result = Apply(ModelFile("1.1.0"));
  EXPECT_EQ(result.changes[0].action, "updated");
  EXPECT_EQ(result.changes[0].diff.size(), 1u);
  EXPECT_EQ(result.changes[0].diff["spec.stable"]["from"], "1.0.0");
  EXPECT_EQ(result.changes[0].diff["spec.stable"]["to"], "1.1.0");
  EXPECT_EQ(Model("fraud").pinned, "1.1.0");
  EXPECT_EQ(Copy(Kind::kModel, "fraud").labels.at("team"), "risk");
}

TEST_F(CatalogApply, AnOldFileReEnablesNothingThatAPolicyDisabled) {
  Apply(FlagFile("{enabled: true, rollout_percentage: 50}"));
  Resource flag = Copy(Kind::kFlag, "a");
  flag.As<domain::FlagSpec>().enabled = false;
  MustCommit({Put(flag)}, "policy/error-budget");
  const auto again = Apply(FlagFile("{enabled: true, rollout_percentage: 60}"));
  EXPECT_EQ(Flag("a").enabled, false);
  EXPECT_EQ(Flag("a").rollout_percentage, 60);
  EXPECT_THAT(again.changes[0].kept,
              ElementsAre("spec.enabled = false (set by policy/error-budget)"));
}

TEST_F(CatalogApply, ReplaceTakesTheFilesFieldsAndSaysWhatItTakesAway) {
  Apply(FlagFile("{enabled: true, rollout_percentage: 50}"));
  Resource flag = Copy(Kind::kFlag, "a");
  flag.As<domain::FlagSpec>().enabled = false;
  MustCommit({Put(flag)}, "policy/error-budget");
  ApplyRequest request = File(FlagFile("{enabled: true, rollout_percentage: 50}"));
  request.replace = true;
  const auto result = Apply(request);
  EXPECT_EQ(Flag("a").enabled, true);
  EXPECT_THAT(result.changes[0].kept, IsEmpty());
  EXPECT_THAT(result.changes[0].taken,
              ElementsAre("spec.enabled = false (set by policy/error-budget)"));
}

TEST_F(CatalogApply, AFileSwitchesAnEmergencyOnAndNeverOff) {
  Apply(EmergencyFile("{kill_switch: true}"));
  EXPECT_TRUE(catalog_->emergency().kill_switch);
  EXPECT_TRUE(told_.back().emergency_changed);
  auto off = Apply(EmergencyFile("{kill_switch: false}"));
  EXPECT_TRUE(catalog_->emergency().kill_switch);
  ASSERT_EQ(off.changes[0].kept.size(), 1u);
  EXPECT_THAT(off.changes[0].kept[0], HasSubstr("spec.kill_switch = true"));
  EXPECT_THAT(off.changes[0].kept[0], HasSubstr("a file cannot end an emergency"));
  ApplyRequest force = File(EmergencyFile("{kill_switch: false}"));
  force.replace = true;
  Apply(force);
  EXPECT_TRUE(catalog_->emergency().kill_switch);
  Apply(EmergencyFile("{}"));
  EXPECT_TRUE(catalog_->emergency().kill_switch) << "leaving it out is no switch either";
}

TEST_F(CatalogApply, AnOldFileStartsNoEmergencyAgainThatAPersonEnded) {
  Apply(EmergencyFile("{kill_switch: true}"));
  MustCommit({Put(Kind::kEmergency, "default", "{}")}, "cli:bob");
  const auto again = Apply(EmergencyFile("{kill_switch: true}"));
  EXPECT_FALSE(catalog_->emergency().kill_switch);
  EXPECT_THAT(again.changes[0].kept, ElementsAre("spec.kill_switch = false (set by cli:bob)"));
}

TEST_F(CatalogApply, AFieldThatTheFileDropsGoesUnlessOthersSetIt) {
  Apply(FlagFile("{enabled: true, owner: risk, description: text, hash_seed: s}"));
  Resource flag = Copy(Kind::kFlag, "a");
  flag.As<domain::FlagSpec>().owner = "platform";
  MustCommit({Put(flag)}, "cli:bob");
  const auto result = Apply(FlagFile("{enabled: true}"));
  EXPECT_EQ(Flag("a").description, "");
  EXPECT_EQ(Flag("a").owner, "platform");
  EXPECT_EQ(Flag("a").hash_seed, "s") << "users would be reshuffled";
  EXPECT_THAT(result.changes[0].kept,
              ElementsAre("spec.hash_seed = s (set by file:f.yaml; a stored seed stays)",
                          "spec.owner = platform (set by cli:bob)"));
}

TEST_F(CatalogApply, APercentageThatTheFileDropsStaysSinceNoneMeansEverybody) {
  Apply(FlagFile("{enabled: true, rollout_percentage: 10, hash_seed: s}"));
  Apply(FlagFile("{enabled: false, rollout_percentage: 0}"));
  Apply(FlagFile("{enabled: true}"));
  EXPECT_EQ(Flag("a").rollout_percentage, 0);
  EXPECT_EQ(Flag("a").hash_seed, "s");
}

TEST_F(CatalogApply, AVersionThatTheFileDropsGoesWhole) {
  Apply(ModelFile("1.0.0"));
  Apply(
      "apiVersion: weir/v1\nkind: Model\nmetadata: {name: fraud}\nspec:\n  stable: \"1.0.0\"\n"
      "  versions:\n    \"1.0.0\": {blob: \"" +
      Blob('1') + "\"}\n");
  EXPECT_EQ(Model("fraud").versions.size(), 1u);
}

TEST_F(CatalogApply, TwoSourcesOwnTheirOwnFields) {
  Apply(File(FlagFile("{enabled: true, owner: a}"), "file:one"));
  Apply(File(FlagFile("{rollout_percentage: 5}"), "file:two"));
  Apply(File(FlagFile("{enabled: true, owner: b}"), "file:one"));
  EXPECT_EQ(Flag("a").rollout_percentage, 5);
  EXPECT_EQ(Flag("a").owner, "b");
}

TEST_F(CatalogApply, PruneDeletesWhatThisSourceAppliedAndNoLongerHas) {
  const auto labelled = [](const std::string& name) {
    return "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: " + name +
           ", labels: {team: risk}}\nspec: {enabled: true}\n---\n";
  };
  MustCommit({Put(Kind::kFlag, "by-hand", R"({"enabled": true})")});
  Apply(labelled("a") + labelled("b") + FlagFile("{enabled: true}", "unlabelled"));
  ApplyRequest request = File(labelled("a"));
  request.prune = domain::Labels{{"team", "risk"}};
  request.dry_run = true;
  EXPECT_EQ(Apply(request).changes.at(1).action, "deleted");
  EXPECT_NE(catalog_->Find(Kind::kFlag, "b"), nullptr) << "only a rehearsal";
  request.dry_run = false;
  const auto result = Apply(request);
  ASSERT_EQ(result.changes.size(), 2u);
  EXPECT_EQ(result.changes[1].name, "b");
  EXPECT_EQ(catalog_->Find(Kind::kFlag, "b"), nullptr);
  EXPECT_NE(catalog_->Find(Kind::kFlag, "unlabelled"), nullptr);
  EXPECT_NE(catalog_->Find(Kind::kFlag, "by-hand"), nullptr);
  EXPECT_EQ(Apply(request).changes.size(), 1u) << "and it is forgotten";
}

TEST_F(CatalogApply, WithoutPruneNothingIsDeleted) {
  Apply(FlagFile("{enabled: true}") + "---\n" + FlagFile("{enabled: true}", "b"));
  Apply(FlagFile("{enabled: true}"));
  EXPECT_NE(catalog_->Find(Kind::kFlag, "b"), nullptr);
}

TEST_F(CatalogApply, DryRunChangesNothingNotEvenWhatTheSourceApplied) {
  Apply(FlagFile("{enabled: true, owner: a}"));
  told_.clear();
  ApplyRequest request = File(FlagFile("{enabled: false, owner: b}"));
  request.dry_run = true;
  const auto dry = Apply(request);
  EXPECT_EQ(dry.revision, 1u);
  EXPECT_EQ(dry.changes[0].action, "updated");
  EXPECT_EQ(dry.changes[0].diff["spec.owner"]["to"], "b");
  EXPECT_EQ(Flag("a").owner, "a");
  EXPECT_THAT(told_, IsEmpty());
  request.dry_run = false;
  EXPECT_EQ(Apply(request).revision, 2u);
}

TEST_F(CatalogApply, ABatchIsAllOrNothing) {
  ApplyRequest request = File(FlagFile("{enabled: true}") + "---\n" +
                              FlagFile("{enabled: true, requires: [missing]}", "b"));
  const auto refused = catalog_->Apply(request);
  EXPECT_THAT(refused.status().message(), HasSubstr("Flag/b"));
  EXPECT_EQ(catalog_->Find(Kind::kFlag, "a"), nullptr);
  EXPECT_TRUE(store_->LoadSource("file:f.yaml")->empty());
}

TEST_F(CatalogApply, ReApplyingARolloutThatWasRolledBackStartsNothing) {
  const std::string rollout =
      "apiVersion: weir/v1\nkind: Rollout\nmetadata: {name: r}\nspec:\n  model: fraud\n"
      "  candidate: \"1.1.0\"\n  phases: [{name: canary, percentage: 10, duration: 300}]\n";
  Apply(ModelFile("1.0.0") + "---\n" + rollout);
  EXPECT_EQ(RolloutStatus("r").state, "progressing");
  Resource over = Copy(Kind::kRollout, "r");
  over.status->state = "rolled_back";
  over.status->percentage = 0;
  MustCommit({Put(over)}, "rollout/r");
  const uint64_t head = catalog_->revision();
  Apply(ModelFile("1.0.0") + "---\n" + rollout);
  EXPECT_EQ(catalog_->revision(), head);
  EXPECT_EQ(RolloutStatus("r").state, "rolled_back");
}

TEST_F(CatalogApply, ADurationThatBecameATimeIsNotArmedAgain) {
  std::string file = ModelFile("1.0.0") + "    \"1.2.0\": {blob: \"" + Blob('3') +
                     "\", fault: {error_rate: 0.5, expires: 10m}}\n";
  Apply(file);
  const std::string expires = Model("fraud").versions.at("1.2.0").fault->expires;
  EXPECT_EQ(expires, FormatTimeMs(clock_.WallMs() + 600'000));
  clock_.AdvanceMs(3'600'000);
  const auto again = Apply(file);
  EXPECT_EQ(again.changes[0].action, "unchanged");
  EXPECT_THAT(again.changes[0].kept, IsEmpty());
  EXPECT_EQ(Model("fraud").versions.at("1.2.0").fault->expires, expires);
}

}  // namespace
}  // namespace weir::control::catalog
