// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/bus/bootstrap.h"
#include "dataplane/bus/episode_log.h"
#include "dataplane/report/reporter.h"
#include "dataplane/snapshot/last_good.h"
#include "dataplane/snapshot/receiver.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"
#include "shared/telemetry/series.h"
#include "shared/wire/messages.h"

namespace weir::node::bus {

struct LinkOptions {
  std::string node;
  domain::Labels labels;
  uint64_t incarnation = 0;        // wall milliseconds of the start
  std::string http;                // the addresses that HELLO tells
  std::string admin;               //
  size_t max_telemetry_bytes = 0;  // of one frame
  bool keeps_snapshot = false;     // the host stores what SaveSnapshot gives it
};

// How the node stands with its control plane; for /ready and /metrics.
struct BusStatus {
  bool stale = true;  // three beacons were missed, or none was heard yet
  bool draining = false;
  std::optional<std::string> cordon{};  // why the control plane wants no traffic here
  std::string control_error;            // why there is no contact; "" while there is
  int64_t current_at_ms = 0;   // monotonic: the snapshot was last known to be the head; 0: never
  int64_t stored_wall_ms = 0;  // when the one that the node started from was stored; 0: from none
  uint64_t pending_batches = 0;
  uint64_t nacks = 0;
  // Monotonic: after the machine had hung, when every worker had what the control plane then said
  // was the head; 0: it never hung.
  int64_t in_step_at_ms = 0;
};

// What applications want of the node.
struct Activity {
  uint64_t requests = 0;        // so far
  uint64_t open = 0;            // being answered now
  uint64_t resident_bytes = 0;  // of this process
};

// Epoch and version of a snapshot.
using SnapshotName = std::pair<uint64_t, uint64_t>;

// What a Link asks of its surroundings: sockets, disk, workers. None blocks; answers come as calls
// of the link, later or from inside, except where a line says otherwise.
class LinkHost {
 public:
  virtual ~LinkHost() = default;

  // Asks /v1/bootstrap, then OnJoined.
  virtual void Join() = 0;
  // OnJoinDue after that time.
  virtual void JoinIn(int64_t delay_ms) = 0;
  // Closes what is open and opens the three channels anew. On an error nothing is open.
  virtual Status Connect(const Channels& channels) = 0;
  // This server key was announced under one that was known: joins accept it from now on.
  virtual void Trust(const std::string& /*server_key*/) {}
  // One frame on an open channel. Unavailable: nobody takes it now; ResourceExhausted: too large.
  virtual Status SendSession(const std::string& frame) = 0;
  virtual Status SendTelemetry(const std::string& frame) = 0;

  // Every worker shall take the rules; then OnTaken, later.
  virtual void PublishRules(std::shared_ptr<const decision::Ruleset> rules, SnapshotName name) = 0;
  // What all workers recorded since the last call; then OnCollected, later.
  virtual void CollectTelemetry(bool is_last) = 0;
  virtual void SaveSnapshot(snapshot::LastGood snapshot) = 0;
  virtual void PublishStatus(const BusStatus& status) = 0;
  // Kept for the next start, which must not be ready before a control plane says so.
  virtual void SaveCordon(const std::optional<std::string>&) {}
  virtual Activity GetActivity() { return {}; }
  // Finish has come to its end and goodbye was said.
  virtual void OnFinished() = 0;
};

// The node's end of the wire as a state machine: feeds the Receiver and the Reporter, and keeps the
// session. No sockets, no thread, and no time but the clock that it was given: the Bus runs it on
// its thread, a simulation on its own.
//
// The session: HELLO goes out when the cfg channel stands (or 300 ms later), again after 3 s
// without an answer, and at once when a beacon shows a new epoch. Everything else waits for
// WELCOME. After three missed beacons /v1/bootstrap is asked again and the channels are opened
// anew, since the control plane may be elsewhere or have another key.
//
// Lifecycle: construct → [Restore] → Start → the rest in any order → Close, all on one thread
// (current_at_ms: any). The owner calls Tick every kTickMs and Second every kSecondMs. Host and
// clock outlive it.
class Link {
 public:
  static constexpr int64_t kTickMs = 100;
  static constexpr int64_t kSecondMs = 1000;
  static constexpr int64_t kAnswerMs = 3000;  // then a session that is silent is lost
  static constexpr int64_t kHungMs = 3000;    // a tick that is so late: the machine hung and woke

  // `random` spreads the retries of many nodes.
  Link(LinkHost& host, const Clock& clock, LinkOptions options, std::function<uint64_t()> random);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // A stored snapshot, in force at once.
  void Restore(const snapshot::LastGood& stored);
  void Start();
  void OnJoinDue();
  void OnJoined(Result<Channels> channels);
  void Tick();
  void Second();

  // Frames that arrived.
  void OnCfg(const std::string& bytes);
  void OnSession(const std::string& bytes);

  void OnTaken(SnapshotName name);
  void OnCollected(const telemetry::Window& window, std::vector<wire::DecisionSample> samples,
                   bool is_last);

  // Bus has what these mean.
  void ReportVersions(std::vector<wire::VersionReport> versions);
  void ReportOverrides(std::vector<std::string> overrides);
  void ReportEpisode(wire::Episode episode);
  void SetDraining();
  // Why this node shall take no traffic; nothing: it may. Before Start as it was kept.
  void SetCordon(const std::optional<std::string>& cordon);
  void Finish(int64_t deadline_ms);
  int64_t current_at_ms() const { return current_at_ms_.load(std::memory_order_relaxed); }

  // The last snapshot to the host, if it has not been there; nothing is sent or joined any more.
  void Close();

  const snapshot::Receiver& receiver() const { return receiver_; }
  const report::Reporter& reporter() const { return reporter_; }
  bool is_welcome() const { return is_welcome_; }

 private:
  void BeginJoin();
  void RetryJoin();
  Status Connect(const Channels& channels);

  void OnSessionFrame(const wire::Frame& frame);
  void OnWelcome(const wire::Frame& frame);
  void OnMove(const wire::Frame& frame);
  void Move();
  void HandleSnapshotFrame(const wire::Frame& frame);
  void AfterSnapshotFrame();
  void OnRuleset(std::shared_ptr<const decision::Ruleset> rules);

  void CheckContact(int64_t now_ms);
  void NoteActivity(int64_t now_ms);
  void OnCordoned(bool cordoned, const std::string& reason);
  // After a hang: asks what the head is, and tells once every worker has it. What lay in buffers
  // meanwhile says nothing about now.
  void NoteTick(int64_t now_ms);
  void OnHeadTold(const wire::Header& header);
  void CheckInStep();
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
  LinkHost& host_;
  const Clock& clock_;
  const LinkOptions options_;
  const std::function<uint64_t()> random_;

  snapshot::Receiver receiver_;
  report::Reporter reporter_;
  std::optional<Channels> channels_;

  bool is_open_ = false;     // the host has channels
  bool is_joining_ = false;  // an answer or a retry is under way
  int64_t join_backoff_ms_ = 0;
  int64_t linked_at_ms_ = 0;  // when the channels were opened
  std::string control_error_ = "not asked yet";

  std::optional<Channels> next_;  // where a MOVE leads
  // The server key of a place that a MOVE led to and that has not welcomed this node: it is not
  // tried again for a while.
  std::string failed_key_;
  int64_t moved_ms_ = 0;

  bool is_cfg_heard_ = false;  // since the channels were opened
  bool is_welcome_ = false;    // the session stands
  uint64_t welcome_epoch_ = 0;
  int64_t hello_at_ms_ = 0;
  int64_t session_heard_ms_ = 0;
  uint64_t sequence_ = 0;

  SnapshotName applied_{0, 0};  // that every worker has
  bool is_applied_due_ = false;
  std::vector<wire::VersionReport> versions_;
  std::vector<std::string> overrides_;
  EpisodeLog episodes_;
  bool is_report_due_ = false;
  bool is_draining_ = false;
  std::optional<std::string> cordon_;
  uint64_t requests_ = 0;  // of applications, a second ago
  uint64_t open_requests_ = 0;
  uint64_t resident_bytes_ = 0;
  int64_t quiet_from_ms_ = 0;  // since when there was none
  bool is_watched_ = false;    // a split is in force
  bool is_unsaved_ = false;
  int64_t saved_at_ms_ = 0;
  int64_t stored_wall_ms_ = 0;  // of the snapshot that was restored
  bool is_collecting_ = false;
  std::atomic<int64_t> current_at_ms_{0};
  int64_t last_second_ms_ = 0;
  uint64_t logged_nacks_ = 0;
  int64_t ticked_at_ms_ = 0;
  std::optional<int64_t> woke_at_ms_;  // after a hang, until it is in step again
  SnapshotName head_then_{0, 0};       // as told since it woke; epoch 0: not told yet
  int64_t in_step_at_ms_ = 0;

  bool is_finishing_ = false;
  bool is_last_window_in_ = false;
  int64_t finish_deadline_ms_ = 0;
};

}  // namespace weir::node::bus
