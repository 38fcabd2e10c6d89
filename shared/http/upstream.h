// SPDX-License-Identifier: Apache-2.0
// Calls to another HTTP/1.1 server from the event loop of one server worker: nothing blocks,
// nothing is locked. Keep-alive connections are pooled, each carries one call at a time; when all
// are busy, calls wait in order until their deadline.
//
// Create may be called on any thread; Send, Cancel, busy and open only on the worker's. The last
// owner may let go on any thread: on the worker's, no `done` is called from then on; from
// elsewhere, none once the worker has heard of it. What is under way is cancelled, and connections
// are closed, on the worker's thread. A worker that has stopped calls nobody; what is still under
// way is freed with its server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/http/client.h"
#include "shared/http/message.h"

namespace weir::http {

namespace internal {
class UpstreamPool;
}  // namespace internal

struct UpstreamOptions {
  std::string url{};      // "http://host[:port][/prefix]", "https://…", "host:port"
  std::string ca_file{};  // for https, PEM; "" trusts the system's certificates
  size_t max_connections = 64;
  size_t max_waiting = 1024;          // calls beyond the connections; more are Unavailable at once
  int64_t connect_timeout_ms = 1000;  // names looked up and TLS agreed within it
  int64_t idle_timeout_ms = 30'000;   // a connection that nobody used this long is closed
  size_t max_body = size_t{64} * 1024 * 1024;  // of an answer, bytes
};

struct UpstreamCall {
  std::string method = "POST";
  std::string target{};           // "/v2/models/m/infer", below the url's prefix
  std::vector<Header> headers{};  // beside Host and Content-Length; Content-Type is JSON by default
  std::string body{};
  int64_t deadline_ns = 0;  // monotonic, as Clock::MonotonicNs; 0: none
};

struct UpstreamAnswer {
  // Any answer, 500 too, is a value. Unavailable says who failed and how ("127.0.0.1:8000:
  // Connection refused", "…: timed out after 30 ms"); InvalidArgument: the call is no request.
  Result<ClientResponse> response = Unavailable("not called");
  int64_t sent_ns = 0;         // monotonic: the request was given to the connection that answered
  int64_t body_ns = 0;         // monotonic: the first byte of its body came; 0: it has none
  bool is_late = false;        // the deadline passed
  bool got_bytes = false;      // the server had begun to answer: another must not be asked instead
  bool no_connection = false;  // none could be made, or not in time, and there was none
};

class Upstream {
 public:
  using Done = std::function<void(UpstreamAnswer)>;

  // `worker` is Server::worker(i) of a running server and outlives the upstream. InvalidArgument:
  // another executor, a bad url, bounds of nothing, or a ca_file that cannot be read. Nobody is
  // connected to before the first call.
  static Result<std::shared_ptr<Upstream>> Create(Executor& worker, UpstreamOptions options);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // `done` is called exactly once, later (never inside Send), unless the call is cancelled; it may
  // send, cancel and let go of the upstream. A kept connection that turns out to be closed is
  // replaced once by a new one, while no byte of an answer has come: the server may then see a
  // request twice, whatever its method. Returns a number for Cancel, never 0.
  uint64_t Send(UpstreamCall call, Done done);
  // The connection is closed if the call is on its way; `done` is not called. Nothing happens if it
  // has been called already.
  void Cancel(uint64_t call);

  size_t busy() const;  // calls under way or waiting
  size_t open() const;  // connections, those that are being made included

 private:
  explicit Upstream(std::shared_ptr<internal::UpstreamPool> pool);
  std::shared_ptr<internal::UpstreamPool> pool_;
};

}  // namespace weir::http
