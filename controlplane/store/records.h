// SPDX-License-Identifier: Apache-2.0
// What the store keeps, as plain values. Kinds and documents are text to it: the catalog knows what
// they mean. Times are wall milliseconds since the Unix epoch.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::control::store {

struct ResourceRow {
  std::string kind;  // "Flag"
  std::string name;
  std::string document;  // JSON
  uint64_t revision = 0;
};

struct ChangeRow {
  std::string kind;
  std::string name;
  std::string action;  // created, updated, deleted
  std::string before;  // JSON documents; empty: there was none
  std::string after;
};

// What one source (a file, say) last applied to one resource; the base of a three-way apply.
struct SourceRow {
  std::string source;
  std::string kind;
  std::string name;
  std::string document;  // JSON; empty when written: forget it
};

// One commit, before it has a number.
struct RevisionRecord {
  int64_t at_wall_ms = 0;
  std::string actor;
  std::string reason;
  std::string evidence;  // JSON; empty: none
  std::vector<ChangeRow> changes;
  std::vector<SourceRow> sources;
};

struct RevisionRow {
  uint64_t revision = 0;
  int64_t at_wall_ms = 0;
  std::string actor;
  std::string reason;
  std::string evidence;
  std::vector<ChangeRow> changes;
};

struct HistoryFilter {
  std::string kind;  // empty: all
  std::string name;
  uint64_t before = 0;  // revisions below this one; 0: from the head
  int limit = 50;       // revisions; 1..1000
};

// How far the telemetry of one life of a node is stored.
struct HighWaterRow {
  std::string node;
  uint64_t incarnation = 0;
  uint64_t committed = 0;      // every batch up to here is stored
  uint64_t declared_lost = 0;  // batches that the node said it dropped
  uint64_t counted = 0;        // batches that were counted
};

// What a node itself says of one of its lives. Writing one that exists replaces it.
struct ReportedRow {
  std::string node;
  uint64_t incarnation = 0;
  uint64_t sent = 0;     // batches that it gave a number
  uint64_t unacked = 0;  // of them, without an acknowledgement
  uint64_t merged = 0;   // windows that joined one which waited already
  bool ended = false;    // it said goodbye
};

// The state of something that runs: "detector/fraud-1-1-0" → its bytes.
struct StateRow {
  std::string name;
  std::string value;  // empty when written: forget it
};

// One window of telemetry history. Writing one that exists replaces it.
struct WindowRow {
  std::string subject;  // "model/fraud_detection"
  std::string version;
  std::string arm;
  int64_t resolution_ms = 0;
  int64_t start_wall_ms = 0;
  std::string counters;  // opaque
};

struct WindowFilter {
  std::string subject;  // empty: all
  int64_t resolution_ms = 0;
  int64_t from_wall_ms = 0;
  int64_t to_wall_ms = INT64_MAX;  // exclusive
};

// Every worker of the node had this version from then on.
struct AppliedRow {
  std::string node;
  int64_t at_wall_ms = 0;
  uint64_t epoch = 0;
  uint64_t version = 0;
  std::string refused;   // what it kept the last good of: "flag a, split b"; empty: nothing
  std::string labels{};  // its own then, a JSON object; empty: not noted
};

// What a node did by itself for a while. Writing one that exists replaces it.
struct EpisodeRow {
  std::string node;
  std::string kind;     // breaker, unwatched, override
  std::string subject;  // "model/fraud_detection/1.1.0", a rollout, a flag
  int64_t from_wall_ms = 0;
  int64_t to_wall_ms = 0;  // 0: going on, as far as was heard
  std::string detail;
};

struct TelemetryRecord {
  std::vector<HighWaterRow> high_waters{};
  std::vector<StateRow> states{};
  std::vector<WindowRow> windows{};
  std::vector<AppliedRow> applied{};
  std::vector<EpisodeRow> episodes{};
  // Nodes that started anew, with when: what their process before left open ended by then.
  std::vector<std::pair<std::string, int64_t>> restarts{};
  std::vector<ReportedRow> reported{};
};

struct NodeKeyRow {
  std::string node;
  std::string public_key;  // z85
  int64_t enrolled_wall_ms = 0;
  bool revoked = false;
};

// A node that shall take no traffic until it is uncordoned.
struct CordonRow {
  std::string node;
  int64_t since_wall_ms = 0;
  std::string actor;
  std::string reason;
};

// One alert, from its beginning to its end. Writing one that exists replaces it.
struct AlertRow {
  uint64_t id = 0;
  // Who says it of what; of those that are open no two have the same.
  std::string policy;
  std::string slo;
  std::string model;
  std::string version;
  std::string state;     // firing | acknowledged | silenced | resolved
  std::string severity;  // info | warning | high | critical
  std::string worst;     // that it has had
  std::string summary;
  std::string runbook_url;
  double value = 0;
  double threshold = 0;
  int64_t started_wall_ms = 0;
  int64_t unattended_wall_ms = 0;    // since when people should look at it
  int64_t acknowledged_wall_ms = 0;  // 0: it is not
  std::string acknowledged_by;
  std::string reason;  // of the acknowledgement
  std::string silenced_by;
  int64_t resolved_wall_ms = 0;  // 0: it is open
  uint64_t told_count = 0;       // notices about it, to all sinks
  std::string told;              // JSON; which sink knows what
};

struct AlertFilter {
  std::string severity{};  // empty: all
  std::string policy{};
  int limit = 100;  // 1..1000
};

// What one sink is still to be told.
struct NoticeRow {
  uint64_t number = 0;  // in the order of their coming
  std::string sink;
  std::string id;  // of the event; the same at every attempt
  std::string type;
  int64_t at_wall_ms = 0;
  int64_t queued_wall_ms = 0;
  std::string data;  // JSON
};

// Where the audit's hash chain ends.
struct AuditHead {
  int64_t rows = 0;
  std::string hash;  // 32 raw bytes; of no rows, zeros
  bool operator==(const AuditHead&) const = default;
};

struct AuditRow {
  int64_t seq = 0;
  int64_t at_wall_ms = 0;
  std::string actor;
  std::string action;
  std::string detail;
};

// What came of walking the chain.
struct AuditCheck {
  AuditHead head;          // as far as it could be followed
  int64_t broken_row = 0;  // the first that does not fit; 0: none, `problem` may be elsewhere
  std::string problem;     // empty: the chain holds, and the resources are what it says
  std::map<int64_t, std::string> hashes{};  // of the rows that were asked for, raw
  int64_t expected_row = 0;                 // that has the expected hash; 0: none
  std::vector<AuditRow> restores{};         // restored backups are rows too
};

struct EnrollTokenRow {
  std::string hash;  // SHA-256 of the token, hex; the token itself is never stored
  int64_t created_wall_ms = 0;
  int64_t expires_wall_ms = 0;  // 0: never
  std::string used_by;          // node; empty: unused
};

}  // namespace weir::control::store
