// SPDX-License-Identifier: Apache-2.0
// Internal: one connection of an Upstream: it is made, then carries one call after the other, and
// tells its pool what came of each. While it is open it always waits to read, so that a peer that
// closes an idle connection is noticed at once. Everything on the worker's thread, in callbacks of
// the loop only (never inside Open or Run).
#pragma once

#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shared/http/answer_reader.h"
#include "shared/http/stream.h"
#include "shared/http/worker.h"

namespace weir::http::internal {

class UpstreamPool;
struct PooledCall;

class UpstreamConnection : public std::enable_shared_from_this<UpstreamConnection> {
 public:
  explicit UpstreamConnection(UpstreamPool* pool);

  // Connects to the first of the addresses, from `first` on, that answers.
  void Open(const std::vector<Tcp::endpoint>& addresses, size_t first);
  // Established and idle: sends the call.
  void Run(PooledCall* next);
  // No callback comes any more. The pool lets go of it.
  void Close();
  // The one of the addresses that it is or was being connected to.
  size_t address() const { return address_; }

  // The pool's bookkeeping.
  size_t slot = 0;
  int64_t deadline_ns = 0;     // to be established, or idle
  bool established = false;    // connected, and TLS agreed
  PooledCall* call = nullptr;  // being carried, or the one that this connection is made for
  uint64_t answered = 0;       // calls
  bool got_bytes = false;      // of the answer to `call`
  int64_t sent_ns = 0;         // when `call` was given to it, monotonic
  int64_t body_ns = 0;         // when the first byte of the answer's body came; 0: not yet

 private:
  void Connect();
  void OnConnected(const boost::system::error_code& ec);
  void Handshake();
  void Await(Tcp::socket::wait_type what);
  void OnReady(Tcp::socket::wait_type what, const boost::system::error_code& ec);
  void Flush();
  void Read();
  bool Parse();
  void OnReadEnd();
  void OnAnswer();
  void Break(const std::string& reason);
  bool sending() const;

  UpstreamPool& pool_;  // valid while !closed_
  Tcp::socket socket_;
  Stream stream_;
  std::vector<Tcp::endpoint> addresses_;  // while connecting
  size_t address_ = 0;
  size_t tried_ = 0;
  bool closed_ = false;
  bool reading_ = false;  // a wait is under way
  bool writing_ = false;
  bool write_failed_ = false;
  size_t sent_ = 0;  // of the call's head and body
  ClientResponse response_;
  AnswerReader reader_;
  InputBuffer input_;
};

}  // namespace weir::http::internal
