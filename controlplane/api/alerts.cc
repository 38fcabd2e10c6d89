// SPDX-License-Identifier: Apache-2.0
// Alerts: what fires and what did, and who looks after it.
#include <fmt/format.h>

#include <algorithm>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "shared/base/text.h"
#include "shared/domain/policy.h"
#include "shared/domain/sink.h"

namespace weir::control::api {
namespace {

using codec::Json;

constexpr uint64_t kMaxAlerts = 1000;

struct AckBody {
  std::string reason;
};
template <class V>
void Describe(V& v, AckBody& f) {
  v(2, "reason", f.reason);
}

Status CheckOneOf(const std::string& field, const std::string& value,
                  const std::vector<std::string>& allowed) {
  if (value.empty() || std::find(allowed.begin(), allowed.end(), value) != allowed.end())
    return OkStatus();
  return InvalidArgument(field, fmt::format("\"{}\" is none of {}{}", value, Join(allowed, ", "),
                                            DidYouMean(value, allowed)));
}

Result<AlertQuery> ReadQuery(const Call& call) {
  AlertQuery query{call.Query("state"), domain::CanonicalSeverity(call.Query("severity")),
                   call.Query("policy"), 0};
  static const std::vector<std::string> kStates = {"open",     "firing",   "acknowledged",
                                                   "silenced", "resolved", "all"};
  WEIR_RETURN_IF_ERROR(CheckOneOf("state", query.state, kStates));
  WEIR_RETURN_IF_ERROR(CheckOneOf("severity", query.severity, domain::Severities()));
  WEIR_ASSIGN_OR_RETURN(query.limit, call.QueryNumber("limit", 100));
  if (query.limit < 1 || query.limit > kMaxAlerts)
    return InvalidArgument("limit", fmt::format("{} is not in 1..{}", query.limit, kMaxAlerts));
  if (query.state.empty()) query.state = "open";
  return query;
}

}  // namespace

void Api::Core::AddAlertRoutes(std::vector<Route>& routes) {
  const AlertActions& alerts = *deps_.alerts;
  routes.push_back({.method = "GET",
                    .pattern = "/v1/alerts",
                    .query = {"state", "severity", "policy", "limit"},
                    .answer = [&alerts](const Call& call) -> Answer {
                      WEIR_ASSIGN_OR_RETURN(const AlertQuery query, ReadQuery(call));
                      WEIR_ASSIGN_OR_RETURN(Json items, alerts.list(query));
                      return JsonResponse({{"items", std::move(items)}});
                    }});
  routes.push_back({.method = "POST",
                    .pattern = "/v1/alerts/{id}/ack",
                    .body = Body::kJson,
                    .query = {},
                    .answer = [&alerts](const Call& call) -> Answer {
                      WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<AckBody>(call.json));
                      WEIR_ASSIGN_OR_RETURN(
                          const Json alert,
                          alerts.acknowledge(call.args[0], call.actor, body.reason));
                      return JsonResponse(alert);
                    }});
}

}  // namespace weir::control::api
