// SPDX-License-Identifier: Apache-2.0
// What operators do about keys: a node's is revoked, the server's is rotated.
#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "shared/codec/json.h"

namespace weir::control::api {
namespace {

using codec::Json;

struct KeyBody {
  std::string reason;
  bool force = false;
};
template <class V>
void Describe(V& v, KeyBody& f) {
  v(2, "reason", f.reason);
  v(4, "force", f.force);
}

constexpr size_t kMaxReason = 1000;

Result<KeyBody> ReadBody(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(KeyBody body, codec::FromJson<KeyBody>(call.json));
  if (body.reason.size() > kMaxReason)
    return InvalidArgument("reason", "is longer than 1000 characters");
  return body;
}

Status NotHere() { return Unavailable("this control plane does not manage keys"); }

}  // namespace

void Api::Core::AddKeyRoutes(std::vector<Route>& routes) {
  const auto add = [&](const char* method, const char* pattern, Body body, Need need, auto answer) {
    routes.push_back({.method = method,
                      .pattern = pattern,
                      .body = body,
                      .query = {},
                      .answer = [this, answer](const Call& call) { return (this->*answer)(call); },
                      .need = need});
  };
  add("POST", "/v1/nodes/{id}/revoke", Body::kJson, Need::kAdmin, &Core::RevokeNode);
  add("GET", "/v1/keys", Body::kNone, Need::kViewer, &Core::Keys);
  add("POST", "/v1/keys/rotate", Body::kJson, Need::kAdmin, &Core::RotateKey);
  add("POST", "/v1/keys/finish", Body::kJson, Need::kAdmin, &Core::FinishRotation);
}

Answer Api::Core::RevokeNode(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const KeyBody body, ReadBody(call));
  if (!deps_.keys.revoke) return NotHere();
  WEIR_RETURN_IF_ERROR(deps_.keys.revoke(call.args[0], call.actor, body.reason));
  return JsonResponse({{"node", call.args[0]}, {"revoked", true}});
}

Answer Api::Core::Keys(const Call&) {
  if (!deps_.keys.status) return NotHere();
  WEIR_ASSIGN_OR_RETURN(const Json status, deps_.keys.status());
  return JsonResponse(status);
}

Answer Api::Core::RotateKey(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const KeyBody body, ReadBody(call));
  if (!deps_.keys.rotate) return NotHere();
  WEIR_ASSIGN_OR_RETURN(const Json status, deps_.keys.rotate(call.actor, body.reason));
  return JsonResponse(status);
}

Answer Api::Core::FinishRotation(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const KeyBody body, ReadBody(call));
  if (!deps_.keys.finish) return NotHere();
  WEIR_ASSIGN_OR_RETURN(const Json status, deps_.keys.finish(call.actor, body.reason, body.force));
  return JsonResponse(status);
}

}  // namespace weir::control::api
