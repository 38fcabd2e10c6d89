// SPDX-License-Identifier: Apache-2.0
#include "bench/flood.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>

#include "bench/process.h"
#include "shared/base/clock.h"
#include "shared/http/message.h"

namespace weir::bench {
namespace {

constexpr size_t kMaxConnections = 4000;
constexpr int64_t kPatienceNs = 2'000'000'000;

struct Connection {
  int fd = -1;
  size_t asked = 0;  // index of the answer under way
  std::string text;
};

// The status once the answer is whole, 0 before.
int WholeStatus(const std::string& text) {
  const size_t head = text.find("\r\n\r\n");
  if (head == std::string::npos) return 0;
  for (size_t at = text.find("\r\n"); at < head; at = text.find("\r\n", at + 2)) {
    constexpr std::string_view kName = "content-length:";
    if (!http::EqualsIgnoreCase(std::string_view(text).substr(at + 2, kName.size()), kName))
      continue;
    const auto length = std::strtoull(text.c_str() + at + 2 + kName.size(), nullptr, 10);
    return text.size() >= head + 4 + length ? std::atoi(text.c_str() + 9) : 0;
  }
  return 0;
}

class Flooder {
 public:
  explicit Flooder(const Flood& flood) : flood_(flood), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}
  ~Flooder() {
    for (const Connection& connection : connections_) ::close(connection.fd);
    ::close(epoll_);
  }

  Result<std::vector<FloodAnswer>> Run() {
    const size_t colon = flood_.address.rfind(':');
    to_.sin_family = AF_INET;
    to_.sin_port = htons(static_cast<uint16_t>(std::atoi(flood_.address.c_str() + colon + 1)));
    if (::inet_pton(AF_INET, flood_.address.substr(0, colon).c_str(), &to_.sin_addr) != 1)
      return InvalidArgument("address", flood_.address + " is not host:port");
    const auto period_ns = static_cast<int64_t>(1e9 / flood_.per_second);
    start_ns_ = Clock::System().MonotonicNs();
    const int64_t end_ns = start_ns_ + static_cast<int64_t>(flood_.seconds * 1e9);
    bool is_told = !flood_.then;
    for (int64_t due_ns = start_ns_;;) {
      const int64_t now_ns = Clock::System().MonotonicNs();
      if (Interrupted()) return Unavailable("interrupted");
      if (!is_told && now_ns >= start_ns_ + static_cast<int64_t>(flood_.at_seconds * 1e9)) {
        is_told = true;
        flood_.then();
      }
      if (due_ns >= end_ns && (busy_ == 0 || now_ns > end_ns + kPatienceNs)) break;
      while (due_ns < end_ns && due_ns <= now_ns) {
        WEIR_RETURN_IF_ERROR(Send(due_ns));
        due_ns += period_ns;
      }
      WEIR_RETURN_IF_ERROR(Receive(due_ns < end_ns ? 1 : 20));
    }
    return std::move(answers_);
  }

 private:
  Result<Connection*> Idle() {
    if (!idle_.empty()) {
      Connection* const connection = idle_.back();
      idle_.pop_back();
      return connection;
    }
    if (connections_.size() == kMaxConnections) return Unavailable("too many are not answered");
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Connection& made = connections_.emplace_back();
    made.fd = fd;
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) != 0)
      return Unavailable(fmt::format("{}: {}", flood_.address, std::strerror(errno)));
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &made}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    return &made;
  }

  Status Send(int64_t due_ns) {
    WEIR_ASSIGN_OR_RETURN(Connection* const to, Idle());
    const std::string& request = flood_.requests[answers_.size() % flood_.requests.size()];
    to->asked = answers_.size();
    to->text.clear();
    ++busy_;
    answers_.push_back({.due_s = static_cast<double>(due_ns - start_ns_) / 1e9});
    const ssize_t sent = ::send(to->fd, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(request.size())) return OkStatus();
    return Unavailable(fmt::format("{}: sending failed", flood_.address));
  }

  Status Receive(int wait_ms) {
    epoll_event events[64];
    const int count = ::epoll_wait(epoll_, events, 64, wait_ms);
    for (int i = 0; i < count; ++i) {
      auto& from = *static_cast<Connection*>(events[i].data.ptr);
      char piece[8192];
      const ssize_t size = ::recv(from.fd, piece, sizeof piece, MSG_DONTWAIT);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (size <= 0) return Unavailable(flood_.address + " closed a connection");
      from.text.append(piece, static_cast<size_t>(size));
      const int status = WholeStatus(from.text);
      if (status == 0) continue;
      FloodAnswer& answer = answers_[from.asked];
      answer.status = status;
      const double passed_s = static_cast<double>(Clock::System().MonotonicNs() - start_ns_) / 1e9;
      answer.latency_ms = (passed_s - answer.due_s) * 1000;
      --busy_;
      idle_.push_back(&from);
    }
    return OkStatus();
  }

  const Flood& flood_;
  const int epoll_;
  sockaddr_in to_{};
  int64_t start_ns_ = 0;
  std::deque<Connection> connections_;  // addresses stay
  std::vector<Connection*> idle_;
  size_t busy_ = 0;
  std::vector<FloodAnswer> answers_;
};

}  // namespace

Result<std::vector<FloodAnswer>> RunFlood(const Flood& flood) { return Flooder(flood).Run(); }

}  // namespace weir::bench
