// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/session.h"

#include <fmt/format.h>

#include <utility>

#include "shared/base/build_info.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::control::publish {

Session::Session(Outbox& outbox, Publisher& publisher, Nodes& nodes, Hooks hooks)
    : outbox_(outbox), publisher_(publisher), nodes_(nodes), hooks_(std::move(hooks)) {}

template <class Body>
void Session::Send(const std::string& peer, wire::Type type, const Body& body) {
  wire::Header header;
  header.topic = wire::Topic::kSession;
  header.type = type;
  header.epoch = publisher_.epoch();
  header.version = publisher_.head();
  header.sequence = ++sequence_;
  outbox_.SendTo(peer, wire::Encode(header, body));
}

void Session::OnFrame(const std::string& peer, const std::string& user_id, std::string_view bytes,
                      int64_t now_ms) {
  const auto frame = wire::DecodeFrame(bytes);
  const Status status = frame.ok() ? Handle({peer, user_id, now_ms}, *frame) : frame.status();
  if (status.ok()) return;
  ++refused_;
  Log("publish").warn("node {}: a frame is refused: {}", user_id, status.ToString());
  // Another major: it cannot be understood, but can be told.
  if (status.code() == Code::kUnavailable)
    Send(peer, wire::Type::kRefused, wire::Refused{status.message()});
}

Status Session::Handle(const From& from, const wire::Frame& frame) {
  if (frame.header.topic != wire::Topic::kSession)
    return InvalidArgument("topic", "is not the session's");
  if (frame.header.type == wire::Type::kHello) return OnHello(from, frame);
  switch (frame.header.type) {
    case wire::Type::kSnapshotRequest: {
      WEIR_ASSIGN_OR_RETURN(const auto request, wire::Decode<wire::SnapshotRequest>(frame));
      if (!Takes(from, frame.header, 0)) return OkStatus();
      publisher_.BringUpToDate(from.peer, {request.have_epoch, request.have_version, ""},
                               from.now_ms);
      return OkStatus();
    }
    case wire::Type::kApplied: {
      WEIR_ASSIGN_OR_RETURN(auto applied, wire::Decode<wire::Applied>(frame));
      if (!Takes(from, frame.header, applied.incarnation)) return OkStatus();
      nodes_.Applied(from.node, frame.header.epoch, frame.header.version,
                     std::move(applied.refused), from.now_ms);
      return OkStatus();
    }
    case wire::Type::kNodeReport: {
      WEIR_ASSIGN_OR_RETURN(const auto report, wire::Decode<wire::NodeReport>(frame));
      if (Takes(from, frame.header, report.incarnation)) nodes_.Report(from.node, report);
      return OkStatus();
    }
    case wire::Type::kHeartbeat:
      return OnHeartbeat(from, frame);
    case wire::Type::kGoodbye:
      return OnGoodbye(from, frame);
    default:
      return InvalidArgument(
          "type", fmt::format("{} is not a node's", static_cast<int>(frame.header.type)));
  }
}

bool Session::Takes(const From& from, const wire::Header& header, uint64_t incarnation) {
  if (!nodes_.IsNews(from.node, from.peer, incarnation, header)) return false;
  nodes_.Note(from.node, header);
  if (nodes_.Knows(from.node)) OnSeen(from);
  return true;
}

// A connection that came back by itself lost what was under way, and neither side was told: another
// WELCOME lets the node say everything again. It acknowledges nothing: which life of the node has
// this connection, HELLO alone would say.
void Session::OnSeen(const From& from) {
  const bool is_elsewhere = nodes_.PeerOf(from.node) != from.peer;
  nodes_.Seen(from.node, from.peer, from.now_ms);
  if (!is_elsewhere) return;
  SendWelcome(from, 0);
}

void Session::SendWelcome(const From& from, uint64_t committed) {
  const auto cordon = cordons_.find(from.node);
  const bool is_cordoned = cordon != cordons_.end();
  Send(from.peer, wire::Type::kWelcome,
       wire::Welcome{BuildVersion(), committed, is_cordoned, is_cordoned ? cordon->second : ""});
}

std::string Session::ProblemOf(const wire::Hello& hello) const {
  if (hello.min_major > wire::kMajor || hello.max_major < wire::kMajor)
    return fmt::format("it speaks wire versions {}..{}, this control plane {}", hello.min_major,
                       hello.max_major, wire::kMajor);
  const bool is_behind =
      hello.have_epoch > publisher_.epoch() ||
      (hello.have_epoch == publisher_.epoch() && hello.have_version > publisher_.head());
  if (is_behind)
    return fmt::format("control plane behind: it has {}/{}, this control plane {}/{}",
                       hello.have_epoch, hello.have_version, publisher_.epoch(), publisher_.head());
  return "";
}

Status Session::OnHello(const From& from, const wire::Frame& frame) {
  WEIR_ASSIGN_OR_RETURN(const auto hello, wire::Decode<wire::Hello>(frame));
  if (hello.node != from.node || !IsResourceName(hello.node)) {
    Send(from.peer, wire::Type::kRefused,
         wire::Refused{fmt::format("this key belongs to node {}", from.node)});
    return InvalidArgument("node", fmt::format("says that it is {}", hello.node));
  }
  if (!nodes_.IsNews(hello.node, from.peer, hello.incarnation, frame.header)) return OkStatus();
  const std::string problem = ProblemOf(hello);
  nodes_.Hello(from.peer, hello, problem, from.now_ms);
  nodes_.Note(hello.node, frame.header);
  if (!problem.empty()) {
    ++refused_;
    Log("publish").warn("node {} is refused: {}", hello.node, problem);
    Send(from.peer, wire::Type::kRefused, wire::Refused{problem});
    return OkStatus();
  }
  Log("publish").info("node {} says hello: incarnation {}, has {}/{}", hello.node,
                      hello.incarnation, hello.have_epoch, hello.have_version);
  hooks_.on_clock(hello.node, hello.incarnation, hello.monotonic_ms, from.now_ms);
  const uint64_t committed = hooks_.on_hello(hello, from.now_ms);
  SendWelcome(from, committed);
  const Publisher::Have have{hello.have_epoch, hello.have_version, hello.have_digest.value};
  if (!publisher_.IsCurrent(have)) {
    publisher_.BringUpToDate(from.peer, have, from.now_ms);
  } else {
    nodes_.Carries(hello.node, publisher_.head(), from.now_ms);
  }
  return OkStatus();
}

Status Session::OnHeartbeat(const From& from, const wire::Frame& frame) {
  WEIR_ASSIGN_OR_RETURN(const auto heartbeat, wire::Decode<wire::Heartbeat>(frame));
  if (!Takes(from, frame.header, 0)) return OkStatus();
  if (nodes_.Knows(from.node)) {
    nodes_.Heartbeat(from.node, heartbeat);
    hooks_.on_clock(from.node, nodes_.IncarnationOf(from.node), heartbeat.monotonic_ms,
                    from.now_ms);
    TellDelivery(from.node, heartbeat.delivery, false);
  }
  Send(from.peer, wire::Type::kHeartbeat,
       wire::Heartbeat{heartbeat.monotonic_ms, heartbeat.pending_batches});
  return OkStatus();
}

Status Session::OnGoodbye(const From& from, const wire::Frame& frame) {
  WEIR_ASSIGN_OR_RETURN(const auto goodbye, wire::Decode<wire::Goodbye>(frame));
  if (!Takes(from, frame.header, goodbye.incarnation)) return OkStatus();
  Log("publish").info("node {} says goodbye: {}", from.node, goodbye.reason);
  if (nodes_.Knows(from.node)) TellDelivery(from.node, goodbye.delivery, true);
  nodes_.Goodbye(from.node);
  return OkStatus();
}

void Session::TellDelivery(const std::string& node, const std::optional<wire::Delivery>& delivery,
                           bool ended) {
  if (delivery.has_value() && hooks_.on_delivery)
    hooks_.on_delivery(node, nodes_.IncarnationOf(node), *delivery, ended);
}

void Session::SetCordon(const std::string& node, bool cordoned, const std::string& reason) {
  if (cordoned) {
    cordons_[node] = reason;
  } else {
    cordons_.erase(node);
  }
  const std::string peer = nodes_.PeerOf(node);
  if (!peer.empty()) Send(peer, wire::Type::kCommand, wire::Command{cordoned, reason});
}

void Session::SendMove(const std::string& node, const wire::Move& move) {
  const std::string peer = nodes_.PeerOf(node);
  if (!peer.empty()) Send(peer, wire::Type::kMove, move);
}

void Session::SendRefused(const std::string& node, const std::string& reason) {
  const std::string peer = nodes_.PeerOf(node);
  if (!peer.empty()) Send(peer, wire::Type::kRefused, wire::Refused{reason});
}

void Session::SendBatchAck(const std::string& node, uint64_t incarnation, uint64_t committed) {
  const std::string peer = nodes_.PeerOf(node);
  if (peer.empty() || nodes_.IncarnationOf(node) != incarnation) return;
  Send(peer, wire::Type::kBatchAck, wire::BatchAck{incarnation, committed});
}

}  // namespace weir::control::publish
