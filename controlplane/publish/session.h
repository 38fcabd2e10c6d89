// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/publish/nodes.h"
#include "controlplane/publish/outbox.h"
#include "controlplane/publish/publisher.h"

namespace weir::control::publish {

// The control plane's side of the session channel: takes a node's frames apart and answers them.
// On the bus thread, like what it works on. A frame that cannot be read, that is not a node's, or
// that speaks for another node than its key's is refused and counted; nothing of it is used. One
// that comes late or again (Nodes::IsNews) is dropped.
//   HELLO            WELCOME (header: our epoch and head), then what the node lacks; or REFUSED
//   SNAPSHOT_REQUEST the missing deltas or a snapshot
//   APPLIED, NODE_REPORT, GOODBYE   noted
//   anything         WELCOME first, if it comes over another connection than the last frame did
//   HEARTBEAT        HEARTBEAT; its epoch tells a node of an earlier control plane to say hello
class Session {
 public:
  struct Hooks {
    // A node that we welcome: → the last batch of this incarnation that is stored.
    std::function<uint64_t(const wire::Hello&, int64_t now_ms)> on_hello;
    // What a node's monotonic clock showed when it sent the frame that arrived just now.
    std::function<void(const std::string& node, uint64_t incarnation, int64_t node_ms,
                       int64_t now_ms)>
        on_clock;
    // What a node counts of its own telemetry; with its goodbye for the last time.
    std::function<void(const std::string& node, uint64_t incarnation, const wire::Delivery&,
                       bool ended)>
        on_delivery{};
  };
  Session(Outbox& outbox, Publisher& publisher, Nodes& nodes, Hooks hooks);

  // `peer` is the connection, `user_id` the node that its key belongs to.
  void OnFrame(const std::string& peer, const std::string& user_id, std::string_view bytes,
               int64_t now_ms);
  // Every batch of the incarnation up to `committed` is stored. Dropped if the node is away: it
  // learns it from the next WELCOME.
  void SendBatchAck(const std::string& node, uint64_t incarnation, uint64_t committed);

  // Whether a node shall take no traffic: told at once, and with every WELCOME.
  void SetCordon(const std::string& node, bool cordoned, const std::string& reason);
  // Dropped if the node is away.
  void SendMove(const std::string& node, const wire::Move& move);
  void SendRefused(const std::string& node, const std::string& reason);

  uint64_t refused_count() const { return refused_; }

 private:
  struct From {
    const std::string& peer;
    const std::string& node;
    int64_t now_ms;
  };

  Status Handle(const From& from, const wire::Frame& frame);
  Status OnHello(const From& from, const wire::Frame& frame);
  // Whether the frame says something new; then the node was seen.
  bool Takes(const From& from, const wire::Header& header, uint64_t incarnation);
  void OnSeen(const From& from);
  void SendWelcome(const From& from, uint64_t committed);
  Status OnHeartbeat(const From& from, const wire::Frame& frame);
  Status OnGoodbye(const From& from, const wire::Frame& frame);
  void TellDelivery(const std::string& node, const std::optional<wire::Delivery>& delivery,
                    bool ended);
  std::string ProblemOf(const wire::Hello& hello) const;
  template <class Body>
  void Send(const std::string& peer, wire::Type type, const Body& body);

  Outbox& outbox_;
  Publisher& publisher_;
  Nodes& nodes_;
  const Hooks hooks_;
  std::map<std::string, std::string> cordons_;  // node → why
  uint64_t sequence_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace weir::control::publish
