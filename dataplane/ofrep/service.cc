// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "dataplane/ofrep/answer.h"
#include "shared/base/text.h"

namespace weir::node::ofrep {
namespace {

constexpr std::string_view kEvaluate = "/ofrep/v1/evaluate/flags";
constexpr std::string_view kStream = "/ofrep/v1/stream";
constexpr int kInactivityS = 120;  // after which a client in the background may hang up
constexpr int kRetryAfterS = 5;
// A worker serves others too: flags with rules that are left after so long answer an error.
constexpr int64_t kMaxBulkMs = 1000;

http::Response Answer(int status) {
  http::Response response;
  response.status = status;
  return response;
}

http::Response ErrorAnswer(int status, std::string_view key, std::string_view code,
                           std::string_view details) {
  http::Response response = Answer(status);
  AppendError(key, code, details, &response.body);
  return response;
}

http::Response Refused(const access::Refusal& refusal) {
  http::Response response = ErrorAnswer(
      refusal.status, "", refusal.status == 503 ? "PROVIDER_NOT_READY" : "GENERAL", refusal.why);
  if (refusal.status == 401)
    response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"ofrep\""});
  if (refusal.status == 503)
    response.headers.push_back({"Retry-After", std::to_string(kRetryAfterS)});
  return response;
}

http::Response Busy(std::string_view message) {
  http::Response response = http::ErrorResponse(503, message);
  response.headers.push_back({"Retry-After", std::to_string(kRetryAfterS)});
  return response;
}

http::Response NoSnapshot(std::string_view key) {
  http::Response response =
      ErrorAnswer(503, key, "PROVIDER_NOT_READY", "this node has no snapshot yet");
  response.headers.push_back({"Retry-After", std::to_string(kRetryAfterS)});
  return response;
}

bool IsHost(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view(".-_:[]").find(c) != std::string_view::npos;
  });
}

}  // namespace

Service::Service(const OfrepOptions& options, const Clock& clock, flags::Desk& desk,
                 StreamBudget& budget, Streams::Later later)
    : clock_(clock),
      desk_(desk),
      access_(options),
      streams_(clock, budget, std::move(later)),
      random_(RandomU64() | 1) {}

void Service::SetRules(std::shared_ptr<const decision::Ruleset> rules) {
  sorted_.clear();
  rules_ = std::move(rules);
}

std::optional<http::Response> Service::Handle(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  std::optional<http::Response> response;
  const bool is_one = request.path.size() > kEvaluate.size() + 1 &&
                      request.path.starts_with(kEvaluate) && request.path[kEvaluate.size()] == '/';
  if (!is_one && request.path != kEvaluate && request.path != kStream) {
    response = http::ErrorResponse(404, "no such endpoint");
  } else if (request.path == kStream) {
    response = CheckMethod(request, "GET");
    if (!response.has_value() && !(response = Stream(exchange)).has_value()) return std::nullopt;
  } else if (!(response = CheckMethod(request, "POST")).has_value()) {
    if (const auto refusal = access_.Check(request)) {
      response = Refused(*refusal);
    } else if (is_one) {
      response = EvaluateOne(request, request.path.substr(kEvaluate.size() + 1));
    } else {
      response = EvaluateAll(request);
    }
  }
  if (request.method != "OPTIONS") access_.AddCors(request, &*response);
  return response;
}

std::optional<http::Response> Service::CheckMethod(const http::Request& request,
                                                   std::string_view method) const {
  if (request.method == method) return std::nullopt;
  const std::string allowed = std::string(method) + (access_.cors() ? ", OPTIONS" : "");
  if (request.method == "OPTIONS" && access_.cors()) return access_.Preflight(request, allowed);
  http::Response response = http::ErrorResponse(405, fmt::format("only {} is allowed", allowed));
  response.headers.push_back({"Allow", allowed});
  return response;
}

decision::FlagInputs Service::Inputs(const EvaluationRequest& request) {
  random_ ^= random_ << 13;  // xorshift64
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return {.key = request.targeting_key,
          .random = random_,
          .now_wall_ms = clock_.WallMs(),
          .context = request.context};
}

http::Response Service::EvaluateOne(const http::Request& request, std::string_view encoded_key) {
  std::string decoded;
  std::string_view key = encoded_key;
  if (key.find('%') != std::string_view::npos) key = decoded = http::PercentDecode(key);
  if (!HasSnapshot() && !IsEmergency()) return NoSnapshot(key);
  targeting::Arena arena;
  EvaluationRequest evaluation;
  if (const auto error = reader_.Read(request.body, arena, &evaluation)) {
    return ErrorAnswer(400, key, error->code, error->details);
  }
  const decision::FlagDecision decision = desk_.Decide(*rules_, key, Inputs(evaluation));
  http::Response response = Answer(StatusOf(decision));
  response.body.reserve(192 + key.size() + decision.value.size());
  AppendDecision(key, decision, &response.body);
  return response;
}

http::Response Service::EvaluateAll(const http::Request& request) {
  // Also in an emergency: an answer without the flags would empty the client's cache of them.
  if (!HasSnapshot()) return NoSnapshot("");
  targeting::Arena arena;
  EvaluationRequest evaluation;
  if (const auto error = reader_.Read(request.body, arena, &evaluation)) {
    return ErrorAnswer(400, "", error->code, error->details);
  }
  http::Response response;
  response.body.reserve(bulk_size_ + bulk_size_ / 8);
  response.body.append(R"({"flags":[)");
  AppendFlags(evaluation, &response.body);
  // Not of the streams: their address is the request's, and the same flags are the same answer
  // whichever node a balancer picked.
  std::string etag = ETagOf(response.body);
  response.body.append(R"(],"eventStreams":[)");
  AppendStreams(request, &response.body);
  response.body.append("]}");
  bulk_size_ = response.body.size();
  if (MatchesETag(request.Header("If-None-Match"), etag)) {
    response.status = 304;
    response.body.clear();
  }
  response.headers.push_back({"ETag", std::move(etag)});
  return response;
}

void Service::AppendFlags(const EvaluationRequest& request, std::string* out) {
  if (sorted_.empty()) {
    rules_->flags().ForEach([&](const decision::Flag& flag) { sorted_.push_back(&flag); });
    std::sort(sorted_.begin(), sorted_.end(),
              [](const auto* a, const auto* b) { return a->name < b->name; });
  }
  const decision::FlagInputs inputs = Inputs(request);
  const int64_t end_ms = clock_.MonotonicMs() + kMaxBulkMs;
  bool is_first = true;
  for (const decision::Flag* flag : sorted_) {
    if (!std::exchange(is_first, false)) out->push_back(',');
    const bool may_take_long = flag->rule != nullptr || !flag->parents.empty();
    if (may_take_long && clock_.MonotonicMs() >= end_ms) {
      AppendError(flag->name, "GENERAL", "the evaluation took too long", out);
      continue;
    }
    AppendDecision(flag->name, desk_.Decide(*rules_, flag->name, inputs), out);
  }
}

// Seen from the client: the scheme that a proxy names, and the host that was asked for. Without a
// usable one the client takes its own base address.
void Service::AppendStreams(const http::Request& request, std::string* out) const {
  const std::string target = std::string(kStream) + access_.StreamQuery(request);
  const std::string_view host = request.Header("Host");
  out->append(R"({"type":"sse",)");
  if (IsHost(host)) {
    const bool is_https =
        request.is_tls || http::EqualsIgnoreCase(request.Header("X-Forwarded-Proto"), "https");
    out->append(fmt::format(R"("url":"{}://{}{}",)", is_https ? "https" : "http", host, target));
  } else {
    out->append(fmt::format(R"("endpoint":{{"requestUri":"{}"}},)", target));
  }
  out->append(fmt::format(R"("inactivityDelaySec":{}}})", kInactivityS));
}

std::optional<http::Response> Service::Stream(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  if (const auto refusal = access_.CheckStream(request)) return Refused(*refusal);
  if (!HasSnapshot()) return Busy("this node has no snapshot yet");
  http::Response head;
  head.content_type = "text/event-stream";
  head.headers.push_back({"Cache-Control", "no-store"});
  head.headers.push_back({"X-Accel-Buffering", "no"});  // nginx passes each event on at once
  access_.AddCors(request, &head);
  const std::string last_id(request.Header("Last-Event-ID"));
  switch (streams_.Open(exchange, last_id, head)) {
    case Streams::Opened::kYes:
      return std::nullopt;
    case Streams::Opened::kDraining:
      return Busy("this node is stopping");
    case Streams::Opened::kTooMany:
      break;
  }
  return Busy("too many event streams are open here");
}

}  // namespace weir::node::ofrep
