// SPDX-License-Identifier: Apache-2.0
// Internal: one request on its way. Shared by whoever still has to touch it: the stack, the delay
// line, a runtime that answers later (through `self`).
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "dataplane/front/infer_response.h"
#include "dataplane/front/inference.h"
#include "dataplane/front/outputs.h"
#include "dataplane/front/request_flags.h"

namespace weir::node::front {

class Inference::Call final : public runtime::Sink, public std::enable_shared_from_this<Call> {
 public:
  explicit Call(Inference& owner) : owner_(owner) {}

  void OnHead() override {
    head = true;
    if (!is_predict) writer.Begin(model->key(), route.target->version, request.id);
  }
  void OnChunk(std::span<const runtime::TensorView> chunk) override {
    writer.Add(chunk, request.outputs);
    if (IsCompared()) outputs.TakeTensors(chunk, route.decision.is_copied);
  }
  void OnJson(const runtime::JsonAnswer& answer) override {
    if (is_predict) {
      predicted.assign(answer.body);
    } else {
      writer.AddJson(answer.outputs, answer.parameters);
    }
    if (IsCompared()) outputs.TakeJson(answer, route.decision.is_copied);
  }
  void OnEnd(Status status, const runtime::Usage& usage) override {
    const std::shared_ptr<Call> keep = std::move(self);
    if (!done) owner_.Finish(*this, status, usage);
  }

  // Counts in one of the two arms of a rollout that is under way.
  bool IsJudged() const { return failed == nullptr && route.arm != routing::Arm::kDiverted; }
  bool IsCompared() const {
    return model->split != nullptr && IsJudged() && route.arm != routing::Arm::kPinned;
  }

  std::shared_ptr<http::Exchange> exchange;
  std::shared_ptr<const routing::Plan> plan;
  const routing::ModelPlan* model = nullptr;
  routing::Route route;                     // views into plan, exchange and request
  const routing::Target* failed = nullptr;  // the canary that stable stands in for
  breaker::Permit permit = breaker::Permit::kNone;
  uint32_t key_hash = 0;
  InferRequest request;
  RequestFlags flags;
  runtime::Request input;  // view into exchange, request and flags
  InferWriter writer;
  std::string predicted;  // the answer of a /predict version
  Outputs outputs;
  int64_t start_ns = 0;
  int64_t deadline_ns = 0;
  bool is_hasty = false;  // the deadline is the client's own, before the node's
  // Where it is with the model's gate.
  enum class Standing : uint8_t { kOutside, kWaiting, kInside };
  Standing standing = Standing::kOutside;
  uint64_t ticket = 0;     // while it waits
  uint32_t caller = 0;     // whose limits it counts for
  int64_t came_ns = 0;     // to the gate
  int64_t entered_ns = 0;  // through it; 0: it passed none
  // More than half of what it had, before its version saw it.
  bool SpentItsTimeWaiting() const {
    return entered_ns > 0 && entered_ns - came_ns > (deadline_ns - start_ns) / 2;
  }
  std::stop_source stop;
  bool is_predict = false;
  bool fails = false;  // by rehearsal
  bool head = false;
  bool done = false;
  std::shared_ptr<Call> self;

  // For another version; what was read stays.
  void ResetAnswer() {
    predicted.clear();
    outputs.Clear();
    fails = head = false;
  }
  // For the next request; memory stays.
  void Reset() {
    exchange.reset();
    plan.reset();
    model = nullptr;
    route = {};
    failed = nullptr;
    input = {};
    done = is_hasty = false;
    standing = Standing::kOutside;
    entered_ns = 0;
    ResetAnswer();
    if (stop.stop_requested()) stop = std::stop_source();
  }

 private:
  Inference& owner_;
};

}  // namespace weir::node::front
