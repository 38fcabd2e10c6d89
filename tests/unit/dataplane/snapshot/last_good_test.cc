// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/last_good.h"

#include <cstdlib>
#include <filesystem>

#include "shared/base/text.h"
#include "tests/unit/dataplane/snapshot/publisher.h"

namespace weir::node::snapshot {
namespace {

class LastGoodFile : public ReceiverTest {
 protected:
  LastGoodFile() {
    std::string pattern = testing::TempDir() + "weir-last-good-XXXXXX";
    directory = mkdtemp(pattern.data());
    path = directory + "/snapshot";
  }
  ~LastGoodFile() override { std::filesystem::remove_all(directory); }

  std::string directory;
  std::string path;
};

TEST_F(LastGoodFile, BringsEverythingBack) {
  Join();
  control.emergency = {kEpoch, 9, true, false, true};
  ASSERT_TRUE(Give(control.Change("a", FlagBytes("a", 1500) + "x")).ok());
  ASSERT_TRUE(SaveLastGood(path, *receiver.Export(123)).ok());

  const auto stored = LoadLastGood(path);
  ASSERT_TRUE(stored.ok()) << stored.status().ToString();
  EXPECT_EQ(stored->saved_wall_ms, 123);
  std::shared_ptr<const decision::Ruleset> rules;
  Receiver fresh(
      {}, [] { return 0; },
      [&](std::shared_ptr<const decision::Ruleset> r) { rules = std::move(r); });
  fresh.Restore(*stored);
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->epoch, kEpoch);
  EXPECT_EQ(rules->version, 3u);
  EXPECT_EQ(rules->emergency, control.emergency);
  EXPECT_EQ(rules->flags().Find("a")->threshold, 1000u) << "the last good of the refused one";
  EXPECT_EQ(rules->flags().Find("b")->threshold, 2000u);
  EXPECT_EQ(fresh.refused().size(), 1u);
  EXPECT_EQ(fresh.position().digest, control.Digest());
  ASSERT_TRUE(fresh.Handle(control.Change("b", FlagBytes("b", 1)).frame(), 0).ok());
}

TEST_F(LastGoodFile, IsMissingBeforeItIsWritten) {
  EXPECT_EQ(LoadLastGood(path).status().code(), Code::kNotFound);
  EXPECT_FALSE(receiver.Export(0));
}

TEST_F(LastGoodFile, IsRefusedWithAnyByteChangedOrCutOff) {
  Join();
  ASSERT_TRUE(SaveLastGood(path, *receiver.Export(123)).ok());
  const std::string good = *ReadFile(path);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    ASSERT_TRUE(WriteFileAtomic(path, damaged).ok());
    ASSERT_EQ(LoadLastGood(path).status().code(), Code::kDataLoss) << "byte " << i;
  }
  for (const size_t size : {size_t{0}, size_t{10}, good.size() - 1}) {
    ASSERT_TRUE(WriteFileAtomic(path, good.substr(0, size)).ok());
    ASSERT_EQ(LoadLastGood(path).status().code(), Code::kDataLoss) << size << " bytes";
  }
}

TEST_F(LastGoodFile, IsRefusedWhenItsDigestIsNotItsEntries) {
  Join();
  LastGood stored = *receiver.Export(123);
  stored.entries.pop_back();
  ASSERT_TRUE(SaveLastGood(path, stored).ok());
  EXPECT_EQ(LoadLastGood(path).status().code(), Code::kDataLoss);
}

}  // namespace
}  // namespace weir::node::snapshot
