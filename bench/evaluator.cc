// SPDX-License-Identifier: Apache-2.0
#include "bench/evaluator.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/interleave.h"
#include "controlplane/remedy/driver.h"
#include "shared/domain/policy.h"
#include "shared/telemetry/series.h"

namespace weir::bench {
namespace {

constexpr int kVersions = 5;   // of two arms each
constexpr int kRequests = 10;  // of a series in a second
constexpr int64_t kSecondMs = 1'000;
constexpr int64_t kWallMs = 1'800'000'000'000;  // when the run begins, by its own clock

using Resources = std::map<domain::ResourceKey, domain::Resource>;

std::string ModelName(size_t i) { return fmt::format("model-{:04}", i); }

void Put(Resources& resources, domain::Kind kind, const std::string& name, domain::Spec spec) {
  domain::Resource resource;
  resource.kind = kind;
  resource.name = name;
  resource.revision = 1;
  resource.spec = std::move(spec);
  resources[{kind, name}] = std::move(resource);
}

// Objectives that hold, of four metrics in turn.
Resources World(const EvaluatorEffort& effort) {
  const std::vector<std::pair<std::string, double>> kObjectives = {
      {"error_rate", 0.5}, {"p95_latency_ms", 5000}, {"p99_latency_ms", 9000}, {"throughput", 1}};
  Resources resources;
  for (size_t i = 0; i < effort.models; ++i) {
    domain::ModelSpec model;
    model.stable = "v0";
    for (int v = 0; v < kVersions; ++v) model.versions[fmt::format("v{}", v)] = {};
    Put(resources, domain::Kind::kModel, ModelName(i), std::move(model));
  }
  for (size_t i = 0; i < effort.policies; ++i) {
    const auto& [metric, threshold] = kObjectives[i % kObjectives.size()];
    domain::RemediationSpec remediation;
    remediation.action = "alert";
    domain::PolicySpec policy;
    policy.slos = {{.name = "objective",
                    .metric = metric,
                    .comparison = domain::DefaultComparison(metric),
                    .threshold = threshold,
                    .min_samples = 1}};
    policy.remediations = {remediation};
    Put(resources, domain::Kind::kPolicy, fmt::format("policy-{:03}", i), std::move(policy));
  }
  return resources;
}

telemetry::Window SecondOf(const EvaluatorEffort& effort) {
  telemetry::Window window;
  for (size_t i = 0; i < effort.models; ++i) {
    for (int v = 0; v < kVersions; ++v) {
      for (const char* arm : {telemetry::kArmStable, telemetry::kArmCanary}) {
        telemetry::Cell cell;
        for (int r = 0; r < kRequests; ++r)
          cell.RecordAnswer(20.0 + static_cast<double>((i * 7 + v * 3 + r * 11) % 80), false, 0);
        window[{"model/" + ModelName(i), fmt::format("v{}", v), arm}] = cell.Take();
      }
    }
  }
  return window;
}

control::remedy::Driver::World WorldOf(const Resources& resources, uint64_t& observed) {
  control::remedy::Driver::World world;
  world.find = [&resources](domain::Kind kind, const std::string& name) -> const domain::Resource* {
    const auto found = resources.find({kind, name});
    return found == resources.end() ? nullptr : &found->second;
  };
  world.for_each = [&resources](domain::Kind kind,
                                const std::function<void(const domain::Resource&)>& visit) {
    for (const auto& [key, resource] : resources) {
      if (key.kind == kind) visit(resource);
    }
  };
  world.is_on = [](const std::string&, bool fallback) { return fallback; };
  world.observe = [&observed](const control::alert::Observation&) { ++observed; };
  return world;
}

}  // namespace

void MeasureEvaluator(const EvaluatorEffort& effort, Report& report) {
  const Resources resources = World(effort);
  const telemetry::Window second = SecondOf(effort);
  uint64_t observed = 0;
  control::remedy::Driver driver(WorldOf(resources, observed));
  std::vector<double> taking;
  std::vector<double> looking;
  for (int s = 1; s <= effort.warm_up_s + effort.seconds; ++s) {
    const int64_t now_ms = s * kSecondMs;
    const int64_t start = Clock::System().MonotonicNs();
    driver.OnTelemetry(second, now_ms);
    const int64_t taken = Clock::System().MonotonicNs();
    driver.Tick(now_ms, kWallMs + now_ms);
    const int64_t looked = Clock::System().MonotonicNs();
    if (s <= effort.warm_up_s) continue;
    taking.push_back(static_cast<double>(taken - start));
    looking.push_back(static_cast<double>(looked - taken));
  }
  const double take_ns = Median(std::move(taking));
  const double look_ns = Median(std::move(looking));
  const size_t objectives = effort.models * effort.policies;
  report.Add({.name = fmt::format("policies: {} series, {} policies, each second", second.size(),
                                  effort.policies),
              .value = (take_ns + look_ns) / 1e7,
              .unit = "% of a core",
              .yardstick = "one core",
              .yardstick_value = 100,
              .goal = 1});
  report.Add({.name = "policies: an objective judged",
              .value = look_ns / static_cast<double>(objectives),
              .unit = "ns",
              .yardstick = "",
              .yardstick_value = 0});
  report.Note(
      fmt::format("Policies: each of {} objectives is held by {} models, so that {} are "
                  "judged a second; taking the second's telemetry is {:.1f} ms of it.",
                  effort.policies, effort.models, objectives, take_ns / 1e6));
  if (observed > 0)
    report.Note(fmt::format("Policies: {} objectives did not hold, though all should.", observed));
}

}  // namespace weir::bench
