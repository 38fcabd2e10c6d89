// SPDX-License-Identifier: Apache-2.0
#include "shared/http/client.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>

#include "shared/base/clock.h"
#include "shared/http/address.h"
#include "shared/http/input_buffer.h"
#include "shared/http/response_parser.h"

namespace weir::http {
namespace {

namespace beast = boost::beast;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr size_t kReadSpace = size_t{16} * 1024;
constexpr size_t kReadLimit = size_t{256} * 1024;

bool HasLineBreak(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

Code CodeOfAnswer(int status) {
  if (status == 404) return Code::kNotFound;
  return status >= 500 ? Code::kUnavailable : Code::kFailedPrecondition;
}

}  // namespace

std::string_view ClientResponse::Header(std::string_view name) const {
  return FindHeader(headers, name);
}

class Client::Connection {
 public:
  Connection(std::string_view base_url, ClientOptions options);
  ~Connection() { Disconnect(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One request and its whole answer; with `on_data`, see Client::Stream.
  Result<ClientResponse> Call(std::string_view method, std::string_view target,
                              const std::vector<Header>& headers, std::string_view body,
                              const internal::ResponseParser::OnData* on_data);
  std::string name() const { return address_.ToString(); }

 private:
  Status ParseBase(std::string_view base_url);
  Status Failed(std::string_view reason) const {
    return Unavailable(name() + ": " + std::string(reason));
  }
  Status TimedOut() const {
    return Failed(fmt::format("timed out after {} ms", options_.timeout_ms));
  }
  void RestartClock();
  Status Build(std::string_view method, std::string_view target, const std::vector<Header>& headers,
               std::string_view body);
  bool PeerHasClosed() const;
  Status Connect();
  Status ConnectTo(const addrinfo& to);
  void Disconnect();
  Status Await(int16_t events);
  Status Send(std::string_view body);
  Status Receive(bool head_only, ClientResponse* response,
                 const internal::ResponseParser::OnData* on_data);
  Status Fill(internal::ResponseParser* parser, bool* ended);

  const ClientOptions options_;
  Address address_;
  std::string prefix_;
  const Status bad_base_;  // ParseBase sets the two above

  int fd_ = -1;
  int64_t deadline_ms_ = kNever;
  bool answering_ = false;  // bytes of the answer have come
  bool stale_ = false;      // the peer closed before it answered anything
  std::string request_;     // the head
  internal::InputBuffer input_;
};

Client::Connection::Connection(std::string_view base_url, ClientOptions options)
    : options_(std::move(options)), bad_base_(ParseBase(base_url)) {}

Status Client::Connection::ParseBase(std::string_view base_url) {
  std::string_view rest = base_url;
  if (rest.substr(0, 8) == "https://") {
    return InvalidArgument(
        "", fmt::format("{}: https is not supported by this build of the client", base_url));
  }
  if (rest.substr(0, 7) == "http://") rest.remove_prefix(7);
  const size_t slash = std::min(rest.find('/'), rest.size());
  prefix_ = rest.substr(slash);
  while (!prefix_.empty() && prefix_.back() == '/') prefix_.pop_back();
  std::string authority(rest.substr(0, slash));
  const bool has_port =
      !authority.empty() && authority.back() != ']' && authority.find(':') != std::string::npos;
  if (!has_port) authority += ":80";
  WEIR_ASSIGN_OR_RETURN(address_, ParseAddress(authority));
  if (address_.host.empty()) address_.host = "127.0.0.1";
  return OkStatus();
}

void Client::Connection::RestartClock() {
  deadline_ms_ =
      options_.timeout_ms <= 0 ? kNever : Clock::System().MonotonicMs() + options_.timeout_ms;
}

Status Client::Connection::Build(std::string_view method, std::string_view target,
                                 const std::vector<Header>& headers, std::string_view body) {
  if (target.empty() || target.front() != '/' || HasLineBreak(target) ||
      target.find(' ') != std::string_view::npos || method.empty() || HasLineBreak(method)) {
    return InvalidArgument("", fmt::format("\"{} {}\" is not a request", method, target));
  }
  request_.clear();
  request_.append(method).append(" ").append(prefix_).append(target).append(" HTTP/1.1\r\n");
  request_.append("Host: ").append(name()).append("\r\n");
  if (!options_.bearer_token.empty()) {
    if (HasLineBreak(options_.bearer_token))
      return InvalidArgument("", "the token has line breaks");
    request_.append("Authorization: Bearer ").append(options_.bearer_token).append("\r\n");
  }
  for (const Header& header : headers) {
    if (HasLineBreak(header.name) || HasLineBreak(header.value)) {
      return InvalidArgument("", fmt::format("the header {} has line breaks", header.name));
    }
    request_.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  if (!body.empty() && FindHeader(headers, "Content-Type").empty()) {
    request_.append("Content-Type: application/json\r\n");
  }
  if (!body.empty() || method == "POST" || method == "PUT" || method == "PATCH") {
    request_.append(fmt::format("Content-Length: {}\r\n", body.size()));
  }
  request_.append("\r\n");
  return OkStatus();
}

Result<ClientResponse> Client::Connection::Call(std::string_view method, std::string_view target,
                                                const std::vector<Header>& headers,
                                                std::string_view body,
                                                const internal::ResponseParser::OnData* on_data) {
  WEIR_RETURN_IF_ERROR(bad_base_);
  WEIR_RETURN_IF_ERROR(Build(method, target, headers, body));
  RestartClock();
  if (fd_ >= 0 && PeerHasClosed()) Disconnect();
  for (bool reused = fd_ >= 0;; reused = false) {
    answering_ = stale_ = false;
    ClientResponse response;
    Status status = fd_ >= 0 ? OkStatus() : Connect();
    if (status.ok()) status = Send(body);
    // A server may answer and close before it has read everything: 413.
    const bool sent = status.ok();
    if (sent || stale_) {
      const Status received = Receive(method == "HEAD", &response, on_data);
      if (received.ok()) {
        if (!sent) Disconnect();
        return response;
      }
      if (sent) status = received;
    }
    Disconnect();
    if (!reused || !stale_ || answering_ || !IsIdempotent(method)) return status;
  }
}

// A kept-alive connection that the server has closed meanwhile, or on which it sent something
// unasked.
bool Client::Connection::PeerHasClosed() const {
  char byte = 0;
  const ssize_t n = recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

Status Client::Connection::Connect() {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(address_.host.c_str(), std::to_string(address_.port).c_str(), &hints, &found);
  if (error != 0) return Failed(gai_strerror(error));
  Status status = Failed("no address");
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    status = ConnectTo(*each);
    if (status.ok()) break;
    Disconnect();
  }
  freeaddrinfo(found);
  return status;
}

Status Client::Connection::ConnectTo(const addrinfo& to) {
  fd_ = socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return Failed(std::strerror(errno));
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd_, to.ai_addr, to.ai_addrlen) == 0) return OkStatus();
  if (errno != EINPROGRESS) return Failed(std::strerror(errno));
  WEIR_RETURN_IF_ERROR(Await(POLLOUT));
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? OkStatus() : Failed(std::strerror(error));
}

void Client::Connection::Disconnect() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  input_.Clear();
}

Status Client::Connection::Await(int16_t events) {
  for (;;) {
    int wait_ms = -1;
    if (deadline_ms_ != kNever) {
      const int64_t left = deadline_ms_ - Clock::System().MonotonicMs();
      if (left <= 0) return TimedOut();
      wait_ms = static_cast<int>(std::min<int64_t>(left, 60'000));
    }
    pollfd entry = {fd_, events, 0};
    const int ready = poll(&entry, 1, wait_ms);
    if (ready > 0) return OkStatus();
    if (ready < 0 && errno != EINTR) return Failed(std::strerror(errno));
  }
}

Status Client::Connection::Send(std::string_view body) {
  std::string_view head = request_;
  while (!head.empty() || !body.empty()) {
    std::array<iovec, 2> parts = {iovec{const_cast<char*>(head.data()), head.size()},
                                  iovec{const_cast<char*>(body.data()), body.size()}};
    msghdr message = {};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      WEIR_RETURN_IF_ERROR(Await(POLLOUT));
      continue;
    }
    if (n < 0) {
      stale_ = errno == EPIPE || errno == ECONNRESET;
      return Failed(std::strerror(errno));
    }
    const size_t of_head = std::min(static_cast<size_t>(n), head.size());
    head.remove_prefix(of_head);
    body.remove_prefix(static_cast<size_t>(n) - of_head);
  }
  return OkStatus();
}

Status Client::Connection::Receive(bool head_only, ClientResponse* response,
                                   const internal::ResponseParser::OnData* on_data) {
  std::optional<internal::ResponseParser> parser;
  do {  // interim answers (100 Continue) come before the real one
    parser.emplace(response, on_data);
    // (Not boost::none: Beast 1.74 takes that for a limit of nothing.)
    parser->body_limit(on_data == nullptr ? options_.max_body : std::numeric_limits<size_t>::max());
    parser->skip(head_only);
    bool ended = false;
    while (!parser->is_done() && !parser->stopped()) {
      beast::error_code ec = beast::http::error::need_more;
      if (!input_.empty()) {
        input_.Consume(parser->put({input_.data(), input_.size()}, ec));
      }
      if (ec == beast::http::error::body_limit) {
        return Failed(fmt::format("the answer exceeds {} bytes", options_.max_body));
      }
      if (ec && ec != beast::http::error::need_more) {
        return Failed("not an HTTP answer: " + ec.message());
      }
      if (parser->is_done() || parser->stopped()) break;
      if (ended) return Failed("the server closed the connection in the middle of its answer");
      if (ec || input_.empty()) WEIR_RETURN_IF_ERROR(Fill(&*parser, &ended));
      if (on_data != nullptr) RestartClock();
    }
  } while (!parser->stopped() && response->status / 100 == 1);
  if (parser->stopped() || !parser->keep_alive() || parser->need_eof()) Disconnect();
  return OkStatus();
}

// Reads what there is. `ended` if the peer has closed, which may be the end of the answer.
Status Client::Connection::Fill(internal::ResponseParser* parser, bool* ended) {
  if (!input_.Prepare(kReadSpace, kReadLimit)) return Failed("a header of the answer is too large");
  for (;;) {
    const ssize_t n = recv(fd_, input_.space(), input_.space_size(), 0);
    if (n > 0) {
      answering_ = true;
      input_.Commit(static_cast<size_t>(n));
      return OkStatus();
    }
    if (n == 0) {
      *ended = true;
      if (!answering_) {
        stale_ = true;
        return Failed("the server closed the connection without an answer");
      }
      beast::error_code ignored;
      if (parser->got_some()) parser->put_eof(ignored);
      return OkStatus();
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      stale_ = errno == ECONNRESET || errno == EPIPE;
      return Failed(std::strerror(errno));
    }
    WEIR_RETURN_IF_ERROR(Await(POLLIN));
  }
}

Client::Client(std::string_view base_url, ClientOptions options)
    : connection_(std::make_unique<Connection>(base_url, std::move(options))) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

Result<ClientResponse> Client::Do(std::string_view method, std::string_view target,
                                  const std::vector<Header>& headers, std::string_view body) {
  return connection_->Call(method, target, headers, body, nullptr);
}

Status Client::Stream(std::string_view target, const std::vector<Header>& headers,
                      const std::function<bool(std::string_view data)>& on_data) {
  WEIR_ASSIGN_OR_RETURN(const ClientResponse response,
                        connection_->Call("GET", target, headers, {}, &on_data));
  if (response.status == 200) return OkStatus();
  return {CodeOfAnswer(response.status),
          fmt::format("{}: answered {}: {}", connection_->name(), response.status, response.body)};
}

}  // namespace weir::http
