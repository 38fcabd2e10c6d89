// SPDX-License-Identifier: Apache-2.0
#include "shared/http/upstream_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <chrono>

#include "shared/base/clock.h"
#include "shared/http/request_head.h"

namespace weir::http::internal {
namespace {

constexpr int64_t kMs = 1'000'000;        // ns
constexpr size_t kKeptBytes = 16 * 1024;  // of a call's memory, from call to call
constexpr int64_t kAddressesFresh = 30'000 * kMs;

int64_t Now() { return Clock::System().MonotonicNs(); }

}  // namespace

UpstreamPool::UpstreamPool(Worker* worker, UpstreamOptions options, Url url,
                           std::shared_ptr<const TlsContext> tls)
    : worker_(*worker),
      options_(std::move(options)),
      url_(std::move(url)),
      name_(url_.name()),
      common_lines_("Host: " + url_.HostHeader() + "\r\n"),
      tls_(std::move(tls)),
      resolver_(worker->context()),
      timer_(worker->context()) {
  boost::system::error_code ec;
  const auto address = asio::ip::make_address(url_.address.host, ec);
  if (ec) return;
  addresses_ = {{address, url_.address.port}};
  addresses_until_ns_ = kNever;
}

uint64_t UpstreamPool::Send(UpstreamCall call, Upstream::Done done) {
  PooledCall* const made = NewCall();
  const uint64_t id = made->id;
  made->done = std::move(done);
  made->body = std::move(call.body);
  made->is_head = call.method == "HEAD";
  made->start_ns = Now();
  made->deadline_ns = call.deadline_ns == 0 ? kNever : call.deadline_ns;
  const Status status = AppendRequestHead(
      {call.method, url_.prefix, call.target, common_lines_, call.headers, made->body.size()},
      &made->head);
  if (!status.ok()) {
    FailLater(made, {.response = InvalidArgument("", name_ + ": " + status.message())});
    return id;
  }
  if (tls_ != nullptr) made->head.append(std::exchange(made->body, {}));  // one record
  if (made->deadline_ns <= made->start_ns) {
    FailLate(made);
    return id;
  }
  Place(made);
  return id;
}

void UpstreamPool::Place(PooledCall* call) {
  ArmTimer(call->deadline_ns);
  if (!idle_.empty()) {
    UpstreamConnection* const connection = idle_.back();
    idle_.pop_back();
    return Run(connection, call);
  }
  if (connections_.size() >= options_.max_connections &&
      waiting_.size() >= opening_ + options_.max_waiting) {
    return FailLater(call, Failed(fmt::format("{} connections are busy and {} calls wait",
                                              connections_.size(), waiting_.size())));
  }
  waiting_.push_back(call);
  OpenForWaiting();
}

void UpstreamPool::Cancel(uint64_t id) {
  PooledCall* const call = Find(id);
  if (call == nullptr) return;
  Detach(call);
  OpenForWaiting();
  const Upstream::Done dropped = Release(call);
}

void UpstreamPool::Close() {
  closed_ = true;
  timer_.cancel();
  resolver_.cancel();
  for (const auto& connection : connections_) connection->Close();
  connections_.clear();
  idle_.clear();
  want_addresses_.clear();
  waiting_.clear();
  established_ = opening_ = busy_ = 0;
  const std::deque<PooledCall> dropped = std::move(calls_);
  calls_.clear();
  free_calls_.clear();
}

PooledCall* UpstreamPool::NewCall() {
  if (free_calls_.empty()) {
    free_calls_.push_back(static_cast<uint32_t>(calls_.size()));
    calls_.emplace_back().index = free_calls_.back();
  }
  PooledCall* const call = &calls_[free_calls_.back()];
  free_calls_.pop_back();
  call->id = (uint64_t{++call->round} << 32) + call->index + 1;
  call->repeated = false;
  ++busy_;
  return call;
}

PooledCall* UpstreamPool::Find(uint64_t id) {
  const uint64_t index = (id & 0xffffffff) - 1;
  return id != 0 && index < calls_.size() && calls_[index].id == id ? &calls_[index] : nullptr;
}

Upstream::Done UpstreamPool::Release(PooledCall* call) {
  call->id = 0;
  call->connection = nullptr;
  call->head.clear();  // with TLS the body was in it
  if (call->head.capacity() > kKeptBytes) call->head = std::string();
  call->body = std::string();
  free_calls_.push_back(call->index);
  --busy_;
  return std::exchange(call->done, nullptr);
}

// The last thing that a callback of the loop does: anything may have happened afterwards.
void UpstreamPool::Finish(PooledCall* call, UpstreamAnswer answer) {
  const Upstream::Done done = Release(call);
  worker_.ArmHook();
  done(std::move(answer));
}

// In a task of its own, unless the call is cancelled before.
void UpstreamPool::FailLater(PooledCall* call, UpstreamAnswer answer) {
  call->deadline_ns = kNever;
  asio::post(worker_.context(),
             [weak = weak_from_this(), id = call->id, answer = std::move(answer)]() mutable {
               const auto pool = weak.lock();
               PooledCall* const failed = pool == nullptr ? nullptr : pool->Find(id);
               if (failed != nullptr) pool->Finish(failed, std::move(answer));
             });
}

void UpstreamPool::FailLate(PooledCall* call) {
  const int64_t given_ns = std::max<int64_t>(0, call->deadline_ns - call->start_ns);
  std::string reason = fmt::format("timed out after {} ms", (given_ns + kMs / 2) / kMs);
  const bool waited =
      given_ns > 0 && (call->connection == nullptr || !call->connection->established);
  const bool no_connection = waited && established_ == 0;
  if (no_connection) {
    reason += " without a connection";
  } else if (waited) {
    reason += fmt::format(" in the line for {} connections", established_);
  }
  UpstreamAnswer answer = Failed(reason);
  answer.is_late = true;
  answer.no_connection = no_connection;
  answer.got_bytes = call->connection != nullptr && call->connection->got_bytes;
  Detach(call);
  FailLater(call, std::move(answer));
}

UpstreamAnswer UpstreamPool::Failed(const std::string& reason) const {
  return {.response = Unavailable(name_ + ": " + reason)};
}

// From the line, or from its connection, which is then closed.
void UpstreamPool::Detach(PooledCall* call) {
  if (call->connection != nullptr) return Remove(call->connection);
  const auto place = std::find(waiting_.begin(), waiting_.end(), call);
  if (place != waiting_.end()) waiting_.erase(place);
}

void UpstreamPool::Run(UpstreamConnection* connection, PooledCall* call) {
  call->connection = connection;
  connection->deadline_ns = kNever;
  connection->Run(call);
}

// Whoever comes first in the line, or nobody.
void UpstreamPool::Reuse(UpstreamConnection* connection) {
  if (!waiting_.empty()) {
    PooledCall* const next = waiting_.front();
    waiting_.pop_front();
    return Run(connection, next);
  }
  connection->deadline_ns = Now() + options_.idle_timeout_ms * kMs;
  idle_.push_back(connection);
  ArmTimer(connection->deadline_ns);
}

void UpstreamPool::Remove(UpstreamConnection* connection) {
  if (connection->established) {
    --established_;
    if (connection->call == nullptr) std::erase(idle_, connection);
  } else {
    if (connection->call == nullptr) --opening_;
    std::erase(want_addresses_, connection);
  }
  if (connection->call != nullptr) connection->call->connection = nullptr;
  connection->Close();
  const size_t slot = connection->slot;
  if (slot + 1 < connections_.size()) {
    std::swap(connections_[slot], connections_.back());
    connections_[slot]->slot = slot;
  }
  connections_.pop_back();
}

void UpstreamPool::OpenForWaiting() {
  while (waiting_.size() > opening_ && connections_.size() < options_.max_connections) {
    OpenConnection(nullptr);
  }
}

void UpstreamPool::OpenConnection(PooledCall* bound) {
  const auto made = std::make_shared<UpstreamConnection>(this);
  made->slot = connections_.size();
  made->call = bound;
  made->deadline_ns = Now() + options_.connect_timeout_ms * kMs;
  connections_.push_back(made);
  if (bound == nullptr) {
    ++opening_;
  } else {
    bound->connection = made.get();
  }
  ArmTimer(made->deadline_ns);
  if (Now() < addresses_until_ns_) {
    return made->Open(addresses_, next_address_);
  }
  want_addresses_.push_back(made.get());
  Resolve();
}

void UpstreamPool::Resolve() {
  if (std::exchange(resolving_, true)) return;
  resolver_.async_resolve(url_.address.host, std::to_string(url_.address.port),
                          [weak = weak_from_this()](const boost::system::error_code& ec,
                                                    const Tcp::resolver::results_type& found) {
                            const auto pool = weak.lock();
                            if (pool != nullptr && !pool->closed_) pool->OnResolved(ec, found);
                          });
}

// What was found earlier serves on while the look-up fails.
void UpstreamPool::OnResolved(const boost::system::error_code& ec,
                              const Tcp::resolver::results_type& found) {
  resolving_ = false;
  if (!ec) {
    addresses_.clear();
    for (const auto& entry : found) addresses_.push_back(entry.endpoint());
    addresses_until_ns_ = Now() + kAddressesFresh;
    next_address_ = 0;
  }
  const auto wanted = std::exchange(want_addresses_, {});
  for (UpstreamConnection* connection : wanted) {
    if (addresses_.empty()) {
      OnConnectFailed(connection, ec.message());
    } else {
      connection->Open(addresses_, next_address_);
    }
  }
}

void UpstreamPool::OnEstablished(UpstreamConnection* connection) {
  connection->established = true;
  ++established_;
  next_address_ = connection->address();
  if (connection->call != nullptr) return Run(connection, connection->call);
  --opening_;
  Reuse(connection);
}

// Calls in the line go on waiting if there are connections that serve them.
void UpstreamPool::OnConnectFailed(UpstreamConnection* connection, const std::string& reason) {
  PooledCall* const bound = connection->call;
  Remove(connection);
  if (addresses_until_ns_ != kNever) addresses_until_ns_ = 0;
  UpstreamAnswer answer = Failed(reason);
  answer.no_connection = true;
  if (bound != nullptr) {
    FailLater(bound, std::move(answer));
    return OpenForWaiting();
  }
  if (established_ > 0) return;
  for (PooledCall* call : std::exchange(waiting_, {})) FailLater(call, answer);
}

void UpstreamPool::OnAnswered(UpstreamConnection* connection, ClientResponse response, bool keep) {
  PooledCall* const call = std::exchange(connection->call, nullptr);
  call->connection = nullptr;
  UpstreamAnswer answer = {.response = std::move(response),
                           .sent_ns = connection->sent_ns,
                           .body_ns = connection->body_ns,
                           .got_bytes = true};
  ++connection->answered;
  if (keep) {
    Reuse(connection);
  } else {
    Remove(connection);
    OpenForWaiting();
  }
  Finish(call, std::move(answer));
}

void UpstreamPool::OnBroken(UpstreamConnection* connection, const std::string& reason) {
  PooledCall* const call = connection->call;
  const bool got_bytes = connection->got_bytes;
  const bool was_kept = connection->answered > 0;
  Remove(connection);
  if (call != nullptr && was_kept && !got_bytes && !call->repeated) {
    call->repeated = true;
    OpenConnection(call);
    return OpenForWaiting();
  }
  OpenForWaiting();
  if (call == nullptr) return;
  UpstreamAnswer answer = Failed(reason);
  answer.got_bytes = got_bytes;
  Finish(call, std::move(answer));
}

// Fires at the earliest deadline or before it, and then looks at all of them: calls that end in
// time, nearly all, cost no timer.
void UpstreamPool::ArmTimer(int64_t deadline_ns) {
  if (deadline_ns >= armed_ns_) return;
  armed_ns_ = deadline_ns;
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline_ns)));
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
    const auto pool = ec ? nullptr : weak.lock();
    if (pool != nullptr && !pool->closed_) pool->OnTimer();
  });
}

void UpstreamPool::OnTimer() {
  armed_ns_ = kNever;
  const int64_t now = Now();
  int64_t next = kNever;
  for (PooledCall& call : calls_) {
    if (call.id != 0 && call.deadline_ns <= now) FailLate(&call);
  }
  for (const auto& connection : std::vector(connections_)) {
    if (connection->deadline_ns > now) continue;
    if (connection->established) {
      Remove(connection.get());
    } else {
      next_address_ = connection->address() + 1;
      OnConnectFailed(connection.get(),
                      fmt::format("no connection after {} ms", options_.connect_timeout_ms));
    }
  }
  OpenForWaiting();
  for (const PooledCall& call : calls_) {
    if (call.id != 0) next = std::min(next, call.deadline_ns);
  }
  for (const auto& connection : connections_) next = std::min(next, connection->deadline_ns);
  ArmTimer(next);
}

}  // namespace weir::http::internal
