// SPDX-License-Identifier: Apache-2.0
// A canary that fails: stable stands in for it, and the breaker keeps traffic away from it.
#include <gmock/gmock.h>

#include <mutex>

#include "dataplane/outcomes/token.h"
#include "tests/unit/dataplane/front/service_node.h"

namespace weir::node::front {
namespace {

using testing::HasSubstr;

class FrontFallback : public ServiceNodeTest {
 protected:
  FrontFallback() {
    threshold_ = domain::kFineAll;
    AddService("2.0.0", "oip", service_.url());
    candidate_ = "2.0.0";
  }
  http::ClientResponse Ask(const std::string& user = "user-1") {
    return Infer(Body({Rows()[0]}, user));
  }

  TestService service_;
};

TEST_F(FrontFallback, StableAnswersWhatTheCanaryFailed) {
  fallback_ = true;
  service_.SetBody("{}", 500);
  StartAll();
  const auto response = Ask();
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["model_version"], "1.0.0");
  EXPECT_EQ(json::parse(response.body)["outputs"][0]["data"].get<std::vector<float>>(),
            Direct("1.0.0", {Rows()[0]}));
  EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(response.Header("x-weir-arm"), "stable");
  EXPECT_EQ(response.Header("x-weir-fallback"), "2.0.0");
  std::string bytes;
  const auto token = outcomes::DecodeToken(response.Header("x-weir-decision"), bytes);
  ASSERT_TRUE(token.ok()) << token.status().ToString();
  EXPECT_EQ(token->version, "1.0.0");
  EXPECT_EQ(token->arm, "diverted");  // in no arm that is judged
  telemetry::Window window = Telemetry();
  const telemetry::Series& canary = window[Key("2.0.0", "canary")];
  EXPECT_EQ(canary.Counter(telemetry::kRequests), 1U);
  EXPECT_EQ(canary.Counter(telemetry::kBad), 1U);
  EXPECT_EQ(canary.Counter(telemetry::kFallback), 1U);
  EXPECT_FALSE(window.contains(Key("1.0.0", "stable")));
  EXPECT_THAT(
      Get("/metrics").body,
      HasSubstr("weir_fallbacks_total{model=\"fraud_detection\",model_version=\"2.0.0\"} 1\n"));
}

TEST_F(FrontFallback, AServiceThatIsGoneCostsNobodyAnAnswer) {
  fallback_ = true;
  auto gone = std::make_unique<TestService>();
  model_.versions.back().urls = {gone->url()};
  gone.reset();
  StartAll();
  EXPECT_EQ(Ask().status, 200);
  EXPECT_EQ(Telemetry()[Key("2.0.0", "canary")].Counter(telemetry::kFallback), 1U);
}

TEST_F(FrontFallback, ARehearsedFaultFallsBackAsWell) {
  fallback_ = true;
  candidate_ = "1.1.0";
  model_.versions[1].fault = domain::FaultEntry{1, 0, Clock::System().WallMs() + 60'000};
  StartAll();
  const auto response = Ask();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("x-weir-fallback"), "1.1.0");
}

TEST_F(FrontFallback, StableIsGivenServicesToo) {
  fallback_ = true;
  TestService stable;
  OnlyServices("predict", {stable.url(), service_.url()});
  stable.SetBody(R"({"score":1})");
  service_.SetBody("{}", 503);
  StartAll();
  const auto response = Do("POST", "/predict/fraud_detection", {}, R"({"x":1})");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, R"({"score":1})");
  EXPECT_EQ(response.Header("x-weir-fallback"), "2.0.0");
  EXPECT_EQ(stable.asked().at(0).body, R"({"x":1})");
}

TEST_F(FrontFallback, StableIsNotAskedForWhatItDoesNotHave) {
  fallback_ = true;
  service_.SetBody("{}", 500);
  StartAll();
  json body = Body({Rows()[0]}, "user-1");
  body["outputs"] = {{{"name", "only_the_canary_has_it"}}};
  const auto response = Infer(body);
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.Header("x-weir-version"), "2.0.0");
  EXPECT_EQ(Telemetry()[Key("2.0.0", "canary")].Counter(telemetry::kFallback), 0U);
}

TEST_F(FrontFallback, WhenStableFailsTooTheClientLearnsIt) {
  fallback_ = true;
  service_.SetBody("{}", 500);
  model_.versions[0].fault = domain::FaultEntry{1, 0, Clock::System().WallMs() + 60'000};
  StartAll();
  const auto response = Ask();
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(response.Header("x-weir-fallback"), "2.0.0");
  telemetry::Window window = Telemetry();
  EXPECT_FALSE(window.contains(Key("1.0.0", "stable")));
}

TEST_F(FrontFallback, WithoutItTheClientGetsTheFailure) {
  service_.SetBody("{}", 500);
  StartAll();
  const auto response = Ask();
  EXPECT_EQ(response.status, 500);
  EXPECT_NE(response.Header("x-weir-decision"), "") << "failures have outcomes as well";
  EXPECT_EQ(response.Header("x-weir-arm"), "canary");
  EXPECT_EQ(response.Header("x-weir-fallback"), "");
  EXPECT_EQ(Telemetry()[Key("2.0.0", "canary")].Counter(telemetry::kFallback), 0U);
}

TEST_F(FrontFallback, NoTimeLeftIsNoTimeForStable) {
  fallback_ = true;
  service_.Hold();
  FrontOptions options;
  options.http.request_timeout_ms = 200;
  StartAll(options);
  EXPECT_GE(Ask().status, 503);
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("2.0.0", "canary")].Counter(telemetry::kBad), 1U);
  EXPECT_FALSE(window.contains(Key("1.0.0", "stable")));
  service_.SetBody("{}");
  service_.Release();
}

TEST_F(FrontFallback, TheVersionsOwnTimeOutLeavesTimeForStable) {
  fallback_ = true;
  model_.versions.back().timeout_ms = 100;
  service_.Hold();
  StartAll();
  const auto response = Ask();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.Header("x-weir-fallback"), "2.0.0");
  service_.SetBody("{}");
  service_.Release();
}

class FrontBreaker : public FrontFallback {
 protected:
  void Listen(Front& front) {
    front.SetEpisodeListener([this](const wire::Episode& episode) {
      const std::lock_guard lock(mutex_);
      episodes_.push_back(episode);
    });
  }
  std::vector<wire::Episode> WaitForEpisodes(size_t count) {
    const int64_t until_ms = Clock::System().MonotonicMs() + 20'000;
    while (Clock::System().MonotonicMs() < until_ms) {
      const std::lock_guard lock(mutex_);
      if (episodes_.size() >= count) return episodes_;
    }
    ADD_FAILURE() << "fewer than " << count << " episodes";
    return {};
  }
  std::string Breaker() {
    const std::string text = Get("/metrics").body;
    const std::string name = fmt::format(
        "weir_breaker_state{{model=\"fraud_detection\",model_version=\"{}\"}} ", candidate_);
    const size_t at = text.find(name);
    return at == std::string::npos
               ? "none"
               : text.substr(at + name.size(), text.find('\n', at) - at - name.size());
  }

  // One of three.
  static std::string User(int i) { return fmt::format("user-{}", i % 3); }
  void Fail(const Clock& clock) {
    model_.versions[1].fault = domain::FaultEntry{1, 0, clock.WallMs() + 3'600'000};
  }

  std::mutex mutex_;
  std::vector<wire::Episode> episodes_;
};

TEST_F(FrontBreaker, KeepsCanaryKeysOnStableUntilProbesAreGood) {
  on_start_ = [this](Front& front) { Listen(front); };
  ManualClock clock;
  candidate_ = "1.1.0";
  Fail(clock);
  StartWithAll({}, clock);
  EXPECT_EQ(Breaker(), "0");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask("user-1").status, 500) << i;
  EXPECT_EQ(Breaker(), "0") << "nobody opens it alone";
  clock.AdvanceMs(10'000);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(User(i)).status, 500) << i;
  EXPECT_EQ(Breaker(), "1");
  const auto opened = WaitForEpisodes(1);
  EXPECT_EQ(opened.at(0).kind, "breaker");
  EXPECT_EQ(opened.at(0).subject, "model/fraud_detection/1.1.0");
  EXPECT_EQ(opened.at(0).to_wall_ms, 0);
  EXPECT_GT(opened.at(0).from_wall_ms, 0);
  EXPECT_EQ(opened.at(0).detail, "20 of 20 answers within 10 s failed");

  // Stable answers, in neither arm.
  const auto diverted = Ask();
  EXPECT_EQ(diverted.status, 200);
  EXPECT_EQ(diverted.Header("x-weir-version"), "1.0.0");
  EXPECT_EQ(diverted.Header("x-weir-arm"), "diverted");
  EXPECT_EQ(json::parse(Get("/weir/v1/select?model=fraud_detection&user_id=u").body)["arm"],
            "diverted");
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("1.1.0", "canary")].Counter(telemetry::kDiverted), 1U);
  EXPECT_EQ(window[Key("1.1.0", "canary")].Counter(telemetry::kRequests), 40U);
  EXPECT_FALSE(window.contains(Key("1.0.0", "stable")));

  // A bad probe doubles the wait, which is up to a quarter longer by chance; asking what it would
  // choose takes no probe away.
  clock.AdvanceMs(6'250);
  Get("/weir/v1/select?model=fraud_detection&user_id=u");
  EXPECT_EQ(Ask().Header("x-weir-arm"), "canary");
  clock.AdvanceMs(9'999);
  EXPECT_EQ(Ask().Header("x-weir-arm"), "diverted");
  model_.versions[1].fault.reset();
  PublishRules();
  clock.AdvanceMs(2'501);
  EXPECT_EQ(Ask().status, 200);
  EXPECT_EQ(Breaker(), "0.5");
  // What is refused before the version is asked proves nothing, and takes no probe away.
  EXPECT_EQ(Do("POST", "/predict/fraud_detection", {}, "{}").status, 400);
  EXPECT_EQ(Ask().Header("x-weir-arm"), "canary");
  EXPECT_EQ(Ask().Header("x-weir-arm"), "canary");
  EXPECT_EQ(Breaker(), "0");
  const auto closed = WaitForEpisodes(2);
  EXPECT_EQ(closed.at(1).subject, opened.at(0).subject);
  EXPECT_EQ(closed.at(1).from_wall_ms, opened.at(0).from_wall_ms);
  EXPECT_GT(closed.at(1).to_wall_ms, closed.at(1).from_wall_ms);
}

TEST_F(FrontBreaker, OutlivesANewSnapshotAndEndsWithItsRollout) {
  on_start_ = [this](Front& front) { Listen(front); };
  service_.SetBody("{}", 500);
  StartAll();
  for (int i = 0; i < 20; ++i) Ask(User(i));
  WaitForEpisodes(1);
  PublishRules();
  EXPECT_EQ(Ask().Header("x-weir-arm"), "diverted");
  threshold_ = 0;
  PublishRules();
  EXPECT_GT(WaitForEpisodes(2).at(1).to_wall_ms, 0);
  EXPECT_EQ(Breaker(), "none");
  threshold_ = domain::kFineAll;
  PublishRules();
  EXPECT_EQ(Ask().Header("x-weir-arm"), "canary");
}

TEST_F(FrontBreaker, AServiceThatNobodyReachesOpensItAfterFiveCalls) {
  auto gone = std::make_unique<TestService>();
  model_.versions.back().urls = {gone->url()};
  gone.reset();
  StartAll();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask().Header("x-weir-arm"), "canary") << i;
  EXPECT_EQ(Ask().Header("x-weir-arm"), "diverted");
}

}  // namespace
}  // namespace weir::node::front
