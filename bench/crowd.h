// SPDX-License-Identifier: Apache-2.0
// Many nodes in one thread, as far as the wire sees them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/snapshot/receiver.h"
#include "shared/base/status.h"
#include "shared/transport/context.h"
#include "shared/transport/keys.h"
#include "shared/transport/loop.h"
#include "shared/transport/socket.h"
#include "shared/wire/messages.h"

namespace weir::bench {

// Light nodes: each has a key, SUB and DEALER of its own (the real transport, with CURVE) and the
// real snapshot::Receiver, says HELLO, asks for what it lacks, sends heartbeats, and APPLIED as
// soon as its receiver has a new ruleset. It has no workers, no HTTP, no telemetry, and does not
// bootstrap again: libzmq alone reconnects. One thread for all; made, connected and stopped by one
// other.
class Crowd {
 public:
  // Keys of nodes "PREFIX-0" …
  static Result<std::unique_ptr<Crowd>> Make(size_t count, const std::string& prefix);
  ~Crowd();

  struct Identity {
    std::string id;
    transport::KeyPair keys;
  };
  const std::vector<Identity>& identities() const { return identities_; }  // constant

  // Opens all sockets; their connections come up in the background.
  Status Connect(const std::string& cfg, const std::string& session,
                 const std::string& server_public_key);
  void Stop();

  // Time that all receivers together took to verify and apply what came, since the last call.
  int64_t TakeReceiverNs() { return receiver_ns_.exchange(0); }
  uint64_t hellos() const { return hellos_; }
  uint64_t requests() const { return requests_; }

 private:
  struct Member;

  void OnCfg(Member& member, const std::string& bytes);
  void OnSession(Member& member, const std::string& bytes);
  void Handle(Member& member, const wire::Frame& frame);
  void SendHelloIfDue(Member& member);
  void SendRequestIfDue(Member& member);
  void SendApplied(Member& member);
  void Tick();
  template <class Body>
  Status Send(Member& member, wire::Type type, const Body& body, uint64_t epoch, uint64_t version);
  int64_t NowMs() const { return loop_.clock().MonotonicMs(); }

  std::vector<Identity> identities_;
  transport::Context context_;
  transport::Loop loop_{"crowd"};
  uint64_t incarnation_;
  std::atomic<int64_t> receiver_ns_{0};
  std::atomic<uint64_t> hellos_{0};
  std::atomic<uint64_t> requests_{0};

  // Owned by the loop's thread.
  std::vector<std::unique_ptr<Member>> members_;
  uint64_t ticks_ = 0;
};

}  // namespace weir::bench
