// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "tests/unit/controlplane/catalog/fixture.h"
#include "tests/unit/controlplane/store/sql.h"

namespace weir::control::catalog {
namespace {

using CatalogCommit = CatalogFixture;

TEST_F(CatalogCommit, AFreshCatalogHasTheEmergencyAndNothingElse) {
  ASSERT_NE(catalog_->Find(Kind::kEmergency, "default"), nullptr);
  EXPECT_EQ(catalog_->emergency(), domain::EmergencySpec{});
  EXPECT_EQ(catalog_->revision(), 0u);
  EXPECT_THAT(catalog_->AllEntries(), IsEmpty());
}

TEST_F(CatalogCommit, MakesARevisionWithBooksAndEntries) {
  const auto result =
      MustCommit({Put(Kind::kFlag, "a", R"({"rollout_percentage": 10, "owner": "x"})"),
                  Put(Kind::kFlag, "b", R"({"enabled": true, "requires": ["a"]})")});
  EXPECT_EQ(result.revision, 1u);
  ASSERT_EQ(result.changes.size(), 2u);
  EXPECT_EQ(result.changes[0].action, "created");
  EXPECT_EQ(result.changes[0].diff["spec.owner"]["to"], "x");
  const Resource a = Copy(Kind::kFlag, "a");
  EXPECT_EQ(a.revision, 1u);
  EXPECT_EQ(a.updated_by, "cli:alice");
  EXPECT_EQ(a.updated_at.ms, clock_.WallMs());
  EXPECT_EQ(a.As<domain::FlagSpec>().hash_seed, "a");
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].revision, 1u);
  EXPECT_EQ(told_[0].previous_revision, 0u);
  ASSERT_EQ(told_[0].entries.size(), 2u);
  const auto entry = codec::FromMsgpack<domain::FlagEntry>(*told_[0].entries[1].body);
  ASSERT_TRUE(entry.ok());
  EXPECT_THAT(entry->parents, ElementsAre("a"));
  EXPECT_FALSE(told_[0].emergency_changed);
}

TEST_F(CatalogCommit, SurvivesARestartUnchanged) {
  MustCommit({Put(Kind::kFlag, "a", R"({"rollout_percentage": 12.345})"),
              Put(Kind::kModel, "fraud", ModelSpecText()),
              Put(Kind::kEmergency, "default", R"({"freeze": true})")});
  MustCommit({Put(Kind::kRollout, "r", RolloutSpecText())});
  const Resource rollout = Copy(Kind::kRollout, "r");
  const Resource flag = Copy(Kind::kFlag, "a");
  const auto bodies = [this] {
    std::vector<std::string> out;
    for (const EntryBody& entry : catalog_->AllEntries()) out.push_back(entry.name + *entry.body);
    return out;
  };
  const auto before = bodies();
  EXPECT_EQ(before.size(), 3u);
  Reopen();
  EXPECT_EQ(catalog_->revision(), 2u);
  EXPECT_EQ(Copy(Kind::kRollout, "r"), rollout);
  EXPECT_EQ(Copy(Kind::kFlag, "a"), flag);
  EXPECT_TRUE(catalog_->emergency().freeze);
  EXPECT_EQ(bodies(), before);
}

TEST_F(CatalogCommit, ABatchIsAllOrNothing) {
  MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true})")});
  told_.clear();
  const auto refused = Commit({Put(Kind::kFlag, "a", R"({"enabled": false})"),
                               Put(Kind::kFlag, "b", R"({"rollout_percentage": 140})")});
  EXPECT_EQ(refused.status().code(), Code::kInvalidArgument);
  EXPECT_EQ(refused.status().field(), "spec.rollout_percentage");
  EXPECT_THAT(refused.status().message(), HasSubstr("Flag/b: 140 is not in 0..100"));
  EXPECT_EQ(Flag("a").enabled, true);
  EXPECT_EQ(catalog_->Find(Kind::kFlag, "b"), nullptr);
  EXPECT_EQ(catalog_->revision(), 1u);
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_EQ(store_->History({})->size(), 1u);
}

TEST_F(CatalogCommit, AFailedWriteChangesNothing) {
  MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true})")});
  told_.clear();
  const std::string file = dir_->path() + "/weir.db";
  store::RunSql(file,
                "CREATE TRIGGER no_b BEFORE INSERT ON resources WHEN new.name = 'b' "
                "BEGIN SELECT RAISE(ABORT, 'not this one'); END");
  const std::vector<Change> changes = {Put(Kind::kFlag, "a", R"({"enabled": false})"),
                                       Put(Kind::kFlag, "b", R"({"enabled": true})")};
  EXPECT_FALSE(Commit(changes).ok());
  EXPECT_EQ(Flag("a").enabled, true);
  EXPECT_EQ(catalog_->Find(Kind::kFlag, "b"), nullptr);
  EXPECT_EQ(catalog_->AllEntries().size(), 1u);
  EXPECT_EQ(catalog_->revision(), 1u);
  EXPECT_THAT(told_, IsEmpty());
  store::RunSql(file, "DROP TRIGGER no_b");
  EXPECT_EQ(MustCommit(changes).revision, 2u);
  EXPECT_EQ(told_.size(), 1u);
}

TEST_F(CatalogCommit, WhatDiffersInNothingMakesNoRevision) {
  MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true})")});
  told_.clear();
  const auto result = MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true})")});
  EXPECT_EQ(result.revision, 1u);
  EXPECT_EQ(result.changes[0].action, "unchanged");
  EXPECT_TRUE(result.changes[0].diff.empty());
  EXPECT_EQ(Copy(Kind::kFlag, "a").revision, 1u);
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(CatalogCommit, ExpectedRevisionGuardsAgainstLostUpdates) {
  MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true})")});
  Change stale = Put(Kind::kFlag, "a", R"({"enabled": false})");
  stale.expected_revision = 0;
  EXPECT_EQ(Commit({stale}).status().code(), Code::kFailedPrecondition);
  stale.expected_revision = 1;
  EXPECT_EQ(MustCommit({stale}).revision, 2u);
  Change fresh = Put(Kind::kFlag, "b", R"({"enabled": true})");
  fresh.expected_revision = 0;
  EXPECT_EQ(MustCommit({fresh}).revision, 3u);
}

TEST_F(CatalogCommit, AStoredSeedStaysWhenAChangeLeavesItOut) {
  MustCommit({Put(Kind::kFlag, "a", R"({"rollout_percentage": 10, "hash_seed": "s"})")});
  MustCommit({Put(Kind::kFlag, "a", R"({"rollout_percentage": 20})")});
  EXPECT_EQ(Flag("a").hash_seed, "s");
  EXPECT_EQ(Flag("a").rollout_percentage, 20);
}

TEST_F(CatalogCommit, AFlagThatOthersRequireCannotGo) {
  MustCommit({Put(Kind::kFlag, "a", R"({"enabled": true})"),
              Put(Kind::kFlag, "a.sub", R"({"enabled": true})"),
              Put(Kind::kFlag, "b", R"({"enabled": true, "requires": ["a"]})")});
  EXPECT_THAT(Commit({Remove(Kind::kFlag, "a"), Remove(Kind::kFlag, "a.sub")}).status().message(),
              HasSubstr("flag \"b\" requires it"));
  EXPECT_THAT(Commit({Remove(Kind::kFlag, "a"), Remove(Kind::kFlag, "b")}).status().message(),
              HasSubstr("flag \"a.sub\" requires it"));
  EXPECT_EQ(
      MustCommit({Remove(Kind::kFlag, "a"), Remove(Kind::kFlag, "a.sub"), Remove(Kind::kFlag, "b")})
          .revision,
      2u);
  EXPECT_EQ(told_.back().entries[0].body, std::nullopt);
  EXPECT_THAT(catalog_->AllEntries(), IsEmpty());
}

TEST_F(CatalogCommit, PrerequisitesMustExistAndNotGoRound) {
  EXPECT_THAT(
      Commit({Put(Kind::kFlag, "b", R"({"enabled": true, "requires": ["a"]})")}).status().message(),
      HasSubstr("flag \"a\" does not exist"));
  const auto circle = Commit({Put(Kind::kFlag, "a", R"({"enabled": true, "requires": ["b"]})"),
                              Put(Kind::kFlag, "b", R"({"enabled": true, "requires": ["a"]})")});
  EXPECT_THAT(circle.status().message(), HasSubstr("leads back"));
}

TEST_F(CatalogCommit, MoreThanHalfOfAKindGoesOnlyWhenForced) {
  std::vector<Change> flags;
  for (int i = 0; i < 10; ++i) {
    flags.push_back(Put(Kind::kFlag, "f" + std::to_string(i), R"({"enabled": true})"));
  }
  MustCommit(flags);
  CommitRequest request;
  for (int i = 0; i < 6; ++i) {
    request.changes.push_back(Remove(Kind::kFlag, "f" + std::to_string(i)));
  }
  const auto refused = catalog_->Commit(request);
  EXPECT_EQ(refused.status().code(), Code::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("6 of 10 flags"));
  CommitRequest half = request;
  half.changes.pop_back();
  ASSERT_TRUE(catalog_->Commit(half).ok()) << "half is not more than half";
  request.changes = {Remove(Kind::kFlag, "f5"), Remove(Kind::kFlag, "f6"),
                     Remove(Kind::kFlag, "f7")};
  EXPECT_TRUE(catalog_->Commit(request).ok()) << "five are fewer than ten";
}

TEST_F(CatalogCommit, ForceRemovesMoreThanHalf) {
  std::vector<Change> flags;
  CommitRequest request;
  for (int i = 0; i < 12; ++i) {
    flags.push_back(Put(Kind::kFlag, "f" + std::to_string(i), R"({"enabled": true})"));
    request.changes.push_back(Remove(Kind::kFlag, "f" + std::to_string(i)));
  }
  MustCommit(flags);
  EXPECT_FALSE(catalog_->Commit(request).ok());
  request.force_removal = true;
  EXPECT_TRUE(catalog_->Commit(request).ok());
}

TEST_F(CatalogCommit, TheEmergencyIsToldAndCannotBeDeleted) {
  MustCommit({Put(Kind::kEmergency, "default", R"({"kill_switch": true})")});
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_TRUE(told_[0].emergency_changed);
  EXPECT_TRUE(told_[0].emergency.kill_switch);
  EXPECT_THAT(told_[0].entries, IsEmpty());
  EXPECT_TRUE(catalog_->emergency().kill_switch);
  EXPECT_EQ(Commit({Remove(Kind::kEmergency, "default")}).status().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(Commit({Put(Kind::kEmergency, "other", "{}")}).status().code(), Code::kInvalidArgument);
}

TEST_F(CatalogCommit, AnEntryThatNoNodeCouldReadIsRefused) {
  std::string long_name(2000, 'x');
  Resource flag = Make(Kind::kFlag, "a", R"({"enabled": true})");
  for (int i = 0; i < 1000; ++i) {
    flag.As<domain::FlagSpec>().allowlist.push_back(long_name + std::to_string(i));
  }
  const auto refused = Commit({Put(flag)});
  EXPECT_EQ(refused.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(refused.status().message(), HasSubstr("nodes could not read the flag \"a\""));
  EXPECT_EQ(catalog_->revision(), 0u);
}

TEST_F(CatalogCommit, TwoChangesOfOneResourceAreRefused) {
  EXPECT_EQ(Commit({Put(Kind::kFlag, "a", R"({"enabled": true})"), Remove(Kind::kFlag, "a")})
                .status()
                .code(),
            Code::kInvalidArgument);
  EXPECT_EQ(Commit({Remove(Kind::kFlag, "a")}).status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace weir::control::catalog
