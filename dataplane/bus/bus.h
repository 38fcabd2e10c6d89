// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/bus/bootstrap.h"
#include "dataplane/bus/link.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"
#include "shared/telemetry/series.h"
#include "shared/transport/context.h"
#include "shared/transport/keys.h"
#include "shared/transport/loop.h"
#include "shared/transport/socket.h"
#include "shared/wire/messages.h"

namespace weir::node::bus {

struct BusOptions {
  JoinRequest join;  // public_key is set from `keys`
  transport::KeyPair keys;
  domain::Labels labels;
  uint64_t incarnation = 0;   // wall milliseconds of the start
  std::string http;           // the addresses that HELLO tells
  std::string admin;          //
  std::string trusted_path;   // where server keys that were announced are kept; "": nowhere
  std::string snapshot_path;  // where the last good snapshot is kept; "": nowhere
  std::string cordon_path;    // and that this node shall take no traffic
};

// What the rest of the node does for the bus. All are called on the bus thread and do not block.
struct BusHooks {
  // Every worker shall take the rules; `taken` is called once, on any thread, when the last has.
  std::function<void(std::shared_ptr<const decision::Ruleset>, std::function<void()> taken)>
      publish_rules;
  // What all workers recorded since the last call, and the decisions that they picked out to be
  // shown; `done` is called once, on any thread.
  using Collected = std::function<void(telemetry::Window, std::vector<wire::DecisionSample>)>;
  std::function<void(Collected done)> collect_telemetry;
  std::function<void(const BusStatus&)> publish_status;
  std::function<Activity()> activity{};  // optional
};

// The node's side of the wire: owns SUB, DEALER and PUSH on a thread of its own and runs the Link
// on it; a second thread does what blocks: bootstrap and enrolment over HTTP, the last good file.
//
// Lifecycle: construct → Start → [SetDraining] → [Finish] → Stop, on one thread. ReportVersions,
// ReportOverrides, ReportEpisode, current_at_ms: any thread. Hooks must stay valid until Stop has
// returned.
class Bus : private LinkHost {
 public:
  Bus(transport::Context& context, BusOptions options, BusHooks hooks,
      const Clock& clock = Clock::System());
  ~Bus() override;  // Stop()

  void Start();
  // How every version of every model fares; sent when it changes and after each WELCOME.
  void ReportVersions(std::vector<wire::VersionReport> versions);
  // What an operator forces on this node, one sentence each; sent like the versions.
  void ReportOverrides(std::vector<std::string> overrides);
  // What this node does by itself: once when it begins, and again, with its end, when it ends (see
  // EpisodeLog); sent at once, and after each WELCOME.
  void ReportEpisode(wire::Episode episode);
  // BusStatus::current_at_ms as it is now.
  int64_t current_at_ms() const { return link_.current_at_ms(); }
  // Tells the control plane and /ready.
  void SetDraining();
  // Sends what is left of telemetry, waits for its acknowledgement until the deadline at most, says
  // goodbye. Afterwards nothing more is sent.
  void Finish(int64_t deadline_ms);
  // Closes the sockets, stores the last snapshot and joins both threads. Idempotent.
  void Stop();

 private:
  // Everything below on the bus thread.
  void Restore();
  Status Open(const Channels& channels);
  void CloseSockets();

  void Join() override;
  void JoinIn(int64_t delay_ms) override;
  void Trust(const std::string& server_key) override;
  Status Connect(const Channels& channels) override;
  Status SendSession(const std::string& frame) override;
  Status SendTelemetry(const std::string& frame) override;
  void PublishRules(std::shared_ptr<const decision::Ruleset> rules, SnapshotName name) override;
  void CollectTelemetry(bool is_last) override;
  void SaveSnapshot(snapshot::LastGood snapshot) override;
  void PublishStatus(const BusStatus& status) override;
  void SaveCordon(const std::optional<std::string>& cordon) override;
  Activity GetActivity() override;
  void OnFinished() override;

  // Constant after construction.
  transport::Context& context_;
  const BusOptions options_;
  const BusHooks hooks_;

  transport::Loop chores_;  // blocking things: bootstrap over HTTP, the last good file
  transport::Loop loop_;    // the bus thread

  // Owned by the bus thread.
  Link link_;
  std::vector<std::string> trusted_keys_;  // announced, the newest first
  std::optional<transport::Socket> cfg_;
  std::optional<transport::Socket> session_;
  std::optional<transport::Socket> telemetry_;
  std::shared_ptr<std::promise<void>> finished_;  // while Finish waits

  bool is_stopped_ = false;  // the owner's thread
};

}  // namespace weir::node::bus
