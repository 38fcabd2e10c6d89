// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/gates.h"

#include <algorithm>

#include "shared/decision/decide.h"

namespace weir::node::admission {
namespace {

bool IsGoverned(const decision::Ruleset& rules, const std::string& node, int64_t now_wall_ms) {
  if (node.empty()) return false;
  return decision::DecideFlag(rules, kGovernorFlag,
                              {.key = node, .random = 0, .now_wall_ms = now_wall_ms, .context = {}})
      .enabled;
}

bool IsService(const decision::Model& model) {
  return std::any_of(model.versions.begin(), model.versions.end(),
                     [](const domain::VersionEntry& version) { return !version.urls.empty(); });
}

// What a policy leaves behind once its acts are over costs no request a lock.
bool LimitsAnything(const domain::LimitEntry& limit) {
  return limit.max_concurrent > 0 || limit.requests_per_second > 0 ||
         limit.caller_requests_per_second > 0 || limit.caller_concurrent > 0 ||
         std::any_of(limit.acts.begin(), limit.acts.end(),
                     [](const domain::LimitActEntry& act) { return act.action != "restart"; });
}

}  // namespace

void Gates::Set(const decision::Ruleset& rules, const std::string& node, Now now) {
  const bool governed = IsGoverned(rules, node, now.wall_ms);
  const std::lock_guard lock(mutex_);
  is_governed_ = governed;
  for (auto& [model, held] : gates_) held.is_wanted = false;
  rules.models().ForEach([&](const decision::Model& model) {
    const decision::Limit* limit = rules.limits().Find(model.name);
    if (!governed && (limit == nullptr || !LimitsAnything(*limit))) return;
    Held& held = gates_[model.name];
    if (held.gate == nullptr) held.gate = std::make_shared<Gate>(model.name);
    held.is_wanted = true;
    const uint64_t each = IsService(model) ? kServiceSlotsPerWorker : kSlotsPerWorker;
    held.gate->Configure(limit, governed ? each * workers_ : 0, now);
  });
  for (auto it = gates_.begin(); it != gates_.end();) {
    Held& held = it->second;
    if (!held.is_wanted) held.gate->Configure(nullptr, 0, now);
    it = !held.is_wanted && held.gate->IsIdle() ? gates_.erase(it) : std::next(it);
  }
  revision_.fetch_add(1);
}

void Gates::Recheck(const decision::Ruleset& rules, const std::string& node, Now now) {
  {
    const std::lock_guard lock(mutex_);
    if (IsGoverned(rules, node, now.wall_ms) == is_governed_) return;
  }
  Set(rules, node, now);
}

std::shared_ptr<Gate> Gates::Find(std::string_view model) const {
  const std::lock_guard lock(mutex_);
  const auto found = gates_.find(model);
  return found == gates_.end() || !found->second.is_wanted ? nullptr : found->second.gate;
}

std::vector<std::shared_ptr<Gate>> Gates::All() const {
  std::vector<std::shared_ptr<Gate>> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [model, held] : gates_) all.push_back(held.gate);
  return all;
}

bool Gates::Tick(Now now) {
  const auto gates = All();
  for (const auto& gate : gates) gate->Tick(now);
  return !gates.empty();
}

std::vector<GateView> Gates::Views() const {
  std::vector<GateView> views;
  for (const auto& gate : All()) views.push_back(gate->View());
  return views;
}

void Gates::Clear() {
  for (const auto& gate : All()) gate->Clear();
}

}  // namespace weir::node::admission
