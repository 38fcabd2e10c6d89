// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/hub.h"

#include <fmt/format.h>

#include <utility>

#include "shared/base/log.h"

namespace weir::control::publish {

Hub::Hub(HubOutbox& outbox, const Clock& clock, uint64_t epoch, Listener listener,
         PublisherLimits limits)
    : outbox_(outbox),
      clock_(clock),
      listener_(std::move(listener)),
      publisher_(outbox, epoch, limits),
      nodes_(epoch, listener_.on_nodes, listener_.on_applied),
      session_(
          outbox, publisher_, nodes_,
          {[this](const wire::Hello& hello, int64_t) { return OnHello(hello); },
           [this](const std::string& node, uint64_t incarnation, int64_t node_ms, int64_t now_ms) {
             folder_.OnNodeClock({node, incarnation}, node_ms, now_ms);
           },
           [this](const std::string& node, uint64_t incarnation, const wire::Delivery& delivery,
                  bool ended) {
             accountant_.OnTold({node, incarnation}, delivery, ended);
           }}) {}

void Hub::Reset(const std::vector<catalog::EntryBody>& entries, uint64_t revision,
                const domain::EmergencySpec& emergency, const ingest::HighWaters& committed) {
  publisher_.Reset(entries, revision, emergency);
  accountant_.Restore(committed);
}

void Hub::OnSession(const std::string& peer, const std::string& node, std::string_view bytes) {
  session_.OnFrame(peer, node, bytes, NowMs());
}

uint64_t Hub::OnHello(const wire::Hello& hello) {
  const ingest::Origin origin{hello.node, hello.incarnation};
  Fold(accountant_.OnHello(origin, hello.oldest_unacked));
  return accountant_.CommittedOf(origin);
}

void Hub::OnTelemetry(const std::string& node, std::string_view bytes) {
  const uint64_t malformed = folder_.malformed_series();
  const Status status = OnBatch(node, bytes);
  if (!status.ok()) {
    ++batches_refused_;
    Log("ingest").warn("node {}: a batch is refused: {}", node, status.ToString());
  }
  if (folder_.malformed_series() != malformed)
    Log("ingest").warn("a series is left out: {}", folder_.last_error());
}

Status Hub::OnBatch(const std::string& node, std::string_view bytes) {
  WEIR_ASSIGN_OR_RETURN(const wire::Frame frame, wire::DecodeFrame(bytes));
  if (frame.header.type != wire::Type::kBatch)
    return InvalidArgument("type",
                           fmt::format("{} is not a batch", static_cast<int>(frame.header.type)));
  WEIR_ASSIGN_OR_RETURN(wire::Batch batch, wire::Decode<wire::Batch>(frame));
  if (batch.node != node)
    return InvalidArgument("node", fmt::format("says that it is {}", batch.node));
  constexpr int64_t kLatestMs = int64_t{1} << 53;  // far from where sums would overflow
  if (batch.window_start_ms < 0 || batch.window_end_ms < batch.window_start_ms ||
      batch.window_end_ms > kLatestMs) {
    return InvalidArgument("window", "is not a span of time");
  }
  const uint64_t incarnation = batch.incarnation;
  WEIR_ASSIGN_OR_RETURN(const auto answer, accountant_.OnBatch(std::move(batch)));
  Fold(answer);
  if (answer.ack_again.has_value()) session_.SendBatchAck(node, incarnation, *answer.ack_again);
  return OkStatus();
}

void Hub::Fold(const ingest::Accountant::Answer& answer) {
  for (const wire::Batch& batch : answer.apply) folder_.Add(batch, NowMs(), clock_.WallMs());
}

void Hub::Tick() {
  nodes_.Tick(NowMs());
  nodes_.Flush(NowMs());
  publisher_.Tick(NowMs());
  ingest::TelemetryTick tick = folder_.Take();
  tick.high_waters = accountant_.TakeChanged();
  tick.told = accountant_.TakeTold();
  if (!tick.Empty()) listener_.on_telemetry(std::move(tick));
}

void Hub::BeaconTick() {
  publisher_.SendBeacon();
  RenewWelcome();
}

// An old one would tell a node that has nothing that there is nothing: it would be ready, and know
// no model.
void Hub::RenewWelcome() { outbox_.SetWelcome(publisher_.BeaconFrame()); }

void Hub::Publish(const catalog::Committed& committed) {
  publisher_.OnCommitted(committed);
  RenewWelcome();
}

void Hub::Acknowledge(const ingest::HighWaters& stored) {
  accountant_.OnCommitted(stored);
  for (const auto& [origin, high_water] : stored) {
    session_.SendBatchAck(origin.node, origin.incarnation, high_water.seq);
  }
}

void Hub::Refuse(const std::string& node, const std::string& reason) {
  session_.SendRefused(node, reason);
  nodes_.Refuse(node, reason, NowMs());
  nodes_.Flush(NowMs());
}

BusCounters Hub::counters() const {
  return {session_.refused_count() + batches_refused_,
          0,
          folder_.malformed_series(),
          folder_.samples_left_out(),
          accountant_.counters(),
          {}};
}

}  // namespace weir::control::publish
