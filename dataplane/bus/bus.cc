// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/bus.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::node::bus {
namespace {

constexpr int64_t kTickMs = 100;
constexpr int64_t kSecondMs = 1000;
constexpr int64_t kSubscribeFirstMs = 300;
constexpr int64_t kAnswerMs = 3000;
constexpr int64_t kFirstBackoffMs = 200;
constexpr int64_t kMaxBackoffMs = 5000;
constexpr int64_t kGoodbyeMs = 50;  // for the frame to leave: the session does not linger
constexpr size_t kMaxOverrides = 50;
constexpr size_t kMaxDetail = 256;  // session frames are at most 64 KiB

report::ReporterOptions MakeReporterOptions(const BusOptions& options) {
  report::ReporterOptions reporter;
  reporter.node = options.join.node;
  reporter.incarnation = options.incarnation;
  reporter.max_frame_bytes = transport::MaxSendBytes(transport::Role::kTelemetryClient);
  return reporter;
}

// At a character's end: a report with broken UTF-8 would be refused.
void Cut(std::string& text) {
  if (text.size() <= kMaxDetail) return;
  size_t end = kMaxDetail;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
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
      clock_(clock),
      chores_("chores", clock),
      loop_("bus", clock),
      receiver_(
          options_.labels, RandomU64,
          [this](std::shared_ptr<const decision::Ruleset> rules) { OnRuleset(std::move(rules)); }),
      reporter_(MakeReporterOptions(options_)) {}

Bus::~Bus() { Stop(); }

void Bus::Start() {
  loop_.Post([this] {
    last_second_ms_ = NowMs();
    Restore();
    loop_.Every(kTickMs, [this] { EveryTick(); });
    loop_.Every(kSecondMs, [this] { EverySecond(); });
    PublishStatus();
    StartJoin();
  });
  chores_.Start();
  loop_.Start();
}

void Bus::ReportVersions(std::vector<wire::VersionReport> versions) {
  for (wire::VersionReport& version : versions) Cut(version.detail);
  loop_.Post([this, versions = std::move(versions)]() mutable {
    versions_ = std::move(versions);
    is_report_due_ = true;
    SendNews();
  });
}

void Bus::ReportOverrides(std::vector<std::string> overrides) {
  if (overrides.size() > kMaxOverrides) {
    const size_t more = overrides.size() - kMaxOverrides + 1;
    overrides.resize(kMaxOverrides - 1);
    overrides.push_back(fmt::format("and {} more", more));
  }
  for (std::string& sentence : overrides) Cut(sentence);
  loop_.Post([this, overrides = std::move(overrides)]() mutable {
    overrides_ = std::move(overrides);
    is_report_due_ = true;
    SendNews();
  });
}

void Bus::ReportEpisode(wire::Episode episode) {
  Cut(episode.detail);
  loop_.Post([this, episode = std::move(episode)]() mutable {
    episodes_.Take(std::move(episode));
    is_report_due_ = true;
    SendNews();
  });
}

void Bus::SetDraining() {
  loop_.Post([this] {
    is_draining_ = true;
    is_report_due_ = true;
    SendNews();
    PublishStatus();
  });
}

void Bus::Finish(int64_t deadline_ms) {
  auto finished = std::make_shared<std::promise<void>>();
  std::future<void> future = finished->get_future();
  loop_.Post([this, finished, deadline_ms] {
    finish_deadline_ms_ = NowMs() + deadline_ms;
    finished_ = finished;
    hooks_.collect_telemetry(
        [this](telemetry::Window window, std::vector<wire::DecisionSample> samples) {
          loop_.Post([this, window = std::move(window), samples = std::move(samples)]() mutable {
            reporter_.Add(window, NowMs(), std::move(samples));
            is_last_window_in_ = true;
            FlushTelemetry();
            CheckFinished();
          });
        });
  });
  future.wait_for(std::chrono::milliseconds(deadline_ms + kAnswerMs));
}

void Bus::Stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  loop_.Call([this] {
    SaveSnapshot();
    CloseSockets();
  });
  chores_.Stop();
  loop_.Stop();
}

void Bus::Restore() {
  if (options_.snapshot_path.empty()) return;
  auto stored = snapshot::LoadLastGood(options_.snapshot_path);
  if (!stored.ok()) {
    if (stored.status().code() == Code::kNotFound) return;
    Log("bus").warn("the stored snapshot is ignored: {}", stored.status().ToString());
    return;
  }
  Log("bus").info("starting from snapshot {} of epoch {}, stored {} ago", stored->version,
                  stored->epoch,
                  FormatDurationMs(std::max<int64_t>(0, clock_.WallMs() - stored->saved_wall_ms)));
  saved_at_ms_ = NowMs();  // it is on disk already
  stored_wall_ms_ = stored->saved_wall_ms;
  receiver_.Restore(*stored);
  is_unsaved_ = false;
}

void Bus::StartJoin() {
  if (is_joining_ || finished_) return;
  is_joining_ = true;
  chores_.Post([this] {
    auto channels = Join(options_.join);
    loop_.Post([this, channels = std::move(channels)]() mutable { OnJoined(std::move(channels)); });
  });
}

void Bus::RetryJoin() {
  join_backoff_ms_ =
      join_backoff_ms_ == 0 ? kFirstBackoffMs : std::min(join_backoff_ms_ * 2, kMaxBackoffMs);
  const auto jitter = static_cast<int64_t>(RandomU64() % (join_backoff_ms_ / 2));
  loop_.After(join_backoff_ms_ / 2 + jitter, [this] {
    is_joining_ = false;
    StartJoin();
  });
}

void Bus::OnJoined(Result<Channels> channels) {
  const bool is_back = channels_ && !receiver_.IsStale(NowMs(), channels_->heartbeat_ms);
  if (is_back && (!channels.ok() || channels->server_key == channels_->server_key)) {
    is_joining_ = false;  // the old sockets have found it again meanwhile
    return;
  }
  Status status = channels.ok() ? OkStatus() : channels.status();
  if (status.ok() && channels->epoch < receiver_.leader_epoch()) {
    status = FailedPrecondition(fmt::format("{}: its epoch {} is over; epoch {} was heard",
                                            channels->control, channels->epoch,
                                            receiver_.leader_epoch()));
  }
  if (status.ok()) status = Connect(*channels);
  if (!status.ok()) {
    if (control_error_ != status.ToString()) {
      Log("bus").warn("no control plane: {}", status.ToString());
    }
    control_error_ = status.ToString();
    PublishStatus();
    return RetryJoin();
  }
  is_joining_ = false;
  join_backoff_ms_ = 0;
}

Status Bus::Connect(const Channels& channels) {
  using transport::Role;
  using transport::Socket;
  CloseSockets();
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
    const Status drained = cfg_->Drain([this](transport::Message m) { OnCfg(m.body); });
    if (!drained.ok()) Log("bus").warn("cfg: {}", drained.ToString());
  });
  loop_.Watch(*session_, [this] {
    const Status drained = session_->Drain([this](transport::Message m) { OnSession(m.body); });
    if (!drained.ok()) Log("bus").warn("session: {}", drained.ToString());
  });
  channels_ = channels;
  linked_at_ms_ = NowMs();
  is_cfg_heard_ = false;
  LoseSession(linked_at_ms_ + kSubscribeFirstMs);
  Log("bus").info("connecting to {} (epoch {})", channels.control, channels.epoch);
  return OkStatus();
}

void Bus::CloseSockets() {
  cfg_.reset();
  session_.reset();
  telemetry_.reset();
  is_welcome_ = false;
}

void Bus::EveryTick() {
  SendHelloIfDue();
  SendRequestIfDue();
  SendNews();
  if (!is_collecting_ && !finished_) {
    is_collecting_ = true;
    hooks_.collect_telemetry(
        [this](telemetry::Window window, std::vector<wire::DecisionSample> samples) {
          loop_.Post([this, window = std::move(window), samples = std::move(samples)]() mutable {
            is_collecting_ = false;
            reporter_.Add(window, NowMs(), std::move(samples));
            FlushTelemetry();
          });
        });
  } else {
    FlushTelemetry();
  }
  CheckFinished();
}

void Bus::FlushTelemetry() {
  if (!is_welcome_ || !telemetry_) return;
  const auto send = [this](const std::string& frame) { return telemetry_->Send(frame).ok(); };
  if (finished_) {
    reporter_.FlushAll(NowMs(), send);
  } else {
    reporter_.Flush(NowMs(), is_watched_, send);
  }
}

void Bus::EverySecond() {
  const int64_t now_ms = NowMs();
  const bool is_late = now_ms - last_second_ms_ > 2 * kSecondMs;  // what was missed comes first
  last_second_ms_ = now_ms;
  if (!is_late) CheckContact(now_ms);
  SendHeartbeat();
  if (is_unsaved_) SaveSnapshot();
  PublishStatus();
}

void Bus::CheckContact(int64_t now_ms) {
  if (!channels_) return;
  const int64_t patience_ms = snapshot::Receiver::kMissedBeacons * channels_->heartbeat_ms;
  const int64_t heard_ms = std::max(receiver_.last_beacon_ms().value_or(0), linked_at_ms_);
  if (now_ms - heard_ms > patience_ms) {
    if (!is_joining_) {
      control_error_ = fmt::format("no beacon for {} ms", now_ms - heard_ms);
      Log("bus").warn("stale: {}; asking {} again", control_error_, channels_->control);
    }
    if (now_ms - session_heard_ms_ > kAnswerMs) is_welcome_ = false;
    StartJoin();
  } else if (is_welcome_ && now_ms - session_heard_ms_ > kAnswerMs) {
    Log("bus").warn("the session does not answer; saying hello again");
    LoseSession(now_ms);
  }
}

void Bus::SaveSnapshot() {
  if (options_.snapshot_path.empty() || !is_unsaved_) return;
  auto stored = receiver_.Export(clock_.WallMs());
  if (!stored) return;
  is_unsaved_ = false;
  saved_at_ms_ = NowMs();
  chores_.Post([path = options_.snapshot_path, stored = *std::move(stored)] {
    const Status saved = snapshot::SaveLastGood(path, stored);
    if (!saved.ok()) Log("bus").error("the snapshot is not stored: {}", saved.ToString());
  });
}

void Bus::PublishStatus() {
  const int64_t period_ms = channels_ ? channels_->heartbeat_ms : kSecondMs;
  BusStatus status;
  status.stale = receiver_.IsStale(NowMs(), period_ms);
  status.draining = is_draining_;
  status.control_error = control_error_;
  status.current_at_ms = current_at_ms_;
  status.stored_wall_ms = stored_wall_ms_;
  status.pending_batches = reporter_.pending_batches();
  status.nacks = receiver_.counters().nacks;
  hooks_.publish_status(status);
}

// Everything is stored, or nobody is there to store it, or it takes too long.
void Bus::CheckFinished() {
  if (!finished_ || !is_last_window_in_) return;
  const bool is_done = reporter_.pending_batches() == 0 || !is_welcome_;
  if (!is_done && NowMs() < finish_deadline_ms_) return;
  if (reporter_.pending_batches() > 0) {
    Log("bus").warn("{} telemetry batches were not acknowledged", reporter_.pending_batches());
  }
  is_last_window_in_ = false;
  SayGoodbye();
  loop_.After(kGoodbyeMs, [finished = finished_] { finished->set_value(); });
}

}  // namespace weir::node::bus
