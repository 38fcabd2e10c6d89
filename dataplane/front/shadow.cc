// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/shadow.h"

#include <algorithm>
#include <string>
#include <utility>

#include "dataplane/front/verdict.h"

namespace weir::node::front {
namespace {

constexpr size_t kKeptCopy = 64 * 1024;  // of a body's or answer's memory, from copy to copy

size_t InputBytes(const CopySource& source) {
  size_t bytes = 0;
  for (const runtime::Tensor& tensor : source.request->inputs()) bytes += tensor.data.size();
  return std::max(bytes, source.input->body.size());
}

}  // namespace

class Shadow::Copy final : public runtime::Sink {
 public:
  explicit Copy(Shadow& owner) : owner_(owner) {}

  void OnHead() override { has_head = true; }
  void OnChunk(std::span<const runtime::TensorView> outputs) override {
    answer.TakeTensors(outputs, /*whole=*/true);
  }
  void OnJson(const runtime::JsonAnswer& json) override { answer.TakeJson(json, /*whole=*/true); }
  void OnEnd(Status status, const runtime::Usage& usage) override {
    owner_.Finish(*this, status, usage);
  }

  // Takes what the candidate needs; the rest of the memory stays.
  void Fill(const CopySource& source) {
    plan = source.plan;
    model = source.model;
    input = *source.input;
    const bool is_service = model->shadow->is_service;
    body.assign(is_service ? input.body : "");
    key.assign(input.key);
    traceparent.assign(input.traceparent);
    flags.assign(input.flags);
    // Only now: the views above may be into it.
    std::swap(request, *source.request);
    std::swap(stable, *source.outputs);
    input.inputs = request.inputs();
    input.body = body;
    input.outputs = request.outputs;
    input.request_id = request.id;
    input.key = key;
    input.traceparent = traceparent;
    input.flags = flags;
    answer.Clear();
    is_stable_good = source.is_good;
    key_hash = source.key_hash;
    random = source.random;
    has_head = false;
  }

  void LetGo() {
    plan.reset();
    model = nullptr;
    request.Clear();
    stable.LetGo(kKeptCopy);
    answer.LetGo(kKeptCopy);
    if (body.capacity() > kKeptCopy) body = {};
  }

  std::shared_ptr<const routing::Plan> plan;
  const routing::ModelPlan* model = nullptr;
  InferRequest request;
  runtime::Request input;  // views into this object
  Outputs stable;
  Outputs answer;
  std::string body;
  std::string key;
  std::string traceparent;
  std::string flags;
  int64_t kept_ns = 0;
  int64_t start_ns = 0;
  uint64_t random = 0;
  uint32_t key_hash = 0;
  bool is_stable_good = false;
  bool has_head = false;
  size_t slot = 0;  // of running_

 private:
  Shadow& owner_;
};

Shadow::Shadow(int64_t request_timeout_ms, const Clock& clock, DelayLine& delays)
    : request_timeout_ms_(request_timeout_ms), clock_(clock), delays_(delays) {}

Shadow::~Shadow() = default;

void Shadow::Keep(const CopySource& source) {
  const routing::Target& target = *source.model->shadow;
  if (target.handle == nullptr) return target.recorder->Diverted();
  const bool is_asked_so = target.is_predict == source.input->is_predict;
  if (!is_asked_so || !HasRoom(source)) return target.recorder->Shed();
  std::shared_ptr<Copy> copy = Take();
  copy->Fill(source);
  copy->kept_ns = clock_.MonotonicNs();
  waiting_.push_back(std::move(copy));
}

bool Shadow::HasRoom(const CopySource& source) const {
  if (draining_ || waiting_.size() + running_.size() >= kMaxCopies) return false;
  return InputBytes(source) <= kMaxBody;
}

std::shared_ptr<Shadow::Copy> Shadow::Take() {
  if (idle_.empty()) return std::make_shared<Copy>(*this);
  std::shared_ptr<Copy> copy = std::move(idle_.back());
  idle_.pop_back();
  return copy;
}

void Shadow::Flush(size_t requests) {
  for (std::shared_ptr<Copy>& copy : ended_) {
    copy->LetGo();
    idle_.push_back(std::move(copy));
  }
  ended_.clear();
  if (waiting_.empty()) return;
  if (requests < kBusyRound) {
    const size_t count = std::min(waiting_.size(), kRunsPerRound);
    for (size_t i = 0; i < count; ++i) Launch(std::move(waiting_[i]));
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(count));
    batcher_.Flush();
  }
  // Brings another round, in which clients come first again.
  if (!waiting_.empty()) executor_->Post([] {});
}

void Shadow::Launch(std::shared_ptr<Copy> copy) {
  copy->slot = running_.size();
  running_.push_back(copy);
  copy->start_ns = clock_.MonotonicNs();
  if (draining_ || copy->start_ns - copy->kept_ns >= request_timeout_ms_ * 1'000'000) {
    copy->model->shadow->recorder->Shed();
    return End(*copy);
  }
  const std::optional<domain::FaultEntry>& fault = copy->model->shadow->fault;
  const bool is_rehearsed = fault.has_value() && clock_.WallMs() < fault->expires_wall_ms;
  if (!is_rehearsed || fault->delay_ms <= 0) return Run(*copy);
  delays_.PostAfter(fault->delay_ms, *executor_, [this, copy] {
    Run(*copy);
    batcher_.Flush();
  });
}

void Shadow::Run(Copy& copy) {
  const routing::Target& target = *copy.model->shadow;
  if (target.fault.has_value() && clock_.WallMs() < target.fault->expires_wall_ms &&
      static_cast<double>(copy.random >> 11) * 0x1p-53 < target.fault->error_rate) {
    return Finish(copy, Internal("rehearsed fault"), {});
  }
  const int64_t deadline_ns = copy.start_ns + request_timeout_ms_ * 1'000'000;
  if (runtime::Batcher::CanTake(*target.handle, copy.input)) {
    return batcher_.Add({target.handle.get(), &copy.input, deadline_ns, {}, &copy});
  }
  target.handle->Start(copy.input, deadline_ns, {}, copy);
}

void Shadow::Finish(Copy& copy, const Status& status, const runtime::Usage& usage) {
  Judge(copy, status, usage);
  End(copy);
}

void Shadow::Judge(Copy& copy, const Status& status, const runtime::Usage& usage) {
  const routing::ModelPlan& model = *copy.model;
  routing::Recorder& recorder = *model.shadow->recorder;
  const Verdict verdict = VerdictOf(status, copy.has_head, *model.shadow);
  if (verdict == Verdict::kShed) return recorder.Shed();
  if (verdict == Verdict::kClientError) return recorder.ClientError();
  const double latency_ms = static_cast<double>(clock_.MonotonicNs() - copy.start_ns) / 1e6;
  recorder.Answer(latency_ms, verdict == Verdict::kBad, copy.key_hash);
  if (usage.tokens > 0) recorder.Tokens(usage.tokens);
  if (verdict == Verdict::kBad) return;
  if (usage.first_token_ns > 0)
    recorder.Ttft(static_cast<double>(usage.first_token_ns - copy.start_ns) / 1e6);
  for (const double value : copy.answer.firsts()) recorder.Output(value);
  if (!copy.is_stable_good || !copy.stable.IsComparable() || !copy.answer.IsComparable()) return;
  recorder.Compared(!comparer_.AreAlike(copy.stable, copy.answer));
}

// The copy may hold the last of the version that is calling: it lets go after the round.
void Shadow::End(Copy& copy) {
  const size_t slot = copy.slot;
  ended_.push_back(std::move(running_[slot]));
  if (slot + 1 < running_.size()) {
    running_[slot] = std::move(running_.back());
    running_[slot]->slot = slot;
  }
  running_.pop_back();
  if (ended_.size() == 1) executor_->Post([] {});
}

}  // namespace weir::node::front
