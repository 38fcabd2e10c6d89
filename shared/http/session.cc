// SPDX-License-Identifier: Apache-2.0
#include "shared/http/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <exception>

#include "shared/base/log.h"
#include "shared/http/response_head.h"

namespace weir::http::internal {
namespace {

constexpr size_t kReadSpace = size_t{4} * 1024;  // for heads; idle connections hold no more
constexpr size_t kBodyReadSpace = size_t{64} * 1024;
constexpr int64_t kLingerMs = 2000;

}  // namespace

Session::Session(Worker* worker, Tcp::socket socket, std::string remote)
    : worker_(*worker),
      options_(worker->shared().options),
      socket_(std::move(socket)),
      remote_(std::move(remote)) {}

void Session::Start() {
  boost::system::error_code ec;
  socket_.non_blocking(true, ec);
  if (!ec) socket_.set_option(Tcp::no_delay(true), ec);
  if (ec) return Close();
  if (worker_.tls() != nullptr) {
    tls_ = std::make_unique<Stream>();
    tls_->AttachServer(socket_.native_handle(), *worker_.tls());
    Enter(State::kHandshake, options_.handshake_timeout_ms);
    return Handshake();
  }
  Enter(State::kIdle, options_.header_timeout_ms);
  Read();
}

void Session::Handshake() {
  if (closed_) return;
  const Io io = tls_->Handshake();
  switch (io.kind) {
    case Io::Kind::kDone:
      Enter(State::kIdle, options_.header_timeout_ms);
      return Read();
    case Io::Kind::kWantRead:
    case Io::Kind::kWantWrite:
      return AwaitSocket(io.kind, &Session::Handshake);
    case Io::Kind::kEnd:
    case Io::Kind::kFailed:
      return FailHandshake(io);
  }
}

void Session::FailHandshake(const Io& io) {
  worker_.counters.handshakes.Add(1);
  Log("http").debug("{}: TLS: {}", remote_, io.reason);
  if (!io.is_http) return Close();
  tls_.reset();  // its answer is in the clear, as its request was
  Fail(400, "this address speaks https, not http");
}

void Session::AwaitSocket(Io::Kind wanted, void (Session::*next)()) {
  socket_.async_wait(
      wanted == Io::Kind::kWantWrite ? Tcp::socket::wait_write : Tcp::socket::wait_read,
      [self = shared_from_this(), next](const boost::system::error_code& ec) {
        if (self->closed_) return;
        if (ec) return self->Close();
        (*self.*next)();
      });
}

void Session::Refuse() {
  if (worker_.tls() != nullptr) return Close();  // a handshake costs more than it may
  boost::system::error_code ec;
  socket_.non_blocking(true, ec);
  Fail(503, "too many connections");
}

void Session::Close() {
  if (closed_) return;
  closed_ = true;
  if (tls_ != nullptr) tls_->Reset();
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (active()) CutOff();
  worker_.Remove(this);
}

void Session::Enter(State state, int64_t timeout_ms) {
  state_ = state;
  deadline_ms_ = timeout_ms == kNever ? kNever : worker_.DeadlineAfter(timeout_ms);
}

void Session::OnDeadline() {
  if (closed_) return;
  if (worker_.now_ms() >= stall_ms_) return Close();
  switch (state_) {
    case State::kHandshake:
      worker_.counters.handshakes.Add(1);
      return Close();
    case State::kIdle:
      if (!HasOutput()) Close();  // a slow reader is the stall's business
      return;
    case State::kHead:
    case State::kBody:
      worker_.counters.header_timeouts.Add(1);
      return Fail(408,
                  state_ == State::kHead ? "the headers took too long" : "the body took too long");
    case State::kHandling:
      worker_.counters.request_timeouts.Add(1);
      return Fail(503, fmt::format("timed out after {} ms", options_.request_timeout_ms));
    case State::kStreaming:
      return;
    case State::kLingering:
      return Close();
  }
}

void Session::Read() {
  if (reading_ || closed_ || peer_ended_) return;
  // While a request is being answered, reading goes on (the peer may leave), up to a bound.
  if (active() && input_.size() >= options_.max_header) return;
  const size_t wanted = state_ == State::kBody ? kBodyReadSpace : kReadSpace;
  if (!input_.Prepare(wanted, std::max(options_.max_header, kBodyReadSpace) + kReadSpace)) {
    if (active()) return;
    worker_.counters.malformed.Add(1);
    return Fail(400, "malformed request: a chunk's header is too large");
  }
  reading_ = true;
  if (tls_ != nullptr) {
    if (!tls_->HasPending()) return AwaitSocket(Io::Kind::kWantRead, &Session::ReadTls);
    return asio::post(worker_.context(), [self = shared_from_this()] {
      if (!self->closed_) self->ReadTls();
    });
  }
  socket_.async_read_some(asio::buffer(input_.space(), input_.space_size()),
                          [self = shared_from_this()](const boost::system::error_code& ec,
                                                      size_t n) { self->OnRead(ec, n); });
}

// The buffer still has the space that Read made.
void Session::ReadTls() {
  if (tls_ == nullptr) {  // it has been ended, and what comes is dropped
    reading_ = false;
    return Read();
  }
  const Io io = tls_->Read(input_.space(), input_.space_size());
  switch (io.kind) {
    case Io::Kind::kDone:
      return OnRead({}, io.bytes);
    case Io::Kind::kWantRead:
    case Io::Kind::kWantWrite:
      return AwaitSocket(io.kind, &Session::ReadTls);
    case Io::Kind::kEnd:
      return OnRead(asio::error::eof, 0);
    case Io::Kind::kFailed:
      return OnRead(asio::error::connection_reset, 0);
  }
}

void Session::OnRead(const boost::system::error_code& ec, size_t n) {
  reading_ = false;
  if (closed_) return;
  if (state_ == State::kLingering) {
    if (ec) return Close();
    input_.Clear();
    return Read();
  }
  if (ec == asio::error::eof) return OnReadEnd();
  if (ec) return Close();
  input_.Commit(n);
  Advance();
}

// A peer that has sent its end of file is gone, or waits for its answer with half a connection. A
// handler that asked to be told, and a stream, take it as gone.
void Session::OnReadEnd() {
  const bool awaited = state_ == State::kHandling ? exchange_->on_close_.empty()
                                                  : state_ != State::kStreaming && HasOutput();
  if (!awaited) return Close();
  peer_ended_ = true;
}

void Session::Advance() {
  if (parsing_ || closed_) return;
  parsing_ = true;
  Parse();
  parsing_ = false;
  if (!closed_) Settle();
}

void Session::Parse() {
  while (!closed_ && !active() && !close_after_ && !waiting_ && BeginRequest()) {
    beast::error_code ec;
    do {
      input_.Consume(parser_->put({input_.data(), input_.size()}, ec));
    } while (!ec && !parser_->is_done() && !input_.empty());
    if (!CheckParse(ec)) return;
    Dispatch();
    if ((out_.size() >= kFlushAt || !body_.empty()) && !closed_ && !Flush()) return;
  }
}

// True if there are bytes for the current request, which may be a new one.
bool Session::BeginRequest() {
  if (!parser_) {  // blank lines before a request are ignored
    while (!input_.empty() && (*input_.data() == '\r' || *input_.data() == '\n')) input_.Consume(1);
  }
  if (input_.empty()) return false;
  if (parser_) return true;
  if (exchange_ && exchange_.use_count() == 1) {
    exchange_->cut_off_ = false;
  } else {  // the first one, or somebody still holds the last one
    exchange_ = std::make_shared<Exchange>(this);
    exchange_->session_ = nullptr;
    exchange_->request_.remote = remote_;
    exchange_->request_.is_tls = tls_ != nullptr;
  }
  parser_.emplace(&exchange_->request_, options_.max_header, options_.max_body);
  continued_ = false;
  Enter(State::kHead, options_.header_timeout_ms);
  return true;
}

// True if the request is complete; otherwise more is needed or it has been refused.
bool Session::CheckParse(const beast::error_code& ec) {
  using Error = beast::http::error;
  if (ec && ec != Error::need_more) {
    if (ec == Error::header_limit) {
      worker_.counters.headers.Add(1);
      Fail(431, fmt::format("the headers exceed {} bytes", options_.max_header));
    } else if (ec == Error::body_limit) {
      worker_.counters.oversize.Add(1);
      Fail(413, fmt::format("the body exceeds {} bytes", options_.max_body));
    } else {
      worker_.counters.malformed.Add(1);
      const std::string text = parser_->reason() ? parser_->reason() : ec.message();
      Fail(400, "malformed request: " + text);
    }
    return false;
  }
  if (parser_->is_done()) return true;
  if (parser_->is_header_done()) {
    if (state_ == State::kHead) {
      Enter(State::kBody, options_.request_timeout_ms);
      if (!LimitBody()) return true;
    }
    if (parser_->expects_continue() && !parser_->has_body_bytes() && !continued_) {
      out_.append("HTTP/1.1 100 Continue\r\n\r\n");
      continued_ = true;
    }
  }
  return false;
}

// False if the body is not to be read.
bool Session::LimitBody() {
  if (!options_.body_limit) return true;
  Request& request = exchange_->request_;
  request.SetViews();
  const size_t limit = options_.body_limit(request, worker_.index());
  parser_->body_limit(limit);
  if (limit > 0 && parser_->content_length().value_or(0) <= limit) return true;
  request.is_body_withheld = true;
  request.body_.clear();
  return false;
}

void Session::Dispatch() {
  keep_alive_ = parser_->keep_alive() && !exchange_->request_.is_body_withheld;
  http10_ = parser_->is_http10();
  head_ = parser_->is_head();
  Shared& shared = worker_.shared();
  if (options_.max_concurrent_requests > 0) {
    if (shared.in_flight.fetch_add(1) >= options_.max_concurrent_requests) {
      shared.in_flight.fetch_sub(1);
      worker_.counters.busy.Add(1);
      return Fail(503, "too many concurrent requests");
    }
    counted_ = true;
  }
  parser_.reset();
  if (exchange_->request_.is_body_withheld) {
    input_.Clear();
    failed_ = true;  // what follows is dropped
  }
  worker_.counters.requests.Add(1);
  open_ = true;
  exchange_->request_.SetViews();
  exchange_->session_ = this;
  Enter(State::kHandling, options_.request_timeout_ms);
  worker_.ArmHook();
  try {
    shared.handler(exchange_);
    return;
  } catch (const std::exception& e) {
    Log("http").error("a handler threw: {}", e.what());
  } catch (...) {
    Log("http").error("a handler threw something that is no exception");
  }
  if (state_ == State::kHandling) return Fail(500, "internal error");
  if (state_ == State::kStreaming) Close();
}

void Session::EndExchange() {
  exchange_->session_ = nullptr;
  exchange_->on_close_.clear();
  StopCounting();
  close_after_ = !keep_alive_;
  Enter(State::kIdle, options_.idle_timeout_ms);
}

void Session::StopCounting() {
  if (std::exchange(open_, false)) worker_.counters.ended.Add(1);
  if (std::exchange(counted_, false)) worker_.shared().in_flight.fetch_sub(1);
}

// The exchange ends without an answer of the handler.
void Session::CutOff() {
  const std::shared_ptr<Exchange> exchange = exchange_;
  auto callbacks = std::move(exchange->on_close_);
  EndExchange();
  exchange->cut_off_ = true;
  for (const auto& callback : callbacks) {
    try {
      callback();
    } catch (const std::exception& e) {
      Log("http").error("a close callback threw: {}", e.what());
    }
  }
}

// Our own answer to what cannot go on. What the peer still sends is read and dropped for a while:
// closing with unread bytes would reset the connection and lose the answer.
void Session::Fail(int status, std::string_view message) {
  if (active()) CutOff();
  if (closed_) return;
  if (parser_) {
    head_ = parser_->is_head();
    parser_.reset();
  }
  input_.Clear();
  keep_alive_ = false;
  close_after_ = failed_ = true;
  const Response response = ErrorResponse(status, message);
  AppendHead(response, response.body.size());
  if (!head_) out_.append(response.body);
  Enter(State::kIdle, options_.idle_timeout_ms);
  Advance();
}

// What follows when there is nothing more to parse for now.
void Session::Settle() {
  if (!Flush()) {
    if (!closed_ && active()) Read();
    return;
  }
  if (active()) return Read();
  if (close_after_ && failed_ && !peer_ended_) {
    boost::system::error_code ignored;
    if (tls_ != nullptr) tls_->Reset();
    tls_.reset();
    socket_.shutdown(Tcp::socket::shutdown_send, ignored);
    Enter(State::kLingering, kLingerMs);
    return Read();
  }
  if (close_after_ || peer_ended_ || (worker_.draining() && Idle())) return Close();
  Read();
}

}  // namespace weir::http::internal
