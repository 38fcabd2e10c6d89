// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/front.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "dataplane/front/worker.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::node::front {
namespace {

constexpr int64_t kGateTickMs = 50;  // how late a deadline may be noticed
constexpr int64_t kIdleTickMs = 500;

http::ServerOptions OneWorker(http::ServerOptions options) {
  options.workers = 1;
  return options;
}

}  // namespace

Front::Front(FrontOptions options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      gates_(static_cast<uint64_t>(std::max(1, options_.http.workers))),
      streams_(options_.ofrep.max_streams) {
  const std::string salt = RandomHex(16);
  for (int i = 0; i < options_.http.workers; ++i) {
    workers_.push_back(
        std::make_unique<Worker>(WorkerOptions{options_.http.request_timeout_ms, true, salt,
                                               static_cast<size_t>(i), options_.require_token},
                                 clock_, delays_, gates_));
    workers_.back()->ListenToBreakers([this](const breaker::Change& change) {
      ExecutorOf(0).Post([this, change] { TakeChange(change); });
    });
    workers_.back()->ServeOfrep(options_.ofrep, streams_);
    workers_.back()->ServeOutcomes(options_.outcome_tokens);
  }
  if (options_.admin.has_value()) {
    workers_.push_back(std::make_unique<Worker>(
        WorkerOptions{options_.admin->request_timeout_ms, false, salt, 0, options_.require_token},
        clock_, delays_, gates_));
  }
}

// Versions that are services let go of their connections while the server is still there.
Front::~Front() {
  Stop();
  gates_.Clear();
  workers_.clear();
}

Status Front::Start() {
  server_.SetIdleHook([this](int worker) { workers_[static_cast<size_t>(worker)]->Flush(); });
  WEIR_RETURN_IF_ERROR(
      server_.Start(options_.http, [this](std::shared_ptr<http::Exchange> exchange) {
        Worker& worker = *workers_[static_cast<size_t>(exchange->worker())];
        Handle(worker, std::move(exchange));
      }));
  if (options_.admin.has_value()) {
    const Status admin =
        admin_.Start(OneWorker(*options_.admin), [this](std::shared_ptr<http::Exchange> exchange) {
          Handle(*workers_.back(), std::move(exchange));
        });
    if (!admin.ok()) {
      server_.Stop();
      return admin;
    }
  }
  started_.store(true);
  for (size_t i = 0; i < workers_.size(); ++i) {
    Executor& executor = ExecutorOf(i);
    executor.Post([worker = workers_[i].get(), &executor] { worker->Bind(&executor); });
  }
  TickGates();
  return OkStatus();
}

std::string Front::http_address() const { return server_.address(); }

std::string Front::admin_address() const {
  return options_.admin.has_value() ? admin_.address() : server_.address();
}

void Front::PublishRules(std::shared_ptr<const decision::Ruleset> rules,
                         std::function<void()> taken) {
  SetGates(rules);
  const uint64_t number = published_.fetch_add(1) + 1;
  ForEachWorker([rules](size_t, Worker& worker) { worker.SetRules(rules); },
                [this, rules, number, taken = std::move(taken)] {
                  ForEachWorker([rules, number](size_t, Worker& worker) {
                    worker.AnnounceRules(rules, number);
                  });
                  if (taken) taken();
                });
}

void Front::PublishVersions(std::shared_ptr<const runtime::VersionTable> versions,
                            std::function<void()> taken) {
  ForEachWorker(
      [versions = std::move(versions)](size_t, Worker& worker) { worker.SetVersions(versions); },
      std::move(taken));
}

void Front::PublishStatus(std::shared_ptr<const NodeStatusView> status) {
  if (status != nullptr) RecheckGates(status->node);
  ForEachWorker([status = std::move(status)](size_t, Worker& worker) { worker.SetStatus(status); });
}

void Front::PublishOverrides(std::shared_ptr<const OverridesView> overrides) {
  ForEachWorker([overrides = std::move(overrides)](size_t, Worker& worker) {
    worker.SetOverrides(overrides);
  });
}

// Before workers make plans of them.
void Front::SetGates(std::shared_ptr<const decision::Ruleset> rules) {
  const std::lock_guard lock(gating_);
  gating_rules_ = std::move(rules);
  gates_.Set(*gating_rules_, gating_node_, {clock_.MonotonicNs(), clock_.WallMs()});
}

void Front::RecheckGates(const std::string& node) {
  const std::lock_guard lock(gating_);
  gating_node_ = node;
  if (gating_rules_ == nullptr) return;
  gates_.Recheck(*gating_rules_, node, {clock_.MonotonicNs(), clock_.WallMs()});
}

void Front::TickGates() {
  const bool has_any = gates_.Tick({clock_.MonotonicNs(), clock_.WallMs()});
  delays_.PostAfter(has_any ? kGateTickMs : kIdleTickMs, ExecutorOf(0), [this] { TickGates(); });
}

void Front::CollectTelemetry(Collected done) {
  struct Share {
    telemetry::Window window;
    std::vector<wire::DecisionSample> samples;
  };
  auto shares = std::make_shared<std::vector<Share>>(workers_.size());
  ForEachWorker(
      [shares](size_t index, Worker& worker) {
        (*shares)[index] = {worker.TakeTelemetry(), worker.TakeSamples()};
      },
      [shares, done = std::move(done)] {
        Share& all = shares->front();
        for (size_t i = 1; i < shares->size(); ++i) {
          Share& share = (*shares)[i];
          telemetry::Merge(all.window, share.window);
          std::move(share.samples.begin(), share.samples.end(), std::back_inserter(all.samples));
        }
        done(std::move(all.window), std::move(all.samples));
      });
}

Front::Activity Front::activity() const {
  Activity activity;
  activity.open = server_.counters().handling;
  for (int i = 0; i < options_.http.workers; ++i)
    activity.requests += workers_[static_cast<size_t>(i)]->application_requests();
  return activity;
}

void Front::Drain(int64_t deadline_ms) {
  ForEachWorker([](size_t, Worker& worker) { worker.Drain(); });
  server_.Drain(deadline_ms);
}

void Front::Stop() {
  delays_.Stop();
  admin_.Stop();  // asks the other's workers
  server_.Stop();
}

Status Front::ReloadCertificate() {
  WEIR_RETURN_IF_ERROR(server_.ReloadCertificate());
  return options_.admin.has_value() ? admin_.ReloadCertificate() : OkStatus();
}

void Front::TakeChange(const breaker::Change& change) {
  const std::optional<wire::Episode> episode = episodes_.Take(change, clock_.WallMs());
  if (!episode.has_value()) return;
  const bool is_open = episode->to_wall_ms == 0;
  Log("front").warn("{} {}: {}", episode->subject,
                    is_open ? "gets no canary traffic from here" : "gets canary traffic again",
                    is_open ? episode->detail : "its breaker has closed");
  if (on_episode_) on_episode_(*episode);
}

void Front::Handle(Worker& worker, std::shared_ptr<http::Exchange> exchange) {
  const http::Request& request = exchange->request();
  if (request.path == "/metrics" && request.method == "GET") {
    return Scrape(worker, std::move(exchange));
  }
  if (request.path == "/weir/v1/override" && options_.break_glass && IsAdmin(worker)) {
    return Override(worker, std::move(exchange));
  }
  worker.Handle(exchange);
}

// Asks every worker, then answers on the one that was asked.
void Front::Scrape(Worker& worker, std::shared_ptr<http::Exchange> exchange) {
  const int64_t start_ns = clock_.MonotonicNs();
  if (worker.Refuses(*exchange, access::Scope::kNodeAdmin, Endpoint::kMetrics, start_ns)) return;
  if (!started_.load()) {
    return worker.Respond(*exchange, Endpoint::kMetrics, start_ns,
                          http::ErrorResponse(503, "this node is starting"));
  }
  Executor* asked = &ExecutorOf(worker);
  auto samples = std::make_shared<std::vector<MetricsSample>>(workers_.size());
  ForEachWorker(
      [samples](size_t index, Worker& each) { (*samples)[index] = each.Sample(); },
      [this, samples, asked, start_ns, &worker, exchange = std::move(exchange)]() mutable {
        asked->Post([this, samples, start_ns, &worker, exchange = std::move(exchange)] {
          http::Response response;
          response.content_type = "text/plain; version=0.0.4; charset=utf-8";
          response.body = RenderMetrics(*samples, clock_);
          worker.Respond(*exchange, Endpoint::kMetrics, start_ns, std::move(response));
        });
      });
}

bool Front::IsAdmin(const Worker& worker) const {
  return !options_.admin.has_value() || &worker == workers_.back().get();
}

void Front::Override(Worker& worker, std::shared_ptr<http::Exchange> exchange) {
  const int64_t start_ns = clock_.MonotonicNs();
  if (!started_.load()) {
    return worker.Respond(*exchange, Endpoint::kOverride, start_ns,
                          http::ErrorResponse(503, "this node is starting"));
  }
  const http::Request& request = exchange->request();
  options_.break_glass(request, [asked = &ExecutorOf(worker), start_ns, &worker,
                                 exchange = std::move(exchange)](http::Response response) {
    asked->Post([start_ns, &worker, exchange, response = std::move(response)]() mutable {
      worker.Respond(*exchange, Endpoint::kOverride, start_ns, std::move(response));
    });
  });
}

Executor& Front::ExecutorOf(const Worker& worker) {
  size_t index = 0;
  while (workers_[index].get() != &worker) ++index;
  return ExecutorOf(index);
}

Executor& Front::ExecutorOf(size_t worker) {
  const auto servers = static_cast<size_t>(options_.http.workers);
  return worker < servers ? server_.worker(static_cast<int>(worker)) : admin_.worker(0);
}

void Front::ForEachWorker(std::function<void(size_t, Worker&)> visit, std::function<void()> done) {
  struct Round {
    std::function<void(size_t, Worker&)> visit;
    std::function<void()> done;
    std::atomic<size_t> left;
  };
  auto round = std::make_shared<Round>(std::move(visit), std::move(done), workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    ExecutorOf(i).Post([round, i, worker = workers_[i].get()] {
      round->visit(i, *worker);
      if (round->left.fetch_sub(1) == 1 && round->done) round->done();
    });
  }
}

}  // namespace weir::node::front
