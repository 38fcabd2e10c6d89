// SPDX-License-Identifier: Apache-2.0
#include "controlplane/control.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "shared/base/crash_point.h"
#include "shared/base/log.h"

namespace weir::control {
namespace {

using codec::Json;

constexpr int64_t kPruneMs = 60'000;
constexpr int64_t kAlertsMs = 250;
constexpr int64_t kDrainMs = 5000;

}  // namespace

Status Control::Start() {
  core_.Start();
  Status status;
  core_.Call([&] {
    status = StartOnCore();
    if (!status.ok()) StopOnCore();
  });
  if (!status.ok()) core_.Stop();
  return status;
}

Status Control::StartOnCore() {
  MakeEngine();
  WEIR_RETURN_IF_ERROR(engine_->Open(settings_.data_dir));
  WEIR_ASSIGN_OR_RETURN(keys_, publish::ServerKeys::Load(settings_.data_dir));
  WEIR_RETURN_IF_ERROR(SettleBootstrapToken());
  WEIR_RETURN_IF_ERROR(CheckSomebodyMayEnter());
  events_ = std::make_unique<api::EventLog>(engine_->epoch(), clock_);
  MakeBackups();
  WEIR_RETURN_IF_ERROR(MakeNotifier());
  WEIR_RETURN_IF_ERROR(MakeDesk());
  MakeGates();
  WEIR_RETURN_IF_ERROR(engine_->StartDriver());
  WEIR_RETURN_IF_ERROR(LoadCordons());
  WEIR_RETURN_IF_ERROR(StartBus());
  StartResources();
  WEIR_RETURN_IF_ERROR(StartApi());
  StartTimers();
  return OkStatus();
}

void Control::MakeEngine() {
  EngineHooks hooks;
  hooks.publish = [this](const catalog::Committed& committed) { OnCommitted(committed); };
  hooks.acknowledge = [this](const ingest::HighWaters& stored) { bus_->Acknowledge(stored); };
  hooks.post = [this](std::function<void()> task) {
    core_.Post([this, task = std::move(task)] {
      if (!IsStopped()) task();
    });
  };
  hooks.gate = [this](const domain::Resource& rollout, uint64_t phase, size_t gate,
                      int64_t phase_age_ms) {
    return gates_->Ask(rollout, phase, gate, phase_age_ms);
  };
  hooks.notify = [this](const std::string& type, const std::string& severity, Json data) {
    data["severity"] = severity;
    TellOfRollout(type, std::move(data));
  };
  hooks.observe = [this](const alert::Observation& observation) {
    desk_->Observe(observation, Now());
  };
  hooks.show_decision = [this](const ingest::ShownDecision& decision) {
    events_->AddDecision(ingest::ToJson(decision));
  };
  engine_ = std::make_unique<Engine>(clock_, std::move(hooks));
}

Status Control::MakeNotifier() {
  notifier_ = std::make_unique<notify::Notifier>(notify::NotifierOptions{
      clock_, core_,
      [this](domain::Kind kind, const std::string& name) {
        return engine_->catalog().Find(kind, name);
      },
      [this](domain::Kind kind, const auto& visit) { engine_->catalog().ForEach(kind, visit); },
      [this] {
        return notify::Surroundings{settings_.gate_commands, ApiAddress()};
      },
      [this](const std::vector<store::NoticeRow>& waiting, const std::vector<uint64_t>& done) {
        return engine_->store().SaveNotices(waiting, done);
      }});
  WEIR_ASSIGN_OR_RETURN(const auto waiting, engine_->store().WaitingNotices());
  notifier_->Load(waiting);
  events_->AddListener([this](const api::Event& event) {
    // Of alerts the desk knows whom to tell, and when.
    if (notifier_ != nullptr && event.type != "flag_decision" && event.type != "alert")
      notifier_->OnEvent({event.id, event.type, event.at_wall_ms, event.data});
  });
  return OkStatus();
}

void Control::MakeGates() {
  gates_ = std::make_unique<gates::Gates>(
      gates::GatesOptions{clock_, core_,
                          [this](domain::Kind kind, const std::string& name) {
                            return engine_->catalog().Find(kind, name);
                          },
                          settings_.gate_commands, [this] { return ApiAddress(); }});
}

std::string Control::ApiAddress() const {
  if (api_ == nullptr) return "";
  return (settings_.tls_cert.empty() ? "http://" : "https://") + api_->address();
}

Status Control::StartBus() {
  const auto post = [this](auto task) {
    core_.Post([this, task = std::move(task)] {
      if (!IsStopped()) task();  // telemetry that comes later is not acknowledged: it is sent again
    });
  };
  publish::Bus::Listener listener;
  listener.on_nodes = [=, this](std::shared_ptr<const publish::NodesView> view) {
    post([this, view = std::move(view)] { engine_->OnNodes(view); });
  };
  listener.on_applied = [=, this](const publish::AppliedEvent& event) {
    post([this, event] { engine_->OnApplied(event); });
  };
  listener.on_telemetry = [=, this](ingest::TelemetryTick tick) {
    post([this, tick = std::make_shared<const ingest::TelemetryTick>(std::move(tick))] {
      engine_->OnTelemetry(*tick);
    });
  };
  listener.on_counters = [=, this](const publish::BusCounters& counters) {
    post([this, counters] { counters_ = counters; });
  };
  publish::BusOptions options;
  options.cfg_listen = settings_.cfg_listen;
  options.session_listen = settings_.session_listen;
  options.telemetry_listen = settings_.telemetry_listen;
  options.keys = keys_.current();
  options.epoch = engine_->epoch();
  WEIR_ASSIGN_OR_RETURN(const auto known, engine_->store().NodeKeys());
  for (const store::NodeKeyRow& node : known) {
    if (node.revoked) {
      options.revoked.push_back(node.node);
    } else {
      options.nodes.emplace_back(node.node, node.public_key);
    }
  }
  for (const auto& [node, cordon] : cordons_) options.cordons.emplace_back(node, cordon.reason);
  bus_ = std::make_unique<publish::Bus>(context_, std::move(listener));
  const catalog::Catalog& catalog = engine_->catalog();
  WEIR_RETURN_IF_ERROR(bus_->Start(options, catalog.AllEntries(), catalog.revision(),
                                   catalog.emergency(), engine_->committed()));
  PublishAuditHead();
  if (keys_.next().has_value()) {  // a rotation goes on
    rotation_resumed_ms_ = clock_.MonotonicMs();
    WEIR_RETURN_IF_ERROR(OpenNext());
  }
  engine_->Follow();
  return OkStatus();
}

api::Dependencies Control::MakeDependencies() {
  return {
      .core = core_,
      .clock = clock_,
      .catalog = engine_->catalog(),
      .blobs = blobs_,
      .rollouts = engine_->driver(),
      .events = *events_,
      .flag_totals = engine_->ledger().flags(),
      .epoch = engine_->epoch(),
      .bootstrap = [this] { return Bootstrap(); },
      .nodes = [this] { return engine_->nodes(); },
      .enroll = [this](const api::Enrolment& enrolment) { return Enroll(enrolment); },
      .before_change = [this] { engine_->FoldSchedules(); },
      .create_token = [this](int64_t lifetime_ms,
                             const std::string& actor) { return CreateToken(lifetime_ms, actor); },
      .is_node = [this](const std::string& node, const std::string& text,
                        const std::string& proof) { return IsNode(node, text, proof); },
      .require_tokens = RequiresTokens(settings_),
      .open_metrics = settings_.open_metrics,
      .telemetry =
          [this](const api::TelemetryQuery& query) {
            return engine_->ledger().history().Query(query.subject, query.from_ms, query.to_ms,
                                                     query.step_ms, clock_.WallMs());
          },
      .past = [this](const api::PastQuery& query) { return Past(query); },
      .keys = MakeKeyActions(),
      .sink_status = [this](const std::string& sink) { return notifier_->StatusOf(sink); },
      .test_sink = [this](const std::string& sink) { return notifier_->Test(sink); },
      .policies = MakePolicyActions(),
      .operations = MakeOperations(),
      .alerts = MakeAlertActions(),
      .metrics = [this] { return Metrics(); },
      .problems = [this] { return Problems(); },
      .not_ready =
          [this] {
            const Status& stored = engine_->last_commit();
            return stored.ok() ? "" : stored.ToString();
          }};
}

Status Control::StartApi() {
  api_ = std::make_unique<api::Api>(MakeDependencies());
  http::ServerOptions options;
  options.listen = settings_.listen;
  options.tls_cert_file = settings_.tls_cert;
  options.tls_key_file = settings_.tls_key;
  options.workers = 2;  // a large blob must not hold up event streams
  return api_->Start(options);
}

void Control::StartTimers() {
  core_.Every(Engine::kTickMs, [this] { Tick(); });
  core_.Every(Engine::kScheduleMs, [this] {
    if (IsStopped()) return;
    engine_->FoldSchedules();
    PublishAuditHead();
  });
  core_.Every(kPruneMs, [this] {
    if (IsStopped()) return;
    const Status status = engine_->ledger().Prune();
    if (!status.ok()) Log("ingest").error("old telemetry stays: {}", status.ToString());
    PruneAlerts();
    engine_->DeleteOldSilences();
  });
  core_.Every(kAlertsMs, [this] {
    if (!IsStopped()) desk_->Tick(Now());
  });
}

void Control::OnCommitted(const catalog::Committed& committed) {
  CrashPoint("publish.before");
  bus_->Publish(committed);
  CrashPoint("publish.after");
  EndAlerts(committed);
  if (api_ != nullptr) api_->OnCommitted(committed);
}

void Control::Tick() {
  if (IsStopped()) return;
  engine_->Tick();
  gates_->Tick();
  notifier_->Tick();
  backups_->Tick();
  api_->Tick();
}

void Control::StartResources() {
  if (settings_.resources.empty()) return;
  reloader_ = std::make_unique<resources::Reloader>(
      settings_.resources, engine_->catalog(), blobs_, clock_, core_,
      [this](const resources::FileOutcome& outcome) { OnFile(outcome); },
      [this] { engine_->FoldSchedules(); });
  reloader_->Start();
}

void Control::OnFile(const resources::FileOutcome& outcome) {
  events_->Add("resource_file", {{"file", outcome.file},
                                 {"result", resources::ResultName(outcome.result)},
                                 {"changed", outcome.changed},
                                 {"errors", outcome.errors}});
}

void Control::Stop(const std::function<void()>& wait_drain_delay) {
  core_.Call([this] { api_->BeginDrain(); });
  wait_drain_delay();
  api_->Drain(kDrainMs);
  core_.Call([this] {
    engine_->Tick();  // what is acknowledged has been judged
    engine_->CommitTelemetry();
    desk_->Tick(Now());
    StopOnCore();
  });
  core_.Stop();
}

void Control::StopOnCore() {
  reloader_.reset();
  if (api_ != nullptr) api_->Stop();
  if (bus_ != nullptr) bus_->Stop();
  api_.reset();
  bus_.reset();
  gates_.reset();
  desk_.reset();
  notifier_.reset();
  backups_.reset();
  engine_.reset();
}

void Control::Reload() {
  core_.Post([this] {
    if (IsStopped()) return;
    ReloadCertificate();
    if (reloader_ != nullptr) reloader_->Apply(true);
  });
}

Json Control::Addresses() const {
  const publish::Bus::Addresses& bus = bus_->addresses();
  return {{"pid", getpid()},
          {"api", api_->address()},
          {"cfg", bus.cfg},
          {"session", bus.session},
          {"telemetry", bus.telemetry}};
}

}  // namespace weir::control
