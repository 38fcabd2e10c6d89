// SPDX-License-Identifier: Apache-2.0
// mode: shadow: stable answers, and a copy of the request runs on the candidate.
#include <gmock/gmock.h>

#include "tests/unit/dataplane/front/service_node.h"

namespace weir::node::front {
namespace {

using telemetry::kBad;
using telemetry::kCompared;
using telemetry::kDiffered;
using telemetry::kRequests;
using testing::HasSubstr;

class FrontShadow : public ServiceNodeTest {
 protected:
  FrontShadow() {
    threshold_ = domain::kFineAll;
    shadow_ = true;
  }
  auto HasShadow(const char* counter, uint64_t at_least) {
    return [this, counter, at_least](telemetry::Window& window) {
      return window[Key(candidate_, "shadow")].Counter(counter) >= at_least;
    };
  }
  telemetry::Series Shadow(telemetry::Window& window) { return window[Key(candidate_, "shadow")]; }

  TestService service_;
  TestService other_;
};

TEST_F(FrontShadow, StableAnswersAndTheCandidatesCopyIsCompared) {
  StartAll();
  for (int i = 0; i < 10; ++i) {
    const auto response = Infer(Body({Rows()[0]}, "user-" + std::to_string(i)));
    ASSERT_EQ(response.status, 200);
    EXPECT_EQ(response.Header("x-weir-version"), "1.0.0");
    EXPECT_EQ(response.Header("x-weir-arm"), "stable");
  }
  telemetry::Window window = Wait(HasShadow(kRequests, 10));
  const telemetry::Series shadow = Shadow(window);
  EXPECT_EQ(shadow.Counter(kRequests), 10U);
  EXPECT_EQ(shadow.Counter(kBad), 0U);
  EXPECT_EQ(shadow.Counter(kCompared), 10U);
  const bool is_same = Direct("1.0.0", {Rows()[0]}) == Direct("1.1.0", {Rows()[0]});
  EXPECT_EQ(shadow.Counter(kDiffered), is_same ? 0U : 10U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(kRequests), 10U);
  EXPECT_FALSE(window.contains(Key("1.1.0", "canary")));
  // What drift is judged by.
  EXPECT_NEAR(shadow.outputs.Quantile(0.5), Direct("1.1.0", {Rows()[0]})[0], 1e-5);
  EXPECT_NEAR(window[Key("1.0.0", "stable")].outputs.Quantile(0.5), Direct("1.0.0", {Rows()[0]})[0],
              1e-5);
  EXPECT_THAT(Get("/metrics").body,
              HasSubstr("weir_inference_requests_total{model=\"fraud_detection\","
                        "model_version=\"1.1.0\",arm=\"shadow\"} 10\n"));
}

TEST_F(FrontShadow, OnlyTheShareIsCopied) {
  threshold_ = 33'069;  // user_123 has bucket 33068
  StartAll();
  Infer(Body({Rows()[0]}, "user_123"));
  const json out = json::parse(Get("/weir/v1/select?model=fraud_detection&user_id=user_123").body);
  EXPECT_EQ(out["arm"], "stable");
  EXPECT_EQ(out["reason"], "SHADOW");
  threshold_ = 33'068;
  PublishRules();
  Infer(Body({Rows()[0]}, "user_123"));
  telemetry::Window window = Wait([this](telemetry::Window& seen) {
    return seen[Key("1.0.0", "stable")].Counter(kRequests) >= 2;
  });
  EXPECT_EQ(Shadow(window).Counter(kRequests), 1U);
}

TEST_F(FrontShadow, AnswersThatAreAlikeDoNotDiffer) {
  OnlyServices("oip", {service_.url(), other_.url()});
  service_.SetBody(Oip("[1.0000001, [2, 3e2]]"));
  other_.SetBody(Oip("[[1.0], 2.0, 300]"));
  StartAll();
  const std::string body = R"({"inputs":[{"anything":"goes"}],"parameters":{"user_id":"u"}})";
  EXPECT_EQ(Infer(body, {{"traceparent", "00-1-2-01"}}).status, 200);
  telemetry::Window window = Wait(HasShadow(kRequests, 1));
  EXPECT_EQ(Shadow(window).Counter(kCompared), 1U);
  EXPECT_EQ(Shadow(window).Counter(kDiffered), 0U);
  // The copy is the same request.
  EXPECT_EQ(other_.asked().at(0).body, body);
  EXPECT_EQ(other_.asked().at(0).Header("x-user-id"), "u");
  EXPECT_EQ(other_.asked().at(0).Header("traceparent"), "00-1-2-01");
  other_.SetBody(Oip("[1.00001, 2, 300]"));
  Infer(body);
  window = Wait(HasShadow(kRequests, 1));
  EXPECT_EQ(Shadow(window).Counter(kDiffered), 1U);
  other_.SetBody(Oip("[1, 2, 300, 4]"));
  Infer(body);
  window = Wait(HasShadow(kRequests, 1));
  EXPECT_EQ(Shadow(window).Counter(kDiffered), 1U);
  other_.SetBody(Oip(R"(["1", 2, 300])"));
  Infer(body);
  window = Wait(HasShadow(kRequests, 1));
  EXPECT_EQ(Shadow(window).Counter(kDiffered), 1U);
}

TEST_F(FrontShadow, AServiceMayShadowAFile) {
  AddService("2.0.0", "oip", service_.url());
  candidate_ = "2.0.0";
  service_.SetBody(Oip("[" + std::to_string(Direct("1.0.0", {Rows()[0]})[0]) + "]"));
  StartAll();
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  telemetry::Window window = Wait(HasShadow(kRequests, 1));
  // Tensors, and nothing that the client wrote besides.
  const json asked = json::parse(service_.asked().at(0).body);
  EXPECT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked["inputs"][0]["name"], "features");
  EXPECT_EQ(Shadow(window).Counter(kCompared), 1U);
}

TEST_F(FrontShadow, PredictionsAreComparedByTheirFirstNumber) {
  OnlyServices("predict", {service_.url(), other_.url()});
  service_.SetBody(R"({"score":0.5,"took_ms":12.5})");
  other_.SetBody(R"({"score":0.5,"took_ms":99.1})");
  StartAll();
  const auto response = Do("POST", "/predict/fraud_detection", {}, R"({"a":1})");
  EXPECT_EQ(response.body, R"({"score":0.5,"took_ms":12.5})");
  telemetry::Window window = Wait(HasShadow(kCompared, 1));
  EXPECT_EQ(Shadow(window).Counter(kDiffered), 0U);
  EXPECT_EQ(other_.asked().at(0).body, R"({"a":1})");
}

TEST_F(FrontShadow, AFailingCandidateIsBadAndNobodyNotices) {
  AddService("2.0.0", "oip", service_.url());
  candidate_ = "2.0.0";
  service_.SetBody("{}", 500);
  StartAll();
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  telemetry::Window window = Wait(HasShadow(kRequests, 30));
  EXPECT_EQ(Shadow(window).Counter(kBad), 30U);
  EXPECT_EQ(Shadow(window).Counter(kCompared), 0U);
  EXPECT_EQ(Shadow(window).bad_keys.size(), 1U);
  EXPECT_EQ(window[Key("1.0.0", "stable")].Counter(kBad), 0U);
}

TEST_F(FrontShadow, ARehearsedFaultOfTheCandidateIsRehearsed) {
  model_.versions[1].fault = domain::FaultEntry{1, 30, Clock::System().WallMs() + 60'000};
  StartAll();
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  telemetry::Window window = Wait(HasShadow(kRequests, 1));
  EXPECT_EQ(Shadow(window).Counter(kBad), 1U);
  EXPECT_GE(Shadow(window).latency_digest.Quantile(0.5), 30);
  EXPECT_LT(window[Key("1.0.0", "stable")].latency_digest.Quantile(0.5), 30);
}

TEST_F(FrontShadow, ASlowCandidateHoldsUpNobodyAndIsShedBeyondItsBound) {
  AddService("2.0.0", "oip", service_.url());
  candidate_ = "2.0.0";
  service_.SetBody(Oip("[1]"));
  service_.Hold();
  StartAll();
  const std::string body = Body({Rows()[0]}, "user-1").dump();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Infer(body).status, 200);
  telemetry::Window window = Wait(HasShadow(telemetry::kShed, 36));
  EXPECT_EQ(Shadow(window).Counter(telemetry::kShed), 36U);  // 64 are under way
  EXPECT_EQ(Shadow(window).Counter(kRequests), 0U);
  service_.Release();
  window = Wait(HasShadow(kRequests, 64));
  EXPECT_EQ(Shadow(window).Counter(kRequests), 64U);
  // There is room again.
  Infer(body);
  Wait(HasShadow(kRequests, 1));
}

TEST_F(FrontShadow, ADrainingNodeCopiesNothing) {
  StartAll();
  auto status = std::make_shared<NodeStatusView>();
  status->node = "n";
  status->draining = true;
  front_->PublishStatus(status);
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  telemetry::Window window = Wait(HasShadow(telemetry::kShed, 1));
  EXPECT_EQ(Shadow(window).Counter(kRequests), 0U);
}

TEST_F(FrontShadow, ACandidateThatIsNotReadyIsNoReasonToWait) {
  Start();
  PublishVersions({"1.0.0"});
  PublishRules();
  EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  telemetry::Window window = Wait(HasShadow(telemetry::kDiverted, 1));
  EXPECT_EQ(Shadow(window).Counter(kRequests), 0U);
}

TEST_F(FrontShadow, StoppingWithCopiesUnderWayIsClean) {
  AddService("2.0.0", "oip", service_.url());
  candidate_ = "2.0.0";
  service_.SetBody(Oip("[1]"));
  service_.Hold();
  StartAll();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Infer(Body({Rows()[0]}, "user-1")).status, 200);
  front_->Stop();
  front_.reset();
  service_.Release();
}

TEST_F(FrontShadow, WithoutARolloutNothingIsRecordedOfOutputs) {
  threshold_ = 0;
  shadow_ = false;
  StartAll();
  Infer(Body(Rows(), "user-1"));
  EXPECT_TRUE(Telemetry()[Key("1.0.0", "stable")].outputs.Empty());
  threshold_ = 1;
  PublishRules();
  Infer(Body(Rows(), "user-1"));
  EXPECT_EQ(Telemetry()[Key("1.0.0", "stable")].outputs.Count(), 4);  // one a row
}

}  // namespace
}  // namespace weir::node::front
