// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/catalog.h"

#include <fmt/format.h>

#include "controlplane/catalog/check.h"
#include "controlplane/catalog/state.h"
#include "shared/wire/digest.h"

namespace weir::control::catalog {
namespace {

using domain::Kind;
using domain::Resource;
using domain::ResourceKey;

const ResourceKey kEmergencyKey{Kind::kEmergency, "default"};

std::string NameOf(const ResourceKey& key) {
  return fmt::format("{}/{}", domain::KindName(key.kind), key.name);
}

// The same to everyone but the books (revision, updated_*).
bool SameContent(const Resource& a, const Resource& b) {
  return a.spec == b.spec && a.status == b.status && a.labels == b.labels &&
         a.annotations == b.annotations;
}

bool Differs(const Proposal& proposal, const ResourceKey& key) {
  const Resource* before = proposal.Before(key);
  const Resource* after = proposal.Find(key.kind, key.name);
  if (before == nullptr || after == nullptr) return before != after;
  return !SameContent(*before, *after);
}

const char* ActionOf(const Proposal& proposal, const ResourceKey& key) {
  if (!Differs(proposal, key)) return "unchanged";
  if (proposal.Before(key) == nullptr) return "created";
  return proposal.Find(key.kind, key.name) == nullptr ? "deleted" : "updated";
}

// Evidence may hold what a node sent; bytes that are no UTF-8 must not stop a commit.
std::string Dump(const codec::Json& json) {
  return json.dump(-1, ' ', false, codec::Json::error_handler_t::replace);
}

std::string Text(const Resource* resource) {
  return resource == nullptr ? "" : Dump(codec::ResourceToJson(*resource));
}

// Nodes take 16 MiB in one message: a larger set could reach no new node.
Status CheckSetFits(const std::map<EntryKey, std::string>& entries, const EntryChanges& changes) {
  constexpr size_t kMaxSetBytes = 15u << 20;
  const auto size_of = [](const EntryKey& key, size_t body) {
    return key.second.size() + body + 32;
  };
  size_t before = 0;
  size_t after = 0;
  for (const auto& [key, body] : entries) {
    before += size_of(key, body.size());
    if (!changes.contains(key)) after += size_of(key, body.size());
  }
  for (const auto& [key, body] : changes) {
    if (body) after += size_of(key, body->size());
  }
  if (after <= kMaxSetBytes || after <= before) return OkStatus();
  return InvalidArgument(
      "spec", fmt::format("nodes would need {} bytes; at most {} fit in one snapshot", after,
                          kMaxSetBytes));
}

// Flags of changed entries, and those of rollouts whose entries changed, as they stood or will.
std::set<std::string> ChangedFlags(const Proposal& proposal, const EntryChanges& changes) {
  std::set<std::string> flags;
  for (const auto& [key, body] : changes) {
    const auto& [kind, name] = key;
    if (kind == domain::EntryKind::kFlag) flags.insert(name);
    if (kind != domain::EntryKind::kSplit) continue;
    for (const Resource* rollout :
         {proposal.Before({Kind::kRollout, name}), proposal.Find(Kind::kRollout, name)}) {
      if (rollout != nullptr) flags.insert(rollout->As<domain::RolloutSpec>().flag);
    }
  }
  flags.erase("");
  return flags;
}

// Who wrote a rollout's spec as it stands, and who started it: their approval may not be enough.
void Attribute(Resource& rollout, const Resource* current, const std::string& actor) {
  domain::RolloutStatus& status = *rollout.status;
  if (current == nullptr || current->spec != rollout.spec) status.spec_by = actor;
  const bool ran = current != nullptr && domain::IsActive(*current->status);
  if (!ran && status.state == "progressing") status.started_by = actor;
}

// A token is made once and revoked for good: no file, revert or undo brings one, or one back.
Status CheckTokens(const Proposal& proposal, bool may_change) {
  if (may_change) return OkStatus();
  for (const auto& [key, resource] : proposal.changed()) {
    if (key.kind == Kind::kToken && Differs(proposal, key)) {
      return FailedPrecondition(NameOf(key) +
                                ": tokens are made by weir token create and end by weir token "
                                "revoke, and by nothing else");
    }
  }
  return OkStatus();
}

Resource NoEmergency() {
  Resource resource;
  resource.kind = kEmergencyKey.kind;
  resource.name = kEmergencyKey.name;
  resource.spec = domain::EmergencySpec{};
  return resource;
}

}  // namespace

// Loading and finding
// ------------------------------------------------------------------------------------------------

Status Catalog::State::Load() {
  WEIR_ASSIGN_OR_RETURN(const auto rows, store.LoadResources());
  resources.clear();
  for (const store::ResourceRow& row : rows) {
    const auto fail = [&](const Status& status) {
      return DataLoss(fmt::format("{}/weir.db: {}/{} is damaged: {}", store.data_dir(), row.kind,
                                  row.name, status.ToString()));
    };
    const Result<Json> json = codec::ParseJson(row.document);
    if (!json.ok()) return fail(json.status());
    Result<Resource> resource = codec::ResourceFromJson(*json);
    if (!resource.ok()) return fail(resource.status());
    if (resource->kind == Kind::kRollout && !resource->status) resource->status.emplace();
    if (const Status valid = CheckResource(*resource); !valid.ok()) return fail(valid);
    const ResourceKey key{resource->kind, resource->name};
    resources[key] = *std::move(resource);
  }
  resources.try_emplace(kEmergencyKey, NoEmergency());
  WEIR_ASSIGN_OR_RETURN(entries, AllEntriesOf(resources));
  return OkStatus();
}

const Resource* Catalog::State::Find(Kind kind, const std::string& name) const {
  const auto at = resources.find({kind, name});
  return at == resources.end() ? nullptr : &at->second;
}

// The one door
// ------------------------------------------------------------------------------------------------

Status Catalog::State::Propose(const CommitRequest& request, Proposal& proposal) const {
  for (const Change& change : request.changes) {
    const ResourceKey key{change.resource.kind, change.resource.name};
    if (proposal.changed().contains(key)) {
      return InvalidArgument("metadata.name", NameOf(key) + " is changed twice in one batch");
    }
    const Resource* current = proposal.Before(key);
    const uint64_t revision = current == nullptr ? 0 : current->revision;
    if (change.expected_revision && *change.expected_revision != revision) {
      return FailedPrecondition(fmt::format("{} stands at revision {}, not {}: read it again",
                                            NameOf(key), revision, *change.expected_revision));
    }
    if (change.remove) {
      if (current == nullptr) return NotFound(NameOf(key) + " does not exist");
      proposal.Remove(key);
      continue;
    }
    Resource resource = change.resource;
    WEIR_RETURN_IF_ERROR(Prepare(resource, current, clock.WallMs()));
    if (resource.kind == Kind::kRollout) Attribute(resource, current, request.actor);
    resource.revision = revision;
    resource.updated_at = current == nullptr ? domain::TimeMs{} : current->updated_at;
    resource.updated_by = current == nullptr ? "" : current->updated_by;
    proposal.Set(std::move(resource));
  }
  return OkStatus();
}

std::vector<ChangeSummary> Catalog::State::Summarize(const Batch& batch,
                                                     const Proposal& proposal) const {
  std::vector<ChangeSummary> out;
  for (size_t i = 0; i < batch.request.changes.size(); ++i) {
    const Resource& named = batch.request.changes[i].resource;
    const ResourceKey key{named.kind, named.name};
    const Resource* before = proposal.Before(key);
    const Resource* after = proposal.Find(key.kind, key.name);
    ChangeSummary& summary = out.emplace_back();
    summary.kind = key.kind;
    summary.name = key.name;
    summary.action = ActionOf(proposal, key);
    summary.diff = DiffOf(before == nullptr ? Json() : FullOf(*before),
                          after == nullptr ? Json() : FullOf(*after));
    if (i < batch.kept.size()) summary.kept = batch.kept[i];
    if (i < batch.taken.size()) summary.taken = batch.taken[i];
  }
  return out;
}

// Stores what differs; `written` gets its keys. The proposal's resources get their new revision.
Result<uint64_t> Catalog::State::Write(const Batch& batch, Proposal& proposal,
                                       std::vector<ResourceKey>& written) {
  const uint64_t next = store.last_revision() + 1;
  store::RevisionRecord record{
      .at_wall_ms = clock.WallMs(),
      .actor = batch.request.actor,
      .reason = batch.request.reason,
      .evidence = batch.request.evidence.is_null() ? "" : Dump(batch.request.evidence),
      .changes = {},
      .sources = batch.sources};
  for (const Change& change : batch.request.changes) {
    const ResourceKey key{change.resource.kind, change.resource.name};
    if (!Differs(proposal, key)) continue;
    written.push_back(key);
    const std::string action = ActionOf(proposal, key);
    if (const Resource* after = proposal.Find(key.kind, key.name)) {
      Resource stamped = *after;
      stamped.revision = next;
      stamped.updated_at.ms = record.at_wall_ms;
      stamped.updated_by = record.actor;
      proposal.Set(std::move(stamped));
    }
    record.changes.push_back({.kind = domain::KindName(key.kind),
                              .name = key.name,
                              .action = action,
                              .before = Text(proposal.Before(key)),
                              .after = Text(proposal.Find(key.kind, key.name))});
  }
  if (!written.empty()) return store.CommitRevision(record);
  if (!batch.sources.empty()) WEIR_RETURN_IF_ERROR(store.SaveSources(batch.sources));
  return store.last_revision();
}

void Catalog::State::Install(const Proposal& proposal, const std::vector<ResourceKey>& written,
                             const EntryChanges& changes) {
  for (const ResourceKey& key : written) {
    const auto& resource = proposal.changed().at(key);
    if (resource) {
      resources[key] = *resource;
    } else {
      resources.erase(key);
    }
  }
  for (const auto& [key, body] : changes) {
    if (body) {
      entries[key] = *body;
    } else {
      entries.erase(key);
    }
  }
}

Result<CommitResult> Catalog::State::Commit(const Batch& batch) {
  Proposal proposal(resources);
  WEIR_RETURN_IF_ERROR(Propose(batch.request, proposal));
  WEIR_RETURN_IF_ERROR(CheckTokens(proposal, batch.request.tokens));
  WEIR_RETURN_IF_ERROR(CheckProposal(proposal, batch.request.force_removal));
  WEIR_ASSIGN_OR_RETURN(const EntryChanges changes, ChangedEntries(proposal, entries));
  WEIR_RETURN_IF_ERROR(CheckSetFits(entries, changes));
  CommitResult result{.revision = store.last_revision(), .changes = Summarize(batch, proposal)};
  if (batch.dry_run) return result;

  Committed committed;
  committed.previous_revision = store.last_revision();
  const auto emergency = [&] { return resources.at(kEmergencyKey).As<domain::EmergencySpec>(); };
  const domain::EmergencySpec emergency_before = emergency();
  committed.flags = ChangedFlags(proposal, changes);
  WEIR_ASSIGN_OR_RETURN(result.revision, Write(batch, proposal, committed.resources));
  if (committed.resources.empty()) return result;
  Install(proposal, committed.resources, changes);
  committed.revision = result.revision;
  for (const auto& [key, body] : changes) {
    committed.entries.push_back({key.first, key.second, body});
  }
  committed.emergency = emergency();
  committed.emergency_changed = !(committed.emergency == emergency_before);
  if (listener) listener(committed);
  return result;
}

// The public face
// ------------------------------------------------------------------------------------------------

Catalog::Catalog(store::Store& store, const Clock& clock)
    : state_(std::make_unique<State>(store, clock)) {}
Catalog::~Catalog() = default;

Status Catalog::Load() { return state_->Load(); }

void Catalog::SetListener(std::function<void(const Committed&)> listener) {
  state_->listener = std::move(listener);
}

uint64_t Catalog::revision() const { return state_->store.last_revision(); }

const Resource* Catalog::Find(Kind kind, const std::string& name) const {
  return state_->Find(kind, name);
}

void Catalog::ForEach(Kind kind, const std::function<void(const Resource&)>& visit) const {
  Proposal(state_->resources).ForEach(kind, visit);
}

domain::EmergencySpec Catalog::emergency() const {
  const Resource* resource = state_->Find(kEmergencyKey.kind, kEmergencyKey.name);
  return resource == nullptr ? domain::EmergencySpec{} : resource->As<domain::EmergencySpec>();
}

std::vector<EntryBody> Catalog::AllEntries() const {
  std::vector<EntryBody> out;
  out.reserve(state_->entries.size());
  for (const auto& [key, body] : state_->entries) out.push_back({key.first, key.second, body});
  return out;
}

std::string Catalog::FlagDigest(const std::string& flag) const {
  std::string text;
  const auto add = [&](domain::EntryKind kind, const std::string& name) {
    const auto entry = state_->entries.find({kind, name});
    if (entry == state_->entries.end()) return;
    text += fmt::format("{} {} {} ", name, entry->second.size(), entry->second);
  };
  add(domain::EntryKind::kFlag, flag);
  ForEach(Kind::kRollout, [&](const Resource& rollout) {
    if (rollout.As<domain::RolloutSpec>().flag == flag)
      add(domain::EntryKind::kSplit, rollout.name);
  });
  return wire::Sha256Hex(text).substr(0, 16);
}

Result<CommitResult> Catalog::Commit(const CommitRequest& request) {
  Batch batch;
  batch.request = request;
  return state_->Commit(batch);
}

}  // namespace weir::control::catalog
