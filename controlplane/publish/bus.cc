// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/bus.h"

#include <algorithm>
#include <utility>

#include "shared/base/log.h"

namespace weir::control::publish {
namespace {

constexpr int64_t kGoodbyeMs = 100;       // for REFUSED to leave before the session is cut
constexpr int64_t kMoveAgainMs = 10'000;  // to a node that has not come
constexpr size_t kMovesPerTick = 8;       // nodes come over one by one, not as a herd

void Add(const transport::PeerCounters& peers, WireRefusals& all) {
  all.handshake += peers.handshakes_failed;
  all.multipart += peers.multipart;
  all.unfinished += peers.cut_unfinished;
  all.subscriptions += peers.cut_flood;
  all.crowd += peers.cut_crowd;
}

bool IsAnyPort(const std::string& listen) { return listen.ends_with(":0"); }

}  // namespace

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
  for (const auto& [node, reason] : options.cordons) hub_->SetCordon(node, true, reason);
  listen_ = {options.cfg_listen, options.session_listen, options.telemetry_listen};
  loop_.Start();
  is_started_ = true;
  Status status = zap_.Start(context_, loop_);
  for (const auto& [node, key] : options.nodes) {
    if (status.ok()) status = Allow(node, key);
  }
  if (status.ok()) {
    loop_.Call([&] {
      auto opened = Open(options.keys, listen_);
      status = opened.ok() ? OkStatus() : opened.status();
      if (!opened.ok()) return;
      first_ = *std::move(opened);
      addresses_ = first_->addresses;
      for (const std::string& node : options.revoked) hub_->Refuse(node, "revoked");
      Run();
    });
  }
  if (!status.ok()) Stop();
  return status;
}

void Bus::Sockets::ForEach(const std::function<void(transport::Socket&)>& visit) {
  for (const auto* socket : {&cfg, &session, &telemetry}) {
    if (*socket != nullptr) visit(**socket);
  }
}

Result<std::unique_ptr<Bus::Sockets>> Bus::Open(const transport::KeyPair& keys,
                                                const Listen& listen) {
  using transport::Role;
  auto sockets = std::make_unique<Sockets>();
  sockets->keys = keys;
  sockets->tag = last_tag_++;
  const auto open = [&](std::unique_ptr<transport::Socket>& socket, Role role,
                        const std::string& address, std::string& bound,
                        const char* setting) -> Status {
    WEIR_ASSIGN_OR_RETURN(transport::Socket opened,
                          transport::Socket::OpenServer(context_, role, keys));
    const Status status = opened.Bind(address);
    if (!status.ok()) return {status.code(), status.message(), setting};
    WEIR_ASSIGN_OR_RETURN(bound, opened.BoundAddress());
    socket = std::make_unique<transport::Socket>(std::move(opened));
    return OkStatus();
  };
  Addresses& bound = sockets->addresses;
  WEIR_RETURN_IF_ERROR(
      open(sockets->cfg, Role::kCfgPublisher, listen.cfg, bound.cfg, "cfg_listen"));
  WEIR_RETURN_IF_ERROR(open(sockets->session, Role::kSessionServer, listen.session, bound.session,
                            "session_listen"));
  WEIR_RETURN_IF_ERROR(open(sockets->telemetry, Role::kTelemetryServer, listen.telemetry,
                            bound.telemetry, "telemetry_listen"));
  WatchSockets(*sockets);
  return sockets;
}

void Bus::WatchSockets(Sockets& sockets) {
  // Subscriptions need no answer: the welcome and the beacons say all.
  loop_.Watch(*sockets.cfg, [this, &sockets] {
    const Status status = sockets.cfg->Drain([&](const transport::Message& message) {
      if (!message.key.empty()) IsAllowed(*sockets.cfg, message);
    });
    if (!status.ok()) Log("publish").error("cfg: {}", status.ToString());
  });
  loop_.Watch(*sockets.session, [this, &sockets] {
    const Status status = sockets.session->Drain([&](const transport::Message& message) {
      if (!IsAllowed(*sockets.session, message)) return;
      tags_[message.user_id] = sockets.tag;
      hub_->OnSession(sockets.tag + message.routing_id, message.user_id, message.body);
    });
    if (!status.ok()) Log("publish").error("session: {}", status.ToString());
    FlushNodes();
  });
  loop_.Watch(*sockets.telemetry, [this, &sockets] {
    const Status status = sockets.telemetry->Drain([&](const transport::Message& message) {
      if (IsAllowed(*sockets.telemetry, message)) hub_->OnTelemetry(message.user_id, message.body);
    });
    if (!status.ok()) Log("ingest").error("telemetry: {}", status.ToString());
  });
}

void Bus::Run() {
  loop_.Every(Hub::kTickMs, [this] {
    if (first_ != nullptr) OnTick();
  });
  loop_.Every(kHeartbeatMs, [this] {
    if (first_ != nullptr) hub_->BeaconTick();
  });
  hub_->BeaconTick();
}

void Bus::FlushNodes() {
  if (is_flush_due_ || first_ == nullptr) return;
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
        first_.reset();
        next_.reset();
      })) {
    return;
  }
  loop_.Stop();
}

void Bus::OnTick() {
  ForEachSocket([now_ms = loop_.clock().MonotonicMs()](auto& s) { s.CheckPeers(now_ms); });
  hub_->Tick();
  if (next_ != nullptr) SendMoves();
  ListenAgain();
  BusCounters counters = hub_->counters();
  counters.handshakes_denied = zap_.denied_count();
  counters.wire = Refusals();
  listener_.on_counters(counters);
}

WireRefusals Bus::Refusals() {
  WireRefusals all = retired_;
  ForEachSocket([&](transport::Socket& socket) { Add(socket.peer_counters(), all); });
  all.key = zap_.denied_count();
  // Denied ones failed, too, but are seen to have failed a little later.
  handshakes_failed_ =
      std::max(handshakes_failed_, all.handshake - std::min(all.handshake, all.key));
  all.handshake = handshakes_failed_;
  all.revoked = frames_of_revoked_;
  return all;
}

void Bus::ForEachSocket(const std::function<void(transport::Socket&)>& visit) {
  if (first_ != nullptr) first_->ForEach(visit);
  if (next_ != nullptr) next_->ForEach(visit);
}

void Bus::Publish(const catalog::Committed& committed) {
  loop_.Post([this, committed] {
    if (first_ != nullptr) hub_->Publish(committed);
  });
}

void Bus::Acknowledge(const ingest::HighWaters& stored) {
  loop_.Post([this, stored] {
    if (first_ != nullptr) hub_->Acknowledge(stored);
  });
}

void Bus::SetCordon(const std::string& node, bool cordoned, const std::string& reason) {
  loop_.Post([this, node, cordoned, reason] {
    if (first_ != nullptr) hub_->SetCordon(node, cordoned, reason);
  });
}

void Bus::SetAuditHead(uint64_t rows, const std::string& head) {
  loop_.Post([this, rows, head] { hub_->SetAuditHead(rows, head); });
}

Status Bus::Allow(const std::string& node, const std::string& public_key) {
  Status status = zap_.Allow(public_key, node);
  if (!status.ok()) return status;
  loop_.Call([&] {
    const std::string before = std::exchange(allowed_[node], public_key);
    if (before.empty() || before == public_key) return;
    zap_.Revoke(before);
    EndKey(before, 0);
  });
  return OkStatus();
}

void Bus::Revoke(const std::string& node, const std::string& reason) {
  loop_.Call([&] {
    const auto found = allowed_.find(node);
    if (found != allowed_.end()) {
      const std::string key = found->second;
      allowed_.erase(found);
      zap_.Revoke(key);
      if (first_ != nullptr) EndKey(key, kGoodbyeMs);
    }
    tags_.erase(node);
    if (first_ != nullptr) hub_->Refuse(node, reason);
  });
}

// One key may stand for one node only, so its connections are that node's.
void Bus::EndKey(const std::string& public_key, int64_t session_delay_ms) {
  for (Sockets* sockets : {first_.get(), next_.get()}) {
    if (sockets == nullptr) continue;
    sockets->cfg->CutKey(public_key);
    sockets->telemetry->CutKey(public_key);
    if (session_delay_ms == 0) sockets->session->CutKey(public_key);
  }
  if (session_delay_ms == 0) return;
  loop_.After(session_delay_ms, [this, public_key] {
    const auto is_it = [&](const auto& allowed) { return allowed.second == public_key; };
    if (std::any_of(allowed_.begin(), allowed_.end(), is_it)) return;  // let in again
    for (Sockets* sockets : {first_.get(), next_.get()}) {
      if (sockets != nullptr) sockets->session->CutKey(public_key);
    }
  });
}

bool Bus::IsAllowed(transport::Socket& socket, const transport::Message& message) {
  const auto found = allowed_.find(message.user_id);
  if (found != allowed_.end() && found->second == message.key) return true;
  ++frames_of_revoked_;
  socket.CutKey(message.key);  // its handshake may have been under way when it was revoked
  return false;
}

Bus::Place Bus::PlaceOf(const Sockets& sockets) const {
  Place place{sockets.keys.public_key, sockets.addresses, {}};
  for (const auto& [node, tag] : tags_) {
    if (tag == sockets.tag) place.nodes.push_back(node);
  }
  return place;
}

Bus::Places Bus::places() {
  Places places;
  loop_.Call([&] {
    if (first_ != nullptr) places.current = PlaceOf(*first_);
    if (next_ != nullptr) places.next = PlaceOf(*next_);
  });
  return places;
}

Status Bus::OpenNext(const transport::KeyPair& keys, const Listen& listen) {
  Status status;
  loop_.Call([&] {
    auto opened = Open(keys, listen);
    if (!opened.ok()) {
      status = opened.status();
      if (!status.field().empty())
        status = {status.code(), status.message(), "rotation_" + status.field()};
      return;
    }
    next_ = *std::move(opened);
    moved_ms_.clear();
    hub_->BeaconTick();  // its first subscribers hear a welcome
    Log("publish").info("the next key {} is served at {}, {}, {}",
                        transport::Fingerprint(keys.public_key), next_->addresses.cfg,
                        next_->addresses.session, next_->addresses.telemetry);
  });
  return status;
}

void Bus::SendMoves() {
  const int64_t now_ms = loop_.clock().MonotonicMs();
  const wire::Move move{next_->keys.public_key, next_->addresses.cfg, next_->addresses.session,
                        next_->addresses.telemetry};
  size_t sent = 0;
  for (const auto& [node, tag] : tags_) {
    if (tag == next_->tag || sent == kMovesPerTick) continue;
    const auto [told, is_first] = moved_ms_.try_emplace(node, now_ms);
    if (!is_first && now_ms - told->second < kMoveAgainMs) continue;
    told->second = now_ms;
    hub_->SendMove(node, move);
    ++sent;
  }
}

void Bus::RetireFirst() {
  loop_.Call([&] {
    if (next_ == nullptr) return;
    first_->ForEach([&](transport::Socket& socket) { Add(socket.peer_counters(), retired_); });
    first_ = std::move(next_);
    const auto wanted = [](const std::string& listen) {
      return IsAnyPort(listen) ? std::string() : listen;
    };
    wanted_ = {wanted(listen_.cfg), wanted(listen_.session), wanted(listen_.telemetry)};
    ListenAgain();
  });
}

// libzmq frees an address some time after its socket was closed.
void Bus::ListenAgain() {
  const auto bind = [](transport::Socket& socket, std::string& wanted, std::string& bound) {
    if (wanted.empty() || !socket.Bind(wanted).ok()) return;
    const auto address = socket.BoundAddress();
    if (address.ok()) bound = *address;
    wanted.clear();
  };
  bind(*first_->cfg, wanted_.cfg, first_->addresses.cfg);
  bind(*first_->session, wanted_.session, first_->addresses.session);
  bind(*first_->telemetry, wanted_.telemetry, first_->addresses.telemetry);
}

void Bus::Broadcast(std::string_view frame) {
  for (Sockets* sockets : {first_.get(), next_.get()}) {
    if (sockets == nullptr) continue;
    const Status status = sockets->cfg->Send(frame);
    if (!status.ok()) Log("publish").warn("cfg: {}", status.ToString());
  }
}

void Bus::SendTo(const std::string& peer, std::string_view frame) {
  for (Sockets* sockets : {first_.get(), next_.get()}) {
    if (sockets == nullptr || peer.empty() || peer[0] != sockets->tag) continue;
    const Status status = sockets->session->SendTo(peer.substr(1), frame);
    if (status.code() == Code::kResourceExhausted) {
      Log("publish").error("session: {}", status.ToString());
    } else if (!status.ok()) {
      Log("publish").debug("session: {}", status.ToString());
    }
  }
}

void Bus::SetWelcome(std::string_view frame) {
  for (Sockets* sockets : {first_.get(), next_.get()}) {
    if (sockets == nullptr) continue;
    const Status status = sockets->cfg->SetWelcome(frame);
    if (!status.ok()) Log("publish").error("welcome: {}", status.ToString());
  }
}

}  // namespace weir::control::publish
