// SPDX-License-Identifier: Apache-2.0
#include "controlplane/store/store.h"

#include <fmt/format.h>

#include <algorithm>

#include "controlplane/store/connection.h"
#include "controlplane/store/schema.h"
#include "shared/base/crash_point.h"

namespace weir::control::store {
namespace {

RevisionRow ReadRevision(Query& query) {
  return {.revision = query.Unsigned(0),
          .at_wall_ms = query.Number(1),
          .actor = query.Text(2),
          .reason = query.Text(3),
          .evidence = query.Text(4),
          .changes = {}};
}

void ReadChanges(Query& query, RevisionRow& into) {
  while (query.Step()) {
    into.changes.push_back({.kind = query.Text(0),
                            .name = query.Text(1),
                            .action = query.Text(2),
                            .before = query.Text(3),
                            .after = query.Text(4)});
  }
}

}  // namespace

Store::Store(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const std::string& data_dir, const Clock& clock) {
  WEIR_ASSIGN_OR_RETURN(auto connection, Connection::Open(data_dir, clock));
  return std::unique_ptr<Store>(new Store(std::move(connection)));
}

Result<std::unique_ptr<Store>> Store::OpenReadOnly(const std::string& file, const Clock& clock) {
  WEIR_ASSIGN_OR_RETURN(auto connection, Connection::OpenReadOnly(file, clock));
  return std::unique_ptr<Store>(new Store(std::move(connection)));
}

int64_t Store::KnownSchema() { return static_cast<int64_t>(Migrations().size()); }

Result<int64_t> Store::Schema() {
  int64_t version = 0;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    version = connection_->Pragma("PRAGMA user_version");
    return OkStatus();
  }));
  return version;
}

const std::string& Store::data_dir() const { return connection_->data_dir(); }
uint64_t Store::last_revision() const { return connection_->last_revision(); }

// Writing
// ------------------------------------------------------------------------------------------------

namespace {

template <class C>
void WriteSources(C& db, const std::vector<SourceRow>& sources) {
  for (const SourceRow& row : sources) {
    if (row.document.empty()) {
      db.Prepare("DELETE FROM sources WHERE source = ? AND kind = ? AND name = ?")
          .Bind(row.source)
          .Bind(row.kind)
          .Bind(row.name)
          .Run();
    } else {
      db.Prepare("REPLACE INTO sources VALUES (?, ?, ?, ?)")
          .Bind(row.source)
          .Bind(row.kind)
          .Bind(row.name)
          .Bind(row.document)
          .Run();
    }
  }
}

template <class C>
void WriteChange(C& db, uint64_t revision, int64_t position, const ChangeRow& change) {
  db.Prepare("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?)")
      .Bind(revision)
      .Bind(position)
      .Bind(change.kind)
      .Bind(change.name)
      .Bind(change.action)
      .Bind(change.before)
      .Bind(change.after)
      .Run();
  if (change.after.empty()) {
    db.Prepare("DELETE FROM resources WHERE kind = ? AND name = ?")
        .Bind(change.kind)
        .Bind(change.name)
        .Run();
  } else {
    db.Prepare("REPLACE INTO resources VALUES (?, ?, ?, ?)")
        .Bind(change.kind)
        .Bind(change.name)
        .Bind(change.after)
        .Bind(revision)
        .Run();
  }
}

}  // namespace

Result<uint64_t> Store::CommitRevision(const RevisionRecord& record) {
  Connection& db = *connection_;
  const RevisionRow row{.revision = db.last_revision() + 1,
                        .at_wall_ms = record.at_wall_ms,
                        .actor = record.actor,
                        .reason = record.reason,
                        .evidence = record.evidence,
                        .changes = record.changes};
  WEIR_RETURN_IF_ERROR(db.Write([&] {
    db.Prepare("INSERT INTO revisions VALUES (?, ?, ?, ?, ?)")
        .Bind(row.revision)
        .Bind(row.at_wall_ms)
        .Bind(row.actor)
        .Bind(row.reason)
        .Bind(row.evidence)
        .Run();
    int64_t position = 0;
    for (const ChangeRow& change : row.changes) WriteChange(db, row.revision, position++, change);
    WriteSources(db, record.sources);
    db.Audit(row.at_wall_ms, row.actor, "commit", CommitDetail(row));
    CrashPoint("store.before_commit");
    return OkStatus();
  }));
  CrashPoint("store.after_commit");
  db.set_last_revision(row.revision);
  return row.revision;
}

Status Store::SaveSources(const std::vector<SourceRow>& sources) {
  return connection_->Write([&] {
    WriteSources(*connection_, sources);
    return OkStatus();
  });
}

// Reading
// ------------------------------------------------------------------------------------------------

Result<std::vector<ResourceRow>> Store::LoadResources() {
  std::vector<ResourceRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT kind, name, document, revision FROM resources ORDER BY kind, name");
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Text(1), query.Text(2), query.Unsigned(3)});
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<SourceRow>> Store::LoadSource(const std::string& source) {
  std::vector<SourceRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT source, kind, name, document FROM sources WHERE source = ? ORDER BY kind, name");
    query.Bind(source);
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Text(1), query.Text(2), query.Text(3)});
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<RevisionRow>> Store::History(const HistoryFilter& filter) {
  std::vector<RevisionRow> rows;
  const uint64_t before = filter.before == 0 ? INT64_MAX : filter.before;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    {
      // The two questions are separate so that each walks its index.
      Query query = connection_->Prepare(
          filter.kind.empty() ? "SELECT number, at_wall_ms, actor, reason, evidence FROM revisions "
                                "WHERE number < ? ORDER BY number DESC LIMIT ?"
          : filter.name.empty()
              ? "SELECT number, at_wall_ms, actor, reason, evidence FROM revisions "
                "WHERE number < ?1 AND EXISTS (SELECT 1 FROM changes WHERE revision = number "
                "AND kind = ?3) ORDER BY number DESC LIMIT ?2"
              : "SELECT number, at_wall_ms, actor, reason, evidence FROM changes JOIN revisions "
                "ON number = revision WHERE revision < ?1 AND kind = ?3 AND name = ?4 "
                "ORDER BY revision DESC LIMIT ?2");
      query.Bind(before).Bind(int64_t{std::clamp(filter.limit, 1, 1000)});
      if (!filter.kind.empty()) query.Bind(filter.kind);
      if (!filter.kind.empty() && !filter.name.empty()) query.Bind(filter.name);
      while (query.Step()) rows.push_back(ReadRevision(query));
    }
    for (RevisionRow& row : rows) {
      Query query = connection_->Prepare(
          "SELECT kind, name, action, before, after FROM changes WHERE revision = ?1 "
          "AND (?2 = '' OR kind = ?2) AND (?3 = '' OR name = ?3) ORDER BY position");
      query.Bind(row.revision).Bind(filter.kind).Bind(filter.name);
      ReadChanges(query, row);
    }
    return OkStatus();
  }));
  return rows;
}

Result<RevisionRow> Store::Revision(uint64_t revision) {
  RevisionRow row;
  WEIR_RETURN_IF_ERROR(connection_->Read([&]() -> Status {
    Query query = connection_->Prepare(
        "SELECT number, at_wall_ms, actor, reason, evidence FROM revisions WHERE number = ?");
    if (!query.Bind(revision).Step()) {
      return NotFound(fmt::format("there is no revision {}; the head is {}", revision,
                                  connection_->last_revision()));
    }
    row = ReadRevision(query);
    Query changes = connection_->Prepare(
        "SELECT kind, name, action, before, after FROM changes WHERE revision = ? "
        "ORDER BY position");
    changes.Bind(revision);
    ReadChanges(changes, row);
    return OkStatus();
  }));
  return row;
}

Result<std::optional<std::string>> Store::ResourceAt(const std::string& kind,
                                                     const std::string& name, uint64_t revision) {
  std::optional<std::string> document;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT after FROM changes WHERE kind = ? AND name = ? AND revision <= ? "
        "ORDER BY revision DESC LIMIT 1");
    if (query.Bind(kind).Bind(name).Bind(revision).Step() && !query.Text(0).empty()) {
      document = query.Text(0);
    }
    return OkStatus();
  }));
  return document;
}

Status Store::Backup(const std::string& path, const Progress& progress) {
  return connection_->Backup(path, progress);
}

}  // namespace weir::control::store
