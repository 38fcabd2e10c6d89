// SPDX-License-Identifier: Apache-2.0
// Versions whose services come and go.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/harness/service.h"
#include "tests/integration/harness/wait.h"
#include "tests/unit/dataplane/runtime/remote_calls.h"

namespace weir::node::runtime {
namespace {

using integration::Service;
using integration::WaitFor;
using testing::AllOf;
using testing::HasSubstr;

class RemoteHealth : public testing::Test {
 protected:
  RemoteHealth() {
    options_.check_interval_ms = 20;
    options_.check_timeout_ms = 500;
    options_.aside_ms = 50;
  }
  std::shared_ptr<Version> Make(std::vector<std::string> urls, const char* health = "") {
    domain::VersionEntry entry;
    entry.version = "1.1.0";
    entry.urls = std::move(urls);
    entry.health = health;
    runtimes_ = MakeRemoteRuntimes(options_);
    auto version = runtimes_[0]->Load({"fraud", "1.1.0", "", &entry, false});
    EXPECT_TRUE(version.ok()) << version.status().ToString();
    return *version;
  }
  // Calls until the service has answered so many more; all must succeed.
  void AskUntil(const std::shared_ptr<Version>& version, const Service& service, uint64_t more) {
    const uint64_t end = service.calls() + more;
    EXPECT_TRUE(WaitFor("calls arrive", [&] {
      const Outcome outcome = workers_.Ask(version);
      EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
      return service.calls() >= end;
    }));
  }

  RemoteOptions options_;
  std::vector<std::shared_ptr<Runtime>> runtimes_;
  Workers workers_;
};

TEST_F(RemoteHealth, AWarmUpAsksTheServiceWhetherItIsReady) {
  Service service;
  const auto version = Make({service.url()});
  service.ready = false;
  Status warm = version->WarmUp();
  EXPECT_EQ(warm.code(), Code::kUnavailable);
  EXPECT_THAT(warm.message(),
              AllOf(HasSubstr(service.address()), HasSubstr("GET /v2/health/ready answered 503")));
  service.ready = true;
  EXPECT_TRUE(version->WarmUp().ok());
  service.Stop();
  warm = Make({service.url()})->WarmUp();
  EXPECT_EQ(warm.code(), Code::kUnavailable);
  EXPECT_THAT(warm.message(), HasSubstr("Connection refused"));
}

TEST_F(RemoteHealth, OneUrlOfSeveralIsEnoughToServe) {
  Service gone;
  gone.Stop();
  Service service;
  const auto version = Make({gone.url(), service.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  AskUntil(version, service, 5);
}

TEST_F(RemoteHealth, AUrlThatHangsDelaysNoWarmUp) {
  options_.check_timeout_ms = 3'600'000;
  Service mute;
  mute.mute_checks = true;
  Service service;
  const auto version = Make({mute.url(), service.url()});
  EXPECT_TRUE(version->WarmUp().ok());
  // Nor the checks of another url.
  const uint64_t checks = service.checks();
  EXPECT_TRUE(WaitFor("checks", [&] { return service.checks() >= checks + 4; }));
}

TEST_F(RemoteHealth, AnEntryWithoutUrlsIsNoService) {
  domain::VersionEntry entry;
  const auto runtimes = MakeRemoteRuntimes(options_);
  for (const auto& runtime : runtimes) {
    const auto version = runtime->Load({"fraud", "1", "", &entry, false});
    ASSERT_FALSE(version.ok());
    EXPECT_EQ(version.status().field(), "url");
  }
  EXPECT_EQ(Make({"ftp://nowhere"})->WarmUp().code(), Code::kInvalidArgument);
}

TEST_F(RemoteHealth, CallsAreSharedOutByHowManyAreUnderWay) {
  Service quick;
  Service slow;
  slow.delay_ms = 60'000;
  const auto version = Make({quick.url(), slow.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  // The slow one keeps the calls it gets, and so gets fewer and fewer.
  std::vector<std::unique_ptr<TestCall>> kept;
  for (int i = 0; i < 100; ++i) {
    auto call = workers_.Start(version);
    ASSERT_TRUE(WaitFor("it arrives", [&] {
      return quick.calls() + slow.calls() == static_cast<uint64_t>(i) + 1;
    }));
    kept.push_back(std::move(call));
  }
  EXPECT_GE(quick.calls(), 90u);
  EXPECT_GE(slow.calls(), 1u);
  workers_.Run([&] {
    for (const auto& call : kept) call->stop.request_stop();
  });
}

TEST_F(RemoteHealth, CallsOfAUrlThatDiesAreMadeOnAnother) {
  options_.check_interval_ms = 3'600'000;  // calls alone find out
  Service first;
  Service second;
  const auto version = Make({first.url(), second.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  AskUntil(version, first, 3);
  AskUntil(version, second, 3);
  first.Stop();
  AskUntil(version, second, 100);
  first.Start();
  AskUntil(version, first, 3);
}

TEST_F(RemoteHealth, CallsUnderWayOnAUrlThatDiesAreMadeOnAnother) {
  Service first;
  Service second;
  const auto version = Make({first.url(), second.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  first.delay_ms = 60'000;
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 40; ++i) calls.push_back(workers_.Start(version));
  ASSERT_TRUE(WaitFor("calls are there", [&] { return first.calls() > 0; }));
  first.Stop();
  for (const auto& call : calls) {
    const Outcome outcome = call->Wait();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  }
}

TEST_F(RemoteHealth, ARequestThatServicesDieOfIsNotSentToAllOfThem) {
  std::vector<std::unique_ptr<Service>> services;
  std::vector<std::string> urls;
  for (int i = 0; i < 4; ++i) {
    services.push_back(std::make_unique<Service>());
    services.back()->delay_ms = 60'000;
    urls.push_back(services.back()->url());
  }
  const auto version = Make(urls);
  ASSERT_TRUE(version->WarmUp().ok());
  const auto call = workers_.Start(version);
  for (int deaths = 0; deaths < 2; ++deaths) {
    const auto is_asked = [](const auto& service) { return service->calls() > 0; };
    auto asked = services.end();
    ASSERT_TRUE(WaitFor("one is asked", [&] {
      asked = std::find_if(services.begin(), services.end(), is_asked);
      return asked != services.end();
    }));
    (*asked)->Stop();
    services.erase(asked);
  }
  const Outcome outcome = call->Wait();
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_FALSE(outcome.usage.unreached);
  for (const auto& service : services) EXPECT_EQ(service->calls(), 0u);
}

TEST_F(RemoteHealth, AnOnlyServiceThatIsStartedAgainFailsNoCallAfterwards) {
  Service service;
  const auto version = Make({service.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  AskUntil(version, service, 1);
  service.Stop();
  const Outcome refused = workers_.Ask(version);
  EXPECT_EQ(refused.status.code(), Code::kUnavailable);
  EXPECT_TRUE(refused.usage.unreached);
  EXPECT_THAT(refused.status.message(), HasSubstr("Connection refused"));
  service.Start();
  AskUntil(version, service, 3);
}

TEST_F(RemoteHealth, AUrlThatSaysItIsNotReadyGetsNoCalls) {
  Service first;
  Service second;
  const auto version = Make({first.url(), second.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  first.ready = false;
  const uint64_t checks = first.checks();
  ASSERT_TRUE(WaitFor("checks", [&] { return first.checks() >= checks + 2; }));
  const uint64_t calls = first.calls();
  AskUntil(version, second, 50);
  EXPECT_EQ(first.calls(), calls);
  EXPECT_TRUE(version->Health().ok());
  first.ready = true;
  AskUntil(version, first, 1);
}

TEST_F(RemoteHealth, IsOutOfServiceWhileEveryUrlFailsItsChecks) {
  Service first;
  Service second;
  const auto version = Make({first.url(), second.url()});
  ASSERT_TRUE(version->WarmUp().ok());
  EXPECT_TRUE(version->Health().ok());
  first.ready = false;
  second.Stop();
  ASSERT_TRUE(WaitFor("it is out of service", [&] { return !version->Health().ok(); }));
  EXPECT_THAT(version->Health().message(), AllOf(HasSubstr(first.address()), HasSubstr("503"),
                                                 HasSubstr(second.address() + ": Connection")));
  EXPECT_GE(first.checks(), 3u);
  second.Start();
  EXPECT_TRUE(WaitFor("it is back", [&] { return version->Health().ok(); }));
  AskUntil(version, second, 3);
}

// Its health check cannot keep up, its calls can.
TEST_F(RemoteHealth, AServiceThatAnswersCallsIsNotGone) {
  options_.check_timeout_ms = 30;
  Service service;
  const auto version = Make({service.url()}, "/health");
  ASSERT_TRUE(version->WarmUp().ok());
  service.mute_checks = true;
  const uint64_t checks = service.checks();
  ASSERT_TRUE(WaitFor("many checks", [&] {
    EXPECT_TRUE(workers_.Ask(version).status.ok());
    EXPECT_TRUE(version->Health().ok());
    return service.checks() >= checks + 8;
  }));
  EXPECT_TRUE(WaitFor("nobody calls", [&] { return !version->Health().ok(); }));
}

}  // namespace
}  // namespace weir::node::runtime
