// SPDX-License-Identifier: Apache-2.0
#include "shared/explain/explain.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "shared/decision/decide.h"

namespace weir::explain {
namespace {

using codec::Json;

template <class T>
std::vector<const T*> Sorted(const decision::EntryTable<T>& table) {
  std::vector<const T*> all;
  table.ForEach([&](const T& entry) { all.push_back(&entry); });
  std::sort(all.begin(), all.end(), [](const T* a, const T* b) { return a->key() < b->key(); });
  return all;
}

void SetNumbers(Json& row, const std::optional<domain::FinePercent>& bucket,
                const std::optional<domain::FinePercent>& threshold) {
  if (bucket.has_value()) row["bucket"] = *bucket;
  if (threshold.has_value()) row["threshold"] = *threshold;
}

Json FlagRow(const decision::Ruleset& rules, std::string_view flag, const Query& query) {
  const auto decision = decision::DecideFlag(rules, flag, query.key, query.random);
  Json row = {{"flag", flag},
              {"enabled", decision.enabled},
              {"value", decision.enabled},
              {"variant", decision.enabled ? "on" : "off"},
              {"reason", decision::ReasonName(decision.reason)}};
  SetNumbers(row, decision.bucket, decision.threshold);
  if (!decision.detail.empty()) row["detail"] = decision.detail;
  return row;
}

Json ModelRow(const decision::Ruleset& rules, const decision::Model& model, const Query& query) {
  const decision::Keys keys{query.key, query.key, query.key};
  const auto decision = decision::DecideArm(rules, model, keys, query.random);
  const decision::Split* split = rules.model_splits().Find(model.name);
  Json row = {{"model", model.name},
              {"arm", decision.is_canary ? "canary" : "stable"},
              {"version", decision.version},
              {"percentage", split == nullptr ? 0.0 : split->threshold / 1000.0},
              {"reason", decision::ReasonName(decision.reason)}};
  if (split != nullptr) row["rollout"] = split->rollout;
  if (decision.reason == decision::Reason::kPinned) row["arm"] = "pinned";
  SetNumbers(row, decision.bucket, decision.threshold);
  return row;
}

// A flag's rollout: the arm is what the flag answers.
Json FlagSplitRow(const decision::Ruleset& rules, const decision::Split& split,
                  const Query& query) {
  const auto decision = decision::DecideFlag(rules, split.flag, query.key, query.random);
  Json row = {{"flag", split.flag},
              {"rollout", split.rollout},
              {"arm", decision.enabled ? "canary" : "stable"},
              {"version", decision.enabled ? "on" : "off"},
              {"percentage", split.threshold / 1000.0},
              {"reason", decision::ReasonName(decision.reason)}};
  SetNumbers(row, decision.bucket, decision.threshold);
  return row;
}

}  // namespace

Json Explain(const decision::Ruleset& rules, const Query& query) {
  Json flags = Json::array();
  Json splits = Json::array();
  Json experiments = Json::array();
  const bool everything = query.model.empty() && query.flag.empty();
  if (!query.flag.empty()) {
    flags.push_back(FlagRow(rules, query.flag, query));
  } else if (everything) {
    for (const auto* flag : Sorted(rules.flags()))
      flags.push_back(FlagRow(rules, flag->name, query));
  }
  for (const auto* model : Sorted(rules.models())) {
    if (everything || model->name == query.model) splits.push_back(ModelRow(rules, *model, query));
  }
  for (const auto* split : Sorted(rules.flag_splits())) {
    if (everything || split->flag == query.flag)
      splits.push_back(FlagSplitRow(rules, *split, query));
  }
  if (everything) {
    for (const auto* experiment : Sorted(rules.experiments())) {
      const auto decision = decision::DecideGroup(rules, *experiment, query.key);
      experiments.push_back({{"experiment", experiment->name},
                             {"group", decision.group},
                             {"bucket", decision.bucket},
                             {"reason", decision::ReasonName(decision.reason)}});
    }
  }
  Json snapshot;
  if (rules.epoch != 0) snapshot = {{"epoch", rules.epoch}, {"version", rules.version}};
  return {{"key", query.key},
          {"snapshot", std::move(snapshot)},
          {"flags", std::move(flags)},
          {"splits", std::move(splits)},
          {"experiments", std::move(experiments)}};
}

}  // namespace weir::explain
