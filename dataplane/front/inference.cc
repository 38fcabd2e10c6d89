// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "dataplane/front/call.h"
#include "dataplane/routing/keys.h"
#include "shared/base/text.h"

namespace weir::node::front {
namespace {

constexpr size_t kIdleCalls = 64;
constexpr char kTimeoutHeader[] = "x-request-timeout-ms";

// Whom a bad answer is put down to; a request without any key is a caller of its own.
uint32_t KeyHash(const decision::Keys& keys, uint64_t random) {
  for (const std::string_view key : {keys.user_id, keys.session_id, keys.request_id}) {
    if (!key.empty()) return telemetry::HashKey(key);
  }
  return static_cast<uint32_t>(random);
}

void TakeKeysOfQuery(const http::Request& request, InferRequest& into) {
  const auto take = [&](const char* name, std::string& key) {
    std::optional<std::string> value = request.Query(name);
    if (value.has_value() && !value->empty()) key = *std::move(value);
  };
  take("user_id", into.user_id);
  take("session_id", into.session_id);
  take("request_id", into.request_id);
}

}  // namespace

Inference::Inference(InferenceOptions options, const Clock& clock, DelayLine& delays,
                     flags::Desk& desk, RequestCounters& counters, routing::Tenants& tenants)
    : options_(options),
      clock_(clock),
      delays_(delays),
      desk_(desk),
      counters_(counters),
      tenants_(tenants),
      shadow_(options.request_timeout_ms, clock, delays),
      random_state_(RandomU64()) {}

Inference::~Inference() = default;

void Inference::Bind(Executor* executor) {
  executor_ = executor;
  shadow_.Bind(executor);
}

// splitmix64
uint64_t Inference::Random() {
  uint64_t z = (random_state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::shared_ptr<Inference::Call> Inference::Take() {
  if (idle_.empty()) return std::make_shared<Call>(*this);
  std::shared_ptr<Call> call = std::move(idle_.back());
  idle_.pop_back();
  return call;
}

void Inference::Recycle(std::shared_ptr<Call> call) {
  if (call.use_count() != 1 || idle_.size() >= kIdleCalls) return;
  call->Reset();
  idle_.push_back(std::move(call));
}

Endpoint Inference::EndpointOf(const Call& call) const {
  return call.is_predict ? Endpoint::kPredict : Endpoint::kInfer;
}

// The node's own time-out, or what the client will wait if that is less.
void Inference::ReadDeadline(Call& call) {
  int64_t timeout_ms = options_.request_timeout_ms;
  const std::string_view text = call.exchange->request().Header(kTimeoutHeader);
  if (!text.empty()) {
    int64_t wanted_ms = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), wanted_ms);
    const bool is_number = read.ec == std::errc() && read.ptr == text.data() + text.size();
    call.is_hasty = is_number && wanted_ms > 0 && wanted_ms < timeout_ms;
    if (call.is_hasty) timeout_ms = wanted_ms;
  }
  call.deadline_ns = call.start_ns + timeout_ms * 1'000'000;
}

void Inference::Handle(const std::shared_ptr<http::Exchange>& exchange,
                       std::shared_ptr<const routing::Plan> plan, const Wanted& wanted,
                       int64_t start_ns) {
  ++round_requests_;
  std::shared_ptr<Call> call = Take();
  call->exchange = exchange;
  call->plan = std::move(plan);
  call->start_ns = start_ns;
  call->is_predict = wanted.is_predict;
  ReadDeadline(*call);
  if (call->plan == nullptr || !call->plan->rules().HasSnapshot()) {
    Refuse(*call, 503, "this node has no snapshot yet");
  } else if (call->model = call->plan->Find(wanted.model); call->model == nullptr) {
    Refuse(*call, 404, fmt::format("model \"{}\" is unknown", wanted.model));
  } else if (Choose(*call, wanted)) {
    return Admit(std::move(call));
  }
  Recycle(std::move(call));
}

Status Inference::Read(Call& call) {
  const http::Request& request = call.exchange->request();
  if (call.is_predict) {
    WEIR_RETURN_IF_ERROR(reader_.ReadPredict(request.body, &call.request));
    if (!request.query_string.empty()) TakeKeysOfQuery(request, call.request);
    return OkStatus();
  }
  if (call.model->takes_anything) return reader_.ReadOpen(request.body, &call.request);
  return reader_.Read(request.body, call.model->inputs, &call.request);
}

// False if the call has been answered with why not.
bool Inference::Choose(Call& call, const Wanted& wanted) {
  const routing::ModelPlan& model = *call.model;
  const auto asked_for =
      wanted.version.has_value() ? model.by_version.find(*wanted.version) : model.by_version.end();
  if (wanted.version.has_value() && asked_for == model.by_version.end()) {
    Refuse(call, 404, fmt::format("{} has no version \"{}\"", model.key(), *wanted.version));
    return false;
  }
  if (const Status read = Read(call); !read.ok()) {
    model.stable.recorder->ClientError();
    Refuse(call, 400, read.ToString());
    return false;
  }
  Route(call, wanted.version.has_value() ? &asked_for->second : nullptr);
  if (call.route.target->handle == nullptr) {
    Refuse(call, 503, call.route.target->unready);
    return false;
  }
  return Fits(call);
}

// Which version, and what it is told besides the inputs.
void Inference::Route(Call& call, const routing::Target* asked_for) {
  const http::Request& request = call.exchange->request();
  const routing::ModelPlan& model = *call.model;
  const decision::Keys keys = routing::KeysOf(request, call.request.keys());
  const uint64_t random = Random();
  call.key_hash = KeyHash(keys, random);
  if (asked_for != nullptr) {
    call.route.arm = routing::Arm::kPinned;
    call.route.target = asked_for;
  } else {
    call.route = call.plan->Decide(model, keys, random);
    if (call.route.arm == routing::Arm::kCanary && IsBroken(call, *model.canary)) {
      routing::Plan::Divert(model, call.route);
    }
    if (call.route.arm == routing::Arm::kCanary && model.canary->breaker != nullptr) {
      call.permit = model.canary->breaker->Admit(call.start_ns / 1'000'000);
      if (call.permit == breaker::Permit::kNone) routing::Plan::Divert(model, call.route);
    }
    if (call.route.arm == routing::Arm::kDiverted) model.canary->recorder->Diverted();
  }
  call.flags.Clear();
  if (!model.flags.empty()) call.flags.Decide(call.plan->rules(), model, keys, random, desk_);
  call.input = {.inputs = call.request.inputs(),
                .body = request.body,
                .outputs = call.request.outputs,
                .is_predict = call.is_predict,
                .worker = executor_,
                .worker_index = options_.worker_index,
                .request_id = call.request.id,
                .key = keys.user_id,
                .key_hash = call.key_hash,
                .traceparent = request.Header("traceparent"),
                .flags = call.flags.text};
}

const std::string* Inference::FindUnknownOutput(const Call& call, const routing::Target& target) {
  const auto& known = target.handle->outputs();
  if (known.empty()) return nullptr;  // a service knows best
  for (const std::string& wanted : call.request.outputs) {
    const auto is_wanted = [&](const auto& output) { return output.name == wanted; };
    if (std::none_of(known.begin(), known.end(), is_wanted)) return &wanted;
  }
  return nullptr;
}

// False if the call has been answered with why the version cannot be asked this.
bool Inference::Fits(Call& call) {
  const routing::ModelPlan& model = *call.model;
  const routing::Target& target = *call.route.target;
  const auto refuse = [&](const std::string& why) {
    target.recorder->ClientError();
    Refuse(call, 400, why);
    return false;
  };
  if (target.is_predict != call.is_predict) {
    const std::string place = target.is_predict ? fmt::format("/predict/{}", model.key())
                                                : fmt::format("/v2/models/{}/infer", model.key());
    return refuse(fmt::format("{} {} is asked by POST {}", model.key(), target.version, place));
  }
  const std::string* unknown = FindUnknownOutput(call, target);
  if (unknown == nullptr) return true;
  return refuse(
      fmt::format("outputs: \"{}\" is no output of {} {}", *unknown, model.key(), target.version));
}

void Inference::Begin(std::shared_ptr<Call> call) {
  const std::optional<domain::FaultEntry>& fault = call->route.target->fault;
  if (fault.has_value() && clock_.WallMs() < fault->expires_wall_ms) return Rehearse(call);
  Run(std::move(call));
}

void Inference::Rehearse(std::shared_ptr<Call> call) {
  const domain::FaultEntry& fault = *call->route.target->fault;
  call->fails = static_cast<double>(Random() >> 11) * 0x1p-53 < fault.error_rate;
  if (fault.delay_ms <= 0) return Run(std::move(call));
  WatchClose(call);
  delays_.PostAfter(fault.delay_ms, *executor_, [this, call] { Run(call); });
}

void Inference::Run(std::shared_ptr<Call> call) {
  if (call->done) return;
  if (call->fails) {
    Finish(*call, Internal("rehearsed fault"), {});
    return Recycle(std::move(call));
  }
  call->self = call;
  runtime::Version& handle = *call->route.target->handle;
  if (batching_ && runtime::Batcher::CanTake(handle, call->input)) {
    batcher_.Add({&handle, &call->input, call->deadline_ns, call->stop.get_token(), call.get()});
    return batched_.push_back(std::move(call));
  }
  handle.Start(call->input, call->deadline_ns, call->stop.get_token(), *call);
  if (call->done) return Recycle(std::move(call));
  WatchClose(call);
}

void Inference::WatchClose(const std::shared_ptr<Call>& call) {
  call->exchange->OnClose([this, weak = std::weak_ptr<Call>(call)] {
    if (const std::shared_ptr<Call> cut = weak.lock(); cut != nullptr && !cut->done) CutOff(*cut);
  });
}

void Inference::Flush() {
  // An answer may bring the connection's next request, which waits for the next round.
  std::vector<std::shared_ptr<Call>> calls = std::exchange(batched_, {});
  batcher_.Flush();
  for (std::shared_ptr<Call>& call : calls) Recycle(std::move(call));
  shadow_.Flush(std::exchange(round_requests_, 0));
}

// An answer that no version had a part in.
void Inference::Refuse(Call& call, int status, std::string_view message) {
  call.done = true;
  TellBreaker(call, breaker::Outcome::kNothing);
  counters_.Count(EndpointOf(call), status,
                  static_cast<double>(clock_.MonotonicNs() - call.start_ns) / 1e9);
  call.exchange->Respond(http::ErrorResponse(status, message));
}

// The client went away, or the server gave up waiting and has answered 503.
void Inference::CutOff(Call& call) {
  call.done = true;
  const bool waited = call.standing == Call::Standing::kWaiting || call.SpentItsTimeWaiting();
  Depart(call);
  call.stop.request_stop();
  const double latency_ns = static_cast<double>(clock_.MonotonicNs() - call.start_ns);
  const bool timed_out = latency_ns >= static_cast<double>(options_.request_timeout_ms) * 1e6;
  TellBreaker(call, timed_out && !waited ? breaker::Outcome::kBad : breaker::Outcome::kNothing);
  counters_.Count(EndpointOf(call), timed_out ? 503 : 499, latency_ns / 1e9);
  if (timed_out && waited) {
    Record(call, Verdict::kShed, {}, latency_ns / 1e6);
  } else if (timed_out) {
    Record(call, Verdict::kBad, {}, latency_ns / 1e6);
  } else if (call.IsJudged()) {
    call.route.target->recorder->Cancelled();
  }
}

}  // namespace weir::node::front
