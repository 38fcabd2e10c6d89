// SPDX-License-Identifier: Apache-2.0
#include "shared/decision/ruleset.h"

#include <algorithm>

namespace weir::decision {
namespace {

// The subject of the split that belongs to a rollout, "" if there is none.
std::string SubjectOf(const EntryTable<Split>& splits, std::string_view rollout) {
  std::string subject;
  splits.ForEach([&](const Split& split) {
    if (split.rollout == rollout) subject = split.key();
  });
  return subject;
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
  Remove(domain::EntryKind::kSplit, entry.rollout);
  const bool applies = domain::Selects(entry.nodes, labels_);
  auto split = std::make_shared<const Split>(Split{std::move(entry), applies});
  (split->model.empty() ? flag_splits_ : model_splits_).Set(std::move(split));
}

void Ruleset::Set(domain::ExperimentEntry entry) {
  Experiment experiment{std::move(entry), 0};
  for (const domain::ExperimentGroup& group : experiment.groups) experiment.total += group.weight;
  experiments_.Set(std::make_shared<const Experiment>(std::move(experiment)));
}

void Ruleset::Set(domain::ObservabilityEntry entry) { observability_ = std::move(entry.settings); }

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
    case domain::EntryKind::kSplit:
      model_splits_.Remove(SubjectOf(model_splits_, name));
      flag_splits_.Remove(SubjectOf(flag_splits_, name));
  }
}

}  // namespace weir::decision
