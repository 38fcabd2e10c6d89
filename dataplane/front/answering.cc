// SPDX-License-Identifier: Apache-2.0
// The end of a request: what the version's answer counts as, who else is asked, what the client
// gets.
#include <fmt/format.h>

#include <utility>

#include "dataplane/front/call.h"
#include "dataplane/front/inference.h"
#include "dataplane/outcomes/token.h"
#include "shared/base/log.h"

namespace weir::node::front {
namespace {

// After a shed; services do not tell us how long they will be busy.
constexpr char kRetryAfterS[] = "1";
constexpr char kRetryAfterMs[] = "1000";

int StatusOf(Verdict verdict, bool late) {
  switch (verdict) {
    case Verdict::kGood:
      return 200;
    case Verdict::kBad:
      return late ? 504 : 500;
    case Verdict::kClientError:
      return 400;
    case Verdict::kShed:
      return 429;
  }
  return 500;
}

breaker::Outcome OutcomeOf(Verdict verdict, const runtime::Usage& usage) {
  if (verdict == Verdict::kGood) return breaker::Outcome::kGood;
  if (verdict != Verdict::kBad) return breaker::Outcome::kNothing;
  return usage.unreached ? breaker::Outcome::kUnreached : breaker::Outcome::kBad;
}

}  // namespace

void Inference::Finish(Call& call, const Status& status, const runtime::Usage& usage) {
  const Verdict verdict = VerdictOf(status, call.head, *call.route.target);
  const int64_t now_ns = clock_.MonotonicNs();
  const double latency_ns = static_cast<double>(now_ns - call.start_ns);
  const bool is_over = now_ns >= call.deadline_ns;
  // The client's own time ran out, or most of the time went in the queue: no failure of the
  // version.
  const bool is_given_up =
      verdict == Verdict::kBad && is_over && (call.is_hasty || call.SpentItsTimeWaiting());
  TellBreaker(call, is_given_up ? breaker::Outcome::kNothing : OutcomeOf(verdict, usage));
  if (verdict == Verdict::kBad && CanFallBack(call, now_ns)) {
    return FallBack(call, latency_ns / 1e6);
  }
  call.done = true;
  Depart(call);
  http::Response response = ResponseTo(call, verdict, status, usage.is_late || is_over);
  counters_.Count(EndpointOf(call), response.status, latency_ns / 1e9);
  if (is_given_up) {
    if (call.IsJudged()) call.route.target->recorder->Cancelled();
    return call.exchange->Respond(std::move(response));
  }
  Record(call, verdict, usage, latency_ns / 1e6);
  const bool is_answer = verdict == Verdict::kGood || verdict == Verdict::kBad;
  if (call.route.decision.is_copied && is_answer) Copy(call, verdict == Verdict::kGood);
  call.exchange->Respond(std::move(response));
}

bool Inference::CanFallBack(const Call& call, int64_t now_ns) const {
  const routing::ModelPlan& model = *call.model;
  return call.route.arm == routing::Arm::kCanary && model.split != nullptr &&
         model.split->fallback && !call.head && model.stable.handle != nullptr &&
         model.stable.is_predict == call.is_predict && now_ns < call.deadline_ns &&
         FindUnknownOutput(call, model.stable) == nullptr && !call.exchange->closed();
}

// The request goes to stable, from the beginning: once the call that failed has returned.
void Inference::FallBack(Call& call, double latency_ms) {
  const routing::Target& canary = *call.route.target;
  canary.recorder->Answer(latency_ms, /*bad=*/true, call.key_hash);
  canary.recorder->FellBack();
  call.failed = &canary;
  call.route.arm = routing::Arm::kStable;
  call.route.target = &call.model->stable;
  call.ResetAnswer();
  executor_->Post([this, again = call.shared_from_this()] {
    if (!again->done) Begin(again);
  });
}

// Into the arm, unless it is in none, and into those of the request's flags.
void Inference::Record(Call& call, Verdict verdict, const runtime::Usage& usage,
                       double latency_ms) {
  const bool is_bad = verdict == Verdict::kBad;
  const bool is_answer = is_bad || verdict == Verdict::kGood;
  // Whom a client or an operator sent where it went is no evidence for a flag either.
  if (is_answer && call.route.arm != routing::Arm::kPinned) {
    for (routing::Recorder* arm : call.flags.arms) arm->Answer(latency_ms, is_bad, call.key_hash);
  }
  if (!call.IsJudged()) return;
  const auto record = [&](routing::Recorder& recorder) {
    if (verdict == Verdict::kShed) return recorder.Shed();
    if (verdict == Verdict::kClientError) return recorder.ClientError();
    recorder.Answer(latency_ms, is_bad, call.key_hash);
    if (usage.tokens > 0) recorder.Tokens(usage.tokens);
    if (verdict == Verdict::kGood && usage.first_token_ns > 0)
      recorder.Ttft(static_cast<double>(usage.first_token_ns - call.start_ns) / 1e6);
    if (call.entered_ns > 0)
      recorder.Queue(static_cast<double>(call.entered_ns - call.came_ns) / 1e6);
  };
  record(*call.route.target->recorder);
  if (routing::Recorder* tenant = TenantOf(call)) record(*tenant);
  if (verdict != Verdict::kGood) return;
  for (const double value : call.outputs.firsts()) call.route.target->recorder->Output(value);
}

// Null: the request is no tenant's, or there are too many.
routing::Recorder* Inference::TenantOf(const Call& call) {
  const std::string_view tenant = call.exchange->request().Header("x-tenant-id");
  if (tenant.empty()) return nullptr;
  return tenants_.Find(tenant, call.model->key(), call.route.target->version,
                       routing::ArmName(call.route.arm), clock_.MonotonicMs());
}

void Inference::TellBreaker(Call& call, breaker::Outcome outcome) {
  const breaker::Permit permit = std::exchange(call.permit, breaker::Permit::kNone);
  if (permit == breaker::Permit::kNone) return;
  call.model->canary->breaker->Answer(permit, outcome, call.key_hash,
                                      clock_.MonotonicNs() / 1'000'000);
}

http::Response Inference::ResponseTo(Call& call, Verdict verdict, const Status& status, bool late) {
  const routing::Target& target = *call.route.target;
  http::Response response;
  if (verdict == Verdict::kGood) {
    response.body = call.is_predict ? std::move(call.predicted) : call.writer.Finish();
  } else {
    const std::string reason =
        status.ok() ? "the version ended without an answer" : status.ToString();
    response =
        http::ErrorResponse(StatusOf(verdict, late),
                            fmt::format("{} {}: {}", call.model->key(), target.version, reason));
    Log("front").debug("{} {} failed: {} (traceparent \"{}\")", call.model->key(), target.version,
                       reason, call.input.traceparent);
  }
  response.headers.reserve(6);
  AddHeaders(call, response);
  if (verdict == Verdict::kShed) {
    response.headers.push_back({"Retry-After", kRetryAfterS});
    response.headers.push_back({"retry-after-ms", kRetryAfterMs});
  }
  return response;
}

void Inference::AddHeaders(const Call& call, http::Response& response) const {
  const auto add = [&](const char* name, std::string_view value) {
    response.headers.push_back({name, std::string(value)});
  };
  const routing::Target& target = *call.route.target;
  const std::string_view arm = routing::ArmName(call.route.arm);
  add("x-weir-version", target.version);
  add("x-weir-arm", arm);
  add("x-weir-snapshot", call.plan->snapshot());
  if (!call.input.traceparent.empty()) add("traceparent", call.input.traceparent);
  if (call.failed != nullptr) add("x-weir-fallback", call.failed->version);
  if (!call.flags.text.empty()) add("x-weir-flags", call.flags.text);
  if (call.model->split == nullptr) return;
  // What counts in no arm must not get outcomes in one.
  const char* counted = call.IsJudged() ? arm.data() : routing::ArmName(routing::Arm::kDiverted);
  add("x-weir-decision", outcomes::EncodeToken({.model = call.model->key(),
                                                .version = target.version,
                                                .arm = counted,
                                                .rollout = call.route.decision.rollout,
                                                .served_wall_ms = clock_.WallMs()}));
}

void Inference::Copy(Call& call, bool is_good) {
  if (!call.model->shadow.has_value()) return;
  shadow_.Keep({.plan = call.plan,
                .model = call.model,
                .input = &call.input,
                .request = &call.request,
                .outputs = &call.outputs,
                .is_good = is_good,
                .key_hash = call.key_hash,
                .random = Random()});
}

}  // namespace weir::node::front
