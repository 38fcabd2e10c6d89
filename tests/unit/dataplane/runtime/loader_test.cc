// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>

#include "dataplane/runtime/xgboost/xgboost_runtime.h"
#include "shared/wire/digest.h"
#include "tests/unit/dataplane/models.h"
#include "tests/unit/dataplane/runtime/tables.h"

namespace weir::node::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/weir-loader-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    loader_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Start(LoaderOptions options = {}) {
    options.first_retry_ms = 1;
    options.max_retry_ms = 4;
    loader_ = std::make_unique<Loader>(
        std::vector<std::shared_ptr<Runtime>>{MakeXgboostRuntime()},
        [this](const std::string& sha256) { return Fetch(sha256); },
        [this](std::shared_ptr<const VersionTable> table) { tables_.Set(std::move(table)); },
        options);
    loader_->Start();
  }

  static LoaderOptions OfNode() {
    LoaderOptions options;
    options.node = "n1";
    return options;
  }

  Result<std::string> Fetch(const std::string& sha256) {
    const std::lock_guard lock(mutex_);
    ++fetches_;
    if (away_ > 0) {
      --away_;
      return Unavailable("connection refused");
    }
    const auto found = blobs_.find(sha256);
    if (found == blobs_.end()) return NotFound("no such blob");
    return found->second;
  }

  std::string Put(const std::string& bytes) {
    const std::lock_guard lock(mutex_);
    const std::string sha256 = wire::Sha256Hex(bytes);
    blobs_[sha256] = bytes;
    return sha256;
  }
  int fetches() {
    const std::lock_guard lock(mutex_);
    return fetches_;
  }

  void Want(std::vector<domain::VersionEntry> versions) {
    auto rules = std::make_shared<decision::Ruleset>();
    domain::ModelEntry model;
    model.name = "fraud";
    model.stable = "1";
    model.versions = std::move(versions);
    rules->Set(std::move(model));
    for (const domain::LimitEntry& limit : limits_) rules->Set(limit);
    loader_->SetWanted(std::move(rules));
  }
  static domain::VersionEntry Entry(std::string version, std::string sha256,
                                    std::string runtime = "xgboost") {
    return {std::move(version), std::move(runtime), std::move(sha256), std::nullopt};
  }

  std::string folder_;
  Tables tables_;
  std::mutex mutex_;
  std::map<std::string, std::string> blobs_;
  std::vector<domain::LimitEntry> limits_;
  int fetches_ = 0;
  int away_ = 0;
  std::unique_ptr<Loader> loader_;
};

TEST_F(LoaderTest, LoadsWhatIsWantedAndEvenAModelOfAnotherWidth) {
  Start();
  Want({Entry("1", Put(ModelFile("1.0.0"))), Entry("2", Put(ModelFile("1.2.0")))});
  tables_.WaitForState("1", State::kReady);
  const auto table = tables_.WaitForState("2", State::kReady);
  EXPECT_NE(table->Find("fraud", "1"), nullptr);
  EXPECT_NE(table->Find("fraud", "2"), nullptr);
  EXPECT_EQ(table->Find("fraud", "3"), nullptr);
  EXPECT_EQ(table->Find("other", "1"), nullptr);
}

TEST_F(LoaderTest, FailuresNameTheirReasonAndLeaveOthersServing) {
  Start();
  const std::string good = Put(ModelFile("1.0.0"));
  const std::string absent(64, 'a');
  const std::string lying(64, 'b');
  {
    const std::lock_guard lock(mutex_);
    blobs_[lying] = "something else";
  }
  Want({Entry("absent", absent), Entry("garbage", Put("{\"no\": \"model\"}")), Entry("good", good),
        Entry("lying", lying), Entry("path", "../../etc/passwd"),
        Entry("runtime", good, "xgbost")});
  tables_.WaitForState("good", State::kReady);
  const std::pair<const char*, const char*> failures[] = {{"absent", "no such blob"},
                                                          {"garbage", "xgboost load"},
                                                          {"lying", "SHA-256 is"},
                                                          {"path", "is not 64 hexadecimal digits"},
                                                          {"runtime", "did you mean \"xgboost\"?"}};
  for (const auto& [version, reason] : failures) {
    const auto table = tables_.WaitForState(version, State::kFailed);
    EXPECT_THAT(table->FindStatus("fraud", version)->detail, HasSubstr(reason));
    EXPECT_EQ(table->Find("fraud", version), nullptr);
    EXPECT_NE(table->Find("fraud", "good"), nullptr);
  }
}

TEST_F(LoaderTest, AnAbsentControlPlaneIsWaitedFor) {
  away_ = 4;
  Start();
  Want({Entry("1", Put(ModelFile("1.0.0")))});
  tables_.WaitForState("1", State::kReady);
  EXPECT_THAT(tables_.states(), ElementsAre(State::kLoading, State::kReady));
  EXPECT_EQ(fetches(), 5);
}

TEST_F(LoaderTest, AVersionThatCannotBeFetchedFailsAndStillBecomesReadyLater) {
  away_ = 7;
  Start();
  Want({Entry("1", Put(ModelFile("1.0.0")))});
  const auto table = tables_.WaitForState("1", State::kReady);
  EXPECT_THAT(tables_.states(), ElementsAre(State::kLoading, State::kFailed, State::kReady));
  EXPECT_TRUE(table->FindStatus("fraud", "1")->detail.empty());
  EXPECT_EQ(fetches(), 8);
}

TEST_F(LoaderTest, KeepsBlobsAndFetchesADamagedOneAgain) {
  const std::string sha256 = Put(ModelFile("1.0.0"));
  const LoaderOptions options{.cache_dir = folder_};
  const auto load = [&] {
    tables_.Set(nullptr);
    Start(options);
    Want({Entry("1", sha256)});
    tables_.WaitForState("1", State::kReady);
    loader_.reset();
  };
  load();
  EXPECT_EQ(fetches(), 1);
  load();
  EXPECT_EQ(fetches(), 1);
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/blobs/" + sha256, "damaged").ok());
  load();
  EXPECT_EQ(fetches(), 2);
  EXPECT_EQ(ReadFile(folder_ + "/blobs/" + sha256).value(), ModelFile("1.0.0"));
}

TEST_F(LoaderTest, AVersionUnloadsAfterItsLastUserLetGo) {
  Start();
  const std::string sha256 = Put(ModelFile("1.0.0"));
  Want({Entry("1", sha256), Entry("2", sha256)});
  tables_.WaitForState("1", State::kReady);
  std::shared_ptr<Version> used = tables_.WaitForState("2", State::kReady)->Find("fraud", "2");
  Want({Entry("1", sha256)});
  const auto table = tables_.WaitForState("2", State::kUnloading);
  EXPECT_EQ(table->Find("fraud", "2"), nullptr);
  EXPECT_NE(table->Find("fraud", "1"), nullptr);
  const std::weak_ptr<Version> watch = used;
  used.reset();
  EXPECT_TRUE(watch.expired());
  tables_.WaitFor([](const VersionTable& now) { return now.FindStatus("fraud", "2") == nullptr; });
}

TEST_F(LoaderTest, ARestartLoadsTheVersionAnewOnceAndServesMeanwhile) {
  Start(OfNode());
  const domain::VersionEntry entry = Entry("1", Put(ModelFile("1.0.0")));
  Want({entry});
  const auto before = tables_.WaitForState("1", State::kReady)->Find("fraud", "1");
  const auto restart = [&](const char* node, double number) {
    domain::LimitEntry limit;
    limit.name = "fraud";
    domain::LimitActEntry act;
    act.action = "restart";
    act.version = "1";
    act.node = node;
    act.value = number;
    limit.acts = {act};
    limits_ = {limit};
    Want({entry});
  };
  restart("n2", 1);  // is another node's
  restart("n1", 1);
  const auto after = tables_.WaitFor([&](const VersionTable& table) {
    EXPECT_NE(table.Find("fraud", "1"), nullptr);
    return table.FindStatus("fraud", "1")->state == State::kReady &&
           table.Find("fraud", "1") != before;
  });
  EXPECT_EQ(fetches(), 2);
  // The same one again changes nothing, the next one does.
  restart("n1", 1);
  restart("n1", 2);
  tables_.WaitFor([&](const VersionTable& table) {
    return table.FindStatus("fraud", "1")->state == State::kReady &&
           table.Find("fraud", "1") != after->Find("fraud", "1");
  });
  EXPECT_EQ(fetches(), 3);
}

TEST_F(LoaderTest, WhatIsLoadedForTheFirstTimeNeedsNoRestart) {
  Start(OfNode());
  domain::LimitEntry limit;
  limit.name = "fraud";
  domain::LimitActEntry act;
  act.action = "restart";
  act.node = "n1";
  act.value = 7;
  limit.acts = {act};
  limits_ = {limit};
  Want({Entry("1", Put(ModelFile("1.0.0")))});
  tables_.WaitForState("1", State::kReady);
  EXPECT_THAT(tables_.states(), ElementsAre(State::kLoading, State::kReady));
  EXPECT_EQ(fetches(), 1);
}

TEST_F(LoaderTest, AChangedBlobServesAsBeforeUntilTheNewOneIsReady) {
  Start();
  Want({Entry("1", Put(ModelFile("1.0.0")))});
  const auto before = tables_.WaitForState("1", State::kReady)->Find("fraud", "1");
  {
    const std::lock_guard lock(mutex_);
    away_ = 2;
  }
  Want({Entry("1", Put(ModelFile("1.1.0")))});
  const auto after = tables_.WaitFor([&](const VersionTable& table) {
    EXPECT_NE(table.Find("fraud", "1"), nullptr);
    return table.FindStatus("fraud", "1")->state == State::kReady &&
           table.Find("fraud", "1") != before;
  });
  EXPECT_NE(after->Find("fraud", "1"), nullptr);
}

TEST_F(LoaderTest, StopsWhileItWaitsForARetry) {
  away_ = 1'000'000;
  Start();
  Want({Entry("1", Put(ModelFile("1.0.0")))});
  tables_.WaitForState("1", State::kFailed);
  loader_->Stop();
  loader_->Stop();
}

}  // namespace
}  // namespace weir::node::runtime
