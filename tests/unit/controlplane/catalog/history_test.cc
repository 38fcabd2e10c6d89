// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/controlplane/catalog/fixture.h"

namespace weir::control::catalog {
namespace {

class CatalogHistory : public CatalogFixture {
 protected:
  void SetFlag(const std::string& spec, const std::string& actor = "cli:alice") {
    MustCommit({Put(Kind::kFlag, "a", spec)}, actor);
  }
};

TEST_F(CatalogHistory, SaysWhoWhyAndWhatStoodBeforeAndAfter) {
  SetFlag(R"({"rollout_percentage": 10})");
  CommitRequest request;
  request.changes = {Put(Kind::kFlag, "a", R"({"rollout_percentage": 0})")};
  request.actor = "rollout/a";
  request.reason = "worse";
  request.evidence = {{"p", 0.5}};
  ASSERT_TRUE(catalog_->Commit(request).ok());
  const auto rows = *catalog_->History({});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].revision, 2u);
  EXPECT_EQ(rows[0].actor, "rollout/a");
  EXPECT_EQ(rows[0].reason, "worse");
  EXPECT_EQ(rows[0].evidence["p"], 0.5);
  EXPECT_EQ(rows[0].items[0].action, "updated");
  EXPECT_EQ(rows[0].items[0].before["spec"]["rollout_percentage"], 10);
  EXPECT_EQ(rows[0].items[0].after["spec"]["rollout_percentage"], 0);
  EXPECT_EQ(rows[0].items[0].after["metadata"]["revision"], 2);
  EXPECT_TRUE(rows[1].items[0].before.is_null());
  EXPECT_TRUE(rows[1].evidence.is_null());
  EXPECT_TRUE(store_->VerifyAudit().ok());
}

TEST_F(CatalogHistory, RevertTakesBackOneRevisionAndKeepsWhatCameLater) {
  SetFlag(R"({"rollout_percentage": 10, "owner": "a"})");
  SetFlag(R"({"rollout_percentage": 20, "owner": "b"})");
  SetFlag(R"({"rollout_percentage": 30, "owner": "b"})", "cli:bob");
  const auto result = catalog_->Revert(2, "cli:carol", "why not");
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->revision, 4u);
  EXPECT_EQ(Flag("a").owner, "a");
  EXPECT_EQ(Flag("a").rollout_percentage, 30);
  EXPECT_THAT(result->changes[0].kept,
              ElementsAre("spec.rollout_percentage = 30.0 (set by cli:bob)"));
  EXPECT_EQ(catalog_->History({})->at(0).reason, "why not");
}

TEST_F(CatalogHistory, RevertOfACreationDeletesWhatStillStandsAsItWasMade) {
  SetFlag(R"({"enabled": true})");
  MustCommit({Put(Kind::kFlag, "b", R"({"enabled": true})")});
  MustCommit({Put(Kind::kFlag, "b", R"({"enabled": false})")}, "cli:bob");
  ASSERT_TRUE(catalog_->Revert(1, "cli:carol", "").ok());
  EXPECT_EQ(catalog_->Find(Kind::kFlag, "a"), nullptr);
  const auto kept = catalog_->Revert(2, "cli:carol", "");
  ASSERT_TRUE(kept.ok());
  EXPECT_THAT(kept->changes[0].kept, ElementsAre("spec.enabled = false (set by cli:bob)"));
  EXPECT_NE(catalog_->Find(Kind::kFlag, "b"), nullptr);
}

TEST_F(CatalogHistory, RevertOfADeletionBringsItBack) {
  SetFlag(R"({"rollout_percentage": 10, "hash_seed": "s"})");
  MustCommit({Remove(Kind::kFlag, "a")});
  ASSERT_TRUE(catalog_->Revert(2, "cli:carol", "").ok());
  EXPECT_EQ(Flag("a").hash_seed, "s");
  EXPECT_EQ(catalog_->Revert(2, "cli:carol", "").status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(catalog_->Revert(77, "cli:carol", "").status().code(), Code::kNotFound);
}

TEST_F(CatalogHistory, RevertOfAPromotionReturnsTheModelAndLeavesTheRolloutsStatus) {
  MustCommit({Put(Kind::kModel, "fraud", ModelSpecText())});
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().stable = "1.1.0";
  Resource rollout = Copy(Kind::kRollout, "r");
  rollout.status->state = "promoted";
  const uint64_t promotion = MustCommit({Put(model), Put(rollout)}, "rollout/r").revision;
  ASSERT_TRUE(catalog_->Revert(promotion, "cli:carol", "").ok());
  EXPECT_EQ(Model("fraud").stable, "1.0.0");
  EXPECT_EQ(RolloutStatus("r").state, "promoted");
}

TEST_F(CatalogHistory, UndoReturnsToBeforeTheLastChangeAndBackAgain) {
  SetFlag(R"({"rollout_percentage": 10})");
  SetFlag(R"({"rollout_percentage": 20})");
  ASSERT_TRUE(catalog_->Undo(Kind::kFlag, "a", 0, "cli:carol", "").ok());
  EXPECT_EQ(Flag("a").rollout_percentage, 10);
  ASSERT_TRUE(catalog_->Undo(Kind::kFlag, "a", 0, "cli:carol", "").ok());
  EXPECT_EQ(Flag("a").rollout_percentage, 20);
}

TEST_F(CatalogHistory, UndoReturnsToARevision) {
  SetFlag(R"({"rollout_percentage": 10})");
  MustCommit({Put(Kind::kFlag, "b", R"({"enabled": true})")});
  SetFlag(R"({"rollout_percentage": 30})");
  ASSERT_TRUE(catalog_->Undo(Kind::kFlag, "a", 2, "cli:carol", "").ok());
  EXPECT_EQ(Flag("a").rollout_percentage, 10);
  ASSERT_TRUE(catalog_->Undo(Kind::kFlag, "b", 1, "cli:carol", "").ok());
  EXPECT_EQ(catalog_->Find(Kind::kFlag, "b"), nullptr) << "it was not there then";
  ASSERT_TRUE(catalog_->Undo(Kind::kFlag, "b", 0, "cli:carol", "").ok());
  EXPECT_EQ(Flag("b").enabled, true);
  EXPECT_EQ(catalog_->Undo(Kind::kFlag, "a", 99, "", "").status().code(), Code::kNotFound);
  EXPECT_EQ(catalog_->Undo(Kind::kFlag, "zzz", 0, "", "").status().code(),
            Code::kFailedPrecondition);
}

TEST_F(CatalogHistory, UndoOfARolloutLooksPastWhatTheSystemWorkedOut) {
  MustCommit({Put(Kind::kModel, "fraud", ModelSpecText())});
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText(R"(, "rollback": {"enabled": false})"))});
  Resource rollout = Copy(Kind::kRollout, "r");
  rollout.status->phase = 1;
  rollout.status->percentage = 100;
  MustCommit({Put(rollout)}, "rollout/r");
  ASSERT_TRUE(catalog_->Undo(Kind::kRollout, "r", 0, "cli:carol", "").ok());
  EXPECT_TRUE(Copy(Kind::kRollout, "r").As<domain::RolloutSpec>().rollback.enabled);
  EXPECT_EQ(RolloutStatus("r").phase, 1u);
}

// A limit of "fraud" and what policies lay over it, one commit each.
class CatalogActs : public CatalogHistory {
 protected:
  void SetUp() override {
    CatalogHistory::SetUp();
    MustCommit({Put(Kind::kModel, "fraud", ModelSpecText())});
    MustCommit({Put(Kind::kLimit, "fraud", R"({"max_concurrent": 16})")});
  }
  // The revision.
  uint64_t Act(const std::string& policy, const std::string& action) {
    Resource limit = Copy(Kind::kLimit, "fraud");
    domain::LimitAct act;
    act.policy = policy;
    act.action = action;
    act.value = 0.5;
    act.since.ms = clock_.WallMs();
    limit.As<domain::LimitSpec>().acts.push_back(act);
    return MustCommit({Put(limit)}, "policy/" + policy).revision;
  }
  uint64_t End(const std::string& policy) {
    Resource limit = Copy(Kind::kLimit, "fraud");
    std::erase_if(limit.As<domain::LimitSpec>().acts,
                  [&](const domain::LimitAct& act) { return act.policy == policy; });
    return MustCommit({Put(limit)}, "policy/" + policy).revision;
  }
  std::vector<std::string> Standing() const {
    std::vector<std::string> texts;
    for (const domain::LimitAct& act :
         catalog_->Find(Kind::kLimit, "fraud")->As<domain::LimitSpec>().acts)
      texts.push_back(act.policy + " " + act.action);
    return texts;
  }
  Status Revert(uint64_t revision) { return catalog_->Revert(revision, "cli:carol", "").status(); }
};

TEST_F(CatalogActs, RevertTakesOneActBackWhateverCameSince) {
  const uint64_t first = Act("a", "scale_up");
  Act("b", "shed_load");
  const uint64_t later = Act("a", "throttle");
  ASSERT_TRUE(Revert(first).ok());
  EXPECT_THAT(Standing(), ElementsAre("b shed_load", "a throttle"));
  ASSERT_TRUE(catalog_->Undo(Kind::kLimit, "fraud", later - 1, "cli:carol", "").ok());
  EXPECT_THAT(Standing(), ElementsAre("b shed_load"));
}

TEST_F(CatalogActs, TheActThatCreatedTheLimitGoesAlone) {
  MustCommit({Remove(Kind::kLimit, "fraud")});
  Resource limit;
  limit.kind = Kind::kLimit;
  limit.name = "fraud";
  limit.spec = domain::LimitSpec{};
  domain::LimitAct act;
  act.policy = "a";
  act.action = "shed_load";
  act.value = 0.5;
  act.since = {clock_.WallMs()};
  act.until = {clock_.WallMs() + 60'000};
  limit.As<domain::LimitSpec>().acts = {act};
  const uint64_t created = MustCommit({Put(limit)}).revision;
  Act("b", "throttle");
  const auto reverted = catalog_->Revert(created, "cli:carol", "");
  ASSERT_TRUE(reverted.ok()) << reverted.status().ToString();
  EXPECT_THAT(Standing(), ElementsAre("b throttle"));
  EXPECT_THAT(reverted->changes[0].kept, ElementsAre(HasSubstr("of policy b since ")));
}

TEST_F(CatalogActs, AnActThatWasLaidAnewIsAnother) {
  const uint64_t first = Act("a", "scale_up");
  clock_.AdvanceMs(1000);
  Act("a", "scale_up");
  ASSERT_TRUE(Revert(first).ok());
  EXPECT_THAT(Standing(), ElementsAre("a scale_up"));
}

TEST_F(CatalogActs, UndoTakesTheLastActBackAndNothingElse) {
  Act("a", "scale_up");
  Act("b", "shed_load");
  ASSERT_TRUE(catalog_->Undo(Kind::kLimit, "fraud", 0, "cli:carol", "").ok());
  EXPECT_THAT(Standing(), ElementsAre("a scale_up"));
}

TEST_F(CatalogActs, WhatHasEndedDoesNotBeginAgain) {
  const uint64_t begun = Act("a", "scale_up");
  const uint64_t ended = End("a");
  const Status undone = catalog_->Undo(Kind::kLimit, "fraud", 0, "cli:carol", "").status();
  EXPECT_EQ(undone.code(), Code::kFailedPrecondition);
  EXPECT_THAT(undone.message(), HasSubstr("Limit/fraud: scale_up of policy a since "));
  EXPECT_THAT(undone.message(), HasSubstr("has ended and does not begin again"));
  EXPECT_EQ(Revert(ended).code(), Code::kFailedPrecondition);
  EXPECT_EQ(Revert(ended).message(), undone.message());
  const Status over = Revert(begun);
  EXPECT_EQ(over.code(), Code::kFailedPrecondition);
  EXPECT_THAT(over.message(), HasSubstr("has ended already"));
  MustCommit({Remove(Kind::kLimit, "fraud")});
  EXPECT_TRUE(catalog_->Undo(Kind::kLimit, "fraud", begun, "cli:carol", "").ok());
  EXPECT_THAT(Standing(), IsEmpty());
}

TEST_F(CatalogActs, AnActThatWasOnlyChangedStays) {
  Act("a", "scale_up");
  Resource limit = Copy(Kind::kLimit, "fraud");
  limit.As<domain::LimitSpec>().acts[0].value = 7;
  const Status status = Revert(MustCommit({Put(limit)}).revision);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("all stay as they are"));
  EXPECT_THAT(Standing(), ElementsAre("a scale_up"));
}

TEST_F(CatalogActs, WhatPeopleSetGoesBackBesideTheActsThatStand) {
  Act("a", "scale_up");
  Resource limit = Copy(Kind::kLimit, "fraud");
  limit.As<domain::LimitSpec>().max_concurrent = 32;
  limit.As<domain::LimitSpec>().acts.clear();
  const uint64_t taken = MustCommit({Put(limit)}).revision;
  Act("b", "shed_load");
  const auto reverted = catalog_->Revert(taken, "cli:carol", "");
  ASSERT_TRUE(reverted.ok()) << reverted.status().ToString();
  EXPECT_EQ(Copy(Kind::kLimit, "fraud").As<domain::LimitSpec>().max_concurrent, 16u);
  EXPECT_THAT(Standing(), ElementsAre("b shed_load"));
  EXPECT_THAT(reverted->changes[0].kept, ElementsAre(HasSubstr("has ended and does not")));
}

TEST_F(CatalogHistory, UndoEndsAnEmergency) {
  MustCommit({Put(Kind::kEmergency, "default", R"({"kill_switch": true})")});
  ASSERT_TRUE(catalog_->Undo(Kind::kEmergency, "default", 0, "cli:carol", "").ok());
  EXPECT_FALSE(catalog_->emergency().kill_switch);
}

}  // namespace
}  // namespace weir::control::catalog
