// SPDX-License-Identifier: Apache-2.0
#include "controlplane/remedy/backtest.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "controlplane/remedy/driver.h"
#include "shared/base/clock.h"

namespace weir::control::remedy {
namespace {

using analysis::SloState;
using analysis::SloWatch;
using codec::Json;
using domain::Kind;
using domain::Resource;

constexpr size_t kMostActions = 1'000;

struct Seen {
  uint64_t violations = 0;
  int64_t first_wall_ms = 0;
  int64_t violated_ms = 0;
  std::optional<double> worst;
  bool was_violated = false;
};
using Book = std::map<std::pair<std::string, std::string>, Seen>;

void Look(const SloWatch& watch, int64_t step_ms, int64_t now_ms, Book& book) {
  Seen& seen = book[{watch.slo().name, watch.model()}];
  const analysis::SloVerdict& verdict = watch.verdict();
  if (verdict.value && verdict.state != SloState::kNoData) {
    const bool is_floor = !watch.slo().target && watch.slo().comparison.starts_with('>');
    const double value = *verdict.value;
    seen.worst = !seen.worst ? value
                 : is_floor  ? std::min(*seen.worst, value)
                             : std::max(*seen.worst, value);
  }
  const bool is_violated = verdict.state == SloState::kViolated;
  if (is_violated) {
    seen.violated_ms += step_ms;
    if (!seen.was_violated) ++seen.violations;
    if (seen.first_wall_ms == 0) seen.first_wall_ms = now_ms;
  }
  seen.was_violated = is_violated;
}

Json ViewOf(const Book& book) {
  Json view = Json::array();
  for (const auto& [key, seen] : book) {
    Json slo = {{"name", key.first},
                {"model", key.second},
                {"violations", seen.violations},
                {"violated_ms", seen.violated_ms}};
    if (seen.first_wall_ms != 0) slo["first_at"] = FormatTimeMs(seen.first_wall_ms);
    if (seen.worst) slo["worst"] = *seen.worst;
    view.push_back(std::move(slo));
  }
  return view;
}

}  // namespace

Json Backtest(const BacktestInput& input) {
  std::map<domain::ResourceKey, Resource> resources;
  for (const Resource& resource : input.resources)
    resources[{resource.kind, resource.name}] = resource;
  Resource policy = input.policy;
  auto& spec = policy.As<domain::PolicySpec>();
  spec.enabled = spec.dry_run = true;
  for (domain::SloSpec& slo : spec.slos) slo.window.ms = std::max(slo.window.ms, input.step_ms);
  resources[{Kind::kPolicy, policy.name}] = policy;

  int64_t now_ms = 0;
  Json actions = Json::array();
  Driver::World world;
  world.find = [&](Kind kind, const std::string& name) -> const Resource* {
    const auto found = resources.find({kind, name});
    return found == resources.end() ? nullptr : &found->second;
  };
  world.for_each = [&](Kind kind, const auto& visit) {
    for (const auto& [key, resource] : resources) {
      if (key.kind == kind) visit(resource);
    }
  };
  world.commit = [](const rollout::CommitPlan&) -> Result<uint64_t> {
    return FailedPrecondition("a replay commits nothing");
  };
  world.notify = [&](const std::string&, const std::string&, Json data) {
    if (!data.contains("action") || actions.size() >= kMostActions) return;
    actions.push_back({{"at", FormatTimeMs(now_ms)},
                       {"action", data["action"]},
                       {"target", data["target"]},
                       {"slo", data["slo"]},
                       {"value", data["value"]},
                       {"result", data["result"]},
                       {"reason", data["reason"]}});
  };
  world.replay_step_ms = input.step_ms;
  Driver driver(std::move(world));
  std::vector<NodeFacts> nodes(input.live_nodes);
  for (size_t i = 0; i < nodes.size(); ++i) nodes[i] = {std::to_string(i), true, 0, 0, {}};
  driver.OnNodes(std::move(nodes), 0);

  Book book;
  auto window = input.windows.begin();
  const int64_t first_ms = input.from_wall_ms / input.step_ms * input.step_ms;
  now_ms = first_ms;
  driver.Tick(now_ms, now_ms);  // the windows begin here
  for (int64_t start_ms = first_ms; start_ms < input.to_wall_ms; start_ms += input.step_ms) {
    now_ms = start_ms + input.step_ms;
    for (; window != input.windows.end() && window->first < now_ms; ++window)
      driver.OnTelemetry(window->second, now_ms - 1);
    driver.Tick(now_ms, now_ms);
    driver.ForEachWatch(policy.name,
                        [&](const SloWatch& watch) { Look(watch, input.step_ms, now_ms, book); });
  }
  return {{"from", FormatTimeMs(input.from_wall_ms)},
          {"to", FormatTimeMs(input.to_wall_ms)},
          {"step_ms", input.step_ms},
          {"slos", ViewOf(book)},
          {"actions", std::move(actions)}};
}

}  // namespace weir::control::remedy
