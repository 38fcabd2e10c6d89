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

#include "dataplane/snapshot/last_good.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"
#include "shared/domain/snapshot.h"
#include "shared/wire/digest.h"
#include "shared/wire/frame.h"
#include "shared/wire/messages.h"

namespace weir::node::snapshot {

// What a node has, as HELLO says it.
struct Position {
  uint64_t epoch = 0;
  uint64_t version = 0;
  std::string digest;  // 32 raw bytes
};

// What was not applied, and why; sums since the start.
struct ReceiverCounters {
  uint64_t applied = 0;     // deltas and snapshots
  uint64_t duplicates = 0;  // not newer than what is there
  uint64_t fenced = 0;      // of a lower epoch than one that was heard
  uint64_t gaps = 0;        // deltas whose base is not here
  uint64_t wrong_digest = 0;
  uint64_t malformed = 0;
  uint64_t nacks = 0;  // entries refused
};

// Receives snapshots (WIRE, Versions): a state machine without sockets and without a clock, owned
// by the bus thread. Frames go in; every verified change comes out as a new immutable Ruleset that
// shares what did not change, told to the listener once per frame, inside Handle.
//
// A new epoch voids bases: what is here is carried on when a beacon, or the digest of a delta,
// shows that it is the same set.
//
// Invariants: `position()` names exactly the entries held, as published, refused ones included. A
// message of a wrong epoch, base or digest changes nothing but the emergency overlay (which is laid
// on as soon as it is newer, whatever message of a good epoch brings it). An entry that is not
// understood is refused alone: its last good stays in force, a new one stays absent, the version
// advances. (epoch, version) never goes down.
//
// What is missing is asked for through TakeRequest: a single gap at once, after a (re)connection
// jittered over 0–500 ms, again every 2 s until it is repaired.
class Receiver {
 public:
  static constexpr int64_t kJitterMs = 500;
  static constexpr int64_t kRetryMs = 2000;
  static constexpr size_t kHeardEpochs = 2;
  static constexpr int64_t kMissedBeacons = 3;  // then stale

  using Listener = std::function<void(std::shared_ptr<const decision::Ruleset>)>;

  // `labels` are this node's, `random` spreads the jitter.
  Receiver(domain::Labels labels, std::function<uint64_t()> random, Listener listener);

  // Puts a stored snapshot in force. Before the first frame.
  void Restore(const LastGood& stored);
  // The snapshot as it should be stored; nothing before there is one.
  std::optional<LastGood> Export(int64_t now_wall_ms) const;

  // DELTA, SNAPSHOT, BEACON, EMERGENCY and WELCOME, from whichever channel. The Status says why a
  // message was not applied (Ok for a mere duplicate); it is for the log, the repair is under way.
  Status Handle(const wire::Frame& frame, int64_t now_ms);

  // A HELLO has just been sent: its answer is waited for before anything is requested.
  void OnHello(int64_t now_ms);
  // A request that is due. Ask after every frame and every 50 ms or so while the session stands.
  std::optional<wire::SnapshotRequest> TakeRequest(int64_t now_ms);

  // Null until the first snapshot.
  const std::shared_ptr<const decision::Ruleset>& ruleset() const { return current_; }
  Position position() const { return {epoch_, version_, digest_.Raw()}; }
  // The highest epoch heard of; lower ones are refused.
  uint64_t leader_epoch() const { return leader_epoch_; }
  // Something newer is known to exist, or what is here is in doubt.
  bool IsBehind() const;
  // The control plane speaks of a lower version of our epoch; it is not followed downward.
  bool control_plane_behind() const { return control_plane_behind_; }
  // All entries that stand refused now.
  std::vector<wire::RefusedEntry> refused() const;
  // Three beacons (of `period_ms`) have been missed, or none was ever heard.
  bool IsStale(int64_t now_ms, int64_t period_ms) const;
  std::optional<int64_t> last_beacon_ms() const { return last_beacon_ms_; }
  // The audit's head as beacons told it last, of this epoch and of the one before.
  const std::vector<wire::HeardHead>& heard() const { return heard_; }
  const ReceiverCounters& counters() const { return counters_; }

 private:
  using Key = std::pair<uint8_t, std::string>;  // kind, name
  struct Held {
    wire::Hash256 hash;
    std::string published;
    std::string good;  // when `published` is refused and something was understood before
    std::optional<wire::RefusedEntry> refused;
  };
  // Views into the message that it was read from.
  struct SetChange {
    std::map<Key, std::pair<wire::Hash256, const std::string*>> entries;  // "": removed
    wire::SetDigest digest;                                               // afterwards
  };
  struct HeldDelta {
    wire::Header header;
    wire::Delta delta;
  };

  Status Dispatch(const wire::Frame& frame, int64_t now_ms);
  Status OnDelta(const wire::Frame& frame, int64_t now_ms);
  Status OnSnapshot(const wire::Frame& frame, int64_t now_ms);
  Status OnBeacon(const wire::Frame& frame, int64_t now_ms);
  Status OnEmergency(const wire::Frame& frame);
  // What a delta makes of the set; DataLoss unless that has the delta's digest.
  Result<SetChange> Verify(const wire::Delta& delta) const;
  void Apply(const wire::Header& header, const SetChange& change);
  Status ApplySnapshot(const wire::Header& header, const wire::SnapshotBody& body, int64_t now_ms);
  void ApplyHeld(int64_t now_ms);
  Status Reject(const Status& why, int64_t now_ms);
  void Take(const Key& key, const wire::Hash256& hash, const std::string& bytes);
  void Drop(const Key& key);
  void Arrive(uint64_t epoch, uint64_t version, const wire::SetDigest& digest);
  void LayEmergency(const domain::EmergencyOverlay& overlay);
  void NoteAudit(uint64_t epoch, const wire::Beacon& beacon);
  void NoteHead(uint64_t epoch, uint64_t version, int64_t now_ms);
  void Suspect(int64_t now_ms);
  void ScheduleRequest(int64_t now_ms);
  decision::Ruleset& Next();
  void Publish();

  // Constant after construction.
  const domain::Labels labels_;
  const std::function<uint64_t()> random_;
  const Listener listener_;

  // What is here.
  bool has_snapshot_ = false;
  uint64_t epoch_ = 0;
  uint64_t version_ = 0;
  wire::SetDigest digest_;
  std::map<Key, Held> entries_;
  domain::EmergencyOverlay emergency_;
  std::shared_ptr<const decision::Ruleset> current_;
  std::optional<decision::Ruleset> next_;  // while a frame is being handled

  // What is known to exist.
  uint64_t leader_epoch_ = 0;
  uint64_t target_ = 0;   // the highest version heard of in the leader's epoch
  bool suspect_ = false;  // bytes or digest were wrong: only a whole snapshot repairs that
  bool control_plane_behind_ = false;
  std::map<uint64_t, HeldDelta> ahead_;  // deltas that came before their base, by version
  std::optional<int64_t> last_beacon_ms_;
  std::vector<wire::HeardHead> heard_;

  // When to ask.
  int64_t request_at_ms_ = 0;
  int64_t hold_until_ms_ = 0;  // the answer to HELLO may still come
  bool jitter_ = false;        // from HELLO until this node has caught up

  ReceiverCounters counters_;
};

}  // namespace weir::node::snapshot
