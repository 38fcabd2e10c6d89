// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/flag_totals.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/codec/json.h"
#include "shared/telemetry/series.h"

namespace weir::control::ingest {
namespace {

struct StoredTotal {
  int64_t since = 0;
  std::map<std::string, uint64_t> outcomes;
  uint64_t enabled = 0;
  uint64_t disabled = 0;
  int64_t last = 0;
  std::string digest;
  uint64_t since_revision = 0;
};
template <class V>
void Describe(V& v, StoredTotal& f) {
  v(2, "since", f.since);
  v(4, "outcomes", f.outcomes);
  v(6, "enabled", f.enabled);
  v(8, "disabled", f.disabled);
  v(10, "last", f.last);
  v(12, "digest", f.digest);
  v(14, "since_revision", f.since_revision);
}

enum class Answer { kEnabled, kDisabled, kUnknown };

// As FlagDecision::enabled: neither off, nor the off variant, nor false, nor no value.
Answer AnswerOf(const domain::FlagSpec& spec, const std::string& outcome) {
  if (outcome == telemetry::kArmOn && !spec.IsVariant()) return Answer::kEnabled;
  if (outcome == telemetry::kArmOff && !spec.IsVariant()) return Answer::kDisabled;
  if (outcome.empty()) return Answer::kDisabled;
  const auto variant = spec.variants.find(outcome);
  if (variant == spec.variants.end()) return Answer::kUnknown;
  const bool is_off = outcome == spec.off_variant || variant->second.text == "false";
  return is_off ? Answer::kDisabled : Answer::kEnabled;
}

std::string NameOf(const store::StateRow& row) {
  return row.name.substr(std::string_view(FlagTotals::kStatePrefix).size());
}

}  // namespace

uint64_t FlagTotal::Total() const {
  uint64_t total = 0;
  for (const auto& [outcome, count] : outcomes) total += count;
  return total;
}

Status FlagTotals::Restore(const store::StateRow& row, int64_t now_wall_ms) {
  const std::string flag = NameOf(row);
  const domain::Resource* found = find_(flag);
  if (found == nullptr) {
    dirty_.insert(flag);
    return OkStatus();
  }
  const auto json = codec::ParseJson(row.value);
  if (!json.ok()) return {Code::kDataLoss, json.status().ToString(), row.name};
  const auto stored = codec::FromJson<StoredTotal>(*json);
  if (!stored.ok()) return {Code::kDataLoss, stored.status().ToString(), row.name};
  FlagTotal& total = totals_[flag];
  total = {stored->since,    stored->since_revision, stored->outcomes, stored->enabled,
           stored->disabled, stored->digest,         stored->last};
  const std::string digest = Digest(flag);
  if (total.digest == digest) return OkStatus();
  // It changed and the process died before that was stored; if not by its own spec, then by a
  // rollout, of which nobody knows when it was.
  const bool has_changed = found->updated_at.ms > total.since_wall_ms;
  BeginPeriod(flag, 0, has_changed ? found->updated_at.ms : now_wall_ms);
  return OkStatus();
}

void FlagTotals::OnChanged(const std::string& flag, uint64_t revision, int64_t now_wall_ms) {
  if (find_(flag) != nullptr) {
    BeginPeriod(flag, revision, now_wall_ms);
  } else if (totals_.erase(flag) > 0) {
    dirty_.insert(flag);
  }
}

// Of a flag without decisions as well: those before the change may be on their way.
void FlagTotals::BeginPeriod(const std::string& flag, uint64_t revision, int64_t now_wall_ms) {
  FlagTotal& total = totals_[flag];
  total.since_wall_ms = now_wall_ms;
  total.since_revision = revision;
  total.digest = Digest(flag);
  total.outcomes.clear();
  dirty_.insert(flag);
}

FlagTotal& FlagTotals::TotalOf(const domain::Resource& flag) {
  const auto [at, is_new] = totals_.try_emplace(flag.name);
  if (is_new) {
    at->second.since_wall_ms = flag.updated_at.ms;
    at->second.digest = Digest(flag.name);
  }
  return at->second;
}

void FlagTotals::Add(const FlagCounts& counts, int64_t at_wall_ms, uint64_t version) {
  for (const auto& [name, outcomes] : counts) {
    const domain::Resource* flag = find_(name);
    for (const auto& [outcome, count] : outcomes) {
      const Answer answer =
          flag == nullptr ? Answer::kUnknown : AnswerOf(flag->As<domain::FlagSpec>(), outcome);
      if (answer == Answer::kUnknown) {
        dropped_ += count;
        continue;
      }
      FlagTotal& total = TotalOf(*flag);
      (answer == Answer::kEnabled ? total.enabled : total.disabled) += count;
      total.last_wall_ms = std::max(total.last_wall_ms, at_wall_ms);
      const bool is_dated = version != 0 && total.since_revision != 0;
      if (is_dated ? version >= total.since_revision : at_wall_ms >= total.since_wall_ms)
        total.outcomes[outcome] += count;
      dirty_.insert(name);
    }
  }
}

std::vector<store::StateRow> FlagTotals::TakeDirty() {
  std::vector<store::StateRow> rows;
  for (const std::string& flag : dirty_) {
    store::StateRow row{kStatePrefix + flag, ""};
    if (const FlagTotal* total = Find(flag)) {
      row.value = codec::ToJson(StoredTotal{total->since_wall_ms, total->outcomes, total->enabled,
                                            total->disabled, total->last_wall_ms, total->digest,
                                            total->since_revision})
                      .dump(-1, ' ', false, codec::Json::error_handler_t::replace);
    }
    rows.push_back(std::move(row));
  }
  dirty_.clear();
  return rows;
}

void FlagTotals::MarkDirty(const std::vector<store::StateRow>& rows) {
  for (const store::StateRow& row : rows) {
    if (row.name.starts_with(kStatePrefix)) dirty_.insert(NameOf(row));
  }
}

const FlagTotal* FlagTotals::Find(const std::string& flag) const {
  const auto found = totals_.find(flag);
  return found == totals_.end() ? nullptr : &found->second;
}

}  // namespace weir::control::ingest
