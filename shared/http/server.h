// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server, in the clear or through TLS (1.2 and up): N workers, each one thread with its
// own event loop, and one acceptor that gives each connection to the worker with the fewest. A
// connection, its requests and its answers live on that worker's thread; nothing on the way of a
// request is locked or shared.
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
#include "shared/http/message.h"

namespace weir::http {

// One request and its answer. The handler may answer at once or keep the pointer and answer later;
// everything here is called on the thread of `worker()` (from elsewhere: Server::worker(i).Post).
// Either Respond once, or StartStream, any number of Write, and End. After the client has gone,
// after the request time-out or after the answer, every call is ignored: check closed() to save
// work. An exchange that nobody answers is answered with 503 when the request time-out passes.
class Exchange {
 public:
  explicit Exchange(internal::Session* session);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  const Request& request() const { return request_; }
  int worker() const { return worker_; }

  void Respond(Response response);

  // Sends the head now and the body in pieces as they come (chunked; for SSE set content_type
  // "text/event-stream"). head.body is ignored. The request time-out ends with the head. A peer
  // that reads too slowly (16 MiB waiting) is cut off.
  void StartStream(const Response& head);
  void Write(std::string_view chunk);
  void End();
  // From now on this exchange is none of the max_concurrent_requests: for a stream that mostly
  // waits.
  void StopCounting();

  // Nothing written now would arrive: the client has gone, the time-out passed, or it is answered.
  bool closed() const { return session_ == nullptr; }
  // Called on the worker's thread if the exchange is cut off before it was answered or ended
  // (client gone, time-out, Stop); at once if that has already happened. Several may be registered.
  void OnClose(std::function<void()> callback);

 private:
  friend class internal::Session;

  Request request_;
  internal::Session* session_;  // null once the exchange is over
  int worker_;
  bool cut_off_ = false;
  std::vector<std::function<void()>> on_close_;
};

using Handler = std::function<void(std::shared_ptr<Exchange>)>;
// How many bytes of body a request may bring, by its head alone, on the worker's thread; asked
// where the body did not come with the head. Of 0, and of a Content-Length beyond it, no more is
// read: the handler is called at once, with Request::is_body_withheld, is to refuse, and the
// connection ends after its answer.
using BodyLimit = std::function<size_t(const Request&, int worker)>;

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // "host:port", "[::1]:port", ":port"; port 0 picks one
  int workers = 1;
  size_t max_body = size_t{8} * 1024 * 1024;  // bytes; above: 413
  size_t max_header = size_t{16} * 1024;      // bytes, request line included; above: 431
  int64_t header_timeout_ms = 10'000;         // from a request's first byte to its last header: 408
  int64_t idle_timeout_ms = 75'000;  // between requests, and for a peer that does not read: close
  int64_t request_timeout_ms = 60'000;  // for the body to come (408), then for the handler (503)
  size_t max_connections = 10'000;      // above: 503
  size_t max_concurrent_requests = 0;   // above: 503; 0 means no limit
  // PEM: the certificate with what its issuers signed behind it, and its key. Both or neither,
  // which is HTTP in the clear.
  std::string tls_cert_file{};
  std::string tls_key_file{};
  int64_t handshake_timeout_ms = 10'000;  // of TLS: close
  BodyLimit body_limit{};  // beside max_body, for requests that bring a body; empty: max_body alone
};

// Sums over all workers since Start.
struct ServerCounters {
  uint64_t accepted = 0;  // connections
  uint64_t open = 0;      // connections now
  uint64_t requests = 0;  // handed to the handler
  uint64_t handling = 0;  // of them, not answered yet; without streams that mostly wait
  uint64_t rejected_malformed = 0;
  uint64_t rejected_oversize = 0;  // body
  uint64_t rejected_headers = 0;   // head too large
  uint64_t rejected_busy = 0;      // limits on connections or concurrent requests
  uint64_t header_timeouts = 0;    // the body's too
  uint64_t request_timeouts = 0;
  uint64_t handshake_failures = 0;  // of TLS, time-outs and HTTP in the clear (400) included
};

// Lifecycle: SetIdleHook (optional) → Start → [Drain] → Stop. These are called on one thread, which
// is not a worker's; address, worker, workers and counters on any thread between Start and Stop.
class Server {
 public:
  Server();
  ~Server();  // Stop()

  // Before Start. The hook runs on a worker's thread, with its index, after each round of events in
  // which anything ran there: a runtime can batch all requests that one round brought.
  void SetIdleHook(std::function<void(int worker)> hook);

  // Listens and starts the workers. Handlers run on the workers' threads; one that throws gives
  // 500. InvalidArgument: a bad address; Unavailable: the port is in use; both name host:port. On
  // failure nothing is left running. InvalidArgument with the field tls_cert or tls_key: a file
  // that cannot be used; one that has expired is, and the log says so.
  Status Start(const ServerOptions& options, Handler handler);

  std::string address() const;  // with the real port: "127.0.0.1:43211"
  int workers() const;
  Executor& worker(int index);
  ServerCounters counters() const;
  // Open connections of each worker.
  std::vector<size_t> connections() const;

  // Reads certificate and key again: connections from now on get the new one. On an error, which an
  // expired one is too, the old one stays. Nothing happens without TLS.
  Status ReloadCertificate();

  // Stops accepting, closes idle connections, answers what is in flight with Connection: close, and
  // returns when every connection has ended or the deadline has passed. Workers go on until Stop.
  void Drain(int64_t deadline_ms);
  // Cuts off what is left and joins the threads. Idempotent.
  void Stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace weir::http
