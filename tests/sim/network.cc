// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/network.h"

#include <algorithm>
#include <utility>

namespace weir::sim {
namespace {

constexpr int64_t kRetryMs = 200;           // RECONNECT_IVL
constexpr int64_t kMaxRetryMs = 1000;       //
constexpr int64_t kHeartbeatDeadMs = 6000;  // HEARTBEAT_TIMEOUT
constexpr int64_t kReplayMs = 2000;
constexpr int64_t kOvertakeMs = 400;
constexpr Channel kChannels[] = {Channel::kCfg, Channel::kSession, Channel::kTelemetry};

std::string PeerName(const std::string& node, uint64_t connection) {
  return fmt::format("{}/{}", node, connection);
}

}  // namespace

const char* ChannelName(Channel channel) {
  constexpr const char* kNames[] = {"cfg", "session", "telemetry"};
  return kNames[static_cast<size_t>(channel)];
}

Network::Network(Timeline& timeline, const Chaos& chaos, Ends ends)
    : timeline_(timeline), chaos_(chaos), ends_(std::move(ends)) {}

void Network::SetControlUp(bool is_up) {
  is_control_up_ = is_up;
  for (auto& [node, port] : ports_) {
    for (const Channel channel : kChannels) {
      if (!is_up) Break(node, channel);
    }
  }
}

void Network::Open(const std::string& node) {
  Close(node);
  ports_[node].is_open = true;
  for (const Channel channel : kChannels) Try(node, channel, timeline_.random().Between(0, 20));
}

void Network::Close(const std::string& node) {
  Port& port = ports_[node];
  port.is_open = false;
  ++port.opened;
  for (const Channel channel : kChannels) {
    Break(node, channel);
    LaneOf(node, channel).is_trying = false;
  }
}

void Network::Try(const std::string& node, Channel channel, int64_t delay_ms) {
  if (LaneOf(node, channel).is_trying) return;
  LaneOf(node, channel).is_trying = true;
  timeline_.After(delay_ms, [this, node, channel, opened = ports_[node].opened] {
    Port& port = ports_[node];
    if (!port.is_open || port.opened != opened) return;
    Lane& lane = LaneOf(node, channel);
    lane.is_trying = false;
    if (lane.connection != 0) return;
    if (!is_control_up_ || IsCut(node, channel))
      return Try(node, channel, timeline_.random().Between(kRetryMs, kMaxRetryMs));
    lane.connection = next_connection_++;
    lane.last_arrival_ms = {};
    timeline_.Tell("{} {} connects as {}", node, ChannelName(channel), lane.connection);
    if (channel == Channel::kSession) node_of_peer_[PeerName(node, lane.connection)] = node;
    if (channel == Channel::kCfg) Post(node, channel, true, ends_.welcome());
  });
}

void Network::Break(const std::string& node, Channel channel) {
  Lane& lane = LaneOf(node, channel);
  if (lane.connection == 0) return;
  timeline_.Tell("{} {} connection {} breaks", node, ChannelName(channel), lane.connection);
  if (channel == Channel::kSession) node_of_peer_.erase(PeerName(node, lane.connection));
  lane.connection = 0;
  if (ports_[node].is_open) Try(node, channel, timeline_.random().Between(kRetryMs, kMaxRetryMs));
}

void Network::Cut(const std::string& node, Channel channel, int64_t for_ms) {
  Lane& lane = LaneOf(node, channel);
  lane.cut_until_ms = timeline_.now_ms() + for_ms;
  timeline_.Tell("{} {} is cut for {} ms", node, ChannelName(channel), for_ms);
  timeline_.After(timeline_.random().Between(0, kHeartbeatDeadMs), [this, node, channel] {
    if (IsCut(node, channel)) Break(node, channel);
  });
}

bool Network::IsCut(const std::string& node, Channel channel) const {
  const auto port = ports_.find(node);
  return port != ports_.end() &&
         port->second.lanes[static_cast<size_t>(channel)].cut_until_ms > timeline_.now_ms();
}

void Network::Heal() {
  timeline_.Tell("the network is healed");
  chaos_ = {0, 0, 0, 0, chaos_.latency_ms};
  for (auto& [node, port] : ports_) {
    for (Lane& lane : port.lanes) lane.cut_until_ms = 0;
  }
}

bool Network::SendToControl(const std::string& node, Channel channel, std::string_view frame) {
  if (LaneOf(node, channel).connection == 0) return false;
  Post(node, channel, false, frame);
  return true;
}

void Network::Broadcast(std::string_view frame) {
  for (const auto& [node, port] : ports_) {
    if (LaneOf(node, Channel::kCfg).connection != 0) Post(node, Channel::kCfg, true, frame);
  }
}

void Network::SendTo(const std::string& peer, std::string_view frame) {
  const auto node = node_of_peer_.find(peer);
  if (node != node_of_peer_.end()) Post(node->second, Channel::kSession, true, frame);
}

void Network::Post(const std::string& node, Channel channel, bool is_to_node,
                   std::string_view frame) {
  Random& random = timeline_.random();
  Lane& lane = LaneOf(node, channel);
  Parcel parcel{node,  channel,           is_to_node, ports_[node].opened, lane.connection,
                false, std::string(frame)};
  if (random.Chance(chaos_.duplicate)) {
    Parcel again = parcel;
    again.is_replay = random.Chance(chaos_.replay);
    Travel(std::move(again), random.Between(0, kReplayMs));
  }
  if (random.Chance(chaos_.loss)) {
    timeline_.Tell("{} {} loses a frame", node, ChannelName(channel));
    const bool breaks =
        channel == Channel::kSession || (channel == Channel::kTelemetry && random.Chance(0.5));
    // Not at once: whoever sends is in the middle of something.
    if (breaks)
      timeline_.After(0, [this, node, channel, connection = lane.connection] {
        if (LaneOf(node, channel).connection == connection) Break(node, channel);
      });
    return;
  }
  if (random.Chance(chaos_.overtake))
    return Travel(std::move(parcel), random.Between(0, kOvertakeMs));
  int64_t& last = lane.last_arrival_ms[is_to_node ? 1 : 0];
  last = std::max(last, timeline_.now_ms() + random.Between(0, chaos_.latency_ms));
  Travel(std::move(parcel), last - timeline_.now_ms());
}

void Network::Travel(Parcel parcel, int64_t delay_ms) {
  timeline_.After(delay_ms,
                  [this, parcel = std::move(parcel)]() mutable { Arrive(std::move(parcel)); });
}

void Network::Arrive(Parcel parcel) {
  const Port& port = ports_[parcel.node];
  const Lane& lane = LaneOf(parcel.node, parcel.channel);
  if (parcel.is_to_node && port.opened != parcel.opened) return;
  const bool is_same = lane.connection == parcel.connection;
  if (!is_same && !(parcel.is_replay && lane.connection != 0)) return;
  if (lane.cut_until_ms > timeline_.now_ms())
    return Travel(std::move(parcel), lane.cut_until_ms - timeline_.now_ms());
  if (parcel.is_to_node) return ends_.to_node(parcel.node, parcel.channel, parcel.frame);
  ends_.to_control(parcel.channel, PeerName(parcel.node, parcel.connection), parcel.node,
                   parcel.frame);
}

}  // namespace weir::sim
