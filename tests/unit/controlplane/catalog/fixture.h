// SPDX-License-Identifier: Apache-2.0
// A catalog over a real store in a temporary directory, and short ways to say what is wanted.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/store/store.h"
#include "shared/codec/resource.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::catalog {

using domain::Kind;
using domain::Resource;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CatalogFixture : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  // With nothing in it.
  void Anew() {
    catalog_.reset();
    store_.reset();
    dir_.emplace();
    Reopen();
  }
  // As after a restart.
  void Reopen() {
    catalog_.reset();
    store_.reset();
    auto store = store::Store::Open(dir_->path(), clock_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    catalog_ = std::make_unique<Catalog>(*store_, clock_);
    const Status loaded = catalog_->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    catalog_->SetListener([this](const Committed& committed) { told_.push_back(committed); });
  }

  // A resource from {kind, name, spec} with spec as JSON text.
  static Resource Make(Kind kind, const std::string& name, const std::string& spec) {
    codec::Errors errors;
    Resource resource;
    resource.kind = kind;
    resource.name = name;
    resource.spec = codec::SpecFromJson(kind, codec::Json::parse(spec), errors);
    EXPECT_TRUE(errors.empty()) << errors[0].path << ": " << errors[0].message;
    return resource;
  }
  static Change Put(Resource resource) {
    Change change;
    change.resource = std::move(resource);
    return change;
  }
  static Change Put(Kind kind, const std::string& name, const std::string& spec) {
    return Put(Make(kind, name, spec));
  }
  static Change Remove(Kind kind, const std::string& name) {
    Change change;
    change.resource.kind = kind;
    change.resource.name = name;
    change.remove = true;
    return change;
  }
  Result<CommitResult> Commit(std::vector<Change> changes, const std::string& actor = "cli:alice") {
    CommitRequest request;
    request.changes = std::move(changes);
    request.actor = actor;
    request.reason = "test";
    return catalog_->Commit(request);
  }
  // Commits that must work.
  CommitResult MustCommit(std::vector<Change> changes, const std::string& actor = "cli:alice") {
    auto result = Commit(std::move(changes), actor);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? *result : CommitResult{};
  }
  ApplyRequest File(const std::string& text, const std::string& source = "file:f.yaml") {
    const codec::FileContent content = codec::ReadResources(text, source);
    EXPECT_TRUE(content.errors.empty()) << content.errors[0].path << content.errors[0].message;
    ApplyRequest request;
    request.documents = content.documents;
    request.source = source;
    request.actor = source;
    return request;
  }
  CommitResult Apply(const ApplyRequest& request) {
    auto result = catalog_->Apply(request);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? *result : CommitResult{};
  }
  CommitResult Apply(const std::string& text) { return Apply(File(text)); }

  const domain::FlagSpec& Flag(const std::string& name) const {
    return catalog_->Find(Kind::kFlag, name)->As<domain::FlagSpec>();
  }
  const domain::ModelSpec& Model(const std::string& name) const {
    return catalog_->Find(Kind::kModel, name)->As<domain::ModelSpec>();
  }
  const domain::RolloutStatus& RolloutStatus(const std::string& name) const {
    return *catalog_->Find(Kind::kRollout, name)->status;
  }
  // A copy to change and put back.
  Resource Copy(Kind kind, const std::string& name) const { return *catalog_->Find(kind, name); }

  static std::string Blob(char digit) { return "sha256:" + std::string(64, digit); }
  static std::string ModelSpecText(const std::string& stable = "1.0.0") {
    return R"({"stable": ")" + stable + R"(", "versions": {"1.0.0": {"blob": ")" + Blob('1') +
           R"("}, "1.1.0": {"blob": ")" + Blob('2') + R"("}}})";
  }
  static std::string RolloutSpecText(const std::string& extra = "") {
    return R"({"model": "fraud", "candidate": "1.1.0", "phases": [
        {"name": "canary", "percentage": 1, "duration": "10s"},
        {"name": "full", "percentage": 100}])" +
           extra + "}";
  }

  std::optional<fakes::TempDir> dir_{std::in_place};
  ManualClock clock_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Catalog> catalog_;
  std::vector<Committed> told_;
};

}  // namespace weir::control::catalog
