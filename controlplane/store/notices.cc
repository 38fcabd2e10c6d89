// SPDX-License-Identifier: Apache-2.0
// What sinks have not been told yet.
#include "controlplane/store/connection.h"
#include "controlplane/store/store.h"

namespace weir::control::store {

Status Store::SaveNotices(const std::vector<NoticeRow>& waiting,
                          const std::vector<uint64_t>& done) {
  return connection_->Write([&] {
    for (const NoticeRow& row : waiting) {
      connection_->Prepare("REPLACE INTO notices VALUES (?, ?, ?, ?, ?, ?, ?)")
          .Bind(row.number)
          .Bind(row.sink)
          .Bind(row.id)
          .Bind(row.type)
          .Bind(row.at_wall_ms)
          .Bind(row.queued_wall_ms)
          .Bind(row.data)
          .Run();
    }
    for (const uint64_t number : done)
      connection_->Prepare("DELETE FROM notices WHERE number = ?").Bind(number).Run();
    return OkStatus();
  });
}

Result<std::vector<NoticeRow>> Store::WaitingNotices() {
  std::vector<NoticeRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT number, sink, id, type, at_wall_ms, queued_wall_ms, data FROM notices "
        "ORDER BY number");
    while (query.Step()) {
      rows.push_back({query.Unsigned(0), query.Text(1), query.Text(2), query.Text(3),
                      query.Number(4), query.Number(5), query.Text(6)});
    }
    return OkStatus();
  }));
  return rows;
}

}  // namespace weir::control::store
