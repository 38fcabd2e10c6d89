// SPDX-License-Identifier: Apache-2.0
// Requests at their model's gate: who gets in, who waits, and what the others are told.
#include <gmock/gmock.h>

#include <future>
#include <thread>

#include "tests/unit/dataplane/front/service_node.h"

namespace weir::node::front {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kNothing = R"({"inputs":[]})";

class FrontAdmission : public ServiceNodeTest {
 protected:
  FrontAdmission() {
    limit_.name = model_.name;
    limit_.min_concurrent = 1;
    limit_.target_delay_ms = 50;
  }
  void Extend(decision::Ruleset& rules) override {
    if (is_limited_) rules.Set(limit_);
    if (!is_governed_) return;
    domain::FlagEntry flag;
    flag.name = admission::kGovernorFlag;
    flag.enabled = true;
    flag.threshold = 100'000;
    flag.seed = flag.name;
    rules.Set(flag);
  }
  void Slots(uint64_t slots, uint64_t queue) {
    limit_.max_concurrent = limit_.most_concurrent = slots;
    limit_.max_queue = queue;
  }
  void Act(const std::string& action, double value, int64_t for_ms, std::string version = "") {
    domain::LimitActEntry act;
    act.action = action;
    act.version = std::move(version);
    act.value = value;
    act.until_wall_ms = Clock::System().WallMs() + for_ms;
    act.reason = "p99 is 900 ms";
    limit_.acts.push_back(std::move(act));
  }
  // A service that answers when it is told to.
  void StartHeld() {
    OnlyServices("oip", {service_.url()});
    service_.SetBody(Oip("[0.5]"));
    service_.Hold();
    StartAll();
  }
  // One request on a connection of its own; its answer comes later.
  std::future<http::ClientResponse> Send(std::vector<http::Header> headers = {}) {
    return std::async(std::launch::async, [this, headers = std::move(headers)] {
      http::Client client(front_->http_address());
      auto response = client.Do("POST", kInfer, headers, kNothing);
      EXPECT_TRUE(response.ok()) << response.status().ToString();
      return response.ok() ? *std::move(response) : http::ClientResponse{};
    });
  }
  // Waits until /metrics has this line.
  void WaitForMetric(const std::string& line) {
    const int64_t until_ms = Clock::System().MonotonicMs() + 20'000;
    std::string body;
    do {
      body = Get("/metrics").body;
    } while (body.find(line + "\n") == std::string::npos &&
             Clock::System().MonotonicMs() < until_ms);
    EXPECT_THAT(body, HasSubstr(line + "\n"));
  }
  void WaitForQueue(int length) {
    WaitForMetric("weir_admission_queue_length{model=\"fraud_detection\"} " +
                  std::to_string(length));
  }

  TestService service_;
  TestService other_;
  domain::LimitEntry limit_;
  bool is_limited_ = true;
  bool is_governed_ = false;
};

TEST_F(FrontAdmission, OneRunsOneWaitsAndTheNextIsToldWhatIsFull) {
  Slots(1, 1);
  StartHeld();
  auto first = Send();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  auto second = Send();
  WaitForQueue(1);
  const auto refused = Infer(kNothing);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(
      json::parse(refused.body)["error"],
      "no room for fraud_detection on this node: 1 of 1 slots are taken, and 1 of 1 places in "
      "the queue; ask again after retry-after-ms, or raise max_concurrent or max_queue of "
      "Limit fraud_detection");
  EXPECT_EQ(refused.Header("Retry-After"), "1");
  EXPECT_EQ(refused.Header("retry-after-ms"), "1000");
  EXPECT_EQ(service_.asked().size(), 1U);
  service_.Release();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(second.get().status, 200);
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 0");
  WaitForMetric("weir_admission_shed_total{model=\"fraud_detection\",reason=\"queue_full\"} 1");

  const telemetry::Window window = Telemetry();
  const telemetry::Series& stable = window.at(Key("1.0.0", "stable"));
  EXPECT_EQ(stable.Counter(telemetry::kRequests), 2U);
  EXPECT_EQ(stable.Counter(telemetry::kBad), 0U);
  EXPECT_EQ(stable.Counter(telemetry::kShed), 1U);
  EXPECT_EQ(stable.queue.Count(), 2);
  EXPECT_EQ(stable.queue.Quantile(0), 0);  // who found a slot free
  EXPECT_GT(stable.queue.Quantile(1), 0);
}

TEST_F(FrontAdmission, TheMostImportantIsServedFirst) {
  Slots(1, 8);
  StartHeld();
  auto first = Send();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  auto low = Send({{"x-weir-priority", "1"}, {"x-user-id", "low"}});
  WaitForQueue(1);
  auto high = Send({{"x-weir-priority", "9"}, {"x-user-id", "high"}});
  WaitForQueue(2);
  service_.Release();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(low.get().status, 200);
  EXPECT_EQ(high.get().status, 200);
  const auto asked = service_.asked();
  ASSERT_EQ(asked.size(), 3U);
  EXPECT_EQ(asked[1].Header("x-user-id"), "high");
  EXPECT_EQ(asked[2].Header("x-user-id"), "low");
}

TEST_F(FrontAdmission, ThePriorityMayStandInTheBody) {
  Slots(1, 8);
  StartHeld();
  auto first = Send();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  auto usual = Send({{"x-user-id", "usual"}});
  WaitForQueue(1);
  auto high = std::async(std::launch::async, [&] {
    http::Client client(front_->http_address());
    return client
        .Do("POST", kInfer, {{"x-user-id", "high"}}, R"({"parameters":{"priority":8},"inputs":[]})")
        ->status;
  });
  WaitForQueue(2);
  service_.Release();
  EXPECT_EQ(high.get(), 200);
  EXPECT_EQ(usual.get().status, 200);
  first.wait();
  EXPECT_EQ(service_.asked()[1].Header("x-user-id"), "high");
}

TEST_F(FrontAdmission, WhoseTimeRunsOutInTheQueueNeverReachesTheService) {
  Slots(1, 8);
  StartHeld();
  auto first = Send();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  const auto late = Send({{"x-request-timeout-ms", "30"}}).get();
  EXPECT_EQ(late.status, 504);
  EXPECT_THAT(late.body, HasSubstr("the deadline passed while the request waited"));
  service_.Release();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(service_.asked().size(), 1U);
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kShed), 1U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 1U);
}

TEST_F(FrontAdmission, WhatAClientDidNotWaitForIsNoFailureOfTheVersion) {
  is_limited_ = false;
  StartHeld();
  const auto late = Send({{"x-request-timeout-ms", "30"}}).get();
  EXPECT_EQ(late.status, 504);
  const telemetry::Window window = Wait([&](telemetry::Window& now) {
    return now[Key("1.0.0", "stable")].Counter(telemetry::kCancelled) == 1;
  });
  EXPECT_EQ(window.at(Key("1.0.0", "stable")).Counter(telemetry::kBad), 0U);
}

TEST_F(FrontAdmission, AClientThatGoesAwayGivesItsPlaceBack) {
  Slots(1, 1);
  StartHeld();
  auto first = Send();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  {
    http::ClientOptions options;
    options.timeout_ms = 50;
    http::Client impatient(front_->http_address(), options);
    EXPECT_FALSE(impatient.Do("POST", kInfer, {}, kNothing).ok());
  }
  WaitForQueue(0);
  auto second = Send();
  WaitForQueue(1);
  service_.Release();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(second.get().status, 200);
}

TEST_F(FrontAdmission, WhenTheLimitIsRemovedWhoWaitsIsServed) {
  Slots(1, 8);
  StartHeld();
  auto first = Send();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  auto second = Send();
  WaitForQueue(1);
  is_limited_ = false;
  PublishRules();
  const int64_t until_ms = Clock::System().MonotonicMs() + 20'000;
  while (service_.asked().size() < 2 && Clock::System().MonotonicMs() < until_ms) {
    std::this_thread::yield();
  }
  EXPECT_EQ(service_.asked().size(), 2U);
  service_.Release();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(second.get().status, 200);
}

TEST_F(FrontAdmission, ACallersLimitIsItsOwn) {
  limit_.caller_concurrent = 1;
  StartHeld();
  auto first = Send({{"x-user-id", "u1"}});
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 1");
  const auto again = Infer(kNothing, {{"x-user-id", "u1"}});
  EXPECT_EQ(again.status, 429);
  EXPECT_THAT(again.body, HasSubstr("this caller has 1 requests"));
  auto other = Send({{"x-user-id", "u2"}});
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 2");
  service_.Release();
  EXPECT_EQ(first.get().status, 200);
  EXPECT_EQ(other.get().status, 200);
}

TEST_F(FrontAdmission, ABrokenCanaryIsAnsweredByStable) {
  OnlyServices("oip", {service_.url(), other_.url()});
  service_.SetBody(Oip("[1]"));
  other_.SetBody(Oip("[2]"));
  threshold_ = 100'000;
  Act("circuit_break", 0, 3'600'000, "2.0.0");
  StartAll();
  const auto response = Infer(kNothing, {{"x-user-id", "u1"}});
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(response.Header("x-weir-arm"), "diverted");
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("2.0.0", "canary")].Counter(telemetry::kDiverted), 1U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 0U);
}

TEST_F(FrontAdmission, AModelThatIsHeldBackSaysWhyUntilItIsNoLonger) {
  OnlyServices("oip", {service_.url()});
  service_.SetBody(Oip("[1]"));
  Act("circuit_break", 0, 400);
  StartAll();
  const auto refused = Infer(kNothing);
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("is held back by a policy: p99 is 900 ms"));
  EXPECT_EQ(refused.Header("Retry-After"), "1");
  const int64_t until_ms = Clock::System().MonotonicMs() + 20'000;
  int status = 503;
  while (status != 200 && Clock::System().MonotonicMs() < until_ms) status = Infer(kNothing).status;
  EXPECT_EQ(status, 200);
}

TEST_F(FrontAdmission, TheFlagPutsAGovernorBeforeEveryModel) {
  is_limited_ = false;
  is_governed_ = true;
  StartHeld();
  service_.Release();
  EXPECT_EQ(Infer(kNothing).status, 200);
  EXPECT_THAT(Get("/metrics").body, Not(HasSubstr("weir_governor_u{")));  // it has no name yet
  auto status = std::make_shared<NodeStatusView>();
  status->node = "n1";
  front_->PublishStatus(status);
  WaitForMetric("weir_governor_u{model=\"fraud_detection\"} 0");
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("weir_admission_limit{model=\"fraud_detection\"} 16\n"));
  EXPECT_EQ(Infer(kNothing).status, 200);
  EXPECT_GT(Telemetry()[Key("1.0.0", "stable")].queue.Count(), 0);
}

TEST_F(FrontAdmission, BatchesPassTheGateToo) {
  Slots(2, 64);
  StartWithAll();
  std::vector<std::future<http::ClientResponse>> all;
  const std::string body = Body({std::vector<float>(12, 0.5F)}).dump();
  for (int i = 0; i < 16; ++i) {
    all.push_back(std::async(std::launch::async, [&] {
      http::Client client(front_->http_address());
      for (int j = 0; j < 10; ++j) EXPECT_EQ(client.Do("POST", kInfer, {}, body)->status, 200);
      return http::ClientResponse{};
    }));
  }
  for (auto& each : all) each.wait();
  WaitForMetric("weir_admission_inflight{model=\"fraud_detection\"} 0");
  EXPECT_EQ(Telemetry()[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 160U);
}

TEST_F(FrontAdmission, ATenantsRequestsCountUnderItsName) {
  is_limited_ = false;
  OnlyServices("oip", {service_.url()});
  service_.SetBody(R"({"outputs":[],"usage":{"completion_tokens":7}})");
  StartAll();
  EXPECT_EQ(Infer(kNothing, {{"x-tenant-id", "acme"}}).status, 200);
  EXPECT_EQ(Infer(kNothing).status, 200);
  telemetry::Window window = Telemetry();
  const telemetry::SeriesKey acme{"tenant/acme/fraud_detection", "1.0.0", "stable"};
  EXPECT_EQ(window[acme].Counter(telemetry::kRequests), 1U);
  EXPECT_EQ(window[acme].Counter(telemetry::kTokens), 7U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 2U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kTokens), 14U);
}

}  // namespace
}  // namespace weir::node::front
