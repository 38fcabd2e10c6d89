// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/publish/hub.h"
#include "shared/transport/context.h"
#include "shared/transport/loop.h"
#include "shared/transport/socket.h"
#include "shared/transport/zap.h"

namespace weir::control::publish {

// Where the three channels listen.
struct Listen {
  std::string cfg, session, telemetry;
};

struct BusOptions {
  std::string cfg_listen;
  std::string session_listen;
  std::string telemetry_listen;
  transport::KeyPair keys;
  uint64_t epoch = 0;
  std::vector<std::pair<std::string, std::string>> nodes;      // id, public key: who may connect
  std::vector<std::pair<std::string, std::string>> cordons{};  // id, why: who shall take no traffic
  std::vector<std::string> revoked{};                          // nodes, shown as such
};

// The bus thread of the control plane: server sockets, who may connect, and the timers of the Hub
// that stands behind them. The three sockets of a key are a place; while the server's key is
// rotated there are two, and each node is told, under the key it knows, to come to the next one.
// Lifecycle: construct, Start, Stop (idempotent; the destructor calls it). Everything but Start and
// Stop may be called on any thread; what gives an answer waits for the bus thread. The listener's
// functions are called on the bus thread and must post what they get. The context outlives the bus.
class Bus : private HubOutbox {
 public:
  struct Listener {
    Nodes::OnView on_nodes;
    Nodes::OnApplied on_applied;
    std::function<void(ingest::TelemetryTick)> on_telemetry;  // every 100 ms, if there is any
    std::function<void(const BusCounters&)> on_counters;      // every 100 ms
  };

  Bus(transport::Context& context, Listener listener);
  ~Bus() override;

  // What nodes shall get now, and how far telemetry was counted. FailedPrecondition when an address
  // is in use; nothing runs then.
  Status Start(const BusOptions& options, const std::vector<catalog::EntryBody>& entries,
               uint64_t revision, const domain::EmergencySpec& emergency,
               const ingest::HighWaters& committed);
  void Stop();

  struct Addresses {
    std::string cfg, session, telemetry;  // "tcp://127.0.0.1:43211", with the real ports
  };
  const Addresses& addresses() const { return addresses_; }  // of the start; constant afterwards

  void Publish(const catalog::Committed& committed);
  // These are stored: tells the nodes.
  void Acknowledge(const ingest::HighWaters& stored);
  // Of what the Hub has.
  void SetCordon(const std::string& node, bool cordoned, const std::string& reason);
  void SetAuditHead(uint64_t rows, const std::string& head);
  // In force when it returns. Other keys of the node are no longer let in, and their connections
  // end.
  Status Allow(const std::string& node, const std::string& public_key);
  // The node's key is let in no more, nothing of it is taken from now on, and its connections end:
  // cfg and telemetry at once, the session as soon as it was told why. Other nodes notice nothing.
  void Revoke(const std::string& node, const std::string& reason);

  struct Place {
    std::string server_key;  // z85
    Addresses addresses;
    std::vector<std::string> nodes;  // whose last session frame came here
  };
  struct Places {
    Place current;
    std::optional<Place> next;
  };
  Places places();
  // A second place, under the next key. FailedPrecondition when an address is in use.
  Status OpenNext(const transport::KeyPair& keys, const Listen& listen);
  // The first place ends, and what it listened on is the other one's too, as soon as it is free.
  void RetireFirst();

 private:
  struct Sockets {
    transport::KeyPair keys;
    char tag = 0;  // the first byte of its peers' names
    Addresses addresses;
    std::unique_ptr<transport::Socket> cfg, session, telemetry;

    void ForEach(const std::function<void(transport::Socket&)>& visit);
  };

  Result<std::unique_ptr<Sockets>> Open(const transport::KeyPair& keys, const Listen& listen);
  void WatchSockets(Sockets& sockets);
  void Run();  // timers
  void OnTick();
  void FlushNodes();
  void SendMoves();
  void ListenAgain();
  // False: what this sender's key says is not taken, and its connection ends.
  bool IsAllowed(transport::Socket& socket, const transport::Message& message);
  void EndKey(const std::string& public_key, int64_t session_delay_ms);
  WireRefusals Refusals();
  void ForEachSocket(const std::function<void(transport::Socket&)>& visit);
  void Broadcast(std::string_view frame) override;
  void SendTo(const std::string& peer, std::string_view frame) override;
  void SetWelcome(std::string_view frame) override;
  Place PlaceOf(const Sockets& sockets) const;

  transport::Context& context_;
  const Listener listener_;
  transport::Loop loop_{"bus"};
  transport::ZapHandler zap_;
  Addresses addresses_;
  Listen listen_;
  bool is_started_ = false;  // the owner's

  // Owned by the bus thread.
  std::unique_ptr<Sockets> first_;  // null: Stop is under way
  std::unique_ptr<Sockets> next_;   // while a rotation goes on
  char last_tag_ = 'a';
  Listen wanted_;  // of a place that ended, to be bound again; "": nothing
  std::unique_ptr<Hub> hub_;
  bool is_flush_due_ = false;                   // a timer will
  std::map<std::string, std::string> allowed_;  // node → key
  std::map<std::string, char> tags_;            // node → where its last session frame came
  std::map<std::string, int64_t> moved_ms_;     // node → when it was last told to move
  WireRefusals retired_;                        // of places that ended
  uint64_t frames_of_revoked_ = 0;
  uint64_t handshakes_failed_ = 0;  // as told: it never falls
};

}  // namespace weir::control::publish
