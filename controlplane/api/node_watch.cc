// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/node_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/text.h"
#include "shared/codec/json.h"

namespace weir::control::api {
namespace {

using codec::Json;
using publish::NodeState;

constexpr int64_t kBehindMs = 5'000;
// Of one node: its overrides cannot push everything else out of the event log.
constexpr int64_t kOverrideEventMs = 10'000;

std::string Describe(const std::vector<wire::RefusedEntry>& refused) {
  std::vector<std::string> parts;
  for (const wire::RefusedEntry& entry : refused) {
    const auto kind = static_cast<domain::EntryKind>(entry.kind);
    parts.push_back(
        fmt::format("{} {}: {}", domain::EntryKindName(kind), entry.name, entry.detail));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

// What is mended is published anew, and taken. A node that is too old for an entry is upgraded.
std::string RemedyOf(const std::vector<wire::RefusedEntry>& refused, const std::string& show) {
  if (refused.size() != 1) return show;
  const wire::RefusedEntry& entry = refused.front();
  if (!IsResourceName(entry.name)) return show;  // from the node: nothing else may be pasted
  switch (static_cast<domain::EntryKind>(entry.kind)) {
    case domain::EntryKind::kFlag:
      return "weir undo flag/" + entry.name;
    case domain::EntryKind::kModel:
      return "weir undo model/" + entry.name;
    case domain::EntryKind::kExperiment:
      return "weir undo experiment/" + entry.name;
    case domain::EntryKind::kLimit:
      return "weir undo limit/" + entry.name;
    case domain::EntryKind::kSplit:
      return "weir rollout show " + entry.name;
    case domain::EntryKind::kObservability:
    case domain::EntryKind::kToken:
      break;
  }
  return show;
}

bool SameRefusals(const std::vector<wire::RefusedEntry>& a,
                  const std::vector<wire::RefusedEntry>& b) {
  const auto same = [](const wire::RefusedEntry& x, const wire::RefusedEntry& y) {
    return x.kind == y.kind && x.name == y.name && x.code == y.code && x.detail == y.detail;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

// What ends the first of a node's overrides (dataplane/override words them). Nothing in it is from
// the node: it may be pasted, and the token goes only to addresses that the operator knows.
std::string EndOf(const std::vector<std::string>& overrides) {
  const std::string& first = overrides.front();
  if (first.find(" by hand ") == std::string::npos)
    return "empty the node's --override file, then kill -HUP it";
  for (const auto& [words, command] :
       {std::pair("kill switch", "kill-switch"), std::pair("baseline", "baseline")}) {
    if (first.substr(0, first.find(" by hand ")).find(words) != std::string::npos)
      return fmt::format("weir emergency {} off --direct --nodes FILE --reason WHY", command);
  }
  return "DELETE /weir/v1/override with the break-glass token, at the node's admin address in your "
         "--nodes FILE of weir emergency --direct";
}

}  // namespace

void NodeWatch::Observe(const publish::NodesView& view, uint64_t head) {
  head_ = head;
  std::map<std::string, Known> before = std::move(nodes_);
  nodes_.clear();
  for (const auto& node : view.nodes) {
    Known& known = nodes_[node->id];
    if (const auto found = before.find(node->id); found != before.end())
      known = std::move(found->second);
    ObserveState(*node, known);
    ObserveRefused(*node, known);
    ObserveOverrides(*node, known);
    ObserveVersions(*node, known);
    const bool behind = node->IsLive() && node->version < head;
    if (!behind) known.behind_since_wall_ms = 0;
    if (behind && known.behind_since_wall_ms == 0) known.behind_since_wall_ms = clock_.WallMs();
    known.version = node->version;
  }
}

void NodeWatch::ObserveState(const publish::NodeStatus& node, Known& known) {
  const bool is_new = known.state_since_wall_ms == 0;
  if (!is_new && known.state == node.state && known.reason == node.problem) return;
  Json data = {{"node", node.id}, {"to", publish::NodeStateName(node.state)}};
  if (!is_new) data["from"] = publish::NodeStateName(known.state);
  if (!node.problem.empty()) data["reason"] = node.problem;
  events_.Add("node", std::move(data));
  known.state = node.state;
  known.reason = node.problem;
  known.state_since_wall_ms = clock_.WallMs();
}

void NodeWatch::ObserveRefused(const publish::NodeStatus& node, Known& known) {
  if (SameRefusals(known.refused, node.refused)) return;
  known.refused = node.refused;
  known.refused_since_wall_ms = clock_.WallMs();
  Json refused = Json::array();
  for (const wire::RefusedEntry& entry : node.refused) {
    const auto kind = static_cast<domain::EntryKind>(entry.kind);
    refused.push_back({{"kind", domain::EntryKindName(kind)},
                       {"name", entry.name},
                       {"code", entry.code},
                       {"detail", entry.detail}});
  }
  events_.Add("nack", {{"node", node.id}, {"version", node.version}, {"refused", refused}});
}

void NodeWatch::ObserveOverrides(const publish::NodeStatus& node, Known& known) {
  if (known.overrides.empty()) known.overrides_since_wall_ms = clock_.WallMs();
  known.overrides = node.overrides;
  const int64_t now_ms = clock_.MonotonicMs();
  if (known.told_overrides == node.overrides || now_ms < known.next_override_event_ms) return;
  known.told_overrides = node.overrides;
  known.next_override_event_ms = now_ms + kOverrideEventMs;
  events_.Add("override", {{"node", node.id}, {"overrides", node.overrides}});
}

void NodeWatch::ObserveVersions(const publish::NodeStatus& node, Known& known) {
  std::map<std::pair<std::string, std::string>, Version> now;
  for (const wire::VersionReport& report : node.versions) {
    const std::pair key(report.model, report.version);
    Version& version = now[key];
    version = known.versions[key];
    if (version.state == report.state && version.detail == report.detail) continue;
    version = {report.state, report.detail, clock_.WallMs()};
    events_.Add("version", {{"node", node.id},
                            {"model", report.model},
                            {"version", report.version},
                            {"state", report.state},
                            {"detail", report.detail}});
  }
  known.versions = std::move(now);
}

std::vector<Problem> NodeWatch::Problems(const catalog::Catalog& catalog) const {
  std::vector<Problem> problems;
  // One line for a version, on however many nodes.
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> failed;
  for (const auto& [id, known] : nodes_) {
    AddNodeProblems(id, known, problems);
    if (known.state == NodeState::kGone) continue;
    for (const auto& [key, version] : known.versions) {
      if (version.state == "FAILED") failed[key].push_back(id);
    }
  }
  for (const auto& [key, nodes] : failed) {
    const domain::Resource* model = catalog.Find(domain::Kind::kModel, key.first);
    const auto* spec = model == nullptr ? nullptr : &model->As<domain::ModelSpec>();
    const bool pinned = spec != nullptr && spec->pinned == key.second;
    const bool serves = pinned || (spec != nullptr && spec->stable == key.second);
    const Version& first = nodes_.at(nodes[0]).versions.at(key);
    problems.push_back({serves ? "critical" : "warning",
                        fmt::format("{} {}{} is FAILED on node{} {}", key.first, key.second,
                                    pinned ? ", which is pinned," : "",
                                    nodes.size() == 1 ? "" : "s", Join(nodes, ", ")),
                        first.since_wall_ms, first.detail,
                        pinned ? fmt::format("weir model unpin {}", key.first)
                               : fmt::format("weir node show {}", nodes[0])});
  }
  return problems;
}

void NodeWatch::AddSince(const std::string& node, Json& view) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return;
  const Known& known = found->second;
  view["state_since"] = FormatTimeMs(known.state_since_wall_ms);
  if (view.contains("nack")) view["nack"]["since"] = FormatTimeMs(known.refused_since_wall_ms);
  if (known.behind_since_wall_ms != 0)
    view["behind"] = {{"since", FormatTimeMs(known.behind_since_wall_ms)}, {"head", head_}};
}

void NodeWatch::AddNodeProblems(const std::string& id, const Known& known,
                                std::vector<Problem>& out) const {
  const std::string show = fmt::format("weir node show {}", id);
  if (!known.reason.empty()) {
    out.push_back({"warning", fmt::format("node {} is refused", id), known.state_since_wall_ms,
                   known.reason, show});
  } else if (known.state == NodeState::kStale || known.state == NodeState::kGone) {
    out.push_back({"warning", fmt::format("node {} is {}", id, publish::NodeStateName(known.state)),
                   known.state_since_wall_ms,
                   fmt::format("it had version {}, the head is {}", known.version, head_), show});
  } else if (known.behind_since_wall_ms != 0 &&
             clock_.WallMs() - known.behind_since_wall_ms > kBehindMs) {
    out.push_back({"warning", fmt::format("node {} is behind", id), known.behind_since_wall_ms,
                   fmt::format("it has version {}, the head is {}", known.version, head_), show});
  }
  if (!known.overrides.empty() && known.state != NodeState::kGone) {
    out.push_back({"warning", fmt::format("node {} is overridden by hand", id),
                   known.overrides_since_wall_ms,
                   fmt::format("{}", fmt::join(known.overrides, "; ")), EndOf(known.overrides)});
  }
  if (!known.refused.empty() && known.state != NodeState::kGone) {
    out.push_back(
        {"warning",
         fmt::format("node {} refuses {}", id,
                     known.refused.size() == 1 ? "an entry"
                                               : fmt::format("{} entries", known.refused.size())),
         known.refused_since_wall_ms, Describe(known.refused), RemedyOf(known.refused, show)});
  }
}

}  // namespace weir::control::api
