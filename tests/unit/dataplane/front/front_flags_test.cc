// SPDX-License-Identifier: Apache-2.0
// Flags and overrides on the node's own surface: metrics, /ready and the admin address.
#include <gmock/gmock.h>

#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

using testing::HasSubstr;
using testing::Not;

class FrontFlags : public NodeTest {
 protected:
  void Publish(const decision::Ruleset& rules) {
    std::promise<void> taken;
    front_->PublishRules(std::make_shared<const decision::Ruleset>(rules),
                         [&] { taken.set_value(); });
    taken.get_future().wait();
  }
  static domain::FlagEntry Flag(const std::string& name, domain::FinePercent threshold) {
    domain::FlagEntry flag;
    flag.name = name;
    flag.enabled = true;
    flag.threshold = threshold;
    flag.seed = "ttft-pipeline-2025-01-08";
    return flag;
  }
  static decision::Ruleset Rules() {
    decision::Ruleset rules;
    rules.epoch = 3;
    rules.version = 1;
    return rules;
  }
  static int Times(const std::string& text, const std::string& what) {
    int times = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++times;
    return times;
  }
  void Evaluate(const std::string& flag, const std::string& key) {
    const json body = {{"context", {{"targetingKey", key}}}};
    EXPECT_EQ(Do("POST", "/ofrep/v1/evaluate/flags/" + flag, {}, body.dump()).status, 200);
  }
};

// user-2 has bucket 17159 of this seed, request-123 31573 (DECISIONS' table).
TEST_F(FrontFlags, DecisionsAreCountedOverAllWorkersAndExplainingIsNone) {
  FrontOptions options;
  options.http.workers = 2;
  Start(std::move(options));
  decision::Ruleset rules = Rules();
  rules.Set(Flag("ttft_pipeline", 20'000));
  Publish(rules);
  for (int i = 0; i < 4; ++i) {
    client_ = std::make_unique<http::Client>(front_->http_address());  // the next worker
    Evaluate("ttft_pipeline", "user-2");
    Evaluate("ttft_pipeline", "request-123");
    Do("POST", "/weir/v1/explain", {}, R"({"key": "user-2"})");
  }
  const std::string text = Get("/metrics").body;
  EXPECT_THAT(text, HasSubstr("\nweir_feature_flags_decisions_total{feature=\"ttft_pipeline\","
                              "enabled=\"true\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("\nweir_feature_flags_decisions_total{feature=\"ttft_pipeline\","
                              "enabled=\"false\"} 4\n"));
  telemetry::Window window = Telemetry();
  const telemetry::SeriesKey on{"flag/ttft_pipeline", "1", telemetry::kArmOn};
  EXPECT_EQ(window[on].Counter(telemetry::kRequests), 4u);
}

TEST_F(FrontFlags, PercentagesAreThoseInForceNow) {
  const ManualClock clock;
  Start({}, clock);
  decision::Ruleset rules = Rules();
  rules.Set(Flag("ten", 10'000));
  domain::FlagEntry disabled = Flag("disabled", 10'000);
  disabled.enabled = false;
  rules.Set(disabled);
  domain::FlagEntry scheduled = Flag("scheduled", 10'000);
  scheduled.schedule = {{clock.WallMs() - 1, std::nullopt, 33'333, ""},
                        {clock.WallMs() + 1000, std::nullopt, 90'000, ""}};
  rules.Set(scheduled);
  rules.Set(Flag("rolling", 10'000));
  domain::SplitEntry split;
  split.rollout = "r";
  split.flag = "rolling";
  split.threshold = 50'000;
  split.seed = "s";
  rules.Set(split);
  rules.Set(Flag("forced", 10'000));
  decision::Overrides overrides;
  overrides.flags["forced"] = "on";
  rules.overrides = std::make_shared<const decision::Overrides>(overrides);
  domain::FlagEntry variants = Flag("color", 0);
  variants.variants = {{"red", {"1"}}};
  rules.Set(variants);
  Publish(rules);
  const std::string text = Get("/metrics").body;
  const auto line = [](const std::string& flag, const std::string& value) {
    return "\nweir_feature_flags_rollout_percentage{feature=\"" + flag + "\"} " + value + "\n";
  };
  EXPECT_THAT(text, HasSubstr(line("ten", "10")));
  EXPECT_THAT(text, HasSubstr(line("disabled", "0")));
  EXPECT_THAT(text, HasSubstr(line("scheduled", "33.333")));
  EXPECT_THAT(text, HasSubstr(line("rolling", "50")));
  EXPECT_THAT(text, HasSubstr(line("forced", "100")));
  EXPECT_THAT(text, Not(HasSubstr("_rollout_percentage{feature=\"color\"}")));
  EXPECT_THAT(text, HasSubstr("\nweir_feature_flags_kill_switch{value=\"false\"} 0\n"));
  rules.emergency.kill_switch = true;
  Publish(rules);
  const std::string killed = Get("/metrics").body;
  EXPECT_THAT(killed, HasSubstr("\nweir_feature_flags_kill_switch{value=\"true\"} 1\n"));
  EXPECT_THAT(killed, Not(HasSubstr("kill_switch{value=\"false\"}")));
  EXPECT_THAT(killed, HasSubstr(line("forced", "0"))) << "an emergency goes over an override";
}

TEST_F(FrontFlags, TheFilesPrefixIsAnAliasAndExportCanBeTurnedOff) {
  Start();
  decision::Ruleset rules = Rules();
  rules.Set(Flag("ttft_pipeline", 10'000));
  rules.Set(domain::ObservabilityEntry{"default", {.metric_prefix = "mlx_serving_feature_flags"}});
  Publish(rules);
  Evaluate("ttft_pipeline", "user-2");
  std::string text = Get("/metrics").body;
  for (const std::string prefix : {"weir_feature_flags", "mlx_serving_feature_flags"}) {
    EXPECT_THAT(text, HasSubstr("\n" + prefix +
                                "_decisions_total{feature=\"ttft_pipeline\",enabled=\"false\"} 1"));
    EXPECT_THAT(text,
                HasSubstr("\n" + prefix + "_rollout_percentage{feature=\"ttft_pipeline\"} 10"));
    EXPECT_THAT(text, HasSubstr("\n" + prefix + "_kill_switch{value=\"false\"} 0"));
    for (const char* name : {"_decisions_total", "_rollout_percentage", "_kill_switch"}) {
      EXPECT_EQ(Times(text, "# TYPE " + prefix + name + " "), 1);
      EXPECT_EQ(Times(text, "# HELP " + prefix + name + " "), 1);
    }
  }
  rules.Set(domain::ObservabilityEntry{"default", {.metric_prefix = "weir_feature_flags"}});
  Publish(rules);
  text = Get("/metrics").body;
  EXPECT_EQ(Times(text, "# TYPE weir_feature_flags_kill_switch "), 1);
  rules.Set(domain::ObservabilityEntry{"default", {.export_metrics = false, .metric_prefix = "x"}});
  Publish(rules);
  EXPECT_THAT(Get("/metrics").body, Not(HasSubstr("feature_flags")));
}

TEST_F(FrontFlags, ReadySaysWhatIsForcedAndStaysReady) {
  StartWithAll();
  EXPECT_THAT(Get("/metrics").body, HasSubstr("\nweir_override_active 0\n"));
  front_->PublishOverrides(std::make_shared<const OverridesView>(
      OverridesView{true, {"flag a is forced off by /etc/weir/override.yaml"}}));
  decision::Ruleset rules = Rules();
  rules.Set(model_);
  decision::Overrides overrides;
  overrides.pins[model_.name] = "1.2.0";
  rules.overrides = std::make_shared<const decision::Overrides>(overrides);
  PublishVersions({"1.0.0"});
  Publish(rules);
  const auto ready = Get("/ready");
  EXPECT_EQ(ready.status, 200);
  const json forced = json::parse(ready.body)["overrides"];
  ASSERT_EQ(forced.size(), 2u) << ready.body;
  EXPECT_EQ(forced[0], "flag a is forced off by /etc/weir/override.yaml");
  EXPECT_THAT(forced[1].get<std::string>(), HasSubstr("is not pinned to 1.2.0 as forced"));
  EXPECT_THAT(Get("/metrics").body, HasSubstr("\nweir_override_active 1\n"));
  const json selected = json::parse(Get("/weir/v1/select?model=fraud_detection").body);
  EXPECT_EQ(selected["version"], "1.0.0") << "what would have answered without";
  EXPECT_EQ(selected["reason"], "NO_ROLLOUT");
  PublishVersions({"1.0.0", "1.2.0"});
  const json followed = json::parse(Get("/weir/v1/select?model=fraud_detection").body);
  EXPECT_EQ(followed["version"], "1.2.0");
  EXPECT_EQ(followed["reason"], "OVERRIDE");
  EXPECT_EQ(followed["arm"], "pinned");
  EXPECT_EQ(followed["is_canary"], false);
}

TEST_F(FrontFlags, AnEmergencyBeforeTheFirstSnapshotMakesNobodyReady) {
  Start();
  decision::Ruleset rules;
  rules.emergency.kill_switch = true;
  Publish(rules);
  const auto ready = Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr("none has come from the control plane yet"));
  EXPECT_EQ(Get("/v2/health/ready").status, 503);
}

TEST_F(FrontFlags, OverridesBeforeTheFirstSnapshotMakeNothingUnknown) {
  Start();
  decision::Ruleset rules;
  decision::Overrides overrides;
  overrides.pins[model_.name] = "1.2.0";
  rules.overrides = std::make_shared<const decision::Overrides>(overrides);
  Publish(rules);
  EXPECT_EQ(Infer(std::string("{}")).status, 503);
  EXPECT_EQ(Get("/v2/models/fraud_detection").status, 503);
  EXPECT_EQ(Get("/weir/v1/select?model=fraud_detection").status, 503);
  const std::string question = R"({"key": "user-2"})";
  EXPECT_EQ(Do("POST", "/weir/v1/explain", {}, question).status, 503);
  rules.emergency.kill_switch = true;
  Publish(rules);
  EXPECT_EQ(Infer(std::string("{}")).status, 503);
  EXPECT_EQ(Do("POST", "/weir/v1/explain", {}, question).status, 200);
}

TEST_F(FrontFlags, BatchingIsOffOnlyByAFlagOrAnOverrideOfIt) {
  Start();
  PublishVersions({"1.0.0"});
  NodeStatusView status;
  status.node = "n1";
  front_->PublishStatus(std::make_shared<const NodeStatusView>(status));
  const std::string row = Body({std::vector<float>(12, 1)}).dump();
  const auto is_batched = [&](const decision::Ruleset& rules) {
    const auto count = [&] {
      const std::string text = Get("/metrics").body;
      const std::string name = "\nweir_batch_size_count ";
      return std::stoi(text.substr(text.find(name) + name.size()));
    };
    Publish(rules);
    const int before = count();
    EXPECT_EQ(Infer(row).status, 200);
    return count() > before;
  };
  decision::Ruleset rules = Rules();
  rules.Set(model_);
  EXPECT_TRUE(is_batched(rules));
  rules.emergency.kill_switch = true;
  EXPECT_TRUE(is_batched(rules)) << "there is no such flag";
  rules.emergency.kill_switch = false;
  rules.emergency.baseline = true;
  EXPECT_TRUE(is_batched(rules));
  rules.emergency = {};
  decision::Overrides overrides;
  overrides.flags["inference_batching"] = "off";
  rules.overrides = std::make_shared<const decision::Overrides>(overrides);
  EXPECT_FALSE(is_batched(rules));
  rules.overrides = nullptr;
  rules.Set(Flag("inference_batching", domain::kFineAll));
  EXPECT_TRUE(is_batched(rules));
  rules.emergency.kill_switch = true;
  EXPECT_FALSE(is_batched(rules)) << "the kill switch turns every flag off";
}

TEST_F(FrontFlags, AnExplanationOfDeepJsonIsRefused) {
  StartWithAll();
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  for (const std::string& body : {deep, R"({"key": "k", "context": {"a": )" + deep + "}}"}) {
    const auto refused = Do("POST", "/weir/v1/explain", {}, body);
    EXPECT_EQ(refused.status, 400);
    EXPECT_THAT(refused.body, HasSubstr("nested deeper than 64"));
  }
  EXPECT_EQ(Get("/health").status, 200);
}

TEST_F(FrontFlags, OverridesAreChangedOnTheAdminAddressOnly) {
  const auto answer = [](const http::Request& request,
                         std::function<void(http::Response)> respond) {
    http::Response response;
    response.body = json({{"was", request.method}}).dump();
    respond(std::move(response));
  };
  FrontOptions options;
  options.admin.emplace();
  options.break_glass = answer;
  Start(std::move(options));
  EXPECT_EQ(Get("/weir/v1/override").status, 404);
  http::Client admin(front_->admin_address());
  const auto asked = admin.Do("DELETE", "/weir/v1/override");
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(asked->status, 200);
  EXPECT_EQ(json::parse(asked->body)["was"], "DELETE");
  EXPECT_THAT(admin.Do("GET", "/metrics")->body,
              HasSubstr("weir_requests_total{endpoint=\"override\",status=\"200\"} 1"));

  FrontOptions same;  // one address for both
  same.break_glass = answer;
  Start(std::move(same));
  EXPECT_EQ(Get("/weir/v1/override").status, 200);
  Start();
  EXPECT_EQ(Get("/weir/v1/override").status, 404);
}

}  // namespace
}  // namespace weir::node::front
