// SPDX-License-Identifier: Apache-2.0
// Catalog::Apply: every document merged (merge.h), and what the source no longer has pruned.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "controlplane/catalog/canonical.h"
#include "controlplane/catalog/merge.h"
#include "controlplane/catalog/state.h"

namespace weir::control::catalog {
namespace {

using domain::ResourceKey;

using Bases = std::map<ResourceKey, Json>;

Result<Bases> LoadBases(store::Store& store, const std::string& source) {
  WEIR_ASSIGN_OR_RETURN(const auto rows, store.LoadSource(source));
  Bases bases;
  for (const store::SourceRow& row : rows) {
    const auto kind = domain::ParseKind(row.kind);
    Result<Json> document = codec::ParseJson(row.document);
    if (!kind || !document.ok()) {
      return DataLoss(fmt::format("{}/weir.db: what {} applied to {}/{} is damaged",
                                  store.data_dir(), source, row.kind, row.name));
    }
    bases[{*kind, row.name}] = *std::move(document);
  }
  return bases;
}

// The document as a tree of canonical fields; InvalidArgument with the resource and the path.
Result<Json> Ours(const codec::ResourceDocument& document) {
  codec::Errors errors;
  Json spec = CanonicalSpec(document.kind, document.spec, errors);
  for (domain::Violation& error : errors) {
    error.message =
        fmt::format("{}/{}: {}", domain::KindName(document.kind), document.name, error.message);
  }
  WEIR_RETURN_IF_ERROR(codec::ToStatus(errors));
  Json ours = PlainOf(Json{{"metadata", document.metadata}, {"spec", Json::object()}});
  ours["spec"] = std::move(spec);
  return ours;
}

// An edit gives up nothing that its source gave before.
void KeepUnnamed(const Json& base, Json& ours) {
  for (const auto& [path, value] : LeavesOf(base)) {
    if (At(ours, path).is_null()) Put(ours, path, value);
  }
}

Status Refuse(const std::vector<codec::FileError>& incomplete) {
  codec::Errors errors;
  for (const codec::FileError& e : incomplete) {
    errors.push_back(
        {e.path, fmt::format("{} ({}{}; nothing of that name stands yet, so all of it "
                             "must be given)",
                             e.message, e.file, e.line > 0 ? fmt::format(":{}", e.line) : "")});
  }
  return codec::ToStatus(errors);
}

bool Carries(const domain::Resource& resource, const domain::Labels& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    const auto at = resource.labels.find(label.first);
    return at != resource.labels.end() && at->second == label.second;
  });
}

store::SourceRow SourceOf(const std::string& source, const ResourceKey& key, std::string document) {
  return {source, domain::KindName(key.kind), key.name, std::move(document)};
}

// Adds the removal of what the source applied before, carries the labels and is no longer given.
void Prune(const ApplyRequest& request, const Bases& bases, const ResourceMap& resources,
           Batch& batch) {
  for (const auto& [key, base] : bases) {
    const bool given = std::any_of(
        request.documents.begin(), request.documents.end(),
        [&key = key](const auto& d) { return d.kind == key.kind && d.name == key.name; });
    if (given || key.kind == domain::Kind::kEmergency) continue;
    const auto at = resources.find(key);
    if (at != resources.end()) {
      if (!Carries(at->second, *request.prune)) continue;
      Change& change = batch.request.changes.emplace_back();
      change.resource.kind = key.kind;
      change.resource.name = key.name;
      change.remove = true;
    }
    batch.sources.push_back(SourceOf(request.source, key, ""));
  }
}

}  // namespace

std::vector<codec::FileError> Catalog::Incomplete(
    const std::vector<codec::ResourceDocument>& documents) const {
  std::vector<codec::FileError> found;
  for (const codec::ResourceDocument& document : documents) {
    if (state_->Find(document.kind, document.name) != nullptr) continue;
    found.insert(found.end(), document.when_new.begin(), document.when_new.end());
  }
  return found;
}

Result<CommitResult> Catalog::Apply(const ApplyRequest& request) {
  WEIR_RETURN_IF_ERROR(Refuse(Incomplete(request.documents)));
  WEIR_ASSIGN_OR_RETURN(const Bases bases, LoadBases(state_->store, request.source));
  Batch batch;
  batch.request.actor = request.actor;
  batch.request.reason = request.reason;
  batch.dry_run = request.dry_run;
  for (const codec::ResourceDocument& document : request.documents) {
    const ResourceKey key{document.kind, document.name};
    WEIR_ASSIGN_OR_RETURN(Json ours, Ours(document));
    const domain::Resource* current = state_->Find(key.kind, key.name);
    if (document.only_if_absent && current != nullptr) continue;
    const auto base = bases.find(key);
    if (document.is_partial && current != nullptr && base != bases.end())
      KeepUnnamed(base->second, ours);
    const MergeResult merge = Merge({.kind = key.kind,
                                     .base = base == bases.end() ? Json() : base->second,
                                     .theirs = current == nullptr ? Json() : PlainOf(*current),
                                     .ours = ours,
                                     .replace = request.replace});
    Change& change = batch.request.changes.emplace_back();
    change.resource.kind = key.kind;
    change.resource.name = key.name;
    WEIR_RETURN_IF_ERROR(SetPlain(merge.merged, change.resource));
    const auto texts = [&](const std::vector<MergedField>& fields,
                           std::vector<std::string>& out) -> Status {
      for (const MergedField& field : fields) {
        WEIR_ASSIGN_OR_RETURN(out.emplace_back(), state_->Standing(key.kind, key.name, field.path,
                                                                   field.value, field.note));
      }
      return OkStatus();
    };
    WEIR_RETURN_IF_ERROR(texts(merge.kept, batch.kept.emplace_back()));
    WEIR_RETURN_IF_ERROR(texts(merge.taken, batch.taken.emplace_back()));
    batch.sources.push_back(SourceOf(request.source, key, ours.dump()));
  }
  if (request.prune) Prune(request, bases, state_->resources, batch);
  return state_->Commit(batch);
}

}  // namespace weir::control::catalog
