// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/publish/outbox.h"
#include "shared/wire/digest.h"
#include "shared/wire/messages.h"

namespace weir::control::publish {

struct PublisherLimits {
  size_t max_broadcast_bytes = 1 << 20;  // of a delta; larger ones are fetched over the session
  size_t max_deltas = 1024;              // kept for those who missed them
  size_t max_delta_bytes = 32 << 20;     // of all kept deltas together
  int64_t snapshot_bytes_per_s = 64 << 20;
};

// The published state and how nodes get it (WIRE, Versions). Holds the entries as published, their
// digest and the last deltas. Everything on the bus thread; no sockets, no clock of its own.
// Lifecycle: Reset once with everything the catalog has, then OnCommitted for each commit, in
// order. Invariant: the digest is that of the entries, and the newest delta ends at the head.
// A commit that changes neither an entry nor the emergency publishes nothing, so the head is the
// last version that changed something for nodes.
class Publisher {
 public:
  Publisher(Outbox& outbox, uint64_t epoch, PublisherLimits limits = {});

  void Reset(const std::vector<catalog::EntryBody>& entries, uint64_t revision,
             const domain::EmergencySpec& emergency);
  // Broadcasts the emergency (if changed) and the delta, or a beacon when the delta is too large.
  void OnCommitted(const catalog::Committed& committed);
  // The end of the audit's chain, for beacons.
  void SetAuditHead(uint64_t rows, const std::string& head);
  void SendBeacon();
  std::string BeaconFrame();

  struct Have {
    uint64_t epoch = 0;
    uint64_t version = 0;
    std::string digest;  // 32 raw bytes; "" when the node did not say
  };
  // True if the node's set of entries is ours, whatever epoch it came from: WELCOME's header (epoch
  // and head) then says what that set is called now, and nothing needs to be sent.
  bool IsCurrent(const Have& have) const;
  // Sends what the node lacks: the missing deltas, or a snapshot if its epoch is another one, its
  // digest is wrong, we have no delta for it, or it asks again with what it had before. Snapshots
  // above the rate wait until Tick.
  void BringUpToDate(const std::string& peer, const Have& have, int64_t now_ms);
  void Tick(int64_t now_ms);

  uint64_t epoch() const { return epoch_; }
  uint64_t head() const { return head_; }
  std::string digest() const { return digest_.Raw(); }
  size_t entry_count() const { return entries_.size(); }
  // The oldest version from which deltas lead to the head; 0: none.
  uint64_t oldest_delta() const { return deltas_.empty() ? 0 : deltas_.front().base; }

 private:
  struct Published {
    std::string body;
    wire::Hash256 hash;
  };
  struct KeptDelta {
    uint64_t base;
    std::string base_digest;
    std::string frame;
  };

  wire::Header MakeHeader(wire::Topic topic, wire::Type type);
  void Put(const catalog::EntryBody& entry);
  bool SetEmergency(const domain::EmergencySpec& emergency, uint64_t version);
  void Keep(KeptDelta delta);
  bool SendDeltas(const std::string& peer, const Have& have);
  void SendSnapshot(const std::string& peer);
  void Refill(int64_t now_ms);

  Outbox& outbox_;
  const uint64_t epoch_;
  const PublisherLimits limits_;

  std::map<std::pair<domain::EntryKind, std::string>, Published> entries_;
  wire::SetDigest digest_;
  uint64_t head_ = 0;
  domain::EmergencyOverlay emergency_;
  std::string audit_head_;
  uint64_t audit_rows_ = 0;
  uint64_t sequence_ = 0;

  std::deque<KeptDelta> deltas_;
  size_t delta_bytes_ = 0;
  std::string snapshot_frame_;  // of the head, made when first asked for; "" since the last change

  std::map<std::string, uint64_t> answered_;  // peer → the `have` its last deltas started from
  std::deque<std::string> waiting_;           // peers that shall get a snapshot
  int64_t budget_bytes_;                      // may go below 0 by one snapshot
  int64_t refilled_ms_ = 0;
};

}  // namespace weir::control::publish
