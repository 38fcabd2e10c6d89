// SPDX-License-Identifier: Apache-2.0
// Calls to another HTTP/1.1 server from the event loop of one server worker: nothing blocks,
// nothing is locked. Keep-alive connections are pooled, each carries one call at a time; when all
// are busy, calls wait in order until their deadline.
//
// Everything on the worker's thread, the last release included (PostRelease is there for others).
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

struct UpstreamOptions {
  std::string url;      // "http://host:port[/prefix]", "https://…" where TLS is built in
  std::string ca_file;  // for https; "" trusts the system's certificates
  size_t max_connections = 64;
  size_t max_waiting = 1024;  // calls without a connection; more are Unavailable at once
  int64_t connect_timeout_ms = 1000;
  int64_t idle_timeout_ms = 30'000;            // a connection that nobody used this long is closed
  size_t max_body = size_t{64} * 1024 * 1024;  // of an answer, bytes
};

struct UpstreamCall {
  std::string method = "POST";
  std::string target;  // "/v2/models/m/infer", below the url's prefix
  std::vector<Header> headers;
  std::string body;
  int64_t deadline_ns = 0;  // monotonic, as Clock::MonotonicNs
};

struct UpstreamAnswer {
  // Unavailable says what failed ("127.0.0.1:8000: Connection refused", "timed out after 30 ms").
  Result<ClientResponse> response = Unavailable("not called");
  bool is_late = false;    // the deadline passed
  bool got_bytes = false;  // the server had begun to answer: another must not be asked instead
};

class Upstream {
 public:
  using Done = std::function<void(UpstreamAnswer)>;

  // `worker` is Server::worker(i) of a running server and outlives the upstream. InvalidArgument:
  // another executor, or a bad url.
  static Result<std::shared_ptr<Upstream>> Create(Executor& worker, UpstreamOptions options);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // `done` is called exactly once, later (never inside Send), unless the call is cancelled. A kept
  // connection that turns out to be closed is replaced once, while no byte of an answer has come.
  // Returns a number for Cancel.
  uint64_t Send(UpstreamCall call, Done done);
  // The connection is closed if the call is on its way; `done` is not called.
  void Cancel(uint64_t call);

  size_t busy() const;  // calls under way or waiting
  size_t open() const;  // connections

 private:
  class Pool;
  explicit Upstream(std::shared_ptr<Pool> pool);
  std::shared_ptr<Pool> pool_;
};

}  // namespace weir::http
