// SPDX-License-Identifier: Apache-2.0
#include "shared/http/client.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "shared/base/clock.h"
#include "shared/http/answer_reader.h"
#include "shared/http/input_buffer.h"
#include "shared/http/request_head.h"
#include "shared/http/stream.h"
#include "shared/http/url.h"

namespace weir::http {
namespace {

using internal::AnswerReader;
using internal::Io;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr size_t kAnswerSpace = size_t{16} * 1024;
constexpr size_t kAnswerLimit = size_t{256} * 1024;

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
  std::string name() const { return url_.name(); }

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
               size_t body_size);
  bool PeerHasClosed() const;
  Status Connect();
  Status ConnectTo(const addrinfo& to);
  Status Handshake();
  void Disconnect();
  Status Await(Io::Kind wanted);
  Status Send(std::string_view body);
  Status Receive(bool head_only, ClientResponse* response,
                 const internal::ResponseParser::OnData* on_data);
  Status Fill(bool* ended);

  const ClientOptions options_;
  internal::Url url_;
  const Status bad_base_;                            // ParseBase sets the one above
  std::shared_ptr<const internal::TlsContext> tls_;  // from the first connection on

  int fd_ = -1;
  internal::Stream stream_;
  int64_t deadline_ms_ = kNever;
  bool answering_ = false;  // bytes of the answer have come
  bool stale_ = false;      // the peer closed before it answered anything
  std::string request_;     // the head
  internal::InputBuffer input_;
};

Client::Connection::Connection(std::string_view base_url, ClientOptions options)
    : options_(std::move(options)), bad_base_(ParseBase(base_url)) {}

Status Client::Connection::ParseBase(std::string_view base_url) {
  WEIR_ASSIGN_OR_RETURN(url_, internal::ParseUrl(base_url));
  return OkStatus();
}

void Client::Connection::RestartClock() {
  deadline_ms_ =
      options_.timeout_ms <= 0 ? kNever : Clock::System().MonotonicMs() + options_.timeout_ms;
}

Status Client::Connection::Build(std::string_view method, std::string_view target,
                                 const std::vector<Header>& headers, size_t body_size) {
  std::string lines = "Host: " + url_.HostHeader() + "\r\n";
  if (!options_.bearer_token.empty()) {
    if (internal::HasLineBreak(options_.bearer_token)) {
      return InvalidArgument("", "the token has line breaks");
    }
    lines.append("Authorization: Bearer ").append(options_.bearer_token).append("\r\n");
  }
  request_.clear();
  return internal::AppendRequestHead({method, url_.prefix, target, lines, headers, body_size},
                                     &request_);
}

Result<ClientResponse> Client::Connection::Call(std::string_view method, std::string_view target,
                                                const std::vector<Header>& headers,
                                                std::string_view body,
                                                const internal::ResponseParser::OnData* on_data) {
  WEIR_RETURN_IF_ERROR(bad_base_);
  WEIR_RETURN_IF_ERROR(Build(method, target, headers, body.size()));
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
  if (url_.is_tls && tls_ == nullptr) {
    WEIR_ASSIGN_OR_RETURN(tls_, internal::TlsContext::Create(options_.ca_file));
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(url_.address.host.c_str(),
                                std::to_string(url_.address.port).c_str(), &hints, &found);
  if (error != 0) return Failed(gai_strerror(error));
  Status status = Failed("no address");
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    status = ConnectTo(*each);
    if (status.ok()) break;
    Disconnect();
  }
  freeaddrinfo(found);
  return status.ok() ? Handshake() : status;
}

Status Client::Connection::ConnectTo(const addrinfo& to) {
  fd_ = socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return Failed(std::strerror(errno));
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd_, to.ai_addr, to.ai_addrlen) == 0) return OkStatus();
  if (errno != EINPROGRESS) return Failed(std::strerror(errno));
  WEIR_RETURN_IF_ERROR(Await(Io::Kind::kWantWrite));
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? OkStatus() : Failed(std::strerror(error));
}

Status Client::Connection::Handshake() {
  stream_.Attach(fd_, tls_.get(), url_.address.host);
  for (;;) {
    const Io io = stream_.Handshake();
    if (io.kind == Io::Kind::kDone) return OkStatus();
    if (io.kind == Io::Kind::kFailed || io.kind == Io::Kind::kEnd) return Failed(io.reason);
    WEIR_RETURN_IF_ERROR(Await(io.kind));
  }
}

void Client::Connection::Disconnect() {
  stream_.Reset();
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  input_.Clear();
}

Status Client::Connection::Await(Io::Kind wanted) {
  const int16_t events = wanted == Io::Kind::kWantRead ? POLLIN : POLLOUT;
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
    const Io io = stream_.Write(head, body);
    if (io.kind == Io::Kind::kFailed || io.kind == Io::Kind::kEnd) {
      stale_ = io.is_gone;
      return Failed(io.reason);
    }
    if (io.kind != Io::Kind::kDone) {
      WEIR_RETURN_IF_ERROR(Await(io.kind));
      continue;
    }
    const size_t of_head = std::min(io.bytes, head.size());
    head.remove_prefix(of_head);
    body.remove_prefix(io.bytes - of_head);
  }
  return OkStatus();
}

Status Client::Connection::Receive(bool head_only, ClientResponse* response,
                                   const internal::ResponseParser::OnData* on_data) {
  AnswerReader reader;
  reader.Begin(response, head_only, options_.max_body, on_data);
  AnswerReader::State state = AnswerReader::State::kMore;
  while (state == AnswerReader::State::kMore) {
    bool ended = false;
    WEIR_RETURN_IF_ERROR(Fill(&ended));
    state = ended ? reader.ParseEnd() : reader.Parse(&input_);
    if (on_data != nullptr) RestartClock();
  }
  if (state == AnswerReader::State::kFailed) return Failed(reader.reason());
  if (!reader.keep_alive() || !input_.empty() || stream_.HasPending()) Disconnect();
  return OkStatus();
}

// Reads what there is, at least something. `ended` if the peer has closed, which may be the end of
// the answer.
Status Client::Connection::Fill(bool* ended) {
  if (!input_.Prepare(kAnswerSpace, kAnswerLimit))
    return Failed("a header of the answer is too large");
  for (;;) {
    const Io io = stream_.Read(input_.space(), input_.space_size());
    switch (io.kind) {
      case Io::Kind::kDone:
        answering_ = true;
        input_.Commit(io.bytes);
        return OkStatus();
      case Io::Kind::kEnd:
        *ended = true;
        stale_ = !answering_;
        if (stale_) return Failed("the server closed the connection without an answer");
        return OkStatus();
      case Io::Kind::kFailed:
        stale_ = io.is_gone;
        return Failed(io.reason);
      case Io::Kind::kWantRead:
      case Io::Kind::kWantWrite:
        WEIR_RETURN_IF_ERROR(Await(io.kind));
    }
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
