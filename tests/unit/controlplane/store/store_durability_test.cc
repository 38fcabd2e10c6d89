// SPDX-License-Identifier: Apache-2.0
// What was acknowledged survives kill -9, and a full disk stores nothing half.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "controlplane/store/store.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::store {
namespace {

using ::testing::HasSubstr;

RevisionRecord Step(uint64_t number) {
  const std::string document = "{\"n\":" + std::to_string(number) + "}";
  return {
      .at_wall_ms = static_cast<int64_t>(number),
      .actor = "test",
      .reason = "",
      .evidence = "",
      .changes = {{"Flag", "a", "updated", "", document}, {"Flag", "b", "updated", "", document}},
      .sources = {}};
}

// Commits for ever, and tells each revision after its commit returned.
[[noreturn]] void CommitForever(const std::string& dir, int out) {
  auto store = Store::Open(dir, Clock::System());
  if (!store.ok()) ::_exit(1);
  for (;;) {
    const auto revision = (*store)->CommitRevision(Step((*store)->last_revision() + 1));
    if (!revision.ok() || ::write(out, &*revision, sizeof *revision) != sizeof *revision) {
      ::_exit(1);
    }
  }
}

TEST(StoreDurability, KillLosesNoAcknowledgedRevision) {
  const fakes::TempDir dir;
  uint64_t acknowledged = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) CommitForever(dir.path(), ends[1]);
    ::close(ends[1]);
    uint64_t revision = 0;
    for (int seen = 0; seen < 20 + round * 7; ++seen) {
      ASSERT_EQ(::read(ends[0], &revision, sizeof revision), ssize_t{sizeof revision});
      acknowledged = revision;
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    while (::read(ends[0], &revision, sizeof revision) == ssize_t{sizeof revision}) {
      acknowledged = revision;
    }
    ::close(ends[0]);

    auto store = Store::Open(dir.path(), Clock::System());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    const uint64_t head = (*store)->last_revision();
    EXPECT_GE(head, acknowledged);
    EXPECT_LE(head, acknowledged + 1) << "at most the commit that was under way";
    EXPECT_TRUE((*store)->VerifyAudit().ok()) << (*store)->VerifyAudit().ToString();
    const auto resources = (*store)->LoadResources();
    ASSERT_TRUE(resources.ok());
    EXPECT_EQ(resources->size(), 2u);
    for (const ResourceRow& row : *resources) {
      EXPECT_EQ(row.document, "{\"n\":" + std::to_string(head) + "}") << row.name;
    }
  }
}

// The kernel's limit on the size of a file stands for a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  sighandler_t handler_;
};

TEST(StoreDurability, AFullDiskIsSaidAndStoresNothingHalf) {
  const fakes::TempDir dir;
  ManualClock clock;
  auto store = Store::Open(dir.path(), clock);
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE((*store)->CommitRevision(Step(1)).ok());
  RevisionRecord big = Step(2);
  big.changes.push_back({"Flag", "big", "created", "", std::string(1 << 20, 'x')});
  {
    const FileSizeLimit limit(std::filesystem::file_size(dir.path() + "/weir.db-wal") + 65536);
    const auto refused = (*store)->CommitRevision(big);
    EXPECT_EQ(refused.status().code(), Code::kResourceExhausted) << refused.status().ToString();
    EXPECT_THAT(refused.status().message(), HasSubstr(dir.path() + "/weir.db"));
  }
  EXPECT_EQ((*store)->last_revision(), 1u);
  EXPECT_EQ((*store)->LoadResources()->size(), 2u);
  EXPECT_EQ(*(*store)->CommitRevision(big), 2u) << "space is there again";
  store->reset();
  store = Store::Open(dir.path(), clock);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_EQ((*store)->last_revision(), 2u);
  EXPECT_TRUE((*store)->VerifyAudit().ok());
}

}  // namespace
}  // namespace weir::control::store
