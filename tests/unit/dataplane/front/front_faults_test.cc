// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

class FrontFaults : public NodeTest {
 protected:
  void Rehearse(double error_rate, int64_t delay_ms, int64_t expires_wall_ms) {
    model_.versions[0].fault = domain::FaultEntry{error_rate, delay_ms, expires_wall_ms};
  }
  static http::ClientOptions Hasty() {
    http::ClientOptions options;
    options.timeout_ms = 50;
    return options;
  }
  static int64_t InAMinute() { return Clock::System().WallMs() + 60'000; }
};

TEST_F(FrontFaults, EndByThemselves) {
  ManualClock clock;
  Rehearse(1, 0, clock.WallMs() + 60'000);
  StartWithAll({}, clock);
  const auto failed = Infer(Body({Rows()[0]}, "user-1"));
  EXPECT_EQ(failed.status, 500);
  EXPECT_THAT(failed.body, testing::HasSubstr("rehearsed fault"));
  EXPECT_EQ(json::parse(Get("/ready").body)["faults"].size(), 1U);
  EXPECT_THAT(Get("/metrics").body, testing::HasSubstr("weir_fault_rehearsal{"
                                                       "model=\"fraud_detection\","
                                                       "model_version=\"1.0.0\"} 1\n"));
  clock.AdvanceMs(60'000);
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  EXPECT_EQ(json::parse(Get("/ready").body)["faults"].size(), 0U);
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 2U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kBad), 1U);
}

TEST_F(FrontFaults, ErrorsComeAtTheirRate) {
  Rehearse(0.25, 0, InAMinute());
  StartWithAll();
  int failed = 0;
  for (int i = 0; i < 1000; ++i) failed += Infer(Body({Rows()[0]})).status == 500 ? 1 : 0;
  EXPECT_GT(failed, 150);  // 250 expected, standard deviation 13.7
  EXPECT_LT(failed, 350);
}

TEST_F(FrontFaults, ADelayHoldsOneRequestAndNotTheWorker) {
  Rehearse(0, 300, InAMinute());
  StartWithAll();
  std::future<int> delayed = std::async(std::launch::async, [this] {
    http::Client other(front_->http_address());
    return other.Do("POST", kInfer, {}, Body({Rows()[0]}).dump())->status;
  });
  // Another version answers on the same worker meanwhile.
  const auto quick =
      Do("POST", "/v2/models/fraud_detection/versions/1.1.0/infer", {}, Body({Rows()[0]}).dump());
  EXPECT_EQ(quick.status, 200);
  EXPECT_EQ(delayed.get(), 200);
  telemetry::Window window = Telemetry();
  EXPECT_GE(window[Key("1.0.0", "stable")].latency_digest.Quantile(0.5), 300);
  EXPECT_LT(window[Key("1.1.0", "pinned")].latency_digest.Quantile(0.5), 300);
}

TEST_F(FrontFaults, AClientThatGivesUpIsCancelledAndNotBad) {
  Rehearse(0, 60'000, InAMinute());
  StartWithAll();
  {
    http::Client hasty(front_->http_address(), Hasty());
    EXPECT_FALSE(hasty.Do("POST", kInfer, {}, Body({Rows()[0]}).dump()).ok());
  }
  telemetry::Window window;
  const int64_t until_ms = Clock::System().MonotonicMs() + 20'000;
  while (window.empty() && Clock::System().MonotonicMs() < until_ms) window = Telemetry();
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kCancelled), 1U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 0U);
}

TEST_F(FrontFaults, ATimeOutIsBad) {
  Rehearse(0, 60'000, InAMinute());
  FrontOptions options;
  options.http.request_timeout_ms = 100;
  StartWithAll(options);
  const auto response = Infer(Body({Rows()[0]}, "user-1"));
  EXPECT_GE(response.status, 503);
  telemetry::Window window = Telemetry();
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kBad), 1U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(telemetry::kRequests), 1U);
}

TEST_F(FrontFaults, StoppingDropsWhatIsDelayed) {
  Rehearse(0, 60'000, InAMinute());
  StartWithAll();
  http::Client hasty(front_->http_address(), Hasty());
  EXPECT_FALSE(hasty.Do("POST", kInfer, {}, Body({Rows()[0]}).dump()).ok());
  front_->Stop();
  front_->Stop();
}

}  // namespace
}  // namespace weir::node::front
