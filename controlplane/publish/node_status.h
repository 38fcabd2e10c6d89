// SPDX-License-Identifier: Apache-2.0
// What the control plane knows of its nodes, as an immutable value: made on the bus thread, read on
// any other.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/wire/messages.h"

namespace weir::control::publish {

enum class NodeState {
  kJoining,   // said hello, has not applied a snapshot of this epoch yet
  kReady,     // has applied one and is heard of
  kStale,     // missed 3 heartbeats; still counts when one asks whether everyone has a version
  kDraining,  // says so itself
  kGone,      // said goodbye, was silent for 8 s, or was refused; counts nowhere
};
const char* NodeStateName(NodeState state);  // "joining", "ready", …

struct NodeStatus {
  std::string id;
  NodeState state = NodeState::kJoining;
  uint64_t incarnation = 0;
  domain::Labels labels;
  std::string program;  // version of weir-node
  std::string http;     // "127.0.0.1:8080"
  std::string admin;
  uint64_t epoch = 0;                       // of what every worker of the node has taken
  uint64_t version = 0;                     // 0: nothing of ours yet
  std::vector<wire::RefusedEntry> refused;  // entries that stand refused
  std::vector<wire::VersionReport> versions;
  std::vector<std::string> overrides;   // what an operator forced on it, one sentence each
  std::vector<wire::Episode> episodes;  // of this incarnation, as the node reports them
  std::string problem;                  // why it is refused or cannot be served; empty: none
  int64_t last_seen_ms = 0;             // control plane's monotonic clock
  uint64_t pending_batches = 0;
  uint64_t features = 0;               // wire::kCan…
  bool cordoned = false;               // it says so
  uint64_t open_requests = 0;          // of applications, as of its last heartbeat
  int64_t quiet_ms = 0;                // since the last of them was answered
  uint64_t memory_bytes = 0;           // resident, as of its last heartbeat; 0: unknown
  std::vector<wire::HeardHead> heard;  // of the audit's chain
  struct AppliedAt {
    uint64_t version = 0;
    int64_t at_ms = 0;  // control plane's monotonic clock
  };
  std::vector<AppliedAt> applied;  // of this epoch, oldest first, the last 32

  bool IsLive() const { return state != NodeState::kGone; }
  // READY, FAILED, …; "" when the node has not reported that version.
  std::string VersionState(const std::string& model, const std::string& version) const;
};

struct NodesView {
  uint64_t epoch = 0;                                    // of this control plane
  std::vector<std::shared_ptr<const NodeStatus>> nodes;  // by id

  const NodeStatus* Find(const std::string& id) const;
  size_t LiveCount() const;
  // Live nodes whose workers all have `version` or a newer one.
  size_t AppliedCount(uint64_t version) const;
  bool EveryoneHas(uint64_t version) const { return AppliedCount(version) == LiveCount(); }
};

// A node's workers have all taken a version.
struct AppliedEvent {
  std::string node;
  uint64_t version = 0;
  int64_t at_ms = 0;                 // control plane's monotonic clock
  std::vector<std::string> refused;  // "flag a", what it keeps the last good of
  domain::Labels labels;
};

// {id, state, snapshot: {epoch, version}, labels, last_seen_ms, nack?, overrides?, …}; last_seen_ms
// is how long ago, so `now_ms` is the same monotonic clock's.
codec::Json ToJson(const NodeStatus& node, int64_t now_ms);
// [{version, at}], newest first: what its workers have all taken, in this epoch. `now_ms` and
// `now_wall_ms` are the same moment.
codec::Json AppliedView(const NodeStatus& node, int64_t now_ms, int64_t now_wall_ms);
// {kind, subject, from, to?, detail}; no `to` while it goes on.
codec::Json ToJson(const wire::Episode& episode);
// {epoch, rows, head}, the head in hex.
codec::Json ToJson(const wire::HeardHead& heard);
// {items: […]}
codec::Json ToJson(const NodesView& view, int64_t now_ms);

}  // namespace weir::control::publish
