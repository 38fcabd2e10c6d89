// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/bus/bootstrap.h"
#include "dataplane/bus/episode_log.h"
#include "dataplane/report/reporter.h"
#include "dataplane/snapshot/receiver.h"
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
  std::string snapshot_path;  // where the last good snapshot is kept; "": nowhere
};

// How the node stands with its control plane; for /ready and /metrics.
struct BusStatus {
  bool stale = true;  // three beacons were missed, or none was heard yet
  bool draining = false;
  std::string control_error;  // why there is no contact; "" while there is
  int64_t current_at_ms = 0;  // monotonic: the snapshot was last known to be the head; 0: never
  int64_t stored_wall_ms = 0;  // when the one that the node started from was stored; 0: from none
  uint64_t pending_batches = 0;
  uint64_t nacks = 0;
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
};

// The node's side of the wire: owns SUB, DEALER and PUSH on a thread of its own, feeds the Receiver
// and the Reporter, and keeps the session: bootstrap and enrolment with back-off (on a second
// thread, which also writes the last good snapshot), HELLO, heartbeats, APPLIED, NODE_REPORT.
//
// The session: HELLO goes out when the cfg channel stands (or 300 ms later), again after 3 s
// without an answer, and at once when a beacon shows a new epoch. Everything else waits for
// WELCOME. After three missed beacons /v1/bootstrap is asked again and the sockets are made anew,
// since the control plane may be elsewhere or have another key.
//
// Lifecycle: construct → Start → [SetDraining] → [Finish] → Stop, on one thread. ReportVersions,
// ReportOverrides, ReportEpisode, current_at_ms: any thread. Hooks must stay valid until Stop has
// returned.
class Bus {
 public:
  Bus(transport::Context& context, BusOptions options, BusHooks hooks,
      const Clock& clock = Clock::System());
  ~Bus();  // Stop()

  void Start();
  // How every version of every model fares; sent when it changes and after each WELCOME.
  void ReportVersions(std::vector<wire::VersionReport> versions);
  // What an operator forces on this node, one sentence each; sent like the versions.
  void ReportOverrides(std::vector<std::string> overrides);
  // What this node does by itself: once when it begins, and again, with its end, when it ends (see
  // EpisodeLog); sent at once, and after each WELCOME.
  void ReportEpisode(wire::Episode episode);
  // BusStatus::current_at_ms as it is now.
  int64_t current_at_ms() const { return current_at_ms_.load(std::memory_order_relaxed); }
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
  void StartJoin();
  void OnJoined(Result<Channels> channels);
  void RetryJoin();
  Status Connect(const Channels& channels);
  void CloseSockets();

  void OnCfg(const std::string& bytes);
  void OnSession(const std::string& bytes);
  void OnSessionFrame(const wire::Frame& frame);
  void OnWelcome(const wire::Frame& frame);
  void HandleSnapshotFrame(const wire::Frame& frame);
  void AfterSnapshotFrame();
  void OnRuleset(std::shared_ptr<const decision::Ruleset> rules);

  void EveryTick();
  void EverySecond();
  void CheckContact(int64_t now_ms);
  void FlushTelemetry();
  void CheckFinished();
  void SaveSnapshot();
  void PublishStatus();

  void LoseSession(int64_t hello_at_ms);
  void SendHelloIfDue();
  void SendRequestIfDue();
  void SendHeartbeat();
  // APPLIED and NODE_REPORT, if they are due and the session stands.
  void SendNews();
  void SayGoodbye();
  template <class Body>
  Status SendSession(wire::Type type, const Body& body, uint64_t epoch = 0, uint64_t version = 0);
  int64_t NowMs() const { return clock_.MonotonicMs(); }

  // Constant after construction.
  transport::Context& context_;
  const BusOptions options_;
  const BusHooks hooks_;
  const Clock& clock_;

  transport::Loop chores_;  // blocking things: bootstrap over HTTP, the last good file
  transport::Loop loop_;    // the bus thread

  // Owned by the bus thread.
  snapshot::Receiver receiver_;
  report::Reporter reporter_;
  std::optional<Channels> channels_;
  std::optional<transport::Socket> cfg_;
  std::optional<transport::Socket> session_;
  std::optional<transport::Socket> telemetry_;

  bool is_joining_ = false;  // an answer or a retry is under way
  int64_t join_backoff_ms_ = 0;
  int64_t linked_at_ms_ = 0;  // when the sockets were made
  std::string control_error_ = "not asked yet";

  bool is_cfg_heard_ = false;  // since the sockets were made
  bool is_welcome_ = false;    // the session stands
  uint64_t welcome_epoch_ = 0;
  int64_t hello_at_ms_ = 0;
  int64_t session_heard_ms_ = 0;
  uint64_t sequence_ = 0;

  std::pair<uint64_t, uint64_t> applied_{0, 0};  // epoch and version that every worker has
  bool is_applied_due_ = false;
  std::vector<wire::VersionReport> versions_;
  std::vector<std::string> overrides_;
  EpisodeLog episodes_;
  bool is_report_due_ = false;
  bool is_draining_ = false;
  bool is_watched_ = false;  // a split is in force
  bool is_unsaved_ = false;
  int64_t saved_at_ms_ = 0;
  bool is_collecting_ = false;
  int64_t stored_wall_ms_ = 0;             // of the snapshot that was restored
  std::atomic<int64_t> current_at_ms_{0};  // written here, read by any thread
  int64_t last_second_ms_ = 0;
  uint64_t logged_nacks_ = 0;

  std::shared_ptr<std::promise<void>> finished_;  // while Finish waits
  bool is_last_window_in_ = false;
  int64_t finish_deadline_ms_ = 0;

  bool is_stopped_ = false;  // the owner's thread
};

}  // namespace weir::node::bus
