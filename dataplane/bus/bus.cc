// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/bus.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::node::bus {
namespace {

constexpr size_t kTrustedKeys = 2;
constexpr int64_t kGoodbyeMs = 50;  // for the frame to leave: the session does not linger

LinkOptions MakeLinkOptions(const BusOptions& options) {
  LinkOptions link;
  link.node = options.join.node;
  link.labels = options.labels;
  link.incarnation = options.incarnation;
  link.http = options.http;
  link.admin = options.admin;
  link.max_telemetry_bytes = transport::MaxSendBytes(transport::Role::kTelemetryClient);
  link.keeps_snapshot = !options.snapshot_path.empty();
  return link;
}

BusOptions WithKey(BusOptions options) {
  options.join.public_key = options.keys.public_key;
  return options;
}

}  // namespace

Bus::Bus(transport::Context& context, BusOptions options, BusHooks hooks, const Clock& clock)
    : context_(context),
      options_(WithKey(std::move(options))),
      hooks_(std::move(hooks)),
      chores_("chores", clock),
      loop_("bus", clock),
      link_(*this, clock, MakeLinkOptions(options_), RandomU64) {}

Bus::~Bus() { Stop(); }

void Bus::Start() {
  loop_.Post([this] {
    Restore();
    loop_.Every(Link::kTickMs, [this] { link_.Tick(); });
    loop_.Every(Link::kSecondMs, [this] { link_.Second(); });
    link_.Start();
  });
  chores_.Start();
  loop_.Start();
}

void Bus::ReportVersions(std::vector<wire::VersionReport> versions) {
  loop_.Post([this, versions = std::move(versions)]() mutable {
    link_.ReportVersions(std::move(versions));
  });
}

void Bus::ReportOverrides(std::vector<std::string> overrides) {
  loop_.Post([this, overrides = std::move(overrides)]() mutable {
    link_.ReportOverrides(std::move(overrides));
  });
}

void Bus::ReportEpisode(wire::Episode episode) {
  loop_.Post(
      [this, episode = std::move(episode)]() mutable { link_.ReportEpisode(std::move(episode)); });
}

void Bus::SetDraining() {
  loop_.Post([this] { link_.SetDraining(); });
}

void Bus::Finish(int64_t deadline_ms) {
  auto finished = std::make_shared<std::promise<void>>();
  std::future<void> future = finished->get_future();
  loop_.Post([this, finished, deadline_ms] {
    finished_ = finished;
    link_.Finish(deadline_ms);
  });
  future.wait_for(std::chrono::milliseconds(deadline_ms + Link::kAnswerMs));
}

void Bus::Stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  loop_.Call([this] {
    link_.Close();
    CloseSockets();
  });
  chores_.Stop();
  loop_.Stop();
}

void Bus::Restore() {
  if (!options_.cordon_path.empty()) {
    if (const auto reason = ReadFile(options_.cordon_path); reason.ok()) link_.SetCordon(*reason);
  }
  if (!options_.trusted_path.empty()) {
    const Result<std::string> kept = ReadFile(options_.trusted_path);
    for (std::string& key : Split(kept.ok() ? *kept : "", '\n')) {
      if (!key.empty()) trusted_keys_.push_back(std::move(key));
    }
  }
  if (options_.snapshot_path.empty()) return;
  const auto stored = snapshot::LoadLastGood(options_.snapshot_path);
  if (stored.ok()) {
    link_.Restore(*stored);
  } else if (stored.status().code() != Code::kNotFound) {
    Log("bus").warn("the stored snapshot is ignored: {}", stored.status().ToString());
  }
}

void Bus::Join() {
  JoinRequest request = options_.join;
  request.trusted_keys = trusted_keys_;
  chores_.Post([this, request = std::move(request)] {
    auto channels = bus::Join(request);
    loop_.Post(
        [this, channels = std::move(channels)]() mutable { link_.OnJoined(std::move(channels)); });
  });
}

void Bus::JoinIn(int64_t delay_ms) {
  loop_.After(delay_ms, [this] { link_.OnJoinDue(); });
}

void Bus::Trust(const std::string& server_key) {
  std::erase(trusted_keys_, server_key);
  trusted_keys_.insert(trusted_keys_.begin(), server_key);
  // Until a rotation is finished, a control plane that starts again leads under the one before.
  if (trusted_keys_.size() > kTrustedKeys) trusted_keys_.resize(kTrustedKeys);
  if (options_.trusted_path.empty()) return;
  chores_.Post([path = options_.trusted_path, keys = weir::Join(trusted_keys_, "\n") + "\n"] {
    const Status kept = WriteFileAtomic(path, keys, 0600);
    if (!kept.ok()) Log("bus").error("the server's key is not kept: {}", kept.ToString());
  });
}

Status Bus::Connect(const Channels& channels) {
  CloseSockets();
  const Status status = Open(channels);
  if (!status.ok()) CloseSockets();
  return status;
}

Status Bus::Open(const Channels& channels) {
  using transport::Role;
  using transport::Socket;
  const auto open = [&](Role role, const std::string& address,
                        std::optional<Socket>& out) -> Status {
    WEIR_ASSIGN_OR_RETURN(out,
                          Socket::OpenClient(context_, role, options_.keys, channels.server_key));
    for (const char* topic : {"c", "e", "b"}) {
      if (role == Role::kCfgSubscriber) WEIR_RETURN_IF_ERROR(out->Subscribe(topic));
    }
    return out->Connect(address);
  };
  WEIR_RETURN_IF_ERROR(open(Role::kCfgSubscriber, channels.cfg, cfg_));
  WEIR_RETURN_IF_ERROR(open(Role::kSessionClient, channels.session, session_));
  WEIR_RETURN_IF_ERROR(open(Role::kTelemetryClient, channels.telemetry, telemetry_));
  loop_.Watch(*cfg_, [this] {
    const Status drained = cfg_->Drain([this](transport::Message m) { link_.OnCfg(m.body); });
    if (!drained.ok()) Log("bus").warn("cfg: {}", drained.ToString());
  });
  loop_.Watch(*session_, [this] {
    const Status drained =
        session_->Drain([this](transport::Message m) { link_.OnSession(m.body); });
    if (!drained.ok()) Log("bus").warn("session: {}", drained.ToString());
  });
  return OkStatus();
}

void Bus::CloseSockets() {
  cfg_.reset();
  session_.reset();
  telemetry_.reset();
}

Status Bus::SendSession(const std::string& frame) { return session_->Send(frame); }

Status Bus::SendTelemetry(const std::string& frame) { return telemetry_->Send(frame); }

void Bus::PublishRules(std::shared_ptr<const decision::Ruleset> rules, SnapshotName name) {
  hooks_.publish_rules(std::move(rules),
                       [this, name] { loop_.Post([this, name] { link_.OnTaken(name); }); });
}

void Bus::CollectTelemetry(bool is_last) {
  hooks_.collect_telemetry([this, is_last](telemetry::Window window,
                                           std::vector<wire::DecisionSample> samples) {
    loop_.Post([this, is_last, window = std::move(window), samples = std::move(samples)]() mutable {
      link_.OnCollected(window, std::move(samples), is_last);
    });
  });
}

void Bus::SaveSnapshot(snapshot::LastGood snapshot) {
  chores_.Post([path = options_.snapshot_path, stored = std::move(snapshot)] {
    const Status saved = snapshot::SaveLastGood(path, stored);
    if (!saved.ok()) Log("bus").error("the snapshot is not stored: {}", saved.ToString());
  });
}

void Bus::PublishStatus(const BusStatus& status) { hooks_.publish_status(status); }

void Bus::SaveCordon(const std::optional<std::string>& cordon) {
  if (options_.cordon_path.empty()) return;
  chores_.Post([path = options_.cordon_path, cordon] {
    if (!cordon.has_value()) {
      ::unlink(path.c_str());
      return;
    }
    const Status saved = WriteFileAtomic(path, *cordon);
    if (!saved.ok()) Log("bus").error("a restart will not know it: {}", saved.ToString());
  });
}

Activity Bus::GetActivity() { return hooks_.activity ? hooks_.activity() : Activity{}; }

void Bus::OnFinished() {
  loop_.After(kGoodbyeMs, [finished = finished_] { finished->set_value(); });
}

}  // namespace weir::node::bus
