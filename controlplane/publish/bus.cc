// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/bus.h"

#include <utility>

#include "shared/base/log.h"

namespace weir::control::publish {

Bus::Bus(transport::Context& context, Listener listener)
    : context_(context), listener_(std::move(listener)) {}

Bus::~Bus() { Stop(); }

Status Bus::Start(const BusOptions& options, const std::vector<catalog::EntryBody>& entries,
                  uint64_t revision, const domain::EmergencySpec& emergency,
                  const ingest::HighWaters& committed) {
  HubOutbox& outbox = *this;
  hub_ = std::make_unique<Hub>(
      outbox, loop_.clock(), options.epoch,
      Hub::Listener{listener_.on_nodes, listener_.on_applied, listener_.on_telemetry});
  hub_->Reset(entries, revision, emergency, committed);
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
      hub_->OnSession(message.routing_id, message.user_id, message.body);
    });
    if (!status.ok()) Log("publish").error("session: {}", status.ToString());
    FlushNodes();
  });
  loop_.Watch(*telemetry_, [this] {
    const Status status = telemetry_->Drain([this](const transport::Message& message) {
      hub_->OnTelemetry(message.user_id, message.body);
    });
    if (!status.ok()) Log("ingest").error("telemetry: {}", status.ToString());
  });
  loop_.Every(Hub::kTickMs, [this] {
    if (cfg_ != nullptr) hub_->Tick();  // else Stop is under way
  });
  loop_.Every(kHeartbeatMs, [this] { OnSecond(); });
  OnSecond();
}

void Bus::FlushNodes() {
  if (is_flush_due_ || cfg_ == nullptr) return;
  const int64_t wait_ms = hub_->FlushNodes();
  if (wait_ms == 0) return;
  is_flush_due_ = true;
  loop_.After(wait_ms, [this] {
    is_flush_due_ = false;
    FlushNodes();
  });
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

void Bus::OnSecond() {
  if (cfg_ == nullptr) return;
  hub_->BeaconTick();
  BusCounters counters = hub_->counters();
  counters.handshakes_denied = zap_.denied_count();
  listener_.on_counters(counters);
}

void Bus::Publish(const catalog::Committed& committed) {
  loop_.Post([this, committed] {
    if (cfg_ != nullptr) hub_->Publish(committed);
  });
}

void Bus::Acknowledge(const ingest::HighWaters& stored) {
  loop_.Post([this, stored] {
    if (cfg_ != nullptr) hub_->Acknowledge(stored);
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

void Bus::SetWelcome(std::string_view frame) {
  const Status status = cfg_->SetWelcome(frame);
  if (!status.ok()) Log("publish").error("welcome: {}", status.ToString());
}

}  // namespace weir::control::publish
