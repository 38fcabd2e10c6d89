// SPDX-License-Identifier: Apache-2.0
#include "controlplane/store/schema.h"

namespace weir::control::store {
namespace {

constexpr const char* kMigrations[] = {
    // 1: resources, their history, the audit, epochs and node keys.
    R"sql(
CREATE TABLE resources (
  kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL, revision INTEGER NOT NULL,
  PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE revisions (
  number INTEGER PRIMARY KEY, at_wall_ms INTEGER NOT NULL, actor TEXT NOT NULL,
  reason TEXT NOT NULL, evidence TEXT NOT NULL);
CREATE TABLE changes (
  revision INTEGER NOT NULL REFERENCES revisions (number), position INTEGER NOT NULL,
  kind TEXT NOT NULL, name TEXT NOT NULL, action TEXT NOT NULL, before TEXT NOT NULL,
  after TEXT NOT NULL, PRIMARY KEY (revision, position));
CREATE INDEX changes_of_resource ON changes (kind, name, revision);
CREATE TABLE sources (
  source TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (source, kind, name)) WITHOUT ROWID;
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, at_wall_ms INTEGER NOT NULL, actor TEXT NOT NULL,
  action TEXT NOT NULL, detail TEXT NOT NULL, hash BLOB NOT NULL);
CREATE TABLE node_keys (
  node TEXT PRIMARY KEY, public_key TEXT NOT NULL UNIQUE, enrolled_wall_ms INTEGER NOT NULL,
  revoked INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE enroll_tokens (
  hash TEXT PRIMARY KEY, created_wall_ms INTEGER NOT NULL, expires_wall_ms INTEGER NOT NULL,
  used_by TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
)sql",
    // 2: telemetry: how far it is stored, what runs on it, its windows.
    R"sql(
CREATE TABLE high_waters (
  node TEXT NOT NULL, incarnation INTEGER NOT NULL, committed INTEGER NOT NULL,
  declared_lost INTEGER NOT NULL, counted INTEGER NOT NULL,
  PRIMARY KEY (node, incarnation)) WITHOUT ROWID;
CREATE TABLE states (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE windows (
  resolution_ms INTEGER NOT NULL, start_wall_ms INTEGER NOT NULL, subject TEXT NOT NULL,
  version TEXT NOT NULL, arm TEXT NOT NULL, counters BLOB NOT NULL,
  PRIMARY KEY (resolution_ms, start_wall_ms, subject, version, arm)) WITHOUT ROWID;
)sql",
    // 3: what nodes had in force and did by themselves, for the audit.
    R"sql(
CREATE TABLE applied (
  node TEXT NOT NULL, at_wall_ms INTEGER NOT NULL, epoch INTEGER NOT NULL,
  version INTEGER NOT NULL, refused TEXT NOT NULL, labels TEXT NOT NULL,
  PRIMARY KEY (node, at_wall_ms, epoch, version)) WITHOUT ROWID;
CREATE TABLE episodes (
  node TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, from_wall_ms INTEGER NOT NULL,
  to_wall_ms INTEGER NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (node, kind, subject, from_wall_ms)) WITHOUT ROWID;
CREATE INDEX episodes_by_time ON episodes (from_wall_ms);
CREATE INDEX revisions_by_time ON revisions (at_wall_ms);
)sql",
    // 4: what nodes say they sent, and which of them shall take no traffic.
    R"sql(
CREATE TABLE reported (
  node TEXT NOT NULL, incarnation INTEGER NOT NULL, sent INTEGER NOT NULL,
  unacked INTEGER NOT NULL, merged INTEGER NOT NULL, ended INTEGER NOT NULL,
  PRIMARY KEY (node, incarnation)) WITHOUT ROWID;
CREATE TABLE cordons (
  node TEXT PRIMARY KEY, since_wall_ms INTEGER NOT NULL, actor TEXT NOT NULL,
  reason TEXT NOT NULL) WITHOUT ROWID;
)sql",
    // 5: alerts, open and closed.
    R"sql(
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY, policy TEXT NOT NULL, slo TEXT NOT NULL, model TEXT NOT NULL,
  version TEXT NOT NULL, state TEXT NOT NULL, severity TEXT NOT NULL, worst TEXT NOT NULL,
  summary TEXT NOT NULL, runbook_url TEXT NOT NULL, value REAL NOT NULL, threshold REAL NOT NULL,
  started_wall_ms INTEGER NOT NULL, unattended_wall_ms INTEGER NOT NULL,
  acknowledged_wall_ms INTEGER NOT NULL, acknowledged_by TEXT NOT NULL, reason TEXT NOT NULL,
  silenced_by TEXT NOT NULL, resolved_wall_ms INTEGER NOT NULL, told_count INTEGER NOT NULL,
  told TEXT NOT NULL);
CREATE INDEX alerts_by_end ON alerts (resolved_wall_ms);
)sql",
    // 6: what sinks have not been told yet.
    R"sql(
CREATE TABLE notices (
  number INTEGER PRIMARY KEY, sink TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
  at_wall_ms INTEGER NOT NULL, queued_wall_ms INTEGER NOT NULL, data TEXT NOT NULL);
)sql",
};

}  // namespace

std::span<const char* const> Migrations() { return kMigrations; }

}  // namespace weir::control::store
