// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/node_status.h"

#include <algorithm>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/snapshot.h"

namespace weir::control::publish {

using codec::Json;

const char* NodeStateName(NodeState state) {
  switch (state) {
    case NodeState::kJoining:
      return "joining";
    case NodeState::kReady:
      return "ready";
    case NodeState::kStale:
      return "stale";
    case NodeState::kDraining:
      return "draining";
    case NodeState::kGone:
      return "gone";
  }
  return "unknown";
}

std::string NodeStatus::VersionState(const std::string& model, const std::string& wanted) const {
  for (const wire::VersionReport& report : versions) {
    if (report.model == model && report.version == wanted) return report.state;
  }
  return "";
}

const NodeStatus* NodesView::Find(const std::string& id) const {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node->id == id; });
  return found == nodes.end() ? nullptr : found->get();
}

size_t NodesView::LiveCount() const {
  return static_cast<size_t>(
      std::count_if(nodes.begin(), nodes.end(), [](const auto& node) { return node->IsLive(); }));
}

size_t NodesView::AppliedCount(uint64_t version) const {
  return static_cast<size_t>(std::count_if(nodes.begin(), nodes.end(), [&](const auto& node) {
    return node->IsLive() && node->epoch == epoch && node->version >= version;
  }));
}

Json ToJson(const wire::Episode& episode) {
  Json json = {{"kind", episode.kind},
               {"subject", episode.subject},
               {"from", FormatTimeMs(episode.from_wall_ms)},
               {"detail", episode.detail}};
  if (episode.to_wall_ms != 0) json["to"] = FormatTimeMs(episode.to_wall_ms);
  return json;
}

Json ToJson(const wire::HeardHead& heard) {
  const std::string& head = heard.head.value;
  return {{"epoch", heard.epoch},
          {"rows", heard.rows},
          {"head", ToHex({reinterpret_cast<const uint8_t*>(head.data()), head.size()})}};
}

Json ToJson(const NodeStatus& node, int64_t now_ms) {
  Json json = {{"id", node.id},
               {"state", NodeStateName(node.state)},
               {"snapshot", {{"epoch", node.epoch}, {"version", node.version}}},
               {"labels", node.labels},
               {"last_seen_ms", std::max<int64_t>(0, now_ms - node.last_seen_ms)},
               {"incarnation", node.incarnation},
               {"program", node.program},
               {"http", node.http},
               {"admin", node.admin},
               {"pending_batches", node.pending_batches},
               {"can_cordon", (node.features & wire::kCanCordon) != 0},
               {"cordoned", node.cordoned},
               {"open_requests", node.open_requests},
               {"quiet_ms", node.quiet_ms},
               {"memory_bytes", node.memory_bytes}};
  for (const wire::HeardHead& heard : node.heard) json["audit_heard"].push_back(ToJson(heard));
  if (!node.problem.empty()) json["problem"] = node.problem;
  Json versions = Json::array();
  for (const wire::VersionReport& report : node.versions) versions.push_back(codec::ToJson(report));
  json["versions"] = std::move(versions);
  if (!node.overrides.empty()) json["overrides"] = node.overrides;
  for (const wire::Episode& episode : node.episodes) json["episodes"].push_back(ToJson(episode));
  if (node.refused.empty()) return json;
  Json refused = Json::array();
  for (const wire::RefusedEntry& entry : node.refused) {
    Json item = codec::ToJson(entry);
    item["kind"] = domain::EntryKindName(static_cast<domain::EntryKind>(entry.kind));
    refused.push_back(std::move(item));
  }
  json["nack"] = {{"version", node.version}, {"refused", std::move(refused)}};
  return json;
}

Json AppliedView(const NodeStatus& node, int64_t now_ms, int64_t now_wall_ms) {
  Json rows = Json::array();
  for (auto row = node.applied.rbegin(); row != node.applied.rend(); ++row) {
    rows.push_back(
        {{"version", row->version}, {"at", FormatTimeMs(row->at_ms - now_ms + now_wall_ms)}});
  }
  return rows;
}

Json ToJson(const NodesView& view, int64_t now_ms) {
  Json items = Json::array();
  for (const auto& node : view.nodes) items.push_back(ToJson(*node, now_ms));
  return {{"items", std::move(items)}};
}

}  // namespace weir::control::publish
