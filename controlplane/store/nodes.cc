// SPDX-License-Identifier: Apache-2.0
// Nodes' keys and the tokens they enrol with.
#include <fmt/format.h>

#include "controlplane/store/connection.h"
#include "controlplane/store/store.h"

namespace weir::control::store {
namespace {

template <class C>
Status UseToken(C& db, const std::string& hash, const NodeKeyRow& node) {
  {
    Query token = db.Prepare("SELECT expires_wall_ms, used_by FROM enroll_tokens WHERE hash = ?");
    if (!token.Bind(hash).Step()) return NotFound("the enrolment token is not known");
    if (!token.Text(1).empty()) {
      return FailedPrecondition(
          fmt::format("the enrolment token was used by node \"{}\"", token.Text(1)));
    }
    if (token.Number(0) != 0 && token.Number(0) <= node.enrolled_wall_ms) {
      return FailedPrecondition(
          fmt::format("the enrolment token expired at {}", FormatTimeMs(token.Number(0))));
    }
  }
  db.Prepare("UPDATE enroll_tokens SET used_by = ? WHERE hash = ?")
      .Bind(node.node)
      .Bind(hash)
      .Run();
  return OkStatus();
}

template <class C>
Status CheckKey(C& db, const NodeKeyRow& node, bool has_token) {
  Query others = db.Prepare(
      "SELECT node, revoked, public_key FROM node_keys WHERE node = ? OR public_key = ?");
  others.Bind(node.node).Bind(node.public_key);
  while (others.Step()) {
    if (others.Text(0) != node.node) {
      return {Code::kAlreadyExists,
              fmt::format("node \"{}\" has this key already", others.Text(0))};
    }
    if (others.Number(1) != 0 && (!has_token || others.Text(2) == node.public_key)) {
      return FailedPrecondition(
          fmt::format("node \"{}\" is revoked; with a new key and an enrolment token (weir token "
                      "create) it may come back",
                      node.node));
    }
  }
  return OkStatus();
}

}  // namespace

Status Store::EnrollNode(const NodeKeyRow& node, const std::string& token_hash) {
  return connection_->Write([&]() -> Status {
    WEIR_RETURN_IF_ERROR(CheckKey(*connection_, node, !token_hash.empty()));
    if (!token_hash.empty()) WEIR_RETURN_IF_ERROR(UseToken(*connection_, token_hash, node));
    connection_->Prepare("REPLACE INTO node_keys VALUES (?, ?, ?, ?)")
        .Bind(node.node)
        .Bind(node.public_key)
        .Bind(node.enrolled_wall_ms)
        .Bind(int64_t{node.revoked})
        .Run();
    connection_->Audit(connection_->clock().WallMs(), "node:" + node.node, "enroll",
                       node.public_key);
    return OkStatus();
  });
}

Result<std::vector<NodeKeyRow>> Store::NodeKeys() {
  std::vector<NodeKeyRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT node, public_key, enrolled_wall_ms, revoked FROM node_keys ORDER BY node");
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Text(1), query.Number(2), query.Number(3) != 0});
    }
    return OkStatus();
  }));
  return rows;
}

Status Store::RevokeNode(const std::string& node, const std::string& actor,
                         const std::string& reason) {
  return connection_->Write([&]() -> Status {
    const int changed =
        connection_->Prepare("UPDATE node_keys SET revoked = 1 WHERE node = ?").Bind(node).Run();
    if (changed == 0) return NotFound(fmt::format("there is no node \"{}\"", node));
    connection_->Audit(connection_->clock().WallMs(), actor, "revoke",
                       reason.empty() ? node : node + ": " + reason);
    return OkStatus();
  });
}

Status Store::AddEnrollToken(const EnrollTokenRow& token, const std::string& actor) {
  return connection_->Write([&] {
    connection_->Prepare("INSERT INTO enroll_tokens VALUES (?, ?, ?, ?)")
        .Bind(token.hash)
        .Bind(token.created_wall_ms)
        .Bind(token.expires_wall_ms)
        .Bind(token.used_by)
        .Run();
    connection_->Audit(connection_->clock().WallMs(), actor, "enroll_token",
                       token.hash.substr(0, 16) + " until " + FormatTimeMs(token.expires_wall_ms));
    return OkStatus();
  });
}

Status Store::Cordon(const CordonRow& cordon) {
  return connection_->Write([&] {
    connection_->Prepare("REPLACE INTO cordons VALUES (?, ?, ?, ?)")
        .Bind(cordon.node)
        .Bind(cordon.since_wall_ms)
        .Bind(cordon.actor)
        .Bind(cordon.reason)
        .Run();
    connection_->Audit(cordon.since_wall_ms, cordon.actor, "drain",
                       cordon.node + (cordon.reason.empty() ? "" : ": " + cordon.reason));
    return OkStatus();
  });
}

Status Store::Uncordon(const std::string& node, const std::string& actor,
                       const std::string& reason) {
  return connection_->Write([&]() -> Status {
    if (connection_->Prepare("DELETE FROM cordons WHERE node = ?").Bind(node).Run() == 0)
      return NotFound(fmt::format("node \"{}\" is not cordoned", node));
    connection_->Audit(connection_->clock().WallMs(), actor, "uncordon",
                       node + (reason.empty() ? "" : ": " + reason));
    return OkStatus();
  });
}

Result<std::vector<CordonRow>> Store::Cordons() {
  std::vector<CordonRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT node, since_wall_ms, actor, reason FROM cordons ORDER BY node");
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Number(1), query.Text(2), query.Text(3)});
    }
    return OkStatus();
  }));
  return rows;
}

Result<std::vector<EnrollTokenRow>> Store::EnrollTokens() {
  std::vector<EnrollTokenRow> rows;
  WEIR_RETURN_IF_ERROR(connection_->Read([&] {
    Query query = connection_->Prepare(
        "SELECT hash, created_wall_ms, expires_wall_ms, used_by FROM enroll_tokens "
        "ORDER BY created_wall_ms, hash");
    while (query.Step()) {
      rows.push_back({query.Text(0), query.Number(1), query.Number(2), query.Text(3)});
    }
    return OkStatus();
  }));
  return rows;
}

}  // namespace weir::control::store
