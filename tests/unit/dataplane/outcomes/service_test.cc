// SPDX-License-Identifier: Apache-2.0
// Outcomes from the request's body to the series that they count in.
#include "dataplane/outcomes/service.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/outcomes/token.h"

namespace weir::node::outcomes {
namespace {

using nlohmann::json;
using telemetry::SeriesKey;

constexpr int64_t kHourMs = 3'600'000;

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

class OutcomesTest : public testing::Test {
 protected:
  OutcomesTest() {
    rules_->epoch = 7;
    domain::ModelEntry model{.name = "m", .stable = "1"};
    for (const char* version : {"1", "2"}) model.versions.emplace_back().version = version;
    rules_->Set(model);
    split_ = {.rollout = "m-2",
              .model = "m",
              .candidate = "2",
              .threshold = 50'000,
              .hash_key = "user_id",
              .seed = "m",
              .since_wall_ms = clock_.WallMs() - kHourMs,
              .attribution_ms = 24 * kHourMs};
    rules_->Set(split_);
    domain::FlagEntry flag;
    flag.name = flag.seed = "f";
    flag.enabled = true;
    rules_->Set(flag);
    flag_split_ = split_;
    flag_split_.rollout = "f-on";
    flag_split_.model = flag_split_.candidate = "";
    flag_split_.flag = flag_split_.seed = "f";
    rules_->Set(flag_split_);
  }

  // A key in the share of the split, or one that is not.
  static std::string KeyOf(const decision::Split& split, bool in) {
    for (int i = 0;; ++i) {
      const std::string key = "user-" + std::to_string(i);
      if (decision::IsInShare(split, key) == in) return key;
    }
  }
  std::string KeyOf(const char* model, bool in) const {
    return KeyOf(*rules_->model_splits().Find(model), in);
  }
  std::string KeyOfFlag(bool in) const { return KeyOf(*rules_->flag_splits().Find("f"), in); }

  http::Response Post(const json& body) {
    runtime::VersionTable::Ready ready;
    for (const std::string& version : ready_) {
      ready[{"m", version}] = std::make_shared<NoVersion>();
    }
    const runtime::VersionTable table(std::move(ready), {});
    plan_ = routing::Plan::Build(rules_, &table, recorders_, &breakers_);
    const std::string text = body.dump();
    http::Request request;
    request.body = text;
    return service_.Handle(request, plan_.get());
  }
  // Posts one outcome, of `value` 2.
  http::Response PostOne(json outcome) {
    outcome["metric"] = "revenue";
    outcome["value"] = 2;
    return Post(outcome);
  }
  std::string Token(const char* version, const char* arm, int64_t age_ms = 1000) const {
    return EncodeToken({"m", version, arm, "m-2", clock_.WallMs() - age_ms});
  }
  // Where one outcome of 2 went, and nothing else.
  SeriesKey Counted() {
    telemetry::Window window = recorders_.TakeTelemetry();
    EXPECT_EQ(window.size(), 1u);
    if (window.size() != 1) return {};
    EXPECT_EQ(window.begin()->second.outcomes,
              (std::map<std::string, telemetry::Outcome>{
                  {"revenue", {.n = 1, .sum = 2, .sum_squares = 4}}}));
    return window.begin()->first;
  }

  ManualClock clock_;
  std::shared_ptr<decision::Ruleset> rules_ = std::make_shared<decision::Ruleset>();
  domain::SplitEntry split_;
  domain::SplitEntry flag_split_;
  std::vector<std::string> ready_{"1", "2"};
  routing::Recorders recorders_;
  breaker::Breakers breakers_;
  std::shared_ptr<const routing::Plan> plan_;
  Service service_{{}, clock_, recorders_};
};

TEST_F(OutcomesTest, ByTokenTheyCountForWhoAnswered) {
  EXPECT_EQ(PostOne({{"decision", Token("2", "canary")}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "2", "canary"}));
  EXPECT_EQ(PostOne({{"decision", Token("1", "stable")}, {"model", "m"}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "1", "stable"}));
}

TEST_F(OutcomesTest, JudgedArmsStayRandom) {
  for (const char* arm : {"pinned", "diverted", "anything"}) {
    EXPECT_EQ(PostOne({{"decision", Token("1", arm)}}).status, 200);
    EXPECT_EQ(Counted(), (SeriesKey{"model/m", "1", "pinned"})) << arm;
  }
}

TEST_F(OutcomesTest, ByKeyTheyCountForTheArmOfTheKey) {
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", KeyOf("m", true)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "2", "canary"}));
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", KeyOf("m", false)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "1", "stable"}));
}

TEST_F(OutcomesTest, ByKeyTheCanaryIsNotCreditedWithWhatStableMayHaveAnswered) {
  const auto post = [this](bool in) {
    return PostOne({{"model", "m"}, {"key", KeyOf("m", in)}, {"timestamp", clock_.WallMs()}});
  };
  const auto is_refused_for_the_canary = [&] {
    const http::Response refused = post(true);
    EXPECT_NE(refused.body.find("x-weir-decision"), std::string::npos) << refused.body;
    return refused.status == 409 && post(false).status == 200;
  };
  ready_ = {"1"};
  EXPECT_TRUE(is_refused_for_the_canary()) << "diverted";
  ready_ = {"1", "2"};
  EXPECT_EQ(post(true).status, 200);
  const auto breaker = breakers_.Prepare("m", "2");
  for (int i = 0; i < 5; ++i)
    breaker->Answer(breaker->Admit(0), breaker::Outcome::kUnreached, 1, 0);
  EXPECT_TRUE(is_refused_for_the_canary()) << "the breaker is open";
  breaker->Reset();
  EXPECT_EQ(post(true).status, 200);
  rules_->watched_since_wall_ms = clock_.WallMs() + 1;
  EXPECT_EQ(post(true).status, 200) << "a rollout that holds";
  split_.unwatched_after_ms = 1000;
  rules_->Set(split_);
  EXPECT_TRUE(is_refused_for_the_canary()) << "nobody watched then";
  rules_->watched_since_wall_ms = clock_.WallMs();
  EXPECT_EQ(post(true).status, 200);
  split_.fallback = true;
  rules_->Set(split_);
  EXPECT_TRUE(is_refused_for_the_canary()) << "stable stands in";
}

TEST_F(OutcomesTest, ACanaryOfAnotherRolloutIsJudgedByNobody) {
  const std::string token = EncodeToken({"m", "2", "canary", "m-2-before", clock_.WallMs()});
  EXPECT_EQ(PostOne({{"decision", token}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "2", "pinned"}));
}

TEST_F(OutcomesTest, ARolloutMayBeNamedUnwatched) {
  rules_->Remove(domain::EntryKind::kSplit, "f-on");
  flag_split_.rollout = "unwatched";
  rules_->Set(flag_split_);
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", KeyOfFlag(true)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"split/f", "unwatched", "canary"}));
}

TEST_F(OutcomesTest, ALargeBodyIsNotRead) {
  const std::string large(Service::kMaxBody + 1, ' ');
  http::Request request;
  request.body = large;
  EXPECT_EQ(service_.Handle(request, plan_.get()).status, 413);
}

TEST_F(OutcomesTest, WithoutARolloutTheyCountForStable) {
  rules_->Remove(domain::EntryKind::kSplit, "m-2");
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", "anyone"}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "1", "stable"}));
}

TEST_F(OutcomesTest, OfAFlagTheyCountForItsRollout) {
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", KeyOfFlag(true)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"split/f", "f-on", "canary"}));
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", KeyOfFlag(false)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"split/f", "f-on", "stable"}));
  rules_->Remove(domain::EntryKind::kSplit, "f-on");
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", "anyone"}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"split/f", "", "stable"}));
  auto overrides = std::make_shared<decision::Overrides>();
  overrides->flags["f"] = "on";
  rules_->overrides = overrides;
  rules_->Set(flag_split_);
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", "anyone"}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"split/f", "f-on", "pinned"})) << "forced on this node";
}

TEST_F(OutcomesTest, AKeyFromBeforeTheShareIsRefusedAndATokenIsNot) {
  const int64_t before = split_.since_wall_ms - 1;
  const http::Response refused = PostOne({{"model", "m"}, {"key", "a"}, {"timestamp", before}});
  EXPECT_EQ(refused.status, 409);
  EXPECT_NE(refused.body.find("x-weir-decision"), std::string::npos) << refused.body;
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", "a"}, {"timestamp", before}}).status, 409);
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", "a"}, {"timestamp", before + 1}}).status, 200);
  recorders_.TakeTelemetry();
  const std::string token = Token("2", "canary", kHourMs + 5000);
  EXPECT_EQ(PostOne({{"decision", token}, {"timestamp", before}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "2", "canary"}));
}

TEST_F(OutcomesTest, AKeyHasNoArmWhenEachRequestIsDrawn) {
  split_.random = true;
  rules_->Set(split_);
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", "a"}}).status, 409);
}

TEST_F(OutcomesTest, WhatAnEmergencyOrSilenceTookAwayIsNotGuessed) {
  rules_->emergency.baseline = true;
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", KeyOf("m", true)}}).status, 409);
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", KeyOfFlag(true)}}).status, 409);
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", KeyOfFlag(false)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"split/f", "f-on", "stable"}));
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", KeyOf("m", false)}}).status, 200);
  EXPECT_EQ(Counted(), (SeriesKey{"model/m", "1", "stable"})) << "stable before and after";
  rules_->emergency = {};
  split_.unwatched_after_ms = flag_split_.unwatched_after_ms = 1000;
  rules_->Set(split_);
  rules_->Set(flag_split_);
  rules_->unwatched_ms = 1000;
  EXPECT_EQ(PostOne({{"model", "m"}, {"key", KeyOf("m", true)}}).status, 409);
  EXPECT_EQ(PostOne({{"flag", "f"}, {"key", KeyOfFlag(true)}}).status, 409);
}

TEST_F(OutcomesTest, BeyondTheAttributionWindowTheyAreCountedAsLate) {
  const json answer = json::parse(PostOne({{"decision", Token("2", "canary", 25 * kHourMs)}}).body);
  EXPECT_EQ(answer["accepted"], 0);
  EXPECT_EQ(answer["late"], 1);
  EXPECT_TRUE(answer["rejected"].empty());
  telemetry::Window window = recorders_.TakeTelemetry();
  ASSERT_EQ(window.size(), 1u);
  const auto& [key, series] = *window.begin();
  EXPECT_EQ(key, (SeriesKey{"model/m", "2", "canary"}));
  EXPECT_EQ(series.Counter(telemetry::kLate), 1u);
  EXPECT_TRUE(series.outcomes.empty());
  // Posted late, of an outcome in time.
  const int64_t at = clock_.WallMs() - 2 * kHourMs;
  const json in_time = json::parse(
      PostOne({{"decision", Token("2", "canary", 25 * kHourMs)}, {"timestamp", at}}).body);
  EXPECT_EQ(in_time["accepted"], 1);
  const json by_key = json::parse(
      PostOne({{"model", "m"}, {"key", "a"}, {"timestamp", clock_.WallMs() - 25 * kHourMs}}).body);
  EXPECT_EQ(by_key["late"], 1);
}

TEST_F(OutcomesTest, EachIsRefusedForItselfWithItsIndexAndField) {
  const http::Response response =
      Post({{"outcomes",
             {{{"model", "m"}, {"key", "a"}, {"metric", "click"}, {"value", 1}},
              {{"model", "m"}, {"key", "a"}, {"metric", "Click"}, {"value", 1}},
              {{"model", "other"}, {"key", "a"}, {"metric", "click"}, {"value", 1}},
              {{"decision", "!"}, {"metric", "click"}, {"value", 1}}}}});
  EXPECT_EQ(response.status, 200) << "one was taken";
  const json answer = json::parse(response.body);
  EXPECT_EQ(answer["accepted"], 1);
  ASSERT_EQ(answer["rejected"].size(), 3u);
  EXPECT_EQ(answer["rejected"][0]["index"], 1);
  EXPECT_EQ(answer["rejected"][0]["field"], "metric");
  EXPECT_EQ(answer["rejected"][1]["index"], 2);
  EXPECT_EQ(answer["rejected"][1]["error"], "model \"other\" is unknown");
  EXPECT_EQ(answer["rejected"][2]["index"], 3);
  EXPECT_EQ(answer["rejected"][2]["field"], "decision");
  EXPECT_EQ(service_.totals().accepted, 1u);
  EXPECT_EQ(service_.totals().rejected, 3u);
}

TEST_F(OutcomesTest, ARefusalOfAllHasItsStatus) {
  EXPECT_EQ(PostOne({{"model", "other"}, {"key", "a"}}).status, 404);
  EXPECT_EQ(PostOne({{"flag", "other"}, {"key", "a"}}).status, 404);
  EXPECT_EQ(PostOne({{"decision", Token("3", "canary")}}).status, 404) << "no such version";
  EXPECT_EQ(PostOne({{"decision", Token("2", "canary")}, {"model", "other"}}).status, 400);
  const http::Response none = Post(json::array());
  EXPECT_EQ(none.status, 400);
  EXPECT_NE(none.body.find("body: "), std::string::npos) << none.body;
}

TEST_F(OutcomesTest, MadeUpMetricsTakeNoRoomWithoutEnd) {
  json outcomes = json::array();
  for (int i = 0; i < 40; ++i) {
    outcomes.push_back(
        {{"model", "m"}, {"key", "a"}, {"metric", "m" + std::to_string(i)}, {"value", 1}});
  }
  const json answer = json::parse(Post({{"outcomes", outcomes}}).body);
  EXPECT_EQ(answer["accepted"], 32);
  EXPECT_EQ(answer["rejected"].size(), 8u);
  EXPECT_EQ(service_.totals().dropped, 8u);
  EXPECT_EQ(service_.totals().rejected, 0u);
}

TEST_F(OutcomesTest, WithTokensOnlyWhoShowsOneMayPost) {
  Service guarded({"secret-1", "secret-2"}, clock_, recorders_);
  http::Request request;
  EXPECT_EQ(guarded.Handle(request, nullptr).status, 401);
  EXPECT_EQ(service_.Handle(request, nullptr).status, 503) << "no snapshot yet";
}

}  // namespace
}  // namespace weir::node::outcomes
