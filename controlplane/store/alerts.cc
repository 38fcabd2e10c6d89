// SPDX-License-Identifier: Apache-2.0
// Alerts: those that are open, and the history of those that were.
#include <fmt/format.h>

#include <algorithm>

#include "controlplane/store/connection.h"
#include "controlplane/store/store.h"

namespace weir::control::store {
namespace {

// In the order of the schema.
AlertRow ReadAlert(Query& query) {
  AlertRow row;
  row.id = query.Unsigned(0);
  row.policy = query.Text(1);
  row.slo = query.Text(2);
  row.model = query.Text(3);
  row.version = query.Text(4);
  row.state = query.Text(5);
  row.severity = query.Text(6);
  row.worst = query.Text(7);
  row.summary = query.Text(8);
  row.runbook_url = query.Text(9);
  row.value = query.Real(10);
  row.threshold = query.Real(11);
  row.started_wall_ms = query.Number(12);
  row.unattended_wall_ms = query.Number(13);
  row.acknowledged_wall_ms = query.Number(14);
  row.acknowledged_by = query.Text(15);
  row.reason = query.Text(16);
  row.silenced_by = query.Text(17);
  row.resolved_wall_ms = query.Number(18);
  row.told_count = query.Unsigned(19);
  row.told = query.Text(20);
  return row;
}

template <class C>
void WriteAlert(C& db, const AlertRow& row) {
  db.Prepare(
        "REPLACE INTO alerts VALUES "
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Bind(row.id)
      .Bind(row.policy)
      .Bind(row.slo)
      .Bind(row.model)
      .Bind(row.version)
      .Bind(row.state)
      .Bind(row.severity)
      .Bind(row.worst)
      .Bind(row.summary)
      .Bind(row.runbook_url)
      .Bind(row.value)
      .Bind(row.threshold)
      .Bind(row.started_wall_ms)
      .Bind(row.unattended_wall_ms)
      .Bind(row.acknowledged_wall_ms)
      .Bind(row.acknowledged_by)
      .Bind(row.reason)
      .Bind(row.silenced_by)
      .Bind(row.resolved_wall_ms)
      .Bind(row.told_count)
      .Bind(row.told)
      .Run();
}

}  // namespace

Status Store::SaveAlerts(const std::vector<AlertRow>& alerts) {
  return connection_->Write([&] {
    for (const AlertRow& row : alerts) WriteAlert(*connection_, row);
    return OkStatus();
  });
}

Result<std::vector<AlertRow>> Store::OpenAlerts() {
  std::vector<AlertRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query =
        connection_->Prepare("SELECT * FROM alerts WHERE resolved_wall_ms = 0 ORDER BY id");
    while (query.Step()) rows.push_back(ReadAlert(query));
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<AlertRow>> Store::ClosedAlerts(const AlertFilter& filter) {
  std::vector<AlertRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT * FROM alerts WHERE resolved_wall_ms > 0 AND (?1 = '' OR severity = ?1) "
        "AND (?2 = '' OR policy = ?2) ORDER BY resolved_wall_ms DESC, id DESC LIMIT ?3");
    query.Bind(filter.severity).Bind(filter.policy);
    query.Bind(int64_t{std::clamp(filter.limit, 1, 1000)});
    while (query.Step()) rows.push_back(ReadAlert(query));
    return OkStatus();
  }));
  return rows;
}

Result<AlertRow> Store::Alert(uint64_t id) {
  AlertRow row;
  WEIR_RETURN_IF_ERROR(connection_->Read([&]() -> Status {
    Query query = connection_->Prepare("SELECT * FROM alerts WHERE id = ?");
    if (!query.Bind(id).Step()) return NotFound(fmt::format("there is no alert a{}", id));
    row = ReadAlert(query);
    return OkStatus();
  }));
  return row;
}

Result<uint64_t> Store::LastAlert() {
  uint64_t id = 0;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare("SELECT MAX(id) FROM alerts");
    if (query.Step()) id = query.Unsigned(0);
    return OkStatus();
  }));
  return id;
}

Status Store::PruneAlerts(int64_t before_wall_ms) {
  return connection_->Write([&] {
    connection_->Prepare("DELETE FROM alerts WHERE resolved_wall_ms > 0 AND resolved_wall_ms < ?")
        .Bind(before_wall_ms)
        .Run();
    return OkStatus();
  });
}

}  // namespace weir::control::store
