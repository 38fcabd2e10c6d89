// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/link.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::node::bus {
namespace {

constexpr int64_t kSubscribeFirstMs = 300;
constexpr int64_t kFirstBackoffMs = 200;
constexpr int64_t kMaxBackoffMs = 5000;
constexpr size_t kMaxOverrides = 50;
constexpr size_t kMaxDetail = 256;  // session frames are at most 64 KiB

report::ReporterOptions MakeReporterOptions(const LinkOptions& options) {
  report::ReporterOptions reporter;
  reporter.node = options.node;
  reporter.incarnation = options.incarnation;
  reporter.max_frame_bytes = options.max_telemetry_bytes;
  return reporter;
}

// At a character's end: a report with broken UTF-8 would be refused.
void Cut(std::string& text) {
  if (text.size() <= kMaxDetail) return;
  size_t end = kMaxDetail;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
}

}  // namespace

Link::Link(LinkHost& host, const Clock& clock, LinkOptions options,
           std::function<uint64_t()> random)
    : host_(host),
      clock_(clock),
      options_(std::move(options)),
      random_(std::move(random)),
      receiver_(
          options_.labels, random_,
          [this](std::shared_ptr<const decision::Ruleset> rules) { OnRuleset(std::move(rules)); }),
      reporter_(MakeReporterOptions(options_)) {}

void Link::Restore(const snapshot::LastGood& stored) {
  Log("bus").info("starting from snapshot {} of epoch {}, stored {} ago", stored.version,
                  stored.epoch,
                  FormatDurationMs(std::max<int64_t>(0, clock_.WallMs() - stored.saved_wall_ms)));
  saved_at_ms_ = NowMs();  // it is on disk already
  stored_wall_ms_ = stored.saved_wall_ms;
  receiver_.Restore(stored);
  is_unsaved_ = false;
}

void Link::Start() {
  last_second_ms_ = NowMs();
  quiet_from_ms_ = NowMs();
  PublishStatus();
  BeginJoin();
}

void Link::BeginJoin() {
  if (is_joining_ || is_finishing_) return;
  is_joining_ = true;
  host_.Join();
}

void Link::OnJoinDue() {
  is_joining_ = false;
  BeginJoin();
}

void Link::RetryJoin() {
  join_backoff_ms_ =
      join_backoff_ms_ == 0 ? kFirstBackoffMs : std::min(join_backoff_ms_ * 2, kMaxBackoffMs);
  const auto jitter = static_cast<int64_t>(random_() % (join_backoff_ms_ / 2));
  host_.JoinIn(join_backoff_ms_ / 2 + jitter);
}

void Link::OnJoined(Result<Channels> channels) {
  if (is_finishing_) return;
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

Status Link::Connect(const Channels& channels) {
  is_open_ = false;
  is_welcome_ = false;
  WEIR_RETURN_IF_ERROR(host_.Connect(channels));
  is_open_ = true;
  channels_ = channels;
  linked_at_ms_ = NowMs();
  is_cfg_heard_ = false;
  LoseSession(linked_at_ms_ + kSubscribeFirstMs);
  Log("bus").info("connecting to {} (epoch {})", channels.control, channels.epoch);
  return OkStatus();
}

void Link::NoteTick(int64_t now_ms) {
  const bool woke = ticked_at_ms_ != 0 && now_ms - ticked_at_ms_ > kHungMs;
  ticked_at_ms_ = now_ms;
  if (!woke) return;
  Log("bus").warn("this machine or process hung for a while; asking what is in force now");
  woke_at_ms_ = now_ms;
  head_then_ = {0, 0};
  SendHeartbeat();
}

void Link::OnHeadTold(const wire::Header& header) {
  if (!woke_at_ms_) return;
  head_then_ = {header.epoch, header.version};
  CheckInStep();
}

void Link::CheckInStep() {
  if (!woke_at_ms_ || head_then_.first == 0 || applied_ < head_then_) return;
  woke_at_ms_.reset();
  in_step_at_ms_ = NowMs();
  PublishStatus();
}

void Link::Tick() {
  NoteTick(NowMs());
  if (next_ && !is_finishing_) Move();
  SendHelloIfDue();
  SendRequestIfDue();
  SendNews();
  if (!is_collecting_ && !is_finishing_) {
    is_collecting_ = true;
    host_.CollectTelemetry(false);
  } else {
    FlushTelemetry();
  }
  CheckFinished();
}

void Link::OnCollected(const telemetry::Window& window, std::vector<wire::DecisionSample> samples,
                       bool is_last) {
  reporter_.Add(window, NowMs(), std::move(samples));
  if (is_last) {
    is_last_window_in_ = true;
  } else {
    is_collecting_ = false;
  }
  FlushTelemetry();
  if (is_last) CheckFinished();
}

void Link::FlushTelemetry() {
  if (!is_welcome_ || !is_open_) return;
  const auto send = [this](const std::string& frame) { return host_.SendTelemetry(frame).ok(); };
  if (is_finishing_) {
    reporter_.FlushAll(NowMs(), send);
  } else {
    reporter_.Flush(NowMs(), is_watched_, send);
  }
}

void Link::Second() {
  const int64_t now_ms = NowMs();
  const bool is_late = now_ms - last_second_ms_ > 2 * kSecondMs;  // what was missed comes first
  last_second_ms_ = now_ms;
  if (!is_late) CheckContact(now_ms);
  NoteActivity(now_ms);
  SendHeartbeat();
  if (is_unsaved_) SaveSnapshot();
  PublishStatus();
}

void Link::NoteActivity(int64_t now_ms) {
  const Activity activity = host_.GetActivity();
  if (activity.requests != requests_ || activity.open > 0) quiet_from_ms_ = now_ms;
  requests_ = activity.requests;
  open_requests_ = activity.open;
  resident_bytes_ = activity.resident_bytes;
}

void Link::CheckContact(int64_t now_ms) {
  if (!channels_) return;
  const int64_t patience_ms = snapshot::Receiver::kMissedBeacons * channels_->heartbeat_ms;
  const int64_t heard_ms = std::max(receiver_.last_beacon_ms().value_or(0), linked_at_ms_);
  if (now_ms - heard_ms > patience_ms) {
    if (!is_joining_) {
      control_error_ = fmt::format("no beacon for {} ms", now_ms - heard_ms);
      Log("bus").warn("stale: {}; asking {} again", control_error_, channels_->control);
    }
    if (now_ms - session_heard_ms_ > kAnswerMs) is_welcome_ = false;
    BeginJoin();
  } else if (is_welcome_ && now_ms - session_heard_ms_ > kAnswerMs) {
    Log("bus").warn("the session does not answer; saying hello again");
    LoseSession(now_ms);
  }
}

void Link::ReportVersions(std::vector<wire::VersionReport> versions) {
  for (wire::VersionReport& version : versions) Cut(version.detail);
  versions_ = std::move(versions);
  is_report_due_ = true;
  SendNews();
}

void Link::ReportOverrides(std::vector<std::string> overrides) {
  if (overrides.size() > kMaxOverrides) {
    const size_t more = overrides.size() - kMaxOverrides + 1;
    overrides.resize(kMaxOverrides - 1);
    overrides.push_back(fmt::format("and {} more", more));
  }
  for (std::string& sentence : overrides) Cut(sentence);
  overrides_ = std::move(overrides);
  is_report_due_ = true;
  SendNews();
}

void Link::ReportEpisode(wire::Episode episode) {
  Cut(episode.detail);
  episodes_.Take(std::move(episode));
  is_report_due_ = true;
  SendNews();
}

void Link::SetDraining() {
  is_draining_ = true;
  is_report_due_ = true;
  SendNews();
  PublishStatus();
}

void Link::SetCordon(const std::optional<std::string>& cordon) {
  cordon_ = cordon;
  is_report_due_ = true;
  SendNews();
  PublishStatus();
}

void Link::Finish(int64_t deadline_ms) {
  finish_deadline_ms_ = NowMs() + deadline_ms;
  is_finishing_ = true;
  host_.CollectTelemetry(true);
}

void Link::Close() {
  SaveSnapshot();
  is_open_ = false;
  is_welcome_ = false;
  is_finishing_ = true;
}

void Link::SaveSnapshot() {
  if (!options_.keeps_snapshot || !is_unsaved_) return;
  auto stored = receiver_.Export(clock_.WallMs());
  if (!stored) return;
  is_unsaved_ = false;
  saved_at_ms_ = NowMs();
  host_.SaveSnapshot(*std::move(stored));
}

void Link::PublishStatus() {
  const int64_t period_ms = channels_ ? channels_->heartbeat_ms : kSecondMs;
  BusStatus status;
  status.stale = receiver_.IsStale(NowMs(), period_ms);
  status.draining = is_draining_ || cordon_.has_value();
  status.cordon = cordon_;
  status.control_error = control_error_;
  status.current_at_ms = current_at_ms_;
  status.stored_wall_ms = stored_wall_ms_;
  status.pending_batches = reporter_.pending_batches();
  status.nacks = receiver_.counters().nacks;
  status.in_step_at_ms = in_step_at_ms_;
  host_.PublishStatus(status);
}

// Everything is stored, or nobody is there to store it, or it takes too long.
void Link::CheckFinished() {
  if (!is_finishing_ || !is_last_window_in_) return;
  const bool is_done = reporter_.pending_batches() == 0 || !is_welcome_;
  if (!is_done && NowMs() < finish_deadline_ms_) return;
  if (reporter_.pending_batches() > 0) {
    Log("bus").warn("{} telemetry batches were not acknowledged", reporter_.pending_batches());
  }
  is_last_window_in_ = false;
  SayGoodbye();
  host_.OnFinished();
}

}  // namespace weir::node::bus
