// SPDX-License-Identifier: Apache-2.0
// `POST …/infer` and `POST /predict/…` on one worker: read and check the body, choose the version,
// rehearse a fault if one is in force, run the version, answer, and count what came of it. The
// worker's thread.
//
// What is counted where (SURFACES, What counts as bad): a version's answer and its failure are
// judged in its arm; so is a time-out. A body that does not fit is the client's error, a client
// that went away is `cancelled`, a service that sheds is `shed`, and a request that no READY
// version could take counts in no arm. So does an answer that stable gives in place of a canary
// that failed (the split's `fallback`): the canary is counted as bad, and the client gets what
// stable says.
//
// A model's gate, where it has one (admission/gate.h), is passed once the version is known and
// before anything runs: what it turns away is `shed`, a request that waits for a slot does so here.
// A client may say how long it will wait (x-request-timeout-ms); what it did not wait for is
// `cancelled`, or clients could make any version look bad.
//
// A canary's breaker is asked before each of its requests and told what became of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/flags/desk.h"
#include "dataplane/front/delay.h"
#include "dataplane/front/infer_request.h"
#include "dataplane/front/metrics.h"
#include "dataplane/front/shadow.h"
#include "dataplane/front/verdict.h"
#include "dataplane/routing/plan.h"
#include "dataplane/routing/tenants.h"
#include "dataplane/runtime/batcher.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/http/server.h"

namespace weir::node::front {

struct InferenceOptions {
  int64_t request_timeout_ms = 60'000;
  size_t worker_index = 0;
};

// What the path asks for.
struct Wanted {
  std::string_view model;
  std::optional<std::string_view> version;
  bool is_predict = false;  // of /predict/…
};

class Inference {
 public:
  // All references outlive the inference; `desk`, `counters` and `tenants` are the worker's.
  Inference(InferenceOptions options, const Clock& clock, DelayLine& delays, flags::Desk& desk,
            RequestCounters& counters, routing::Tenants& tenants);
  ~Inference();

  // The worker itself, where rehearsed delays end. Before the first Handle with a plan.
  void Bind(Executor* executor);

  // Answers now, or later if the runtime or a rehearsed delay takes its time. `start_ns` is when
  // the request was read.
  void Handle(const std::shared_ptr<http::Exchange>& exchange,
              std::shared_ptr<const routing::Plan> plan, const Wanted& wanted, int64_t start_ns);

  // No copies for shadows while it drains.
  void SetDraining(bool on) { shadow_.SetDraining(on); }
  // Whether requests of one poll round may run as one call; then Flush must follow each round.
  void SetBatching(bool on) { batching_ = on; }
  void Flush();
  const runtime::BatchSizes& batch_sizes() const { return batcher_.sizes(); }

  uint64_t Random();

 private:
  class Call;

  std::shared_ptr<Call> Take();
  void Recycle(std::shared_ptr<Call> call);
  Status Read(Call& call);
  bool Choose(Call& call, const Wanted& wanted);
  void Route(Call& call, const routing::Target* asked_for);
  // The first wanted output that the version does not have; null: none. It is READY.
  static const std::string* FindUnknownOutput(const Call& call, const routing::Target& target);
  bool Fits(Call& call);
  void ReadDeadline(Call& call);
  // admitting.cc
  void Admit(std::shared_ptr<Call> call);
  void Wake(const std::shared_ptr<Call>& call, admission::Refusal refusal);
  void TurnAway(Call& call, admission::Refusal refusal, const std::string& sentence,
                int64_t retry_after_ms);
  void Depart(Call& call);
  bool IsBroken(const Call& call, const routing::Target& target) const;
  admission::Now GateNow() const { return {clock_.MonotonicNs(), clock_.WallMs()}; }

  void Begin(std::shared_ptr<Call> call);
  void Rehearse(std::shared_ptr<Call> call);
  void Run(std::shared_ptr<Call> call);
  void WatchClose(const std::shared_ptr<Call>& call);
  void Refuse(Call& call, int status, std::string_view message);
  void CutOff(Call& call);
  // answering.cc
  void Finish(Call& call, const Status& status, const runtime::Usage& usage);
  bool CanFallBack(const Call& call, int64_t now_ns) const;
  void FallBack(Call& call, double latency_ms);
  void Record(Call& call, Verdict verdict, const runtime::Usage& usage, double latency_ms);
  routing::Recorder* TenantOf(const Call& call);
  void TellBreaker(Call& call, breaker::Outcome outcome);
  http::Response ResponseTo(Call& call, Verdict verdict, const Status& status, bool late);
  void AddHeaders(const Call& call, http::Response& response) const;
  void Copy(Call& call, bool is_good);

  Endpoint EndpointOf(const Call& call) const;

  const InferenceOptions options_;
  const Clock& clock_;
  DelayLine& delays_;
  flags::Desk& desk_;
  RequestCounters& counters_;
  routing::Tenants& tenants_;
  Executor* executor_ = nullptr;
  InferReader reader_;
  runtime::Batcher batcher_;
  Shadow shadow_;
  bool batching_ = false;
  size_t round_requests_ = 0;                   // since the last Flush
  std::vector<std::shared_ptr<Call>> batched_;  // what the batcher's items belong to
  uint64_t random_state_;
  std::vector<std::shared_ptr<Call>> idle_;  // kept for their memory
};

}  // namespace weir::node::front
