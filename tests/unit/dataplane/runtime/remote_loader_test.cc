// SPDX-License-Identifier: Apache-2.0
// Services as the loader keeps them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/runtime/loader.h"
#include "tests/integration/harness/service.h"
#include "tests/integration/harness/wait.h"
#include "tests/unit/dataplane/runtime/remote_calls.h"
#include "tests/unit/dataplane/runtime/tables.h"

namespace weir::node::runtime {
namespace {

using integration::Service;
using testing::ElementsAre;
using testing::HasSubstr;

class RemoteLoader : public testing::Test {
 protected:
  RemoteLoader()
      : loader_(
            MakeRemoteRuntimes({.check_interval_ms = 10, .check_timeout_ms = 500}),
            [](const std::string&) -> Result<std::string> {
              ADD_FAILURE() << "a service has no blob";
              return NotFound("");
            },
            [this](std::shared_ptr<const VersionTable> table) { tables_.Set(table); },
            {.cache_dir = "", .first_retry_ms = 2, .max_retry_ms = 8}) {
    loader_.Start();
  }
  ~RemoteLoader() override { loader_.Stop(); }

  static domain::VersionEntry Entry(const std::string& url) {
    domain::VersionEntry entry;
    entry.version = "1";
    entry.runtime = "oip";
    entry.urls = {url};
    return entry;
  }
  void Want(const domain::VersionEntry& entry, bool declares_inputs = false) {
    domain::ModelEntry model;
    model.name = "fraud";
    model.stable = "1";
    model.versions = {entry};
    if (declares_inputs) model.inputs = {{"x", "FP32", {-1}}};
    auto rules = std::make_shared<decision::Ruleset>();
    rules->Set(std::move(model));
    loader_.SetWanted(std::move(rules));
  }
  std::shared_ptr<Version> Ready() {
    return tables_.WaitForState("1", State::kReady)->Find("fraud", "1");
  }
  // Waits until another version than `before` serves, with none of the tables between without one.
  std::shared_ptr<Version> Replaced(const std::shared_ptr<Version>& before) {
    return tables_
        .WaitFor([&](const VersionTable& table) {
          EXPECT_NE(table.Find("fraud", "1"), nullptr);
          return table.FindStatus("fraud", "1")->state == State::kReady &&
                 table.Find("fraud", "1") != before;
        })
        ->Find("fraud", "1");
  }

  Workers workers_;
  Tables tables_;
  Loader loader_;
};

TEST_F(RemoteLoader, AServiceIsAwaitedFailsAndIsReadyAsSoonAsItAnswers) {
  Service service;
  service.Stop();
  Want(Entry(service.url()));
  const auto failed = tables_.WaitForState("1", State::kFailed);
  EXPECT_THAT(failed->FindStatus("fraud", "1")->detail, HasSubstr("Connection refused"));
  EXPECT_EQ(failed->Find("fraud", "1"), nullptr);
  service.Start();
  const auto version = Ready();
  ASSERT_NE(version, nullptr);
  EXPECT_TRUE(workers_.Ask(version).status.ok());
  EXPECT_THAT(tables_.states(), ElementsAre(State::kLoading, State::kFailed, State::kReady));
}

TEST_F(RemoteLoader, AServiceThatGoesIsTakenOutAndComesBack) {
  Service service;
  Want(Entry(service.url()));
  const auto version = Ready();
  service.Stop();
  const auto failed = tables_.WaitForState("1", State::kFailed);
  EXPECT_THAT(failed->FindStatus("fraud", "1")->detail, HasSubstr("Connection refused"));
  EXPECT_EQ(failed->Find("fraud", "1"), nullptr);
  service.Start();
  EXPECT_EQ(Ready(), version);
  EXPECT_TRUE(tables_.WaitForState("1", State::kReady)->FindStatus("fraud", "1")->detail.empty());
  EXPECT_TRUE(workers_.Ask(version).status.ok());
}

TEST_F(RemoteLoader, AnyChangeOfTheServiceIsTakenOverWhileItServes) {
  Service service;
  Service other(0.9);
  Want(Entry(service.url()));
  auto version = Ready();
  domain::VersionEntry entry = Entry(other.url());
  Want(entry);
  version = Replaced(version);
  EXPECT_EQ(workers_.Ask(version).first_value, 0.9);
  entry.timeout_ms = 1234;
  Want(entry);
  version = Replaced(version);
  Want(entry, true);
  version = Replaced(version);
  other.SetAnswer(http::ErrorResponse(400, "no"));
  Tensor tensor{"x", DataType::kFp32, {1}, std::vector<std::byte>(4)};
  Request request;
  request.inputs = {&tensor, 1};
  EXPECT_EQ(workers_.Ask(version, request).status.code(), Code::kInternal);
}

TEST_F(RemoteLoader, AFaultOrABlockChangesNothingAndUnloadedIsLetGo) {
  Service service;
  domain::VersionEntry entry = Entry(service.url());
  Want(entry);
  auto version = Ready();
  entry.fault = domain::FaultEntry{.error_rate = 1, .delay_ms = 0, .expires_wall_ms = 1};
  entry.blocked = "it loses money";
  Want(entry);
  entry.unloaded = true;
  Want(entry);
  const auto table = tables_.WaitForState("1", State::kUnloading);
  EXPECT_EQ(table->Find("fraud", "1"), nullptr);
  EXPECT_THAT(tables_.states(), ElementsAre(State::kLoading, State::kReady, State::kUnloading));
  version.reset();
  tables_.WaitFor([](const VersionTable& now) { return now.statuses().empty(); });
  entry.unloaded = false;
  Want(entry);
  EXPECT_NE(Ready(), nullptr);
}

TEST(RemoteLoaderStop, WaitsForNoServiceThatHangs) {
  Service mute;
  mute.mute_checks = true;
  Tables tables;
  Loader loader(
      MakeRemoteRuntimes({.check_timeout_ms = 3'600'000}),
      [](const std::string&) -> Result<std::string> { return NotFound(""); },
      [&](std::shared_ptr<const VersionTable> table) { tables.Set(table); }, {});
  loader.Start();
  domain::ModelEntry model;
  model.name = "fraud";
  model.stable = "1";
  domain::VersionEntry entry;
  entry.version = "1";
  entry.runtime = "oip";
  entry.urls = {mute.url()};
  model.versions = {entry};
  auto rules = std::make_shared<decision::Ruleset>();
  rules->Set(std::move(model));
  loader.SetWanted(std::move(rules));
  ASSERT_TRUE(integration::WaitFor("it is asked", [&] { return mute.checks() > 0; }));
  loader.Stop();
}

TEST_F(RemoteLoader, OneThatTakesItsTimeHoldsUpNobodyForGood) {
  Service mute;
  mute.mute_checks = true;
  Service service;
  domain::ModelEntry model;
  model.name = "fraud";
  model.stable = "1";
  domain::VersionEntry first = Entry(mute.url());
  first.version = "0";
  model.versions = {first, Entry(service.url())};
  auto rules = std::make_shared<decision::Ruleset>();
  rules->Set(std::move(model));
  loader_.SetWanted(std::move(rules));
  EXPECT_NE(Ready(), nullptr);
}

}  // namespace
}  // namespace weir::node::runtime
