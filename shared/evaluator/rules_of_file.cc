// SPDX-License-Identifier: Apache-2.0
#include "shared/evaluator/rules_of_file.h"

#include <map>
#include <utility>
#include <vector>

#include "shared/codec/domain_fields.h"
#include "shared/domain/entries.h"
#include "shared/domain/validate.h"

namespace weir::evaluator {
namespace {

using codec::Json;
using Resources = std::map<domain::ResourceKey, domain::Resource>;

Status FirstError(const std::vector<codec::FileError>& errors) {
  const codec::FileError& first = errors.front();
  std::string message = first.message;
  if (errors.size() > 1) message += fmt::format(" (and {} more errors)", errors.size() - 1);
  std::string place = first.file;
  if (first.line > 0) place += fmt::format(":{}", first.line);
  if (!first.path.empty()) place += ": " + first.path;
  return InvalidArgument(std::move(place), std::move(message));
}

// What applying fills in: defaults, a blob for each uri, a rollout's first phase.
void Apply(domain::Resource& resource, int64_t now_wall_ms) {
  if (auto* model = std::get_if<domain::ModelSpec>(&resource.spec)) {
    for (auto& [name, version] : model->versions) {
      if (version.blob.empty()) version.blob = "sha256:" + std::string(64, '0');
    }
  }
  domain::FillDefaults(resource, now_wall_ms);
  const auto* rollout = std::get_if<domain::RolloutSpec>(&resource.spec);
  if (rollout == nullptr || rollout->phases.empty() || rollout->start == "manual") return;
  resource.status->state = "progressing";
  resource.status->percentage = rollout->phases[0].percentage;
}

void SetEntry(decision::Ruleset& rules, const domain::Resource& resource,
              const domain::ForEach& for_each) {
  switch (resource.kind) {
    case domain::Kind::kFlag:
      return rules.Set(domain::FlagEntryOf(resource, for_each));
    case domain::Kind::kModel:
      return rules.Set(domain::ModelEntryOf(resource));
    case domain::Kind::kRollout:
      if (auto split = domain::SplitEntryOf(resource)) rules.Set(*std::move(split));
      return;
    case domain::Kind::kExperiment:
      return rules.Set(domain::ExperimentEntryOf(resource));
    case domain::Kind::kObservability:
      return rules.Set(domain::ObservabilityEntryOf(resource));
    case domain::Kind::kEmergency: {
      const auto& spec = resource.As<domain::EmergencySpec>();
      rules.emergency = {0, 0, spec.kill_switch, spec.rollback_to_baseline, spec.freeze};
      return;
    }
    case domain::Kind::kLimit:
      return rules.Set(domain::LimitEntryOf(resource));
    case domain::Kind::kSink:
    case domain::Kind::kToken:
    case domain::Kind::kPolicy:
    case domain::Kind::kSilence:
      return;
  }
}

template <class Entry>
void ReadEntry(const Json& json, const std::string& path, decision::Ruleset& rules,
               codec::Errors& errors) {
  Entry entry = codec::FromJson<Entry>(json, path, errors);
  if (errors.empty()) rules.Set(std::move(entry));
}

struct SnapshotItem {
  std::string kind;
  std::string name;
  Json entry;
};
template <class V>
void Describe(V& v, SnapshotItem& f) {
  v(2, "kind", f.kind, codec::Required());
  v(4, "name", f.name, codec::Required());
  v(6, "entry", f.entry, codec::Required());
}

struct Snapshot {
  uint64_t epoch = 0;
  uint64_t version = 0;
  std::string digest;
  domain::EmergencySpec emergency;
  std::vector<SnapshotItem> entries;
};
template <class V>
void Describe(V& v, Snapshot& f) {
  v(2, "epoch", f.epoch, codec::Required());
  v(4, "version", f.version, codec::Required());
  v(6, "digest", f.digest);
  v(8, "emergency", f.emergency);
  v(10, "entries", f.entries, codec::Required());
}

void ReadItem(const SnapshotItem& item, const std::string& path, decision::Ruleset& rules,
              codec::Errors& errors) {
  using domain::EntryKind;
  const auto is = [&](EntryKind kind) { return item.kind == domain::EntryKindName(kind); };
  const std::string entry = path + ".entry";
  if (is(EntryKind::kFlag)) return ReadEntry<domain::FlagEntry>(item.entry, entry, rules, errors);
  if (is(EntryKind::kModel)) return ReadEntry<domain::ModelEntry>(item.entry, entry, rules, errors);
  if (is(EntryKind::kSplit)) return ReadEntry<domain::SplitEntry>(item.entry, entry, rules, errors);
  if (is(EntryKind::kExperiment))
    return ReadEntry<domain::ExperimentEntry>(item.entry, entry, rules, errors);
  if (is(EntryKind::kObservability))
    return ReadEntry<domain::ObservabilityEntry>(item.entry, entry, rules, errors);
  if (is(EntryKind::kLimit)) return ReadEntry<domain::LimitEntry>(item.entry, entry, rules, errors);
  if (is(EntryKind::kToken)) return;  // decides nothing
  errors.push_back({path + ".kind", fmt::format("\"{}\" is no kind of entry", item.kind)});
}

bool LooksLikeSnapshot(const Json& json) {
  return json.is_object() && json.contains("epoch") && json.contains("entries");
}

}  // namespace

Result<decision::Ruleset> RulesOf(const codec::FileContent& content, int64_t now_wall_ms) {
  std::vector<codec::FileError> errors = content.errors;
  for (const codec::ResourceDocument& document : content.documents)
    errors.insert(errors.end(), document.when_new.begin(), document.when_new.end());
  if (!errors.empty()) return FirstError(errors);
  Resources resources;
  for (const codec::ResourceDocument& document : content.documents) {
    domain::Resource resource;
    resource.kind = document.kind;
    resource.name = document.name;
    codec::Errors unreadable;
    resource.spec = codec::SpecFromJson(document.kind, document.spec, unreadable);
    if (!unreadable.empty()) return codec::ToStatus(unreadable);
    Apply(resource, now_wall_ms);
    resources[{resource.kind, resource.name}] = std::move(resource);
  }
  const domain::ForEach for_each = [&](domain::Kind kind,
                                       const std::function<void(const domain::Resource&)>& visit) {
    for (const auto& [key, resource] : resources) {
      if (key.kind == kind) visit(resource);
    }
  };
  decision::Ruleset rules;
  for (const auto& [key, resource] : resources) SetEntry(rules, resource, for_each);
  return rules;
}

Result<decision::Ruleset> RulesOfSnapshot(const codec::Json& json) {
  WEIR_ASSIGN_OR_RETURN(const auto snapshot, codec::FromJson<Snapshot>(json));
  decision::Ruleset rules;
  codec::Errors errors;
  for (size_t i = 0; i < snapshot.entries.size(); ++i)
    ReadItem(snapshot.entries[i], fmt::format("entries[{}]", i), rules, errors);
  if (!errors.empty()) return codec::ToStatus(errors);
  rules.epoch = snapshot.epoch;
  rules.version = snapshot.version;
  rules.emergency = {snapshot.epoch, snapshot.version, snapshot.emergency.kill_switch,
                     snapshot.emergency.rollback_to_baseline, snapshot.emergency.freeze};
  return rules;
}

Result<decision::Ruleset> RulesOfText(std::string_view text, const std::string& name,
                                      int64_t now_wall_ms) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') {
    const Result<Json> json = codec::ParseJson(text);
    if (json.ok() && LooksLikeSnapshot(*json)) {
      Result<decision::Ruleset> rules = RulesOfSnapshot(*json);
      if (rules.ok()) return rules;
      const Status status = rules.status();
      return InvalidArgument(name + ": " + status.field(), status.message());
    }
  }
  return RulesOf(codec::ReadResources(text, name), now_wall_ms);
}

}  // namespace weir::evaluator
