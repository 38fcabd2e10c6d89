// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/ingest/accountant.h"
#include "controlplane/ingest/folder.h"
#include "controlplane/publish/nodes.h"
#include "controlplane/publish/outbox.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/publish/session.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"

namespace weir::control::publish {

// What the sockets' owner turned away before it was a frame, by reason.
struct WireRefusals {
  uint64_t key = 0;            // a handshake with a key that is not allowed
  uint64_t handshake = 0;      // one that failed otherwise
  uint64_t revoked = 0;        // a frame of a key that is allowed no more
  uint64_t multipart = 0;      // more than one part, or what no node sends
  uint64_t unfinished = 0;     // connections cut: a message without end
  uint64_t subscriptions = 0;  // connections cut: more than a node subscribes to
  uint64_t crowd = 0;          // connections cut: too many
};

struct BusCounters {
  uint64_t frames_refused = 0;  // on session and telemetry
  uint64_t handshakes_denied = 0;
  uint64_t series_malformed = 0;
  uint64_t samples_left_out = 0;  // of decisions: over the budget, or malformed
  ingest::Accountant::Counters batches;
  WireRefusals wire{};
};

// What a hub sends through: an Outbox that also greets.
class HubOutbox : public Outbox {
 public:
  // What each new subscriber of cfg hears first, from now on.
  virtual void SetWelcome(std::string_view frame) = 0;
};

// What the control plane makes of the three channels: publisher, session, registry of nodes and
// accounting of telemetry, joined. No sockets, no thread, and no time but the clock that it was
// given: the Bus runs it on its thread, a simulation on its own.
//
// Lifecycle: construct, Reset once, then the rest in any order, all on one thread; the owner calls
// Tick every kTickMs and BeaconTick every kHeartbeatMs. Frames leave through the outbox and news
// through the listener inside these calls. The outbox and the clock outlive the hub.
class Hub {
 public:
  static constexpr int64_t kTickMs = 100;

  struct Listener {
    Nodes::OnView on_nodes;
    Nodes::OnApplied on_applied;
    std::function<void(ingest::TelemetryTick)> on_telemetry;  // with Tick, if there is any
  };

  Hub(HubOutbox& outbox, const Clock& clock, uint64_t epoch, Listener listener,
      PublisherLimits limits = {});
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // What nodes shall get now, and how far telemetry was counted.
  void Reset(const std::vector<catalog::EntryBody>& entries, uint64_t revision,
             const domain::EmergencySpec& emergency, const ingest::HighWaters& committed);

  // `peer` is the connection, `node` whom its key belongs to.
  void OnSession(const std::string& peer, const std::string& node, std::string_view bytes);
  // After a round of session frames: tells what they changed about nodes. Where that is held back
  // (Nodes::Flush), in how many ms to call again; else 0.
  int64_t FlushNodes() { return nodes_.Flush(NowMs()); }
  // A batch that cannot be read, or speaks for another node, is refused and counted.
  void OnTelemetry(const std::string& node, std::string_view bytes);

  void Tick();
  void BeaconTick();  // a beacon to everyone

  // Committed: to the nodes with it.
  void Publish(const catalog::Committed& committed);
  // These are stored: tells the nodes.
  void Acknowledge(const ingest::HighWaters& stored);
  // Whether a node shall take no traffic.
  void SetCordon(const std::string& node, bool cordoned, const std::string& reason) {
    session_.SetCordon(node, cordoned, reason);
  }
  // The end of the audit's chain, for beacons.
  void SetAuditHead(uint64_t rows, const std::string& head) { publisher_.SetAuditHead(rows, head); }

  // The node is told why, and shown as gone; nothing of it is taken any more is the owner's part.
  void Refuse(const std::string& node, const std::string& reason);
  void SendMove(const std::string& node, const wire::Move& move) { session_.SendMove(node, move); }

  const Publisher& publisher() const { return publisher_; }
  // Without the denied handshakes, which only the sockets' owner knows.
  BusCounters counters() const;

 private:
  Status OnBatch(const std::string& node, std::string_view bytes);
  uint64_t OnHello(const wire::Hello& hello);
  void Fold(const ingest::Accountant::Answer& answer);
  void RenewWelcome();
  int64_t NowMs() const { return clock_.MonotonicMs(); }

  HubOutbox& outbox_;
  const Clock& clock_;
  const Listener listener_;
  Publisher publisher_;
  Nodes nodes_;
  Session session_;
  ingest::Accountant accountant_;
  ingest::Folder folder_;
  uint64_t batches_refused_ = 0;
};

}  // namespace weir::control::publish
