// SPDX-License-Identifier: Apache-2.0
// When copies run, and when they give way; what comes of them is in front_shadow_test.cc.
#include "dataplane/front/shadow.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace weir::node::front {
namespace {

// Answers 1 at once, as files do.
class One final : public runtime::Version {
 public:
  void Start(const runtime::Request&, int64_t, std::stop_token, runtime::Sink& sink) override {
    const int64_t shape[] = {1};
    const double value[] = {1};
    const runtime::TensorView view{"out", runtime::DataType::kFp64, shape,
                                   std::as_bytes(std::span(value))};
    sink.OnHead();
    sink.OnChunk({&view, 1});
    sink.OnEnd(OkStatus(), {});
  }
  Status WarmUp() override { return OkStatus(); }
  const std::vector<domain::TensorSpec>& outputs() const override { return outputs_; }

 private:
  std::vector<domain::TensorSpec> outputs_;
};

class Tasks final : public Executor {
 public:
  void Post(std::function<void()> task) override { tasks.push_back(std::move(task)); }
  std::vector<std::function<void()>> tasks;
};

class ShadowTest : public testing::Test {
 protected:
  ShadowTest() {
    shadow_.Bind(&tasks_);
    Build("");
  }
  // The candidate is a service if it has a url.
  void Build(const std::string& url) {
    auto rules = std::make_shared<decision::Ruleset>();
    domain::ModelEntry model;
    model.name = "m";
    model.stable = "1";
    model.versions = {{"1", "xgboost", "", {}}, {"2", "xgboost", "", {}}};
    if (!url.empty()) model.versions[1].urls = {url};
    rules->Set(model);
    domain::SplitEntry split;
    split.rollout = "r";
    split.model = "m";
    split.candidate = "2";
    split.threshold = domain::kFineAll;
    split.shadow = true;
    rules->Set(split);
    const runtime::VersionTable versions({{{"m", "2"}, std::make_shared<One>()}}, {});
    plan_ = routing::Plan::Build(std::move(rules), &versions, recorders_);
  }
  void Keep(int count, const std::string& body = "{}") {
    for (int i = 0; i < count; ++i) {
      InferRequest request;
      Outputs outputs;
      runtime::Request input;
      input.body = body;
      input.is_predict = is_predict_;
      shadow_.Keep({.plan = plan_,
                    .model = plan_->Find("m"),
                    .input = &input,
                    .request = &request,
                    .outputs = &outputs,
                    .is_good = false,
                    .key_hash = 1,
                    .random = 1});
    }
  }
  uint64_t Take(const char* counter) {
    return recorders_.TakeTelemetry()[{"model/m", "2", "shadow"}].Counter(counter);
  }

  bool is_predict_ = false;  // of what is kept
  ManualClock clock_;
  DelayLine delays_;
  Tasks tasks_;
  routing::Recorders recorders_;
  std::shared_ptr<const routing::Plan> plan_;
  Shadow shadow_{1'000, clock_, delays_};
};

TEST_F(ShadowTest, RunsAfterACalmRoundAndWaitsOutABusyOne) {
  Keep(3);
  EXPECT_EQ(Take(telemetry::kRequests), 0U);
  shadow_.Flush(Shadow::kBusyRound);
  EXPECT_EQ(Take(telemetry::kRequests), 0U);
  EXPECT_EQ(tasks_.tasks.size(), 1U);  // another round will come
  shadow_.Flush(Shadow::kBusyRound - 1);
  EXPECT_EQ(Take(telemetry::kRequests), 3U);
}

TEST_F(ShadowTest, ARoundRunsAFewAndAsksForTheNext) {
  Keep(20);
  shadow_.Flush(1);
  EXPECT_EQ(Take(telemetry::kRequests), 8U);
  EXPECT_FALSE(tasks_.tasks.empty());
  shadow_.Flush(0);
  shadow_.Flush(0);
  EXPECT_EQ(Take(telemetry::kRequests), 12U);
}

TEST_F(ShadowTest, BeyondItsBoundItShedsAndNeverWaits) {
  Keep(100);
  EXPECT_EQ(Take(telemetry::kShed), 36U);
  for (int i = 0; i < 8; ++i) shadow_.Flush(0);
  EXPECT_EQ(Take(telemetry::kRequests), 64U);
}

TEST_F(ShadowTest, WhatHasWaitedForTheTimeOutIsShed) {
  Keep(2);
  clock_.AdvanceMs(999);
  Keep(1);
  clock_.AdvanceMs(1);
  shadow_.Flush(0);
  telemetry::Window window = recorders_.TakeTelemetry();
  const telemetry::Series& shadow = window[{"model/m", "2", "shadow"}];
  EXPECT_EQ(shadow.Counter(telemetry::kShed), 2U);
  EXPECT_EQ(shadow.Counter(telemetry::kRequests), 1U);
}

TEST_F(ShadowTest, ALargeBodyIsCopiedForNobody) {
  const std::string large(Shadow::kMaxBody + 1, ' ');
  Keep(1, large);
  EXPECT_EQ(Take(telemetry::kShed), 1U);
  Build("http://127.0.0.1:1");
  Keep(1, large);
  EXPECT_EQ(Take(telemetry::kShed), 1U);
}

TEST_F(ShadowTest, WhatTheCandidateIsNotAskedByIsNotCopied) {
  is_predict_ = true;
  Keep(1);
  EXPECT_EQ(Take(telemetry::kShed), 1U);
}

TEST_F(ShadowTest, DrainingShedsWhatWaitsAsWell) {
  Keep(2);
  shadow_.SetDraining(true);
  Keep(1);
  shadow_.Flush(0);
  EXPECT_EQ(Take(telemetry::kShed), 3U);
}

TEST_F(ShadowTest, LetsGoOfItsPlanAfterTheRound) {
  Keep(1);
  shadow_.Flush(0);
  const std::weak_ptr<const routing::Plan> plan = plan_;
  plan_.reset();
  EXPECT_FALSE(plan.expired());
  EXPECT_FALSE(tasks_.tasks.empty());
  shadow_.Flush(0);
  EXPECT_TRUE(plan.expired());
}

}  // namespace
}  // namespace weir::node::front
