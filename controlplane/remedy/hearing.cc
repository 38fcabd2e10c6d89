// SPDX-License-Identifier: Apache-2.0
#include "controlplane/remedy/hearing.h"

#include <fmt/format.h>

#include <utility>

namespace weir::control::remedy {

void Hearing::OnBatches(const std::set<std::string>& nodes, int64_t now_ms) {
  for (const std::string& node : nodes) {
    const auto waits = waits_since_ms_.find(node);
    if (waits != waits_since_ms_.end()) waits->second = now_ms;
  }
}

void Hearing::Look(const std::vector<NodeFacts>& nodes, int64_t now_ms) {
  std::map<std::string, int64_t> waits;
  for (const NodeFacts& node : nodes) {
    if (!node.live || node.pending_batches == 0) continue;
    const auto known = waits_since_ms_.find(node.id);
    waits[node.id] = known == waits_since_ms_.end() ? now_ms : known->second;
  }
  waits_since_ms_ = std::move(waits);
  live_ = 0;
  tallies_.clear();
  serving_.clear();
  if (now_ms >= miss_until_ms_) missed_.clear();
  for (const NodeFacts& node : nodes) {
    if (node.live) ++live_;
    missed_.erase(node.id);
    const bool has_left = !node.live && !node.lost;
    if (has_left) continue;
    std::set<std::string> models;
    for (const auto& version : node.versions) models.insert(version.model);
    Count(node.id, models, WhySilent(node, now_ms));
  }
  for (const auto& [node, models] : missed_) Count(node, models, node + " was silent");
}

void Hearing::Count(const std::string& node, const std::set<std::string>& models,
                    const std::string& why) {
  if (!models.empty()) serving_[node] = models;
  for (const std::string& model : models) {
    Tally& tally = tallies_[model];
    ++tally.serving;
    if (!why.empty() && ++tally.silent == 1) tally.gap = why;
  }
}

void Hearing::Load(const codec::Json& saved, int64_t now_ms) {
  missed_ = saved.get<std::map<std::string, std::set<std::string>>>();
  miss_until_ms_ = now_ms + kMissMs;
}

std::string Hearing::WhySilent(const NodeFacts& node, int64_t now_ms) const {
  if (node.lost) return node.id + " was silent";
  const auto waits = waits_since_ms_.find(node.id);
  if (waits == waits_since_ms_.end() || now_ms - waits->second < kOverdueMs) return "";
  return fmt::format("the telemetry of {} was overdue", node.id);
}

analysis::SloHearing Hearing::Of(const std::string& model) const {
  if (live_ == 0) return {"no node was live", true};
  const auto found = tallies_.find(model);
  if (found == tallies_.end() || found->second.silent == 0) return {};
  const Tally& tally = found->second;
  std::string gap = tally.gap;
  if (tally.silent > 1) gap += fmt::format(", and {} more", tally.silent - 1);
  return {std::move(gap), tally.silent == tally.serving};
}

}  // namespace weir::control::remedy
