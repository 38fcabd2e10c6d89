// SPDX-License-Identifier: Apache-2.0
// The audit: a chain of hashes over everything that was committed or done.
#include <fmt/format.h>

#include "controlplane/store/connection.h"
#include "controlplane/store/store.h"
#include "shared/base/text.h"

namespace weir::control::store {
namespace {

std::string Hex(const std::string& raw) {
  return ToHex({reinterpret_cast<const uint8_t*>(raw.data()), raw.size()});
}

std::string RevisionHash(const RevisionRow& row) {
  FieldHash hash;
  hash.Add(static_cast<int64_t>(row.revision)).Add(row.at_wall_ms).Add(row.actor).Add(row.reason);
  hash.Add(row.evidence);
  for (const ChangeRow& change : row.changes) {
    hash.Add(change.kind).Add(change.name).Add(change.action).Add(change.before).Add(change.after);
  }
  return Hex(hash.Raw());
}

}  // namespace

std::string CommitDetail(const RevisionRow& row) {
  return fmt::format("revision {} sha256:{}", row.revision, RevisionHash(row));
}

Status Store::AddAudit(const std::string& actor, const std::string& action,
                       const std::string& detail) {
  return connection_->Write([&] {
    connection_->Audit(connection_->clock().WallMs(), actor, action, detail);
    return OkStatus();
  });
}

Result<AuditHead> Store::GetAuditHead() {
  AuditHead head{0, std::string(crypto_hash_sha256_BYTES, '\0')};
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query last = connection_->Prepare("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    if (last.Step()) head = {last.Number(0), last.Text(1)};
    return OkStatus();
  }));
  return head;
}

namespace {

struct Wanted {
  const std::set<int64_t>& rows;
  const std::string& hash;
};

// Walks the chain; false where it breaks.
template <class C, class R>
bool FollowChain(C& db, const R& revision_of, const Wanted& wanted, uint64_t& commits,
                 AuditCheck& check) {
  const auto broken = [&](int64_t row, std::string problem) {
    check.broken_row = row;
    check.problem = std::move(problem);
    return false;
  };
  Query audit =
      db.Prepare("SELECT seq, at_wall_ms, actor, action, detail, hash FROM audit ORDER BY seq");
  while (audit.Step()) {
    const AuditRow row{audit.Number(0), audit.Number(1), audit.Text(2), audit.Text(3),
                       audit.Text(4)};
    const std::string hash = audit.Text(5);
    const bool follows = row.seq == check.head.rows + 1 &&
                         hash == AuditHash(check.head.hash, row.seq, row.at_wall_ms, row.actor,
                                           row.action, row.detail);
    if (!follows) return broken(row.seq, fmt::format("audit row {} was changed", row.seq));
    check.head = {row.seq, hash};
    if (wanted.rows.contains(row.seq)) check.hashes[row.seq] = hash;
    if (hash == wanted.hash) check.expected_row = row.seq;
    if (row.action == "restore") check.restores.push_back(row);
    if (row.action != "commit") continue;
    const Result<RevisionRow> revision = revision_of(++commits);
    if (!revision.ok() || CommitDetail(*revision) != row.detail) {
      return broken(row.seq,
                    fmt::format("revision {} is not what audit row {} says", commits, row.seq));
    }
  }
  return true;
}

}  // namespace

Result<AuditCheck> Store::CheckAudit(const std::set<int64_t>& wanted, const std::string& expected) {
  Connection& db = *connection_;
  AuditCheck check;
  check.head.hash.assign(crypto_hash_sha256_BYTES, '\0');
  const Status read = db.ReadAtOnce([&]() -> Status {
    uint64_t commits = 0;
    const auto revision_of = [this](uint64_t number) { return Revision(number); };
    if (!FollowChain(db, revision_of, {wanted, expected}, commits, check)) return OkStatus();
    const auto last =
        static_cast<uint64_t>(db.Pragma("SELECT ifnull(max(number), 0) FROM revisions"));
    if (commits != last) {
      check.problem = fmt::format("{} revisions, but {} in the audit", last, commits);
      return OkStatus();
    }
    Query strays = db.Prepare(
        "SELECT r.kind, r.name FROM resources r LEFT JOIN changes c ON c.kind = r.kind "
        "AND c.name = r.name AND c.revision = r.revision WHERE c.after IS NOT r.document LIMIT 1");
    if (strays.Step()) {
      check.problem =
          fmt::format("{}/{} is not what its last revision says", strays.Text(0), strays.Text(1));
    }
    return OkStatus();
  });
  if (!read.ok()) return read;
  return check;
}

Status Store::VerifyAudit() {
  WEIR_ASSIGN_OR_RETURN(const AuditCheck check, CheckAudit());
  if (check.problem.empty()) return OkStatus();
  return DataLoss(fmt::format("{}: {}", connection_->path(), check.problem));
}

}  // namespace weir::control::store
