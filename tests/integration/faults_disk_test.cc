// SPDX-License-Identifier: Apache-2.0
// A disk that is full, and a database that somebody else holds: the API says why, nothing is half
// published, nodes serve on, and afterwards all is counted.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

// SQLite's file format, section 2.2.2 (the WAL-index's locks): the byte of weir.db-shm whose
// exclusive lock makes its holder the one writer.
constexpr off_t kWalWriteLock = 120;

class FaultsDisk : public ClusterTest {
 protected:
  void TearDown() override {
    ClusterTest::TearDown();
    if (is_mounted_) {
      EXPECT_EQ(::umount2(control.data_dir().c_str(), MNT_DETACH), 0);
    }
  }
  // A file system of its own for the state; false, loudly, where that is not allowed.
  bool MountSmallDisk(const char* size) {
    ::mkdir(control.data_dir().c_str(), 0700);
    const std::string options = fmt::format("size={},mode=700", size);
    is_mounted_ = ::mount("tmpfs", control.data_dir().c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!is_mounted_) {
      std::fprintf(stderr, "NOT TESTED: a full disk: mount: %s\n", std::strerror(errno));
    }
    return is_mounted_;
  }
  std::string Filler() const { return control.data_dir() + "/filler"; }
  void FillDisk() {
    const int fd = ::open(Filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    for (const size_t size : {size_t{65536}, size_t{4096}}) {
      const std::string block(size, 'f');
      while (::write(fd, block.data(), block.size()) > 0) {
      }
    }
    EXPECT_EQ(errno, ENOSPC);
    ::close(fd);
  }
  // Changes the flag until it is refused; `stands` is the last percentage that was acknowledged.
  Answer ChangeUntilRefused(int& stands) {
    Answer answer;
    for (int tries = 0; tries < 3000; ++tries) {
      answer = PutFlag("checkout", stands % 90 + 1);
      if (!answer.ok()) break;
      stands = stands % 90 + 1;
    }
    return answer;
  }
  testing::AssertionResult NodesDecideBy(int percentage) {
    for (const auto& node : nodes) {
      const int threshold = Threshold(*node, "checkout");
      if (threshold != percentage * 1000)
        return testing::AssertionFailure() << node->id() << " decides by " << threshold;
    }
    return testing::AssertionSuccess();
  }

  bool is_mounted_ = false;
};

TEST_F(FaultsDisk, FullDiskIsSaidAndNothingIsHalfPublished) {
  if (!MountSmallDisk("12m")) GTEST_SKIP() << "mounting a tmpfs is not permitted here";
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_EQ(PutFlag("checkout", 1).status, 201);
  Traffic traffic(Addresses(), 100);
  ASSERT_NO_FATAL_FAILURE(FillDisk());
  int stands = 1;
  const Answer refused = ChangeUntilRefused(stands);
  EXPECT_EQ(refused.status, 507) << refused;
  EXPECT_THAT(refused.text, HasSubstr("weir.db")) << "which file";
  EXPECT_THAT(refused.text, HasSubstr("full")) << "and why";
  const Json head = api().Get("/v1/status").json["head"];
  EXPECT_EQ(PutFlag("checkout", 99).status, 507) << "and again";
  EXPECT_EQ(api().Get("/v1/status").json["head"], head);
  EXPECT_EQ(api().Get("/v1/flags/checkout").json["spec"]["rollout_percentage"], stands);
  EXPECT_EQ(PutBlob(api(), std::string(100'000, 'b')), "") << "a blob was taken";
  EXPECT_TRUE(WaitFor("what was acknowledged, and no more", [&] { return NodesDecideBy(stands); }));
  // Nobody is ready to lead who cannot store; it says so where an operator looks.
  EXPECT_TRUE(WaitFor("unready", [&] {
    const Answer ready = api().Get("/ready");
    return ready.status == 503 && ready.text.find("full") != std::string::npos;
  }));
  const uint64_t sent = traffic.Counts().sent;
  ASSERT_TRUE(
      WaitFor("traffic while it is full", [&] { return traffic.Counts().sent >= sent + 100; }));

  ASSERT_EQ(::unlink(Filler().c_str()), 0);
  ASSERT_TRUE(
      WaitFor("it takes changes again", [&] { return PutFlag("checkout", 99).status == 200; }));
  ASSERT_TRUE(WaitFor("ready", [&] { return api().Get("/ready").status == 200; }));
  ASSERT_TRUE(WaitFor("everybody has it", [&] { return EveryoneIsAtHead() && NodesDecideBy(99); }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_TRUE(WaitFor("exact counts", [&] { return CountedExactly(counts.by_arm); }));
  // What is on the disk is what was shown.
  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  EXPECT_EQ(api().Get("/v1/flags/checkout").json["spec"]["rollout_percentage"], 99);
  EXPECT_EQ(Counted(), counts.by_arm);
}

TEST_F(FaultsDisk, DatabaseHeldByAnotherProcessIsSaidAndWaitedFor) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_EQ(PutFlag("checkout", 1).status, 201);
  Traffic traffic(Addresses(), 100);
  const std::string path = control.data_dir() + "/weir.db-shm";
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0) << std::strerror(errno);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kWalWriteLock;
  lock.l_len = 1;
  ASSERT_EQ(::fcntl(fd, F_SETLKW, &lock), 0) << std::strerror(errno);

  const Answer refused = PutFlag("checkout", 2);
  EXPECT_EQ(refused.status, 503) << refused;
  EXPECT_THAT(refused.text, HasSubstr("weir.db"));
  EXPECT_THAT(refused.text, HasSubstr("locked"));
  EXPECT_EQ(api().Get("/v1/flags/checkout").json["spec"]["rollout_percentage"], 1);
  EXPECT_TRUE(NodesDecideBy(1));
  ::close(fd);  // and with it the lock

  ASSERT_TRUE(
      WaitFor("it takes changes again", [&] { return PutFlag("checkout", 3).status == 200; }));
  ASSERT_TRUE(WaitFor("everybody has it", [&] { return EveryoneIsAtHead() && NodesDecideBy(3); }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_TRUE(WaitFor("exact counts", [&] { return CountedExactly(counts.by_arm); }));
}

}  // namespace
}  // namespace weir::integration
