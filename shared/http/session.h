// SPDX-License-Identifier: Apache-2.0
// Internal: one connection. It reads into one buffer, parses one request at a time, hands it to the
// handler, and goes on with the next (pipelined) one when it has been answered. Answers gather in
// one string and leave with one system call when there is nothing more to parse; only when the peer
// does not read is anything waited for. Everything on the worker's thread.
#pragma once

#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "shared/http/input_buffer.h"
#include "shared/http/request_parser.h"
#include "shared/http/server.h"
#include "shared/http/stream.h"
#include "shared/http/worker.h"

namespace weir::http::internal {

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Worker* worker, Tcp::socket socket, std::string remote);

  void Start();
  // Answers 503 without having read anything: there are too many connections.
  void Refuse();
  void Close();
  // Called at each tick with deadlines passed.
  void OnDeadline();
  bool Expired(int64_t now_ms) const { return now_ms >= deadline_ms_ || now_ms >= stall_ms_; }
  bool Idle() const {
    return state_ == State::kHandshake ||
           (state_ == State::kIdle && input_.empty() && !HasOutput());
  }

  // For Exchange.
  int worker_index() const { return worker_.index(); }
  bool OnWorker() const { return worker_.OnThread(); }
  void Respond(Response response);
  void StartStream(const Response& head);
  void Write(std::string_view chunk);
  void End();
  void StopCounting();
  bool peer_ended() const { return peer_ended_; }

  size_t slot = 0;  // where the worker keeps it

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr size_t kFlushAt = size_t{64} * 1024;  // pipelined answers gather up to this
  enum class State { kHandshake, kIdle, kHead, kBody, kHandling, kStreaming, kLingering };

  bool active() const { return state_ == State::kHandling || state_ == State::kStreaming; }
  bool HasOutput() const { return out_sent_ < out_.size() || body_sent_ < body_.size(); }
  void Enter(State state, int64_t timeout_ms);

  void Handshake();
  void FailHandshake(const Io& io);
  // Calls `next` when the socket can be read (or written).
  void AwaitSocket(Io::Kind wanted, void (Session::*next)());

  void Read();
  void ReadTls();
  void OnRead(const boost::system::error_code& ec, size_t n);
  void OnReadEnd();
  void Advance();
  void Parse();
  bool BeginRequest();
  bool CheckParse(const beast::error_code& ec);
  bool LimitBody();
  void Dispatch();
  void EndExchange();
  void CutOff();
  void Fail(int status, std::string_view message);
  void Settle();

  // Without a size, the body comes in chunks.
  void AppendHead(const Response& response, std::optional<size_t> body_size);
  bool Flush();
  size_t Send(boost::system::error_code& ec);
  void WaitWritable();

  Worker& worker_;
  const ServerOptions& options_;
  Tcp::socket socket_;
  const std::string remote_;
  std::unique_ptr<Stream> tls_;  // null: in the clear

  State state_ = State::kIdle;
  int64_t deadline_ms_ = kNever;
  int64_t stall_ms_ = kNever;  // while the peer does not read
  bool closed_ = false;
  bool parsing_ = false;  // Advance is on the stack
  bool reading_ = false;  // a read is under way and owns the buffer's space
  bool waiting_ = false;  // for the socket to take more
  bool flush_posted_ = false;
  bool peer_ended_ = false;   // it has sent all it will send
  bool close_after_ = false;  // close once the output has left
  bool failed_ = false;       // … and let the peer read it first

  // The request being read or answered.
  std::shared_ptr<Exchange> exchange_;
  std::optional<RequestParser> parser_;
  bool keep_alive_ = true;
  bool http10_ = false;
  bool head_ = false;
  bool continued_ = false;
  bool counted_ = false;  // among the concurrent requests
  bool open_ = false;     // among those with the handler

  InputBuffer input_;
  std::string out_;  // heads and small bodies
  size_t out_sent_ = 0;
  std::string body_;  // one large body, after out_
  size_t body_sent_ = 0;
};

}  // namespace weir::http::internal
