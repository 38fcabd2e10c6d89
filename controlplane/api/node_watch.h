// SPDX-License-Identifier: Apache-2.0
// Compares what is known of the nodes with the last time: writes what changed into the event log,
// and remembers since when what is wrong has been so. Core thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/api/api.h"
#include "controlplane/api/event_log.h"
#include "controlplane/catalog/catalog.h"
#include "controlplane/publish/node_status.h"
#include "shared/base/clock.h"

namespace weir::control::api {

class NodeWatch {
 public:
  NodeWatch(EventLog& events, const Clock& clock) : events_(events), clock_(clock) {}

  // `head` is the version that nodes shall have.
  void Observe(const publish::NodesView& view, uint64_t head);

  // Stale, gone and refused nodes, NACKs, FAILED versions, nodes that are behind for more than 5 s,
  // nodes that are overridden by hand.
  std::vector<Problem> Problems(const catalog::Catalog& catalog) const;

  // Into a node's view: state_since; nack.since; behind {since, head} while it lacks the newest
  // version.
  void AddSince(const std::string& node, codec::Json& view) const;

 private:
  struct Version {
    std::string state;
    std::string detail;
    int64_t since_wall_ms = 0;
  };
  struct Known {
    publish::NodeState state = publish::NodeState::kGone;
    std::string reason;  // why it is refused
    int64_t state_since_wall_ms = 0;
    std::vector<wire::RefusedEntry> refused;
    int64_t refused_since_wall_ms = 0;
    int64_t behind_since_wall_ms = 0;  // 0: it is not
    uint64_t version = 0;
    std::vector<std::string> overrides;
    int64_t overrides_since_wall_ms = 0;
    std::vector<std::string> told_overrides;  // in the newest event; later ones wait
    int64_t next_override_event_ms = 0;       // monotonic
    std::map<std::pair<std::string, std::string>, Version> versions;  // by model and version
  };

  void ObserveState(const publish::NodeStatus& node, Known& known);
  void ObserveRefused(const publish::NodeStatus& node, Known& known);
  void ObserveOverrides(const publish::NodeStatus& node, Known& known);
  void ObserveVersions(const publish::NodeStatus& node, Known& known);
  void AddNodeProblems(const std::string& id, const Known& known, std::vector<Problem>& out) const;

  EventLog& events_;
  const Clock& clock_;
  uint64_t head_ = 0;
  std::map<std::string, Known> nodes_;
};

}  // namespace weir::control::api
