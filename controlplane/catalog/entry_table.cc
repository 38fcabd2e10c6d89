// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/entry_table.h"

#include <fmt/format.h>

#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "shared/domain/entries.h"

namespace weir::control::catalog {
namespace {

using domain::EntryKind;
using domain::Kind;

EntryKind EntryKindOf(Kind kind) {
  switch (kind) {
    case Kind::kModel:
      return EntryKind::kModel;
    case Kind::kRollout:
      return EntryKind::kSplit;
    case Kind::kExperiment:
      return EntryKind::kExperiment;
    case Kind::kObservability:
      return EntryKind::kObservability;
    case Kind::kToken:
      return EntryKind::kToken;
    case Kind::kLimit:
      return EntryKind::kLimit;
    default:
      return EntryKind::kFlag;
  }
}

bool IsNodesBusiness(Kind kind) {
  return kind != Kind::kEmergency && kind != Kind::kSink && kind != Kind::kPolicy &&
         kind != Kind::kSilence;
}

void AddEntriesOf(const domain::Resource& resource, std::set<EntryKey>& out) {
  if (!IsNodesBusiness(resource.kind)) return;
  out.emplace(EntryKindOf(resource.kind), resource.name);
  // Whether a flag is rolled back is told by its rollouts.
  if (resource.kind != Kind::kRollout) return;
  const std::string& flag = resource.As<domain::RolloutSpec>().flag;
  if (!flag.empty()) out.emplace(EntryKind::kFlag, flag);
}

template <class Entry>
Result<std::string> Encode(const EntryKey& key, const Entry& entry) {
  std::string body = codec::ToMsgpack(entry);
  const auto fail = [&](const std::string& why) {
    return InvalidArgument("spec", fmt::format("nodes could not read the {} \"{}\": {}",
                                               domain::EntryKindName(key.first), key.second, why));
  };
  if (body.size() > codec::MsgpackLimits::kMaxText) {
    return fail(fmt::format("{} bytes, at most {} are allowed", body.size(),
                            codec::MsgpackLimits::kMaxText));
  }
  const Result<Entry> read = codec::FromMsgpack<Entry>(body);
  if (!read.ok()) return fail(read.status().ToString());
  if (!(*read == entry)) return fail("it reads back as something else");
  return body;
}

// An empty body: there is no such entry.
Result<std::string> Compile(const EntryKey& key, const Proposal& proposal) {
  const auto& [kind, name] = key;
  if (kind == EntryKind::kFlag) {
    const auto* flag = proposal.Find(Kind::kFlag, name);
    if (flag != nullptr) return Encode(key, domain::FlagEntryOf(*flag, proposal.for_each()));
  } else if (kind == EntryKind::kModel) {
    const auto* model = proposal.Find(Kind::kModel, name);
    if (model != nullptr) return Encode(key, domain::ModelEntryOf(*model));
  } else if (kind == EntryKind::kSplit) {
    const auto* rollout = proposal.Find(Kind::kRollout, name);
    if (rollout != nullptr) {
      if (const auto split = domain::SplitEntryOf(*rollout)) return Encode(key, *split);
    }
  } else if (kind == EntryKind::kExperiment) {
    const auto* experiment = proposal.Find(Kind::kExperiment, name);
    if (experiment != nullptr) return Encode(key, domain::ExperimentEntryOf(*experiment));
  } else if (kind == EntryKind::kObservability) {
    const auto* observability = proposal.Find(Kind::kObservability, name);
    if (observability != nullptr) return Encode(key, domain::ObservabilityEntryOf(*observability));
  } else if (kind == EntryKind::kLimit) {
    const auto* limit = proposal.Find(Kind::kLimit, name);
    if (limit != nullptr) return Encode(key, domain::LimitEntryOf(*limit));
  } else if (kind == EntryKind::kToken) {
    const auto* token = proposal.Find(Kind::kToken, name);
    if (token != nullptr) {
      if (const auto entry = domain::TokenEntryOf(*token)) return Encode(key, *entry);
    }
  }
  return std::string();
}

}  // namespace

Result<EntryChanges> ChangedEntries(const Proposal& proposal, const EntryTable& table) {
  std::set<EntryKey> affected;
  for (const auto& [key, resource] : proposal.changed()) {
    if (const auto* before = proposal.Before(key)) AddEntriesOf(*before, affected);
    if (resource) AddEntriesOf(*resource, affected);
  }
  EntryChanges changes;
  for (const EntryKey& key : affected) {
    WEIR_ASSIGN_OR_RETURN(std::string body, Compile(key, proposal));
    const auto at = table.find(key);
    if (body == (at == table.end() ? "" : at->second)) continue;
    if (body.empty()) {
      changes[key].reset();
    } else {
      changes[key] = std::move(body);
    }
  }
  return changes;
}

Result<EntryTable> AllEntriesOf(const ResourceMap& resources) {
  const Proposal as_it_stands(resources);
  EntryTable table;
  for (const auto& [key, resource] : resources) {
    std::set<EntryKey> keys;
    AddEntriesOf(resource, keys);
    for (const EntryKey& entry : keys) {
      if (table.contains(entry)) continue;
      WEIR_ASSIGN_OR_RETURN(std::string body, Compile(entry, as_it_stands));
      if (!body.empty()) table[entry] = std::move(body);
    }
  }
  return table;
}

}  // namespace weir::control::catalog
