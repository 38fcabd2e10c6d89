// SPDX-License-Identifier: Apache-2.0
// What is asked of policies beside their documents: an executor that is closed again, and a replay
// of the past.
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/past.h"
#include "controlplane/api/problem.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;

struct BacktestBody {
  std::string from;
  std::string to;
  std::string since;
};
template <class V>
void Describe(V& v, BacktestBody& f) {
  v(2, "from", f.from);
  v(4, "to", f.to);
  v(6, "since", f.since);
}

// RFC 3339, or milliseconds since the Unix epoch.
Result<int64_t> ReadMoment(const std::string& field, const std::string& text) {
  int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error == std::errc() && end == text.data() + text.size()) return ms;
  const Result<int64_t> time = ParseTimeMs(text);
  if (!time.ok()) return InvalidArgument(field, time.status().message());
  return time;
}

Result<Span> ReadSpan(const BacktestBody& body, int64_t now_ms) {
  Span span;
  span.to_ms = now_ms;
  if (body.from.empty() == body.since.empty())
    return InvalidArgument("since", "give one of since (\"24h\") and from");
  if (!body.to.empty()) {
    WEIR_ASSIGN_OR_RETURN(span.to_ms, ReadMoment("to", body.to));
  }
  if (!body.from.empty()) {
    WEIR_ASSIGN_OR_RETURN(span.from_ms, ReadMoment("from", body.from));
    return span;
  }
  const Result<int64_t> back_ms = ParseDurationMs(body.since);
  if (!back_ms.ok()) return InvalidArgument("since", back_ms.status().message());
  span.from_ms = span.to_ms - *back_ms;
  return span;
}

constexpr char kRetryBacktestS[] = "5";

// It takes a processor, and a copy of the telemetry while core waits.
http::Response AnotherBacktestRuns() {
  http::Response response = ProblemResponse(
      429, Status(Code::kResourceExhausted,
                  "another backtest is under way, and there is one at a time: try again "
                  "when it has ended"));
  response.headers.push_back({"Retry-After", kRetryBacktestS});
  return response;
}

}  // namespace

void Api::Core::AddPolicyRoutes(std::vector<Route>& routes) {
  routes.push_back({.method = "POST",
                    .pattern = "/v1/policies/{name}/reset",
                    .body = Body::kJson,
                    .query = {},
                    .answer = [this](const Call& call) { return ResetPolicy(call); }});
  routes.push_back({.method = "POST",
                    .pattern = "/v1/policies/{name}/backtest",
                    .body = Body::kJson,
                    .query = {},
                    .answer = {},
                    .prepare = [this](const Call& call) { return BacktestPolicy(call); },
                    .need = Need::kViewer});
}

Answer Api::Core::ResetPolicy(const Call& call) {
  const std::string& name = call.args[0];
  const domain::Resource* policy = deps_.catalog.Find(Kind::kPolicy, name);
  if (policy == nullptr) return NoSuchResource(deps_.catalog, Kind::kPolicy, name);
  if (!deps_.policies.reset) return FailedPrecondition("no policies are watched here");
  WEIR_RETURN_IF_ERROR(deps_.policies.reset(name, call.actor));
  return JsonResponse(ViewOf(*policy, MakeWorld()));
}

Result<Slice> Api::Core::BacktestPolicy(const Call& call) {
  const std::string& name = call.args[0];
  if (deps_.catalog.Find(Kind::kPolicy, name) == nullptr)
    return NoSuchResource(deps_.catalog, Kind::kPolicy, name);
  if (!deps_.policies.backtest) return FailedPrecondition("no policies are watched here");
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<BacktestBody>(call.json));
  WEIR_ASSIGN_OR_RETURN(const Span span, ReadSpan(body, deps_.clock.WallMs()));
  if (!backtest_.expired())
    return Slice([]() -> std::optional<Answer> { return AnotherBacktestRuns(); });
  WEIR_ASSIGN_OR_RETURN(auto replay, deps_.policies.backtest(name, span.from_ms, span.to_ms));
  auto turn = std::make_shared<int>(0);
  backtest_ = turn;
  return Slice(
      [replay = std::move(replay), turn = std::move(turn)]() mutable -> std::optional<Answer> {
        http::Response response = JsonResponse(replay());
        turn.reset();  // before the answer is out: who has it may ask again
        return response;
      });
}

}  // namespace weir::control::api
