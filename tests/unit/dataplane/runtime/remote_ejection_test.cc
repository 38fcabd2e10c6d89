// SPDX-License-Identifier: Apache-2.0
// Urls that answer badly leave the balancing, and come back when they answer well.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>

#include "tests/integration/harness/service.h"
#include "tests/integration/harness/wait.h"
#include "tests/unit/dataplane/runtime/remote_calls.h"

namespace weir::node::runtime {
namespace {

using integration::Service;
using integration::WaitFor;

// The machine's, and what the test adds.
class ShiftedClock final : public Clock {
 public:
  int64_t MonotonicNs() const override { return System().MonotonicNs() + shift_ns_; }
  int64_t WallMs() const override { return System().WallMs(); }
  void AdvanceMs(int64_t ms) { shift_ns_ += ms * 1'000'000; }

 private:
  std::atomic<int64_t> shift_ns_{0};
};

class RemoteEjection : public testing::Test {
 protected:
  RemoteEjection() {
    options_.workers = 2;
    entry_.version = "1.1.0";
    entry_.runtime = "oip";
  }
  // The checks see nothing: they are about health.
  std::shared_ptr<Version> Load(const std::vector<const Service*>& services) {
    for (const Service* service : services) entry_.urls.push_back(service->url());
    runtimes_ = MakeRemoteRuntimes(options_, clock_);
    auto version = runtimes_[0]->Load({"fraud", "1.1.0", "", &entry_, false});
    EXPECT_TRUE(version.ok()) << version.status().ToString();
    EXPECT_TRUE((*version)->WarmUp().ok());
    return *version;
  }
  // As a caller that never asked before.
  bool Ask(const std::shared_ptr<Version>& version, size_t worker = 0) {
    Request request;
    request.key_hash = ++caller_;
    return workers_.Ask(version, request, kTimeoutMs, worker).status.ok();
  }
  void AskTimes(int times, const std::shared_ptr<Version>& version) {
    for (int i = 0; i < times; ++i) Ask(version);
  }
  static breaker::State StateOf(const Version& version, const Service& service) {
    for (const Upstream& upstream : version.Upstreams()) {
      if (upstream.url == service.url()) return upstream.state;
    }
    ADD_FAILURE() << service.url() << " is none of its urls";
    return breaker::State::kClosed;
  }
  // Until it is out; it has answered badly until now.
  void Eject(const std::shared_ptr<Version>& version, Service& service) {
    service.error_rate = 1;
    AskTimes(20, version);
    ASSERT_EQ(StateOf(*version, service), breaker::State::kOpen);
  }

  static constexpr int64_t kTimeoutMs = 600'000;  // beyond every step of the clock
  static constexpr int64_t kFirstMs = 5'000 * 5 / 4;
  ShiftedClock clock_;
  RemoteOptions options_;
  domain::VersionEntry entry_;
  uint32_t caller_ = 0;
  Service good_;
  Service bad_;
  std::vector<std::shared_ptr<Runtime>> runtimes_;
  Workers workers_{2};
};

TEST_F(RemoteEjection, AUrlThatAnswersBadlyFiveTimesInARowIsLeftOut) {
  const auto version = Load({&good_, &bad_});
  bad_.error_rate = 1;
  int failed = 0;
  for (int i = 0; i < 100; ++i) failed += Ask(version) ? 0 : 1;
  EXPECT_EQ(failed, 5);
  EXPECT_EQ(bad_.calls(), 5U);
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kOpen);
  EXPECT_EQ(StateOf(*version, good_), breaker::State::kClosed);
}

TEST_F(RemoteEjection, TheAnswersOfAllWorkersAreOneRow) {
  const auto version = Load({&good_, &bad_});
  bad_.error_rate = 1;
  for (size_t i = 0; i < 100; ++i) Ask(version, i / 3 % 2);
  EXPECT_EQ(bad_.calls(), 5U);
}

TEST_F(RemoteEjection, AUrlThatFailsHalfOfItsAnswersIsLeftOut) {
  const auto version = Load({&good_, &bad_});
  for (int i = 0; i < 100; ++i) {
    const bool fails = bad_.calls() % 2 == 1;  // the second, the fourth, …
    bad_.SetAnswer(fails ? std::optional(http::ErrorResponse(500, "")) : std::nullopt);
    Ask(version);
  }
  EXPECT_EQ(bad_.calls(), 20U) << "ten of twenty";
}

TEST_F(RemoteEjection, OneThatFailsLessIsNot) {
  const auto version = Load({&good_, &bad_});
  for (int i = 0; i < 120; ++i) {
    const bool fails = bad_.calls() % 3 == 1;
    bad_.SetAnswer(fails ? std::optional(http::ErrorResponse(500, "")) : std::nullopt);
    Ask(version);
  }
  EXPECT_EQ(bad_.calls(), 60U);
}

TEST_F(RemoteEjection, NoCallerEjectsAUrlAlone) {
  const auto version = Load({&good_, &bad_});
  bad_.error_rate = 1;
  Request request;
  request.key_hash = 7;
  for (int i = 0; i < 100; ++i) workers_.Ask(version, request, kTimeoutMs);
  EXPECT_EQ(bad_.calls(), 50U);
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kClosed);
}

TEST_F(RemoteEjection, WhatIsTheClientsFaultOrSaysFullEjectsNobody) {
  const auto version = Load({&good_, &bad_});
  for (const int status : {400, 429, 503}) {
    bad_.SetAnswer(http::ErrorResponse(status, ""));
    AskTimes(60, version);
    EXPECT_EQ(StateOf(*version, bad_), breaker::State::kClosed) << status;
  }
}

TEST_F(RemoteEjection, NeverMoreThanHalfOfTheUrlsAreLeftOut) {
  Service third;
  const auto version = Load({&good_, &bad_, &third});
  for (Service* service : {&good_, &bad_, &third}) service->error_rate = 1;
  AskTimes(90, version);
  int left_out = 0;
  for (const Upstream& upstream : version->Upstreams())
    left_out += upstream.state == breaker::State::kOpen ? 1 : 0;
  EXPECT_EQ(left_out, 1);
  EXPECT_EQ(good_.calls() + bad_.calls() + third.calls(), 90U);
}

TEST_F(RemoteEjection, TheOnlyUrlThatCanBeCalledStays) {
  const auto version = Load({&good_, &bad_});
  good_.Stop();
  bad_.error_rate = 1;
  AskTimes(30, version);
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kClosed);
  bad_.error_rate = 0;
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Ask(version)) << i;
}

TEST_F(RemoteEjection, ATrialThatIsAnsweredFullHasFailed) {
  const auto version = Load({&good_, &bad_});
  ASSERT_NO_FATAL_FAILURE(Eject(version, bad_));
  const uint64_t calls = bad_.calls();
  bad_.SetAnswer(http::ErrorResponse(503, ""));
  clock_.AdvanceMs(kFirstMs);
  AskTimes(20, version);
  EXPECT_EQ(bad_.calls(), calls + 1);
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kOpen);
}

TEST_F(RemoteEjection, ASingleCallAtATimeTriesItAndThreeGoodOnesBringItBack) {
  const auto version = Load({&good_, &bad_});
  ASSERT_NO_FATAL_FAILURE(Eject(version, bad_));
  const uint64_t before = bad_.calls();
  bad_.error_rate = 0;
  bad_.delay_ms = 600'000;
  clock_.AdvanceMs(kFirstMs);
  const auto first = workers_.Start(version, {}, kTimeoutMs);
  const auto second = workers_.Start(version, {}, kTimeoutMs);
  ASSERT_TRUE(WaitFor("one of them arrives", [&] { return bad_.calls() == before + 1; }));
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kProbing);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Ask(version, static_cast<size_t>(i % 2)));
  EXPECT_EQ(bad_.calls(), before + 1);
  // A client that goes away says nothing; the next one tries.
  bad_.delay_ms = 0;
  const auto& probe = first->HasEnded() ? second : first;
  workers_.Run([&] { probe->stop.request_stop(); });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Ask(version));
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kClosed);
  EXPECT_GE(bad_.calls(), before + 6) << "it shares the load again";
}

TEST_F(RemoteEjection, AUrlThatFailsItsTrialIsLeftOutForTwiceAsLong) {
  const auto version = Load({&good_, &bad_});
  ASSERT_NO_FATAL_FAILURE(Eject(version, bad_));
  uint64_t calls = bad_.calls();
  clock_.AdvanceMs(kFirstMs);
  AskTimes(10, version);
  EXPECT_EQ(bad_.calls(), ++calls);
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kOpen);
  clock_.AdvanceMs(kFirstMs);
  AskTimes(10, version);
  EXPECT_EQ(bad_.calls(), calls) << "its time is 10 s now";
  clock_.AdvanceMs(kFirstMs);
  AskTimes(10, version);
  EXPECT_EQ(bad_.calls(), calls + 1);
}

TEST_F(RemoteEjection, WhatWasCountedBeforeDoesNotCountAgainstAUrlThatIsBack) {
  const auto version = Load({&good_, &bad_});
  bad_.error_rate = 1;
  Request request;
  request.key_hash = 7;
  for (int i = 0; i < 60; ++i) workers_.Ask(version, request, kTimeoutMs);
  ASSERT_NO_FATAL_FAILURE(Eject(version, bad_));
  bad_.error_rate = 0;
  clock_.AdvanceMs(kFirstMs);  // within the 10 s
  AskTimes(10, version);
  ASSERT_EQ(StateOf(*version, bad_), breaker::State::kClosed);
  bad_.error_rate = 1;
  const uint64_t calls = bad_.calls();
  AskTimes(8, version);
  EXPECT_EQ(bad_.calls(), calls + 4);
  EXPECT_EQ(StateOf(*version, bad_), breaker::State::kClosed);
}

}  // namespace
}  // namespace weir::node::runtime
