// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/service.h"

#include <fmt/format.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <utility>

#include "dataplane/outcomes/join.h"
#include "shared/base/log.h"
#include "shared/telemetry/series.h"

namespace weir::node::outcomes {
namespace {

using nlohmann::json;

int HttpStatus(const Status& status) {
  switch (status.code()) {
    case Code::kNotFound:
      return 404;
    case Code::kFailedPrecondition:
      return 409;
    default:
      return 400;
  }
}

json Rejection(size_t index, const Status& status) {
  json row = {{"index", index}, {"error", status.ToString()}};
  if (!status.field().empty()) row["field"] = status.field();
  return row;
}

}  // namespace

void Totals::Merge(const Totals& other) {
  accepted += other.accepted;
  late += other.late;
  rejected += other.rejected;
  dropped += other.dropped;
}

Service::Service(const std::vector<std::string>& tokens, const Clock& clock,
                 routing::Recorders& recorders)
    : clock_(clock),
      access_({.cors_origins = {}, .tokens = tokens}),
      is_guarded_(!tokens.empty()),
      recorders_(recorders) {}

http::Response Service::Handle(const http::Request& request, const routing::Plan* plan) {
  if (access_.Check(request).has_value()) {
    http::Response response = http::ErrorResponse(
        401, "a token of outcome_tokens is needed: Authorization: Bearer, or X-API-Key");
    response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"outcomes\""});
    return response;
  }
  if (request.body.size() > kMaxBody) {
    return http::ErrorResponse(
        413, fmt::format("the body has {} bytes; at most {} may come in one request: send fewer "
                         "outcomes at a time",
                         request.body.size(), kMaxBody));
  }
  if (plan == nullptr || !plan->rules().HasSnapshot()) {
    return http::ErrorResponse(503, "this node has no snapshot yet");
  }
  WarnIfAnyoneMayPost(*plan);
  const int64_t now_wall_ms = clock_.WallMs();
  const auto posted = ReadOutcomes(request.body, now_wall_ms);
  if (!posted.ok()) return http::ErrorResponse(400, posted.status().ToString());
  Totals counts;
  json rejected = json::array();
  Status first;
  for (size_t i = 0; i < posted->size(); ++i) {
    const Status status = Record(*plan, (*posted)[i], now_wall_ms, counts);
    if (status.ok()) continue;
    if (rejected.empty()) first = status;
    rejected.push_back(Rejection(i, status));
  }
  totals_.Merge(counts);
  json body = {{"accepted", counts.accepted}, {"late", counts.late}};
  http::Response response;
  if (!rejected.empty() && rejected.size() == posted->size()) {
    response.status = HttpStatus(first);
    body["error"] = first.ToString();
  }
  body["rejected"] = std::move(rejected);
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

Status Service::Record(const routing::Plan& plan, const Posted& posted, int64_t now_wall_ms,
                       Totals& counts) {
  const Outcome& outcome = posted.outcome;
  ++counts.rejected;
  WEIR_RETURN_IF_ERROR(posted.status);
  WEIR_ASSIGN_OR_RETURN(const Joined joined, Join(plan, outcome, now_wall_ms));
  --counts.rejected;
  const auto cell = recorders_.CellOf(joined.series);
  if (joined.is_late) {
    cell->Count(telemetry::Cell::kLate);
    ++counts.late;
  } else if (cell->RecordOutcome(outcome.metric, outcome.value)) {
    ++counts.accepted;
  } else {
    ++counts.dropped;
    return InvalidArgument("metric", fmt::format("is one more than the {} that one arm may have",
                                                 telemetry::Series::kMaxOutcomes));
  }
  return OkStatus();
}

// Once in this process, and only when it matters.
void Service::WarnIfAnyoneMayPost(const routing::Plan& plan) const {
  static std::atomic_flag is_said;
  const bool is_rolling =
      plan.rules().model_splits().size() > 0 || plan.rules().flag_splits().size() > 0;
  if (is_guarded_ || !is_rolling || is_said.test_and_set()) return;
  Log("outcomes")
      .warn(
          "outcomes arrive while a rollout is under way, and without outcome_tokens anyone who "
          "reaches "
          "this node may sway how it is judged; set --outcome-token or --outcome-tokens-file");
}

}  // namespace weir::node::outcomes
