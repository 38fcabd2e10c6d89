// SPDX-License-Identifier: Apache-2.0
// `POST …/infer` on one worker: read and check the body, choose the version, rehearse a fault if
// one is in force, run the version, answer, and count what came of it. The worker's thread.
//
// What is counted where (SURFACES, What counts as bad): a version's answer and its failure are
// judged in its arm; so is a time-out. A body that does not fit is the client's error, a client
// that went away is `cancelled`, a request that no READY version could take counts in no arm.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/front/delay.h"
#include "dataplane/front/infer_request.h"
#include "dataplane/front/metrics.h"
#include "dataplane/routing/plan.h"
#include "dataplane/runtime/batcher.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/http/server.h"

namespace weir::node::front {

class Inference {
 public:
  // All references outlive the inference; `counters` are the worker's.
  Inference(int64_t request_timeout_ms, const Clock& clock, DelayLine& delays,
            RequestCounters& counters);
  ~Inference();

  // The worker itself, where rehearsed delays end. Before the first Handle with a plan.
  void Bind(Executor* executor) { executor_ = executor; }

  // Answers now, or later if the runtime or a rehearsed delay takes its time. `version` is the one
  // in the path, if any; `start_ns` is when the request was read.
  void Handle(const std::shared_ptr<http::Exchange>& exchange,
              std::shared_ptr<const routing::Plan> plan, std::string_view model,
              std::optional<std::string_view> version, int64_t start_ns);

  // Whether requests of one poll round may run as one call; then Flush must follow each round.
  void SetBatching(bool on) { batching_ = on; }
  void Flush();
  const runtime::BatchSizes& batch_sizes() const { return batcher_.sizes(); }

  uint64_t Random();

 private:
  class Call;

  std::shared_ptr<Call> Take();
  void Recycle(std::shared_ptr<Call> call);
  bool Choose(Call& call, std::optional<std::string_view> version);
  void Rehearse(std::shared_ptr<Call> call);
  void Run(std::shared_ptr<Call> call);
  void Refuse(Call& call, int status, std::string_view message);
  void Finish(Call& call, const Status& status, uint64_t tokens);
  void CutOff(Call& call);

  const int64_t request_timeout_ms_;
  const Clock& clock_;
  DelayLine& delays_;
  RequestCounters& counters_;
  Executor* executor_ = nullptr;
  InferReader reader_;
  runtime::Batcher batcher_;
  bool batching_ = false;
  std::vector<std::shared_ptr<Call>> batched_;  // what the batcher's items belong to
  uint64_t random_state_;
  std::vector<std::shared_ptr<Call>> idle_;  // kept for their memory
};

}  // namespace weir::node::front
