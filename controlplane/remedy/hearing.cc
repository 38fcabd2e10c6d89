// SPDX-License-Identifier: Apache-2.0
#include "controlplane/remedy/hearing.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir::control::remedy {
namespace {

bool HasModel(const NodeFacts& node, const std::string& model) {
  return std::any_of(node.versions.begin(), node.versions.end(),
                     [&](const auto& version) { return version.model == model; });
}

}  // namespace

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
  nodes_ = nodes;
}

std::string Hearing::WhySilent(const NodeFacts& node, int64_t now_ms) const {
  if (node.lost) return node.id + " was silent";
  const auto waits = waits_since_ms_.find(node.id);
  if (waits == waits_since_ms_.end() || now_ms - waits->second < kOverdueMs) return "";
  return fmt::format("the telemetry of {} was overdue", node.id);
}

analysis::SloHearing Hearing::Of(const std::string& model, int64_t now_ms) const {
  size_t live = 0;
  size_t serving = 0;
  size_t silent = 0;
  analysis::SloHearing hearing;
  for (const NodeFacts& node : nodes_) {
    if (node.live) ++live;
    const bool has_left = !node.live && !node.lost;
    if (has_left || !HasModel(node, model)) continue;
    ++serving;
    const std::string why = WhySilent(node, now_ms);
    if (why.empty()) continue;
    if (++silent == 1) hearing.gap = why;
  }
  if (live == 0) return {"no node was live", true};
  if (silent > 1) hearing.gap += fmt::format(", and {} more", silent - 1);
  hearing.is_deaf = silent > 0 && silent == serving;
  return hearing;
}

}  // namespace weir::control::remedy
