// SPDX-License-Identifier: Apache-2.0
// A driver's world in memory: resources in a map, every commit and notice recorded.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/rollout/driver.h"

namespace weir::control::rollout {

using domain::Kind;
using domain::Resource;

class RolloutDriverTest : public testing::Test {
 protected:
  RolloutDriverTest() {
    Resource model;
    model.kind = Kind::kModel;
    model.name = "m";
    domain::ModelSpec spec;
    spec.stable = "1";
    spec.versions["1"];
    spec.versions["2"];
    model.spec = spec;
    Put(model);
    Resource rollout;
    rollout.kind = Kind::kRollout;
    rollout.name = "r";
    domain::RolloutSpec plan;
    plan.model = "m";
    plan.candidate = "2";
    plan.phases = {
        {.name = "ten", .percentage = 10, .duration = {2000}, .min_requests = 50, .gates = {}},
        {.name = "full", .percentage = 100, .duration = {1000}, .min_requests = 50, .gates = {}}};
    rollout.spec = plan;
    rollout.status.emplace();
    rollout.status->state = "progressing";
    rollout.status->percentage = 10;
    Put(rollout);
    SetNodes("READY", 1);
  }

  Driver::World World() {
    return {.find = [this](Kind kind, const std::string& name) -> const Resource* {
              const auto found = resources_.find({kind, name});
              return found == resources_.end() ? nullptr : &found->second;
            },
            .for_each =
                [this](Kind kind, const std::function<void(const Resource&)>& visit) {
                  for (const auto& [key, resource] : resources_) {
                    if (key.kind == kind) visit(resource);
                  }
                },
            .commit = [this](const CommitPlan& plan) -> Result<uint64_t> {
              if (!refuse_.ok()) return refuse_;
              ++revision_;
              for (Resource resource : plan.resources) {
                resource.revision = revision_;
                Put(resource);
              }
              plans_.push_back(plan);
              return revision_;
            },
            .gate = [this](const Resource&, uint64_t, size_t, int64_t) { return gate_; },
            .notify =
                [this](const std::string& type, const std::string& severity, codec::Json data) {
                  data["type"] = type;
                  data["severity"] = severity;
                  notices_.push_back(std::move(data));
                },
            .digest = [](const std::string& text) { return text; }};
  }

  void Put(const Resource& resource) { resources_[{resource.kind, resource.name}] = resource; }
  const domain::RolloutStatus& RolloutNow() { return *resources_.at({Kind::kRollout, "r"}).status; }
  domain::RolloutSpec& SpecNow() {
    return resources_.at({Kind::kRollout, "r"}).As<domain::RolloutSpec>();
  }
  domain::ModelSpec& ModelNow() {
    return resources_.at({Kind::kModel, "m"}).As<domain::ModelSpec>();
  }
  std::vector<codec::Json> Notices(const std::string& type) {
    std::vector<codec::Json> found;
    for (const codec::Json& notice : notices_) {
      if (notice["type"] == type) found.push_back(notice);
    }
    return found;
  }
  Result<uint64_t> Order(Driver& driver, Verb verb, bool emergency = false, bool graceful = false,
                         bool force = false) {
    return driver.Obey("r",
                       {.verb = verb,
                        .actor = "alice",
                        .reason = "looks wrong",
                        .force = force,
                        .emergency = emergency,
                        .graceful = graceful},
                       now_ms_);
  }
  std::string Stable() { return resources_.at({Kind::kModel, "m"}).As<domain::ModelSpec>().stable; }

  void SetNodes(const std::string& state, uint64_t applied) {
    nodes_.clear();
    for (const char* id : {"n1", "n2"}) {
      NodeFacts node;
      node.id = id;
      node.live = true;
      node.applied_version = applied;
      node.versions = {{"m", "1", "READY", ""},
                       {"m", "2", state, state == "FAILED" ? "not a model" : ""}};
      nodes_.push_back(node);
    }
  }

  // `ticks` ticks of 100 ms with so many requests each.
  void Run(Driver& driver, int ticks, int stable, int canary, int canary_bad) {
    for (int i = 0; i < ticks; ++i) {
      now_ms_ += 100;
      telemetry::Window window;
      Fill(window[{"model/m", "1", telemetry::kArmStable}], stable, 0);
      Fill(window[{"model/m", "2", arm_}], canary, canary_bad);
      driver.OnNodes(nodes_, revision_);
      driver.OnTelemetry(window, ByNode(window), now_ms_, now_ms_);
      driver.Tick(now_ms_, now_ms_);
    }
  }

  // Whose they are: everybody's of senders_ alike, and who has one more changes.
  telemetry::NodeWindow ByNode(const telemetry::Window& window) {
    telemetry::NodeWindow by_node;
    for (const auto& [key, series] : window) {
      ++turn_;
      const uint64_t requests = series.Counter(telemetry::kRequests);
      const uint64_t bad = series.Counter(telemetry::kBad);
      for (size_t i = 0; i < senders_.size(); ++i) {
        const uint64_t more = (turn_ + i) % senders_.size();
        const telemetry::NodeCount count{(requests + more) / senders_.size(),
                                         (bad + more) / senders_.size()};
        if (count.requests > 0) by_node[key][senders_[i]] = count;
      }
    }
    return by_node;
  }

  void Fill(telemetry::Series& series, int requests, int bad) {
    series.counters[telemetry::kRequests] = static_cast<uint64_t>(requests);
    if (bad > 0) series.counters[telemetry::kBad] = static_cast<uint64_t>(bad);
    for (int i = 0; i < requests; ++i) {
      series.latency.Add(1.0);
      series.latency_digest.Add(1.0);
    }
    for (int i = 0; i < bad; ++i) series.AddBadKey(++next_key_);
  }

  std::map<domain::ResourceKey, Resource> resources_;
  std::vector<CommitPlan> plans_;
  std::vector<NodeFacts> nodes_;
  std::vector<codec::Json> notices_;
  GateState gate_;
  std::vector<std::string> senders_ = {"n1", "n2"};
  size_t turn_ = 0;
  const char* arm_ = telemetry::kArmCanary;  // of the candidate
  Status refuse_;
  uint64_t revision_ = 1;
  int64_t now_ms_ = 1'000'000;
  uint32_t next_key_ = 0;
};

}  // namespace weir::control::rollout
