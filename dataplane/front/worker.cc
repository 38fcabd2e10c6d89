// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/worker.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "shared/decision/decide.h"

namespace weir::node::front {
namespace {

std::vector<std::pair<breaker::VersionKey, runtime::Upstream>> UpstreamsOf(
    const runtime::VersionTable* versions) {
  std::vector<std::pair<breaker::VersionKey, runtime::Upstream>> all;
  if (versions == nullptr) return all;
  for (const runtime::VersionStatus& status : versions->statuses()) {
    const auto version = versions->Find(status.model, status.version);
    if (version == nullptr) continue;
    for (runtime::Upstream& upstream : version->Upstreams())
      all.push_back({{status.model, status.version}, std::move(upstream)});
  }
  return all;
}

}  // namespace

Worker::Worker(WorkerOptions options, const Clock& clock, DelayLine& delays,
               const admission::Gates& gates)
    : options_(std::move(options)),
      clock_(clock),
      delays_(delays),
      gates_(gates),
      guard_(options_.require_token, clock),
      desk_(clock, options_.key_salt),
      inference_({options_.request_timeout_ms, options_.index}, clock, delays, desk_, counters_,
                 tenants_) {}

void Worker::Bind(Executor* executor) {
  executor_ = executor;
  inference_.Bind(executor);
  Tick();
}

void Worker::Tick() {
  NoteAlive();
  delays_.PostAfter(Waking::kTickMs, *executor_, [this] { Tick(); });
}

void Worker::NoteAlive() {
  if (executor_ == nullptr || !waking_.OnAlive(clock_.MonotonicMs())) return;
  delays_.PostAfter(Waking::kHoldMs, *executor_, [this, woke_ms = waking_.woke_ms()] {
    if (waking_.OnPatienceEnds(woke_ms)) Release();
  });
}

void Worker::Release() {
  for (const auto& exchange : std::exchange(held_, {})) Handle(exchange);
}

bool Worker::IsHeld(const std::shared_ptr<http::Exchange>& exchange) {
  NoteAlive();
  if (!waking_.holds()) return false;
  const std::string_view path = exchange->request().path;
  if (path == "/health" || path == "/ready" || path.starts_with("/v2/health/")) return false;
  held_.push_back(exchange);
  return true;
}

void Worker::ServeOfrep(const ofrep::OfrepOptions& options, ofrep::StreamBudget& budget) {
  ofrep_ = std::make_unique<ofrep::Service>(
      options, clock_, desk_, budget, [this](int64_t delay_ms, std::function<void()> task) {
        delays_.PostAfter(delay_ms, *executor_, std::move(task));
      });
  if (guard_.Requires(access::Scope::kOfrep)) ofrep_->AlsoAsk(guard_);
}

void Worker::ServeOutcomes(const std::vector<std::string>& tokens) {
  outcomes_ = std::make_unique<outcomes::Service>(tokens, clock_, recorders_);
  // Tokens of its own say more than who may ask for inference.
  guards_outcomes_ = tokens.empty() && guard_.Requires(access::Scope::kInference);
}

void Worker::SetRules(std::shared_ptr<const decision::Ruleset> rules) {
  rules_ = std::move(rules);
  desk_.Prune(*rules_);
  guard_.SetRules(rules_);
  Rebuild();
  if (ofrep_ != nullptr) ofrep_->SetRules(rules_);
}

void Worker::AnnounceRules(std::shared_ptr<const decision::Ruleset> rules, uint64_t number) {
  if (ofrep_ == nullptr || number < announced_) return;
  announced_ = number;
  ofrep_->AnnounceRules(std::move(rules));
}

void Worker::SetVersions(std::shared_ptr<const runtime::VersionTable> versions) {
  versions_ = std::move(versions);
  Rebuild();
}

void Worker::Rebuild() {
  if (rules_ == nullptr) return;
  gates_revision_ = gates_.revision();
  plan_ = routing::Plan::Build(rules_, versions_.get(), recorders_, &breakers_, &gates_);
  breakers_.Prune();
  readiness_.Check(plan_.get(), versions_.get(), status_.get());
  SwitchFeatures();
}

void Worker::SetStatus(std::shared_ptr<const NodeStatusView> status) {
  status_ = std::move(status);
  if (gates_.revision() != gates_revision_) Rebuild();
  if (status_ != nullptr) inference_.SetDraining(status_->draining);
  SwitchFeatures();
  if (status_ != nullptr && waking_.OnInStep(status_->in_step_at_ms)) Release();
}

// Weir's own features that a flag may turn off on this node: on while there is no such flag.
void Worker::SwitchFeatures() {
  if (rules_ == nullptr || status_ == nullptr) return;
  const auto batching = decision::DecideFlag(
      *rules_, "inference_batching",
      {.key = status_->node, .random = 0, .now_wall_ms = clock_.WallMs(), .context = {}});
  const bool is_flag = batching.flag != nullptr || batching.reason == decision::Reason::kOverride;
  inference_.SetBatching(batching.enabled || !is_flag);
}

telemetry::Window Worker::TakeTelemetry() {
  tenants_.Prune(clock_.MonotonicMs());
  recorders_.Prune();
  breakers_.Prune();
  telemetry::Window window = recorders_.TakeTelemetry();
  desk_.TakeInto(window);
  return window;
}

MetricsSample Worker::Sample() const {
  MetricsSample sample;
  sample.requests = counters_;
  sample.batches = inference_.batch_sizes();
  if (options_.inference && options_.index == 0) {
    sample.gates = gates_.Views();
    sample.upstreams = UpstreamsOf(versions_.get());
  }
  sample.rules = rules_;
  if (versions_ != nullptr) sample.versions = versions_->statuses();
  sample.status = status_;
  sample.overrides = overrides_;
  desk_.AddTo(sample.flags);
  if (options_.inference) {
    recorders_.AddTo(sample.arms);
    breakers_.AddTo(sample.breakers);
  }
  if (outcomes_ != nullptr) sample.outcomes = outcomes_->totals();
  sample.refused = guard_.refused();
  return sample;
}

void Worker::Drain() {
  inference_.SetDraining(true);
  if (ofrep_ != nullptr) ofrep_->Drain();
}

}  // namespace weir::node::front
