// SPDX-License-Identifier: Apache-2.0
// What the transport tests share: a context, a running loop and a ZAP handler; inboxes to wait on;
// and a raw ZeroMQ client that does what our sockets never would.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <zmq.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "shared/transport/context.h"
#include "shared/transport/keys.h"
#include "shared/transport/loop.h"
#include "shared/transport/socket.h"
#include "shared/transport/zap.h"

namespace weir::transport {

constexpr std::chrono::seconds kDeadline(20);

// Filled by a loop, read by the test; hence the mutex.
class Inbox {
 public:
  void Put(Message message) {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    condition_.notify_all();
  }
  // The message at `index`, waiting until it is there; fails the test at the deadline.
  Message At(size_t index) {
    std::unique_lock lock(mutex_);
    if (!condition_.wait_for(lock, kDeadline, [&] { return messages_.size() > index; })) {
      ADD_FAILURE() << "message " << index << " did not come";
      return {};
    }
    return messages_[index];
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return messages_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  std::vector<Message> messages_;
};

// One of our sockets, watched on a loop; the socket itself is used on the loop's thread only.
struct Peer {
  explicit Peer(Loop& owner) : loop(owner) {}
  ~Peer() {
    if (!loop.Call([this] { socket.reset(); })) socket.reset();
  }

  Loop& loop;
  std::unique_ptr<Socket> socket;
  Inbox inbox;
  std::string address;
};

class Bus {
 public:
  explicit Bus(bool with_zap = true) {
    loop_.Start();
    if (with_zap) {
      EXPECT_TRUE(zap_.Start(context_, loop_).ok());
    }
    server_keys_ = *GenerateKeyPair();
    node_keys_ = *GenerateKeyPair();
  }
  ~Bus() {
    zap_.Stop();
    loop_.Stop();
  }

  std::unique_ptr<Peer> Server(Role role, const std::string& welcome = "",
                               const PeerLimits& limits = {}) {
    auto peer = std::make_unique<Peer>(loop_);
    loop_.Call([&] {
      peer->socket =
          std::make_unique<Socket>(*Socket::OpenServer(context_, role, server_keys_, limits));
      if (!welcome.empty()) {
        EXPECT_TRUE(peer->socket->SetWelcome(welcome).ok());
      }
      const Status bound = peer->socket->Bind("127.0.0.1:0");
      EXPECT_TRUE(bound.ok()) << bound.ToString();
      peer->address = *peer->socket->BoundAddress();
      WatchPeer(*peer);
    });
    return peer;
  }
  std::unique_ptr<Peer> Client(Role role, const std::string& address,
                               const std::vector<std::string>& subscriptions = {}) {
    auto peer = std::make_unique<Peer>(loop_);
    loop_.Call([&] {
      peer->socket = std::make_unique<Socket>(
          *Socket::OpenClient(context_, role, node_keys_, server_keys_.public_key));
      for (const std::string& prefix : subscriptions) {
        EXPECT_TRUE(peer->socket->Subscribe(prefix).ok());
      }
      EXPECT_TRUE(peer->socket->Connect(address).ok());
      if (role != Role::kTelemetryClient) WatchPeer(*peer);
    });
    return peer;
  }
  // Tries again until the peer takes the frame (it may not be connected yet).
  void Send(Peer& peer, const std::string& frame) {
    std::mutex mutex;
    std::condition_variable condition;
    bool sent = false;
    uint64_t timer = 0;
    const auto attempt = [&] {
      if (!peer.socket->Send(frame).ok()) return;
      loop_.Cancel(timer);
      const std::lock_guard lock(mutex);
      sent = true;
      condition.notify_all();
    };
    loop_.Call([&] { timer = loop_.Every(1, attempt); });
    {
      std::unique_lock lock(mutex);
      EXPECT_TRUE(condition.wait_for(lock, kDeadline, [&] { return sent; })) << "not sent";
    }
    loop_.Call([&] { loop_.Cancel(timer); });  // also waits until the callback has ended
  }
  Status SendTo(Peer& peer, const std::string& routing_id, const std::string& frame) {
    Status status;
    loop_.Call([&] { status = peer.socket->SendTo(routing_id, frame); });
    return status;
  }
  // Has the server look at its peers until its counters are as wished; fails at the deadline.
  PeerCounters WaitForPeers(Peer& peer, const std::function<bool(const PeerCounters&)>& fits) {
    const auto until = std::chrono::steady_clock::now() + kDeadline;
    PeerCounters counters;
    do {
      loop_.Call([&] {
        peer.socket->CheckPeers(loop_.clock().MonotonicMs());
        counters = peer.socket->peer_counters();
      });
      if (fits(counters)) return counters;
      ::poll(nullptr, 0, 10);
    } while (std::chrono::steady_clock::now() < until);
    ADD_FAILURE() << "the counters did not come: open " << counters.open << ", failed handshakes "
                  << counters.handshakes_failed << ", unfinished " << counters.cut_unfinished
                  << ", flood " << counters.cut_flood << ", crowd " << counters.cut_crowd;
    return counters;
  }
  uint64_t Malformed(Peer& peer) {
    uint64_t count = 0;
    loop_.Call([&] { count = peer.socket->malformed_count(); });
    return count;
  }

  Context context_;
  Loop loop_{"test-bus"};
  ZapHandler zap_;
  KeyPair server_keys_;
  KeyPair node_keys_;

 private:
  void WatchPeer(Peer& peer) {
    loop_.Watch(*peer.socket, [&peer] {
      EXPECT_TRUE(peer.socket->Drain([&](Message m) { peer.inbox.Put(std::move(m)); }).ok());
    });
  }
};

// A ZeroMQ client without our limits and with a monitor; used by the test's thread.
class RawClient {
 public:
  RawClient(Context& context, int type, const KeyPair& own, const std::string& server_key)
      : socket_(zmq_socket(context.handle(), type)),
        monitor_(zmq_socket(context.handle(), ZMQ_PAIR)) {
    static std::atomic<int> next{0};
    const std::string endpoint = "inproc://raw-client-" + std::to_string(next++);
    Set(ZMQ_CURVE_SERVERKEY, server_key);
    Set(ZMQ_CURVE_PUBLICKEY, own.public_key);
    Set(ZMQ_CURVE_SECRETKEY, own.secret_key);
    SetNumber(ZMQ_LINGER, 0);
    SetNumber(ZMQ_IMMEDIATE, 1);
    SetNumber(ZMQ_SNDTIMEO, 20'000);
    const int no_linger = 0;
    zmq_setsockopt(monitor_, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    const int wait_ms = 20'000;
    zmq_setsockopt(monitor_, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    EXPECT_EQ(zmq_socket_monitor(socket_, endpoint.c_str(), ZMQ_EVENT_ALL), 0);
    EXPECT_EQ(zmq_connect(monitor_, endpoint.c_str()), 0);
  }
  ~RawClient() {
    zmq_socket_monitor(socket_, nullptr,
                       0);  // else its I/O thread may block on an event nobody takes
    zmq_close(socket_);
    zmq_close(monitor_);
  }
  void Connect(const std::string& address) { EXPECT_EQ(zmq_connect(socket_, address.c_str()), 0); }
  void Send(const std::vector<std::string>& parts) {
    for (size_t i = 0; i < parts.size(); ++i) {
      const int flags = i + 1 < parts.size() ? ZMQ_SNDMORE : 0;
      EXPECT_GE(zmq_send(socket_, parts[i].data(), parts[i].size(), flags), 0)
          << zmq_strerror(errno);
    }
  }
  // The first event among `wanted` (a mask); 0 at the deadline.
  int WaitForEvent(int wanted) {
    while (true) {
      uint8_t event[6];
      if (zmq_recv(monitor_, event, sizeof(event), 0) < 0) return 0;
      char address[256];
      zmq_recv(monitor_, address, sizeof(address), 0);
      uint16_t id = 0;
      std::memcpy(&id, event, sizeof(id));
      if ((id & wanted) != 0) return id;
    }
  }
  // How the first handshake ended; a server that just hangs up counts as disconnected.
  int HandshakeOutcome() {
    return WaitForEvent(ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                        ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                        ZMQ_EVENT_DISCONNECTED);
  }

 private:
  void Set(int option, const std::string& value) {
    EXPECT_EQ(zmq_setsockopt(socket_, option, value.c_str(), value.size() + 1), 0);
  }
  void SetNumber(int option, int value) {
    EXPECT_EQ(zmq_setsockopt(socket_, option, &value, sizeof(value)), 0);
  }

  void* const socket_;
  void* const monitor_;
};

}  // namespace weir::transport
