// SPDX-License-Identifier: Apache-2.0
// One worker's share of the front: its plan, its telemetry, its counters and the handlers of every
// endpoint but /metrics, which needs all workers. Constructed before its thread starts, everything
// else on that thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/access/token_guard.h"
#include "dataplane/admission/gates.h"
#include "dataplane/breaker/breakers.h"
#include "dataplane/flags/desk.h"
#include "dataplane/front/delay.h"
#include "dataplane/front/inference.h"
#include "dataplane/front/metrics.h"
#include "dataplane/front/node_status.h"
#include "dataplane/front/readiness.h"
#include "dataplane/front/waking.h"
#include "dataplane/ofrep/service.h"
#include "dataplane/outcomes/service.h"
#include "dataplane/routing/plan.h"
#include "dataplane/routing/tenants.h"
#include "dataplane/runtime/versions.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/decision/ruleset.h"
#include "shared/http/server.h"
#include "shared/telemetry/series.h"

namespace weir::node::front {

struct WorkerOptions {
  int64_t request_timeout_ms = 60'000;
  bool inference = true;       // answers /v2…; the admin server's does not
  std::string key_salt;        // of the process, for keys in logs and samples
  size_t index = 0;            // of the worker on its server
  uint32_t require_token = 0;  // bits of access::Scope: surfaces that ask for a token
};

class Worker {
 public:
  // `clock`, `delays` and `gates` outlive the worker.
  Worker(WorkerOptions options, const Clock& clock, DelayLine& delays,
         const admission::Gates& gates);

  // Where this worker's tasks are posted, and its tick from now on. Before the first SetRules.
  void Bind(Executor* executor);
  // Answers /ofrep/… as well. Right after construction; `budget` outlives the worker.
  void ServeOfrep(const ofrep::OfrepOptions& options, ofrep::StreamBudget& budget);
  // Told of this worker's breakers as they open and close. Right after construction.
  void ListenToBreakers(breaker::Breakers::OnChange on_change) {
    breakers_.Listen(std::move(on_change));
  }
  // Answers /weir/v1/outcomes as well, if one of the tokens is shown (none: to anyone). Right after
  // construction.
  void ServeOutcomes(const std::vector<std::string>& tokens);
  void SetRules(std::shared_ptr<const decision::Ruleset> rules);
  // Once every worker has them: a client that is told to ask again may come to any. Of two that
  // overtake each other the one with the higher number stands.
  void AnnounceRules(std::shared_ptr<const decision::Ruleset> rules, uint64_t number);
  void SetVersions(std::shared_ptr<const runtime::VersionTable> versions);
  void SetStatus(std::shared_ptr<const NodeStatusView> status);
  void SetOverrides(std::shared_ptr<const OverridesView> overrides) {
    overrides_ = std::move(overrides);
  }

  // After each round of events: runs what the round brought together.
  void Flush() { inference_.Flush(); }

  // What was recorded since the last call.
  telemetry::Window TakeTelemetry();
  std::vector<wire::DecisionSample> TakeSamples() { return desk_.TakeSamples(); }
  MetricsSample Sample() const;

  // Where every decision on a flag is made that somebody acts on.
  flags::Desk& desk() { return desk_; }

  void Handle(const std::shared_ptr<http::Exchange>& exchange);
  // Requests of applications so far: all but probes and scrapes. Any thread.
  uint64_t application_requests() const {
    return application_requests_.load(std::memory_order_relaxed);
  }
  // Answers 401, 403 or 503 to who may not ask for what the scope opens, and is then true.
  bool Refuses(http::Exchange& exchange, access::Scope scope, Endpoint endpoint, int64_t start_ns);
  // Ends what would not end by itself: event streams.
  void Drain();
  // Answers and counts. `start_ns` is when the request was read.
  void Respond(http::Exchange& exchange, Endpoint endpoint, int64_t start_ns,
               http::Response response);

 private:
  void Tick();
  // Whether the machine has just woken, and the exchange waits until the node is in step again.
  bool IsHeld(const std::shared_ptr<http::Exchange>& exchange);
  void NoteAlive();
  void Release();
  void Rebuild();
  void SwitchFeatures();
  bool HasSnapshot() const { return plan_ != nullptr && plan_->rules().HasSnapshot(); }
  // endpoints.cc
  void HandleModels(const std::shared_ptr<http::Exchange>& exchange, int64_t start_ns);
  void HandlePredict(const std::shared_ptr<http::Exchange>& exchange, int64_t start_ns);
  http::Response Answer(const http::Request& request, Endpoint* endpoint);
  http::Response ModelMetadata(const routing::ModelPlan& model) const;
  http::Response ModelReady(const routing::ModelPlan& model, std::string_view version) const;
  http::Response Select(const http::Request& request);
  http::Response Explain(const http::Request& request);

  const WorkerOptions options_;
  const Clock& clock_;
  DelayLine& delays_;
  const admission::Gates& gates_;  // the node's
  uint64_t gates_revision_ = 0;    // that plan_ is made of
  access::TokenGuard guard_;
  bool guards_outcomes_ = false;
  Executor* executor_ = nullptr;  // set by Bind
  std::shared_ptr<const decision::Ruleset> rules_;
  std::shared_ptr<const runtime::VersionTable> versions_;
  std::shared_ptr<const NodeStatusView> status_;
  std::shared_ptr<const OverridesView> overrides_;
  routing::Recorders recorders_;
  routing::Tenants tenants_{recorders_};
  breaker::Breakers breakers_;
  std::shared_ptr<const routing::Plan> plan_;
  RequestCounters counters_;
  flags::Desk desk_;
  Readiness readiness_;
  Inference inference_;
  std::unique_ptr<ofrep::Service> ofrep_;        // these two are null on the admin server
  std::unique_ptr<outcomes::Service> outcomes_;  //
  uint64_t announced_ = 0;
  std::atomic<uint64_t> application_requests_{0};  // written on this worker's thread only
  Waking waking_;
  std::vector<std::shared_ptr<http::Exchange>> held_;  // while waking_ holds
};

}  // namespace weir::node::front
