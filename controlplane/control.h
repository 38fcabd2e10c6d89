// SPDX-License-Identifier: Apache-2.0
// The control plane in one piece: wiring, and nothing else. Three threads: core (here: catalog,
// store, rollouts, what was counted), bus (publish/bus.h) and api (api/api.h); they talk by tasks
// posted to each other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/api/api.h"
#include "controlplane/api/event_log.h"
#include "controlplane/catalog/catalog.h"
#include "controlplane/control_settings.h"
#include "controlplane/gates/gates.h"
#include "controlplane/ingest/ledger.h"
#include "controlplane/notify/notifier.h"
#include "controlplane/publish/bus.h"
#include "controlplane/resources/reloader.h"
#include "controlplane/rollout/driver.h"
#include "controlplane/store/blob_store.h"
#include "controlplane/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/transport/context.h"
#include "shared/transport/keys.h"
#include "shared/transport/loop.h"

namespace weir::control {

// Everything that runs. Made, started and stopped by the main thread; the rest is core's.
class Control {
 public:
  explicit Control(const ControlSettings& settings)
      : settings_(settings), blobs_(settings.data_dir) {}

  // On an error nothing runs.
  Status Start();
  // Unready, then no new requests, then a last commit.
  void Stop(const std::function<void()>& wait_drain_delay);
  // Applies the files of the resources directory and reads the certificate again; does not wait.
  void Reload();
  // Whether who calls the admin API shows a token; between Start and Stop.
  bool AsksForTokens();
  // {pid, api, cfg, session, telemetry}, with the real ports; between Start and Stop.
  codec::Json Addresses() const;

 private:
  // In the order of the start; all on core.
  Status StartOnCore();
  Status LoadState();
  Status StartBus();
  Status StartApi();
  void StartTimers();
  void MakeGates();
  void MakeNotifier();
  void MakeDriver();

  void OnCommitted(const catalog::Committed& committed);
  void OnNodes(std::shared_ptr<const publish::NodesView> view);
  void OnApplied(const publish::AppliedEvent& event);
  void OnTelemetry(const ingest::TelemetryTick& tick);
  void Tick();
  void CommitTelemetry();
  void StartResources();
  void OnFile(const resources::FileOutcome& outcome);
  void FoldSchedules();
  void TellDriver();
  Result<api::Past> Past(const api::PastQuery& query);
  Status Enroll(const api::Enrolment& enrolment);
  Status SettleBootstrapToken();
  size_t CountAdmins() const;  // admin tokens that have not expired
  Status CheckSomebodyMayEnter() const;
  bool IsNode(const std::string& node, const std::string& text, const std::string& proof) const;
  void ReloadCertificate();
  Result<codec::Json> CreateToken(int64_t lifetime_ms);
  api::Dependencies MakeDependencies();
  std::string Metrics() const;
  std::vector<api::Problem> Problems() const;
  void StopOnCore();
  // Core still runs the tasks and timers that were on their way when StopOnCore came.
  bool IsStopped() const { return driver_ == nullptr; }

  const ControlSettings& settings_;
  const Clock& clock_ = Clock::System();
  transport::Context context_;
  transport::Loop core_{"core"};
  store::BlobStore blobs_;

  // Core's, in the order of their making.
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<ingest::Ledger> ledger_;
  std::unique_ptr<api::EventLog> events_;
  std::unique_ptr<notify::Notifier> notifier_;
  std::unique_ptr<gates::Gates> gates_;
  std::unique_ptr<rollout::Driver> driver_;
  std::unique_ptr<publish::Bus> bus_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<resources::Reloader> reloader_;  // null without a directory
  uint64_t epoch_ = 0;
  uint64_t published_ = 0;  // the newest version that went to nodes
  transport::KeyPair keys_;
  ingest::HighWaters committed_;  // of the last process, for the bus
  std::shared_ptr<const publish::NodesView> nodes_ = std::make_shared<publish::NodesView>();
  publish::BusCounters counters_;
  Status last_commit_;  // of telemetry
  std::optional<api::Problem> schedule_problem_;
};

}  // namespace weir::control
