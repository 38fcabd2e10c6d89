// SPDX-License-Identifier: Apache-2.0
// The control plane in one piece: wiring, and nothing else. Three threads: core (here, and
// engine.h), bus (publish/bus.h) and api (api/api.h); they talk by tasks
// posted to each other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/alert/desk.h"
#include "controlplane/api/api.h"
#include "controlplane/api/event_log.h"
#include "controlplane/backup/backups.h"
#include "controlplane/control_settings.h"
#include "controlplane/engine.h"
#include "controlplane/gates/gates.h"
#include "controlplane/notify/notifier.h"
#include "controlplane/publish/bus.h"
#include "controlplane/publish/server_keys.h"
#include "controlplane/resources/reloader.h"
#include "controlplane/store/blob_store.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/transport/context.h"
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
  void MakeEngine();
  Status StartBus();
  Status StartApi();
  void StartTimers();
  void MakeGates();
  std::string ApiAddress() const;  // "" while it has none
  Status MakeNotifier();
  Status MakeDesk();

  void OnCommitted(const catalog::Committed& committed);
  void Tick();
  void StartResources();
  void OnFile(const resources::FileOutcome& outcome);
  Result<api::Past> Past(const api::PastQuery& query);
  Status Enroll(const api::Enrolment& enrolment);
  Result<codec::Json> CreateToken(int64_t lifetime_ms, const std::string& actor);
  void MakeBackups();
  Status LoadCordons();
  api::Operations MakeOperations();
  Result<codec::Json> Cordon(const std::string& node, bool cordoned, const std::string& actor,
                             const std::string& reason);
  codec::Json CordonOf(const std::string& node) const;
  std::function<Result<codec::Json>()> AuditCheck(const std::string& expected_head) const;
  Result<codec::Json> UpgradeFacts() const;
  void PublishAuditHead();
  std::string BackupMetrics() const;
  alert::Moment Now() const;
  void TellOfRollout(const std::string& type, codec::Json data);
  void EndAlerts(const catalog::Committed& committed);
  void PruneAlerts();
  api::AlertActions MakeAlertActions();
  Result<codec::Json> ListAlerts(const api::AlertQuery& query) const;
  void AddAlertProblems(std::vector<api::Problem>& problems) const;
  std::string AlertMetrics() const;
  Status Revoke(const std::string& node, const std::string& actor, const std::string& reason);
  Status OpenNext();
  Result<codec::Json> RotateKey(const std::string& actor, const std::string& reason);
  Result<codec::Json> FinishRotation(const std::string& actor, const std::string& reason,
                                     bool force);
  Result<codec::Json> KeyStatus() const;
  api::Bootstrap Bootstrap() const;
  api::KeyActions MakeKeyActions();
  api::PolicyActions MakePolicyActions();
  Status SettleBootstrapToken();
  size_t CountAdmins() const;  // admin tokens that have not expired
  Status CheckSomebodyMayEnter() const;
  bool IsNode(const std::string& node, const std::string& text, const std::string& proof) const;
  void ReloadCertificate();
  api::Dependencies MakeDependencies();
  std::string Metrics() const;
  std::vector<api::Problem> Problems() const;
  void StopOnCore();
  // Core still runs the tasks and timers that were on their way when StopOnCore came.
  bool IsStopped() const { return engine_ == nullptr; }

  const ControlSettings& settings_;
  const Clock& clock_ = Clock::System();
  transport::Context context_;
  transport::Loop core_{"core"};
  store::BlobStore blobs_;

  // Core's, in the order of their making.
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<api::EventLog> events_;
  std::unique_ptr<backup::Backups> backups_;
  std::unique_ptr<notify::Notifier> notifier_;
  std::unique_ptr<alert::Desk> desk_;
  std::unique_ptr<gates::Gates> gates_;
  std::unique_ptr<publish::Bus> bus_;
  std::unique_ptr<api::Api> api_;
  std::unique_ptr<resources::Reloader> reloader_;  // null without a directory
  publish::ServerKeys keys_;
  std::optional<int64_t> rotation_resumed_ms_;  // by this process, monotonic
  publish::BusCounters counters_;
  std::map<std::string, store::CordonRow> cordons_;  // by node
  store::AuditHead audit_head_;                      // that went into beacons
};

}  // namespace weir::control
