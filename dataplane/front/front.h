// SPDX-License-Identifier: Apache-2.0
// The node's HTTP surface (SURFACES, Node HTTP): the application's server, whose workers do
// everything a request needs, and the admin server, which asks them.
//
//   application: /v2…, /ofrep/v1/…, /weir/v1/…, /health, /ready, /metrics
//   admin: all but /v2… and /ofrep/…
//
// Lifecycle: Front → Start → [Drain] → Stop, on one thread. The Publish… functions and
// CollectTelemetry may be called from any thread between Start and Stop; what they hand over is
// posted to every worker, and keeps its order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/admission/gates.h"
#include "dataplane/front/delay.h"
#include "dataplane/front/episodes.h"
#include "dataplane/front/node_status.h"
#include "dataplane/ofrep/options.h"
#include "dataplane/ofrep/streams.h"
#include "dataplane/runtime/versions.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"
#include "shared/http/server.h"
#include "shared/telemetry/series.h"
#include "shared/wire/messages.h"

namespace weir::node::front {

class Worker;

struct FrontOptions {
  http::ServerOptions http;
  // Absent: the application's server is the only one.
  std::optional<http::ServerOptions> admin;
  ofrep::OfrepOptions ofrep;
  // Of whom /weir/v1/outcomes is answered, as ofrep.tokens; none: of anyone.
  std::vector<std::string> outcome_tokens;
  // Bits of access::Scope: surfaces that ask for a token of the snapshot with that scope.
  uint32_t require_token = 0;
  // Answers /weir/v1/override on the admin address, which is 404 without it. Called on a worker's
  // thread; `respond` may be called on any.
  std::function<void(const http::Request&, std::function<void(http::Response)> respond)>
      break_glass;
};

class Front {
 public:
  // `clock` outlives the front.
  explicit Front(FrontOptions options, const Clock& clock = Clock::System());
  ~Front();  // Stop()

  // Told at once of what breakers did, when it begins and again, with its end, when it ends; on
  // some worker's thread. Before Start.
  using OnEpisode = std::function<void(const wire::Episode&)>;
  void SetEpisodeListener(OnEpisode on_episode) { on_episode_ = std::move(on_episode); }

  // Listens on both. On failure nothing is left running.
  Status Start();
  std::string http_address() const;
  std::string admin_address() const;  // the application's if there is no admin server

  // `taken`, if given, is called once, on the thread of the last worker to take it; those of one
  // function in the order of the calls.
  void PublishRules(std::shared_ptr<const decision::Ruleset> rules,
                    std::function<void()> taken = {});
  void PublishVersions(std::shared_ptr<const runtime::VersionTable> versions,
                       std::function<void()> taken = {});
  void PublishStatus(std::shared_ptr<const NodeStatusView> status);
  void PublishOverrides(std::shared_ptr<const OverridesView> overrides);
  // What all workers recorded since the last call, and the decisions on flags that they picked out
  // to be shown; `done` is called once, on some worker's thread.
  using Collected = std::function<void(telemetry::Window, std::vector<wire::DecisionSample>)>;
  void CollectTelemetry(Collected done);

  // What applications want of this node; without the admin server. Any thread.
  struct Activity {
    uint64_t requests = 0;  // so far
    uint64_t open = 0;      // being answered now; without event streams
  };
  Activity activity() const;

  // Answers what is in flight; see http::Server::Drain. Metrics stay reachable.
  void Drain(int64_t deadline_ms);
  void Stop();

  // See http::Server::ReloadCertificate; of both.
  Status ReloadCertificate();

 private:
  void Handle(Worker& worker, std::shared_ptr<http::Exchange> exchange);
  void Scrape(Worker& worker, std::shared_ptr<http::Exchange> exchange);
  void SetGates(std::shared_ptr<const decision::Ruleset> rules);
  void RecheckGates(const std::string& node);
  void TickGates();
  void TakeChange(const breaker::Change& change);
  bool IsAdmin(const Worker& worker) const;
  void Override(Worker& worker, std::shared_ptr<http::Exchange> exchange);
  Executor& ExecutorOf(const Worker& worker);
  Executor& ExecutorOf(size_t worker);
  // `visit` on every worker's thread with its index, then `done` on the thread of the last.
  void ForEachWorker(std::function<void(size_t, Worker&)> visit, std::function<void()> done = {});

  // Constant after construction.
  const FrontOptions options_;
  const Clock& clock_;

  OnEpisode on_episode_;  // constant after Start
  Episodes episodes_;     // the first worker's thread

  DelayLine delays_;
  admission::Gates gates_;
  // What gates are set by, as it came last; snapshots and status come from different threads.
  std::mutex gating_;
  std::shared_ptr<const decision::Ruleset> gating_rules_;
  std::string gating_node_;
  ofrep::StreamBudget streams_;
  // The application's, then the admin server's; each belongs to its thread.
  std::vector<std::unique_ptr<Worker>> workers_;
  http::Server server_;
  http::Server admin_;
  std::atomic<bool> started_{false};    // server_ may be asked for its workers
  std::atomic<uint64_t> published_{0};  // rulesets
};

}  // namespace weir::node::front
