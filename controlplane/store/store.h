// SPDX-License-Identifier: Apache-2.0
// The control plane's state: one SQLite file, weir.db, in the data directory (WAL, FULL
// synchronous, every write in a BEGIN IMMEDIATE transaction). Open and every function belong to
// the core thread: this is the only connection that writes or checkpoints. What a function that
// writes has returned OkStatus for survives a crash of the process or the machine; on an error
// nothing of it is stored.
//
// Errors everywhere: ResourceExhausted when the disk is full, Unavailable when the file is busy or
// cannot be read or written, DataLoss when it is damaged; each names the file.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/store/records.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"

namespace weir::control::store {

class Store {
 public:
  // Makes the directory (0700) and the file (0600) where they are missing, locks the directory
  // against a second control plane, checks the file and brings an older schema up to date, after a
  // backup to weir.db.v<N>.<time>.bak beside it. FailedPrecondition when another control plane has
  // the directory, or when the file belongs to a newer program or to another one; DataLoss when it
  // is damaged. The clock (for backup names and the audit) outlives the store.
  static Result<std::unique_ptr<Store>> Open(const std::string& data_dir, const Clock& clock);
  // A second look at a file, also while a control plane uses it: only what reads and Backup. It
  // belongs to the thread that opens it, neither writes nor checkpoints, and holds up no commit.
  // FailedPrecondition and DataLoss as Open; NotFound when there is no such file.
  static Result<std::unique_ptr<Store>> OpenReadOnly(const std::string& file, const Clock& clock);
  // The schema that this program makes, and the one of this file.
  static int64_t KnownSchema();
  Result<int64_t> Schema();
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  const std::string& data_dir() const;

  // Resources and their history
  // --------------------------------------------------------------------------

  // The head; 0 before the first commit.
  uint64_t last_revision() const;
  // Resources, one revision, its changes, what sources applied, and the audit row, in one
  // transaction. Returns the number of the new revision: last_revision() + 1.
  Result<uint64_t> CommitRevision(const RevisionRecord& record);
  // Only what sources applied, when an apply changed nothing.
  Status SaveSources(const std::vector<SourceRow>& sources);
  // In order of kind and name.
  Result<std::vector<ResourceRow>> LoadResources();
  // Everything that `source` applied and that is not forgotten.
  Result<std::vector<SourceRow>> LoadSource(const std::string& source);
  // Newest first. With a kind (and a name), only revisions that changed it, and only those changes.
  Result<std::vector<RevisionRow>> History(const HistoryFilter& filter);
  // NotFound when there was no such revision.
  Result<RevisionRow> Revision(uint64_t revision);
  // The last revision at or before a moment; 0: there was none.
  Result<uint64_t> RevisionAt(int64_t at_wall_ms);
  // The resources of `kinds` as they stood after `revision`, in the order of the kinds, by name.
  Result<std::vector<ResourceRow>> ResourcesAt(uint64_t revision,
                                               const std::vector<std::string>& kinds);
  // The document as it stood after `revision`; absent when it did not exist then.
  Result<std::optional<std::string>> ResourceAt(const std::string& kind, const std::string& name,
                                                uint64_t revision);

  // Audit
  // --------------------------------------------------------------------------

  // A row for what happened beside commits: who did what to whom.
  Status AddAudit(const std::string& actor, const std::string& action, const std::string& detail);
  Result<AuditHead> GetAuditHead();
  // Recomputes the audit's hash chain over all that was committed, from one moment's state, notes
  // the hashes of the rows in `wanted`, and looks for the row whose hash is `expected` (raw). The
  // first row that does not fit is in the answer: something was changed behind the program's back.
  Result<AuditCheck> CheckAudit(const std::set<int64_t>& wanted = {},
                                const std::string& expected = "");
  // The same as a status: DataLoss names what does not fit.
  Status VerifyAudit();

  // Leading
  // --------------------------------------------------------------------------

  // max(stored + 1, wall seconds), stored before it is returned. Once per start.
  Result<uint64_t> NextEpoch(int64_t wall_seconds);

  // Telemetry and running state
  // --------------------------------------------------------------------------

  // One transaction; afterwards the batches up to each high water may be acknowledged.
  Status CommitTelemetry(const TelemetryRecord& record);
  Result<std::vector<HighWaterRow>> LoadHighWaters();
  // In order of node and incarnation.
  Result<std::vector<ReportedRow>> LoadReported();
  // States whose name starts with `prefix`, by name.
  Result<std::map<std::string, std::string>> LoadStates(const std::string& prefix);
  // In order of subject, version, arm and start.
  Result<std::vector<WindowRow>> ReadWindows(const WindowFilter& filter);
  // Deletes the windows of a resolution that start before a moment; returns how many.
  Result<uint64_t> PruneWindows(int64_t resolution_ms, int64_t before_wall_ms);

  // What nodes had in force
  // --------------------------------------------------------------------------

  // Of one node ("": of all): the last one before `from`, then those before `to`, by node and time.
  Result<std::vector<AppliedRow>> ReadApplied(const std::string& node, int64_t from_wall_ms,
                                              int64_t to_wall_ms);
  // Those that touch [from, to), by node and time.
  Result<std::vector<EpisodeRow>> ReadEpisodes(const std::string& node, int64_t from_wall_ms,
                                               int64_t to_wall_ms);
  // Forgets what ended before a moment; of each node the last version applied before it stays.
  Status PruneTrail(int64_t before_wall_ms);

  // Nodes
  // --------------------------------------------------------------------------

  // Adds or replaces a node's key, and uses up the enrolment token if one is given, in one
  // transaction with its audit row. FailedPrecondition when the token is used or expired, or
  // when the node is revoked and does not bring both a token and another key; NotFound when the
  // token is unknown, AlreadyExists when another node has the key.
  Status EnrollNode(const NodeKeyRow& node, const std::string& token_hash = "");
  Result<std::vector<NodeKeyRow>> NodeKeys();
  // NotFound when there is no such node.
  Status RevokeNode(const std::string& node, const std::string& actor,
                    const std::string& reason = "");
  Status AddEnrollToken(const EnrollTokenRow& token, const std::string& actor = "api");
  Result<std::vector<EnrollTokenRow>> EnrollTokens();

  // With its audit row; replaces an earlier one.
  Status Cordon(const CordonRow& cordon);
  // NotFound when the node is not cordoned.
  Status Uncordon(const std::string& node, const std::string& actor, const std::string& reason);
  Result<std::vector<CordonRow>> Cordons();

  // Alerts
  // --------------------------------------------------------------------------

  // All of them, in one transaction.
  Status SaveAlerts(const std::vector<AlertRow>& alerts);
  // In order of their ids.
  Result<std::vector<AlertRow>> OpenAlerts();
  // The last that ended first.
  Result<std::vector<AlertRow>> ClosedAlerts(const AlertFilter& filter);
  // NotFound when there is none.
  Result<AlertRow> Alert(uint64_t id);
  // 0: there was none yet, or all are forgotten.
  Result<uint64_t> LastAlert();
  // Forgets those that ended before a moment.
  Status PruneAlerts(int64_t before_wall_ms);

  // Notices
  // --------------------------------------------------------------------------

  // Those that wait from now on, and the numbers of those that need not any more, in one
  // transaction. Writing one that exists replaces it.
  Status SaveNotices(const std::vector<NoticeRow>& waiting, const std::vector<uint64_t>& done);
  // In order of their numbers.
  Result<std::vector<NoticeRow>> WaitingNotices();

  // Small things by name
  // --------------------------------------------------------------------------

  Result<std::optional<std::string>> GetMeta(const std::string& key);
  Status SetMeta(const std::string& key, const std::string& value);

  // The epoch of the last start; 0: none.
  Result<uint64_t> Epoch();

  // A consistent copy while running, as one file. AlreadyExists when `path` is there. `progress` is
  // told of bytes, now and then.
  using Progress = std::function<void(uint64_t done, uint64_t total)>;
  Status Backup(const std::string& path, const Progress& progress = {});

 private:
  class Connection;
  explicit Store(std::unique_ptr<Connection> connection);
  std::unique_ptr<Connection> connection_;
};

}  // namespace weir::control::store
