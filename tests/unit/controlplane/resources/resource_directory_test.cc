// SPDX-License-Identifier: Apache-2.0
#include "controlplane/resources/resource_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "controlplane/store/store.h"
#include "shared/base/text.h"
#include "shared/wire/digest.h"

namespace weir::control::resources {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kModel[] = R"(apiVersion: weir/v1
kind: Model
metadata: {name: m}
spec:
  stable: "1"
  versions:
    "1": {runtime: xgboost, uri: files/one.json}
    "2": {runtime: xgboost, uri: files/two.json}
  inputs: [{name: features, datatype: FP32, shape: [-1, 2]}]
)";
constexpr char kRollout[] = R"(apiVersion: weir/v1
kind: Rollout
metadata: {name: r}
spec:
  model: m
  candidate: "2"
  start: manual
  phases: [{name: full, percentage: 100}]
)";

class ResourceDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/weir-resources-XXXXXX";
    root_ = ::mkdtemp(pattern);
    std::filesystem::create_directories(root_ + "/in/files");
    Write("files/one.json", "first model");
    Write("files/two.json", "second model");
    auto store = store::Store::Open(root_ + "/data", clock_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    blobs_ = std::make_unique<store::BlobStore>(root_ + "/data");
    catalog_ = std::make_unique<catalog::Catalog>(*store_, clock_);
    ASSERT_TRUE(catalog_->Load().ok());
  }
  void TearDown() override {
    catalog_.reset();
    store_.reset();
    std::filesystem::remove_all(root_);
  }
  void Write(const std::string& file, const std::string& content) {
    ASSERT_TRUE(WriteFileAtomic(root_ + "/in/" + file, content).ok());
  }
  std::vector<FileOutcome> Apply() {
    auto outcomes = ResourceDirectory(root_ + "/in", *catalog_, *blobs_).ApplyAll();
    EXPECT_TRUE(outcomes.ok()) << outcomes.status().ToString();
    return outcomes.ok() ? *outcomes : std::vector<FileOutcome>();
  }

  ManualClock clock_;
  std::string root_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::BlobStore> blobs_;
  std::unique_ptr<catalog::Catalog> catalog_;
};

TEST_F(ResourceDirectoryTest, AppliesFilesThatNeedEachOtherInAnyOrder) {
  Write("a-rollout.yaml", kRollout);
  Write("b-model.yaml", kModel);
  Write("README.md", "not a resource");
  const auto outcomes = Apply();
  ASSERT_THAT(outcomes, SizeIs(2));
  for (const FileOutcome& outcome : outcomes) EXPECT_THAT(outcome.errors, IsEmpty());
  EXPECT_NE(catalog_->Find(domain::Kind::kRollout, "r"), nullptr);
  const uint64_t revision = catalog_->revision();
  Apply();
  EXPECT_EQ(catalog_->revision(), revision) << "the same files change nothing";
}

TEST_F(ResourceDirectoryTest, ModelsBesideTheFileBecomeBlobs) {
  Write("model.yaml", kModel);
  EXPECT_THAT(Apply()[0].errors, IsEmpty());
  const std::string sha256 = wire::Sha256Hex("first model");
  ASSERT_TRUE(blobs_->Has(sha256));
  EXPECT_EQ(*blobs_->Read(sha256), "first model");
  const auto& spec = catalog_->Find(domain::Kind::kModel, "m")->As<domain::ModelSpec>();
  EXPECT_EQ(spec.versions.at("1").blob, "sha256:" + sha256);
}

TEST_F(ResourceDirectoryTest, AMissingModelFileRefusesItsFileOnly) {
  Write("bad.yaml", kModel);
  std::filesystem::remove(root_ + "/in/files/two.json");
  Write("good.yaml",
        "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: f}\nspec: {enabled: true}\n");
  const auto outcomes = Apply();
  ASSERT_THAT(outcomes, SizeIs(2));
  EXPECT_THAT(outcomes[0].errors, ElementsAre(HasSubstr("bad.yaml: m: spec.versions.2.uri: ")));
  EXPECT_THAT(outcomes[1].errors, IsEmpty());
  EXPECT_EQ(catalog_->Find(domain::Kind::kModel, "m"), nullptr);
  EXPECT_NE(catalog_->Find(domain::Kind::kFlag, "f"), nullptr);
}

TEST_F(ResourceDirectoryTest, ErrorsNameFileAndLine) {
  Write("flags.yaml",
        "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: f}\nspec:\n  enabld: true\n");
  const auto outcomes = Apply();
  ASSERT_THAT(outcomes, SizeIs(1));
  ASSERT_FALSE(outcomes[0].errors.empty());
  EXPECT_THAT(outcomes[0].errors, Contains(HasSubstr("flags.yaml:5: spec.enabld")));
}

TEST_F(ResourceDirectoryTest, AMissingDirectoryIsAnError) {
  EXPECT_FALSE(ResourceDirectory(root_ + "/none", *catalog_, *blobs_).ApplyAll().ok());
}

std::string Flag(const std::string& name, const std::string& spec) {
  return "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n";
}

TEST_F(ResourceDirectoryTest, AppliesAgainOnlyWhatChanged) {
  using Result = FileOutcome::Result;
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("a.yaml", Flag("a", "enabled: true"));
  Write("b.yaml", Flag("b", "enabled: true"));
  auto outcomes = *directory.ApplyChanged(0);
  EXPECT_EQ(outcomes[0].result, Result::kApplied);
  EXPECT_EQ(outcomes[0].changed, 1u);
  Write("b.yaml", Flag("b", "enabled: false"));
  outcomes = *directory.ApplyChanged(0);
  EXPECT_EQ(outcomes[0].result, Result::kUnchanged);
  EXPECT_FALSE(outcomes[0].is_news);
  EXPECT_EQ(outcomes[1].result, Result::kApplied);
  EXPECT_TRUE(outcomes[1].is_news);
  outcomes = *directory.ApplyAll();
  EXPECT_EQ(outcomes[1].result, Result::kUnchanged);
  EXPECT_TRUE(outcomes[1].is_news) << "it was applied again, and changed nothing";
}

TEST_F(ResourceDirectoryTest, ABadFileChangesNothingAndIsNewsOnce) {
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("a.yaml", Flag("a", "enabled: true"));
  ASSERT_TRUE(directory.ApplyAll().ok());
  const uint64_t revision = catalog_->revision();
  Write("a.yaml", Flag("a", "enabled: false") + "---\n" +
                      Flag("b", "rollout_percentage: 140, enabled: true"));
  auto outcomes = *directory.ApplyChanged(0);
  EXPECT_EQ(outcomes[0].result, FileOutcome::Result::kRefused);
  EXPECT_TRUE(outcomes[0].is_news);
  EXPECT_THAT(outcomes[0].errors[0], HasSubstr("a.yaml:"));
  EXPECT_EQ(catalog_->revision(), revision) << "all or nothing";
  outcomes = *directory.ApplyChanged(0);
  EXPECT_FALSE(outcomes[0].is_news) << "the same errors again";
  Write("a.yaml", Flag("a", "enabled: false"));
  outcomes = *directory.ApplyChanged(0);
  EXPECT_EQ(outcomes[0].result, FileOutcome::Result::kApplied);
}

TEST_F(ResourceDirectoryTest, AFileThatIsBeingWrittenIsLeftAlone) {
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("a.yaml", Flag("a", "enabled: false"));
  ASSERT_TRUE(directory.ApplyAll().ok());
  const auto is_on = [&] {
    const domain::Resource* flag = catalog_->Find(domain::Kind::kFlag, "a");
    return flag->As<domain::FlagSpec>().enabled;
  };
  Write("a.yaml", Flag("a", "enabled: true"));  // perhaps the first half of it
  Write("new.yaml", Flag("new", "enabled: true"));
  struct stat written = {};
  ASSERT_EQ(::stat((root_ + "/in/a.yaml").c_str(), &written), 0);
  const int64_t written_ms = written.st_mtim.tv_sec * 1000 + written.st_mtim.tv_nsec / 1'000'000;
  auto outcomes = *directory.ApplyChanged(written_ms + 10);
  EXPECT_EQ(is_on(), false);
  ASSERT_THAT(outcomes, SizeIs(1)) << "nobody has heard of the other one yet";
  EXPECT_EQ(outcomes[0].result, FileOutcome::Result::kUnchanged);
  EXPECT_FALSE(outcomes[0].is_news);
  EXPECT_TRUE(directory.has_unsettled());
  outcomes = *directory.ApplyChanged(written_ms + 5'000);
  EXPECT_FALSE(directory.has_unsettled());
  EXPECT_THAT(outcomes, SizeIs(2));
  EXPECT_EQ(is_on(), true) << "nobody writes any more: that is what it says";
}

TEST_F(ResourceDirectoryTest, ARefusedFileIsTriedAgainOnlyWhenSomethingChanged) {
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("a.yaml", Flag("a", "rollout_percentage: 140, enabled: true"));
  Write("b.yaml", Flag("b", "enabled: true"));
  EXPECT_TRUE(directory.ApplyChanged(0)->at(0).is_tried);
  ASSERT_TRUE(directory.ApplyChanged(0).ok());  // after b has changed what stands
  const auto again = *directory.ApplyChanged(0);
  EXPECT_FALSE(again[0].is_tried);
  EXPECT_EQ(again[0].result, FileOutcome::Result::kRefused);
  EXPECT_THAT(again[0].errors[0], HasSubstr("140")) << "still known";
  Write("b.yaml", Flag("b", "enabled: false"));
  EXPECT_TRUE(directory.ApplyChanged(0)->at(0).is_tried);
  EXPECT_TRUE(directory.ApplyAll()->at(0).is_tried);
  Write("a.yaml", Flag("a", "enabled: true"));
  EXPECT_EQ(directory.ApplyChanged(0)->at(0).result, FileOutcome::Result::kApplied);
}

TEST_F(ResourceDirectoryTest, AModelFileThatComesLaterMendsItsResource) {
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("model.yaml", kModel);
  std::filesystem::remove(root_ + "/in/files/two.json");
  EXPECT_EQ(directory.ApplyAll()->at(0).result, FileOutcome::Result::kRefused);
  Write("files/two.json", "second model");
  EXPECT_EQ(directory.ApplyChanged(0)->at(0).result, FileOutcome::Result::kApplied);
}

TEST_F(ResourceDirectoryTest, WhatAFileAppliedStaysWhenItIsGone) {
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("a.yaml", Flag("a", "enabled: true"));
  ASSERT_TRUE(directory.ApplyAll().ok());
  std::filesystem::remove(root_ + "/in/a.yaml");
  const auto outcomes = *directory.ApplyChanged(0);
  ASSERT_THAT(outcomes, SizeIs(1));
  EXPECT_EQ(outcomes[0].result, FileOutcome::Result::kGone);
  EXPECT_NE(catalog_->Find(domain::Kind::kFlag, "a"), nullptr);
  EXPECT_THAT(*directory.ApplyChanged(0), IsEmpty()) << "said once";
}

TEST_F(ResourceDirectoryTest, AnUnchangedFileDoesNotTakeBackWhatOthersSet) {
  ResourceDirectory directory(root_ + "/in", *catalog_, *blobs_);
  Write("a.yaml", Flag("a", "enabled: true, rollout_percentage: 10, hash_seed: s"));
  ASSERT_TRUE(directory.ApplyAll().ok());
  domain::Resource by_hand = *catalog_->Find(domain::Kind::kFlag, "a");
  by_hand.As<domain::FlagSpec>().rollout_percentage = 50;
  ASSERT_TRUE(catalog_
                  ->Commit({.changes = {{by_hand, false, std::nullopt}},
                            .actor = "alice",
                            .reason = "more",
                            .evidence = {},
                            .force_removal = false})
                  .ok());
  Write("a.yaml", Flag("a", "enabled: false, rollout_percentage: 10, hash_seed: s"));
  ASSERT_TRUE(directory.ApplyChanged(0).ok());
  const auto& flag = catalog_->Find(domain::Kind::kFlag, "a")->As<domain::FlagSpec>();
  EXPECT_EQ(flag.enabled, false);
  EXPECT_EQ(flag.rollout_percentage, 50) << "the file did not change that";
}

}  // namespace
}  // namespace weir::control::resources
