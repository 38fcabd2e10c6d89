// SPDX-License-Identifier: Apache-2.0
// What an operator does with the program itself: backups, drains, audits, upgrades.
#include <memory>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "shared/base/text.h"

namespace weir::control::api {
namespace {

using codec::Json;

constexpr uint64_t kPieceBytes = 1 << 20;

struct ReasonBody {
  std::string reason;
};
template <class V>
void Describe(V& v, ReasonBody& f) {
  v(2, "reason", f.reason);
}

}  // namespace

void Api::Core::AddOperationRoutes(std::vector<Route>& routes) {
  const Operations& operations = *deps_.operations;
  const auto add = [&](const char* method, const char* pattern, Body body,
                       std::vector<std::string> query,
                       std::function<Answer(const Call&)> answer) -> Route& {
    routes.push_back({.method = method,
                      .pattern = pattern,
                      .body = body,
                      .query = std::move(query),
                      .answer = std::move(answer)});
    return routes.back();
  };
  add("POST", "/v1/backup", Body::kJson, {}, [&operations](const Call& call) -> Answer {
    WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<ReasonBody>(call.json));
    WEIR_ASSIGN_OR_RETURN(const Json job, operations.begin_backup(call.actor, body.reason));
    return JsonResponse(job, 202);
  }).need = Need::kAdmin;  // a backup holds the server's key
  add("GET", "/v1/backup/{id}", Body::kNone, {}, [&operations](const Call& call) -> Answer {
    WEIR_ASSIGN_OR_RETURN(const Json job, operations.show_backup(call.args[0]));
    return JsonResponse(job);
  }).need = Need::kAdmin;
  add("DELETE", "/v1/backup/{id}", Body::kNone, {}, [&operations](const Call& call) -> Answer {
    WEIR_RETURN_IF_ERROR(operations.drop_backup(call.args[0]));
    return JsonResponse(Json::object());
  }).need = Need::kAdmin;
  Route& data = add("GET", "/v1/backup/{id}/data", Body::kNone, {"offset", "bytes"},
                    [this](const Call& call) { return BackupPiece(call); });
  data.on_worker = true;
  data.need = Need::kAdmin;
  add("GET", "/v1/backups", Body::kNone, {},
      [&operations](const Call&) -> Answer { return JsonResponse(operations.list_backups()); });
  add("POST", "/v1/nodes/{id}/drain", Body::kJson, {},
      [this](const Call& call) { return Cordon(call, true); });
  add("POST", "/v1/nodes/{id}/uncordon", Body::kJson, {},
      [this](const Call& call) { return Cordon(call, false); });
  add("GET", "/v1/telemetry/audit", Body::kNone, {"node"},
      [&operations](const Call& call) -> Answer {
        return JsonResponse(operations.telemetry_audit(call.Query("node")));
      });
  add("GET", "/v1/upgrade", Body::kNone, {}, [&operations](const Call&) -> Answer {
    WEIR_ASSIGN_OR_RETURN(const Json facts, operations.upgrade());
    return JsonResponse(facts);
  });
  routes.push_back({.method = "GET",
                    .pattern = "/v1/audit/verify",
                    .query = {"expect_head"},
                    .answer = {},
                    .prepare = [&operations](const Call& call) -> Result<Slice> {
                      return Slice([check = operations.check_audit(
                                        call.Query("expect_head"))]() -> std::optional<Answer> {
                        const Result<Json> verdict = check();
                        return verdict.ok() ? Answer(JsonResponse(*verdict))
                                            : Answer(verdict.status());
                      });
                    },
                    .need = Need::kViewer});
}

Answer Api::Core::BackupPiece(const Call& call) const {
  WEIR_ASSIGN_OR_RETURN(const uint64_t offset, call.QueryNumber("offset", 0));
  WEIR_ASSIGN_OR_RETURN(const uint64_t bytes, call.QueryNumber("bytes", kPieceBytes));
  http::Response response;
  response.content_type = "application/octet-stream";
  WEIR_ASSIGN_OR_RETURN(response.body, deps_.operations->read_backup(call.args[0], offset, bytes));
  return response;
}

Answer Api::Core::Cordon(const Call& call, bool cordoned) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<ReasonBody>(call.json));
  WEIR_ASSIGN_OR_RETURN(const Json done,
                        deps_.operations->cordon(call.args[0], cordoned, call.actor, body.reason));
  return JsonResponse(done);
}

Json Api::Core::NodeView(const publish::NodeStatus& node) const {
  Json view = publish::ToJson(node, deps_.clock.MonotonicMs());
  if (!deps_.operations.has_value()) return view;
  Json cordon = deps_.operations->cordon_of(node.id);
  if (!cordon.is_null()) view["cordon"] = std::move(cordon);
  return view;
}

}  // namespace weir::control::api
