// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/service.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "dataplane/outcomes/join.h"
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
}

Service::Service(const std::vector<std::string>& tokens, const Clock& clock,
                 routing::Recorders& recorders)
    : clock_(clock), access_({.cors_origins = {}, .tokens = tokens}), recorders_(recorders) {}

http::Response Service::Handle(const http::Request& request, const routing::Plan* plan) {
  if (!access_.Allows(request)) {
    http::Response response = http::ErrorResponse(
        401, "a token of outcome_tokens is needed: Authorization: Bearer, or X-API-Key");
    response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"outcomes\""});
    return response;
  }
  if (plan == nullptr || !plan->rules().HasSnapshot()) {
    return http::ErrorResponse(503, "this node has no snapshot yet");
  }
  const int64_t now_wall_ms = clock_.WallMs();
  const auto posted = ReadOutcomes(request.body, now_wall_ms);
  if (!posted.ok()) return http::ErrorResponse(400, posted.status().ToString());
  Totals counts;
  json rejected = json::array();
  Status first;
  for (size_t i = 0; i < posted->size(); ++i) {
    const Posted& one = (*posted)[i];
    bool is_late = false;
    const Status status =
        one.status.ok() ? Record(*plan, one.outcome, now_wall_ms, is_late) : one.status;
    if (status.ok()) {
      ++(is_late ? counts.late : counts.accepted);
      continue;
    }
    if (rejected.empty()) first = status;
    rejected.push_back(Rejection(i, status));
    ++counts.rejected;
  }
  totals_.Merge(counts);
  json body = {{"accepted", counts.accepted}, {"late", counts.late}};
  http::Response response;
  if (counts.rejected > 0 && counts.rejected == posted->size()) {
    response.status = HttpStatus(first);
    body["error"] = first.ToString();
  }
  body["rejected"] = std::move(rejected);
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

Status Service::Record(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms,
                       bool& is_late) {
  WEIR_ASSIGN_OR_RETURN(const Joined joined, Join(plan, outcome, now_wall_ms));
  const auto cell = recorders_.CellOf(joined.series);
  is_late = joined.is_late;
  if (is_late) {
    cell->Count(telemetry::Cell::kLate);
  } else if (!cell->RecordOutcome(outcome.metric, outcome.value)) {
    return InvalidArgument("metric", fmt::format("is one more than the {} that one arm may have",
                                                 telemetry::Series::kMaxOutcomes));
  }
  return OkStatus();
}

}  // namespace weir::node::outcomes
