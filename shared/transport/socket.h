// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/status.h"
#include "shared/transport/context.h"
#include "shared/transport/keys.h"
#include "shared/transport/peers.h"

namespace weir::transport {

struct SocketWatch;

// The two ends of the three channels. A role fixes the socket type and every option of the wire
// contract (marks, size limits, heartbeats, keepalive, reconnection, linger).
enum class Role {
  kCfgPublisher,     // XPUB, control plane
  kCfgSubscriber,    // SUB, node
  kSessionServer,    // ROUTER, control plane
  kSessionClient,    // DEALER, node
  kTelemetryServer,  // PULL, control plane
  kTelemetryClient,  // PUSH, node
};

// The largest frame a role may send, and its peers take: cfg and session server 16 MiB, session
// client 64 KiB, telemetry client 256 KiB; 0 for roles that send nothing. A peer that sends more
// than that is disconnected by the receiver.
size_t MaxSendBytes(Role role);

struct Message {
  std::string routing_id;  // ROUTER only: the connection to answer to; new after each reconnect
  std::string user_id;     // servers: the node id that the ZAP handler gave the sender's key
  std::string key;         // servers: that key, Z85
  std::string body;
};

// One CURVE-encrypted ZeroMQ socket carrying one-frame messages. Made, used and closed by one
// thread (or handed over while no loop uses it). Closed by the destructor; a watch on a Loop ends
// with it. Nothing blocks. Not copied; a moved-from socket may only be destroyed or assigned to.
class Socket {
 public:
  // A server end. Only peers that a ZapHandler admits get in; without a running handler nobody
  // does.
  static Result<Socket> OpenServer(Context& context, Role role, const KeyPair& server,
                                   const PeerLimits& limits = {});
  // A client end, for the server with this public key alone.
  static Result<Socket> OpenClient(Context& context, Role role, const KeyPair& own,
                                   const std::string& server_public_key);

  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  // "host:port", "tcp://host:port" or "ipc://path"; port 0 picks a free one. FailedPrecondition if
  // the address is in use, InvalidArgument if it cannot be bound at all.
  Status Bind(const std::string& address);
  // What was bound, with the real port: "tcp://127.0.0.1:43211".
  Result<std::string> BoundAddress() const;
  // Returns at once; connects and reconnects in the background. A client that the server refused
  // (ZAP 400) does not try again by itself: open a new one.
  Status Connect(const std::string& address);
  Status Subscribe(std::string_view prefix);  // kCfgSubscriber
  // kCfgPublisher: a frame that each new connection gets first, if it subscribes to its prefix. It
  // says that the connection stands. The subscription itself may still be on its way: it stands for
  // sure once the publisher has received its subscription frame, so answer that one.
  Status SetWelcome(std::string_view frame);

  // One frame. Unavailable if it would block (no peer, or the peer's queue is full),
  // ResourceExhausted if it is larger than MaxSendBytes. A publisher never blocks: what a slow
  // subscriber's queue cannot hold is lost to that subscriber.
  Status Send(std::string_view frame);
  // kSessionServer: to one connection. NotFound if it is gone, Unavailable if its queue is full.
  Status SendTo(const std::string& routing_id, std::string_view frame);

  // The next message, or nothing if none is there. A publisher receives subscription frames: the
  // first byte is 1 (subscribe) or 0 (unsubscribe), the rest the prefix; each one of each peer is
  // passed on. An unsubscription caused by a disconnect has no user_id. Messages of more than one
  // part (after ROUTER's routing id) are dropped and counted, and never returned in pieces.
  Result<std::optional<Message>> Receive();
  // Receives until nothing is there, or `max_messages` were handled, or the handler closed this
  // socket (by Close; it must not destroy it). For on_readable callbacks.
  Status Drain(const std::function<void(Message)>& handler, int max_messages = 256);
  uint64_t malformed_count() const { return malformed_; }

  // Servers. Ends every connection of this key at once; messages of it that were received already
  // are not returned any more. Others are not touched. Its next connections are the ZAP handler's.
  void CutKey(const std::string& public_key);
  // Servers. Ends the connections of peers that go too far (see Peers); about every 100 ms.
  void CheckPeers(int64_t now_ms);
  PeerCounters peer_counters() const;  // zeros for clients

  void Close();  // idempotent
  bool IsOpen() const { return handle_ != nullptr; }

 private:
  friend class Loop;
  Socket(void* handle, Role role) : handle_(handle), role_(role) {}
  Status CheckFrame(std::string_view frame) const;

  void* handle_;
  Role role_;
  uint64_t malformed_ = 0;
  std::unique_ptr<Peers> peers_;        // servers
  std::shared_ptr<SocketWatch> watch_;  // set by Loop::Watch
};

}  // namespace weir::transport
