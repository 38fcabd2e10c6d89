// SPDX-License-Identifier: Apache-2.0
// The three channels of every node as ZeroMQ over TCP behaves, with what can go wrong with them:
// frames arrive late, in order within a connection, and are lost with it; connections come back by
// themselves, under a new id, and nobody is told. Chaos adds loss, duplicates and replays (into
// later connections too), and frames that overtake others. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "tests/sim/timeline.h"

namespace weir::sim {

enum class Channel : uint8_t { kCfg, kSession, kTelemetry };
const char* ChannelName(Channel channel);

struct Chaos {
  double loss = 0;  // of a frame; on a session and half the time on telemetry its connection breaks
  double duplicate = 0;
  double replay = 0;  // of a duplicate: it comes into whatever connection stands then
  double overtake = 0;
  int64_t latency_ms = 5;  // at most, of an ordinary frame
};

class Network {
 public:
  struct Ends {
    std::function<void(Channel, const std::string& peer, const std::string& node,
                       const std::string& frame)>
        to_control;
    std::function<void(const std::string& node, Channel, const std::string& frame)> to_node;
    std::function<std::string()> welcome;  // what a new subscriber hears first
  };
  Network(Timeline& timeline, const Chaos& chaos, Ends ends);

  void SetControlUp(bool is_up);
  // A node opens all three channels anew, or dies.
  void Open(const std::string& node);
  void Close(const std::string& node);
  // Nothing passes for a while; what is under way arrives afterwards, if its connection still
  // stands.
  void Cut(const std::string& node, Channel channel, int64_t for_ms);
  bool IsCut(const std::string& node, Channel channel) const;
  // From here on everything arrives.
  void Heal();

  // False: not connected.
  bool SendToControl(const std::string& node, Channel channel, std::string_view frame);
  void Broadcast(std::string_view frame);
  void SendTo(const std::string& peer, std::string_view frame);

 private:
  struct Lane {
    uint64_t connection = 0;  // 0: none
    std::array<int64_t, 2> last_arrival_ms{};
    int64_t cut_until_ms = 0;
    bool is_trying = false;
  };
  struct Port {
    bool is_open = false;
    uint64_t opened = 0;  // counts Open and Close
    std::array<Lane, 3> lanes;
  };
  struct Parcel {
    std::string node;
    Channel channel;
    bool is_to_node;
    uint64_t opened;
    uint64_t connection;
    bool is_replay;
    std::string frame;
  };

  Lane& LaneOf(const std::string& node, Channel channel) {
    return ports_[node].lanes[static_cast<size_t>(channel)];
  }
  void Try(const std::string& node, Channel channel, int64_t delay_ms);
  void Break(const std::string& node, Channel channel);
  void Post(const std::string& node, Channel channel, bool is_to_node, std::string_view frame);
  void Travel(Parcel parcel, int64_t delay_ms);
  void Arrive(Parcel parcel);

  Timeline& timeline_;
  Chaos chaos_;
  const Ends ends_;
  bool is_control_up_ = false;
  uint64_t next_connection_ = 1;
  std::map<std::string, Port> ports_;
  std::map<std::string, std::string> node_of_peer_;  // of sessions that stand
};

}  // namespace weir::sim
