// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/publish/hub.h"
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

// The bus thread of the control plane: the three server sockets, who may connect, and the timers of
// the Hub that stands behind them.
// Lifecycle: construct, Start, Stop (idempotent; the destructor calls it). Everything but Start and
// Stop may be called on any thread and does not wait. The listener's functions are called on the
// bus thread and must post what they get. The context outlives the bus.
class Bus : private HubOutbox {
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
  void FlushNodes();
  void OnSecond();
  void Broadcast(std::string_view frame) override;
  void SendTo(const std::string& peer, std::string_view frame) override;
  void SetWelcome(std::string_view frame) override;

  transport::Context& context_;
  const Listener listener_;
  transport::Loop loop_{"bus"};
  transport::ZapHandler zap_;
  Addresses addresses_;
  bool is_started_ = false;  // the owner's

  // Owned by the bus thread.
  std::unique_ptr<transport::Socket> cfg_, session_socket_, telemetry_;
  std::unique_ptr<Hub> hub_;
  bool is_flush_due_ = false;                                 // a timer will
  std::vector<std::pair<std::string, std::string>> allowed_;  // id, key
};

}  // namespace weir::control::publish
