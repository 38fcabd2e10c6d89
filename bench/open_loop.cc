// SPDX-License-Identifier: Apache-2.0
#include "bench/open_loop.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bench/process.h"
#include "shared/base/clock.h"
#include "shared/http/message.h"

namespace weir::bench {
namespace {

constexpr size_t kMaxConnections = 256;
constexpr int64_t kPatienceNs = 1'000'000'000;

struct Connection {
  int fd = -1;
  int64_t due_ns = 0;  // of the request under way; 0: idle
  std::string answer;
};

// True once `answer` is whole.
Result<bool> IsWhole(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  if (answer.compare(0, 13, "HTTP/1.1 200 ") != 0)
    return Unavailable("answered: " + answer.substr(0, 200));
  for (size_t at = answer.find("\r\n"); at < head; at = answer.find("\r\n", at + 2)) {
    constexpr std::string_view kName = "content-length:";
    if (!http::EqualsIgnoreCase(std::string_view(answer).substr(at + 2, kName.size()), kName))
      continue;
    const auto length = std::strtoull(answer.c_str() + at + 2 + kName.size(), nullptr, 10);
    return answer.size() >= head + 4 + length;
  }
  return Unavailable("an answer has no Content-Length");
}

class Client {
 public:
  explicit Client(const OpenLoop& load) : load_(load) {}
  ~Client() {
    for (const Connection& connection : connections_) ::close(connection.fd);
  }

  Result<std::vector<double>> Run() {
    WEIR_RETURN_IF_ERROR(Resolve());
    const int64_t period_ns = 1'000'000'000 / load_.per_second;
    const int64_t start_ns = Clock::System().MonotonicNs() + 1'000'000;
    counted_from_ns_ = start_ns + static_cast<int64_t>(load_.warm_up_seconds * 1e9);
    const int64_t end_ns = counted_from_ns_ + static_cast<int64_t>(load_.seconds * 1e9);
    size_t sent = 0;
    for (int64_t due_ns = start_ns; due_ns < end_ns || busy_ > 0;) {
      const int64_t now_ns = Clock::System().MonotonicNs();
      if (now_ns > end_ns + kPatienceNs)
        return Unavailable(fmt::format("{} requests were not answered", busy_));
      if (Interrupted()) return Unavailable("interrupted");
      if (due_ns < end_ns && due_ns <= now_ns) {
        WEIR_ASSIGN_OR_RETURN(Connection* const idle, Idle());
        if (idle != nullptr) {
          WEIR_RETURN_IF_ERROR(Send(*idle, load_.requests[sent++ % load_.requests.size()], due_ns));
          due_ns += period_ns;
        }
      }
      for (Connection& connection : connections_) {
        if (connection.due_ns != 0) WEIR_RETURN_IF_ERROR(Receive(connection));
      }
    }
    return std::move(latencies_us_);
  }

 private:
  Status Resolve() {
    const size_t colon = load_.address.rfind(':');
    to_.sin_family = AF_INET;
    to_.sin_port = htons(static_cast<uint16_t>(std::atoi(load_.address.c_str() + colon + 1)));
    if (::inet_pton(AF_INET, load_.address.substr(0, colon).c_str(), &to_.sin_addr) != 1)
      return InvalidArgument("address", load_.address + " is not host:port");
    connections_.reserve(kMaxConnections);
    return OkStatus();
  }

  // Null when every connection that may be is busy.
  Result<Connection*> Idle() {
    for (Connection& connection : connections_) {
      if (connection.due_ns == 0) return &connection;
    }
    if (connections_.size() == kMaxConnections) return static_cast<Connection*>(nullptr);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connections_.push_back({.fd = fd, .due_ns = 0, .answer = {}});
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to_), sizeof to_) != 0)
      return Unavailable(fmt::format("{}: {}", load_.address, std::strerror(errno)));
    return &connections_.back();
  }

  Status Send(Connection& connection, const std::string& request, int64_t due_ns) {
    connection.answer.clear();
    connection.due_ns = due_ns;
    ++busy_;
    const ssize_t sent = ::send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(request.size()))
      return Unavailable(fmt::format("{}: sending failed", load_.address));
    return OkStatus();
  }

  Status Receive(Connection& connection) {
    char piece[8192];
    const ssize_t size = ::recv(connection.fd, piece, sizeof piece, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return OkStatus();
    if (size <= 0) return Unavailable(load_.address + " closed a connection before it answered");
    connection.answer.append(piece, static_cast<size_t>(size));
    WEIR_ASSIGN_OR_RETURN(const bool whole, IsWhole(connection.answer));
    if (!whole) return OkStatus();
    if (connection.due_ns >= counted_from_ns_) {
      latencies_us_.push_back(
          static_cast<double>(Clock::System().MonotonicNs() - connection.due_ns) / 1000);
    }
    connection.due_ns = 0;
    --busy_;
    return OkStatus();
  }

  const OpenLoop& load_;
  sockaddr_in to_{};
  std::vector<Connection> connections_;
  size_t busy_ = 0;
  int64_t counted_from_ns_ = 0;
  std::vector<double> latencies_us_;
};

}  // namespace

Result<std::vector<double>> RunOpenLoop(const OpenLoop& load) { return Client(load).Run(); }

std::string RawPost(const std::string& target, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "
      "{}\r\n\r\n{}",
      target, body.size(), body);
}

}  // namespace weir::bench
