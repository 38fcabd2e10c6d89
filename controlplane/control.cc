// SPDX-License-Identifier: Apache-2.0
#include "controlplane/control.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "controlplane/catalog/schedule.h"
#include "shared/base/crash_point.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/wire/digest.h"

namespace weir::control {
namespace {

using codec::Json;

constexpr int64_t kTickMs = 100;
constexpr int64_t kPruneMs = 60'000;
constexpr int64_t kScheduleMs = 1000;
constexpr int64_t kDrainMs = 5000;
constexpr char kRolloutState[] = "rollouts";

rollout::NodeFacts FactsOf(const publish::NodeStatus& node, uint64_t epoch, int64_t to_wall_ms) {
  rollout::NodeFacts facts;
  facts.id = node.id;
  facts.labels = node.labels;
  facts.live = node.IsLive();
  facts.incarnation = node.incarnation;
  facts.applied_version = node.epoch == epoch ? node.version : 0;
  if (!node.applied.empty()) facts.applied_wall_ms = node.applied.back().at_ms + to_wall_ms;
  for (const wire::VersionReport& version : node.versions) {
    facts.versions.push_back({version.model, version.version, version.state, version.detail});
  }
  for (const wire::RefusedEntry& entry : node.refused) {
    if (entry.kind == static_cast<uint32_t>(domain::EntryKind::kSplit))
      facts.refused_splits[entry.name] = entry.detail;
  }
  for (const wire::Episode& episode : node.episodes) {
    facts.episodes.push_back(
        {episode.kind, episode.subject, episode.from_wall_ms, episode.to_wall_ms, episode.detail});
  }
  return facts;
}

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
  WEIR_RETURN_IF_ERROR(LoadState());
  MakeNotifier();
  MakeGates();
  MakeDriver();
  const auto state = store_->LoadStates(kRolloutState);
  if (!state.ok()) return state.status();
  if (const auto saved = state->find(kRolloutState); saved != state->end()) {
    const auto json = codec::ParseJson(saved->second);
    if (!json.ok()) return {Code::kDataLoss, "the state of rollouts: " + json.status().ToString()};
    driver_->LoadState(*json);
  }
  WEIR_RETURN_IF_ERROR(StartBus());
  StartResources();
  WEIR_RETURN_IF_ERROR(StartApi());
  StartTimers();
  return OkStatus();
}

Status Control::LoadState() {
  WEIR_ASSIGN_OR_RETURN(store_, store::Store::Open(settings_.data_dir, clock_));
  catalog_ = std::make_unique<catalog::Catalog>(*store_, clock_);
  WEIR_RETURN_IF_ERROR(catalog_->Load());
  ledger_ = std::make_unique<ingest::Ledger>(
      *store_, clock_,
      [this](const std::string& name) { return catalog_->Find(domain::Kind::kFlag, name); },
      [this](const std::string& name) { return catalog_->FlagDigest(name); });
  WEIR_ASSIGN_OR_RETURN(committed_, ledger_->Load());
  WEIR_ASSIGN_OR_RETURN(epoch_, store_->NextEpoch(clock_.WallMs() / 1000));
  WEIR_ASSIGN_OR_RETURN(keys_, transport::LoadOrCreateKeyPair(settings_.data_dir + "/server.key"));
  events_ = std::make_unique<api::EventLog>(epoch_, clock_);
  return OkStatus();
}

void Control::MakeNotifier() {
  notifier_ = std::make_unique<notify::Notifier>(notify::NotifierOptions{
      clock_, core_,
      [this](domain::Kind kind, const std::string& name) { return catalog_->Find(kind, name); },
      [this](domain::Kind kind, const auto& visit) { catalog_->ForEach(kind, visit); }});
  events_->AddListener([this](const api::Event& event) {
    if (notifier_ != nullptr && event.type != "flag_decision")
      notifier_->OnEvent({event.id, event.type, event.at_wall_ms, event.data});
  });
}

void Control::MakeGates() {
  gates_ = std::make_unique<gates::Gates>(gates::GatesOptions{
      clock_, core_,
      [this](domain::Kind kind, const std::string& name) { return catalog_->Find(kind, name); },
      settings_.gate_commands,
      [this] { return api_ == nullptr ? "" : "http://" + api_->address(); }});
}

void Control::MakeDriver() {
  rollout::Driver::World world;
  world.find = [this](domain::Kind kind, const std::string& name) {
    return catalog_->Find(kind, name);
  };
  world.gate = [this](const domain::Resource& rollout, uint64_t phase, size_t gate,
                      int64_t phase_age_ms) {
    return gates_->Ask(rollout, phase, gate, phase_age_ms);
  };
  world.for_each = [this](domain::Kind kind, const auto& visit) { catalog_->ForEach(kind, visit); };
  world.commit = [this](const rollout::CommitPlan& plan) -> Result<uint64_t> {
    catalog::CommitRequest request;
    for (const domain::Resource& resource : plan.resources) {
      request.changes.push_back({resource, false, resource.revision});
    }
    request.actor = plan.actor;
    request.reason = plan.reason;
    request.evidence = plan.evidence;
    FoldSchedules();  // a flag of the plan that was due is refused now, and read again next time
    const auto result = catalog_->Commit(request);
    if (!result.ok()) return result.status();
    return result->revision;
  };
  world.notify = [this](const std::string& type, const std::string& severity, Json data) {
    data["severity"] = severity;
    events_->Add(type, std::move(data));
  };
  world.digest = [](const std::string& text) { return wire::Sha256Hex(text).substr(0, 16); };
  driver_ = std::make_unique<rollout::Driver>(std::move(world));
}

Status Control::StartBus() {
  const auto post = [this](auto task) { core_.Post(std::move(task)); };
  publish::Bus::Listener listener;
  listener.on_nodes = [=, this](std::shared_ptr<const publish::NodesView> view) {
    post([this, view = std::move(view)] { OnNodes(view); });
  };
  listener.on_applied = [=, this](const publish::AppliedEvent& event) {
    post([this, event] { OnApplied(event); });
  };
  listener.on_telemetry = [=, this](ingest::TelemetryTick tick) {
    post([this, tick = std::make_shared<const ingest::TelemetryTick>(std::move(tick))] {
      OnTelemetry(*tick);
    });
  };
  listener.on_counters = [=, this](const publish::BusCounters& counters) {
    post([this, counters] { counters_ = counters; });
  };
  publish::BusOptions options{settings_.cfg_listen,
                              settings_.session_listen,
                              settings_.telemetry_listen,
                              keys_,
                              epoch_,
                              {}};
  WEIR_ASSIGN_OR_RETURN(const auto known, store_->NodeKeys());
  for (const store::NodeKeyRow& node : known) {
    if (!node.revoked) options.nodes.emplace_back(node.node, node.public_key);
  }
  bus_ = std::make_unique<publish::Bus>(context_, std::move(listener));
  published_ = catalog_->revision();
  WEIR_RETURN_IF_ERROR(
      bus_->Start(options, catalog_->AllEntries(), published_, catalog_->emergency(), committed_));
  catalog_->SetListener([this](const catalog::Committed& committed) { OnCommitted(committed); });
  TellDriver();
  return OkStatus();
}

api::Dependencies Control::MakeDependencies() {
  const publish::Bus::Addresses& bus = bus_->addresses();
  return {.core = core_,
          .clock = clock_,
          .catalog = *catalog_,
          .blobs = blobs_,
          .rollouts = *driver_,
          .events = *events_,
          .flag_totals = ledger_->flags(),
          .bootstrap = {epoch_, keys_.public_key, transport::Fingerprint(keys_.public_key), bus.cfg,
                        bus.session, bus.telemetry, publish::kHeartbeatMs},
          .nodes = [this] { return nodes_; },
          .enroll = [this](const api::Enrolment& enrolment) { return Enroll(enrolment); },
          .before_change = [this] { FoldSchedules(); },
          .create_token = [this](int64_t lifetime_ms) { return CreateToken(lifetime_ms); },
          .telemetry =
              [this](const api::TelemetryQuery& query) {
                return ledger_->history().Query(query.subject, query.from_ms, query.to_ms,
                                                query.step_ms, clock_.WallMs());
              },
          .past = [this](const api::PastQuery& query) { return Past(query); },
          .sink_status = [this](const std::string& sink) { return notifier_->StatusOf(sink); },
          .test_sink = [this](const std::string& sink) { return notifier_->Test(sink); },
          .metrics = [this] { return Metrics(); },
          .problems = [this] { return Problems(); },
          .not_ready = [this] { return last_commit_.ok() ? "" : last_commit_.ToString(); }};
}

Status Control::StartApi() {
  api_ = std::make_unique<api::Api>(MakeDependencies());
  http::ServerOptions options;
  options.listen = settings_.listen;
  options.workers = 2;  // a large blob must not hold up event streams
  return api_->Start(options);
}

void Control::StartTimers() {
  core_.Every(kTickMs, [this] { Tick(); });
  core_.Every(kScheduleMs, [this] {
    if (!IsStopped()) FoldSchedules();
  });
  core_.Every(kPruneMs, [this] {
    if (IsStopped()) return;
    const Status status = ledger_->Prune();
    if (!status.ok()) Log("ingest").error("old telemetry stays: {}", status.ToString());
  });
}

void Control::OnCommitted(const catalog::Committed& committed) {
  CrashPoint("publish.before");
  bus_->Publish(committed);
  CrashPoint("publish.after");
  if (!committed.entries.empty() || committed.emergency_changed) {
    published_ = committed.revision;
    driver_->OnPublished(published_);
  }
  for (const std::string& flag : committed.flags) {
    ledger_->flags().OnChanged(flag, committed.revision, clock_.WallMs());
  }
  if (api_ != nullptr) api_->OnCommitted(committed);
  core_.Post([this] { TellDriver(); });  // not now: the driver may be the one who commits
}

void Control::OnNodes(std::shared_ptr<const publish::NodesView> view) {
  if (IsStopped()) return;
  nodes_ = std::move(view);
  for (const auto& node : nodes_->nodes)
    ledger_->trail().OnEpisodes(node->id, node->incarnation, node->episodes);
  TellDriver();
}

void Control::OnApplied(const publish::AppliedEvent& event) {
  if (IsStopped()) return;
  const int64_t to_wall_ms = clock_.WallMs() - clock_.MonotonicMs();
  ledger_->trail().OnApplied({event.node, event.at_ms + to_wall_ms, epoch_, event.version,
                              Join(event.refused, ", "), codec::Json(event.labels).dump()});
}

void Control::TellDriver() {
  if (IsStopped()) return;
  const int64_t to_wall_ms = clock_.WallMs() - clock_.MonotonicMs();
  std::vector<rollout::NodeFacts> facts;
  for (const auto& node : nodes_->nodes) facts.push_back(FactsOf(*node, epoch_, to_wall_ms));
  driver_->OnNodes(std::move(facts), published_);
}

void Control::OnTelemetry(const ingest::TelemetryTick& tick) {
  if (IsStopped()) return;  // not acknowledged: it is sent again
  ledger_->Add(tick);
  for (const ingest::ShownDecision& decision : tick.decisions) {
    if (catalog_->Find(domain::Kind::kFlag, decision.sample.flag) != nullptr)
      events_->AddDecision(ingest::ToJson(decision));
  }
  driver_->OnTelemetry(tick.live, clock_.MonotonicMs(), clock_.WallMs());
}

void Control::Tick() {
  if (IsStopped()) return;
  const bool acted = driver_->Tick(clock_.MonotonicMs(), clock_.WallMs());
  if (acted || ledger_->IsDue()) CommitTelemetry();
  gates_->Tick();
  notifier_->Tick();
  api_->Tick();
}

void Control::CommitTelemetry() {
  const auto stored = ledger_->Commit(
      kRolloutState, driver_->SaveState().dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!stored.ok() && last_commit_.ok())
    Log("ingest").error("telemetry waits: {}", stored.status().ToString());
  last_commit_ = stored.status();
  if (stored.ok() && !stored->empty()) bus_->Acknowledge(*stored);
}

void Control::StartResources() {
  if (settings_.resources.empty()) return;
  reloader_ = std::make_unique<resources::Reloader>(
      settings_.resources, *catalog_, blobs_, clock_, core_,
      [this](const resources::FileOutcome& outcome) { OnFile(outcome); },
      [this] { FoldSchedules(); });
  reloader_->Start();
}

void Control::OnFile(const resources::FileOutcome& outcome) {
  events_->Add("resource_file", {{"file", outcome.file},
                                 {"result", resources::ResultName(outcome.result)},
                                 {"changed", outcome.changed},
                                 {"errors", outcome.errors}});
}

// Every second, and before every change: a change that comes after the moment must not be undone by
// what was scheduled before. Each flag by itself, so that one that cannot be changed does not hold
// up the others.
void Control::FoldSchedules() {
  const int64_t now_ms = clock_.WallMs();
  std::string failed;
  for (catalog::Change& change : catalog::DueSchedules(*catalog_, now_ms)) {
    const std::string name = change.resource.name;
    const auto& before = catalog_->Find(domain::Kind::kFlag, name)->As<domain::FlagSpec>().schedule;
    const size_t due = before.size() - change.resource.As<domain::FlagSpec>().schedule.size();
    catalog::CommitRequest request;
    request.actor = "schedule";
    request.reason = "scheduled change of " + FormatTimeMs(before[due - 1].at.ms);
    request.changes.push_back(std::move(change));
    const auto result = catalog_->Commit(request);
    if (result.ok()) {
      Log("control").info("flag {}: {} (revision {})", name, request.reason, result->revision);
    } else {
      failed += fmt::format("{}flag {}: {}", failed.empty() ? "" : "; ", name,
                            result.status().ToString());
    }
  }
  if (failed.empty()) return schedule_problem_.reset();
  if (!schedule_problem_.has_value() || schedule_problem_->evidence != failed)
    Log("control").error("a scheduled change cannot be written down: {}", failed);
  const int64_t since_ms = schedule_problem_ ? schedule_problem_->since_wall_ms : now_ms;
  schedule_problem_ = {"warning", "a scheduled change is in force, but cannot be written down",
                       since_ms, failed, "weir flag list"};
}

void Control::Stop(const std::function<void()>& wait_drain_delay) {
  core_.Call([this] { api_->BeginDrain(); });
  wait_drain_delay();
  api_->Drain(kDrainMs);
  core_.Call([this] {
    CommitTelemetry();
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
  driver_.reset();
  gates_.reset();
  notifier_.reset();
  ledger_.reset();
  catalog_.reset();
  store_.reset();
}

void Control::Reload() {
  core_.Post([this] {
    if (!IsStopped() && reloader_ != nullptr) reloader_->Apply(true);
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
