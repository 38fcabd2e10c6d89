// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/explain.h"

#include <algorithm>
#include <string>
#include <vector>

namespace weir::node::front {
namespace {

using nlohmann::json;

template <class T>
std::vector<const T*> SortedByKey(const decision::EntryTable<T>& table) {
  std::vector<const T*> entries;
  table.ForEach([&](const T& entry) { entries.push_back(&entry); });
  std::sort(entries.begin(), entries.end(),
            [](const T* a, const T* b) { return a->key() < b->key(); });
  return entries;
}

template <class D>
void AddBucket(const D& decision, json& out) {
  if (decision.bucket.has_value()) out["bucket"] = *decision.bucket;
  if (decision.threshold.has_value()) out["threshold"] = *decision.threshold;
}

double Percentage(domain::FinePercent threshold) { return static_cast<double>(threshold) / 1000; }

json FlagSplit(const decision::Ruleset& rules, const decision::Split& split, std::string_view key,
               uint64_t random) {
  const decision::FlagDecision decision = decision::DecideFlag(rules, split.flag, key, random);
  json out = {{"flag", split.flag},
              {"rollout", split.rollout},
              {"arm", decision.enabled ? "canary" : "stable"},
              {"percentage", Percentage(split.threshold)},
              {"reason", decision::ReasonName(decision.reason)}};
  AddBucket(decision, out);
  return out;
}

json ModelSplit(const decision::Ruleset& rules, const decision::Split& split,
                const decision::Keys& keys, uint64_t random) {
  json out = {{"model", split.model},
              {"rollout", split.rollout},
              {"percentage", Percentage(split.threshold)}};
  const decision::Model* model = rules.models().Find(split.model);
  if (model == nullptr) return out;
  const decision::ArmDecision decision = decision::DecideArm(rules, *model, keys, random);
  out["arm"] = decision.reason == decision::Reason::kPinned
                   ? "pinned"
                   : (decision.is_canary ? "canary" : "stable");
  out["version"] = decision.version;
  out["reason"] = decision::ReasonName(decision.reason);
  AddBucket(decision, out);
  return out;
}

}  // namespace

json Explain(const decision::Ruleset& rules, const decision::Keys& keys, uint64_t random) {
  std::string_view key = keys.user_id;
  if (key.empty()) key = keys.session_id.empty() ? keys.request_id : keys.session_id;
  json out = {{"key", key},
              {"snapshot", {{"epoch", rules.epoch}, {"version", rules.version}}},
              {"flags", json::array()},
              {"splits", json::array()},
              {"experiments", json::array()}};
  for (const decision::Flag* flag : SortedByKey(rules.flags())) {
    const decision::FlagDecision decision = decision::DecideFlag(rules, flag->name, key, random);
    json item = {{"flag", flag->name},
                 {"enabled", decision.enabled},
                 {"reason", decision::ReasonName(decision.reason)}};
    AddBucket(decision, item);
    if (!decision.detail.empty()) item["detail"] = decision.detail;
    out["flags"].push_back(std::move(item));
  }
  for (const decision::Split* split : SortedByKey(rules.model_splits())) {
    out["splits"].push_back(ModelSplit(rules, *split, keys, random));
  }
  for (const decision::Split* split : SortedByKey(rules.flag_splits())) {
    out["splits"].push_back(FlagSplit(rules, *split, key, random));
  }
  for (const decision::Experiment* experiment : SortedByKey(rules.experiments())) {
    const decision::GroupDecision decision = decision::DecideGroup(rules, *experiment, key);
    out["experiments"].push_back(
        {{"experiment", experiment->name}, {"group", decision.group}, {"bucket", decision.bucket}});
  }
  return out;
}

json Select(const routing::ModelPlan& model, const routing::Route& route) {
  json out = {{"model", model.model->name},
              {"version", route.target->version},
              {"is_canary", route.arm == routing::Arm::kCanary},
              {"arm", routing::ArmName(route.arm)},
              {"reason", decision::ReasonName(route.decision.reason)},
              {"key_source", decision::KeySourceName(route.decision.key_source)},
              {"bucket", nullptr},
              {"threshold", nullptr}};
  AddBucket(route.decision, out);
  if (!route.decision.rollout.empty()) out["rollout"] = route.decision.rollout;
  return out;
}

}  // namespace weir::node::front
