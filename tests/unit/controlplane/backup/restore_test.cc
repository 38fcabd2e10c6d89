// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/restore.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "controlplane/backup/make_backup.h"
#include "controlplane/store/schema.h"
#include "tests/unit/controlplane/backup/state.h"
#include "tests/unit/controlplane/store/sql.h"

namespace weir::control::backup {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RestoreTest : public StateTest {
 protected:
  void Make(const std::string& name = "b.tar") {
    const auto made = MakeBackup({data_dir(), Path(name)}, clock_);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    EXPECT_EQ(made->bytes, fs::file_size(Path(name)));
  }
  Status RestoreInto(const std::string& dir, bool force = false) {
    return Restore({Path("b.tar"), dir, force, "test:alice"}, clock_).status();
  }
};

TEST_F(RestoreTest, AnotherDirectoryHasDatabaseKeyAndBlobs) {
  Make();
  Commit(2);  // afterwards: not in it
  const std::string other = Path("other");
  const auto restored = Restore({Path("b.tar"), other, false, "test:alice"}, clock_);
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(restored->manifest["revision"], 3);
  EXPECT_EQ(restored->replaced, "");
  EXPECT_EQ(*ReadFile(other + "/server.key"), "secret");
  EXPECT_EQ(*store::BlobStore(other).Read(kAbc), "abc");
  for (const char* name : {"/weir.db", "/server.key"}) {
    struct stat file {};
    ASSERT_EQ(::stat((other + name).c_str(), &file), 0) << name;
    EXPECT_EQ(file.st_mode & 0777, 0600u) << name;
  }
  const auto store = store::Store::Open(other, clock_);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_EQ((*store)->last_revision(), 3u);
  EXPECT_EQ(*(*store)->NextEpoch(0), 1001u) << "a new one";
  const auto check = (*store)->CheckAudit();
  EXPECT_EQ(check->problem, "");
  ASSERT_EQ(check->restores.size(), 1u) << "a restore is a row of the audit";
  EXPECT_EQ(check->restores[0].actor, "test:alice");
  EXPECT_THAT(check->restores[0].detail, HasSubstr("revision 3"));
}

TEST_F(RestoreTest, ABackupIsMadeWhileCommitsGoOn) {
  int told = 0;
  const auto made = MakeBackup({data_dir(), Path("b.tar"),
                                [&](uint64_t done, uint64_t total) {
                                  EXPECT_LE(done, total);
                                  if (++told < 3) Commit(1);
                                }},
                               clock_);
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  EXPECT_GT(told, 0);
  EXPECT_TRUE(VerifyBackup(Path("b.tar"), Path("scratch"), clock_).ok());
  EXPECT_FALSE(fs::exists(Path("scratch")));
  EXPECT_FALSE(fs::exists(Path("b.tar.db")));
  EXPECT_EQ(MakeBackup({data_dir(), Path("b.tar")}, clock_).status().code(), Code::kAlreadyExists);
}

TEST_F(RestoreTest, ADirectoryThatIsNotEmptyIsPutAsideWhenForced) {
  Make();
  store_.reset();
  EXPECT_EQ(RestoreInto(data_dir()).code(), Code::kFailedPrecondition);
  EXPECT_THAT(RestoreInto(data_dir()).message(), HasSubstr("is not empty"));
  std::ofstream(data_dir() + "/notes") << "mine";
  const auto restored = Restore({Path("b.tar"), data_dir(), true, "test:alice"}, clock_);
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(*ReadFile(restored->replaced + "/notes"), "mine");
  EXPECT_TRUE(fs::exists(restored->replaced + "/weir.db"));
  EXPECT_FALSE(fs::exists(data_dir() + "/notes"));
  EXPECT_TRUE(store::Store::Open(data_dir(), clock_).ok());
}

TEST_F(RestoreTest, ADirectoryInUseIsLeftAlone) {
  Make();
  const Status status = RestoreInto(data_dir(), true);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("running weir-control"));
  EXPECT_TRUE(store_->CheckAudit()->problem.empty());
}

TEST_F(RestoreTest, ADamagedBackupChangesNothing) {
  Make();
  std::string bytes = *ReadFile(Path("b.tar"));
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileAtomic(Path("b.tar"), bytes).ok());
  EXPECT_EQ(RestoreInto(Path("other")).code(), Code::kDataLoss);
  EXPECT_FALSE(fs::exists(Path("other/weir.db")));
  EXPECT_FALSE(fs::exists(Path("other/") + store::kRestoreDir));
}

TEST_F(RestoreTest, ABackupWhoseAuditWasChangedIsRefused) {
  store_.reset();
  store::RunSql(data_dir() + "/weir.db", "UPDATE audit SET actor = 'mallory' WHERE seq = 2");
  Make();  // each part's hash is right
  const Status status = RestoreInto(Path("other"));
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("audit row 2"));
}

TEST_F(RestoreTest, ABackupOfANewerSchemaIsRefusedWithBothVersions) {
  store_.reset();
  auto archive = ArchiveWriter::Create(Path("b.tar"));
  ASSERT_TRUE((*archive)->Add("weir.db", data_dir() + "/weir.db").ok());
  ASSERT_TRUE((*archive)->Finish({{"schema", 77}, {"program", "9.0.0"}}).ok());
  const Status status = RestoreInto(Path("other"));
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("weir 9.0.0 with schema version 77"));
}

TEST_F(RestoreTest, ARestoreThatWasKilledKeepsAControlPlaneFromStarting) {
  Make();
  const std::string other = Path("other");
  fs::create_directories(other + "/" + store::kRestoreDir);
  const Status started = store::Store::Open(other, clock_).status();
  EXPECT_EQ(started.code(), Code::kFailedPrecondition);
  EXPECT_THAT(started.message(), HasSubstr("weir restore"));
  EXPECT_TRUE(RestoreInto(other).ok()) << "the next one clears it away";
  EXPECT_TRUE(store::Store::Open(other, clock_).ok());
}

}  // namespace
}  // namespace weir::control::backup
