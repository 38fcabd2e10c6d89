// SPDX-License-Identifier: Apache-2.0
#include "controlplane/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/fakes/temp_dir.h"
#include "tests/unit/controlplane/store/sql.h"

namespace weir::control::store {
namespace {

using ::testing::HasSubstr;

RevisionRecord Record(const std::string& actor, std::vector<ChangeRow> changes) {
  return {.at_wall_ms = 1000,
          .actor = actor,
          .reason = "why",
          .evidence = "",
          .changes = std::move(changes),
          .sources = {}};
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    store_.reset();
    auto opened = Store::Open(dir_.path(), clock_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = *std::move(opened);
  }
  std::string File() const { return dir_.path() + "/weir.db"; }

  fakes::TempDir dir_;
  ManualClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, NumbersRevisionsFromOneWithoutGapsAcrossRestarts) {
  EXPECT_EQ(*store_->CommitRevision(Record("a", {{"Flag", "x", "created", "", "{1}"}})), 1u);
  EXPECT_EQ(*store_->CommitRevision(Record("b", {{"Flag", "x", "updated", "{1}", "{2}"}})), 2u);
  Reopen();
  EXPECT_EQ(store_->last_revision(), 2u);
  EXPECT_EQ(*store_->CommitRevision(Record("c", {{"Flag", "x", "deleted", "{2}", ""}})), 3u);
  EXPECT_TRUE(store_->LoadResources()->empty());
}

TEST_F(StoreTest, TellsHowAResourceStoodAtEveryRevision) {
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "y", "created", "", "{y}"}})).ok());
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "x", "created", "", "{1}"}})).ok());
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "x", "updated", "{1}", "{2}"}})).ok());
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "x", "deleted", "{2}", ""}})).ok());
  EXPECT_EQ(*store_->ResourceAt("Flag", "x", 1), std::nullopt);
  EXPECT_EQ(*store_->ResourceAt("Flag", "x", 2), "{1}");
  EXPECT_EQ(*store_->ResourceAt("Flag", "x", 3), "{2}");
  EXPECT_EQ(*store_->ResourceAt("Flag", "x", 4), std::nullopt);
  EXPECT_EQ(*store_->ResourceAt("Flag", "y", 4), "{y}");
}

TEST_F(StoreTest, HistoryIsNewestFirstAndFiltersByResource) {
  ASSERT_TRUE(store_
                  ->CommitRevision(Record("a", {{"Flag", "x", "created", "", "{1}"},
                                                {"Model", "m", "created", "", "{m}"}}))
                  .ok());
  ASSERT_TRUE(store_->CommitRevision(Record("b", {{"Flag", "y", "created", "", "{2}"}})).ok());
  RevisionRecord third = Record("c", {{"Flag", "x", "updated", "{1}", "{3}"}});
  third.evidence = "{\"p\":1}";
  ASSERT_TRUE(store_->CommitRevision(third).ok());

  const auto all = *store_->History({});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].actor, "c");
  EXPECT_EQ(all[0].reason, "why");
  EXPECT_EQ(all[0].evidence, "{\"p\":1}");
  EXPECT_EQ(all[0].at_wall_ms, 1000);
  EXPECT_EQ(all[2].changes.size(), 2u);

  const auto x = *store_->History({.kind = "Flag", .name = "x", .before = 0, .limit = 10});
  ASSERT_EQ(x.size(), 2u);
  EXPECT_EQ(x[0].revision, 3u);
  EXPECT_EQ(x[1].revision, 1u);
  ASSERT_EQ(x[1].changes.size(), 1u);
  EXPECT_EQ(x[1].changes[0].name, "x");

  EXPECT_EQ(store_->History({.kind = "Model", .name = "", .before = 0, .limit = 10})->size(), 1u);
  const auto older = *store_->History({.kind = "", .name = "", .before = 3, .limit = 1});
  ASSERT_EQ(older.size(), 1u);
  EXPECT_EQ(older[0].revision, 2u);
  EXPECT_EQ(store_->Revision(9).status().code(), Code::kNotFound);
}

TEST_F(StoreTest, ABusyFileStoresNothingOfACommit) {
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "x", "created", "", "{1}"}})).ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(File().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto refused = store_->CommitRevision(Record("b", {{"Flag", "y", "created", "", "{2}"}}));
  EXPECT_EQ(refused.status().code(), Code::kUnavailable);
  EXPECT_THAT(refused.status().message(), HasSubstr(File()));
  sqlite3_close(other);
  EXPECT_EQ(store_->last_revision(), 1u);
  EXPECT_EQ(store_->LoadResources()->size(), 1u);
  EXPECT_EQ(*store_->CommitRevision(Record("b", {{"Flag", "y", "created", "", "{2}"}})), 2u);
  EXPECT_TRUE(store_->VerifyAudit().ok());
}

TEST_F(StoreTest, ACommitThatFailsHalfwayLeavesNothing) {
  // The second change breaks a constraint only after the first was written.
  RunSql(File(),
         "CREATE TRIGGER no_second BEFORE INSERT ON resources WHEN new.name = 'second' "
         "BEGIN SELECT RAISE(ABORT, 'not this one'); END");
  const auto refused = store_->CommitRevision(Record(
      "a", {{"Flag", "first", "created", "", "{1}"}, {"Flag", "second", "created", "", "{2}"}}));
  EXPECT_EQ(refused.status().code(), Code::kInternal);
  EXPECT_EQ(store_->last_revision(), 0u);
  EXPECT_TRUE(store_->LoadResources()->empty());
  EXPECT_TRUE(store_->History({})->empty());
  EXPECT_TRUE(store_->VerifyAudit().ok());
}

TEST_F(StoreTest, AuditNoticesAChangedRevision) {
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "x", "created", "", "{1}"}})).ok());
  ASSERT_TRUE(store_->CommitRevision(Record("b", {{"Flag", "x", "updated", "{1}", "{2}"}})).ok());
  EXPECT_TRUE(store_->VerifyAudit().ok());
  RunSql(File(), "UPDATE revisions SET actor = 'nobody' WHERE number = 1");
  EXPECT_THAT(store_->VerifyAudit().message(), HasSubstr("revision 1"));
  EXPECT_EQ(store_->VerifyAudit().code(), Code::kDataLoss);
}

TEST_F(StoreTest, AuditNoticesAChangedAuditRowAndAChangedResource) {
  ASSERT_TRUE(store_->CommitRevision(Record("a", {{"Flag", "x", "created", "", "{1}"}})).ok());
  RunSql(File(), "UPDATE resources SET document = '{9}'");
  EXPECT_THAT(store_->VerifyAudit().message(), HasSubstr("Flag/x"));
  RunSql(File(), "UPDATE resources SET document = '{1}'");
  EXPECT_TRUE(store_->VerifyAudit().ok());
  RunSql(File(), "UPDATE audit SET actor = 'nobody'");
  EXPECT_THAT(store_->VerifyAudit().message(), HasSubstr("audit row 1"));
}

TEST_F(StoreTest, SourcesAreKeptPerSourceAndForgotten) {
  RevisionRecord record = Record("a", {{"Flag", "x", "created", "", "{1}"}});
  record.sources = {{"file:a", "Flag", "x", "{a}"}};
  ASSERT_TRUE(store_->CommitRevision(record).ok());
  ASSERT_TRUE(
      store_->SaveSources({{"file:b", "Flag", "x", "{b}"}, {"file:b", "Flag", "y", "{c}"}}).ok());
  EXPECT_EQ(store_->LoadSource("file:a")->at(0).document, "{a}");
  EXPECT_EQ(store_->LoadSource("file:b")->size(), 2u);
  ASSERT_TRUE(store_->SaveSources({{"file:b", "Flag", "x", ""}}).ok());
  EXPECT_EQ(store_->LoadSource("file:b")->at(0).name, "y");
  EXPECT_EQ(store_->last_revision(), 1u);
}

TEST_F(StoreTest, EpochsOnlyRiseWhateverTheClockSays) {
  EXPECT_EQ(*store_->NextEpoch(1000), 1000u);
  EXPECT_EQ(*store_->NextEpoch(1000), 1001u);
  Reopen();
  EXPECT_EQ(*store_->NextEpoch(5), 1002u);
  EXPECT_EQ(*store_->NextEpoch(5000), 5000u);
}

TEST_F(StoreTest, TelemetryIsOneTransaction) {
  const std::string binary("\0\x01\xff", 3);
  ASSERT_TRUE(store_
                  ->CommitTelemetry({{{"n1", 7, 3, 0, 3}},
                                     {{"detector/r", binary}, {"rollout/r", "s"}},
                                     {{"model/m", "1.0.0", "canary", 1000, 5000, binary}}})
                  .ok());
  ASSERT_TRUE(store_->CommitTelemetry({{{"n1", 7, 5, 1, 4}}, {{"rollout/r", ""}}, {}}).ok());
  Reopen();
  const auto waters = *store_->LoadHighWaters();
  ASSERT_EQ(waters.size(), 1u);
  EXPECT_EQ(waters[0].committed, 5u);
  EXPECT_EQ(waters[0].declared_lost, 1u);
  EXPECT_EQ(waters[0].counted, 4u);
  EXPECT_EQ(store_->LoadStates("detector/")->at("detector/r"), binary);
  EXPECT_TRUE(store_->LoadStates("rollout/")->empty());
  EXPECT_EQ(store_->ReadWindows({.subject = "model/m", .resolution_ms = 1000})->at(0).counters,
            binary);

  RunSql(File(),
         "CREATE TRIGGER no_windows BEFORE INSERT ON windows BEGIN SELECT RAISE(ABORT, 'no'); END");
  EXPECT_FALSE(
      store_->CommitTelemetry({{{"n1", 7, 9, 1, 8}}, {}, {{"m", "1", "stable", 1, 1, "c"}}}).ok());
  EXPECT_EQ(store_->LoadHighWaters()->at(0).committed, 5u) << "acknowledged without its windows";
}

TEST_F(StoreTest, WindowsAreReadByTimeAndPruned) {
  std::vector<WindowRow> windows;
  for (int64_t start = 0; start < 10'000; start += 1000) {
    windows.push_back({"model/m", "1.0.0", "stable", 1000, start, "c"});
  }
  windows.push_back({"model/m", "1.0.0", "stable", 60'000, 0, "minute"});
  ASSERT_TRUE(store_->CommitTelemetry({{}, {}, windows}).ok());
  EXPECT_EQ(
      store_
          ->ReadWindows(
              {.subject = "", .resolution_ms = 1000, .from_wall_ms = 2000, .to_wall_ms = 5000})
          ->size(),
      3u);
  EXPECT_EQ(*store_->PruneWindows(1000, 8000), 8u);
  EXPECT_EQ(store_->ReadWindows({.subject = "", .resolution_ms = 1000})->size(), 2u);
  EXPECT_EQ(store_->ReadWindows({.subject = "", .resolution_ms = 60'000})->size(), 1u);
}

TEST_F(StoreTest, ATokenEnrolsOneNodeOnce) {
  ASSERT_TRUE(store_->AddEnrollToken({"hash", 1000, 2000, ""}).ok());
  EXPECT_EQ(store_->EnrollNode({"n1", "key1", 2000}, "hash").code(), Code::kFailedPrecondition)
      << "expired";
  EXPECT_EQ(store_->EnrollNode({"n1", "key1", 1500}, "other").code(), Code::kNotFound);
  EXPECT_TRUE(store_->NodeKeys()->empty());
  ASSERT_TRUE(store_->EnrollNode({"n1", "key1", 1500}, "hash").ok());
  EXPECT_EQ(store_->EnrollNode({"n2", "key2", 1600}, "hash").code(), Code::kFailedPrecondition)
      << "used";
  EXPECT_EQ(store_->EnrollTokens()->at(0).used_by, "n1");
  EXPECT_EQ(store_->NodeKeys()->size(), 1u);
  EXPECT_TRUE(store_->VerifyAudit().ok());
}

TEST_F(StoreTest, ARevokedNodeStaysOutAndAKeyHasOneNode) {
  ASSERT_TRUE(store_->EnrollNode({"n1", "key1", 1}).ok());
  EXPECT_EQ(store_->EnrollNode({"n2", "key1", 1}).code(), Code::kAlreadyExists);
  ASSERT_TRUE(store_->EnrollNode({"n1", "key1b", 2}).ok());
  EXPECT_EQ(store_->NodeKeys()->at(0).public_key, "key1b");
  ASSERT_TRUE(store_->RevokeNode("n1", "cli:a").ok());
  EXPECT_EQ(store_->RevokeNode("n9", "cli:a").code(), Code::kNotFound);
  EXPECT_EQ(store_->EnrollNode({"n1", "key3", 3}).code(), Code::kFailedPrecondition);
  Reopen();
  EXPECT_TRUE(store_->NodeKeys()->at(0).revoked);
}

TEST_F(StoreTest, ARevokedNodeComesBackWithATokenAndAnotherKeyOnly) {
  ASSERT_TRUE(store_->EnrollNode({"n1", "key1", 1}).ok());
  ASSERT_TRUE(store_->RevokeNode("n1", "cli:a", "stolen").ok());
  ASSERT_TRUE(store_->AddEnrollToken({"hash", 1, 0, ""}).ok());
  EXPECT_EQ(store_->EnrollNode({"n1", "key1", 2}, "hash").code(), Code::kFailedPrecondition);
  EXPECT_EQ(store_->EnrollNode({"n1", "key2", 2}).code(), Code::kFailedPrecondition);
  EXPECT_TRUE(store_->EnrollTokens()->at(0).used_by.empty()) << "a refusal uses up no token";
  ASSERT_TRUE(store_->EnrollNode({"n1", "key2", 2}, "hash").ok());
  EXPECT_FALSE(store_->NodeKeys()->at(0).revoked);
  EXPECT_TRUE(store_->VerifyAudit().ok());
}

TEST_F(StoreTest, MetaKeepsBytesAndDoesNotTouchTheEpoch) {
  EXPECT_EQ(*store_->GetMeta("epoch"), std::nullopt);
  ASSERT_TRUE(store_->SetMeta("epoch", "mine").ok());
  EXPECT_EQ(*store_->NextEpoch(7), 7u);
  EXPECT_EQ(*store_->GetMeta("epoch"), "mine");
}

}  // namespace
}  // namespace weir::control::store
