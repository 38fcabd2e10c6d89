// SPDX-License-Identifier: Apache-2.0
// Link, second half: the frames that come and go. link.cc has its life.
#include <fmt/format.h>

#include <algorithm>

#include "dataplane/bus/link.h"
#include "shared/base/build_info.h"
#include "shared/base/log.h"

namespace weir::node::bus {
namespace {

constexpr int64_t kRefusedMs = 5000;
constexpr int64_t kSaveEveryMs = 1000;
constexpr size_t kMaxDetail = 256;  // session frames are at most 64 KiB
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
    case wire::Type::kBatchAck: {
      auto ack = wire::Decode<wire::BatchAck>(frame);
      if (!ack.ok()) return Log("bus").warn("session: {}", ack.status().ToString());
      reporter_.OnAck(ack->incarnation, ack->committed);
      return CheckFinished();
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
  welcome_epoch_ = frame.header.epoch;
  control_error_.clear();
  Log("bus").info("welcomed by control plane {}, epoch {}", welcome->program, welcome_epoch_);
  reporter_.OnAck(options_.incarnation, welcome->committed);
  reporter_.OnSession();
  is_report_due_ = true;
  is_applied_due_ = applied_.first != 0;
  SendNews();
  AfterSnapshotFrame();
  OnHeadTold(frame.header);
  PublishStatus();
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
  const Status sent =
      SendSession(wire::Type::kHeartbeat, wire::Heartbeat{NowMs(), reporter_.pending_batches()},
                  applied_.first, applied_.second);
  if (!sent.ok()) Log("bus").debug("heartbeat: {}", sent.ToString());
}

void Link::SendNews() {
  if (!is_welcome_) return;
  if (is_applied_due_) {
    wire::Applied applied{receiver_.refused()};
    if (applied.refused.size() > kMaxRefused) applied.refused.resize(kMaxRefused);
    for (wire::RefusedEntry& entry : applied.refused) {
      if (entry.detail.size() > kMaxDetail) entry.detail.resize(kMaxDetail);
    }
    const Status sent = SendSession(wire::Type::kApplied, applied, applied_.first, applied_.second);
    is_applied_due_ = sent.code() == Code::kUnavailable;
  }
  if (is_report_due_) {
    const Status sent =
        SendSession(wire::Type::kNodeReport,
                    wire::NodeReport{is_draining_, versions_, overrides_, episodes_.all()});
    is_report_due_ = sent.code() == Code::kUnavailable;
    if (sent.code() == Code::kResourceExhausted) Log("bus").error("report: {}", sent.ToString());
  }
}

void Link::SayGoodbye() {
  if (!is_welcome_) return;
  const Status sent = SendSession(wire::Type::kGoodbye, wire::Goodbye{"shutdown"});
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
