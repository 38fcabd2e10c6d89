// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/ingest/accountant.h"
#include "controlplane/ingest/folder.h"
#include "controlplane/publish/nodes.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/publish/session.h"
#include "shared/transport/context.h"
#include "shared/transport/loop.h"
#include "shared/transport/socket.h"
#include "shared/transport/zap.h"

namespace weir::control::publish {

struct BusOptions {
  std::string cfg_listen;
  std::string session_listen;
  std::string telemetry_listen;
  transport::KeyPair keys;
  uint64_t epoch = 0;
  std::vector<std::pair<std::string, std::string>> nodes;  // id, public key: who may connect
};

struct BusCounters {
  uint64_t frames_refused = 0;  // on session and telemetry
  uint64_t handshakes_denied = 0;
  uint64_t series_malformed = 0;
  uint64_t samples_left_out = 0;  // of decisions: over the budget, or malformed
  ingest::Accountant::Counters batches;
};

// The bus thread of the control plane: the three server sockets, who may connect, and everything
// that stands behind them: publisher, session, registry of nodes, accounting of telemetry.
// Lifecycle: construct, Start, Stop (idempotent; the destructor calls it). Everything but Start and
// Stop may be called on any thread and does not wait. The listener's functions are called on the
// bus thread and must post what they get. The context outlives the bus.
class Bus : private Outbox {
 public:
  struct Listener {
    Nodes::OnView on_nodes;
    Nodes::OnApplied on_applied;
    std::function<void(ingest::TelemetryTick)> on_telemetry;  // every 100 ms, if there is any
    std::function<void(const BusCounters&)> on_counters;      // every second
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
  const Addresses& addresses() const { return addresses_; }  // constant after Start

  void Publish(const catalog::Committed& committed);
  // These are stored: tells the nodes.
  void Acknowledge(const ingest::HighWaters& stored);
  // In force when it returns (waits for the bus thread). Other keys of the node are no longer let
  // in.
  Status Allow(const std::string& node, const std::string& public_key);

 private:
  Status Open(const BusOptions& options);
  Result<std::string> OpenSocket(std::unique_ptr<transport::Socket>& socket, transport::Role role,
                                 const transport::KeyPair& keys, const std::string& listen);
  void Run();  // watches and timers
  void OnTelemetryFrame(const transport::Message& message);
  Status OnBatch(const std::string& node, std::string_view bytes);
  void Fold(const ingest::Accountant::Answer& answer);
  void OnTick();
  void OnSecond();
  void RenewWelcome();
  void Broadcast(std::string_view frame) override;
  void SendTo(const std::string& peer, std::string_view frame) override;
  int64_t NowMs() const { return loop_.clock().MonotonicMs(); }

  transport::Context& context_;
  const Listener listener_;
  transport::Loop loop_{"bus"};
  transport::ZapHandler zap_;
  Addresses addresses_;
  bool is_started_ = false;  // the owner's

  // Owned by the bus thread.
  std::unique_ptr<transport::Socket> cfg_, session_socket_, telemetry_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Nodes> nodes_;
  std::unique_ptr<Session> session_;
  ingest::Accountant accountant_;
  ingest::Folder folder_;
  std::vector<std::pair<std::string, std::string>> allowed_;  // id, key
  uint64_t batches_refused_ = 0;
};

}  // namespace weir::control::publish
