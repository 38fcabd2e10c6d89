// SPDX-License-Identifier: Apache-2.0
// The inside of Api: the routes and what answers them. Constant after construction: deps_, router_.
// Everything else belongs to the core thread, except server_, whose threads call Handle.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/api/access.h"
#include "controlplane/api/api.h"
#include "controlplane/api/call.h"
#include "controlplane/api/event_streams.h"
#include "controlplane/api/metrics.h"
#include "controlplane/api/node_watch.h"
#include "controlplane/api/resource_view.h"
#include "controlplane/api/router.h"
#include "controlplane/api/snapshot_cache.h"
#include "controlplane/publish/node_status.h"
#include "controlplane/rollout/step.h"

namespace weir::control::api {

class Api::Core {
 public:
  explicit Core(Dependencies dependencies);

  Status Start(http::ServerOptions options);
  void Stop();
  void OnCommitted(const catalog::Committed& committed);
  void Tick();
  void BeginDrain();

  http::Server& server() { return server_; }

 private:
  std::vector<Route> Routes();
  void AddResourceRoutes(std::vector<Route>& routes);
  void AddChangeRoutes(std::vector<Route>& routes);
  void AddReadRoutes(std::vector<Route>& routes);
  void AddOperationRoutes(std::vector<Route>& routes);
  void AddAlertRoutes(std::vector<Route>& routes);
  void AddKeyRoutes(std::vector<Route>& routes);
  void AddTokenRoutes(std::vector<Route>& routes);
  void AddPolicyRoutes(std::vector<Route>& routes);

  // The one way of every request: worker → core → worker.
  void Handle(const std::shared_ptr<http::Exchange>& exchange);
  // Of a body, in bytes: as large as a blob only of who may push one, nothing of who may not ask.
  size_t BodyLimit(const http::Request& request, int worker) const;
  // False: the caller has been refused. Sets the call's actor where callers are asked who they are.
  bool Admit(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
             std::string* actor);
  void AnswerCall(const std::shared_ptr<http::Exchange>& exchange, const Route& route, Call call);
  static bool ShowsNodeProof(const http::Request& request);
  void CheckNode(const std::shared_ptr<http::Exchange>& exchange, const Route& route, Call call);
  // On core, when tokens have changed. Whoever listens to events then shows its token again, if one
  // was revoked.
  void ChangeTokens(const catalog::Committed& committed);
  void AnswerOnCore(const std::shared_ptr<http::Exchange>& exchange, const Route& route, Call call);
  void OpenStream(const std::shared_ptr<http::Exchange>& exchange, const Call& call);
  void RespondFromCore(const std::shared_ptr<http::Exchange>& exchange, const Route& route,
                       http::Response response);
  // On the worker, one slice per turn.
  void AnswerInSlices(const std::shared_ptr<http::Exchange>& exchange, const std::string& endpoint,
                      const Slice& slice);
  // On the worker; counted on core.
  void AnswerOnWorker(const std::shared_ptr<http::Exchange>& exchange, const std::string& endpoint,
                      http::Response response);
  // On core, unless the Api was stopped meanwhile. Any thread.
  void PostToCore(std::function<void()> task);

  // Resources
  Answer List(domain::Kind kind, const Call& call);
  Answer Get(domain::Kind kind, const Call& call);
  Answer Put(domain::Kind kind, const Call& call);
  Answer Patch(domain::Kind kind, const Call& call);
  Answer Delete(domain::Kind kind, const Call& call);
  Answer CommitOne(domain::Resource resource, const Call& call);

  // Changes
  Answer Apply(const Call& call);
  Answer Validate(const Call& call);
  Answer History(const Call& call);
  Answer Revert(const Call& call);
  Answer Undo(const Call& call);
  Answer CommandRollout(const std::string& verb, const Call& call);
  Answer TestSink(const Call& call);
  codec::Json CommitView(const catalog::CommitResult& result) const;
  // Every version of a model names a blob that is here, unless it stands so already.
  Status CheckBlobs(const domain::ModelSpec& spec, const std::string& name,
                    const std::string& path) const;

  // Reads
  Answer Snapshot(const Call& call);
  Answer Nodes(const Call& call);
  Answer Node(const Call& call);
  Answer StatusPage(const Call& call);
  Answer Telemetry(const Call& call);
  Answer Events(const Call& call);
  Result<Slice> ExplainKey(const Call& call);
  Answer BootstrapInfo(const Call& call);
  Answer Enroll(const Call& call);
  Answer CreateToken(const Call& call);

  // Keys
  Answer RevokeNode(const Call& call);
  Answer Keys(const Call& call);
  Answer RotateKey(const Call& call);
  Answer FinishRotation(const Call& call);

  // Policies
  Answer ResetPolicy(const Call& call);
  Result<Slice> BacktestPolicy(const Call& call);

  Answer CreateAccessToken(const Call& call);
  Answer RevokeToken(const Call& call);
  Answer PutBlob(const Call& call) const;  // any thread
  Answer GetBlob(const Call& call) const;  // any thread
  Answer Ready(const Call& call);
  Answer Metrics(const Call& call);

  // Operations
  Answer Cordon(const Call& call, bool cordoned);
  Answer BackupPiece(const Call& call) const;  // any thread
  // With who cordoned it.
  codec::Json NodeView(const publish::NodeStatus& node) const;

  World MakeWorld() const;

  const Dependencies deps_;
  const Router router_;

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool draining_ = false;
  uint64_t version_ = 0;  // that nodes shall have: the last commit that changed something for them
  Counters counters_;
  SnapshotCache snapshot_;
  NodeWatch watch_;
  std::map<std::string, domain::RolloutStatus> rollouts_;  // as last committed
  std::weak_ptr<int> backtest_;                            // the one under way, on a worker

  std::shared_ptr<const AccessTable> access_;
  std::vector<Door> doors_;  // one of each HTTP worker, whose thread it belongs to
  std::string scheme_;       // "http://", "https://"; constant after Start

  http::Server server_;
  EventStreams streams_;
};

}  // namespace weir::control::api
