// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/backups.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "controlplane/backup/archive.h"
#include "tests/fakes/mailbox.h"
#include "tests/unit/controlplane/backup/state.h"

namespace weir::control::backup {
namespace {

namespace fs = std::filesystem;
using codec::Json;
using ::testing::HasSubstr;

constexpr int64_t kHourMs = 3'600'000;

class BackupsTest : public StateTest {
 protected:
  void Start(const std::string& dir, uint64_t keep = 2) {
    Backups::Hooks hooks;
    hooks.revision = [this] { return store_->last_revision(); };
    hooks.audit = [this](const std::string& actor, const std::string& action,
                         const std::string& detail) {
      return store_->AddAudit(actor, action, detail);
    };
    hooks.tell = [this](Json event) { told_.push_back(std::move(event)); };
    backups_ = std::make_unique<Backups>(
        BackupsOptions{data_dir(), dir, kHourMs, {.keep = keep, .keep_for_ms = 0}},
        std::move(hooks), core_, clock_);
  }
  // Lets one backup come to its end.
  void Finish() { ASSERT_TRUE(core_.RunAll(1)); }

  fakes::Mailbox core_;
  std::vector<Json> told_;
  std::unique_ptr<Backups> backups_;
};

TEST_F(BackupsTest, OneThatWasAskedForIsFetchedInPieces) {
  Start("");
  const auto begun = backups_->Begin("alice", "before the upgrade");
  ASSERT_TRUE(begun.ok()) << begun.status().ToString();
  const std::string id = (*begun)["id"];
  EXPECT_EQ(backups_->Drop(id).code(), Code::kFailedPrecondition) << "it is being made";
  Finish();
  const Json job = *backups_->Show(id);
  ASSERT_EQ(job["state"], "ready") << job;
  std::string bytes;
  for (std::string piece = "x"; !piece.empty(); bytes += piece)
    piece = *Backups::ReadPiece(data_dir(), id, bytes.size(), 1000);
  EXPECT_EQ(bytes.size(), job["bytes"].get<size_t>());
  ASSERT_TRUE(WriteFileAtomic(Path("fetched.tar"), bytes).ok());
  EXPECT_TRUE(ReadArchive(Path("fetched.tar"), {}).ok());
  EXPECT_TRUE(backups_->Drop(id).ok());
  EXPECT_EQ(Backups::ReadPiece(data_dir(), id, 0, 1).status().code(), Code::kNotFound);
  EXPECT_EQ(Backups::ReadPiece(data_dir(), "../weir.db", 0, 1).status().code(), Code::kNotFound);
  EXPECT_EQ(backups_->Show(id).status().code(), Code::kNotFound);
  EXPECT_EQ(backups_->age_ms(), 0);
  EXPECT_EQ(store_->GetAuditHead()->rows, 4) << "who made a backup is in the audit";
}

TEST_F(BackupsTest, NobodyFillsTheDiskByAsking) {
  Start("");
  std::string id;
  for (size_t i = 0; i < Backups::kMaxWaiting; ++i) id = (*backups_->Begin("alice", ""))["id"];
  EXPECT_EQ(backups_->Begin("alice", "").status().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(core_.RunAll(Backups::kMaxWaiting));
  clock_.AdvanceMs(Backups::kFetchMs);
  backups_->Tick();
  EXPECT_EQ(backups_->Show(id).status().code(), Code::kNotFound) << "nobody fetched it";
  EXPECT_TRUE(fs::is_empty(data_dir() + "/backup.spool"));
}

TEST_F(BackupsTest, MakesOneEverySoOftenAndKeepsTheNewest) {
  Start(Path("out"));
  for (int i = 0; i < 3; ++i) {
    backups_->Tick();
    backups_->Tick();  // one at a time
    Finish();
    backups_->Tick();
    clock_.AdvanceMs(kHourMs);
  }
  EXPECT_EQ(backups_->counters().made, 3u);
  const Json list = backups_->List();
  ASSERT_EQ(list["items"].size(), 2u) << list;
  EXPECT_GT(list["items"][0]["created_at"], list["items"][1]["created_at"]);
  EXPECT_EQ(list["items"][0]["revision"], 3);
  EXPECT_EQ(backups_->age_ms(), kHourMs);
  EXPECT_EQ(told_.back()["result"], "made");
  EXPECT_FALSE(backups_->trouble().has_value());
}

TEST_F(BackupsTest, ARestartDoesNotMakeOneBeforeItsTime) {
  Start(Path("out"));
  backups_->Tick();
  Finish();
  clock_.AdvanceMs(kHourMs / 2);
  Start(Path("out"));
  backups_->Tick();
  EXPECT_EQ(backups_->age_ms(), kHourMs / 2 + clock_.WallMs() % 1000)
      << "known from the file that is there";
  EXPECT_EQ(backups_->List()["items"].size(), 1u);
  clock_.AdvanceMs(kHourMs / 2);
  backups_->Tick();
  Finish();
  EXPECT_EQ(backups_->List()["items"].size(), 2u);
}

TEST_F(BackupsTest, AFailureIsToldAndTriedAgainBeforeLong) {
  std::ofstream(Path("file")) << "no directory";
  Start(Path("file/out"));
  backups_->Tick();
  ASSERT_TRUE(backups_->trouble().has_value());
  EXPECT_THAT(backups_->trouble()->why, HasSubstr(Path("file")));
  EXPECT_EQ(backups_->counters().failed, 1u);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0]["result"], "failed");
  backups_->Tick();
  EXPECT_EQ(backups_->counters().failed, 1u) << "not at once";
  fs::remove(Path("file"));
  clock_.AdvanceMs(600'000);
  backups_->Tick();
  Finish();
  EXPECT_FALSE(backups_->trouble().has_value());
  EXPECT_EQ(backups_->counters().made, 1u);
}

}  // namespace
}  // namespace weir::control::backup
