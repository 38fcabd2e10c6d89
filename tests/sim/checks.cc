// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/checks.h"

#include <algorithm>
#include <functional>
#include <variant>

#include "shared/codec/msgpack.h"
#include "shared/wire/messages.h"
#include "shared/wire/telemetry_body.h"

namespace weir::sim {
namespace {

using domain::EntryKind;

std::string Show(SnapshotName name) { return fmt::format("{}/{}", name.first, name.second); }

template <class Entry, class Held>
bool Same(const Entry& entry, const Held* held) {
  return held != nullptr && static_cast<const Entry&>(*held) == entry;
}

}  // namespace

// Published
// ------------------------------------------------------------------------------------------------

void Published::Name(Set set) {
  const auto [at, is_new] = sets_.try_emplace(head_, std::make_shared<const Set>(std::move(set)));
  if (!is_new && *at->second != set)
    timeline_.Violate("a version stands for one set of entries", Show(head_) + " is used again");
}

void Published::Begin(uint64_t epoch, uint64_t revision,
                      const std::vector<control::catalog::EntryBody>& entries) {
  if (epoch <= head_.first)
    timeline_.Violate("every start leads a newer epoch",
                      fmt::format("{} after {}", epoch, head_.first));
  head_ = {epoch, revision};
  Set set;
  for (const auto& entry : entries) set[{entry.kind, entry.name}] = *entry.body;
  Name(std::move(set));
}

void Published::Add(const control::catalog::Committed& committed) {
  if (committed.entries.empty() && !committed.emergency_changed) return;
  Set set = *sets_.at(head_);
  for (const auto& entry : committed.entries) {
    if (entry.body) set[{entry.kind, entry.name}] = *entry.body;
    if (!entry.body) set.erase({entry.kind, entry.name});
  }
  head_.second = committed.revision;
  Name(std::move(set));
}

const std::optional<node::snapshot::Entry>& Published::Decoded(const Key& key,
                                                               const std::string& bytes) {
  const auto [at, is_new] = decoded_.try_emplace({key, bytes});
  if (is_new) {
    auto entry = node::snapshot::DecodeEntry(key.first, key.second, bytes);
    if (entry.ok()) at->second = *std::move(entry);
  }
  return at->second;
}

bool Published::IsInForce(const Key& key, const std::string& bytes,
                          const decision::Ruleset& rules) {
  const node::snapshot::Entry& entry = *Decoded(key, bytes);
  if (const auto* flag = std::get_if<domain::FlagEntry>(&entry))
    return Same(*flag, rules.flags().Find(key.second));
  if (const auto* model = std::get_if<domain::ModelEntry>(&entry))
    return Same(*model, rules.models().Find(key.second));
  if (const auto* split = std::get_if<domain::SplitEntry>(&entry)) {
    return Same(*split, split->model.empty() ? rules.flag_splits().Find(split->flag)
                                             : rules.model_splits().Find(split->model));
  }
  if (const auto* experiment = std::get_if<domain::ExperimentEntry>(&entry))
    return Same(*experiment, rules.experiments().Find(key.second));
  return true;
}

bool Published::WasPublished(const Key& key, const std::string& bytes, SnapshotName from,
                             SnapshotName to) const {
  for (auto at = sets_.upper_bound(from); at != sets_.end() && at->first <= to; ++at) {
    const auto entry = at->second->find(key);
    if (entry != at->second->end() && entry->second == bytes) return true;
  }
  return false;
}

void Published::OnRules(const std::string& node, InForce& before,
                        const node::snapshot::Receiver& receiver, const decision::Ruleset& rules) {
  const SnapshotName name(rules.epoch, rules.version);
  if (name < before.name)
    return timeline_.Violate(
        "a node's versions only grow",
        fmt::format("{} goes from {} to {}", node, Show(before.name), Show(name)));
  if (before.emergency.IsNewerThan(rules.emergency))
    return timeline_.Violate("a node's emergencies only grow", node);
  const auto published = sets_.find(name);
  if (published == sets_.end())
    return timeline_.Violate("what is in force was published", node + " has " + Show(name));
  const Set& set = *published->second;
  const auto stored = receiver.Export(0);
  std::map<Key, std::string> good;
  size_t splits = 0;
  for (const auto& held : stored->entries) {
    const Key key(static_cast<EntryKind>(held.kind), held.name);
    const auto entry = set.find(key);
    if (entry == set.end() || entry->second != held.published.value)
      return timeline_.Violate(
          "what is in force is what was published",
          fmt::format("{} under {}: {} is another one", node, Show(name), held.name));
    std::string bytes = held.published.value;
    if (!Decoded(key, bytes)) {
      bytes = held.good.value;
      const auto known = before.good.find(key);
      const bool is_known = known != before.good.end() && known->second == bytes;
      if (!bytes.empty() && !is_known && !WasPublished(key, bytes, before.name, name))
        return timeline_.Violate("a refused entry's last good is kept", node + ": " + held.name);
      if (bytes.empty() && known != before.good.end() &&
          !std::any_of(sets_.upper_bound(before.name), sets_.end(),
                       [&](const auto& item) { return !item.second->contains(key); }))
        return timeline_.Violate("a refused entry's last good is kept",
                                 node + " lost that of " + held.name);
    }
    if (bytes.empty()) continue;
    if (!IsInForce(key, bytes, rules))
      return timeline_.Violate("decisions stand on what was verified",
                               fmt::format("{} under {}: {}", node, Show(name), held.name));
    splits += key.first == EntryKind::kSplit ? 1 : 0;
    good[key] = std::move(bytes);
  }
  if (stored->entries.size() != set.size())
    return timeline_.Violate("what is in force is what was published",
                             fmt::format("{} under {} has {} entries of {}", node, Show(name),
                                         stored->entries.size(), set.size()));
  if (rules.model_splits().size() + rules.flag_splits().size() > splits)
    return timeline_.Violate("decisions stand on what was verified", node + " has more splits");
  before = {name, rules.emergency, std::move(good)};
}

// Counted
// ------------------------------------------------------------------------------------------------

std::string Counted::Version(const std::string& node, uint64_t incarnation) {
  return fmt::format("{}.{}", node, incarnation);
}

void Counted::OnRequests(const std::string& node, uint64_t incarnation, uint64_t requests) {
  lives_[{node, incarnation}].recorded += requests;
}

void Counted::OnBatch(const std::string& node, uint64_t incarnation, const std::string& frame) {
  const auto decoded = wire::DecodeFrame(frame);
  Life& life = lives_[{node, incarnation}];
  const size_t hash = std::hash<std::string>()(frame);
  const auto [at, is_new] = life.batches.try_emplace(decoded->header.sequence, hash, 0);
  if (!is_new) {
    if (at->second.first != hash)
      timeline_.Violate("a batch's bytes never change",
                        fmt::format("{} batch {}", node, decoded->header.sequence));
    return;
  }
  const auto batch = wire::Decode<wire::Batch>(*decoded);
  for (const wire::Series& series : batch->series) {
    if (series.subject != kProbe) continue;
    at->second.second += series.counters.at(telemetry::kRequests);
  }
}

std::map<std::string, uint64_t> Counted::Stored(control::store::Store& store) {
  std::map<std::string, uint64_t> stored;
  control::store::WindowFilter filter;
  filter.subject = kProbe;
  filter.resolution_ms = 3'600'000;
  const auto rows = store.ReadWindows(filter);
  if (!rows.ok()) {
    timeline_.Violate("the store can be read", rows.status().ToString());
    return stored;
  }
  for (const auto& row : *rows) {
    const auto series = codec::FromMsgpack<wire::Series>(row.counters);
    stored[row.version] += series->counters.at(telemetry::kRequests);
  }
  return stored;
}

void Counted::Compare(control::store::Store& store) {
  const auto stored = Stored(store);
  const auto rows = store.LoadHighWaters();
  if (!rows.ok()) return timeline_.Violate("the store can be read", rows.status().ToString());
  for (const auto& row : *rows) {
    const Life& life = lives_[{row.node, row.incarnation}];
    uint64_t sent = 0;
    std::vector<uint64_t> sizes;
    for (const auto& [seq, batch] : life.batches) {
      if (seq > row.committed) break;
      sent += batch.second;
      sizes.push_back(batch.second);
    }
    std::sort(sizes.rbegin(), sizes.rend());
    uint64_t most_lost = 0;
    for (size_t i = 0; i < std::min<size_t>(row.declared_lost, sizes.size()); ++i)
      most_lost += sizes[i];
    const auto found = stored.find(Version(row.node, row.incarnation));
    const uint64_t counted = found == stored.end() ? 0 : found->second;
    if (counted > sent || counted + most_lost < sent || row.committed > life.batches.size())
      timeline_.Violate(
          "sent = counted + declared lost",
          fmt::format("{}.{}: {} requests are stored of {} in {} batches, {} lost", row.node,
                      row.incarnation, counted, sent, row.committed, row.declared_lost));
  }
}

void Counted::CompareAll(control::store::Store& store, const std::string& node,
                         uint64_t incarnation) {
  const auto rows = store.LoadHighWaters();
  if (!rows.ok()) return timeline_.Violate("the store can be read", rows.status().ToString());
  const bool has_lost = std::any_of(rows->begin(), rows->end(), [&](const auto& row) {
    return row.node == node && row.incarnation == incarnation && row.declared_lost > 0;
  });
  if (has_lost) return;  // Compare has bounded it
  auto stored = Stored(store);
  const uint64_t counted = stored[Version(node, incarnation)];
  const uint64_t recorded = lives_[{node, incarnation}].recorded;
  if (counted != recorded)
    timeline_.Violate("sent = counted + declared lost",
                      fmt::format("{}.{}: {} requests were answered, {} are stored", node,
                                  incarnation, recorded, counted));
}

// Revisions
// ------------------------------------------------------------------------------------------------

std::string Revisions::Read(control::store::Store& store, uint64_t revision) {
  const auto row = store.Revision(revision);
  if (!row.ok()) return row.status().ToString();
  std::string text = row->actor + "|" + row->reason;
  for (const auto& change : row->changes) {
    text += "|" + change.kind + "/" + change.name + " " + change.action + " " + change.after;
  }
  return text;
}

void Revisions::OnAnswered(control::store::Store& store, uint64_t revision) {
  if (!answered_.empty() && revision != answered_.rbegin()->first + 1)
    timeline_.Violate("revisions are numbered one by one",
                      fmt::format("{} after {}", revision, answered_.rbegin()->first));
  answered_[revision] = Read(store, revision);
}

void Revisions::OnStart(control::store::Store& store) {
  const uint64_t head = store.last_revision();
  const uint64_t last = answered_.empty() ? 0 : answered_.rbegin()->first;
  if (head < last || head > last + 1)
    return timeline_.Violate(head < last ? "no committed revision is lost" : "none is invented",
                             fmt::format("the head is {}; {} was answered", head, last));
  for (const auto& [revision, text] : answered_) {
    if (Read(store, revision) != text)
      return timeline_.Violate("a committed revision stays as it was",
                               fmt::format("revision {}: {}", revision, Read(store, revision)));
  }
  if (head > last) {
    const std::string found = Read(store, head);
    if (asked_.empty() || found.find(asked_) == std::string::npos)
      return timeline_.Violate("no revision is invented", found);
    answered_[head] = found;
  }
  asked_.clear();
  const Status audit = store.VerifyAudit();
  if (!audit.ok()) return timeline_.Violate("the audit holds", audit.ToString());
  std::vector<std::string> kinds;
  for (const domain::Kind kind : domain::kKinds) kinds.push_back(domain::KindName(kind));
  const auto now = store.LoadResources();
  const auto then = store.ResourcesAt(head, kinds);
  if (!now.ok() || !then.ok()) return timeline_.Violate("the store can be read", "resources");
  std::map<std::string, std::string> a, b;
  for (const auto& row : *now) a[row.kind + "/" + row.name] = row.document;
  for (const auto& row : *then) b[row.kind + "/" + row.name] = row.document;
  if (a != b) timeline_.Violate("a commit is there whole or not at all", fmt::format("{}", head));
}

}  // namespace weir::sim
