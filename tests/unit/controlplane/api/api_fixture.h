// SPDX-License-Identifier: Apache-2.0
// An Api with everything real behind it: catalog and store on a temporary directory, the rollout
// driver, a core thread, an HTTP server on a free port.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/api/api.h"
#include "controlplane/api/event_log.h"
#include "controlplane/catalog/catalog.h"
#include "controlplane/ingest/flag_totals.h"
#include "controlplane/publish/node_status.h"
#include "controlplane/rollout/driver.h"
#include "controlplane/store/blob_store.h"
#include "controlplane/store/store.h"
#include "shared/codec/json.h"
#include "shared/http/client.h"
#include "shared/transport/loop.h"

namespace weir::control::api {

using codec::Json;

struct Reply {
  int status = 0;
  Json json;
  std::string body;
  http::ClientResponse response;
};

class ApiTest : public testing::Test {
 protected:
  static constexpr uint64_t kEpoch = 77;

  void SetUp() override {
    char name[] = "/tmp/weir_api_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    auto store = store::Store::Open(directory_, Clock::System());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    blobs_ = std::make_unique<store::BlobStore>(directory_);
    catalog_ = std::make_unique<catalog::Catalog>(*store_, Clock::System());
    ASSERT_TRUE(catalog_->Load().ok());
    driver_ = std::make_unique<rollout::Driver>(DriverWorld());
    api_ = std::make_unique<Api>(MakeDependencies());
    catalog_->SetListener([this](const catalog::Committed& c) { api_->OnCommitted(c); });
    core_.Start();
    http::ServerOptions options;
    options.listen = listen_;
    options.workers = 2;
    OnCore([&] { ASSERT_TRUE(api_->Start(options).ok()); });
    client_ = std::make_unique<http::Client>(api_->address());
  }

  void TearDown() override {
    OnCore([this] { api_->Stop(); });
    core_.Stop();
    api_.reset();
    std::filesystem::remove_all(directory_);
  }

  void OnCore(std::function<void()> task) { ASSERT_TRUE(core_.Call(std::move(task))); }

  Reply Send(const std::string& method, const std::string& target, const std::string& body = "",
             std::vector<http::Header> headers = {}) {
    headers.push_back({"X-Weir-Actor", "alice@laptop"});
    auto response = client_->Do(method, target, headers, body);
    EXPECT_TRUE(response.ok()) << method << " " << target << ": " << response.status().ToString();
    if (!response.ok()) return {};
    Reply reply{response->status, Json(), response->body, *response};
    reply.json = Json::parse(reply.body, nullptr, false);
    return reply;
  }
  Reply Get(const std::string& target) { return Send("GET", target); }
  Reply Post(const std::string& target, const Json& body) {
    return Send("POST", target, body.dump());
  }

  static Json Flag(const std::string& name, double percentage, Json labels = Json::object()) {
    return {{"apiVersion", "weir/v1"},
            {"kind", "Flag"},
            {"metadata", {{"name", name}, {"labels", std::move(labels)}}},
            {"spec", {{"enabled", true}, {"rollout_percentage", percentage}, {"hash_seed", "s"}}}};
  }

  // A model with versions 1.0.0 (stable) and 1.1.0, whose blob is stored.
  void PutModel() {
    const Reply blob = Send("PUT", std::string("/v1/blobs/") + kBlob, "abc");
    ASSERT_EQ(blob.status / 100, 2) << blob.body;
    const Json version = {{"runtime", "xgboost"}, {"blob", std::string("sha256:") + kBlob}};
    const Json model = {
        {"apiVersion", "weir/v1"},
        {"kind", "Model"},
        {"metadata", {{"name", "fraud_detection"}}},
        {"spec",
         {{"stable", "1.0.0"},
          {"versions", {{"1.0.0", version}, {"1.1.0", version}}},
          {"inputs",
           {{{"name", "features"}, {"datatype", "FP32"}, {"shape", Json::array({-1, 12})}}}}}}};
    const Reply reply = Send("PUT", "/v1/models/fraud_detection", model.dump());
    ASSERT_EQ(reply.status, 201) << reply.body;
  }

  void PutRollout(const std::string& start) {
    const Json rollout = {{"apiVersion", "weir/v1"},
                          {"kind", "Rollout"},
                          {"metadata", {{"name", "fraud-1-1-0"}}},
                          {"spec",
                           {{"model", "fraud_detection"},
                            {"candidate", "1.1.0"},
                            {"start", start},
                            {"phases",
                             {{{"name", "canary"},
                               {"percentage", 10},
                               {"duration", "1h"},
                               {"gates", {{{"type", "manual_approval"}}}}},
                              {{"name", "full"}, {"percentage", 100}, {"duration", "1h"}}}}}}};
    const Reply reply = Send("PUT", "/v1/rollouts/fraud-1-1-0", rollout.dump());
    ASSERT_EQ(reply.status, 201) << reply.body;
  }

  static publish::NodeStatus NodeWith(const std::string& id, publish::NodeState state,
                                      uint64_t version) {
    publish::NodeStatus node;
    node.id = id;
    node.state = state;
    node.epoch = kEpoch;
    node.version = version;
    return node;
  }

  void SetNodes(std::vector<publish::NodeStatus> nodes) {
    auto view = std::make_shared<publish::NodesView>();
    view->epoch = kEpoch;
    for (publish::NodeStatus& node : nodes)
      view->nodes.push_back(std::make_shared<const publish::NodeStatus>(std::move(node)));
    OnCore([&] {
      nodes_ = std::move(view);
      api_->Tick();
    });
  }

  // SHA-256 of "abc" (FIPS 180-2, appendix B.1).
  static constexpr char kBlob[] =
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

  std::string listen_ = "127.0.0.1:0";  // before SetUp
  std::string directory_;
  transport::Loop core_{"core"};
  EventLog events_{kEpoch, Clock::System(), 64};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::BlobStore> blobs_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<rollout::Driver> driver_;
  ingest::FlagTotals totals_{
      [this](const std::string& name) { return catalog_->Find(domain::Kind::kFlag, name); }};
  std::unique_ptr<Api> api_;
  std::unique_ptr<http::Client> client_;

  // Set on core.
  std::shared_ptr<const publish::NodesView> nodes_;
  std::string not_ready_;
  std::vector<Enrolment> enrolled_;
  Status enroll_answer_;
  Bootstrap bootstrap_{.epoch = kEpoch,
                       .current = {.server_key = "key",
                                   .fingerprint = "finger",
                                   .cfg = "tcp://127.0.0.1:7081",
                                   .session = "tcp://127.0.0.1:7082",
                                   .telemetry = "tcp://127.0.0.1:7083"},
                       .next = {}};
  std::vector<std::string> key_calls_;
  int changes_asked_ = 0;
  std::function<Json()> replay_;  // of a policy
  bool require_tokens_ = false;   // before SetUp

 private:
  rollout::Driver::World DriverWorld() {
    return {.find = [this](domain::Kind kind,
                           const std::string& name) { return catalog_->Find(kind, name); },
            .for_each = [this](domain::Kind kind,
                               const auto& visit) { catalog_->ForEach(kind, visit); },
            .commit = [this](const rollout::CommitPlan& plan) -> Result<uint64_t> {
              catalog::CommitRequest request;
              for (const domain::Resource& resource : plan.resources)
                request.changes.push_back({resource, false, std::nullopt});
              request.actor = plan.actor;
              request.reason = plan.reason;
              request.evidence = plan.evidence;
              WEIR_ASSIGN_OR_RETURN(const auto result, catalog_->Commit(request));
              return result.revision;
            }};
  }

  Dependencies MakeDependencies() {
    return {.core = core_,
            .clock = Clock::System(),
            .catalog = *catalog_,
            .blobs = *blobs_,
            .rollouts = *driver_,
            .events = events_,
            .flag_totals = totals_,
            .epoch = kEpoch,
            .bootstrap = [this] { return bootstrap_; },
            .nodes = [this] { return nodes_; },
            .enroll =
                [this](const Enrolment& enrolment) {
                  enrolled_.push_back(enrolment);
                  return enroll_answer_;
                },
            .before_change = [this] { ++changes_asked_; },
            .create_token = [](int64_t lifetime_ms, const std::string&) -> Result<Json> {
              return Json{{"token", "secret.finger"}, {"lifetime_ms", lifetime_ms}};
            },
            .is_node =
                [this](const std::string& node, const std::string& text, const std::string& proof) {
                  return node == "n1" && proof == "proof-of-" + text;
                },
            .require_tokens = require_tokens_,
            .telemetry = [](const TelemetryQuery& query) -> Result<Json> {
              return Json{{"subject", query.subject},
                          {"step_ms", query.step_ms},
                          {"range_ms", query.to_ms - query.from_ms}};
            },
            .keys = {.revoke = [this](const std::string& node, const std::string& actor,
                                      const std::string& reason) -> Status {
                       if (node != "n1") return NotFound("there is no node \"" + node + "\"");
                       key_calls_.push_back("revoke " + node + " by " + actor + ": " + reason);
                       return OkStatus();
                     },
                     .rotate = [this](const std::string& actor,
                                      const std::string& reason) -> Result<Json> {
                       key_calls_.push_back("rotate by " + actor + ": " + reason);
                       return Json{{"fingerprint", "finger"}};
                     },
                     .finish = [this](const std::string& actor, const std::string&,
                                      bool force) -> Result<Json> {
                       if (!force) return FailedPrecondition("1 live node uses the first key");
                       key_calls_.push_back("finish by " + actor);
                       return Json{{"fingerprint", "finger2"}};
                     },
                     .status = []() -> Result<Json> {
                       return Json{{"fingerprint", "finger"}};
                     }},
            .policies = {.status = {},
                         .reset = {},
                         .backtest = [this](const std::string&, int64_t, int64_t)
                             -> Result<std::function<Json()>> { return replay_; }},
            .metrics = [] { return std::string("weir_extra 1\n"); },
            .problems =
                [] {
                  return std::vector<Problem>{{"warning", "flags.yaml was refused", 1000,
                                               "line 3: nonsense", "weir validate flags.yaml"}};
                },
            .not_ready = [this] { return not_ready_; }};
  }
};

}  // namespace weir::control::api
