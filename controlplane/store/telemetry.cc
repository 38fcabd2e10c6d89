// SPDX-License-Identifier: Apache-2.0
// Telemetry, running state, epochs and small things by name.
#include <algorithm>

#include "controlplane/store/connection.h"
#include "controlplane/store/store.h"

namespace weir::control::store {
namespace {

template <class C>
void WriteHighWater(C& db, const HighWaterRow& row) {
  db.Prepare("REPLACE INTO high_waters VALUES (?, ?, ?, ?, ?)")
      .Bind(row.node)
      .Bind(row.incarnation)
      .Bind(row.committed)
      .Bind(row.declared_lost)
      .Bind(row.counted)
      .Run();
}

template <class C>
void WriteReported(C& db, const ReportedRow& row) {
  db.Prepare("REPLACE INTO reported VALUES (?, ?, ?, ?, ?, ?)")
      .Bind(row.node)
      .Bind(row.incarnation)
      .Bind(row.sent)
      .Bind(row.unacked)
      .Bind(row.merged)
      .Bind(int64_t{row.ended})
      .Run();
}

template <class C>
void WriteState(C& db, const StateRow& row) {
  if (row.value.empty()) {
    db.Prepare("DELETE FROM states WHERE name = ?").Bind(row.name).Run();
  } else {
    db.Prepare("REPLACE INTO states VALUES (?, ?)").Bind(row.name).BindBlob(row.value).Run();
  }
}

template <class C>
void WriteWindow(C& db, const WindowRow& row) {
  db.Prepare("REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?)")
      .Bind(row.resolution_ms)
      .Bind(row.start_wall_ms)
      .Bind(row.subject)
      .Bind(row.version)
      .Bind(row.arm)
      .BindBlob(row.counters)
      .Run();
}

template <class C>
void WriteApplied(C& db, const AppliedRow& row) {
  db.Prepare("REPLACE INTO applied VALUES (?, ?, ?, ?, ?, ?)")
      .Bind(row.node)
      .Bind(row.at_wall_ms)
      .Bind(row.epoch)
      .Bind(row.version)
      .Bind(row.refused)
      .Bind(row.labels)
      .Run();
}

template <class C>
void WriteEpisode(C& db, const EpisodeRow& row) {
  db.Prepare("REPLACE INTO episodes VALUES (?, ?, ?, ?, ?, ?)")
      .Bind(row.node)
      .Bind(row.kind)
      .Bind(row.subject)
      .Bind(row.from_wall_ms)
      .Bind(row.to_wall_ms)
      .Bind(row.detail)
      .Run();
}

}  // namespace

Result<uint64_t> Store::NextEpoch(int64_t wall_seconds) {
  uint64_t epoch = 0;
  WEIR_RETURN_IF_ERROR(connection_->Write([&] {
    uint64_t stored = 0;
    {
      Query query = connection_->Prepare("SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?");
      if (query.Bind("epoch").Step()) stored = query.Unsigned(0);
    }
    epoch = std::max(stored + 1, static_cast<uint64_t>(std::max<int64_t>(wall_seconds, 0)));
    connection_->Prepare("REPLACE INTO meta VALUES (?, ?)").Bind("epoch").Bind(epoch).Run();
    return OkStatus();
  }));
  return epoch;
}

Result<uint64_t> Store::Epoch() {
  uint64_t epoch = 0;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare("SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?");
    if (query.Bind("epoch").Step()) epoch = query.Unsigned(0);
    return OkStatus();
  }));
  return epoch;
}

Status Store::CommitTelemetry(const TelemetryRecord& record) {
  return connection_->Write([&] {
    for (const HighWaterRow& row : record.high_waters) WriteHighWater(*connection_, row);
    for (const ReportedRow& row : record.reported) WriteReported(*connection_, row);
    for (const StateRow& row : record.states) WriteState(*connection_, row);
    for (const WindowRow& row : record.windows) WriteWindow(*connection_, row);
    for (const AppliedRow& row : record.applied) WriteApplied(*connection_, row);
    for (const auto& [node, started_wall_ms] : record.restarts) {
      connection_
          ->Prepare(
              "UPDATE episodes SET to_wall_ms = ?2 "
              "WHERE node = ?1 AND to_wall_ms = 0 AND from_wall_ms < ?2")
          .Bind(node)
          .Bind(started_wall_ms)
          .Run();
    }
    for (const EpisodeRow& row : record.episodes) WriteEpisode(*connection_, row);
    return OkStatus();
  });
}

Result<std::vector<HighWaterRow>> Store::LoadHighWaters() {
  std::vector<HighWaterRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT node, incarnation, committed, declared_lost, counted FROM high_waters "
        "ORDER BY node, incarnation");
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Unsigned(1), query.Unsigned(2), query.Unsigned(3),
                      query.Unsigned(4)});
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<ReportedRow>> Store::LoadReported() {
  std::vector<ReportedRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT node, incarnation, sent, unacked, merged, ended FROM reported "
        "ORDER BY node, incarnation");
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Unsigned(1), query.Unsigned(2), query.Unsigned(3),
                      query.Unsigned(4), query.Number(5) != 0});
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::map<std::string, std::string>> Store::LoadStates(const std::string& prefix) {
  std::map<std::string, std::string> states;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT name, value FROM states WHERE substr(name, 1, length(?1)) = ?1");
    query.Bind(prefix);
    while (query.Step()) states[query.Text(0)] = query.Text(1);
    return OkStatus();
  }));
  return states;
}

Result<std::vector<WindowRow>> Store::ReadWindows(const WindowFilter& filter) {
  std::vector<WindowRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT subject, version, arm, resolution_ms, start_wall_ms, counters FROM windows "
        "WHERE resolution_ms = ?1 AND start_wall_ms >= ?2 AND start_wall_ms < ?3 "
        "AND (?4 = '' OR subject = ?4) ORDER BY subject, version, arm, start_wall_ms");
    query.Bind(filter.resolution_ms)
        .Bind(filter.from_wall_ms)
        .Bind(filter.to_wall_ms)
        .Bind(filter.subject);
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Text(1), query.Text(2), query.Number(3), query.Number(4),
                      query.Text(5)});
    }
    return OkStatus();
  }));
  return rows;
}

Result<uint64_t> Store::PruneWindows(int64_t resolution_ms, int64_t before_wall_ms) {
  uint64_t deleted = 0;
  WEIR_RETURN_IF_ERROR(connection_->Write([&] {
    deleted = static_cast<uint64_t>(
        connection_->Prepare("DELETE FROM windows WHERE resolution_ms = ? AND start_wall_ms < ?")
            .Bind(resolution_ms)
            .Bind(before_wall_ms)
            .Run());
    return OkStatus();
  }));
  return deleted;
}

Result<std::optional<std::string>> Store::GetMeta(const std::string& key) {
  std::optional<std::string> value;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare("SELECT value FROM meta WHERE key = ?");
    if (query.Bind("user." + key).Step()) value = query.Text(0);
    return OkStatus();
  }));
  return value;
}

Status Store::SetMeta(const std::string& key, const std::string& value) {
  return connection_->Write([&] {
    connection_->Prepare("REPLACE INTO meta VALUES (?, ?)")
        .Bind("user." + key)
        .BindBlob(value)
        .Run();
    return OkStatus();
  });
}

}  // namespace weir::control::store
