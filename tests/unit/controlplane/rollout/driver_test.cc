// SPDX-License-Identifier: Apache-2.0
// The driver against a world in memory: resources in a map, every commit recorded.
#include "controlplane/rollout/driver.h"

#include <gtest/gtest.h>

namespace weir::control::rollout {
namespace {

using domain::Kind;
using domain::Resource;

class RolloutDriver : public testing::Test {
 protected:
  RolloutDriver() {
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
            }};
  }

  void Put(const Resource& resource) { resources_[{resource.kind, resource.name}] = resource; }
  const domain::RolloutStatus& RolloutNow() { return *resources_.at({Kind::kRollout, "r"}).status; }
  std::string Stable() { return resources_.at({Kind::kModel, "m"}).As<domain::ModelSpec>().stable; }

  void SetNodes(const std::string& state, uint64_t applied) {
    nodes_.clear();
    for (const char* id : {"n1", "n2"}) {
      NodeFacts node;
      node.id = id;
      node.live = true;
      node.applied_version = applied;
      node.versions = {{"m", "2", state, state == "FAILED" ? "not a model" : ""}};
      nodes_.push_back(node);
    }
  }

  // `ticks` ticks of 100 ms with so many requests each.
  void Run(Driver& driver, int ticks, int stable, int canary, int canary_bad) {
    for (int i = 0; i < ticks; ++i) {
      now_ms_ += 100;
      telemetry::Window window;
      Fill(window[{"model/m", "1", telemetry::kArmStable}], stable, 0);
      Fill(window[{"model/m", "2", telemetry::kArmCanary}], canary, canary_bad);
      driver.OnNodes(nodes_, revision_);
      driver.OnTelemetry(window, now_ms_, now_ms_);
      driver.Tick(now_ms_, now_ms_);
    }
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
  Status refuse_;
  uint64_t revision_ = 1;
  int64_t now_ms_ = 1'000'000;
  uint32_t next_key_ = 0;
};

TEST_F(RolloutDriver, HealthyCandidateIsPromoted) {
  Driver driver(World());
  Run(driver, 60, 90, 10, 0);
  EXPECT_EQ(RolloutNow().state, "promoted");
  EXPECT_EQ(RolloutNow().previous_stable, "1");
  EXPECT_EQ(Stable(), "2");
  ASSERT_EQ(plans_.size(), 2u);
  EXPECT_EQ(plans_[0].actor, "rollout/r");
}

TEST_F(RolloutDriver, BrokenCandidateIsTakenBackWithEvidenceAndThenComplete) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  Run(driver, 10, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_EQ(RolloutNow().percentage, 0);
  EXPECT_EQ(Stable(), "1");
  ASSERT_EQ(plans_.size(), 1u);
  EXPECT_GE(plans_[0].evidence["canary_bad"].get<int>(), 8);
  SetNodes("READY", revision_);
  nodes_[1].applied_version = revision_ - 1;
  Run(driver, 1, 90, 0, 0);
  EXPECT_EQ(driver.View("r")->status.waiting_for, "1/2 nodes are back at stable");
  SetNodes("READY", revision_);
  Run(driver, 1, 90, 0, 0);
  EXPECT_EQ(RolloutNow().state, "rolled_back");
}

TEST_F(RolloutDriver, RestartContinuesPhaseAndEvidence) {
  auto first = std::make_unique<Driver>(World());
  Run(*first, 12, 90, 10, 0);
  const codec::Json state = first->SaveState();
  first.reset();
  now_ms_ = 5'000;  // another boot: the monotonic clock starts anew
  Driver second(World());
  second.LoadState(codec::Json::parse(state.dump()));
  Run(second, 1, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_GE(second.View("r")->phase_age_ms, 1000);
  EXPECT_EQ(second.View("r")->phase_requests, 130u);
  Run(second, 12, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 1u);
}

TEST_F(RolloutDriver, PausedClockStandsStill) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  ASSERT_TRUE(
      driver.Obey("r", {.verb = Verb::kPause, .actor = "alice", .reason = "lunch"}, now_ms_).ok());
  const int64_t age = driver.View("r")->phase_age_ms;
  Run(driver, 50, 90, 10, 0);
  EXPECT_EQ(driver.View("r")->phase_age_ms, age);
  EXPECT_EQ(RolloutNow().state, "paused");
}

TEST_F(RolloutDriver, CandidateThatLoadsNowhereIsTakenBack) {
  SetNodes("FAILED", 1);
  Driver driver(World());
  Run(driver, 1, 90, 0, 0);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
  EXPECT_NE(RolloutNow().last_verdict->evidence.find("not a model"), std::string::npos);
}

TEST_F(RolloutDriver, CandidateThatFailsOnOneNodeHoldsThePhase) {
  nodes_[1].versions[0] = {"m", "2", "FAILED", "disk full"};
  Driver driver(World());
  Run(driver, 60, 90, 10, 0);
  EXPECT_EQ(RolloutNow().phase, 0u);
  EXPECT_EQ(driver.View("r")->status.waiting_for,
            "candidate is not ready on n2: FAILED (disk full)");
}

TEST_F(RolloutDriver, ActionThatCannotBeCommittedIsTriedAgain) {
  Driver driver(World());
  Run(driver, 5, 90, 10, 0);
  refuse_ = Status(Code::kResourceExhausted, "disk full");
  Run(driver, 10, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "progressing");
  EXPECT_NE(driver.View("r")->status.waiting_for.find("disk full"), std::string::npos);
  refuse_ = OkStatus();
  Run(driver, 1, 90, 10, 10);
  EXPECT_EQ(RolloutNow().state, "rolling_back");
}

}  // namespace
}  // namespace weir::control::rollout
