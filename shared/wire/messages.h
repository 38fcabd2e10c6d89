// SPDX-License-Identifier: Apache-2.0
// The bodies of the wire's messages, their encoding and their limits. `Encode` makes a whole frame,
// `Decode` a body of a frame that DecodeFrame took apart. WIRE.md says who sends what when.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/fields.h"
#include "shared/codec/msgpack.h"
#include "shared/domain/snapshot.h"
#include "shared/wire/frame.h"

namespace weir::wire {

// control → nodes, cfg
// -----------------------------------------------------------------------------

// One entry as published; an absent body means that the entry is removed.
struct EntryChange {
  uint32_t kind = 0;  // domain::EntryKind
  std::string name;
  codec::Bytes body;  // msgpack of the domain entry; empty: removed
};

// header.version is the new snapshot version.
struct Delta {
  uint64_t base = 0;  // the published version before
  std::vector<EntryChange> changes;
  codec::Bytes digest;  // of the set after the change, 32 bytes
  domain::EmergencyOverlay emergency;
};

struct SnapshotBody {
  std::vector<EntryChange> entries;
  codec::Bytes digest;
  domain::EmergencyOverlay emergency;
};

struct Beacon {
  uint64_t head = 0;
  codec::Bytes digest;
  uint64_t oldest_delta = 0;  // the oldest version a delta can be served from; 0: none
  domain::EmergencyOverlay emergency;
  codec::Bytes audit_head{};  // of the audit's hash chain, 32 bytes
  uint64_t audit_rows = 0;    // how many rows lead to it
};

struct EmergencyMessage {
  domain::EmergencyOverlay emergency;
};

// node → control, session
// --------------------------------------------------------------------------

// What a node of a later version can do, in HELLO's `features`.
inline constexpr uint64_t kCanCordon = 1;

struct Hello {
  std::string node;
  uint64_t incarnation = 0;  // wall milliseconds of the node's start
  uint32_t min_major = kMajor;
  uint32_t max_major = kMajor;
  std::string program;  // version of weir-node
  domain::Labels labels;
  uint64_t have_epoch = 0;
  uint64_t have_version = 0;
  codec::Bytes have_digest;
  uint64_t oldest_unacked = 0;  // the first batch that may still be resent; 0: none was sent yet
  int64_t monotonic_ms = 0;
  std::string http;   // "127.0.0.1:8080"
  std::string admin;  // "127.0.0.1:9090"
  uint64_t features = 0;
};

struct SnapshotRequest {
  uint64_t have_epoch = 0;
  uint64_t have_version = 0;
};

struct RefusedEntry {
  uint32_t kind = 0;
  std::string name;
  std::string code;  // CodeName
  std::string detail;
};

// header.epoch and .version say what every worker of the node has taken.
struct Applied {
  std::vector<RefusedEntry> refused;  // all that stand refused now, not only the new ones
  uint64_t incarnation = 0;           // the life of the node that says so; 0: a 1.0 node's
};

struct VersionReport {
  std::string model;
  std::string version;
  std::string state;   // LOADING, READY, FAILED, UNLOADING
  std::string detail;  // why FAILED
};

// What a node did by itself for a while; an audit asks for it later.
struct Episode {
  std::string kind{};     // breaker, unwatched, override
  std::string subject{};  // "model/fraud_detection/1.1.0", a rollout, a flag
  int64_t from_wall_ms = 0;
  int64_t to_wall_ms = 0;  // 0: going on
  std::string detail{};
  bool operator==(const Episode&) const = default;
};

struct NodeReport {
  bool draining = false;
  std::vector<VersionReport> versions{};
  std::vector<std::string> overrides{};  // what an operator forced on this node, one sentence each
  std::vector<Episode> episodes{};       // the last ones of this process, at most kMaxEpisodes
  bool cordoned = false;                 // the control plane said so, and it is unready
  uint64_t incarnation = 0;              // as in Applied
  static constexpr size_t kMaxEpisodes = 32;
};

// The end of the audit's chain as a node last heard it in an epoch.
struct HeardHead {
  uint64_t epoch = 0;
  uint64_t rows = 0;
  codec::Bytes head{};
  bool operator==(const HeardHead&) const = default;
};

// What a node counts of its own telemetry, since its start.
struct Delivery {
  uint64_t sent = 0;     // batches that got a number
  uint64_t unacked = 0;  // of them, not acknowledged yet
  uint64_t merged = 0;   // windows that joined one which waited already
  bool operator==(const Delivery&) const = default;
};

// Both ways: the node asks every second, the control plane answers with the same fields.
struct Heartbeat {
  int64_t monotonic_ms = 0;  // the node's
  uint64_t pending_batches = 0;
  std::optional<Delivery> delivery{};
  uint64_t open_requests = 0;      // of applications, being answered now
  int64_t quiet_ms = 0;            // since the last one was answered
  std::vector<HeardHead> heard{};  // of the last two epochs
  uint64_t resident_bytes = 0;     // of the process; 0: unknown
};

struct Goodbye {
  std::string reason;
  std::optional<Delivery> delivery{};
  uint64_t incarnation = 0;  // as in Applied
};

// control → node, session
// --------------------------------------------------------------------------

struct Welcome {
  std::string program;
  uint64_t committed = 0;  // the last batch of this incarnation that is stored
  bool cordoned = false;   // the node shall take no traffic
  std::string cordon_reason{};
};

// What a node shall be from now on; after a restart WELCOME says it again.
struct Command {
  bool cordoned = false;
  std::string reason;
};

struct Refused {
  std::string reason;
};

// The same control plane is at another place too, under its next key: come over. It is believed
// because it came under the key that the node knows.
struct Move {
  std::string server_key;  // z85
  std::string cfg;         // "tcp://127.0.0.1:43211"
  std::string session;
  std::string telemetry;
};

struct BatchAck {
  uint64_t incarnation = 0;
  uint64_t committed = 0;  // every batch up to here is stored
};

// node → control, telemetry
// ------------------------------------------------------------------------

struct OutcomeSum {
  std::string metric{};
  uint64_t n = 0;
  double sum = 0;
  double sum_squares = 0;
};

struct Series {
  std::string subject{};  // "model/fraud_detection"
  std::string version{};
  std::string arm{};  // stable, canary, shadow, pinned
  std::map<std::string, uint64_t> counters{};
  std::vector<int64_t> latency_buckets{};  // index, count, index, count, … ascending
  std::vector<double> latency_digest{};    // mean, weight, mean, weight, … ascending
  std::vector<uint32_t> bad_keys{};        // hashes of a few keys whose requests were bad
  std::vector<double> output_digest{};     // mean, weight, … of the answers' first numbers
  std::vector<OutcomeSum> outcomes{};
  std::vector<double> queue_digest{};  // mean, weight, … of what answered requests waited, ms
  std::vector<double> ttft_digest{};   // the same of the times to their first tokens
};

// One decision on a flag, of those that a node picked out within its budget.
struct DecisionSample {
  std::string flag;
  std::string key;      // a salted hash of it, unless keys are to be shown
  std::string outcome;  // "on", "off", or the variant
  std::string reason;   // decision::ReasonName
  int64_t at_wall_ms = 0;
};

struct Batch {
  std::string node{};
  uint64_t incarnation = 0;
  uint64_t seq = 0;
  int64_t window_start_ms = 0;  // the node's monotonic time
  int64_t window_end_ms = 0;
  std::vector<Series> series{};
  std::vector<DecisionSample> decisions{};
};

// Descriptions
// -------------------------------------------------------------------------------------

template <class V>
void Describe(V& v, EntryChange& f) {
  v(2, "kind", f.kind);
  v(4, "name", f.name);
  v(6, "body", f.body);
}
template <class V>
void Describe(V& v, Delta& f) {
  v(2, "base", f.base);
  v(4, "changes", f.changes, codec::MaxItems(1'000'000));
  v(6, "digest", f.digest);
  v(8, "emergency", f.emergency);
}
template <class V>
void Describe(V& v, SnapshotBody& f) {
  v(2, "entries", f.entries, codec::MaxItems(1'000'000));
  v(4, "digest", f.digest);
  v(6, "emergency", f.emergency);
}
template <class V>
void Describe(V& v, Beacon& f) {
  v(2, "head", f.head);
  v(4, "digest", f.digest);
  v(6, "oldest_delta", f.oldest_delta);
  v(8, "emergency", f.emergency);
  v(1, "audit_head", f.audit_head);
  v(3, "audit_rows", f.audit_rows);
}
template <class V>
void Describe(V& v, EmergencyMessage& f) {
  v(2, "emergency", f.emergency);
}
template <class V>
void Describe(V& v, Hello& f) {
  v(2, "node", f.node);
  v(4, "incarnation", f.incarnation);
  v(6, "min_major", f.min_major);
  v(8, "max_major", f.max_major);
  v(1, "program", f.program);
  v(10, "labels", f.labels);
  v(12, "have_epoch", f.have_epoch);
  v(14, "have_version", f.have_version);
  v(16, "have_digest", f.have_digest);
  v(18, "oldest_unacked", f.oldest_unacked);
  v(20, "monotonic_ms", f.monotonic_ms);
  v(3, "http", f.http);
  v(5, "admin", f.admin);
  v(7, "features", f.features);
}
template <class V>
void Describe(V& v, SnapshotRequest& f) {
  v(2, "have_epoch", f.have_epoch);
  v(4, "have_version", f.have_version);
}
template <class V>
void Describe(V& v, RefusedEntry& f) {
  v(2, "kind", f.kind);
  v(4, "name", f.name);
  v(1, "code", f.code);
  v(3, "detail", f.detail);
}
template <class V>
void Describe(V& v, Applied& f) {
  v(2, "refused", f.refused);
  v(1, "incarnation", f.incarnation);
}
template <class V>
void Describe(V& v, VersionReport& f) {
  v(2, "model", f.model);
  v(4, "version", f.version);
  v(6, "state", f.state);
  v(1, "detail", f.detail);
}
template <class V>
void Describe(V& v, Episode& f) {
  v(2, "kind", f.kind);
  v(4, "subject", f.subject);
  v(6, "from_wall_ms", f.from_wall_ms);
  v(8, "to_wall_ms", f.to_wall_ms);
  v(1, "detail", f.detail);
}
template <class V>
void Describe(V& v, NodeReport& f) {
  v(2, "draining", f.draining);
  v(4, "versions", f.versions);
  v(1, "overrides", f.overrides);
  v(3, "episodes", f.episodes);
  v(5, "cordoned", f.cordoned);
  v(7, "incarnation", f.incarnation);
}
template <class V>
void Describe(V& v, DecisionSample& f) {
  v(2, "flag", f.flag);
  v(4, "key", f.key);
  v(6, "outcome", f.outcome);
  v(8, "reason", f.reason);
  v(10, "at_wall_ms", f.at_wall_ms);
}
template <class V>
void Describe(V& v, HeardHead& f) {
  v(2, "epoch", f.epoch);
  v(4, "rows", f.rows);
  v(6, "head", f.head);
}
template <class V>
void Describe(V& v, Delivery& f) {
  v(2, "sent", f.sent);
  v(4, "unacked", f.unacked);
  v(6, "merged", f.merged);
}
template <class V>
void Describe(V& v, Heartbeat& f) {
  v(2, "monotonic_ms", f.monotonic_ms);
  v(1, "pending_batches", f.pending_batches);
  v(3, "delivery", f.delivery);
  v(5, "open_requests", f.open_requests);
  v(7, "quiet_ms", f.quiet_ms);
  v(9, "heard", f.heard);
  v(11, "resident_bytes", f.resident_bytes);
}
template <class V>
void Describe(V& v, Goodbye& f) {
  v(1, "reason", f.reason);
  v(3, "delivery", f.delivery);
  v(5, "incarnation", f.incarnation);
}
template <class V>
void Describe(V& v, Command& f) {
  v(2, "cordoned", f.cordoned);
  v(1, "reason", f.reason);
}
template <class V>
void Describe(V& v, Welcome& f) {
  v(1, "program", f.program);
  v(2, "committed", f.committed);
  v(3, "cordoned", f.cordoned);
  v(5, "cordon_reason", f.cordon_reason);
}
template <class V>
void Describe(V& v, Refused& f) {
  v(1, "reason", f.reason);
}
template <class V>
void Describe(V& v, Move& f) {
  v(2, "server_key", f.server_key);
  v(4, "cfg", f.cfg);
  v(6, "session", f.session);
  v(8, "telemetry", f.telemetry);
}
template <class V>
void Describe(V& v, BatchAck& f) {
  v(2, "incarnation", f.incarnation);
  v(4, "committed", f.committed);
}
template <class V>
void Describe(V& v, OutcomeSum& f) {
  v(2, "metric", f.metric);
  v(4, "n", f.n);
  v(6, "sum", f.sum);
  v(8, "sum_squares", f.sum_squares);
}
template <class V>
void Describe(V& v, Series& f) {
  v(2, "subject", f.subject);
  v(4, "version", f.version);
  v(6, "arm", f.arm);
  v(8, "counters", f.counters);
  v(10, "latency_buckets", f.latency_buckets);
  v(12, "latency_digest", f.latency_digest);
  v(1, "bad_keys", f.bad_keys);
  v(3, "output_digest", f.output_digest);
  v(5, "outcomes", f.outcomes);
  v(7, "queue_digest", f.queue_digest);
  v(9, "ttft_digest", f.ttft_digest);
}
template <class V>
void Describe(V& v, Batch& f) {
  v(2, "node", f.node);
  v(4, "incarnation", f.incarnation);
  v(6, "seq", f.seq);
  v(8, "window_start_ms", f.window_start_ms);
  v(10, "window_end_ms", f.window_end_ms);
  v(12, "series", f.series);
  v(1, "decisions", f.decisions);
}

// The message as one frame; header.type must be the body's.
template <class Body>
std::string Encode(const Header& header, const Body& body) {
  return EncodeFrame(header, codec::ToMsgpack(body));
}
template <class Body>
Result<Body> Decode(const Frame& frame) {
  return codec::FromMsgpack<Body>(frame.body);
}

}  // namespace weir::wire
