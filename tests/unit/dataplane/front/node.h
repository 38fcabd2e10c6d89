// SPDX-License-Identifier: Apache-2.0
// A front on ports of its own with the demo's models behind it, and a client of it.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/front/front.h"
#include "dataplane/runtime/xgboost/xgboost_runtime.h"
#include "shared/base/clock.h"
#include "shared/http/client.h"
#include "tests/unit/dataplane/models.h"

namespace weir::node::front {

using nlohmann::json;

class NodeTest : public testing::Test {
 protected:
  NodeTest() {
    model_.name = "fraud_detection";
    model_.stable = "1.0.0";
    model_.inputs = {{"features", "FP32", {-1, 12}}};
    for (const char* version : {"1.0.0", "1.1.0", "1.2.0"}) {
      model_.versions.push_back({version, "xgboost", "", std::nullopt});
    }
  }

  void Start(FrontOptions options = {}, const Clock& clock = Clock::System()) {
    clock_ = &clock;
    front_ = std::make_unique<Front>(std::move(options), clock);
    if (on_start_) on_start_(*front_);
    const Status started = front_->Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    client_ = std::make_unique<http::Client>(front_->http_address());
  }

  void PublishRules() {
    auto rules = std::make_shared<decision::Ruleset>();
    rules->epoch = 3;
    rules->version = ++version_;
    rules->emergency = emergency_;
    rules->Set(model_);
    if (threshold_ > 0) {
      domain::SplitEntry split;
      split.rollout = "fraud-next";
      split.model = model_.name;
      split.candidate = candidate_;
      split.threshold = threshold_;
      split.hash_key = "user_id";
      split.seed = model_.name;
      split.shadow = shadow_;
      split.fallback = fallback_;
      rules->Set(split);
    }
    domain::FlagEntry flag;
    flag.name = "ttft_pipeline";
    flag.enabled = true;
    flag.threshold = 20'000;
    flag.seed = "ttft-pipeline-2025-01-08";
    rules->Set(flag);
    domain::ExperimentEntry experiment;
    experiment.name = "prompts";
    experiment.hash_key = "user_id";
    experiment.seed = "exp-2025";
    experiment.groups = {{"control", 50}, {"treatment", 50}};
    rules->Set(experiment);
    Extend(*rules);
    std::promise<void> taken;
    front_->PublishRules(rules, [&] { taken.set_value(); });
    taken.get_future().wait();
  }

  // What a test adds to the rules.
  virtual void Extend(decision::Ruleset&) {}

  // Every version of the model as READY if it is listed, else FAILED.
  void PublishVersions(const std::vector<std::string>& ready) {
    runtime::VersionTable::Ready loaded;
    std::vector<runtime::VersionStatus> statuses;
    for (const domain::VersionEntry& entry : model_.versions) {
      const bool is = std::find(ready.begin(), ready.end(), entry.version) != ready.end();
      if (is) loaded[{model_.name, entry.version}] = Load(entry.version, *clock_);
      statuses.push_back({model_.name, entry.version,
                          is ? runtime::State::kReady : runtime::State::kFailed,
                          is ? "" : "did not load"});
    }
    front_->PublishVersions(
        std::make_shared<const runtime::VersionTable>(std::move(loaded), std::move(statuses)));
  }

  void StartWithAll(FrontOptions options = {}, const Clock& clock = Clock::System()) {
    Start(std::move(options), clock);
    PublishVersions({"1.0.0", "1.1.0", "1.2.0"});
    PublishRules();
  }

  static std::shared_ptr<runtime::Version> Load(const std::string& version,
                                                const Clock& clock = Clock::System()) {
    const auto runtime = runtime::MakeXgboostRuntime(clock);
    const std::string bytes = ModelFile(version);
    auto loaded = runtime->Load({"fraud_detection", version, bytes});
    EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
    return *loaded;
  }

  // What the version itself answers for these rows, past all of the front.
  static std::vector<float> Direct(const std::string& version,
                                   const std::vector<std::vector<float>>& rows) {
    struct Sink : runtime::Sink {
      void OnHead() override {}
      void OnChunk(std::span<const runtime::TensorView> outputs) override {
        values.resize(outputs[0].data.size() / sizeof(float));
        std::memcpy(values.data(), outputs[0].data.data(), outputs[0].data.size());
      }
      void OnEnd(Status status, const runtime::Usage&) override {
        EXPECT_TRUE(status.ok()) << status.ToString();
      }
      std::vector<float> values;
    } sink;
    runtime::Tensor tensor;
    tensor.shape = {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())};
    for (const auto& row : rows) {
      const auto* bytes = reinterpret_cast<const std::byte*>(row.data());
      tensor.data.insert(tensor.data.end(), bytes, bytes + row.size() * sizeof(float));
    }
    Load(version)->Start({std::span(&tensor, 1)}, INT64_MAX, {}, sink);
    return sink.values;
  }

  static json Body(const std::vector<std::vector<float>>& rows, const std::string& user = "") {
    json data = json::array();
    for (const auto& row : rows) {
      for (const float value : row) data.push_back(value);
    }
    json body;
    body["inputs"] = json::array();
    body["inputs"].push_back({{"name", "features"},
                              {"datatype", "FP32"},
                              {"shape", json::array({rows.size(), rows[0].size()})},
                              {"data", std::move(data)}});
    if (!user.empty()) body["parameters"] = {{"user_id", user}};
    return body;
  }

  http::ClientResponse Get(const std::string& target) { return Do("GET", target); }
  http::ClientResponse Do(const std::string& method, const std::string& target,
                          const std::vector<http::Header>& headers = {},
                          const std::string& body = "") {
    auto response = client_->Do(method, target, headers, body);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    return response.ok() ? *std::move(response) : http::ClientResponse{};
  }
  http::ClientResponse Infer(const std::string& body,
                             const std::vector<http::Header>& headers = {}) {
    return Do("POST", kInfer, headers, body);
  }
  http::ClientResponse Infer(const json& body, const std::vector<http::Header>& headers = {}) {
    return Infer(body.dump(), headers);
  }

  telemetry::Window Telemetry() {
    std::promise<telemetry::Window> window;
    front_->CollectTelemetry([&](telemetry::Window w, std::vector<wire::DecisionSample>) {
      window.set_value(std::move(w));
    });
    return window.get_future().get();
  }
  static telemetry::SeriesKey Key(const std::string& version, const std::string& arm) {
    return {"model/fraud_detection", version, arm};
  }

  static constexpr char kInfer[] = "/v2/models/fraud_detection/infer";
  domain::ModelEntry model_;
  domain::FinePercent threshold_ = 0;
  bool shadow_ = false;
  bool fallback_ = false;
  std::string candidate_ = "1.1.0";
  domain::EmergencyOverlay emergency_;
  uint64_t version_ = 41;
  std::function<void(Front&)> on_start_;  // right before it starts
  const Clock* clock_ = nullptr;
  std::unique_ptr<Front> front_;
  std::unique_ptr<http::Client> client_;
};

}  // namespace weir::node::front
