// SPDX-License-Identifier: Apache-2.0
// What a worker is asked, by path: inference and OFREP are handed on, the rest is answered here.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/front/select.h"
#include "dataplane/front/worker.h"
#include "dataplane/routing/keys.h"
#include "shared/base/build_info.h"
#include "shared/codec/json.h"
#include "shared/explain/explain.h"

namespace weir::node::front {
namespace {

using nlohmann::json;

constexpr std::string_view kModels = "/v2/models/";
constexpr std::string_view kPredict = "/predict/";

http::Response JsonResponse(const json& body, int status = 200) {
  http::Response response;
  response.status = status;
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

http::Response WrongMethod(const char* allowed) {
  http::Response response = http::ErrorResponse(405, fmt::format("only {} is allowed", allowed));
  response.headers.push_back({"Allow", allowed});
  return response;
}

http::Response NoSnapshot() { return http::ErrorResponse(503, "this node has no snapshot yet"); }

bool IsGet(const http::Request& request) {
  return request.method == "GET" || request.method == "HEAD";
}

// What balancers and monitors ask over and over.
bool IsProbe(std::string_view path) {
  return path == "/ready" || path == "/health" || path.starts_with("/v2/health/");
}

// What follows /v2/models/: a model, perhaps a version, perhaps a verb ("infer", "ready").
struct ModelPath {
  std::string_view model;
  std::optional<std::string_view> version;
  std::string_view verb;
};

std::string_view TakeSegment(std::string_view& rest) {
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view segment = rest.substr(0, slash);
  rest.remove_prefix(std::min(slash + 1, rest.size()));
  return segment;
}

std::optional<ModelPath> ParseModelPath(std::string_view rest) {
  ModelPath path;
  path.model = TakeSegment(rest);
  if (path.model.empty()) return std::nullopt;
  if (rest.starts_with("versions/")) {
    TakeSegment(rest);
    path.version = TakeSegment(rest);
    if (path.version->empty()) return std::nullopt;
  }
  path.verb = TakeSegment(rest);
  const bool known = path.verb.empty() || path.verb == "infer" || path.verb == "ready";
  if (!known || !rest.empty()) return std::nullopt;
  return path;
}

json Tensors(const std::vector<domain::TensorSpec>& specs) {
  json list = json::array();
  for (const domain::TensorSpec& spec : specs) {
    list.push_back({{"name", spec.name}, {"datatype", spec.datatype}, {"shape", spec.shape}});
  }
  return list;
}

}  // namespace

void Worker::Respond(http::Exchange& exchange, Endpoint endpoint, int64_t start_ns,
                     http::Response response) {
  counters_.Count(endpoint, response.status,
                  static_cast<double>(clock_.MonotonicNs() - start_ns) / 1e9);
  exchange.Respond(std::move(response));
}

bool Worker::Refuses(http::Exchange& exchange, access::Scope scope, Endpoint endpoint,
                     int64_t start_ns) {
  if (!guard_.Requires(scope)) return false;
  const auto refusal = guard_.Check(exchange.request(), scope);
  if (!refusal.has_value()) return false;
  Respond(exchange, endpoint, start_ns, access::ToResponse(*refusal));
  return true;
}

void Worker::Handle(const std::shared_ptr<http::Exchange>& exchange) {
  if (IsHeld(exchange)) return;
  const int64_t start_ns = clock_.MonotonicNs();
  const http::Request& request = exchange->request();
  if (!IsProbe(request.path)) {
    application_requests_.store(application_requests() + 1, std::memory_order_relaxed);
  }
  if (options_.inference && request.path.starts_with(kModels)) {
    if (Refuses(*exchange, access::Scope::kInference, Endpoint::kInfer, start_ns)) return;
    return HandleModels(exchange, start_ns);
  }
  if (options_.inference && request.path.starts_with(kPredict)) {
    if (Refuses(*exchange, access::Scope::kInference, Endpoint::kPredict, start_ns)) return;
    return HandlePredict(exchange, start_ns);
  }
  if (ofrep_ != nullptr && ofrep::Service::Serves(request.path)) {
    std::optional<http::Response> response = ofrep_->Handle(exchange);
    if (response.has_value()) {
      return Respond(*exchange, Endpoint::kOfrep, start_ns, *std::move(response));
    }
    return counters_.Count(Endpoint::kOfrep, 200, 0);  // a stream: only its beginning is timed
  }
  Endpoint endpoint = Endpoint::kOther;
  http::Response response = Answer(request, &endpoint);
  Respond(*exchange, endpoint, start_ns, std::move(response));
}

void Worker::HandleModels(const std::shared_ptr<http::Exchange>& exchange, int64_t start_ns) {
  const http::Request& request = exchange->request();
  std::string decoded;
  std::string_view rest = request.path.substr(kModels.size());
  if (rest.find('%') != std::string_view::npos) rest = decoded = http::PercentDecode(rest);
  const std::optional<ModelPath> path = ParseModelPath(rest);
  if (!path.has_value()) {
    return Respond(*exchange, Endpoint::kOther, start_ns,
                   http::ErrorResponse(404, "no such endpoint"));
  }
  if (path->verb == "infer") {
    if (request.method == "POST") {
      return inference_.Handle(exchange, plan_, {path->model, path->version}, start_ns);
    }
    return Respond(*exchange, Endpoint::kInfer, start_ns, WrongMethod("POST"));
  }
  const auto respond = [&](http::Response response) {
    Respond(*exchange, Endpoint::kMetadata, start_ns, std::move(response));
  };
  if (!IsGet(request)) return respond(WrongMethod("GET"));
  if (!HasSnapshot()) return respond(NoSnapshot());
  const routing::ModelPlan* model = plan_->Find(path->model);
  if (model == nullptr) {
    return respond(http::ErrorResponse(404, fmt::format("model \"{}\" is unknown", path->model)));
  }
  if (path->version.has_value() && !model->by_version.contains(*path->version)) {
    return respond(http::ErrorResponse(
        404, fmt::format("{} has no version \"{}\"", path->model, *path->version)));
  }
  if (path->verb == "ready") {
    return respond(ModelReady(*model, path->version.value_or(model->Serving().version)));
  }
  respond(ModelMetadata(*model));
}

void Worker::HandlePredict(const std::shared_ptr<http::Exchange>& exchange, int64_t start_ns) {
  const http::Request& request = exchange->request();
  const std::string model = http::PercentDecode(request.path.substr(kPredict.size()));
  const auto respond = [&](http::Response response) {
    Respond(*exchange, Endpoint::kPredict, start_ns, std::move(response));
  };
  if (model.empty() || model.find('/') != std::string::npos) {
    return respond(http::ErrorResponse(404, "no such endpoint; POST /predict/<model>"));
  }
  if (request.method != "POST") return respond(WrongMethod("POST"));
  inference_.Handle(exchange, plan_, {model, std::nullopt, /*is_predict=*/true}, start_ns);
}

http::Response Worker::ModelMetadata(const routing::ModelPlan& model) const {
  json versions = json::array();
  for (const domain::VersionEntry& entry : model.model->versions) versions.push_back(entry.version);
  json body = {{"name", model.model->name},
               {"versions", std::move(versions)},
               {"platform", ""},
               {"inputs", Tensors(model.model->inputs)},
               {"outputs", json::array()}};
  const routing::Target& serving = model.Serving();
  if (const auto* entry = model.model->FindVersion(serving.version)) {
    body["platform"] = entry->runtime;
  }
  if (serving.handle != nullptr) body["outputs"] = Tensors(serving.handle->outputs());
  return JsonResponse(body);
}

http::Response Worker::ModelReady(const routing::ModelPlan& model, std::string_view version) const {
  const auto found = model.by_version.find(version);
  const bool ready = found != model.by_version.end() && found->second.handle != nullptr;
  json body = {{"name", model.model->name}, {"version", version}, {"ready", ready}};
  if (!ready && found != model.by_version.end()) body["error"] = found->second.unready;
  return JsonResponse(body, ready ? 200 : 503);
}

http::Response Worker::Answer(const http::Request& request, Endpoint* endpoint) {
  const std::string_view path = request.path;
  const auto ready = [&] {
    return readiness_.Answer(plan_.get(), versions_.get(), status_.get(), overrides_.get(),
                             clock_.MonotonicMs(), clock_.WallMs());
  };
  if (path == "/weir/v1/explain") {
    *endpoint = Endpoint::kExplain;
    return request.method == "POST" ? Explain(request) : WrongMethod("POST");
  }
  if (path == "/weir/v1/outcomes" && outcomes_ != nullptr) {
    *endpoint = Endpoint::kOutcomes;
    if (guards_outcomes_) {
      if (const auto refusal = guard_.Check(request, access::Scope::kInference))
        return access::ToResponse(*refusal);
    }
    return request.method == "POST" ? outcomes_->Handle(request, plan_.get()) : WrongMethod("POST");
  }
  using Make = std::function<http::Response()>;
  struct Row {
    std::string_view path;
    Endpoint endpoint;
    Make make;
    bool inference;
  };
  const Row rows[] = {
      {"/health", Endpoint::kHealth,
       [] {
         return JsonResponse({{"status", "alive"}});
       },
       false},
      {"/ready", Endpoint::kReady, ready, false},
      {"/weir/v1/select", Endpoint::kSelect, [&] { return Select(request); }, false},
      {"/v2", Endpoint::kMetadata,
       [] {
         return JsonResponse(
             {{"name", "weir"}, {"version", BuildVersion()}, {"extensions", json::array()}});
       },
       true},
      {"/v2/health/live", Endpoint::kHealth,
       [] {
         return JsonResponse({{"live", true}});
       },
       true},
      {"/v2/health/ready", Endpoint::kReady,
       [&] {
         const bool is = readiness_.Check(plan_.get(), versions_.get(), status_.get());
         return JsonResponse({{"ready", is}}, is ? 200 : 503);
       },
       true},
  };
  for (const Row& row : rows) {
    if (path != row.path || (row.inference && !options_.inference)) continue;
    *endpoint = row.endpoint;
    return IsGet(request) ? row.make() : WrongMethod("GET");
  }
  return http::ErrorResponse(404, "no such endpoint");
}

http::Response Worker::Select(const http::Request& request) {
  if (guard_.Requires(access::Scope::kInference)) {
    if (const auto refusal = guard_.Check(request, access::Scope::kInference))
      return access::ToResponse(*refusal);
  }
  const std::optional<std::string> name = request.Query("model");
  if (!name.has_value() || name->empty()) return http::ErrorResponse(400, "model: is missing");
  if (!HasSnapshot()) return NoSnapshot();
  const routing::ModelPlan* model = plan_->Find(*name);
  if (model == nullptr) {
    return http::ErrorResponse(404, fmt::format("model \"{}\" is unknown", *name));
  }
  const std::string user_id = request.Query("user_id").value_or("");
  const std::string session_id = request.Query("session_id").value_or("");
  const std::string request_id = request.Query("request_id").value_or("");
  const decision::Keys keys = routing::KeysOf(request, {user_id, session_id, request_id});
  routing::Route route = plan_->Decide(*model, keys, inference_.Random());
  const bool is_canary = route.arm == routing::Arm::kCanary && route.target->breaker != nullptr;
  if (is_canary && route.target->breaker->state() != breaker::State::kClosed) {
    routing::Plan::Divert(*model, route);
  }
  return JsonResponse(front::Select(*model, route));
}

http::Response Worker::Explain(const http::Request& request) {
  if (guard_.Requires(access::Scope::kNodeAdmin)) {
    if (const auto refusal = guard_.Check(request, access::Scope::kNodeAdmin))
      return access::ToResponse(*refusal);
  } else if (ofrep_ != nullptr && ofrep_->Check(request).has_value()) {
    http::Response response = http::ErrorResponse(
        401, "a token is needed, as for OFREP: Authorization: Bearer, or X-API-Key");
    response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"ofrep\""});
    return response;
  }
  if (!HasSnapshot() && (rules_ == nullptr || !rules_->IsEmergency())) return NoSnapshot();
  const Result<json> parsed = codec::ParseJson(request.body);
  if (!parsed.ok()) return http::ErrorResponse(400, "body: " + parsed.status().ToString());
  const json& body = *parsed;
  if (!body.is_object()) return http::ErrorResponse(400, "body: is no JSON object");
  const auto unreadable = [&](const char* name) {
    return body.contains(name) && !body[name].is_string();
  };
  for (const char* name : {"key", "user_id", "session_id", "request_id", "model", "flag"}) {
    if (unreadable(name)) return http::ErrorResponse(400, fmt::format("{}: is no text", name));
  }
  if (body.contains("context") && !body["context"].is_object()) {
    return http::ErrorResponse(400, "context: is no JSON object");
  }
  const std::string ids[] = {body.value("user_id", ""), body.value("session_id", ""),
                             body.value("request_id", "")};
  const decision::Keys keys = routing::KeysOf(request, {ids[0], ids[1], ids[2]});
  explain::Query query{.key = body.value("key", ""),
                       .model = body.value("model", ""),
                       .flag = body.value("flag", ""),
                       .random = inference_.Random(),
                       .context = body.contains("context") ? body["context"].dump() : "",
                       .now_wall_ms = clock_.WallMs()};
  // A key stands for whichever id a split is keyed by.
  for (const std::string_view id : {keys.user_id, keys.session_id, keys.request_id}) {
    if (query.key.empty()) query.key = id;
  }
  if (query.key.empty()) {
    return http::ErrorResponse(400, "key: is missing; give key, user_id, session_id or request_id");
  }
  return JsonResponse(explain::Explain(plan_->rules(), query));
}

}  // namespace weir::node::front
