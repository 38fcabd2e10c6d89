// SPDX-License-Identifier: Apache-2.0
// Who may ask the control plane: the token of its start, nodes that prove who they are, and its own
// certificate.
#include <fmt/format.h>

#include "controlplane/control.h"
#include "shared/base/log.h"
#include "shared/codec/resource.h"
#include "shared/wire/digest.h"

namespace weir::control {
namespace {

using domain::Kind;
using domain::Resource;

constexpr char kActor[] = "weir-control";
constexpr int kHistory = 1000;

// Whether a person revoked the bootstrap token with this hash, whatever file still holds it.
Result<bool> IsRevoked(const catalog::Catalog& catalog, const std::string& hash) {
  WEIR_ASSIGN_OR_RETURN(
      const auto rows,
      catalog.History(
          {.kind = Kind::kToken, .name = api::kBootstrapToken, .before = 0, .limit = kHistory}));
  for (const catalog::HistoryRow& row : rows) {
    if (row.actor == kActor) continue;
    for (const catalog::HistoryRow::Item& item : row.items) {
      if (item.kind != Kind::kToken || item.name != api::kBootstrapToken || !item.after.is_null() ||
          !item.before.is_object())
        continue;
      const auto resource = codec::ResourceFromJson(item.before);
      if (resource.ok() && resource->As<domain::TokenSpec>().hash == hash) return true;
    }
  }
  return false;
}

}  // namespace

// The token's resource follows the file: it is made, changed and taken away as the setting is.
Status Control::SettleBootstrapToken() {
  const Resource* stands = engine_->catalog().Find(Kind::kToken, api::kBootstrapToken);
  catalog::CommitRequest request;
  request.actor = kActor;
  request.tokens = true;
  if (settings_.bootstrap_token.empty()) {
    if (stands == nullptr) return OkStatus();
    if (CountAdmins() == 1) {
      Log("control").warn(
          "no bootstrap token is given any more, but it is the only admin token, and still opens "
          "everything: weir token create NAME --role admin, then weir token revoke bootstrap");
      return OkStatus();
    }
    request.changes.push_back({*stands, true, std::nullopt});
    request.reason = "no bootstrap token is given any more";
    return engine_->catalog().Commit(request).status();
  }
  const std::string hash = wire::Sha256Hex(settings_.bootstrap_token);
  WEIR_ASSIGN_OR_RETURN(const bool is_revoked, IsRevoked(engine_->catalog(), hash));
  if (is_revoked) {
    Log("control").warn("the bootstrap token was revoked, and opens nothing");
    return OkStatus();
  }
  Resource token;
  token.kind = Kind::kToken;
  token.name = api::kBootstrapToken;
  token.spec = domain::TokenSpec{.hash = hash,
                                 .role = "admin",
                                 .scopes = {},
                                 .expires = {},
                                 .description = "of --bootstrap-token-file"};
  request.changes.push_back({std::move(token), false, std::nullopt});
  request.reason = "the bootstrap token of this start";
  return engine_->catalog().Commit(request).status();
}

size_t Control::CountAdmins() const {
  const int64_t now_ms = clock_.WallMs();
  size_t admins = 0;
  engine_->catalog().ForEach(Kind::kToken, [&](const Resource& token) {
    const auto& spec = token.As<domain::TokenSpec>();
    const bool is_good = spec.expires.ms == 0 || spec.expires.ms > now_ms;
    admins += spec.role == "admin" && is_good ? 1 : 0;
  });
  return admins;
}

Status Control::CheckSomebodyMayEnter() const {
  if (!RequiresTokens(settings_) || CountAdmins() > 0) return OkStatus();
  return FailedPrecondition(
      "tokens are required, and there is no admin token: nobody could make one; start once with "
      "--bootstrap-token-file FILE, a file with a long secret of your choice");
}

bool Control::IsNode(const std::string& node, const std::string& text,
                     const std::string& proof) const {
  const auto known = engine_->store().NodeKeys();
  if (!known.ok()) return false;
  for (const store::NodeKeyRow& row : *known) {
    if (row.node != node || row.revoked) continue;
    const auto proves = [&](const transport::KeyPair& own) {
      return transport::IsProof(own, row.public_key, text, proof);
    };
    return proves(keys_.current()) || (keys_.next().has_value() && proves(*keys_.next()));
  }
  return false;
}

bool Control::AsksForTokens() {
  bool asks = RequiresTokens(settings_);
  core_.Call([&] {
    if (IsStopped()) return;
    engine_->catalog().ForEach(Kind::kToken, [&](const Resource& token) {
      asks |= token.As<domain::TokenSpec>().role == "admin";
    });
  });
  return asks;
}

void Control::ReloadCertificate() {
  if (settings_.tls_cert.empty() || api_ == nullptr) return;
  const Status status = api_->ReloadCertificate();
  if (status.ok()) {
    Log("control").info("certificate and key were read again: {}", settings_.tls_cert);
  } else {
    Log("control").error("the certificate stays as it was: {}", status.ToString());
  }
}

}  // namespace weir::control
