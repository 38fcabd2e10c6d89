// SPDX-License-Identifier: Apache-2.0
// Link, second half: the frames that come and go. link.cc has its life.
#include <fmt/format.h>

#include <algorithm>

#include "dataplane/bus/link.h"
#include "shared/base/build_info.h"
#include "shared/base/log.h"
#include "shared/transport/keys.h"

namespace weir::node::bus {
namespace {

constexpr int64_t kMoveAgainMs = 60'000;
constexpr int64_t kRefusedMs = 5000;
constexpr int64_t kSaveEveryMs = 1000;
constexpr size_t kMaxFrameDetail = 256;  // session frames are at most 64 KiB
constexpr size_t kMaxRefused = 100;

}  // namespace

void Link::OnCfg(const std::string& bytes) {
  auto frame = wire::DecodeFrame(bytes);
  if (!frame.ok()) return Log("bus").warn("cfg: {}", frame.status().ToString());
  HandleSnapshotFrame(*frame);
  if (!is_cfg_heard_) {
    is_cfg_heard_ = true;
    hello_at_ms_ = std::min(hello_at_ms_, NowMs());
  }
  AfterSnapshotFrame();
}

void Link::HandleSnapshotFrame(const wire::Frame& frame) {
  const Status status = receiver_.Handle(frame, NowMs());
  if (status.code() == Code::kDataLoss) {
    Log("bus").warn("{}", status.ToString());
  } else if (!status.ok()) {
    Log("bus").info("{}", status.ToString());
  }
  if (receiver_.counters().nacks == logged_nacks_) return;
  logged_nacks_ = receiver_.counters().nacks;
  for (const wire::RefusedEntry& entry : receiver_.refused()) {
    Log("bus").warn("{} \"{}\" is refused: {}",
                    domain::EntryKindName(static_cast<domain::EntryKind>(entry.kind)), entry.name,
                    entry.detail);
  }
}

void Link::AfterSnapshotFrame() {
  if (receiver_.ruleset() && !receiver_.IsBehind()) current_at_ms_ = NowMs();
  if (is_welcome_ && receiver_.leader_epoch() > welcome_epoch_) LoseSession(NowMs());
  SendHelloIfDue();
  SendRequestIfDue();
}

void Link::OnRuleset(std::shared_ptr<const decision::Ruleset> rules) {
  is_watched_ = rules->model_splits().size() + rules->flag_splits().size() > 0;
  is_unsaved_ = true;
  const SnapshotName name(rules->epoch, rules->version);
  Log("bus").debug("snapshot {} of epoch {} goes to the workers", rules->version, rules->epoch);
  host_.PublishRules(std::move(rules), name);
  if (NowMs() - saved_at_ms_ >= kSaveEveryMs) SaveSnapshot();  // else with the next second
}

void Link::OnTaken(SnapshotName name) {
  applied_ = std::max(applied_, name);
  is_applied_due_ = true;
  SendNews();
  CheckInStep();
}

void Link::OnSession(const std::string& bytes) {
  auto frame = wire::DecodeFrame(bytes);
  if (!frame.ok()) return Log("bus").warn("session: {}", frame.status().ToString());
  if (frame->header.epoch < receiver_.leader_epoch()) {
    return Log("bus").info("session: epoch {} is over; epoch {} was heard", frame->header.epoch,
                           receiver_.leader_epoch());
  }
  session_heard_ms_ = NowMs();
  OnSessionFrame(*frame);
  if (is_welcome_ && frame->header.epoch > welcome_epoch_) LoseSession(NowMs());
}

void Link::OnSessionFrame(const wire::Frame& frame) {
  switch (frame.header.type) {
    case wire::Type::kWelcome:
      return OnWelcome(frame);
    case wire::Type::kRefused: {
      auto refused = wire::Decode<wire::Refused>(frame);
      control_error_ = "refused: " + (refused.ok() ? refused->reason : "no reason was given");
      Log("bus").error("the control plane refuses this node: {}", control_error_);
      LoseSession(NowMs() + kRefusedMs);
      return PublishStatus();
    }
    case wire::Type::kDelta:
    case wire::Type::kSnapshot:
    case wire::Type::kBeacon:
    case wire::Type::kEmergency:
      HandleSnapshotFrame(frame);
      return AfterSnapshotFrame();
    case wire::Type::kHeartbeat: {
      auto heartbeat = wire::Decode<wire::Heartbeat>(frame);
      if (!heartbeat.ok()) return Log("bus").warn("session: {}", heartbeat.status().ToString());
      // An answer to one of before it hung may have lain in a buffer since.
      if (heartbeat->monotonic_ms >= woke_at_ms_.value_or(0)) OnHeadTold(frame.header);
      return;
    }
    case wire::Type::kMove:
      return OnMove(frame);
    case wire::Type::kBatchAck: {
      auto ack = wire::Decode<wire::BatchAck>(frame);
      if (!ack.ok()) return Log("bus").warn("session: {}", ack.status().ToString());
      reporter_.OnAck(ack->incarnation, ack->committed);
      return CheckFinished();
    }
    case wire::Type::kCommand: {
      auto command = wire::Decode<wire::Command>(frame);
      if (!command.ok()) return Log("bus").warn("session: {}", command.status().ToString());
      return OnCordoned(command->cordoned, command->reason);
    }
    default:
      Log("bus").warn("session: type {} is not for a node",
                      static_cast<unsigned>(frame.header.type));
  }
}

void Link::OnWelcome(const wire::Frame& frame) {
  auto welcome = wire::Decode<wire::Welcome>(frame);
  if (!welcome.ok()) return Log("bus").warn("session: {}", welcome.status().ToString());
  HandleSnapshotFrame(frame);
  is_welcome_ = true;
  if (channels_ && channels_->server_key == failed_key_) failed_key_.clear();
  welcome_epoch_ = frame.header.epoch;
  control_error_.clear();
  Log("bus").info("welcomed by control plane {}, epoch {}", welcome->program, welcome_epoch_);
  reporter_.OnAck(options_.incarnation, welcome->committed);
  reporter_.OnSession();
  is_report_due_ = true;
  is_applied_due_ = applied_.first != 0;
  OnCordoned(welcome->cordoned, welcome->cordon_reason);
  SendNews();
  AfterSnapshotFrame();
  OnHeadTold(frame.header);
  PublishStatus();
}

void Link::OnCordoned(bool cordoned, const std::string& reason) {
  const std::optional<std::string> cordon =
      cordoned ? std::optional(reason.substr(0, kMaxFrameDetail)) : std::nullopt;
  if (cordon == cordon_) return;
  if (cordoned) {
    Log("bus").info("cordoned: /ready answers 503 from now on{}{}", reason.empty() ? "" : ": ",
                    reason);
  } else {
    Log("bus").info("not cordoned any more");
  }
  host_.SaveCordon(cordon);
  // Who waits for it to be quiet counts from now.
  quiet_from_ms_ = NowMs();
  SendHeartbeat();
  SetCordon(cordon);
}

// The session is the proof: what comes over it comes from whoever has the secret of the key that
// this node knows. The channels are made anew with the next tick, not inside of one of them.
void Link::OnMove(const wire::Frame& frame) {
  auto move = wire::Decode<wire::Move>(frame);
  if (!move.ok()) return Log("bus").warn("session: {}", move.status().ToString());
  if (!is_welcome_ || is_finishing_ || move->server_key == channels_->server_key) return;
  if (move->server_key == failed_key_ && NowMs() - moved_ms_ < kMoveAgainMs) return;
  if (!transport::DecodeKey(move->server_key).ok() || move->cfg.empty() || move->session.empty() ||
      move->telemetry.empty()) {
    return Log("bus").warn("session: a move to nowhere is ignored");
  }
  next_ = *channels_;
  next_->server_key = move->server_key;
  next_->cfg = move->cfg;
  next_->session = move->session;
  next_->telemetry = move->telemetry;
}

void Link::Move() {
  const Channels next = *std::exchange(next_, std::nullopt);
  failed_key_ = next.server_key;  // until it welcomes
  moved_ms_ = NowMs();
  host_.Trust(next.server_key);
  Log("bus").info("moving to the server's next key {}", transport::Fingerprint(next.server_key));
  const Status status = Connect(next);
  if (status.ok()) return;
  Log("bus").error("the next place cannot be reached: {}", status.ToString());
  BeginJoin();
}

void Link::LoseSession(int64_t hello_at_ms) {
  is_welcome_ = false;
  hello_at_ms_ = hello_at_ms;
}

void Link::SendHelloIfDue() {
  if (!is_open_ || is_welcome_ || is_finishing_ || NowMs() < hello_at_ms_) return;
  const snapshot::Position have = receiver_.position();
  wire::Hello hello;
  hello.node = options_.node;
  hello.incarnation = options_.incarnation;
  hello.program = BuildVersion();
  hello.labels = options_.labels;
  hello.have_epoch = have.epoch;
  hello.have_version = have.version;
  hello.have_digest = {have.digest};
  hello.oldest_unacked = reporter_.oldest_unacked();
  hello.monotonic_ms = NowMs();
  hello.http = options_.http;
  hello.admin = options_.admin;
  hello.features = wire::kCanCordon;
  if (!SendSession(wire::Type::kHello, hello, have.epoch, have.version).ok()) return;
  hello_at_ms_ = NowMs() + kAnswerMs;
  session_heard_ms_ = NowMs();
  receiver_.OnHello(NowMs());
}

void Link::SendRequestIfDue() {
  if (!is_welcome_) return;
  const auto request = receiver_.TakeRequest(NowMs());
  if (!request) return;
  Log("bus").info("asking for what comes after snapshot {} of epoch {}", request->have_version,
                  request->have_epoch);
  const Status sent = SendSession(wire::Type::kSnapshotRequest, *request, request->have_epoch,
                                  request->have_version);
  if (!sent.ok()) Log("bus").info("request: {}", sent.ToString());
}

void Link::SendHeartbeat() {
  if (!is_welcome_) return;
  const wire::Heartbeat heartbeat{.monotonic_ms = NowMs(),
                                  .pending_batches = reporter_.pending_batches(),
                                  .delivery = reporter_.delivery(),
                                  .open_requests = open_requests_,
                                  .quiet_ms = NowMs() - quiet_from_ms_,
                                  .heard = receiver_.heard(),
                                  .resident_bytes = resident_bytes_};
  const Status sent =
      SendSession(wire::Type::kHeartbeat, heartbeat, applied_.first, applied_.second);
  if (!sent.ok()) Log("bus").debug("heartbeat: {}", sent.ToString());
}

void Link::SendNews() {
  if (!is_welcome_) return;
  if (is_applied_due_) {
    wire::Applied applied{receiver_.refused(), options_.incarnation};
    if (applied.refused.size() > kMaxRefused) applied.refused.resize(kMaxRefused);
    for (wire::RefusedEntry& entry : applied.refused) {
      if (entry.detail.size() > kMaxFrameDetail) entry.detail.resize(kMaxFrameDetail);
    }
    const Status sent = SendSession(wire::Type::kApplied, applied, applied_.first, applied_.second);
    is_applied_due_ = sent.code() == Code::kUnavailable;
  }
  if (is_report_due_) {
    const Status sent =
        SendSession(wire::Type::kNodeReport,
                    wire::NodeReport{is_draining_ || cordon_.has_value(), versions_, overrides_,
                                     episodes_.all(), cordon_.has_value(), options_.incarnation});
    is_report_due_ = sent.code() == Code::kUnavailable;
    if (sent.code() == Code::kResourceExhausted) Log("bus").error("report: {}", sent.ToString());
  }
}

void Link::SayGoodbye() {
  if (!is_welcome_) return;
  const Status sent = SendSession(
      wire::Type::kGoodbye, wire::Goodbye{"shutdown", reporter_.delivery(), options_.incarnation});
  if (!sent.ok()) Log("bus").debug("goodbye: {}", sent.ToString());
}

template <class Body>
Status Link::SendSession(wire::Type type, const Body& body, uint64_t epoch, uint64_t version) {
  wire::Header header;
  header.type = type;
  header.epoch = epoch;
  header.version = version;
  header.sequence = ++sequence_;
  return host_.SendSession(wire::Encode(header, body));
}

}  // namespace weir::node::bus
