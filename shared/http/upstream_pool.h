// SPDX-License-Identifier: Apache-2.0
// Internal: the calls and the connections of one Upstream. A call waits in line, or is carried by a
// connection. A new call takes an idle connection; without one it waits, and a connection is made
// unless there are enough; whichever becomes free first takes the first in line. Only a call whose
// kept connection turned out to be closed is bound to the new one that is made for it.
// Everything on the worker's thread, but for the constructor.
#pragma once

#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "shared/http/stream.h"
#include "shared/http/upstream.h"
#include "shared/http/upstream_connection.h"
#include "shared/http/url.h"
#include "shared/http/worker.h"

namespace weir::http::internal {

// Used again for another call once it is over; `id` is then another.
struct PooledCall {
  uint64_t id = 0;  // 0: free
  uint32_t index = 0;
  uint32_t round = 0;
  std::string head;
  std::string body;
  bool is_head = false;  // HEAD
  bool repeated = false;
  int64_t start_ns = 0;
  int64_t deadline_ns = 0;
  UpstreamConnection* connection = nullptr;
  Upstream::Done done;
};

class UpstreamPool : public std::enable_shared_from_this<UpstreamPool> {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  UpstreamPool(Worker* worker, UpstreamOptions options, Url url,
               std::shared_ptr<const TlsContext> tls);

  uint64_t Send(UpstreamCall call, Upstream::Done done);
  void Cancel(uint64_t id);
  // Everything ends; no `done` is called.
  void Close();
  size_t busy() const { return busy_; }
  size_t open() const { return connections_.size(); }

  // For connections.
  Worker& worker() { return worker_; }
  const UpstreamOptions& options() const { return options_; }
  const Url& url() const { return url_; }
  const std::string& name() const { return name_; }
  const TlsContext* tls() const { return tls_.get(); }
  void OnEstablished(UpstreamConnection* connection);
  void OnConnectFailed(UpstreamConnection* connection, const std::string& reason);
  // The answer to the connection's call is in; `keep`: the connection can carry another.
  void OnAnswered(UpstreamConnection* connection, ClientResponse response, bool keep);
  // An established connection is of no more use; its call, if any, has no answer.
  void OnBroken(UpstreamConnection* connection, const std::string& reason);

 private:
  PooledCall* NewCall();
  PooledCall* Find(uint64_t id);
  void Place(PooledCall* call);
  Upstream::Done Release(PooledCall* call);
  void Finish(PooledCall* call, UpstreamAnswer answer);
  void FailLater(PooledCall* call, UpstreamAnswer answer);
  void FailLate(PooledCall* call);
  UpstreamAnswer Failed(const std::string& reason) const;
  void Detach(PooledCall* call);

  void Run(UpstreamConnection* connection, PooledCall* call);
  void Reuse(UpstreamConnection* connection);
  void Remove(UpstreamConnection* connection);
  void OpenConnection(PooledCall* bound);
  void OpenForWaiting();
  void Resolve();
  void OnResolved(const boost::system::error_code& ec, const Tcp::resolver::results_type& found);

  void ArmTimer(int64_t deadline_ns);
  void OnTimer();

  // Constant after construction.
  Worker& worker_;
  const UpstreamOptions options_;
  const Url url_;
  const std::string name_;          // host:port
  const std::string common_lines_;  // of every request
  const std::shared_ptr<const TlsContext> tls_;

  bool closed_ = false;
  std::deque<PooledCall> calls_;  // never shrinks: as many as there were at once
  std::vector<uint32_t> free_calls_;
  std::deque<PooledCall*> waiting_;
  size_t busy_ = 0;

  std::vector<std::shared_ptr<UpstreamConnection>> connections_;
  std::vector<UpstreamConnection*> idle_;  // the last one used comes last, and is used first
  size_t established_ = 0;
  size_t opening_ = 0;  // being made for whoever waits then

  // Addresses of the host: looked up again when they are old and a connection is to be made.
  Tcp::resolver resolver_;
  std::vector<Tcp::endpoint> addresses_;
  int64_t addresses_until_ns_ = 0;  // kNever: the url has an address
  bool resolving_ = false;
  size_t next_address_ = 0;                          // the last one that worked
  std::vector<UpstreamConnection*> want_addresses_;  // wait for the look-up

  asio::steady_timer timer_;
  int64_t armed_ns_ = kNever;
};

}  // namespace weir::http::internal
