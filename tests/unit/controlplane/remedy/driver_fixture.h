// SPDX-License-Identifier: Apache-2.0
// A driver's world in memory: resources in a map, every commit, command, notice and observation
// recorded.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/remedy/driver.h"

namespace weir::control::remedy {

using domain::Kind;
using domain::Resource;

class RemedyTest : public testing::Test {
 protected:
  RemedyTest() {
    domain::ModelSpec model;
    model.stable = "1";
    model.versions["1"];
    model.versions["2"];
    Put(Kind::kModel, "m", model);
    SetNodes({"READY", "READY"});
  }

  Driver::World World() {
    Driver::World world;
    world.find = [this](Kind kind, const std::string& name) -> const Resource* {
      const auto found = resources_.find({kind, name});
      return found == resources_.end() ? nullptr : &found->second;
    };
    world.for_each = [this](Kind kind, const std::function<void(const Resource&)>& visit) {
      for (const auto& [key, resource] : resources_) {
        if (key.kind == kind) visit(resource);
      }
    };
    world.commit = [this](const rollout::CommitPlan& plan) -> Result<uint64_t> {
      if (!refuse_.ok()) return refuse_;
      ++revision_;
      for (Resource resource : plan.resources) {
        const auto known = resources_.find({resource.kind, resource.name});
        const uint64_t stands = known == resources_.end() ? 0 : known->second.revision;
        if (resource.revision != stands) return FailedPrecondition("a stale revision");
        resource.revision = revision_;
        resources_[{resource.kind, resource.name}] = resource;
      }
      plans_.push_back(plan);
      return revision_;
    };
    world.obey = [this](const std::string& rollout,
                        const rollout::Command& command) -> Result<uint64_t> {
      commands_.emplace_back(rollout, command);
      resources_.at({Kind::kRollout, rollout}).status->state = "rolling_back";
      return ++revision_;
    };
    world.is_on = [this](const std::string& flag, bool fallback) {
      const auto found = gates_.find(flag);
      return found == gates_.end() ? fallback : found->second;
    };
    world.observe = [this](const alert::Observation& seen) { seen_.push_back(seen); };
    world.notify = [this](const std::string& type, const std::string&, codec::Json data) {
      data["type"] = type;
      notices_.push_back(std::move(data));
    };
    return world;
  }

  Resource& Put(Kind kind, const std::string& name, domain::Spec spec) {
    Resource& resource = resources_[{kind, name}];
    resource.kind = kind;
    resource.name = name;
    resource.spec = std::move(spec);
    resource.revision = ++revision_;
    return resource;
  }
  // A policy on the error rate of m (at most 5 % over 10 s) that does this.
  domain::PolicySpec Policy(const std::string& action) {
    domain::PolicySpec policy;
    domain::SloSpec slo;
    slo.name = slo.metric = "error_rate";
    slo.comparison = "<=";
    slo.threshold = 0.05;
    slo.window = {10'000};
    policy.slos = {slo};
    domain::RemediationSpec remediation;
    remediation.action = action;
    policy.remediations = {remediation};
    return policy;
  }
  void PutPolicy(const std::string& name, const domain::PolicySpec& policy) {
    Put(Kind::kPolicy, name, policy);
  }
  void PutLimit(uint64_t max_concurrent, uint64_t most = 0) {
    domain::LimitSpec limit;
    limit.max_concurrent = max_concurrent;
    limit.most_concurrent = most;
    Put(Kind::kLimit, "m", limit);
  }
  void PutRollout() {
    domain::RolloutSpec rollout;
    rollout.model = "m";
    rollout.candidate = "2";
    rollout.phases = {{.name = "ten", .percentage = 10}};
    Resource& resource = Put(Kind::kRollout, "r", rollout);
    resource.status.emplace();
    resource.status->state = "progressing";
    resource.status->percentage = 10;
  }
  domain::FlagSpec& PutFlag(std::optional<double> percentage) {
    domain::FlagSpec flag;
    flag.enabled = true;
    flag.rollout_percentage = percentage;
    return Put(Kind::kFlag, "f", flag).As<domain::FlagSpec>();
  }
  void Freeze(bool on) {
    domain::EmergencySpec emergency;
    emergency.freeze = on;
    Put(Kind::kEmergency, "default", emergency);
  }
  void SetNodes(const std::vector<std::string>& states) {
    nodes_.clear();
    for (size_t i = 0; i < states.size(); ++i) {
      nodes_.push_back(
          {"n" + std::to_string(i + 1), true, revision_, 0, {{"m", "1", states[i], ""}}});
    }
  }

  // Seconds, each with so many requests of which so many are bad.
  bool Run(Driver& driver, int seconds, uint64_t requests, uint64_t bad) {
    bool committed = false;
    for (int i = 0; i < seconds; ++i) {
      now_ms_ += 1000;
      telemetry::Window window;
      telemetry::Series& series = window[{"model/m", "1", "stable"}];
      series.counters["requests"] = requests;
      if (bad > 0) series.counters["bad"] = bad;
      if (requests > 0) driver.OnTelemetry(window, now_ms_);
      driver.OnNodes(nodes_, revision_);
      committed |= driver.Tick(now_ms_, WallMs());
    }
    return committed;
  }
  int64_t WallMs() const { return kWallMs + now_ms_; }
  const domain::LimitSpec& Limit() {
    return resources_.at({Kind::kLimit, "m"}).As<domain::LimitSpec>();
  }
  const domain::FlagSpec& Flag() {
    return resources_.at({Kind::kFlag, "f"}).As<domain::FlagSpec>();
  }
  static codec::Json Last(const Driver& driver, const std::string& policy) {
    return driver.View(policy)["last"].at(0);
  }

  static constexpr int64_t kWallMs = 1'763'683'200'000;
  std::map<domain::ResourceKey, Resource> resources_;
  std::map<std::string, bool> gates_;
  std::vector<NodeFacts> nodes_;
  std::vector<rollout::CommitPlan> plans_;
  std::vector<std::pair<std::string, rollout::Command>> commands_;
  std::vector<alert::Observation> seen_;
  std::vector<codec::Json> notices_;
  Status refuse_;
  uint64_t revision_ = 0;
  int64_t now_ms_ = 7'000'000;
};

}  // namespace weir::control::remedy
