// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace weir::node::routing {
namespace {

using decision::Keys;
using telemetry::SeriesKey;
using testing::HasSubstr;

class NoVersion : public runtime::Version {
 public:
  void Start(const runtime::Request&, int64_t, std::stop_token, runtime::Sink& sink) override {
    sink.OnEnd(OkStatus(), {});
  }
  Status WarmUp() override { return OkStatus(); }
  const std::vector<domain::TensorSpec>& outputs() const override { return outputs_; }

 private:
  std::vector<domain::TensorSpec> outputs_;
};

domain::ModelEntry Model() {
  domain::ModelEntry model;
  model.name = "fraud_detection";
  model.stable = "1.0.0";
  model.versions = {{"1.0.0", "xgboost", "", std::nullopt}, {"1.1.0", "xgboost", "", std::nullopt}};
  model.inputs = {{"features", "FP32", {-1, 12}}};
  return model;
}

domain::SplitEntry Split(domain::FinePercent threshold) {
  domain::SplitEntry split;
  split.rollout = "r";
  split.model = "fraud_detection";
  split.candidate = "1.1.0";
  split.threshold = threshold;
  split.hash_key = "user_id";
  split.seed = "fraud_detection";
  return split;
}

runtime::VersionTable Table(const std::set<std::string>& ready) {
  runtime::VersionTable::Ready versions;
  std::vector<runtime::VersionStatus> statuses;
  for (const std::string version : {"1.0.0", "1.1.0"}) {
    const bool is = ready.contains(version);
    if (is) versions[{"fraud_detection", version}] = std::make_shared<NoVersion>();
    statuses.push_back({"fraud_detection", version,
                        is ? runtime::State::kReady : runtime::State::kFailed,
                        is ? "" : "no good"});
  }
  return {std::move(versions), std::move(statuses)};
}

class PlanTest : public testing::Test {
 protected:
  const ModelPlan& Build(std::shared_ptr<decision::Ruleset> rules,
                         const std::set<std::string>& ready) {
    const runtime::VersionTable table = Table(ready);
    plan_ = Plan::Build(std::move(rules), &table, recorders_);
    return *plan_->Find("fraud_detection");
  }
  std::shared_ptr<decision::Ruleset> Rules(domain::ModelEntry model = Model()) {
    auto rules = std::make_shared<decision::Ruleset>();
    rules->epoch = 7;
    rules->version = 42;
    rules->Set(std::move(model));
    return rules;
  }

  Recorders recorders_;
  std::shared_ptr<const Plan> plan_;
};

TEST_F(PlanTest, WithoutARolloutStableAnswers) {
  const ModelPlan& model = Build(Rules(), {"1.0.0"});
  const Route route = plan_->Decide(model, {"user_123", "", ""}, 0);
  EXPECT_EQ(route.arm, Arm::kStable);
  EXPECT_EQ(route.target->version, "1.0.0");
  EXPECT_NE(route.target->handle, nullptr);
  EXPECT_EQ(plan_->snapshot(), "7.42");
  EXPECT_EQ(plan_->Find("other"), nullptr);
}

// user_123 has bucket 33068 of fraud_detection (DECISIONS' table).
TEST_F(PlanTest, TheThresholdParts) {
  auto rules = Rules();
  rules->Set(Split(33068));
  const ModelPlan& below = Build(rules, {"1.0.0", "1.1.0"});
  EXPECT_EQ(plan_->Decide(below, {"user_123", "", ""}, 0).arm, Arm::kStable);
  rules = Rules();
  rules->Set(Split(33069));
  const ModelPlan& above = Build(rules, {"1.0.0", "1.1.0"});
  const Route route = plan_->Decide(above, {"user_123", "", ""}, 0);
  EXPECT_EQ(route.arm, Arm::kCanary);
  EXPECT_EQ(route.target->version, "1.1.0");
  EXPECT_EQ(route.decision.bucket, 33068U);
}

TEST_F(PlanTest, ACanaryKeyIsDivertedWhileTheCandidateIsNotReady) {
  auto rules = Rules();
  rules->Set(Split(domain::kFineAll));
  const ModelPlan& model = Build(rules, {"1.0.0"});
  const Route route = plan_->Decide(model, {"user_123", "", ""}, 0);
  EXPECT_EQ(route.arm, Arm::kDiverted);
  EXPECT_EQ(route.target->version, "1.0.0");
  EXPECT_THAT(model.canary->unready, HasSubstr("1.1.0 is FAILED: no good"));
}

TEST_F(PlanTest, APinnedModelAnswersWithThatVersionOnly) {
  domain::ModelEntry entry = Model();
  entry.pinned = "1.1.0";
  auto rules = Rules(entry);
  rules->Set(Split(50'000));
  const ModelPlan& model = Build(rules, {"1.0.0", "1.1.0"});
  const Route route = plan_->Decide(model, {"user_123", "", ""}, 0);
  EXPECT_EQ(route.arm, Arm::kPinned);
  EXPECT_EQ(route.target->version, "1.1.0");
  EXPECT_EQ(model.Serving().version, "1.1.0");
}

std::shared_ptr<const decision::Overrides> Pin(const std::string& version) {
  decision::Overrides overrides;
  overrides.pins["fraud_detection"] = version;
  return std::make_shared<const decision::Overrides>(std::move(overrides));
}
std::shared_ptr<const decision::Overrides> ForceSplit(const std::string& arm) {
  decision::Overrides overrides;
  overrides.splits["fraud_detection"] = arm;
  return std::make_shared<const decision::Overrides>(std::move(overrides));
}

TEST_F(PlanTest, WhatIsForcedCountsAsPinnedAndInNoJudgedArm) {
  const struct {
    std::shared_ptr<const decision::Overrides> overrides;
    std::string version;
  } cases[] = {{Pin("1.1.0"), "1.1.0"},
               {Pin("1.0.0"), "1.0.0"},
               {ForceSplit("stable"), "1.0.0"},
               {ForceSplit("canary"), "1.1.0"}};
  for (const auto& [overrides, version] : cases) {
    auto rules = Rules();
    rules->Set(Split(50'000));
    rules->overrides = overrides;
    const ModelPlan& model = Build(rules, {"1.0.0", "1.1.0"});
    for (const std::string user : {"user_123", "user_1", "user_2", "user_3"}) {
      const Route route = plan_->Decide(model, {user, "", ""}, 0);
      EXPECT_EQ(route.arm, Arm::kPinned);
      EXPECT_EQ(route.target->version, version);
      EXPECT_EQ(route.decision.reason, decision::Reason::kOverride);
      route.target->recorder->Answer(1, false, 0);
    }
    EXPECT_EQ(model.Serving().version, version);
    EXPECT_TRUE(plan_->not_followed().empty());
    telemetry::Window window = recorders_.TakeTelemetry();
    ASSERT_EQ(window.size(), 1u);
    EXPECT_EQ(window.begin()->first, (SeriesKey{"model/fraud_detection", version, "pinned"}));
  }
}

TEST_F(PlanTest, WhatIsForcedIsFollowedOnlyWhereTheVersionIsReady) {
  for (const auto& overrides : {Pin("1.1.0"), ForceSplit("canary")}) {
    auto rules = Rules();
    rules->Set(Split(50'000));
    rules->overrides = overrides;
    const ModelPlan& model = Build(rules, {"1.0.0"});
    // As without: user_123's bucket is in, and its candidate is not ready.
    EXPECT_EQ(plan_->Decide(model, {"user_123", "", ""}, 0).arm, Arm::kDiverted);
    EXPECT_EQ(model.Serving().version, "1.0.0");
    ASSERT_EQ(plan_->not_followed().size(), 1u);
    EXPECT_THAT(plan_->not_followed()[0], HasSubstr("fraud_detection 1.1.0 is FAILED: no good"));
    Build(rules, {"1.0.0", "1.1.0"});
    EXPECT_TRUE(plan_->not_followed().empty()) << "it has loaded";
  }
}

TEST_F(PlanTest, AnOverrideBeatsTheControlPlanesPinAndAnEmergencyBeatsBoth) {
  domain::ModelEntry entry = Model();
  entry.pinned = "1.0.0";
  auto rules = Rules(entry);
  rules->overrides = Pin("1.1.0");
  const ModelPlan& forced = Build(rules, {"1.0.0", "1.1.0"});
  EXPECT_EQ(plan_->Decide(forced, {}, 0).target->version, "1.1.0");
  rules = Rules();
  rules->Set(Split(domain::kFineAll));
  rules->overrides = Pin("1.1.0");
  rules->emergency.baseline = true;
  const ModelPlan& baseline = Build(rules, {"1.0.0", "1.1.0"});
  const Route route = plan_->Decide(baseline, {"user_123", "", ""}, 0);
  EXPECT_EQ(route.arm, Arm::kStable);
  EXPECT_EQ(route.decision.reason, decision::Reason::kRollbackToBaseline);
}

TEST_F(PlanTest, EveryVersionAndArmCountsForItself) {
  auto rules = Rules();
  rules->Set(Split(50'000));
  const ModelPlan& model = Build(rules, {"1.0.0", "1.1.0"});
  model.stable.recorder->Answer(5, false, 0);
  model.canary->recorder->Answer(7, true, 99);
  model.canary->recorder->Diverted();
  model.by_version.at("1.0.0").recorder->Answer(1, false, 0);
  telemetry::Window window = recorders_.TakeTelemetry();
  ASSERT_EQ(window.size(), 3U);
  EXPECT_EQ((window[SeriesKey{"model/fraud_detection", "1.0.0", "stable"}].Counter("requests")),
            1U);
  EXPECT_EQ((window[SeriesKey{"model/fraud_detection", "1.0.0", "pinned"}].Counter("requests")),
            1U);
  const telemetry::Series& canary = window[SeriesKey{"model/fraud_detection", "1.1.0", "canary"}];
  EXPECT_EQ(canary.Counter("requests"), 1U);
  EXPECT_EQ(canary.Counter("bad"), 1U);
  EXPECT_EQ(canary.Counter("diverted"), 1U);
  EXPECT_THAT(canary.bad_keys, testing::ElementsAre(99U));
  EXPECT_TRUE(recorders_.TakeTelemetry().empty());
}

TEST_F(PlanTest, SumsOutliveAPlanAndEndWithTheirArm) {
  auto rules = Rules();
  rules->Set(Split(50'000));
  Build(rules, {"1.0.0", "1.1.0"}).canary->recorder->Answer(7, true, 1);
  Build(rules, {"1.0.0", "1.1.0"}).canary->recorder->Answer(7, false, 1);
  Recorders::Totals totals;
  recorders_.AddTo(totals);
  const SeriesKey canary{"model/fraud_detection", "1.1.0", "canary"};
  EXPECT_EQ(totals[canary].requests, 2U);
  EXPECT_EQ(totals[canary].errors, 1U);
  EXPECT_DOUBLE_EQ(totals[canary].duration.sum_s, 0.014);
  Build(Rules(), {"1.0.0"});  // the rollout is over
  EXPECT_EQ(recorders_.TakeTelemetry()[canary].Counter("requests"), 2U);
  recorders_.Prune();
  totals.clear();
  recorders_.AddTo(totals);
  EXPECT_FALSE(totals.contains(canary));
}

TEST_F(PlanTest, NothingIsReadyWithoutAVersionTable) {
  plan_ = Plan::Build(Rules(), nullptr, recorders_);
  const ModelPlan& model = *plan_->Find("fraud_detection");
  EXPECT_EQ(plan_->Decide(model, {}, 0).target->handle, nullptr);
  EXPECT_THAT(model.stable.unready, HasSubstr("is LOADING"));
}

TEST_F(PlanTest, WhatIsBlockedOrUnloadedIsNotReadyHoweverItIsLoaded) {
  domain::ModelEntry entry = Model();
  entry.versions[1].blocked = "it leaks";
  auto rules = Rules(entry);
  rules->Set(Split(domain::kFineAll));
  const ModelPlan& blocked = Build(rules, {"1.0.0", "1.1.0"});
  EXPECT_EQ(blocked.by_version.at("1.1.0").handle, nullptr);
  EXPECT_EQ(blocked.by_version.at("1.1.0").unready, "fraud_detection 1.1.0 is blocked: it leaks");
  EXPECT_EQ(plan_->Decide(blocked, {"user_123", "", ""}, 0).arm, Arm::kDiverted);
  // Not even an operator's pin on this node is followed.
  rules = Rules(entry);
  rules->overrides = Pin("1.1.0");
  const ModelPlan& pinned = Build(rules, {"1.0.0", "1.1.0"});
  EXPECT_EQ(plan_->Decide(pinned, {"user_123", "", ""}, 0).target->version, "1.0.0");
  EXPECT_THAT(plan_->not_followed(), testing::ElementsAre(HasSubstr("is blocked: it leaks")));
  entry.versions[1].blocked.clear();
  entry.versions[1].unloaded = true;
  const ModelPlan& unloaded = Build(Rules(entry), {"1.0.0", "1.1.0"});
  EXPECT_EQ(unloaded.by_version.at("1.1.0").unready, "fraud_detection 1.1.0 is unloaded");
}

TEST_F(PlanTest, AShadowHasATargetAndNoCanary) {
  auto rules = Rules();
  domain::SplitEntry split = Split(domain::kFineAll);
  split.shadow = true;
  rules->Set(split);
  const ModelPlan& model = Build(rules, {"1.0.0", "1.1.0"});
  const Route route = plan_->Decide(model, {"user_123", "", ""}, 0);
  EXPECT_EQ(route.arm, Arm::kStable);
  EXPECT_TRUE(route.decision.is_copied);
  EXPECT_FALSE(model.canary.has_value());
  ASSERT_TRUE(model.shadow.has_value());
  model.shadow->recorder->Answer(1, false, 0);
  EXPECT_TRUE(recorders_.TakeTelemetry().contains({"model/fraud_detection", "1.1.0", "shadow"}));
}

TEST_F(PlanTest, ACanaryKeepsItsBreakerFromPlanToPlanWhileItGetsKeys) {
  breaker::Breakers breakers;
  const auto build = [&](domain::FinePercent threshold) {
    auto rules = Rules();
    rules->Set(Split(threshold));
    const runtime::VersionTable table = Table({"1.0.0", "1.1.0"});
    plan_ = Plan::Build(std::move(rules), &table, recorders_, &breakers);
    breakers.Prune();
    return plan_->Find("fraud_detection")->canary->breaker;
  };
  std::shared_ptr<breaker::Breaker> first = build(1'000);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(build(2'000), first);
  EXPECT_EQ(build(0), nullptr);
  EXPECT_EQ(plan_->Find("fraud_detection")->stable.breaker, nullptr);
}

TEST_F(PlanTest, OnlyServicesWithoutDeclaredInputsTakeAnything) {
  domain::ModelEntry entry = Model();
  entry.inputs.clear();
  EXPECT_FALSE(Build(Rules(entry), {"1.0.0"}).takes_anything);
  for (domain::VersionEntry& version : entry.versions) {
    version.runtime = "predict";
    version.urls = {"http://127.0.0.1:1"};
  }
  const ModelPlan& open = Build(Rules(entry), {"1.0.0"});
  EXPECT_TRUE(open.takes_anything);
  EXPECT_TRUE(open.stable.is_service);
  EXPECT_TRUE(open.stable.is_predict);
  entry.inputs = Model().inputs;
  EXPECT_FALSE(Build(Rules(entry), {"1.0.0"}).takes_anything);
}

TEST_F(PlanTest, AModelsFlagsAreJudgedWhileTheyRollOut) {
  domain::ModelEntry entry = Model();
  entry.flags = {"new_ui", "other"};
  auto rules = Rules(entry);
  domain::SplitEntry split;
  split.rollout = "new-ui";
  split.flag = "new_ui";
  split.hash_key = "session_id";
  rules->Set(split);
  const ModelPlan& model = Build(rules, {"1.0.0"});
  ASSERT_EQ(model.flags.size(), 2U);
  EXPECT_EQ(model.flags[0].hash_key, "session_id");
  EXPECT_EQ(model.flags[1].hash_key, "user_id");
  EXPECT_EQ(model.flags[1].on, nullptr);
  model.flags[0].on->Answer(1, false, 0);
  EXPECT_TRUE(recorders_.TakeTelemetry().contains({"split/new_ui", "new-ui", "canary"}));
  Recorders::Totals totals;
  recorders_.AddTo(totals);
  for (const auto& [key, total] : totals) EXPECT_THAT(key.subject, testing::StartsWith("model/"));
}

}  // namespace
}  // namespace weir::node::routing
