// SPDX-License-Identifier: Apache-2.0
// A request at its model's gate: it passes, waits for a slot, or is turned away.
#include <string>
#include <utility>

#include "dataplane/front/call.h"
#include "dataplane/front/inference.h"
#include "dataplane/routing/keys.h"

namespace weir::node::front {
namespace {

// One digit; whatever else is said says nothing.
int PriorityOf(const http::Request& request, const InferRequest& body) {
  const std::string_view text = request.Header("x-weir-priority");
  if (text.size() == 1 && text[0] >= '0' && text[0] <= '9') return text[0] - '0';
  return body.priority.value_or(admission::kDefaultPriority);
}

// Whose limits it counts for. All who say nothing that lasts from one request to the next are one
// caller: else leaving the key out would be a way around them.
uint32_t CallerOf(const decision::Keys& keys) {
  for (const std::string_view key : {keys.user_id, keys.session_id}) {
    if (!key.empty()) return telemetry::HashKey(key);
  }
  return 0;
}

}  // namespace

bool Inference::IsBroken(const Call& call, const routing::Target& target) const {
  admission::Gate* gate = call.model->gate.get();
  return gate != nullptr && gate->IsBroken(target.version, GateNow());
}

void Inference::Admit(std::shared_ptr<Call> call) {
  admission::Gate* gate = call->model->gate.get();
  if (gate == nullptr) return Begin(std::move(call));
  const http::Request& request = call->exchange->request();
  call->caller = CallerOf(routing::KeysOf(request, call->request.keys()));
  const admission::Now now = GateNow();
  call->came_ns = now.ns;
  const admission::Outcome outcome = gate->Enter(
      {.version = call->route.target->version,
       .priority = PriorityOf(request, call->request),
       .caller = call->caller,
       .caller_hash = call->key_hash,
       .deadline_ns = call->deadline_ns},
      now, [this, &call] {
        return admission::Waiter{executor_,
                                 [this, call](admission::Refusal refusal) { Wake(call, refusal); }};
      });
  switch (outcome.kind) {
    case admission::Outcome::Kind::kEntered:
      call->standing = Call::Standing::kInside;
      call->entered_ns = now.ns;
      return Begin(std::move(call));
    case admission::Outcome::Kind::kWaits:
      call->standing = Call::Standing::kWaiting;
      call->ticket = outcome.ticket;
      return WatchClose(call);
    case admission::Outcome::Kind::kRefused:
      TurnAway(*call, outcome.refusal, outcome.sentence, outcome.retry_after_ms);
      return Recycle(std::move(call));
  }
}

// It waited, and has a slot now or never will.
void Inference::Wake(const std::shared_ptr<Call>& call, admission::Refusal refusal) {
  admission::Gate& gate = *call->model->gate;
  const admission::Now now = GateNow();
  if (call->done) {
    if (refusal == admission::Refusal::kNone) gate.Leave(call->caller, 0, now);
    return;
  }
  if (refusal == admission::Refusal::kNone && now.ns < call->deadline_ns) {
    call->standing = Call::Standing::kInside;
    call->entered_ns = now.ns;
    return Begin(call);
  }
  if (refusal == admission::Refusal::kNone) {  // its time ran out on the way here
    gate.Leave(call->caller, 0, now);
    refusal = admission::Refusal::kDeadline;
  }
  call->standing = Call::Standing::kOutside;
  TurnAway(*call, refusal, gate.SentenceOf(refusal, (now.ns - call->came_ns) / 1'000'000),
           gate.RetryAfterMs(refusal, now));
}

void Inference::TurnAway(Call& call, admission::Refusal refusal, const std::string& sentence,
                         int64_t retry_after_ms) {
  call.done = true;
  TellBreaker(call, breaker::Outcome::kNothing);
  const double latency_ms = static_cast<double>(clock_.MonotonicNs() - call.start_ns) / 1e6;
  Record(call, Verdict::kShed, {}, latency_ms);
  http::Response response = http::ErrorResponse(admission::StatusOf(refusal), sentence);
  if (refusal != admission::Refusal::kDeadline) {
    response.headers.push_back({"Retry-After", std::to_string((retry_after_ms + 999) / 1000)});
    response.headers.push_back({"retry-after-ms", std::to_string(retry_after_ms)});
  }
  counters_.Count(EndpointOf(call), response.status, latency_ms / 1000);
  call.exchange->Respond(std::move(response));
}

// Gives its slot back, or its place in the queue. Of one whose wake is on its way Wake does so.
void Inference::Depart(Call& call) {
  const auto standing = std::exchange(call.standing, Call::Standing::kOutside);
  if (standing == Call::Standing::kOutside) return;
  admission::Gate& gate = *call.model->gate;
  if (standing == Call::Standing::kInside) {
    gate.Leave(call.caller, call.entered_ns, GateNow());
  } else {
    gate.Forget(call.ticket);
  }
}

}  // namespace weir::node::front
