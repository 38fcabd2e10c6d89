// SPDX-License-Identifier: Apache-2.0
// Tokens: who may enrol a node, and who may ask whom for what. The second are resources of the
// catalog, made and revoked here alone; of the secret only the hash is kept.
#include <algorithm>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/domain/token.h"
#include "shared/transport/keys.h"
#include "shared/wire/digest.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;

constexpr int64_t kEnrolmentMs = 3'600'000;
constexpr size_t kTokenBytes = 32;
constexpr std::string_view kNodeScheme = "Weir-Node";

struct TokenBody {
  domain::DurationMs expires{0};
  std::string name;
  std::string role;
  std::vector<std::string> scopes;
  std::string description;
  std::string reason;
};
template <class V>
void Describe(V& v, TokenBody& f) {
  v(2, "expires", f.expires);
  v(4, "name", f.name);
  v(6, "role", f.role);
  v(8, "scopes", f.scopes);
  v(10, "description", f.description);
  v(12, "reason", f.reason);
}

}  // namespace

void Api::Core::AddTokenRoutes(std::vector<Route>& routes) {
  const auto add = [&](const char* method, const char* pattern, Body body,
                       std::vector<std::string> query, Answer (Core::*answer)(const Call&)) {
    routes.push_back({.method = method,
                      .pattern = pattern,
                      .body = body,
                      .query = std::move(query),
                      .answer = [this, answer](const Call& call) { return (this->*answer)(call); },
                      .need = Need::kAdmin});
  };
  add("POST", "/v1/tokens", Body::kJson, {}, &Core::CreateToken);
  add("DELETE", "/v1/tokens/{name}", Body::kNone, {"reason"}, &Core::RevokeToken);
}

Answer Api::Core::CreateToken(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<TokenBody>(call.json));
  if (call.json.contains("expires") && body.expires.ms <= 0)
    return InvalidArgument("expires", "is not above 0");
  if (!body.name.empty()) return CreateAccessToken(call);
  if (!body.role.empty() || !body.scopes.empty())
    return InvalidArgument("name", "is missing: a token with a role or scopes has one");
  const int64_t lifetime_ms = body.expires.ms > 0 ? body.expires.ms : kEnrolmentMs;
  WEIR_ASSIGN_OR_RETURN(Json token, deps_.create_token(lifetime_ms, call.actor));
  return JsonResponse(std::move(token), 201);
}

Answer Api::Core::CreateAccessToken(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<TokenBody>(call.json));
  if (body.name == kBootstrapToken)
    return InvalidArgument("name", "\"bootstrap\" is the token of --bootstrap-token-file");
  if (deps_.catalog.Find(Kind::kToken, body.name) != nullptr) {
    return Status(Code::kAlreadyExists,
                  fmt::format("there is a token \"{}\" already; revoke it first (weir token revoke "
                              "{}), or choose another name",
                              body.name, body.name));
  }
  const std::string secret = "weir_" + RandomHex(kTokenBytes);
  domain::Resource token;
  token.kind = Kind::kToken;
  token.name = body.name;
  domain::TokenSpec spec{.hash = wire::Sha256Hex(secret),
                         .role = body.role,
                         .scopes = body.scopes,
                         .expires = {},
                         .description = body.description};
  if (body.expires.ms > 0) spec.expires.ms = deps_.clock.WallMs() + body.expires.ms;
  token.spec = spec;
  catalog::CommitRequest request;
  request.changes.push_back({std::move(token), false, 0});
  request.actor = call.actor;
  request.reason = body.reason;
  request.tokens = true;
  const bool was_required = access_->required();
  WEIR_ASSIGN_OR_RETURN(const auto result, deps_.catalog.Commit(request));
  Json answer = {{"name", body.name},           {"token", secret},
                 {"role", body.role},           {"scopes", body.scopes},
                 {"revision", result.revision}, {"version", version_}};
  if (spec.expires.ms > 0) answer["expires_at"] = FormatTimeMs(spec.expires.ms);
  if (access_->required() && !was_required)
    answer["note"] = "from now on this admin API asks for a token";
  return JsonResponse(answer, 201);
}

Answer Api::Core::RevokeToken(const Call& call) {
  const std::string& name = call.args[0];
  const domain::Resource* token = deps_.catalog.Find(Kind::kToken, name);
  if (token == nullptr) return NoSuchResource(deps_.catalog, Kind::kToken, name);
  const int64_t now_ms = deps_.clock.WallMs();
  const auto is_admin = [&](const domain::Resource& resource) {
    const auto& spec = resource.As<domain::TokenSpec>();
    return spec.role == "admin" && (spec.expires.ms == 0 || spec.expires.ms > now_ms);
  };
  bool is_other_admin = false;
  deps_.catalog.ForEach(Kind::kToken, [&](const domain::Resource& other) {
    is_other_admin |= other.name != name && is_admin(other);
  });
  if (token->As<domain::TokenSpec>().role == "admin" && !is_other_admin) {
    return FailedPrecondition(fmt::format(
        "\"{}\" is the last admin token: nobody could make another one; make one first (weir "
        "token create NAME --role admin)",
        name));
  }
  catalog::CommitRequest request;
  request.changes.push_back({*token, true, std::nullopt});
  request.actor = call.actor;
  request.reason = call.Query("reason");
  request.force_removal = true;  // one at a time, each by name
  request.tokens = true;
  WEIR_ASSIGN_OR_RETURN(const auto result, deps_.catalog.Commit(request));
  return JsonResponse(CommitView(result));
}

// "Weir-Node ID.PROOF": whoever holds the key of an enrolled node fetches models, and nothing else.
// The proof is of this method and path, so that what is overheard gives what was overheard.
void Api::Core::CheckNode(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
                          Call call) {
  const std::string credentials(Credentials(exchange->request(), kNodeScheme));
  const std::string text = fmt::format("{} {}", call.method, exchange->request().path);
  auto shared = std::make_shared<Call>(std::move(call));
  PostToCore([this, exchange, &route, shared, credentials, text] {
    const size_t dot = credentials.rfind('.');
    const std::string node = credentials.substr(0, dot);
    const std::string proof = dot == std::string::npos ? "" : credentials.substr(dot + 1);
    const bool is_node = deps_.is_node && deps_.is_node(node, text, proof);
    if (!is_node) ++counters_.refusals[RefusalName(Refusal::kUnknown)];
    server_.worker(exchange->worker()).Post([this, exchange, &route, shared, is_node, node] {
      if (is_node) {
        shared->actor = "node/" + node;
        return AnswerCall(exchange, route, std::move(*shared));
      }
      doors_[static_cast<size_t>(exchange->worker())].NoteFailure(shared->remote,
                                                                  deps_.clock.MonotonicMs());
      http::Response refused = ProblemResponse(
          401, FailedPrecondition("the proof is not that of an enrolled node's key"));
      refused.headers.push_back({"WWW-Authenticate", std::string(kNodeScheme)});
      AnswerOnWorker(exchange, route.pattern, std::move(refused));
    });
  });
}

bool Api::Core::ShowsNodeProof(const http::Request& request) {
  return !Credentials(request, kNodeScheme).empty();
}

}  // namespace weir::control::api
