// SPDX-License-Identifier: Apache-2.0
// A model's service as teams have them, in the test's own process: the Open Inference Protocol and
// POST /predict/<model> on a real HTTP server, with knobs for what goes wrong. Every input gets one
// output "score" that holds `value`.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "shared/http/server.h"

namespace weir::integration {

class Service {
 public:
  explicit Service(double output = 0.5) : value(output) { Start(); }
  ~Service() { Stop(); }

  // On the port it had before, if it had one.
  void Start();
  // As a process that ends: connections break, and nobody listens any more.
  void Stop();
  std::string url() const { return "http://" + address_; }
  const std::string& address() const { return address_; }

  // Knobs; any thread.
  std::atomic<double> value;
  std::atomic<double> error_rate{0};      // of inferences, answered with 500
  std::atomic<int64_t> delay_ms{0};       // before an inference is answered
  std::atomic<int64_t> rest_after_ms{0};  // between the first half of an answer and the rest
  std::atomic<bool> ready{true};          // what health checks are answered
  std::atomic<bool> mute_checks{false};   // they are not answered at all
  // What every inference is answered instead; nullopt: as usual.
  void SetAnswer(std::optional<http::Response> answer);

  struct Call {
    std::string target, body, traceparent, flags, user_id, request_id;
  };
  // The last inference that was asked for.
  Call last() const;
  uint64_t calls() const { return calls_; }    // inferences, since the first Start
  uint64_t checks() const { return checks_; }  // of its health
  uint64_t connections() const { return server_ == nullptr ? 0 : server_->counters().open; }

 private:
  using Task = std::function<void()>;
  void Handle(const std::shared_ptr<http::Exchange>& exchange);
  http::Response Answer(const http::Request& request);
  void Begin(const std::shared_ptr<http::Exchange>& exchange, const http::Response& response);
  void Later(int64_t ms, Task task);
  void Delay(const std::stop_token& stop);

  std::string address_;
  std::unique_ptr<http::Server> server_;
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> checks_{0};

  // The server's worker, the delaying thread and the test meet here.
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  Call last_;
  std::optional<http::Response> answer_;
  uint64_t random_ = 1;
  std::multimap<int64_t, Task> delayed_;  // by monotonic time due, ms

  std::jthread delaying_;
};

}  // namespace weir::integration
