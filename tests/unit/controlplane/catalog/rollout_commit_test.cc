// SPDX-License-Identifier: Apache-2.0
// Rollouts, and what stands on them, through the one door.
#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "tests/unit/controlplane/catalog/fixture.h"

namespace weir::control::catalog {
namespace {

class RolloutCommit : public CatalogFixture {
 protected:
  void SetUp() override {
    CatalogFixture::SetUp();
    MustCommit({Put(Kind::kModel, "fraud", ModelSpecText()),
                Put(Kind::kFlag, "ttft", R"({"enabled": true})")});
  }
  void SetState(const std::string& name, const std::string& state, double percentage = 0) {
    Resource rollout = Copy(Kind::kRollout, name);
    rollout.status->state = state;
    rollout.status->percentage = percentage;
    MustCommit({Put(rollout)}, "rollout/" + name);
  }
};

TEST_F(RolloutCommit, StartsAtOnce) {
  clock_.AdvanceMs(5000);
  told_.clear();
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  EXPECT_EQ(RolloutStatus("r").state, "progressing");
  EXPECT_EQ(RolloutStatus("r").phase, 0u);
  EXPECT_EQ(RolloutStatus("r").percentage, 1);
  EXPECT_EQ(RolloutStatus("r").since.ms, clock_.WallMs());
  ASSERT_EQ(told_[0].entries.size(), 1u);
  EXPECT_EQ(told_[0].entries[0].kind, domain::EntryKind::kSplit);
  const auto split = codec::FromMsgpack<domain::SplitEntry>(*told_[0].entries[0].body);
  EXPECT_EQ(split->threshold, 1000u);
  EXPECT_EQ(split->seed, "fraud");
}

TEST_F(RolloutCommit, WaitsWhenManualAndStartsWhenReleased) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText(R"(, "start": "manual")"))});
  EXPECT_EQ(RolloutStatus("r").state, "pending");
  EXPECT_THAT(told_.back().entries, IsEmpty());
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  EXPECT_EQ(RolloutStatus("r").state, "progressing");
}

TEST_F(RolloutCommit, PhasesAndRollbackMayChangeWhileItRuns) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  const domain::RolloutStatus before = RolloutStatus("r");
  clock_.AdvanceMs(1000);
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText(R"(, "rollback": {"error_rate": 0.02})"))});
  EXPECT_EQ(RolloutStatus("r"), before);
  EXPECT_EQ(Copy(Kind::kRollout, "r").As<domain::RolloutSpec>().rollback.error_rate, 0.02);
}

TEST_F(RolloutCommit, AnotherPercentageOfItsPhaseHoldsAtOnce) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  clock_.AdvanceMs(1000);
  Resource raised = Copy(Kind::kRollout, "r");
  raised.As<domain::RolloutSpec>().phases[0].percentage = 5;
  MustCommit({Put(raised)});
  EXPECT_EQ(RolloutStatus("r").percentage, 5);
  EXPECT_EQ(RolloutStatus("r").since.ms, clock_.WallMs());
  EXPECT_EQ(RolloutStatus("r").entered[0].ms, clock_.WallMs());
  Resource later = Copy(Kind::kRollout, "r");
  later.As<domain::RolloutSpec>().phases[1].percentage = 50;
  MustCommit({Put(later)});
  EXPECT_EQ(RolloutStatus("r").percentage, 5) << "of another phase when that is entered";
  SetState("r", "rolling_back", 0);
  Resource back = Copy(Kind::kRollout, "r");
  back.As<domain::RolloutSpec>().phases[0].percentage = 20;
  MustCommit({Put(back)});
  EXPECT_EQ(RolloutStatus("r").percentage, 0) << "what is taken back stays back";
}

TEST_F(RolloutCommit, AFlagThatIsNamedElsewhereStays) {
  Resource model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().flags = {"ttft"};
  MustCommit({Put(model)});
  EXPECT_THAT(Commit({Remove(Kind::kFlag, "ttft")}).status().message(),
              HasSubstr("model \"fraud\" lists it in its flags"));
  model.As<domain::ModelSpec>().flags.clear();
  Resource rollout = Make(Kind::kRollout, "r", RolloutSpecText());
  rollout.As<domain::RolloutSpec>().phases[1].flags = {"ttft"};
  MustCommit({Put(model), Put(rollout)});
  EXPECT_THAT(Commit({Remove(Kind::kFlag, "ttft")}).status().message(),
              HasSubstr("of rollout \"r\", which is progressing, switches it"));
  SetState("r", "aborted");
  MustCommit({Remove(Kind::kFlag, "ttft")});
}

TEST_F(RolloutCommit, SubjectAndCandidateStandWhileItRuns) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource other = Copy(Kind::kRollout, "r");
  other.As<domain::RolloutSpec>().candidate = "1.0.0";
  const auto refused = Commit({Put(other)});
  EXPECT_EQ(refused.status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(refused.status().field(), "spec.candidate");
  EXPECT_THAT(refused.status().message(), HasSubstr("progressing"));
  other = Copy(Kind::kRollout, "r");
  other.As<domain::RolloutSpec>().hash_seed = "another";
  EXPECT_EQ(Commit({Put(other)}).status().field(), "spec.hash_seed");
}

TEST_F(RolloutCommit, FewerPhasesThanAlreadyReachedAreRefused) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource further = Copy(Kind::kRollout, "r");
  further.status->phase = 1;
  MustCommit({Put(further)});
  further.As<domain::RolloutSpec>().phases.pop_back();
  EXPECT_EQ(Commit({Put(further)}).status().field(), "spec.phases");
}

TEST_F(RolloutCommit, NoOtherPhaseTakesThePlaceOfTheOneItIsIn) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource changed = Copy(Kind::kRollout, "r");
  auto& phases = changed.As<domain::RolloutSpec>().phases;
  phases.erase(phases.begin());
  const auto refused = Commit({Put(changed)});
  EXPECT_EQ(refused.status().field(), "spec.phases");
  EXPECT_THAT(refused.status().message(), HasSubstr("is in phase canary"));
  EXPECT_THAT(refused.status().message(), HasSubstr("abort it and start it again"));
  domain::Phase earlier = phases[0];
  changed = Copy(Kind::kRollout, "r");
  earlier.name = "earlier";
  earlier.percentage = 0.5;
  phases.insert(phases.begin(), earlier);
  EXPECT_EQ(Commit({Put(changed)}).status().field(), "spec.phases");
  std::swap(phases[0], phases[1]);
  earlier.percentage = 50;
  phases[1] = earlier;
  MustCommit({Put(changed)});
}

TEST_F(RolloutCommit, WhatAnswersEveryoneIsLoadedAndNotBlocked) {
  Resource model = Copy(Kind::kModel, "fraud");
  auto& spec = model.As<domain::ModelSpec>();
  spec.versions["1.1.0"].unloaded = true;
  MustCommit({Put(model)});
  EXPECT_TRUE(Model("fraud").versions.at("1.1.0").unloaded);
  spec.pinned = "1.1.0";
  MustCommit({Put(model)});
  EXPECT_FALSE(Model("fraud").versions.at("1.1.0").unloaded);
  spec.versions["1.1.0"].blocked = "it leaks";
  const auto refused = Commit({Put(model)});
  EXPECT_EQ(refused.status().field(), "spec.pinned");
  EXPECT_THAT(refused.status().message(), HasSubstr("clear versions.1.1.0.blocked first"));
  spec.pinned.clear();
  MustCommit({Put(model)});
  spec.stable = "1.1.0";
  EXPECT_EQ(Commit({Put(model)}).status().field(), "spec.stable");
}

TEST_F(RolloutCommit, NothingThatIsGoneHoldsUpARollback) {
  Resource rollout = Make(Kind::kRollout, "r", RolloutSpecText());
  rollout.As<domain::RolloutSpec>().phases[1].flags = {"ttft"};
  MustCommit({Put(rollout)});
  SetState("r", "promoted", 100);
  MustCommit({Remove(Kind::kFlag, "ttft")});
  SetState("r", "rolling_back");
  MustCommit({Put(Kind::kFlag, "ttft", R"({"enabled": true})")});
  Resource second = Make(Kind::kRollout, "r2", RolloutSpecText());
  EXPECT_THAT(Commit({Put(second)}).status().message(), HasSubstr("already rolling_back"));
}

TEST_F(RolloutCommit, AFlagThatIsMovedGetsNoVariants) {
  MustCommit({Put(Kind::kRollout, "f", R"({"flag": "ttft", "phases": [
      {"name": "a", "percentage": 10}]})")});
  const Resource variants = Make(Kind::kFlag, "ttft", R"({"variants": {"on": true, "off": false},
      "default_variant": "on"})");
  const auto refused = Commit({Put(variants)});
  EXPECT_EQ(refused.status().field(), "spec.variants");
  EXPECT_THAT(refused.status().message(), HasSubstr("rollout \"f\" is progressing on it"));
  SetState("f", "promoted", 100);
  MustCommit({Put(variants)});
  SetState("f", "rolling_back");
}

TEST_F(RolloutCommit, ANewCandidateAfterTheEndBeginsAnew) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  SetState("r", "rolled_back");
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  EXPECT_EQ(RolloutStatus("r").state, "rolled_back") << "the same again is not a retry";
  Resource next = Copy(Kind::kRollout, "r");
  next.As<domain::RolloutSpec>().candidate = "1.0.0";
  next.status.reset();
  MustCommit({Put(next)});
  EXPECT_EQ(RolloutStatus("r").state, "progressing");
}

TEST_F(RolloutCommit, OneSubjectHasOneActiveRollout) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  EXPECT_THAT(Commit({Put(Kind::kRollout, "r2", RolloutSpecText())}).status().message(),
              HasSubstr("rollout \"r\" is already progressing"));
  SetState("r", "aborted");
  MustCommit({Put(Kind::kRollout, "r2", RolloutSpecText())});
}

TEST_F(RolloutCommit, TheSubjectCannotGoWhileItRuns) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  EXPECT_THAT(Commit({Remove(Kind::kModel, "fraud")}).status().message(),
              HasSubstr("rollout \"r\" is progressing on it"));
  SetState("r", "aborted");
  MustCommit({Remove(Kind::kModel, "fraud")});
  SetState("r", "promoted");  // the books of what is over may still be closed
}

TEST_F(RolloutCommit, TheCandidateStandsWhileItRunsButMayRehearseAFault) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().versions["1.1.0"].blob = Blob('9');
  const auto altered = Commit({Put(model)});
  EXPECT_EQ(altered.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(altered.status().message(), HasSubstr("altered while rollout \"r\""));
  model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().versions.erase("1.1.0");
  EXPECT_THAT(Commit({Put(model)}).status().message(), HasSubstr("removed while rollout \"r\""));
  model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().versions["1.1.0"].fault =
      domain::Fault{.error_rate = 0.5, .delay = {}, .expires = "10m"};
  MustCommit({Put(model)});
  EXPECT_EQ(Model("fraud").versions.at("1.1.0").fault->expires,
            FormatTimeMs(clock_.WallMs() + 600'000));
}

TEST_F(RolloutCommit, ServicesOfTheCandidateComeAndGoButAreNotExchanged) {
  MustCommit({Put(Kind::kModel, "fraud", R"({"stable": "1.0.0", "versions": {
      "1.0.0": {"runtime": "oip", "url": "http://a:1"},
      "1.1.0": {"runtime": "oip", "url": "http://b:1"}}})")});
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource model = Copy(Kind::kModel, "fraud");
  auto& candidate = model.As<domain::ModelSpec>().versions["1.1.0"];
  candidate.url = "http://c:1";
  EXPECT_THAT(Commit({Put(model)}).status().message(), HasSubstr("while at least one stays"));
  candidate.url.clear();
  candidate.urls = {"http://b:1", "http://c:1"};
  MustCommit({Put(model)});
  candidate.urls = {"http://c:1"};
  MustCommit({Put(model)});
  candidate.remote_version = "2";
  EXPECT_THAT(Commit({Put(model)}).status().message(), HasSubstr("make it another version"));
}

TEST_F(RolloutCommit, PromotionIsOneRevision) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  told_.clear();
  Resource model = Copy(Kind::kModel, "fraud");
  model.As<domain::ModelSpec>().stable = "1.1.0";
  Resource rollout = Copy(Kind::kRollout, "r");
  rollout.status->state = "promoted";
  rollout.status->percentage = 100;
  MustCommit({Put(model), Put(rollout)}, "rollout/r");
  ASSERT_EQ(told_.size(), 1u);
  ASSERT_EQ(told_[0].entries.size(), 2u);
  EXPECT_EQ(told_[0].entries[0].kind, domain::EntryKind::kModel);
  EXPECT_EQ(told_[0].entries[1].kind, domain::EntryKind::kSplit);
  EXPECT_EQ(told_[0].entries[1].body, std::nullopt) << "a rollout that is over splits nothing";
}

TEST_F(RolloutCommit, ARolledBackFlagIsToldWithItsRolloutAndForgottenWithIt) {
  MustCommit({Put(Kind::kRollout, "f", R"({"flag": "ttft", "phases": [
      {"name": "a", "percentage": 10}]})")});
  told_.clear();
  SetState("f", "rolled_back");
  ASSERT_EQ(told_.back().entries.size(), 2u);
  EXPECT_EQ(told_.back().entries[0].kind, domain::EntryKind::kFlag);
  EXPECT_TRUE(codec::FromMsgpack<domain::FlagEntry>(*told_.back().entries[0].body)->rolled_back);
  MustCommit({Remove(Kind::kRollout, "f")});
  ASSERT_EQ(told_.back().entries.size(), 1u);
  EXPECT_FALSE(codec::FromMsgpack<domain::FlagEntry>(*told_.back().entries[0].body)->rolled_back);
}

TEST_F(RolloutCommit, AFlagAnswersOtherwiseWhenItsRolloutBeginsAndWhenItIsDeleted) {
  const std::string before = catalog_->FlagDigest("ttft");
  MustCommit({Put(Kind::kRollout, "f", R"({"flag": "ttft", "phases": [
      {"name": "a", "percentage": 10}]})")});
  SetState("f", "progressing");
  EXPECT_THAT(told_.back().flags, ElementsAre("ttft"));
  EXPECT_NE(catalog_->FlagDigest("ttft"), before);
  MustCommit({Remove(Kind::kRollout, "f")});
  EXPECT_THAT(told_.back().flags, ElementsAre("ttft"));
  EXPECT_EQ(catalog_->FlagDigest("ttft"), before);
}

TEST_F(RolloutCommit, AStatusThatCannotBeIsRefused) {
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  Resource rollout = Copy(Kind::kRollout, "r");
  rollout.status->percentage = 140;
  EXPECT_EQ(Commit({Put(rollout)}).status().field(), "status.percentage");
  rollout = Copy(Kind::kRollout, "r");
  rollout.status->state = "winning";
  EXPECT_EQ(Commit({Put(rollout)}).status().field(), "status.state");
}

}  // namespace
}  // namespace weir::control::catalog
