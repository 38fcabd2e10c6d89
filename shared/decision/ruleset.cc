// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/ruleset.h"

#include <algorithm>

#include "shared/domain/token.h"

namespace weir::decision {
namespace {

// The split that belongs to a rollout, null if there is none.
const Split* SplitOf(const EntryTable<Split>& splits, std::string_view rollout) {
  const Split* found = nullptr;
  splits.ForEach([&](const Split& split) {
    if (split.rollout == rollout) found = &split;
  });
  return found;
}

}  // namespace

const domain::VersionEntry* Model::FindVersion(std::string_view version) const {
  for (const domain::VersionEntry& entry : versions) {
    if (entry.version == version) return &entry;
  }
  return nullptr;
}

const domain::VariantEntry* Flag::FindVariant(std::string_view variant) const {
  for (const domain::VariantEntry& entry : variants) {
    if (entry.name == variant) return &entry;
  }
  return nullptr;
}

void Ruleset::Set(domain::FlagEntry entry) {
  Flag flag{std::move(entry), nullptr, false};
  flag.is_boolean = std::all_of(flag.variants.begin(), flag.variants.end(), [](const auto& v) {
    return v.value.text == "true" || v.value.text == "false";
  });
  // flagd takes an empty rule for none.
  const bool has_rule =
      !flag.targeting.empty() && flag.targeting.text != "{}" && flag.targeting.text != "null";
  if (has_rule && flag.malformed.empty()) {
    auto rule = targeting::Compile(flag.targeting.text);
    if (rule.ok()) {
      flag.rule = *std::move(rule);
    } else {
      flag.malformed = "targeting: " + rule.status().ToString();
    }
  }
  flags_.Set(std::make_shared<const Flag>(std::move(flag)));
}

void Ruleset::Set(domain::ModelEntry entry) {
  models_.Set(std::make_shared<const Model>(Model{std::move(entry)}));
}

void Ruleset::Set(domain::SplitEntry entry) {
  RemoveSplit(entry.rollout);
  const bool applies = domain::Selects(entry.nodes, labels_);
  auto split = std::make_shared<const Split>(Split{std::move(entry), applies});
  EntryTable<Split>& table = split->model.empty() ? flag_splits_ : model_splits_;
  const Split* replaced = table.Find(split->key());
  const bool has_flags = !split->flags.empty() || (replaced != nullptr && !replaced->flags.empty());
  table.Set(std::move(split));
  if (has_flags) RebuildPhaseFlags();
}

void Ruleset::Set(domain::ExperimentEntry entry) {
  Experiment experiment{std::move(entry), 0};
  for (const domain::ExperimentGroup& group : experiment.groups) experiment.total += group.weight;
  experiments_.Set(std::make_shared<const Experiment>(std::move(experiment)));
}

void Ruleset::Set(domain::ObservabilityEntry entry) { observability_ = std::move(entry.settings); }

void Ruleset::Set(domain::TokenEntry entry) {
  RemoveToken(entry.name);
  Token token{std::move(entry), 0};
  for (const std::string& scope : token.scopes) {
    const int index = domain::ScopeIndex(scope);
    if (index >= 0) token.opens |= 1U << index;
  }
  tokens_.Set(std::make_shared<const Token>(std::move(token)));
}

void Ruleset::Set(domain::LimitEntry entry) {
  limits_.Set(std::make_shared<const Limit>(Limit{std::move(entry)}));
}

void Ruleset::Remove(domain::EntryKind kind, std::string_view name) {
  switch (kind) {
    case domain::EntryKind::kFlag:
      return flags_.Remove(name);
    case domain::EntryKind::kModel:
      return models_.Remove(name);
    case domain::EntryKind::kExperiment:
      return experiments_.Remove(name);
    case domain::EntryKind::kObservability:
      observability_ = {};
      return;
    case domain::EntryKind::kToken:
      return RemoveToken(name);
    case domain::EntryKind::kLimit:
      return limits_.Remove(name);
    case domain::EntryKind::kSplit:
      RemoveSplit(name);
  }
}

void Ruleset::RemoveToken(std::string_view name) {
  std::string hash;
  tokens_.ForEach([&](const Token& token) {
    if (token.name == name) hash = token.hash;
  });
  if (!hash.empty()) tokens_.Remove(hash);
}

void Ruleset::RemoveSplit(std::string_view rollout) {
  bool has_flags = false;
  for (EntryTable<Split>* table : {&model_splits_, &flag_splits_}) {
    const Split* split = SplitOf(*table, rollout);
    if (split == nullptr) continue;
    has_flags |= !split->flags.empty();
    table->Remove(std::string(split->key()));  // a copy: the split goes away
  }
  if (has_flags) RebuildPhaseFlags();
}

void Ruleset::RebuildPhaseFlags() {
  std::map<std::string, std::map<std::string, const Split*>> by_flag;
  for (const EntryTable<Split>* table : {&model_splits_, &flag_splits_}) {
    table->ForEach([&](const Split& split) {
      for (const std::string& flag : split.flags) by_flag[flag][split.rollout] = &split;
    });
  }
  phase_flags_ = {};
  for (const auto& [flag, splits] : by_flag) {
    PhaseFlag entry{flag, {}};
    for (const auto& [rollout, split] : splits) entry.splits.push_back(split);
    phase_flags_.Set(std::make_shared<const PhaseFlag>(std::move(entry)));
  }
}

}  // namespace weir::decision
