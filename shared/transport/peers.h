// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "shared/base/status.h"
#include "shared/transport/context.h"

namespace weir::transport {

// What a server socket turned away, since it was opened.
struct PeerCounters {
  // Garbage, another server key, one that ZAP refused, hung up or timed out in between; told a few
  // seconds late.
  uint64_t handshakes_failed = 0;
  uint64_t multipart = 0;       // messages of more than one frame, or that no such peer sends
  uint64_t cut_unfinished = 0;  // sent kMaxUnfinishedBytes without an end of a message
  uint64_t cut_flood = 0;       // more or longer subscriptions than a node has
  uint64_t cut_crowd = 0;       // too many at once: strangers, of one key, or of all
  uint64_t cut_by_key = 0;      // by CutKey
  size_t open = 0;              // connections now
};

struct PeerLimits {
  // A peer whose bytes run ahead of its messages by this much is cut: the parts of a message that
  // does not end are in memory and bounded by neither RCVHWM nor MAXMSGSIZE.
  uint64_t max_unfinished_bytes = 16 << 20;
  int handshake_ms = 5000;      // a handshake that takes longer is ended
  size_t max_strangers = 2048;  // in their handshake, or silent since; the oldest goes
  size_t max_per_key = 8;       // a node that comes back may have left some half-open
  size_t max_open = 16'384;     // and never more than a quarter of the process's descriptors
  size_t max_prefixes = 16;     // of a subscriber
  size_t max_prefix_bytes = 16;
  uint64_t max_subscriptions = 4096;  // frames of one connection, the same prefix again included
};

// The connections of one server socket, by their descriptors: whose they are, and which of them go
// too far. libzmq bounds what a peer sends only message by message; this bounds the rest, and cuts
// single peers without touching others, by `shutdown` of their descriptor: libzmq then ends the
// connection as if the peer had gone.
//
// A descriptor is known from the socket's monitor as soon as it was accepted, and compared by its
// inode before anything is done to it, since the number may be another connection's by then.
// Private to the module, owned by a Socket and used by its thread. Its monitor's queue is
// unlimited, so that libzmq's thread never waits for this one; Check empties it.
class Peers {
 public:
  Peers(const PeerLimits& limits, bool is_publisher);
  ~Peers();
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // Before bind. Stop before the socket is closed; idempotent.
  Status Start(Context& context, void* zmq_socket);
  void Stop();

  // A whole message was received; `body` is looked at on publishers, where it is a subscription.
  // False: its connection has been cut, drop it.
  bool OnMessage(int fd, std::string_view key, bool is_well_formed, std::string_view body);
  // Cuts every connection that this key has shown itself on.
  void CutKey(std::string_view key);
  // Reads the monitor and cuts who went too far; about every 100 ms.
  void Check(int64_t now_ms);

  const PeerCounters& counters() const { return counters_; }

 private:
  struct Connection {
    uint64_t inode = 0;
    std::string key;  // "" until its first message
    int64_t accepted_ms = 0;
    bool is_cut = false;
    bool has_finished = true;    // a message ended since bytes were last looked at
    uint64_t bytes = 0;          // received when a message last ended, at most
    int64_t bytes_ms = 0;        // when that was
    uint64_t subscriptions = 0;  // frames
    std::set<std::string, std::less<>> prefixes;
  };
  using Connections = std::unordered_map<int, Connection>;

  void ReadMonitor();
  void OnAccepted(int fd);
  void Forget(int fd);
  void Learn(int fd, Connection& connection, std::string_view key);
  bool IsFlood(Connection& connection, bool is_well_formed, std::string_view frame);
  void CheckStrangers(int64_t now_ms);
  void CheckBytes(int64_t now_ms);
  void CountHandshakes();
  void Cut(int fd, Connection& connection, uint64_t& counter);

  const PeerLimits limits_;
  const bool is_publisher_;
  void* socket_ = nullptr;
  void* monitor_ = nullptr;

  Connections connections_;
  std::deque<std::pair<int, uint64_t>> strangers_;  // descriptor and inode, oldest first
  std::map<std::string, std::deque<std::pair<int, uint64_t>>, std::less<>> by_key_;
  PeerCounters counters_;
  uint64_t accepted_ = 0;
  uint64_t shook_hands_ = 0;  // of the accepted
  uint64_t strangers_cut_ = 0;
  int64_t now_ms_ = 0;    // of the last Check
  int64_t bytes_ms_ = 0;  // of the last CheckBytes
  bool was_late_ = false;
};

}  // namespace weir::transport
