// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/snapshot_cache.h"

#include <utility>

#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "shared/domain/token.h"
#include "shared/wire/digest.h"

namespace weir::control::api {
namespace {

template <class Entry>
Status Add(const catalog::EntryBody& body, Compiled& out) {
  WEIR_ASSIGN_OR_RETURN(Entry entry, codec::FromMsgpack<Entry>(*body.body));
  out.entries.push_back({{"kind", domain::EntryKindName(body.kind)},
                         {"name", body.name},
                         {"entry", codec::ToJson(entry)}});
  out.rules.Set(std::move(entry));
  return OkStatus();
}

// Of a token only what tells it from others: who reads a snapshot need not know its hash.
Status AddToken(const catalog::EntryBody& body, Compiled& out) {
  WEIR_ASSIGN_OR_RETURN(auto entry, codec::FromMsgpack<domain::TokenEntry>(*body.body));
  entry.hash = domain::ShortHash(entry.hash);
  out.entries.push_back({{"kind", domain::EntryKindName(body.kind)},
                         {"name", body.name},
                         {"entry", codec::ToJson(entry)}});
  return OkStatus();
}

Status AddAny(const catalog::EntryBody& body, Compiled& out) {
  switch (body.kind) {
    case domain::EntryKind::kFlag:
      return Add<domain::FlagEntry>(body, out);
    case domain::EntryKind::kModel:
      return Add<domain::ModelEntry>(body, out);
    case domain::EntryKind::kSplit:
      return Add<domain::SplitEntry>(body, out);
    case domain::EntryKind::kExperiment:
      return Add<domain::ExperimentEntry>(body, out);
    case domain::EntryKind::kObservability:
      return Add<domain::ObservabilityEntry>(body, out);
    case domain::EntryKind::kLimit:
      return Add<domain::LimitEntry>(body, out);
    case domain::EntryKind::kToken:
      return AddToken(body, out);
  }
  return Internal("an entry of an unknown kind");
}

}  // namespace

Result<std::shared_ptr<const Compiled>> SnapshotCache::Get(uint64_t version) {
  if (compiled_ != nullptr && revision_ == catalog_.revision() &&
      compiled_->rules.version == version)
    return compiled_;
  compiled_.reset();
  auto fresh = std::make_shared<Compiled>();
  wire::SetDigest digest;
  for (const catalog::EntryBody& body : catalog_.AllEntries()) {
    if (!body.body.has_value()) continue;
    digest.Add(wire::EntryHash(body.kind, body.name, *body.body));
    if (const Status status = AddAny(body, *fresh); !status.ok()) {
      return DataLoss(fmt::format("entry {}/{}: {}", domain::EntryKindName(body.kind), body.name,
                                  status.ToString()));
    }
  }
  fresh->digest_hex = digest.Hex();
  const domain::EmergencySpec emergency = catalog_.emergency();
  fresh->rules.epoch = epoch_;
  fresh->rules.version = version;
  fresh->rules.emergency = {epoch_, version, emergency.kill_switch, emergency.rollback_to_baseline,
                            emergency.freeze};
  compiled_ = std::move(fresh);
  revision_ = catalog_.revision();
  return compiled_;
}

}  // namespace weir::control::api
