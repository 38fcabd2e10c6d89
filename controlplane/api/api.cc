// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/api.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "controlplane/store/blob_store.h"
#include "shared/base/log.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::api {

using codec::Json;

bool IsLoopback(std::string_view address) {
  const size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.starts_with("::ffff:")) host.remove_prefix(7);
  const bool is_numeric = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return host == "localhost" || host == "::1" || (is_numeric && host.starts_with("127."));
}

Api::Api(Dependencies dependencies) : core_(std::make_unique<Core>(std::move(dependencies))) {}
Api::~Api() { Stop(); }
Status Api::Start(http::ServerOptions options) { return core_->Start(std::move(options)); }
std::string Api::address() const { return core_->server().address(); }
Status Api::ReloadCertificate() { return core_->server().ReloadCertificate(); }
http::ServerCounters Api::counters() const { return core_->server().counters(); }
void Api::OnCommitted(const catalog::Committed& committed) { core_->OnCommitted(committed); }
void Api::Tick() { core_->Tick(); }
void Api::BeginDrain() { core_->BeginDrain(); }
void Api::Drain(int64_t deadline_ms) { core_->server().Drain(deadline_ms); }
void Api::Stop() { core_->Stop(); }

Api::Core::Core(Dependencies dependencies)
    : deps_(std::move(dependencies)),
      router_(Routes()),
      version_(deps_.catalog.revision()),
      snapshot_(deps_.catalog, deps_.epoch),
      watch_(deps_.events, deps_.clock),
      streams_(deps_.events, deps_.clock, [this](int worker, std::function<void()> task) {
        server_.worker(worker).Post(std::move(task));
      }) {
  deps_.catalog.ForEach(domain::Kind::kRollout, [this](const domain::Resource& rollout) {
    if (rollout.status.has_value()) rollouts_[rollout.name] = *rollout.status;
  });
}

Status Api::Core::Start(http::ServerOptions options) {
  options.max_body = std::max(options.max_body, store::BlobStore::kMaxBytes);
  options.body_limit = [this](const http::Request& request, int worker) {
    return BodyLimit(request, worker);
  };
  scheme_ = options.tls_cert_file.empty() ? "http://" : "https://";
  access_ = AccessTable::Of(deps_.catalog, deps_.require_tokens);
  doors_.resize(static_cast<size_t>(options.workers));
  for (Door& door : doors_) door.SetTable(access_);
  return server_.Start(options,
                       [this](std::shared_ptr<http::Exchange> exchange) { Handle(exchange); });
}

void Api::Core::Stop() {
  if (!*alive_) return;
  *alive_ = false;
  server_.Stop();
}

void Api::Core::BeginDrain() {
  draining_ = true;
  streams_.EndAll();
}

std::vector<Route> Api::Core::Routes() {
  std::vector<Route> routes;
  AddResourceRoutes(routes);
  AddChangeRoutes(routes);
  AddReadRoutes(routes);
  if (deps_.operations.has_value()) AddOperationRoutes(routes);
  if (deps_.alerts.has_value()) AddAlertRoutes(routes);
  AddKeyRoutes(routes);
  AddTokenRoutes(routes);
  AddPolicyRoutes(routes);
  return routes;
}

void Api::Core::PostToCore(std::function<void()> task) {
  deps_.core.Post([alive = alive_, task = std::move(task)] {
    if (*alive) task();
  });
}

namespace {

// A browser says where a request comes from; without a token, that is all there is to tell an
// operator's own page from any other one.
bool IsCrossSite(const http::Request& request, const std::string& scheme) {
  if (request.Header("sec-fetch-site") == "cross-site") return true;
  const std::string_view origin = request.Header("origin");
  return !origin.empty() && origin != fmt::format("{}{}", scheme, request.Header("host"));
}

// A page whose own name was made to lead to this machine says that name. An address is no name, and
// has been asked for as it is.
bool IsForeignName(const http::Request& request) {
  const std::string_view host = request.Header("host");
  const std::string_view name = host.substr(0, host.rfind(':'));
  const bool is_address =
      host.starts_with('[') || name.find_first_not_of("0123456789.") == std::string_view::npos;
  return !is_address && name != "localhost";
}

size_t MostBody(const Route& route) {
  return route.body == Body::kBytes ? store::BlobStore::kMaxBytes : kMaxBody;
}

Status TooLarge(const http::Request& request, const Route& route) {
  return InvalidArgument("", fmt::format("the body has {} bytes; at most {} are allowed",
                                         request.Header("content-length"), MostBody(route)));
}

}  // namespace

void Api::Core::Handle(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  Router::Match match = router_.Find(request.method, request.path);
  if (match.route == nullptr) return AnswerOnWorker(exchange, "other", std::move(match.refusal));
  const Route& route = *match.route;
  if (IsCrossSite(request, scheme_)) {
    return AnswerOnWorker(
        exchange, route.pattern,
        ProblemResponse(403, FailedPrecondition("a page of another site may not ask this API")));
  }
  const Door& door = doors_[static_cast<size_t>(exchange->worker())];
  const bool is_for_people = route.need != Need::kOpen && route.need != Need::kNode;
  if (is_for_people && !door.table().required() && IsForeignName(request)) {
    return AnswerOnWorker(
        exchange, route.pattern,
        ProblemResponse(403, FailedPrecondition(fmt::format(
                                 "\"{}\" is no name of this machine; an API that is reached by "
                                 "other names needs tokens (weir token create NAME --role admin)",
                                 request.Header("host")))));
  }
  std::string actor;
  if (!Admit(exchange, route, &actor)) return;
  if (request.is_body_withheld) {
    return AnswerOnWorker(exchange, route.pattern, ProblemResponse(413, TooLarge(request, route)));
  }
  Result<Call> call = ReadCall(request, route.body, route.query);
  if (!call.ok()) return AnswerOnWorker(exchange, route.pattern, ProblemResponse(call.status()));
  call->args = std::move(match.args);
  if (!actor.empty()) call->actor = std::move(actor);
  if (route.need == Need::kNode && ShowsNodeProof(request))
    return CheckNode(exchange, route, *std::move(call));
  AnswerCall(exchange, route, *std::move(call));
}

size_t Api::Core::BodyLimit(const http::Request& request, int worker) const {
  const Router::Match match = router_.Find(request.method, request.path);
  if (match.route == nullptr) return 0;
  const Route& route = *match.route;
  const bool is_checked_later =
      route.need == Need::kOpen || (route.need == Need::kNode && ShowsNodeProof(request));
  const Door& door = doors_[static_cast<size_t>(worker)];
  if (!is_checked_later && !door.Opens(request, route.need, deps_.clock.WallMs())) return 0;
  return MostBody(route);
}

bool Api::Core::Admit(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
                      std::string* actor) {
  const http::Request& request = exchange->request();
  if (route.need == Need::kOpen) return true;
  Door& door = doors_[static_cast<size_t>(exchange->worker())];
  const int64_t now_ms = deps_.clock.MonotonicMs();
  const bool is_node = route.need == Need::kNode && ShowsNodeProof(request);  // CheckNode
  Door::Verdict verdict = is_node ? door.CheckAddress(request, now_ms)
                                  : door.Check(request, route.need, now_ms, deps_.clock.WallMs());
  *actor = std::move(verdict.actor);
  if (verdict.refusal == Refusal::kNone) return true;
  PostToCore([this, why = RefusalName(verdict.refusal)] { ++counters_.refusals[why]; });
  AnswerOnWorker(exchange, route.pattern, std::move(verdict.response));
  return false;
}

void Api::Core::ChangeTokens(const catalog::Committed& committed) {
  bool is_any = false;
  bool is_revoked = false;
  for (const domain::ResourceKey& key : committed.resources) {
    if (key.kind != domain::Kind::kToken) continue;
    is_any = true;
    is_revoked |= deps_.catalog.Find(key.kind, key.name) == nullptr;
  }
  if (!is_any || doors_.empty()) return;
  const bool was_required = access_->required();
  access_ = AccessTable::Of(deps_.catalog, deps_.require_tokens);
  for (size_t i = 0; i < doors_.size(); ++i) {
    server_.worker(static_cast<int>(i)).Post([this, i, table = access_] {
      doors_[i].SetTable(table);
    });
  }
  if (access_->required() && (is_revoked || !was_required)) streams_.EndAll();
}

void Api::Core::AnswerCall(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
                           Call call) {
  if (route.on_worker) {
    Answer answer = route.answer(call);
    return AnswerOnWorker(exchange, route.pattern,
                          answer.ok() ? *std::move(answer) : ProblemResponse(answer.status()));
  }
  AnswerOnCore(exchange, route, std::move(call));
}

void Api::Core::AnswerOnCore(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
                             Call call) {
  auto shared = std::make_shared<const Call>(std::move(call));
  PostToCore([this, exchange, &route, shared] {
    const bool follows = route.is_stream && shared->Query("follow") != "false";
    if (follows && !draining_) return OpenStream(exchange, *shared);
    http::Response response;
    try {
      if (route.method != "GET") deps_.before_change();
      if (route.prepare) {
        Result<Slice> slice = route.prepare(*shared);
        if (slice.ok()) {
          return server_.worker(exchange->worker())
              .Post([this, exchange, &route, slice = *std::move(slice)] {
                AnswerInSlices(exchange, route.pattern, slice);
              });
        }
        return RespondFromCore(exchange, route, ProblemResponse(slice.status()));
      }
      Answer answer =
          follows ? Answer(Unavailable("the control plane is stopping")) : route.answer(*shared);
      response = answer.ok() ? *std::move(answer) : ProblemResponse(answer.status());
    } catch (const std::exception& e) {
      Log("api").error("{} {}: {}", route.method, route.pattern, e.what());
      response = ProblemResponse(Internal(e.what()));
    }
    RespondFromCore(exchange, route, std::move(response));
  });
}

void Api::Core::RespondFromCore(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
                                http::Response response) {
  ++counters_.requests[{route.pattern, response.status}];
  server_.worker(exchange->worker()).Post([exchange, response = std::move(response)] {
    exchange->Respond(response);
  });
}

void Api::Core::AnswerInSlices(const std::shared_ptr<http::Exchange>& exchange,
                               const std::string& endpoint, const Slice& slice) {
  if (exchange->closed()) return;
  try {
    if (std::optional<Answer> answer = slice()) {
      return AnswerOnWorker(exchange, endpoint,
                            answer->ok() ? **std::move(answer) : ProblemResponse(answer->status()));
    }
  } catch (const std::exception& e) {
    Log("api").error("{}: {}", endpoint, e.what());
    return AnswerOnWorker(exchange, endpoint, ProblemResponse(Internal(e.what())));
  }
  server_.worker(exchange->worker()).Post([this, exchange, endpoint, slice] {
    AnswerInSlices(exchange, endpoint, slice);
  });
}

void Api::Core::OpenStream(const std::shared_ptr<http::Exchange>& exchange, const Call& call) {
  ++counters_.requests[{"/v1/events", 200}];
  const std::string since = call.last_event_id.empty() ? call.Query("since") : call.last_event_id;
  streams_.Open(exchange, since,
                [this](uint64_t id) { PostToCore([this, id] { streams_.Close(id); }); });
}

void Api::Core::AnswerOnWorker(const std::shared_ptr<http::Exchange>& exchange,
                               const std::string& endpoint, http::Response response) {
  const int status = response.status;
  exchange->Respond(std::move(response));
  PostToCore([this, endpoint, status] { ++counters_.requests[{endpoint, status}]; });
}

World Api::Core::MakeWorld() const {
  static const auto kNobody = std::make_shared<const publish::NodesView>();
  std::shared_ptr<const publish::NodesView> nodes = deps_.nodes();
  return {deps_.clock,          deps_.catalog,
          deps_.rollouts,       nodes == nullptr ? kNobody : nodes,
          deps_.flag_totals,    deps_.sink_status,
          deps_.policies.status};
}

void Api::Core::OnCommitted(const catalog::Committed& committed) {
  ++counters_.commits;
  if (!committed.entries.empty() || committed.emergency_changed) version_ = committed.revision;
  ChangeTokens(committed);
  Json resources = Json::array();
  for (const domain::ResourceKey& key : committed.resources)
    resources.push_back({{"kind", domain::KindName(key.kind)}, {"name", key.name}});
  Json data = {{"revision", committed.revision}, {"resources", std::move(resources)}};
  const auto rows = deps_.catalog.History(
      {.kind = std::nullopt, .name = "", .before = committed.revision + 1, .limit = 1});
  if (rows.ok() && !rows->empty()) {
    data["actor"] = rows->front().actor;
    data["reason"] = rows->front().reason;
  }
  deps_.events.Add("commit", data);
  if (committed.emergency_changed) {
    Json emergency = codec::ToJson(deps_.catalog.emergency());
    for (const char* field : {"revision", "actor", "reason"}) {
      if (data.contains(field)) emergency[field] = data[field];
    }
    deps_.events.Add("emergency", std::move(emergency));
  }
  for (const domain::ResourceKey& key : committed.resources) {
    if (key.kind != domain::Kind::kRollout) continue;
    const domain::Resource* rollout = deps_.catalog.Find(key.kind, key.name);
    if (rollout == nullptr || !rollout->status.has_value()) {
      rollouts_.erase(key.name);
      continue;
    }
    const domain::RolloutStatus& now = *rollout->status;
    const domain::RolloutStatus before = std::exchange(rollouts_[key.name], now);
    if (before.state == now.state && before.phase == now.phase) continue;
    if (now.state == "rolling_back") {
      ++counters_.rollbacks[{key.name,
                             now.last_verdict.has_value() ? now.last_verdict->trigger : "manual"}];
    }
    Json event = {
        {"rollout", key.name}, {"from", before.state},         {"to", now.state},
        {"phase", now.phase},  {"percentage", now.percentage}, {"revision", committed.revision}};
    if (data.contains("reason")) event["reason"] = data["reason"];
    if (now.last_verdict.has_value()) event["verdict"] = codec::ToJson(*now.last_verdict);
    deps_.events.Add("rollout", std::move(event));
  }
}

void Api::Core::Tick() {
  watch_.Observe(*MakeWorld().nodes, version_);
  streams_.Tick();
}

}  // namespace weir::control::api
