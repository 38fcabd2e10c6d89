// SPDX-License-Identifier: Apache-2.0
// The watch and the reloader on a real directory, with a real loop.
#include "controlplane/resources/reloader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "controlplane/store/store.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::resources {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string Flag(const std::string& spec) {
  return "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: f}\nspec: {" + spec + "}\n";
}

void Put(const std::string& path, const std::string& content) { std::ofstream(path) << content; }

class DirectoryWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(path_);
    auto watch = DirectoryWatch::Open(path_);
    ASSERT_TRUE(watch.ok()) << watch.status().ToString();
    watch_ = *std::move(watch);
  }
  bool Happens() {
    pollfd item{watch_->fd(), POLLIN, 0};
    return ::poll(&item, 1, 2000) == 1 && watch_->Drain();
  }

  fakes::TempDir dir_;
  const std::string path_ = dir_.path() + "/resources";
  std::unique_ptr<DirectoryWatch> watch_;
};

TEST_F(DirectoryWatchTest, SeesHowEditorsAndKubernetesWrite) {
  EXPECT_FALSE(watch_->Drain());
  Put(path_ + "/a.yaml", "a");
  EXPECT_TRUE(Happens()) << "written in place";
  Put(dir_.path() + "/b", "b");
  fs::rename(dir_.path() + "/b", path_ + "/a.yaml");
  EXPECT_TRUE(Happens()) << "renamed over";
  fs::create_directory_symlink("one", path_ + "/..data_new");
  EXPECT_TRUE(Happens()) << "a link made";
  fs::rename(path_ + "/..data_new", path_ + "/..data");
  EXPECT_TRUE(Happens()) << "a link swapped";
  fs::remove(path_ + "/a.yaml");
  EXPECT_TRUE(Happens()) << "deleted";
  EXPECT_FALSE(watch_->Drain());
}

TEST_F(DirectoryWatchTest, KnowsWhoIsStillWriting) {
  std::ofstream slow(path_ + "/a.yaml");
  slow << "half" << std::flush;
  EXPECT_FALSE(Happens()) << "begun, and not done";
  EXPECT_TRUE(watch_->being_written().contains("a.yaml"));
  Put(path_ + "/b.yaml", "b");
  EXPECT_TRUE(Happens()) << "another one is done";
  EXPECT_EQ(watch_->being_written(), std::set<std::string>{"a.yaml"});
  slow.close();
  EXPECT_TRUE(Happens());
  EXPECT_TRUE(watch_->being_written().empty());
}

TEST_F(DirectoryWatchTest, FollowsThePathToAnotherDirectory) {
  EXPECT_FALSE(watch_->FollowPath()) << "the same";
  fs::rename(path_, dir_.path() + "/old");
  EXPECT_FALSE(watch_->FollowPath()) << "gone";
  fs::create_directories(path_);
  EXPECT_TRUE(watch_->FollowPath()) << "there again";
  watch_->Drain();
  Put(dir_.path() + "/old/a.yaml", "a");
  EXPECT_FALSE(watch_->Drain()) << "the old one does not matter any more";
  Put(path_ + "/a.yaml", "a");
  EXPECT_TRUE(Happens());
}

TEST_F(DirectoryWatchTest, ADirectoryThatIsNotThereIsAnError) {
  EXPECT_EQ(DirectoryWatch::Open(dir_.path() + "/none").status().code(), Code::kNotFound);
}

class ReloaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(path_);
    auto store = store::Store::Open(dir_.path() + "/data", Clock::System());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    catalog_ = std::make_unique<catalog::Catalog>(*store_, Clock::System());
    ASSERT_TRUE(catalog_->Load().ok());
    core_.Start();
  }
  void TearDown() override {
    core_.Call([this] { reloader_.reset(); });
    core_.Stop();
  }
  void StartReloader() {
    core_.Call([this] {
      reloader_ = std::make_unique<Reloader>(
          path_, *catalog_, blobs_, Clock::System(), core_,
          [this](const FileOutcome& outcome) { news_.push_back(outcome); });
      reloader_->Start();
    });
  }
  // Until it is so on the core thread, at most 10 s.
  bool Becomes(const std::function<bool()>& condition) {
    const int64_t end_ms = Clock::System().MonotonicMs() + 10'000;
    for (bool is_so = false; Clock::System().MonotonicMs() < end_ms;) {
      core_.Call([&] { is_so = condition(); });
      if (is_so) return true;
      std::this_thread::yield();
    }
    return false;
  }
  bool IsOn() const {
    const domain::Resource* flag = catalog_->Find(domain::Kind::kFlag, "f");
    return flag != nullptr && flag->As<domain::FlagSpec>().enabled == true;
  }

  fakes::TempDir dir_;
  const std::string path_ = dir_.path() + "/resources";
  std::unique_ptr<store::Store> store_;
  store::BlobStore blobs_{dir_.path() + "/data"};
  std::unique_ptr<catalog::Catalog> catalog_;
  transport::Loop core_{"core"};
  std::unique_ptr<Reloader> reloader_;
  std::vector<FileOutcome> news_;
};

TEST_F(ReloaderTest, ABadFileIsATroubleUntilItIsMended) {
  Put(path_ + "/f.yaml", Flag("enabled: true"));
  StartReloader();
  ASSERT_TRUE(Becomes([&] { return IsOn(); }));
  Put(path_ + "/f.yaml", Flag("enabled: maybe"));
  ASSERT_TRUE(Becomes([&] { return reloader_->troubles().contains("f.yaml"); }));
  core_.Call([&] {
    const Reloader::Trouble& trouble = reloader_->troubles().at("f.yaml");
    EXPECT_THAT(trouble.why, HasSubstr("spec.enabled"));
    EXPECT_THAT(trouble.remedy, HasSubstr("weir validate "));
    EXPECT_GT(trouble.since_wall_ms, 0);
    EXPECT_EQ(reloader_->counters().files_refused, 1u);
    EXPECT_EQ(reloader_->counters().refused, 1u);
    EXPECT_TRUE(IsOn()) << "what ran runs on";
    EXPECT_EQ(news_.back().result, FileOutcome::Result::kRefused);
  });
  Put(path_ + "/f.yaml", Flag("enabled: false"));
  ASSERT_TRUE(Becomes([&] { return !IsOn(); }));
  core_.Call([&] {
    EXPECT_TRUE(reloader_->troubles().empty());
    EXPECT_EQ(reloader_->counters().files_applied, 1u);
    EXPECT_EQ(reloader_->counters().files_refused, 0u);
    EXPECT_EQ(news_.back().changed, 1u);
  });
}

TEST_F(ReloaderTest, DeletingABadFileEndsTheTrouble) {
  Put(path_ + "/f.yaml", "nonsense: [");
  StartReloader();
  ASSERT_TRUE(Becomes([&] { return reloader_->troubles().contains("f.yaml"); }));
  fs::remove(path_ + "/f.yaml");
  ASSERT_TRUE(Becomes([&] { return reloader_->troubles().empty(); }));
  core_.Call([&] { EXPECT_EQ(news_.back().result, FileOutcome::Result::kGone); });
}

TEST_F(ReloaderTest, FollowsTheLinksOfAConfigMap) {
  fs::create_directories(path_ + "/..one");
  Put(path_ + "/..one/f.yaml", Flag("enabled: false"));
  fs::create_directory_symlink("..one", path_ + "/..data");
  fs::create_symlink("..data/f.yaml", path_ + "/f.yaml");
  StartReloader();
  fs::create_directories(path_ + "/..two");
  Put(path_ + "/..two/f.yaml", Flag("enabled: true"));
  fs::create_directory_symlink("..two", path_ + "/..data_tmp");
  fs::rename(path_ + "/..data_tmp", path_ + "/..data");
  EXPECT_TRUE(Becomes([&] { return IsOn(); }));
}

TEST_F(ReloaderTest, AWatchThatFailedAtTheStartIsTriedAgain) {
  fs::remove(path_);
  StartReloader();
  core_.Call([&] { EXPECT_EQ(reloader_->troubles().size(), 2u) << "no directory, no watch"; });
  fs::create_directories(path_);
  ASSERT_TRUE(Becomes([&] { return reloader_->troubles().empty(); }));
  Put(path_ + "/f.yaml", Flag("enabled: true"));
  EXPECT_TRUE(Becomes([&] { return IsOn(); }));
}

TEST_F(ReloaderTest, FollowsADirectoryThatIsReplaced) {
  fs::remove(path_);
  fs::create_directories(dir_.path() + "/one");
  fs::create_directories(dir_.path() + "/two");
  Put(dir_.path() + "/one/f.yaml", Flag("enabled: false"));
  Put(dir_.path() + "/two/f.yaml", Flag("enabled: true"));
  fs::create_directory_symlink("one", path_);
  StartReloader();
  fs::create_directory_symlink("two", dir_.path() + "/new");
  fs::rename(dir_.path() + "/new", path_);
  EXPECT_TRUE(Becomes([&] { return IsOn(); }));
}

TEST_F(ReloaderTest, ADirectoryThatIsGoneIsATroubleAndTakesNothingAway) {
  Put(path_ + "/f.yaml", Flag("enabled: true"));
  StartReloader();
  fs::rename(path_, dir_.path() + "/away");
  core_.Call([&] { reloader_->Apply(true); });
  core_.Call([&] {
    EXPECT_EQ(reloader_->troubles().size(), 1u);
    EXPECT_TRUE(IsOn());
  });
  fs::rename(dir_.path() + "/away", path_);
  core_.Call([&] { reloader_->Apply(true); });
  core_.Call([&] { EXPECT_TRUE(reloader_->troubles().empty()); });
}

}  // namespace
}  // namespace weir::control::resources
