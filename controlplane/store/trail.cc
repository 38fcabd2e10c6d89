// SPDX-License-Identifier: Apache-2.0
// What was in force when: revisions by time, versions that nodes applied, and what they did by
// themselves.
#include "controlplane/store/connection.h"
#include "controlplane/store/store.h"

namespace weir::control::store {

Result<uint64_t> Store::RevisionAt(int64_t at_wall_ms) {
  uint64_t revision = 0;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare("SELECT MAX(number) FROM revisions WHERE at_wall_ms <= ?");
    if (query.Bind(at_wall_ms).Step()) revision = query.Unsigned(0);
    return OkStatus();
  }));
  return revision;
}

namespace {

// The first of the kind's names after `name`; "" after the last. By index alone.
template <class C>
std::string NextName(C& db, const std::string& kind, const std::string& name) {
  Query query = db.Prepare("SELECT ifnull(MIN(name), '') FROM changes WHERE kind = ? AND name > ?");
  query.Bind(kind).Bind(name).Step();
  return query.Text(0);
}

}  // namespace

Result<std::vector<ResourceRow>> Store::ResourcesAt(uint64_t revision,
                                                    const std::vector<std::string>& kinds) {
  std::vector<ResourceRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    // Two look-ups by index for each name, however long the history is.
    for (const std::string& kind : kinds) {
      for (std::string name = NextName(*connection_, kind, ""); !name.empty();
           name = NextName(*connection_, kind, name)) {
        Query query = connection_->Prepare(
            "SELECT after, revision FROM changes WHERE kind = ? AND name = ? AND revision <= ? "
            "ORDER BY revision DESC LIMIT 1");
        const bool is_known = query.Bind(kind).Bind(name).Bind(revision).Step();
        if (!is_known || query.Text(0).empty()) continue;  // not yet, or deleted
        rows.push_back({kind, name, query.Text(0), query.Unsigned(1)});
      }
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<AppliedRow>> Store::ReadApplied(const std::string& node, int64_t from_wall_ms,
                                                   int64_t to_wall_ms) {
  std::vector<AppliedRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT node, at_wall_ms, epoch, version, refused, labels FROM applied a "
        "WHERE (?1 = '' OR node = ?1) AND at_wall_ms < ?3 AND at_wall_ms >= COALESCE("
        "(SELECT MAX(at_wall_ms) FROM applied b WHERE b.node = a.node AND b.at_wall_ms < ?2), ?2) "
        "ORDER BY node, at_wall_ms, epoch, version");
    query.Bind(node).Bind(from_wall_ms).Bind(to_wall_ms);
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Number(1), query.Unsigned(2), query.Unsigned(3),
                      query.Text(4), query.Text(5)});
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<EpisodeRow>> Store::ReadEpisodes(const std::string& node, int64_t from_wall_ms,
                                                    int64_t to_wall_ms) {
  std::vector<EpisodeRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT node, kind, subject, from_wall_ms, to_wall_ms, detail FROM episodes "
        "WHERE (?1 = '' OR node = ?1) AND from_wall_ms < ?3 "
        "AND (to_wall_ms = 0 OR to_wall_ms >= ?2) ORDER BY node, from_wall_ms, kind, subject");
    query.Bind(node).Bind(from_wall_ms).Bind(to_wall_ms);
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Text(1), query.Text(2), query.Number(3), query.Number(4),
                      query.Text(5)});
    }
    return OkStatus();
  }));
  return rows;
}

Status Store::PruneTrail(int64_t before_wall_ms) {
  return connection_->Write([&] {
    connection_
        ->Prepare(
            "DELETE FROM applied WHERE at_wall_ms < ?1 AND EXISTS (SELECT 1 FROM applied b "
            "WHERE b.node = applied.node AND b.at_wall_ms > applied.at_wall_ms "
            "AND b.at_wall_ms < ?1)")
        .Bind(before_wall_ms)
        .Run();
    // What is open for that long is of a node that never came back.
    connection_
        ->Prepare(
            "DELETE FROM episodes "
            "WHERE CASE to_wall_ms WHEN 0 THEN from_wall_ms ELSE to_wall_ms END < ?")
        .Bind(before_wall_ms)
        .Run();
    return OkStatus();
  });
}

}  // namespace weir::control::store
