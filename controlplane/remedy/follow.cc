// SPDX-License-Identifier: Apache-2.0
// Which objectives are watched: those of the policies that are on, of the models that they select;
// and the windows that they share.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "controlplane/remedy/driver.h"

namespace weir::control::remedy {
namespace {

using analysis::SloWatch;
using analysis::SloWindow;
using codec::Json;
using domain::Kind;
using domain::PolicySpec;
using domain::Resource;
using domain::SloSpec;

constexpr char kTenantSubject[] = "tenant/";
constexpr int64_t kDayMs = 86'400'000;
constexpr int64_t kShortestSeededMs = 300'000;  // a stored minute is too coarse below

std::string SubjectOf(const SloSpec& slo, const std::string& model) {
  if (slo.tenant.empty()) return "model/" + model;
  return kTenantSubject + slo.tenant + "/" + model;
}

}  // namespace

std::string Driver::WhyOff(const Resource& policy) const {
  if (!policy.As<PolicySpec>().enabled) return "the policy is not enabled";
  for (const char* gate : {kGateAll, kGatePolicyStore, kGateEvaluator}) {
    if (!IsOn(gate, true)) return fmt::format("the flag {} is off", gate);
  }
  return "";
}

std::vector<std::string> Driver::ModelsOf(const PolicySpec& policy, const SloSpec& slo) const {
  const auto metric = analysis::SloMetricOf(slo.metric);
  if (metric && metric->IsOfNodes()) return {""};
  if (!slo.model.empty()) return {slo.model};
  std::vector<std::string> names;
  world_.for_each(Kind::kModel, [&](const Resource& model) {
    if (domain::Selects(policy.selector, model.labels)) names.push_back(model.name);
  });
  return names;
}

uint64_t Driver::ModelsStamp() const {
  uint64_t stamp = 1;
  world_.for_each(Kind::kModel,
                  [&](const Resource& model) { stamp = stamp * 1'000'003 + model.revision; });
  return stamp;
}

void Driver::Follow(int64_t now_ms, int64_t now_wall_ms) {
  const uint64_t models = ModelsStamp();
  std::set<std::string> wanted;
  world_.for_each(Kind::kPolicy, [&](const Resource& policy) {
    wanted.insert(policy.name);
    if (WhyOff(policy).empty()) return FollowPolicy(policy, models, now_ms, now_wall_ms);
    const auto run = runs_.find(policy.name);
    if (run == runs_.end()) return;
    Drop(policy.name, run->second);
    run->second.followed_revision = 0;
  });
  for (auto run = runs_.begin(); run != runs_.end();) {
    if (wanted.contains(run->first)) {
      ++run;
      continue;
    }
    Drop(run->first, run->second);
    run = runs_.erase(run);
  }
  for (auto& [subject, windows] : windows_)
    std::erase_if(windows, [](const auto& window) { return window.second.use_count() == 1; });
  std::erase_if(windows_, [](const auto& subject) { return subject.second.empty(); });
}

void Driver::FollowPolicy(const Resource& policy, uint64_t models, int64_t now_ms,
                          int64_t now_wall_ms) {
  Run& run = runs_[policy.name];
  if (run.followed_revision == policy.revision + 1 && run.followed_models == models) return;
  run.followed_revision = policy.revision + 1;
  run.followed_models = models;
  const auto& spec = policy.As<PolicySpec>();
  std::map<WatchKey, SloWatch> watches;
  for (const SloSpec& slo : spec.slos) {
    for (const std::string& model : ModelsOf(spec, slo)) {
      const WatchKey key{slo.name, model};
      const auto known = run.watches.find(key);
      if (known != run.watches.end() && known->second.slo() == slo) {
        watches.insert(run.watches.extract(known));
        continue;
      }
      watches.emplace(key, SloWatch(slo, model, WindowOf(slo, model, now_ms, now_wall_ms)));
    }
  }
  Drop(policy.name, run);  // those that are watched no more
  run.watches = std::move(watches);
  if (!loaded_.is_object() || !loaded_.contains(policy.name)) return;
  for (const Json& saved : loaded_[policy.name]) {
    if (!saved.is_object()) continue;
    const auto watch = run.watches.find({saved.value("slo", ""), saved.value("model", "")});
    if (watch != run.watches.end()) watch->second.Restore(saved, now_ms);
  }
  loaded_.erase(policy.name);
}

std::shared_ptr<SloWindow> Driver::WindowOf(const SloSpec& slo, const std::string& model,
                                            int64_t now_ms, int64_t now_wall_ms) {
  const auto metric = analysis::SloMetricOf(slo.metric);
  if (!metric || metric->IsOfNodes()) return nullptr;
  analysis::SloSubject subject{SubjectOf(slo, model), slo.version, slo.arm, {}};
  if (slo.target) subject.budget_ms = slo.threshold;
  const std::string key = fmt::format("{} {} {} {} {}", slo.metric, slo.version, slo.arm,
                                      slo.window.ms, subject.budget_ms.value_or(-1));
  std::shared_ptr<SloWindow>& window = windows_[subject.subject][key];
  if (window == nullptr) {
    window = std::make_shared<SloWindow>(subject, *metric, slo.window.ms, now_ms);
    Seed(*window, now_ms, now_wall_ms);
  }
  return window;
}

void Driver::Seed(SloWindow& window, int64_t now_ms, int64_t now_wall_ms) const {
  if (!world_.past) return;
  const bool is_budget = window.subject().budget_ms.has_value();
  const int64_t back_ms = is_budget ? 3 * kDayMs : window.window_ms();
  if (!is_budget && back_ms < kShortestSeededMs) return;
  const auto visit = [&](int64_t start_wall_ms, int64_t step_ms, const telemetry::SeriesKey& key,
                         const telemetry::Series& series) {
    window.AddPast(now_ms - (now_wall_ms - start_wall_ms), step_ms, key, series);
  };
  const std::string& subject = window.subject().subject;
  if (is_budget || back_ms > kDayMs) world_.past(subject, now_wall_ms - back_ms, true, visit);
  if (is_budget || back_ms <= kDayMs)
    world_.past(subject, now_wall_ms - std::min(back_ms, kDayMs), false, visit);
}

// Nobody is told any more of what is not watched.
void Driver::Drop(const std::string& policy, Run& run) {
  for (const auto& [key, watch] : run.watches) {
    run.reminded_ms.erase(key);
    if (!watch.IsFiring() || !world_.observe) continue;
    world_.observe({policy, key.first, key.second, watch.slo().version, false,
                    watch.told_severity(), "is not watched any more", "", 0, 0});
  }
  run.watches.clear();
}

}  // namespace weir::control::remedy
