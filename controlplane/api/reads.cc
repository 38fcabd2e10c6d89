// SPDX-License-Identifier: Apache-2.0
// What is: the snapshot, nodes, status, telemetry, events, explanations; and what nodes ask for.
#include <charconv>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "controlplane/api/status_view.h"
#include "controlplane/store/blob_store.h"
#include "shared/base/build_info.h"
#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;

constexpr int64_t kHourMs = 3'600'000;
constexpr size_t kZ85KeySize = 40;

struct EnrollBody {
  std::string node;
  std::string public_key;
  std::string token;
};
template <class V>
void Describe(V& v, EnrollBody& f) {
  v(2, "node", f.node, codec::Required());
  v(4, "public_key", f.public_key, codec::Required());
  v(6, "token", f.token);
}

// RFC 3339, or milliseconds since the Unix epoch.
Result<int64_t> ReadMoment(const Call& call, const std::string& name, int64_t fallback) {
  const std::string text = call.Query(name);
  if (text.empty()) return fallback;
  int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error == std::errc() && end == text.data() + text.size()) return ms;
  const Result<int64_t> time = ParseTimeMs(text);
  if (!time.ok()) return InvalidArgument(name, time.status().message());
  return time;
}

}  // namespace

void Api::Core::AddReadRoutes(std::vector<Route>& routes) {
  const auto add = [&](const char* method, const char* pattern, Body body,
                       std::vector<std::string> query, auto answer) -> Route& {
    routes.push_back(
        {.method = method,
         .pattern = pattern,
         .body = body,
         .query = std::move(query),
         .answer = [this, answer](const Call& call) { return (this->*answer)(call); }});
    return routes.back();
  };
  add("GET", "/v1/snapshot", Body::kNone, {}, &Core::Snapshot);
  add("GET", "/v1/nodes", Body::kNone, {}, &Core::Nodes);
  add("GET", "/v1/nodes/{id}", Body::kNone, {}, &Core::Node);
  add("GET", "/v1/status", Body::kNone, {}, &Core::StatusPage);
  add("GET", "/v1/telemetry", Body::kNone, {"subject", "from", "to", "step"}, &Core::Telemetry);
  add("GET", "/v1/events", Body::kNone, {"since", "follow"}, &Core::Events).is_stream = true;
  routes.push_back({.method = "POST",
                    .pattern = "/v1/explain",
                    .body = Body::kJson,
                    .query = {},
                    .answer = {},
                    .prepare = [this](const Call& call) { return ExplainKey(call); },
                    .need = Need::kViewer});
  add("GET", "/v1/bootstrap", Body::kNone, {}, &Core::BootstrapInfo).need = Need::kOpen;
  // The enrolment token is what it asks for.
  add("POST", "/v1/enroll", Body::kJson, {}, &Core::Enroll).need = Need::kOpen;
  add("PUT", "/v1/blobs/{sha256}", Body::kBytes, {}, &Core::PutBlob).on_worker = true;
  Route& blob = add("GET", "/v1/blobs/{sha256}", Body::kNone, {}, &Core::GetBlob);
  blob.on_worker = true;
  blob.need = Need::kNode;
  add("GET", "/ready", Body::kNone, {}, &Core::Ready).need = Need::kOpen;
  add("GET", "/metrics", Body::kNone, {}, &Core::Metrics).need =
      deps_.open_metrics ? Need::kOpen : Need::kViewer;
  routes.push_back({.method = "GET",
                    .pattern = "/health",
                    .query = {},
                    .answer = [](const Call&) -> Answer {
                      return JsonResponse({{"status", "ok"}, {"version", BuildVersion()}});
                    },
                    .need = Need::kOpen});
  routes.push_back({.method = "GET",
                    .pattern = "/health/canary",
                    .query = {"rollout"},
                    .answer = [this](const Call& call) -> Answer {
                      WEIR_ASSIGN_OR_RETURN(const Json view,
                                            CanaryHealthView(MakeWorld(), call.Query("rollout")));
                      return JsonResponse(view);
                    }});
}

Answer Api::Core::Snapshot(const Call&) {
  WEIR_ASSIGN_OR_RETURN(const auto compiled, snapshot_.Get(version_));
  return JsonResponse({{"epoch", deps_.epoch},
                       {"version", version_},
                       {"digest", compiled->digest_hex},
                       {"emergency", codec::ToJson(deps_.catalog.emergency())},
                       {"entries", compiled->entries}});
}

Answer Api::Core::Nodes(const Call&) {
  Json items = Json::array();
  for (const auto& node : MakeWorld().nodes->nodes) items.push_back(NodeView(*node));
  return JsonResponse({{"items", std::move(items)}});
}

Answer Api::Core::Node(const Call& call) {
  const World world = MakeWorld();
  const publish::NodeStatus* node = world.nodes->Find(call.args[0]);
  if (node != nullptr) {
    const int64_t now_ms = deps_.clock.MonotonicMs();
    Json view = NodeView(*node);
    view["head"] = version_;
    view["applied"] = publish::AppliedView(*node, now_ms, deps_.clock.WallMs());
    watch_.Observe(*world.nodes, version_);
    watch_.AddSince(node->id, view);
    return JsonResponse(view);
  }
  std::vector<std::string> ids;
  for (const auto& known : world.nodes->nodes) ids.push_back(known->id);
  return NotFound(
      fmt::format("there is no node \"{}\"{}", call.args[0], DidYouMean(call.args[0], ids)));
}

Answer Api::Core::StatusPage(const Call&) {
  const World world = MakeWorld();
  watch_.Observe(*world.nodes, version_);
  std::vector<Problem> problems = ResourceProblems(world);
  for (Problem& problem : watch_.Problems(deps_.catalog)) problems.push_back(std::move(problem));
  if (deps_.problems) {
    for (Problem& problem : deps_.problems()) problems.push_back(std::move(problem));
  }
  return JsonResponse(StatusView(world, version_, deps_.epoch, std::move(problems)));
}

Answer Api::Core::Telemetry(const Call& call) {
  const int64_t now_ms = deps_.clock.WallMs();
  TelemetryQuery query;
  query.subject = call.Query("subject");
  if (!query.subject.starts_with("model/")) {
    return InvalidArgument("subject", "\"" + query.subject +
                                          "\" is not model/NAME (of flags there are totals: "
                                          "GET /v1/flags/NAME)");
  }
  WEIR_ASSIGN_OR_RETURN(query.to_ms, ReadMoment(call, "to", now_ms));
  WEIR_ASSIGN_OR_RETURN(query.from_ms, ReadMoment(call, "from", query.to_ms - kHourMs));
  query.step_ms = 10'000;
  if (!call.Query("step").empty()) {
    const Result<int64_t> step = ParseDurationMs(call.Query("step"));
    if (!step.ok()) return InvalidArgument("step", step.status().message());
    query.step_ms = *step;
  }
  if (query.step_ms <= 0) return InvalidArgument("step", "is not above 0");
  if (query.from_ms >= query.to_ms) return InvalidArgument("from", "is not before `to`");
  WEIR_ASSIGN_OR_RETURN(const Json answer, deps_.telemetry(query));
  return JsonResponse(answer);
}

Answer Api::Core::Events(const Call& call) {
  Json items = Json::array();
  const EventLog::Tail tail = deps_.events.Since(call.Query("since"));
  for (const Event& event : tail.events) items.push_back(ToJson(event));
  return JsonResponse({{"items", std::move(items)}, {"complete", tail.complete}});
}

Answer Api::Core::BootstrapInfo(const Call&) {
  const Bootstrap info = deps_.bootstrap();
  const auto place = [](const Place& at) -> Json {
    return {{"server_key", at.server_key},
            {"fingerprint", at.fingerprint},
            {"channels", {{"cfg", at.cfg}, {"session", at.session}, {"telemetry", at.telemetry}}}};
  };
  Json answer = place(info.current);
  answer["epoch"] = info.epoch;
  answer["heartbeat_ms"] = info.heartbeat_ms;
  if (info.next.has_value()) answer["next"] = place(*info.next);
  return JsonResponse(answer);
}

Answer Api::Core::Enroll(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<EnrollBody>(call.json));
  if (!IsResourceName(body.node)) {
    return InvalidArgument("node", "\"" + body.node +
                                       "\" is not 1..253 of [a-zA-Z0-9._-], starting with a "
                                       "letter or a digit");
  }
  if (body.public_key.size() != kZ85KeySize)
    return InvalidArgument("public_key", "is not 40 characters of z85");
  if (body.token.empty() && !IsLoopback(call.remote)) {
    return ProblemResponse(
        403, FailedPrecondition("without a token only nodes on the control plane's own machine "
                                "are enrolled"));
  }
  const Status status = deps_.enroll({body.node, body.public_key, body.token});
  if (status.ok()) return JsonResponse({{"node", body.node}});
  if (status.code() == Code::kUnavailable || status.code() == Code::kResourceExhausted)
    return status;
  return ProblemResponse(403, status);
}

Answer Api::Core::PutBlob(const Call& call) const {
  const std::string& sha256 = call.args[0];
  const bool is_new = !deps_.blobs.Has(sha256);
  WEIR_RETURN_IF_ERROR(deps_.blobs.Put(sha256, call.bytes));
  return JsonResponse({{"sha256", sha256}, {"bytes", call.bytes.size()}}, is_new ? 201 : 200);
}

Answer Api::Core::GetBlob(const Call& call) const {
  WEIR_ASSIGN_OR_RETURN(std::string bytes, deps_.blobs.Read(call.args[0]));
  http::Response response;
  response.content_type = "application/octet-stream";
  response.body = std::move(bytes);
  return response;
}

Answer Api::Core::Ready(const Call&) {
  Json missing = Json::array();
  if (draining_) missing.push_back("the control plane is stopping");
  const std::string why = deps_.not_ready ? deps_.not_ready() : "";
  if (!why.empty()) missing.push_back(why);
  const bool ready = missing.empty();
  return JsonResponse({{"ready", ready}, {"missing", std::move(missing)}}, ready ? 200 : 503);
}

Answer Api::Core::Metrics(const Call&) {
  http::Response response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = MetricsText(MakeWorld(), counters_, version_);
  if (deps_.metrics) response.body += deps_.metrics();
  return response;
}

}  // namespace weir::control::api
