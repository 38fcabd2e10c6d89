// SPDX-License-Identifier: Apache-2.0
// Copies of requests that run on a rollout's candidate after stable has answered them: counted in
// arm `shadow`, with their own latency, and held against stable's answer. Nobody waits for one.
//
// Copies give way first. They run after the answers of a round of events have gone out, at most
// kRunsPerRound of them, and not at all after a round that brought kBusyRound requests or more:
// they wait for a calmer one. A copy is shed, and counted so, when kMaxCopies are waiting or under
// way, when its inputs are above kMaxBody, when the candidate does not take such requests, when it
// has waited for the request time-out, and while the node drains. One worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/front/delay.h"
#include "dataplane/front/infer_request.h"
#include "dataplane/front/outputs.h"
#include "dataplane/routing/plan.h"
#include "dataplane/runtime/batcher.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"

namespace weir::node::front {

// A request that stable has an answer to, before that goes out and its memory with it.
struct CopySource {
  std::shared_ptr<const routing::Plan> plan;
  const routing::ModelPlan* model;  // with a shadow
  const runtime::Request* input;    // copied, as far as the candidate needs it
  InferRequest* request;            // taken; another one's memory is left in its place
  Outputs* outputs;                 // stable's, taken likewise
  bool is_good;                     // stable's answer is one to compare with
  uint32_t key_hash;
  uint64_t random;
};

class Shadow {
 public:
  static constexpr size_t kMaxCopies = 64;
  static constexpr size_t kMaxBody = size_t{1024} * 1024;  // bytes, as text and as tensors
  static constexpr size_t kBusyRound = 8;
  static constexpr size_t kRunsPerRound = 8;

  // `clock` and `delays` outlive the shadow.
  Shadow(int64_t request_timeout_ms, const Clock& clock, DelayLine& delays);
  ~Shadow();

  void Bind(Executor* executor) { executor_ = executor; }
  void SetDraining(bool on) { draining_ = on; }

  void Keep(const CopySource& source);
  // After each round of events, which brought that many requests.
  void Flush(size_t requests);

 private:
  class Copy;

  bool HasRoom(const CopySource& source) const;
  std::shared_ptr<Copy> Take();
  void Launch(std::shared_ptr<Copy> copy);
  void Run(Copy& copy);
  void Finish(Copy& copy, const Status& status, const runtime::Usage& usage);
  void Judge(Copy& copy, const Status& status, const runtime::Usage& usage);
  void End(Copy& copy);

  const int64_t request_timeout_ms_;
  const Clock& clock_;
  DelayLine& delays_;
  Executor* executor_ = nullptr;
  bool draining_ = false;
  runtime::Batcher batcher_;
  OutputComparer comparer_;
  std::vector<std::shared_ptr<Copy>> waiting_;
  std::vector<std::shared_ptr<Copy>> running_;
  std::vector<std::shared_ptr<Copy>> ended_;  // until their version's call has returned
  std::vector<std::shared_ptr<Copy>> idle_;   // kept for their memory
};

}  // namespace weir::node::front
