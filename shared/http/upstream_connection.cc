// SPDX-License-Identifier: Apache-2.0
#include "shared/http/upstream_connection.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <string_view>

#include "shared/base/clock.h"
#include "shared/http/upstream_pool.h"

namespace weir::http::internal {
namespace {

constexpr size_t kPeerSpace = size_t{16} * 1024;
constexpr size_t kPeerBodySpace = size_t{64} * 1024;
constexpr size_t kPeerLimit = size_t{256} * 1024;

}  // namespace

UpstreamConnection::UpstreamConnection(UpstreamPool* pool)
    : pool_(*pool), socket_(pool->worker().context()) {}

void UpstreamConnection::Open(const std::vector<Tcp::endpoint>& addresses, size_t first) {
  addresses_ = addresses;
  address_ = first % addresses_.size();
  Connect();
}

void UpstreamConnection::Connect() {
  socket_.async_connect(addresses_[address_],
                        [self = shared_from_this()](const boost::system::error_code& ec) {
                          if (!self->closed_) self->OnConnected(ec);
                        });
}

void UpstreamConnection::OnConnected(const boost::system::error_code& ec) {
  if (ec) {
    if (++tried_ >= addresses_.size()) return pool_.OnConnectFailed(this, ec.message());
    address_ = (address_ + 1) % addresses_.size();
    boost::system::error_code ignored;
    socket_.close(ignored);
    return Connect();
  }
  boost::system::error_code ignored;
  socket_.set_option(Tcp::no_delay(true), ignored);
  stream_.Attach(socket_.native_handle(), pool_.tls(), pool_.url().address.host);
  Handshake();
}

void UpstreamConnection::Handshake() {
  const Io io = stream_.Handshake();
  switch (io.kind) {
    case Io::Kind::kWantRead:
      return Await(Tcp::socket::wait_read);
    case Io::Kind::kWantWrite:
      return Await(Tcp::socket::wait_write);
    case Io::Kind::kEnd:
    case Io::Kind::kFailed:
      return pool_.OnConnectFailed(this, io.reason);
    case Io::Kind::kDone:
      break;
  }
  Await(Tcp::socket::wait_read);
  pool_.OnEstablished(this);
}

void UpstreamConnection::Run(PooledCall* next) {
  call = next;
  got_bytes = false;
  sent_ns = Clock::System().MonotonicNs();
  body_ns = 0;
  sent_ = 0;
  reader_.Begin(&response_, next->is_head, pool_.options().max_body);
  Flush();
}

void UpstreamConnection::Close() {
  closed_ = true;
  stream_.Reset();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void UpstreamConnection::Await(Tcp::socket::wait_type what) {
  bool& waiting = what == Tcp::socket::wait_read ? reading_ : writing_;
  if (waiting) return;
  waiting = true;
  socket_.async_wait(
      what, [self = shared_from_this(), what, &waiting](const boost::system::error_code& ec) {
        waiting = false;
        if (!self->closed_) self->OnReady(what, ec);
      });
}

void UpstreamConnection::OnReady(Tcp::socket::wait_type what, const boost::system::error_code& ec) {
  if (ec) return established ? Break(ec.message()) : pool_.OnConnectFailed(this, ec.message());
  if (!established) return Handshake();
  // Through TLS, either direction may have waited for this one.
  if (sending() && (what == Tcp::socket::wait_write || stream_.is_tls())) Flush();
  if (what == Tcp::socket::wait_read || stream_.is_tls()) Read();
}

bool UpstreamConnection::sending() const {
  return call != nullptr && !write_failed_ && sent_ < call->head.size() + call->body.size();
}

void UpstreamConnection::Flush() {
  while (sending()) {
    const std::string_view head = call->head;
    const std::string_view body = call->body;
    const size_t of_head = std::min(sent_, head.size());
    Io io = stream_.Write(head.substr(of_head), body.substr(sent_ - of_head));
    switch (io.kind) {
      case Io::Kind::kDone:
        sent_ += io.bytes;
        break;
      case Io::Kind::kWantRead:
        return;  // which is awaited anyway
      case Io::Kind::kWantWrite:
        return Await(Tcp::socket::wait_write);
      case Io::Kind::kEnd:
      case Io::Kind::kFailed:
        write_failed_ = true;
        // A server may answer and close before it has read everything (413): reading tells.
        if (io.is_gone) return;
        asio::post(pool_.worker().context(),
                   [self = shared_from_this(), reason = std::move(io.reason)] {
                     if (!self->closed_) self->Break(reason);
                   });
        return;
    }
  }
}

void UpstreamConnection::Read() {
  for (;;) {
    const size_t wanted = response_.body.empty() ? kPeerSpace : kPeerBodySpace;
    if (!input_.Prepare(wanted, kPeerLimit)) return Break("a header of the answer is too large");
    const size_t space = input_.space_size();
    const Io io = stream_.Read(input_.space(), space);
    switch (io.kind) {
      case Io::Kind::kDone:
        if (call == nullptr) return Break("the server sent something that nobody asked for");
        got_bytes = true;
        input_.Commit(io.bytes);
        if (!Parse()) return;
        if (stream_.is_tls() || io.bytes == space) continue;  // there may be more
        return Await(Tcp::socket::wait_read);
      case Io::Kind::kWantWrite:
        Await(Tcp::socket::wait_write);
        return Await(Tcp::socket::wait_read);
      case Io::Kind::kWantRead:
        return Await(Tcp::socket::wait_read);
      case Io::Kind::kEnd:
        return OnReadEnd();
      case Io::Kind::kFailed:
        return Break(io.reason);
    }
  }
}

// True if the answer goes on.
bool UpstreamConnection::Parse() {
  const AnswerReader::State state = reader_.Parse(&input_);
  if (body_ns == 0 && !response_.body.empty()) body_ns = Clock::System().MonotonicNs();
  switch (state) {
    case AnswerReader::State::kMore:
      return true;
    case AnswerReader::State::kDone:
      OnAnswer();
      return false;
    case AnswerReader::State::kFailed:
      Break(reader_.reason());
      return false;
  }
  return false;
}

void UpstreamConnection::OnReadEnd() {
  if (call == nullptr || !got_bytes) {
    return Break("the server closed the connection without an answer");
  }
  if (reader_.ParseEnd() == AnswerReader::State::kDone) return OnAnswer();
  Break(reader_.reason());
}

void UpstreamConnection::OnAnswer() {
  const bool sent = sent_ == call->head.size() + call->body.size();
  const bool keep =
      reader_.keep_alive() && sent && !write_failed_ && input_.empty() && !stream_.HasPending();
  if (keep) Await(Tcp::socket::wait_read);
  pool_.OnAnswered(this, std::move(response_), keep);
}

void UpstreamConnection::Break(const std::string& reason) { pool_.OnBroken(this, reason); }

}  // namespace weir::http::internal
