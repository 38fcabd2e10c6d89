// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/publish/node_status.h"

namespace weir::control::publish {

inline constexpr int64_t kHeartbeatMs = 1000;
inline constexpr int64_t kStaleAfterMs = 3 * kHeartbeatMs + 250;
inline constexpr int64_t kGoneAfterMs = 7500;  // noticed and told within 8 s
inline constexpr int64_t kForgetAfterMs = 3'600'000;

// The registry of nodes: who is there, in what state, with which snapshot. On the bus thread; time
// is an argument (monotonic ms). A node is what its key says it is: any message under its id moves
// its connection, so a reconnect needs no new HELLO; messages of nodes that never said HELLO are
// not known here (Knows). Views are made by Flush, once per round, when something changed.
class Nodes {
 public:
  using OnView = std::function<void(std::shared_ptr<const NodesView>)>;
  using OnApplied = std::function<void(const AppliedEvent&)>;

  Nodes(uint64_t epoch, OnView on_view, OnApplied on_applied);

  // Its addresses are kept if they are addresses. `problem`: shown and counted as gone; otherwise
  // the node is joining, or what it was if the same incarnation says hello again.
  void Hello(const std::string& peer, const wire::Hello& hello, const std::string& problem,
             int64_t now_ms);
  bool Knows(const std::string& node) const { return nodes_.contains(node); }
  // Whether a frame says something new: what comes over a connection that was replaced, of a life
  // that was, or with a lower number than the last frame of its type is late or replayed. Only
  // HELLO begins a life. `incarnation` is 0 where the frame says none; sequence 0 is no number.
  bool IsNews(const std::string& node, const std::string& peer, uint64_t incarnation,
              const wire::Header& header) const;
  // A frame of a known node was used.
  void Note(const std::string& node, const wire::Header& header);
  // Something was heard of a known node.
  void Seen(const std::string& node, const std::string& peer, int64_t now_ms);
  void Applied(const std::string& node, uint64_t epoch, uint64_t version,
               std::vector<wire::RefusedEntry> refused, int64_t now_ms);
  // Its set of entries is that of our `version`, under whatever name it had it: as applied, and
  // what it refused stands.
  void Carries(const std::string& node, uint64_t version, int64_t now_ms);
  void Report(const std::string& node, const wire::NodeReport& report);
  void Heartbeat(const std::string& node, const wire::Heartbeat& heartbeat);
  void Goodbye(const std::string& node);
  // Gone, and shown with the reason until it is welcomed again; known from now on if it was not.
  void Refuse(const std::string& node, const std::string& problem, int64_t now_ms);

  void Tick(int64_t now_ms);
  // Tells the view if it changed since the last call. When a node was last heard of changes views
  // once per Tick only. A view of many nodes costs those who read it: there is at most one every
  // N/100 ms. Returns how many ms to wait before the next call brings what is held back; 0: nothing
  // is.
  int64_t Flush(int64_t now_ms);

  // The connection to answer to; "" if the node is not known.
  std::string PeerOf(const std::string& node) const;
  uint64_t IncarnationOf(const std::string& node) const;

 private:
  struct Entry {
    std::shared_ptr<NodeStatus> status;  // copied before a change once a view has it
    bool is_shared = false;
    std::string peer;
    std::deque<std::string> former_peers;
    std::deque<uint64_t> former_incarnations;
    std::map<wire::Type, uint64_t> sequences;  // of the last frame of each type
    bool said_goodbye = false;
    bool draining = false;
  };

  // The status to write to; null if the node is not known. Does not say that something changed.
  NodeStatus* Writable(const std::string& node);
  void UpdateState(Entry& entry, int64_t now_ms);
  static void MoveTo(Entry& entry, const std::string& peer);

  const uint64_t epoch_;
  const OnView on_view_;
  const OnApplied on_applied_;
  std::map<std::string, Entry> nodes_;
  bool changed_ = true;     // the first Flush tells that there is nobody
  bool refreshed_ = false;  // only last_seen_ms and the like: told at the next Tick
  std::optional<int64_t> flushed_at_ms_;
};

}  // namespace weir::control::publish
