// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/bus.h"

#include <fmt/format.h>

#include "shared/base/log.h"

namespace weir::control::publish {
namespace {

constexpr int64_t kTickMs = 100;
constexpr int64_t kBeaconMs = 1000;

}  // namespace

Bus::Bus(transport::Context& context, Listener listener)
    : context_(context), listener_(std::move(listener)) {}

Bus::~Bus() { Stop(); }

Status Bus::Start(const BusOptions& options, const std::vector<catalog::EntryBody>& entries,
                  uint64_t revision, const domain::EmergencySpec& emergency,
                  const ingest::HighWaters& committed) {
  Outbox& outbox = *this;
  publisher_ = std::make_unique<Publisher>(outbox, options.epoch);
  publisher_->Reset(entries, revision, emergency);
  nodes_ = std::make_unique<Nodes>(options.epoch, listener_.on_nodes, listener_.on_applied);
  accountant_.Restore(committed);
  const auto on_hello = [this](const wire::Hello& hello, int64_t) {
    const ingest::Origin origin{hello.node, hello.incarnation};
    Fold(accountant_.OnHello(origin, hello.oldest_unacked));
    return accountant_.CommittedOf(origin);
  };
  const auto on_clock = [this](const std::string& node, uint64_t incarnation, int64_t node_ms,
                               int64_t now_ms) {
    folder_.OnNodeClock({node, incarnation}, node_ms, now_ms);
  };
  session_ =
      std::make_unique<Session>(outbox, *publisher_, *nodes_, Session::Hooks{on_hello, on_clock});
  loop_.Start();
  is_started_ = true;
  Status status = zap_.Start(context_, loop_);
  for (const auto& [node, key] : options.nodes) {
    if (status.ok()) status = Allow(node, key);
  }
  if (status.ok()) loop_.Call([&] { status = Open(options); });
  if (!status.ok()) Stop();
  return status;
}

Result<std::string> Bus::OpenSocket(std::unique_ptr<transport::Socket>& socket,
                                    transport::Role role, const transport::KeyPair& keys,
                                    const std::string& listen) {
  WEIR_ASSIGN_OR_RETURN(transport::Socket opened,
                        transport::Socket::OpenServer(context_, role, keys));
  WEIR_RETURN_IF_ERROR(opened.Bind(listen));
  socket = std::make_unique<transport::Socket>(std::move(opened));
  return socket->BoundAddress();
}

Status Bus::Open(const BusOptions& options) {
  using transport::Role;
  const auto open = [&](auto& socket, Role role, const std::string& listen, std::string& bound,
                        const char* setting) -> Status {
    auto address = OpenSocket(socket, role, options.keys, listen);
    if (!address.ok()) return {address.status().code(), address.status().message(), setting};
    bound = *std::move(address);
    return OkStatus();
  };
  WEIR_RETURN_IF_ERROR(
      open(cfg_, Role::kCfgPublisher, options.cfg_listen, addresses_.cfg, "cfg_listen"));
  WEIR_RETURN_IF_ERROR(open(session_socket_, Role::kSessionServer, options.session_listen,
                            addresses_.session, "session_listen"));
  WEIR_RETURN_IF_ERROR(open(telemetry_, Role::kTelemetryServer, options.telemetry_listen,
                            addresses_.telemetry, "telemetry_listen"));
  Run();
  return OkStatus();
}

void Bus::Run() {
  // Subscriptions need no answer: the welcome and the beacons say all.
  loop_.Watch(*cfg_, [this] {
    const Status status = cfg_->Drain([](const transport::Message&) {});
    if (!status.ok()) Log("publish").error("cfg: {}", status.ToString());
  });
  loop_.Watch(*session_socket_, [this] {
    const Status status = session_socket_->Drain([this](const transport::Message& message) {
      session_->OnFrame(message.routing_id, message.user_id, message.body, NowMs());
    });
    if (!status.ok()) Log("publish").error("session: {}", status.ToString());
    nodes_->Flush();
  });
  loop_.Watch(*telemetry_, [this] {
    const Status status =
        telemetry_->Drain([this](const transport::Message& message) { OnTelemetryFrame(message); });
    if (!status.ok()) Log("ingest").error("telemetry: {}", status.ToString());
  });
  loop_.Every(kTickMs, [this] { OnTick(); });
  loop_.Every(kBeaconMs, [this] { OnSecond(); });
  OnSecond();
}

void Bus::Stop() {
  if (!is_started_) return;
  zap_.Stop();
  if (!loop_.Call([this] {
        cfg_.reset();
        session_socket_.reset();
        telemetry_.reset();
      })) {
    return;
  }
  loop_.Stop();
}

void Bus::OnTick() {
  if (cfg_ == nullptr) return;  // closed: Stop is under way
  nodes_->Tick(NowMs());
  nodes_->Flush();
  publisher_->Tick(NowMs());
  ingest::TelemetryTick tick = folder_.Take();
  tick.high_waters = accountant_.TakeChanged();
  if (!tick.Empty()) listener_.on_telemetry(std::move(tick));
}

void Bus::OnSecond() {
  if (cfg_ == nullptr) return;
  publisher_->SendBeacon();
  RenewWelcome();
  listener_.on_counters({session_->refused_count() + batches_refused_, zap_.denied_count(),
                         folder_.malformed_series(), folder_.samples_left_out(),
                         accountant_.counters()});
}

// What a new subscriber hears first. An old one would tell a node that has nothing that there is
// nothing: it would be ready, and know no model.
void Bus::RenewWelcome() {
  const Status status = cfg_->SetWelcome(publisher_->BeaconFrame());
  if (!status.ok()) Log("publish").error("welcome: {}", status.ToString());
}

void Bus::OnTelemetryFrame(const transport::Message& message) {
  const uint64_t malformed = folder_.malformed_series();
  const Status status = OnBatch(message.user_id, message.body);
  if (!status.ok()) {
    ++batches_refused_;
    Log("ingest").warn("node {}: a batch is refused: {}", message.user_id, status.ToString());
  }
  if (folder_.malformed_series() != malformed)
    Log("ingest").warn("a series is left out: {}", folder_.last_error());
}

Status Bus::OnBatch(const std::string& node, std::string_view bytes) {
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
  if (answer.ack_again.has_value()) session_->SendBatchAck(node, incarnation, *answer.ack_again);
  return OkStatus();
}

void Bus::Fold(const ingest::Accountant::Answer& answer) {
  for (const wire::Batch& batch : answer.apply) folder_.Add(batch, NowMs(), loop_.clock().WallMs());
}

void Bus::Publish(const catalog::Committed& committed) {
  loop_.Post([this, committed] {
    publisher_->OnCommitted(committed);
    RenewWelcome();
  });
}

void Bus::Acknowledge(const ingest::HighWaters& stored) {
  loop_.Post([this, stored] {
    accountant_.OnCommitted(stored);
    for (const auto& [origin, high_water] : stored) {
      session_->SendBatchAck(origin.node, origin.incarnation, high_water.seq);
    }
  });
}

Status Bus::Allow(const std::string& node, const std::string& public_key) {
  Status status = zap_.Allow(public_key, node);
  if (!status.ok()) return status;
  loop_.Call([&] {
    std::erase_if(allowed_, [&](const auto& known) {
      if (known.first != node) return false;
      if (known.second != public_key) zap_.Revoke(known.second);
      return true;
    });
    allowed_.emplace_back(node, public_key);
  });
  return OkStatus();
}

void Bus::Broadcast(std::string_view frame) {
  const Status status = cfg_->Send(frame);
  if (!status.ok()) Log("publish").warn("cfg: {}", status.ToString());
}

void Bus::SendTo(const std::string& peer, std::string_view frame) {
  const Status status = session_socket_->SendTo(peer, frame);
  if (status.code() == Code::kResourceExhausted) {
    Log("publish").error("session: {}", status.ToString());
  } else if (!status.ok()) {
    Log("publish").debug("session: {}", status.ToString());
  }
}

}  // namespace weir::control::publish
