// SPDX-License-Identifier: Apache-2.0
// The answer's half of a session: what is written, when it leaves, and who waits for whom.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <iterator>

#include "shared/http/response_head.h"
#include "shared/http/session.h"

namespace weir::http::internal {
namespace {

constexpr size_t kSmallBody = size_t{16} * 1024;  // copied behind its head: one buffer, one call
constexpr size_t kMaxBacklog = size_t{16} * 1024 * 1024;  // of a stream whose peer does not read

}  // namespace

void Session::Respond(Response response) {
  if (state_ != State::kHandling) return;
  if (worker_.draining()) keep_alive_ = false;
  AppendHead(response, response.body.size());
  if (!head_ && MayHaveBody(response.status)) {
    if (response.body.size() <= kSmallBody) {
      out_.append(response.body);
    } else {
      body_ = std::move(response.body);
    }
  }
  EndExchange();
  Advance();
}

void Session::AppendHead(const Response& response, std::optional<size_t> body_size) {
  AppendResponseHead(response, {worker_.common_header(), body_size, keep_alive_, http10_}, &out_);
}

void Session::StartStream(const Response& head) {
  if (state_ != State::kHandling) return;
  if (worker_.draining() || http10_) keep_alive_ = false;
  AppendHead(head, std::nullopt);
  Enter(State::kStreaming, kNever);
  if (parsing_ || flush_posted_) return;
  flush_posted_ = true;  // later, so that a piece that follows at once leaves with the head
  asio::post(worker_.context(), [self = shared_from_this()] {
    self->flush_posted_ = false;
    if (!self->closed_) self->Flush();
  });
}

void Session::Write(std::string_view chunk) {
  if (state_ != State::kStreaming || chunk.empty() || head_) return;
  if (out_sent_ >= kFlushAt) {
    out_.erase(0, out_sent_);
    out_sent_ = 0;
  }
  if (http10_) {
    out_.append(chunk);
  } else {
    fmt::format_to(std::back_inserter(out_), "{:x}\r\n", chunk.size());
    out_.append(chunk).append("\r\n");
  }
  if (out_.size() - out_sent_ > kMaxBacklog) return Close();
  if (!parsing_) Flush();
}

void Session::End() {
  if (state_ != State::kStreaming) return;
  if (!head_ && !http10_) out_.append("0\r\n\r\n");
  EndExchange();
  Advance();
}

// True when everything has left; false when the socket is full, or closed.
bool Session::Flush() {
  if (waiting_) return false;
  while (HasOutput()) {
    boost::system::error_code ec;
    const size_t first = out_.size() - out_sent_;
    const size_t n = Send(ec);
    if (ec == asio::error::would_block) {
      WaitWritable();
      return false;
    }
    if (ec) {
      Close();
      return false;
    }
    const size_t of_first = std::min(n, first);
    out_sent_ += of_first;
    body_sent_ += n - of_first;
  }
  out_.clear();
  out_sent_ = body_sent_ = 0;
  if (!body_.empty()) body_ = std::string();
  if (out_.capacity() > 4 * kFlushAt) out_ = std::string();
  return true;
}

// Some of the output; would_block when the socket is full.
size_t Session::Send(boost::system::error_code& ec) {
  if (tls_ != nullptr) {
    const Io io = tls_->Write(std::string_view(out_).substr(out_sent_),
                              std::string_view(body_).substr(body_sent_));
    if (io.kind == Io::Kind::kDone) return io.bytes;
    ec = io.kind == Io::Kind::kWantWrite ? asio::error::would_block : asio::error::connection_reset;
    return 0;
  }
  const asio::const_buffer first = asio::buffer(out_) + out_sent_;
  if (body_.empty()) return socket_.write_some(first, ec);
  return socket_.write_some(
      std::array<asio::const_buffer, 2>{first, asio::buffer(body_) + body_sent_}, ec);
}

void Session::WaitWritable() {
  waiting_ = true;
  stall_ms_ = worker_.DeadlineAfter(options_.idle_timeout_ms);
  socket_.async_wait(Tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& ec) {
                       self->waiting_ = false;
                       self->stall_ms_ = kNever;
                       if (self->closed_) return;
                       if (ec) return self->Close();
                       if (self->state_ == State::kIdle) {
                         self->Enter(State::kIdle, self->options_.idle_timeout_ms);
                       }
                       if (self->Flush()) self->Advance();
                     });
}

}  // namespace weir::http::internal
