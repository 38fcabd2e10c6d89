// SPDX-License-Identifier: Apache-2.0
#include "shared/explain/explain.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "shared/decision/decide.h"
#include "shared/targeting/targeting.h"

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

// A query's key and context as decisions take them. The context lives in the arena.
struct Asked {
  explicit Asked(const Query& query)
      : inputs{.key = query.key,
               .random = query.random,
               .now_wall_ms = query.now_wall_ms,
               .context = {}} {
    if (query.context.empty()) return;
    const auto context = targeting::ParseValue(query.context, arena);
    if (!context.ok()) {
      unreadable = "context: " + context.status().ToString();
    } else if (context->type() != targeting::Value::Type::kMap) {
      unreadable = "context: is no JSON object";
    } else {
      inputs.context = *context;
    }
  }
  targeting::Arena arena;
  decision::FlagInputs inputs;
  std::string unreadable;  // why there is no context
};

Json FlagRow(const decision::Ruleset& rules, std::string_view flag, const Asked& asked) {
  if (!asked.unreadable.empty()) {
    return {{"flag", flag},
            {"enabled", false},
            {"reason", decision::ReasonName(decision::Reason::kError)},
            {"error", "INVALID_CONTEXT"},
            {"detail", asked.unreadable}};
  }
  const auto decision = decision::DecideFlag(rules, flag, asked.inputs);
  Json row = {{"flag", flag},
              {"enabled", decision.enabled},
              {"reason", decision::ReasonName(decision.reason)}};
  if (!decision.value.empty()) row["value"] = Json::parse(decision.value, nullptr, false);
  if (!decision.variant.empty()) row["variant"] = decision.variant;
  if (decision.error != decision::FlagError::kNone)
    row["error"] = decision::FlagErrorName(decision.error);
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
  if (decision.is_copied) row["copied"] = true;
  // As a node counts it (dataplane/routing/plan.h).
  const bool is_forced = decision.reason == decision::Reason::kPinned ||
                         decision.reason == decision::Reason::kOverride;
  if (is_forced) row["arm"] = "pinned";
  SetNumbers(row, decision.bucket, decision.threshold);
  return row;
}

// A flag's rollout: the arm is what the flag answers.
Json FlagSplitRow(const decision::Ruleset& rules, const decision::Split& split,
                  const Asked& asked) {
  const auto decision = decision::DecideFlag(rules, split.flag, asked.inputs);
  Json row = {{"flag", split.flag},
              {"rollout", split.rollout},
              {"arm", decision.enabled ? "canary" : "stable"},
              {"version", decision.enabled ? "on" : "off"},
              {"percentage", split.threshold / 1000.0},
              {"reason", decision::ReasonName(decision.reason)}};
  SetNumbers(row, decision.bucket, decision.threshold);
  if (decision.split == nullptr && !decision.detail.empty()) row["detail"] = decision.detail;
  return row;
}

}  // namespace

Json Explain(const decision::Ruleset& rules, const Query& query) {
  Json flags = Json::array();
  Json splits = Json::array();
  Json experiments = Json::array();
  const Asked asked(query);
  const bool everything = query.model.empty() && query.flag.empty();
  if (!query.flag.empty()) {
    flags.push_back(FlagRow(rules, query.flag, asked));
  } else if (everything) {
    for (const auto* flag : Sorted(rules.flags()))
      flags.push_back(FlagRow(rules, flag->name, asked));
  }
  for (const auto* model : Sorted(rules.models())) {
    if (everything || model->name == query.model) splits.push_back(ModelRow(rules, *model, query));
  }
  for (const auto* split : Sorted(rules.flag_splits())) {
    if (everything || split->flag == query.flag)
      splits.push_back(FlagSplitRow(rules, *split, asked));
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
