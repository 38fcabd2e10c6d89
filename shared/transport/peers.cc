// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/peers.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <zmq.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "shared/base/log.h"
#include "shared/transport/keys.h"
#include "shared/transport/socket_options.h"

namespace weir::transport {
namespace {

constexpr int64_t kHandshakeSlackMs = 1000;
constexpr int64_t kBytesEveryMs = 250;
// What ZMTP's heartbeats cost at most, which are no messages: 42 bytes a ping, another for a pong.
constexpr int64_t kHeartbeatBytesPerS = 64;

constexpr int kEvents = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED;

uint64_t InodeOf(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

// Nothing for sockets other than TCP.
std::optional<uint64_t> BytesReceived(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (size < offsetof(tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
    return std::nullopt;
  return info.tcpi_bytes_received;
}

size_t QuarterOfDescriptors() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return SIZE_MAX;
  return std::max<size_t>(16, files.rlim_cur / 4);
}

PeerLimits WithinDescriptors(PeerLimits limits) {
  limits.max_open = std::min(limits.max_open, QuarterOfDescriptors());
  limits.max_strangers = std::min(limits.max_strangers, limits.max_open / 2);
  return limits;
}

struct Event {
  int id = 0;
  int fd = -1;
};

// Two frames: id and value, then the address.
std::optional<Event> ReadEvent(void* monitor) {
  struct {
    uint16_t id;
    int32_t value;
  } __attribute__((packed)) event{};
  if (zmq_recv(monitor, &event, sizeof(event), ZMQ_DONTWAIT) < 0) return std::nullopt;
  char address[256];
  zmq_recv(monitor, address, sizeof(address), ZMQ_DONTWAIT);
  return Event{event.id, event.value};
}

}  // namespace

Peers::Peers(const PeerLimits& limits, bool is_publisher)
    : limits_(WithinDescriptors(limits)), is_publisher_(is_publisher) {}

Peers::~Peers() { Stop(); }

Status Peers::Start(Context& context, void* zmq_socket) {
  static std::atomic<uint64_t> next{0};
  const std::string endpoint = "inproc://peers-" + std::to_string(next++);
  monitor_ = ::zmq_socket(context.handle(), ZMQ_PAIR);
  if (monitor_ == nullptr) return ZmqError("cannot open a monitor");
  const int none = 0;
  zmq_setsockopt(monitor_, ZMQ_LINGER, &none, sizeof(none));
  zmq_setsockopt(monitor_, ZMQ_RCVHWM, &none, sizeof(none));  // unlimited
  if (zmq_socket_monitor(zmq_socket, endpoint.c_str(), kEvents) != 0)
    return ZmqError("cannot monitor a socket");
  socket_ = zmq_socket;
  if (zmq_connect(monitor_, endpoint.c_str()) != 0) return ZmqError("cannot monitor a socket");
  return OkStatus();
}

void Peers::Stop() {
  if (socket_ != nullptr) zmq_socket_monitor(std::exchange(socket_, nullptr), nullptr, 0);
  if (monitor_ != nullptr) zmq_close(std::exchange(monitor_, nullptr));
}

void Peers::ReadMonitor() {
  while (monitor_ != nullptr) {
    const auto event = ReadEvent(monitor_);
    if (!event) break;
    switch (event->id) {
      case ZMQ_EVENT_ACCEPTED:
        OnAccepted(event->fd);
        break;
      case ZMQ_EVENT_DISCONNECTED:
        Forget(event->fd);
        break;
      default:
        ++shook_hands_;  // whose is not told
    }
  }
  counters_.open = connections_.size();
}

void Peers::OnAccepted(int fd) {
  ++accepted_;
  Forget(fd);
  const uint64_t inode = InodeOf(fd);
  if (inode == 0) return;  // gone already
  Connection& connection = connections_[fd];
  connection.inode = inode;
  connection.accepted_ms = now_ms_;
  connection.bytes_ms = now_ms_;
  strangers_.emplace_back(fd, inode);
  if (connections_.size() > limits_.max_open) Cut(fd, connection, counters_.cut_crowd);
}

void Peers::Forget(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  if (const auto same = by_key_.find(found->second.key); same != by_key_.end()) {
    std::erase(same->second, std::pair(fd, found->second.inode));
    if (same->second.empty()) by_key_.erase(same);
  }
  connections_.erase(found);
}

bool Peers::OnMessage(int fd, std::string_view key, bool is_well_formed, std::string_view body) {
  if (!is_well_formed) ++counters_.multipart;
  auto found = connections_.find(fd);
  // The number may be another connection's by now, which the monitor has told before its message.
  if (found == connections_.end() || found->second.is_cut || found->second.key != key ||
      found->second.inode != InodeOf(fd)) {
    ReadMonitor();
    found = connections_.find(fd);
  }
  if (found == connections_.end()) return true;  // it has gone; what it sent has not
  Connection& connection = found->second;
  if (connection.is_cut) return false;
  connection.has_finished = true;
  if (connection.key != key) Learn(fd, connection, key);
  if (is_publisher_ && IsFlood(connection, is_well_formed, body)) {
    Cut(fd, connection, counters_.cut_flood);
    return false;
  }
  return true;
}

void Peers::Learn(int fd, Connection& connection, std::string_view key) {
  // Another before: what the descriptor's last owner had sent came after the new one's beginning.
  if (const auto before = by_key_.find(connection.key); before != by_key_.end())
    std::erase(before->second, std::pair(fd, connection.inode));
  connection.key = key;
  if (key.empty()) return;
  auto& same = by_key_[connection.key];
  same.emplace_back(fd, connection.inode);
  while (same.size() > limits_.max_per_key) {
    const auto [oldest, inode] = same.front();
    same.pop_front();
    const auto found = connections_.find(oldest);
    if (found != connections_.end() && found->second.inode == inode)
      Cut(oldest, found->second, counters_.cut_crowd);
  }
}

bool Peers::IsFlood(Connection& connection, bool is_well_formed, std::string_view frame) {
  if (++connection.subscriptions > limits_.max_subscriptions) return true;
  if (!is_well_formed || frame.empty()) return false;
  const std::string_view prefix = frame.substr(1);
  if (frame[0] == 0) {
    if (const auto held = connection.prefixes.find(prefix); held != connection.prefixes.end())
      connection.prefixes.erase(held);
    return false;
  }
  if (prefix.size() > limits_.max_prefix_bytes) return true;
  connection.prefixes.emplace(prefix);
  return connection.prefixes.size() > limits_.max_prefixes;
}

void Peers::CutKey(std::string_view key) {
  ReadMonitor();
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  for (const auto& [fd, inode] : found->second) {
    const auto at = connections_.find(fd);
    if (at != connections_.end() && at->second.inode == inode)
      Cut(fd, at->second, counters_.cut_by_key);
  }
}

void Peers::Check(int64_t now_ms) {
  now_ms_ = now_ms;
  ReadMonitor();
  CheckStrangers(now_ms);
  CountHandshakes();
  if (now_ms - bytes_ms_ >= kBytesEveryMs) CheckBytes(now_ms);
}

void Peers::CheckStrangers(int64_t now_ms) {
  std::erase_if(strangers_, [&](const auto& stranger) {
    const auto found = connections_.find(stranger.first);
    return found == connections_.end() || found->second.inode != stranger.second ||
           found->second.is_cut || !found->second.key.empty() ||
           now_ms - found->second.accepted_ms > limits_.handshake_ms + kHandshakeSlackMs;
  });
  while (strangers_.size() > limits_.max_strangers) {
    const int fd = strangers_.front().first;
    strangers_.pop_front();
    Cut(fd, connections_.at(fd), counters_.cut_crowd);
    ++strangers_cut_;
  }
}

// libzmq does not tell every failure, nor whose handshake succeeded: what was accepted, did not
// succeed, was not cut and is not under way has failed.
void Peers::CountHandshakes() {
  const uint64_t others = shook_hands_ + strangers_cut_ + strangers_.size();
  if (accepted_ > others)
    counters_.handshakes_failed = std::max(counters_.handshakes_failed, accepted_ - others);
}

// Whoever ran ahead because this thread was late is looked at again once it has read: a single
// message of its is enough then, so that a thread which is always late forgives nobody twice.
void Peers::CheckBytes(int64_t now_ms) {
  const bool is_late = now_ms - bytes_ms_ > 2 * kBytesEveryMs;
  const bool forgives = is_late && !was_late_;
  was_late_ = is_late;
  bytes_ms_ = now_ms;
  for (auto& [fd, connection] : connections_) {
    if (connection.is_cut) continue;
    const auto bytes = BytesReceived(fd);
    if (!bytes) continue;
    if (connection.has_finished || *bytes < connection.bytes) {
      connection.has_finished = false;
      connection.bytes = *bytes;
      connection.bytes_ms = now_ms;
    }
    const auto heartbeats =
        static_cast<uint64_t>((now_ms - connection.bytes_ms) * kHeartbeatBytesPerS / 1000);
    if (!forgives && *bytes - connection.bytes > limits_.max_unfinished_bytes + heartbeats)
      Cut(fd, connection, counters_.cut_unfinished);
  }
}

void Peers::Cut(int fd, Connection& connection, uint64_t& counter) {
  if (connection.is_cut) return;
  connection.is_cut = true;
  ++counter;
  if (InodeOf(fd) != connection.inode) return;  // gone by itself
  ::shutdown(fd, SHUT_RDWR);
}

}  // namespace weir::transport
