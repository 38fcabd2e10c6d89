// SPDX-License-Identifier: Apache-2.0
#include "bench/crowd.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::bench {
namespace {

constexpr int64_t kTickMs = 100;
constexpr uint64_t kTicksPerHeartbeat = 10;
constexpr int64_t kSubscribeFirstMs = 300;
constexpr int64_t kAnswerMs = 3000;

}  // namespace

struct Crowd::Member {
  explicit Member(const Identity& identity_in)
      : identity(identity_in), receiver({}, RandomU64, [this](const auto&) { is_new = true; }) {}

  const Identity& identity;
  node::snapshot::Receiver receiver;
  std::optional<transport::Socket> cfg;
  std::optional<transport::Socket> session;
  bool is_new = false;  // the receiver has published since APPLIED was sent
  bool is_cfg_heard = false;
  bool is_welcome = false;
  uint64_t welcome_epoch = 0;
  int64_t hello_at_ms = 0;
  int64_t heard_ms = 0;  // on the session
};

Result<std::unique_ptr<Crowd>> Crowd::Make(size_t count, const std::string& prefix) {
  auto crowd = std::make_unique<Crowd>();
  crowd->incarnation_ = static_cast<uint64_t>(Clock::System().WallMs());
  for (size_t i = 0; i < count; ++i) {
    WEIR_ASSIGN_OR_RETURN(transport::KeyPair keys, transport::GenerateKeyPair());
    crowd->identities_.push_back({fmt::format("{}-{}", prefix, i), std::move(keys)});
  }
  return crowd;
}

Crowd::~Crowd() { Stop(); }

void Crowd::Stop() {
  loop_.Stop();
  members_.clear();
}

Status Crowd::Connect(const std::string& cfg, const std::string& session,
                      const std::string& server_public_key) {
  using transport::Role;
  using transport::Socket;
  for (const Identity& identity : identities_) {
    members_.push_back(std::make_unique<Member>(identity));
    Member& member = *members_.back();
    WEIR_ASSIGN_OR_RETURN(member.cfg, Socket::OpenClient(context_, Role::kCfgSubscriber,
                                                         identity.keys, server_public_key));
    for (const char* topic : {"c", "e", "b"}) WEIR_RETURN_IF_ERROR(member.cfg->Subscribe(topic));
    WEIR_ASSIGN_OR_RETURN(member.session, Socket::OpenClient(context_, Role::kSessionClient,
                                                             identity.keys, server_public_key));
    member.hello_at_ms = NowMs() + kSubscribeFirstMs;
    WEIR_RETURN_IF_ERROR(member.cfg->Connect(cfg));
    WEIR_RETURN_IF_ERROR(member.session->Connect(session));
    loop_.Watch(*member.cfg, [this, &member] {
      static_cast<void>(member.cfg->Drain([&](transport::Message m) { OnCfg(member, m.body); }));
    });
    loop_.Watch(*member.session, [this, &member] {
      static_cast<void>(
          member.session->Drain([&](transport::Message m) { OnSession(member, m.body); }));
    });
  }
  loop_.Every(kTickMs, [this] { Tick(); });
  loop_.Start();
  return OkStatus();
}

void Crowd::OnCfg(Member& member, const std::string& bytes) {
  const auto frame = wire::DecodeFrame(bytes);
  if (!frame.ok()) return;
  if (!member.is_cfg_heard) {
    member.is_cfg_heard = true;
    member.hello_at_ms = std::min(member.hello_at_ms, NowMs());
  }
  Handle(member, *frame);
}

void Crowd::OnSession(Member& member, const std::string& bytes) {
  const auto frame = wire::DecodeFrame(bytes);
  if (!frame.ok() || frame->header.epoch < member.receiver.leader_epoch()) return;
  member.heard_ms = NowMs();
  switch (frame->header.type) {
    case wire::Type::kWelcome:
      member.is_welcome = true;
      member.welcome_epoch = frame->header.epoch;
      return Handle(member, *frame);
    case wire::Type::kDelta:
    case wire::Type::kSnapshot:
    case wire::Type::kBeacon:
    case wire::Type::kEmergency:
      return Handle(member, *frame);
    default:
      if (member.is_welcome && frame->header.epoch > member.welcome_epoch)
        member.is_welcome = false;
      return SendHelloIfDue(member);
  }
}

void Crowd::Handle(Member& member, const wire::Frame& frame) {
  const int64_t start_ns = Clock::System().MonotonicNs();
  static_cast<void>(member.receiver.Handle(frame, NowMs()));
  receiver_ns_ += Clock::System().MonotonicNs() - start_ns;
  if (member.is_welcome && member.receiver.leader_epoch() > member.welcome_epoch) {
    member.is_welcome = false;
    member.hello_at_ms = NowMs();
  }
  SendHelloIfDue(member);
  SendRequestIfDue(member);
  SendApplied(member);
}

template <class Body>
Status Crowd::Send(Member& member, wire::Type type, const Body& body, uint64_t epoch,
                   uint64_t version) {
  wire::Header header;
  header.type = type;
  header.epoch = epoch;
  header.version = version;
  return member.session->Send(wire::Encode(header, body));
}

void Crowd::SendHelloIfDue(Member& member) {
  if (member.is_welcome || NowMs() < member.hello_at_ms) return;
  const node::snapshot::Position have = member.receiver.position();
  wire::Hello hello;
  hello.node = member.identity.id;
  hello.incarnation = incarnation_;
  hello.program = "bench";
  hello.have_epoch = have.epoch;
  hello.have_version = have.version;
  hello.have_digest = {have.digest};
  hello.monotonic_ms = NowMs();
  if (!Send(member, wire::Type::kHello, hello, have.epoch, have.version).ok()) return;
  ++hellos_;
  member.hello_at_ms = NowMs() + kAnswerMs;
  member.heard_ms = NowMs();
  member.receiver.OnHello(NowMs());
}

void Crowd::SendRequestIfDue(Member& member) {
  if (!member.is_welcome) return;
  const auto request = member.receiver.TakeRequest(NowMs());
  if (!request) return;
  ++requests_;
  static_cast<void>(Send(member, wire::Type::kSnapshotRequest, *request, request->have_epoch,
                         request->have_version));
}

void Crowd::SendApplied(Member& member) {
  if (!member.is_new || !member.is_welcome) return;
  const node::snapshot::Position have = member.receiver.position();
  const wire::Applied applied{member.receiver.refused()};
  member.is_new = !Send(member, wire::Type::kApplied, applied, have.epoch, have.version).ok();
}

void Crowd::Tick() {
  ++ticks_;
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = *members_[i];
    SendHelloIfDue(member);
    SendRequestIfDue(member);
    SendApplied(member);
    if (!member.is_welcome || (ticks_ + i) % kTicksPerHeartbeat != 0) continue;
    if (NowMs() - member.heard_ms > kAnswerMs) {
      member.is_welcome = false;
      member.hello_at_ms = NowMs();
      continue;
    }
    const node::snapshot::Position have = member.receiver.position();
    static_cast<void>(Send(member, wire::Type::kHeartbeat, wire::Heartbeat{NowMs(), 0}, have.epoch,
                           have.version));
  }
}

}  // namespace weir::bench
