// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "controlplane/store/schema.h"
#include "controlplane/store/store.h"
#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"
#include "tests/unit/controlplane/store/sql.h"

namespace weir::control::store {
namespace {

using ::testing::HasSubstr;

class StoreOpen : public ::testing::Test {
 protected:
  std::string File() const { return dir_.path() + "/weir.db"; }
  Status Open() { return Store::Open(dir_.path(), clock_).status(); }
  void Fill(int revisions) {
    auto store = Store::Open(dir_.path(), clock_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    for (int i = 0; i < revisions; ++i) {
      RevisionRecord record{.at_wall_ms = 1,
                            .actor = "cli:a",
                            .reason = "",
                            .evidence = "",
                            .changes = {},
                            .sources = {}};
      record.changes.push_back({"Flag", "f" + std::to_string(i), "created", "",
                                "{\"text\":\"" + std::string(200, 'x') + "\"}"});
      ASSERT_TRUE((*store)->CommitRevision(record).ok());
    }
  }

  fakes::TempDir dir_;
  ManualClock clock_;
};

TEST_F(StoreOpen, MakesDirectoryAndPrivateFile) {
  const std::string data = dir_.path() + "/a/b";
  const auto store = Store::Open(data, clock_);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_EQ((*store)->last_revision(), 0u);
  struct stat file {};
  ASSERT_EQ(::stat((data + "/weir.db").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(StoreOpen, UsesAWalAndSaysWhoseFileItIs) {
  Fill(1);
  EXPECT_EQ(RunSql(File(), "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(RunSql(File(), "PRAGMA application_id"), std::to_string(kApplicationId));
  EXPECT_EQ(RunSql(File(), "PRAGMA user_version"), std::to_string(Migrations().size()));
}

TEST_F(StoreOpen, RefusesASecondControlPlaneUntilTheFirstIsGone) {
  auto first = Store::Open(dir_.path(), clock_);
  ASSERT_TRUE(first.ok());
  const Status second = Open();
  EXPECT_EQ(second.code(), Code::kFailedPrecondition);
  EXPECT_THAT(second.message(), HasSubstr("another control plane"));
  EXPECT_THAT(second.message(), HasSubstr(dir_.path()));
  EXPECT_THAT(second.message(), HasSubstr(std::to_string(::getpid())));
  first->reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(StoreOpen, RefusesANewerSchemaAndNamesBothVersions) {
  Fill(1);
  RunSql(File(), "PRAGMA user_version = 77");
  const Status status = Open();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("schema version 77"));
  EXPECT_THAT(status.message(), HasSubstr("up to " + std::to_string(Migrations().size())));
}

TEST_F(StoreOpen, RefusesADatabaseOfAnotherProgram) {
  RunSql(File(), "CREATE TABLE songs (name TEXT)");
  const Status status = Open();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("not a database of Weir"));
  EXPECT_EQ(RunSql(File(), "SELECT count(*) FROM sqlite_master"), "1") << "it was touched";
}

TEST_F(StoreOpen, RefusesAFileThatIsNoDatabase) {
  std::ofstream(File()) << "this was never a database, whatever its name says";
  const Status status = Open();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr(File()));
}

TEST_F(StoreOpen, RefusesADamagedFileAndSaysWhatIsWrong) {
  Fill(200);  // several pages
  const auto pages = std::filesystem::file_size(File()) / 4096;
  ASSERT_GT(pages, 20u);
  std::fstream file(File(), std::ios::in | std::ios::out | std::ios::binary);
  for (size_t page = pages / 2; page < pages / 2 + 4; ++page) {
    file.seekp(static_cast<std::streamoff>(page * 4096));
    for (int i = 0; i < 64; ++i) file.put('\x5a');  // the page's header and cell pointers
  }
  file.close();
  const Status status = Open();
  EXPECT_EQ(status.code(), Code::kDataLoss) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(File() + " is damaged: "));
}

TEST_F(StoreOpen, BringsAnOlderSchemaUpToDateAfterABackup) {
  RunSql(File(),
         std::string(Migrations()[0]) +
             "PRAGMA user_version = 1; PRAGMA application_id = " + std::to_string(kApplicationId) +
             "; INSERT INTO revisions VALUES (1, 5, 'cli:a', 'old', '');"
             "INSERT INTO resources VALUES ('Flag', 'old', '{}', 1);");
  auto store = Store::Open(dir_.path(), clock_);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_EQ((*store)->last_revision(), 1u);
  EXPECT_EQ((*store)->LoadResources()->at(0).name, "old");
  EXPECT_TRUE((*store)->CommitTelemetry({{{"n1", 1, 1, 0, 1}}, {}, {}}).ok()) << "new tables";
  const std::string backup = File() + ".v1.20251121T000000.000Z.bak";
  ASSERT_TRUE(std::filesystem::exists(backup));
  EXPECT_EQ(RunSql(backup, "PRAGMA user_version"), "1");
  EXPECT_EQ(RunSql(backup, "SELECT name FROM resources"), "old");
}

TEST_F(StoreOpen, LeavesTheOldFileAloneWhenItsBackupCannotBeWritten) {
  RunSql(File(),
         std::string(Migrations()[0]) +
             "PRAGMA user_version = 1; PRAGMA application_id = " + std::to_string(kApplicationId));
  std::ofstream(File() + ".v1.20251121T000000.000Z.bak") << "in the way";
  EXPECT_EQ(Open().code(), Code::kAlreadyExists);
  EXPECT_EQ(RunSql(File(), "PRAGMA user_version"), "1");
}

TEST_F(StoreOpen, NamesADirectoryThatCannotBe) {
  std::ofstream(dir_.path() + "/file") << "no directory";
  const Status status = Store::Open(dir_.path() + "/file/data", clock_).status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr(dir_.path() + "/file"));
}

TEST_F(StoreOpen, BackupIsAStoreOfItsOwn) {
  Fill(3);
  fakes::TempDir other;
  {
    auto store = Store::Open(dir_.path(), clock_);
    ASSERT_TRUE((*store)->Backup(other.path() + "/weir.db").ok());
    EXPECT_EQ((*store)->Backup(other.path() + "/weir.db").code(), Code::kAlreadyExists);
  }
  auto copy = Store::Open(other.path(), clock_);
  ASSERT_TRUE(copy.ok());
  EXPECT_EQ((*copy)->last_revision(), 3u);
  EXPECT_TRUE((*copy)->VerifyAudit().ok());
}

}  // namespace
}  // namespace weir::control::store
