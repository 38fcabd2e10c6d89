// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/wire_node.h"

#include <algorithm>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "tests/integration/harness/wait.h"

namespace weir::integration {
namespace {

constexpr int64_t kHelloEveryMs = 500;
constexpr int64_t kBeatEveryMs = 500;
constexpr int64_t kResendMs = 1000;

}  // namespace

WireNode::WireNode(std::string id, Refuses refuses)
    : id_(std::move(id)),
      refuses_(std::move(refuses)),
      keys_(*transport::GenerateKeyPair()),
      incarnation_(static_cast<uint64_t>(Clock::System().WallMs())) {}

Status WireNode::Join(const Api& control) {
  const Answer bootstrap = control.Get("/v1/bootstrap");
  if (!bootstrap.ok()) return Unavailable(bootstrap.text);
  const Answer enrolled =
      control.Post("/v1/enroll", {{"node", id_}, {"public_key", keys_.public_key}});
  if (!enrolled.ok()) return FailedPrecondition(enrolled.text);
  const Json& channels = bootstrap.json["channels"];
  const auto open = [&](transport::Role role, const char* channel,
                        std::optional<transport::Socket>& out) -> Status {
    WEIR_ASSIGN_OR_RETURN(
        out, transport::Socket::OpenClient(context_, role, keys_,
                                           bootstrap.json["server_key"].get<std::string>()));
    if (role == transport::Role::kCfgSubscriber) {
      for (const char* topic : {"c", "e", "b"}) WEIR_RETURN_IF_ERROR(out->Subscribe(topic));
    }
    return out->Connect(channels[channel].get<std::string>());
  };
  WEIR_RETURN_IF_ERROR(open(transport::Role::kCfgSubscriber, "cfg", cfg_));
  WEIR_RETURN_IF_ERROR(open(transport::Role::kSessionClient, "session", session_));
  return open(transport::Role::kTelemetryClient, "telemetry", telemetry_);
}

template <class Body>
bool WireNode::Send(transport::Socket& socket, wire::Type type, const Body& body) {
  wire::Header header;
  header.topic = type == wire::Type::kBatch ? wire::Topic::kTelemetry : wire::Topic::kSession;
  header.type = type;
  header.epoch = epoch_;
  header.version = version_;
  header.sequence = ++sequence_;
  return socket.Send(wire::Encode(header, body)).ok();
}

void WireNode::Pump() {
  for (std::optional<transport::Socket>* socket : {&cfg_, &session_}) {
    for (auto message = (*socket)->Receive(); message.ok() && message->has_value();
         message = (*socket)->Receive()) {
      OnFrame((*message)->body);
    }
  }
  const int64_t now_ms = NowMs();
  if (!is_welcome_ && now_ms >= hello_at_ms_) SayHello();
  if (!is_welcome_) return;
  if (is_report_due_)
    is_report_due_ = !Send(*session_, wire::Type::kNodeReport, wire::NodeReport{false, versions_});
  if (now_ms >= beat_at_ms_) {
    beat_at_ms_ = now_ms + kBeatEveryMs;
    Send(*session_, wire::Type::kHeartbeat, wire::Heartbeat{now_ms, batches_.size()});
  }
  if (now_ms >= resend_at_ms_) SendBatches();
}

void WireNode::SayHello() {
  hello_at_ms_ = NowMs() + kHelloEveryMs;
  wire::Hello hello;
  hello.node = id_;
  hello.incarnation = incarnation_;
  hello.program = "of a test";
  hello.have_epoch = epoch_;
  hello.have_version = version_;
  hello.oldest_unacked = batches_.empty() ? 0 : batches_.begin()->first;
  hello.monotonic_ms = NowMs();
  Send(*session_, wire::Type::kHello, hello);
}

void WireNode::OnFrame(const std::string& bytes) {
  const auto frame = wire::DecodeFrame(bytes);
  if (!frame.ok()) return;
  const wire::Header& header = frame->header;
  // Another control plane, or the same one anew.
  if (is_welcome_ && header.epoch > epoch_ && epoch_ != 0) is_welcome_ = false;
  if (header.type == wire::Type::kWelcome) {
    is_welcome_ = true;
    is_report_due_ = true;
    if (epoch_ == 0) return;
    // Everything is asked for, whatever is here.
    Send(*session_, wire::Type::kSnapshotRequest, wire::SnapshotRequest{});
  } else if (header.type == wire::Type::kSnapshot) {
    const auto snapshot = wire::Decode<wire::SnapshotBody>(*frame);
    if (!snapshot.ok()) return;
    entries_.clear();
    refused_.clear();
    for (const wire::EntryChange& entry : snapshot->entries) Take(entry);
    emergency_ = snapshot->emergency;
    epoch_ = header.epoch;
    version_ = header.version;
    SayApplied();
  } else if (header.type == wire::Type::kDelta) {
    const auto delta = wire::Decode<wire::Delta>(*frame);
    if (!delta.ok() || header.epoch != epoch_ || header.version <= version_) return;
    for (const wire::EntryChange& change : delta->changes) Take(change);
    emergency_ = delta->emergency;
    version_ = header.version;
    SayApplied();
  } else if (header.type == wire::Type::kEmergency) {
    const auto message = wire::Decode<wire::EmergencyMessage>(*frame);
    if (message.ok()) emergency_ = message->emergency;
  } else if (header.type == wire::Type::kBatchAck) {
    const auto ack = wire::Decode<wire::BatchAck>(*frame);
    if (ack.ok() && ack->incarnation == incarnation_)
      batches_.erase(batches_.begin(), batches_.upper_bound(ack->committed));
  }
}

void WireNode::Take(const wire::EntryChange& change) {
  const Key key{static_cast<domain::EntryKind>(change.kind), change.name};
  ++times_[key];
  refused_.erase(key);
  if (change.body.value.empty()) {
    entries_.erase(key);
    return;
  }
  const std::string why = refuses_ ? refuses_(key, change.body.value) : "";
  if (!why.empty()) refused_[key] = {change.kind, change.name, "invalid_argument", why};
  entries_[key] = change.body.value;
}

void WireNode::SayApplied() {
  wire::Applied applied;
  for (const auto& [key, entry] : refused_) applied.refused.push_back(entry);
  Send(*session_, wire::Type::kApplied, applied);
}

void WireNode::Report(std::vector<wire::VersionReport> versions) {
  versions_ = std::move(versions);
  is_report_due_ = true;
}

void WireNode::Push(std::vector<wire::Series> series) {
  wire::Batch batch;
  batch.node = id_;
  batch.incarnation = incarnation_;
  batch.seq = ++last_batch_;
  batch.window_end_ms = NowMs();
  batch.window_start_ms = batch.window_end_ms - 100;
  batch.series = std::move(series);
  batches_[batch.seq] = std::move(batch);
  SendBatches();
}

void WireNode::SendBatches() {
  resend_at_ms_ = NowMs() + kResendMs;
  for (const auto& [seq, batch] : batches_) Send(*telemetry_, wire::Type::kBatch, batch);
}

int WireNode::Times(const Key& key) const {
  const auto found = times_.find(key);
  return found == times_.end() ? 0 : found->second;
}

}  // namespace weir::integration
