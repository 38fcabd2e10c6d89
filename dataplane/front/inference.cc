// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/inference.h"

#include <fmt/format.h>

#include <algorithm>
#include <stop_token>
#include <utility>

#include "dataplane/front/infer_response.h"
#include "dataplane/routing/keys.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::node::front {
namespace {

constexpr size_t kIdleCalls = 64;

// Whom a bad answer is put down to; a request without any key is a caller of its own.
uint32_t KeyHash(const decision::Keys& keys, uint64_t random) {
  for (const std::string_view key : {keys.user_id, keys.session_id, keys.request_id}) {
    if (!key.empty()) return telemetry::HashKey(key);
  }
  return static_cast<uint32_t>(random);
}

}  // namespace

// One request on its way. Shared by whoever still has to touch it: the stack, the delay line, a
// runtime that answers later (through `self`).
class Inference::Call final : public runtime::Sink {
 public:
  explicit Call(Inference& owner) : owner_(owner) {}

  void OnHead() override {
    writer.Begin(model->key(), route.target->version, request.id);
    head = true;
  }
  void OnChunk(std::span<const runtime::TensorView> outputs) override {
    writer.Add(outputs, request.outputs);
  }
  void OnEnd(Status status, const runtime::Usage& usage) override {
    const std::shared_ptr<Call> keep = std::move(self);
    if (!done) owner_.Finish(*this, status, usage.tokens);
  }

  std::shared_ptr<http::Exchange> exchange;
  std::shared_ptr<const routing::Plan> plan;
  const routing::ModelPlan* model = nullptr;
  routing::Route route;  // views into plan, exchange and request
  uint32_t key_hash = 0;
  InferRequest request;
  runtime::Request input;  // view into request
  InferWriter writer;
  int64_t start_ns = 0;
  std::stop_source stop;
  bool fails = false;  // by rehearsal
  bool head = false;
  bool done = false;
  std::shared_ptr<Call> self;

  // For the next request; memory stays.
  void Reset() {
    exchange.reset();
    plan.reset();
    model = nullptr;
    route = {};
    input = {};
    fails = head = done = false;
    if (stop.stop_requested()) stop = std::stop_source();
  }

 private:
  Inference& owner_;
};

Inference::Inference(int64_t request_timeout_ms, const Clock& clock, DelayLine& delays,
                     RequestCounters& counters)
    : request_timeout_ms_(request_timeout_ms),
      clock_(clock),
      delays_(delays),
      counters_(counters),
      random_state_(RandomU64()) {}

Inference::~Inference() = default;

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

void Inference::Handle(const std::shared_ptr<http::Exchange>& exchange,
                       std::shared_ptr<const routing::Plan> plan, std::string_view model,
                       std::optional<std::string_view> version, int64_t start_ns) {
  std::shared_ptr<Call> call = Take();
  call->exchange = exchange;
  call->plan = std::move(plan);
  call->start_ns = start_ns;
  if (call->plan == nullptr || !call->plan->rules().HasSnapshot()) {
    Refuse(*call, 503, "this node has no snapshot yet");
  } else if (call->model = call->plan->Find(model); call->model == nullptr) {
    Refuse(*call, 404, fmt::format("model \"{}\" is unknown", model));
  } else if (Choose(*call, version)) {
    const std::optional<domain::FaultEntry>& fault = call->route.target->fault;
    if (fault.has_value() && clock_.WallMs() < fault->expires_wall_ms) return Rehearse(call);
    return Run(std::move(call));
  }
  Recycle(std::move(call));
}

// False if the call has been answered with why not.
bool Inference::Choose(Call& call, std::optional<std::string_view> version) {
  const http::Request& request = call.exchange->request();
  const routing::ModelPlan& model = *call.model;
  const auto explicit_version =
      version.has_value() ? model.by_version.find(*version) : model.by_version.end();
  if (version.has_value() && explicit_version == model.by_version.end()) {
    Refuse(call, 404, fmt::format("{} has no version \"{}\"", model.key(), *version));
    return false;
  }
  if (const Status read = reader_.Read(request.body, model.inputs, &call.request); !read.ok()) {
    model.stable.recorder->ClientError();
    Refuse(call, 400, read.ToString());
    return false;
  }
  const decision::Keys keys = routing::KeysOf(request, call.request.keys());
  const uint64_t random = Random();
  call.key_hash = KeyHash(keys, random);
  if (version.has_value()) {
    call.route.arm = routing::Arm::kPinned;
    call.route.target = &explicit_version->second;
  } else {
    call.route = call.plan->Decide(model, keys, random);
    if (call.route.arm == routing::Arm::kDiverted) model.canary->recorder->Diverted();
  }
  const routing::Target& target = *call.route.target;
  if (target.handle == nullptr) {
    Refuse(call, 503, target.unready);
    return false;
  }
  for (const std::string& wanted : call.request.outputs) {
    const auto& known = target.handle->outputs();
    if (std::any_of(known.begin(), known.end(), [&](const auto& o) { return o.name == wanted; })) {
      continue;
    }
    target.recorder->ClientError();
    Refuse(
        call, 400,
        fmt::format("outputs: \"{}\" is no output of {} {}", wanted, model.key(), target.version));
    return false;
  }
  return true;
}

void Inference::Rehearse(std::shared_ptr<Call> call) {
  const domain::FaultEntry& fault = *call->route.target->fault;
  call->fails = static_cast<double>(Random() >> 11) * 0x1p-53 < fault.error_rate;
  if (fault.delay_ms <= 0) return Run(std::move(call));
  call->exchange->OnClose([this, weak = std::weak_ptr<Call>(call)] {
    if (const std::shared_ptr<Call> cut = weak.lock(); cut != nullptr && !cut->done) CutOff(*cut);
  });
  delays_.PostAfter(fault.delay_ms, *executor_, [this, call] { Run(call); });
}

void Inference::Run(std::shared_ptr<Call> call) {
  if (call->done) return;
  if (call->fails) {
    Finish(*call, Internal("rehearsed fault"), 0);
    return Recycle(std::move(call));
  }
  const int64_t deadline_ns = call->start_ns + request_timeout_ms_ * 1'000'000;
  call->self = call;
  call->input.inputs = call->request.inputs();
  runtime::Version& handle = *call->route.target->handle;
  if (batching_ && runtime::Batcher::CanTake(handle, call->input)) {
    batcher_.Add({&handle, &call->input, deadline_ns, call->stop.get_token(), call.get()});
    return batched_.push_back(std::move(call));
  }
  call->route.target->handle->Start(call->input, deadline_ns, call->stop.get_token(), *call);
  if (call->done) return Recycle(std::move(call));
  call->exchange->OnClose([this, weak = std::weak_ptr<Call>(call)] {
    if (const std::shared_ptr<Call> cut = weak.lock(); cut != nullptr && !cut->done) CutOff(*cut);
  });
}

void Inference::Flush() {
  // An answer may bring the connection's next request, which waits for the next round.
  std::vector<std::shared_ptr<Call>> calls = std::exchange(batched_, {});
  batcher_.Flush();
  for (std::shared_ptr<Call>& call : calls) Recycle(std::move(call));
}

// An answer that no version had a part in.
void Inference::Refuse(Call& call, int status, std::string_view message) {
  call.done = true;
  counters_.Count(Endpoint::kInfer, status,
                  static_cast<double>(clock_.MonotonicNs() - call.start_ns) / 1e9);
  call.exchange->Respond(http::ErrorResponse(status, message));
}

void Inference::Finish(Call& call, const Status& status, uint64_t tokens) {
  call.done = true;
  const http::Request& request = call.exchange->request();
  const routing::Target& target = *call.route.target;
  const double latency_ns = static_cast<double>(clock_.MonotonicNs() - call.start_ns);
  const bool late = latency_ns >= static_cast<double>(request_timeout_ms_) * 1e6;
  http::Response response;
  if (status.ok() && call.head) {
    response.body = call.writer.Finish();
  } else {
    const std::string reason =
        status.ok() ? "the version ended without an answer" : status.ToString();
    response = http::ErrorResponse(
        late ? 504 : 500, fmt::format("{} {}: {}", call.model->key(), target.version, reason));
    Log("front").debug("{} {} failed: {} (traceparent \"{}\")", call.model->key(), target.version,
                       reason, request.Header("traceparent"));
  }
  response.headers.reserve(4);
  response.headers.push_back({"x-weir-version", target.version});
  response.headers.push_back({"x-weir-arm", routing::ArmName(call.route.arm)});
  response.headers.push_back({"x-weir-snapshot", call.plan->snapshot()});
  if (const std::string_view trace = request.Header("traceparent"); !trace.empty()) {
    response.headers.push_back({"traceparent", std::string(trace)});
  }
  const bool bad = response.status >= 500;
  counters_.Count(Endpoint::kInfer, response.status, latency_ns / 1e9);
  if (call.route.arm != routing::Arm::kDiverted) {
    target.recorder->Answer(latency_ns / 1e6, bad, call.key_hash);
    if (tokens > 0) target.recorder->Tokens(tokens);
  }
  call.exchange->Respond(std::move(response));
}

// The client went away, or the server gave up waiting and has answered 503.
void Inference::CutOff(Call& call) {
  call.done = true;
  call.stop.request_stop();
  const double latency_ns = static_cast<double>(clock_.MonotonicNs() - call.start_ns);
  const bool timed_out = latency_ns >= static_cast<double>(request_timeout_ms_) * 1e6;
  counters_.Count(Endpoint::kInfer, timed_out ? 503 : 499, latency_ns / 1e9);
  if (call.route.arm == routing::Arm::kDiverted) return;
  if (timed_out) {
    call.route.target->recorder->Answer(latency_ns / 1e6, true, call.key_hash);
  } else {
    call.route.target->recorder->Cancelled();
  }
}

}  // namespace weir::node::front
