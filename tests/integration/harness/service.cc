// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/service.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "shared/base/clock.h"

namespace weir::integration {

void Service::Start() {
  http::ServerOptions options;
  if (!address_.empty()) options.listen = address_;
  server_ = std::make_unique<http::Server>();
  const Status started = server_->Start(
      options, [this](const std::shared_ptr<http::Exchange>& exchange) { Handle(exchange); });
  ASSERT_TRUE(started.ok()) << started.ToString();
  address_ = server_->address();
  delaying_ = std::jthread([this](const std::stop_token& stop) { Delay(stop); });
}

void Service::Stop() {
  if (server_ == nullptr) return;
  delaying_ = {};  // stopped and joined: nothing is posted to the server any more
  server_->Stop();
  const std::lock_guard lock(mutex_);
  delayed_.clear();
  server_.reset();
}

void Service::SetAnswer(std::optional<http::Response> answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

Service::Call Service::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

void Service::Handle(const std::shared_ptr<http::Exchange>& exchange) {
  const http::Request& request = exchange->request();
  if (request.method == "GET") {
    ++checks_;
    if (mute_checks) return;  // its time-out is far away
    return exchange->Respond({.status = ready ? 200 : 503,
                              .headers = {},
                              .body = "{}",
                              .content_type = "application/json"});
  }
  ++calls_;
  http::Response response = Answer(request);
  if (rest_after_ms > 0) return Begin(exchange, response);
  if (delay_ms == 0) return exchange->Respond(std::move(response));
  exchange->OnClose([] {});  // a client that has gone is not waited for
  Later(delay_ms, [exchange, response] { exchange->Respond(response); });
}

// As chunks.
void Service::Begin(const std::shared_ptr<http::Exchange>& exchange,
                    const http::Response& response) {
  const size_t half = response.body.size() / 2;
  exchange->StartStream({.status = response.status,
                         .headers = response.headers,
                         .body = {},
                         .content_type = "application/json"});
  exchange->Write(std::string_view(response.body).substr(0, half));
  Later(rest_after_ms, [exchange, rest = response.body.substr(half)] {
    exchange->Write(rest);
    exchange->End();
  });
}

// `task` runs on the server's worker.
void Service::Later(int64_t ms, Task task) {
  const std::lock_guard lock(mutex_);
  delayed_.emplace(Clock::System().MonotonicMs() + ms,
                   [this, task = std::move(task)] { server_->worker(0).Post(task); });
  wake_.notify_one();
}

http::Response Service::Answer(const http::Request& request) {
  const std::lock_guard lock(mutex_);
  last_ = {std::string(request.target),
           std::string(request.body),
           std::string(request.Header("traceparent")),
           std::string(request.Header("x-weir-flags")),
           std::string(request.Header("x-user-id")),
           std::string(request.Header("x-request-id"))};
  if (answer_.has_value()) return *answer_;
  random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
  if (static_cast<double>(random_ >> 11) * 0x1p-53 < error_rate) {
    return http::ErrorResponse(500, "the model has a bad day");
  }
  http::Response response;
  if (request.path.starts_with("/v2/")) {
    response.body = fmt::format(
        R"({{"model_name": "m", "model_version": "7", "parameters": {{"took": 3}}, )"
        R"("outputs": [{{"name": "score", "datatype": "FP64", "shape": [1], "data": [{}]}}]}})",
        value.load());
  } else {
    response.body = fmt::format(R"({{"prediction": {}, "by": "service"}})", value.load());
  }
  return response;
}

void Service::Delay(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const int64_t now_ms = Clock::System().MonotonicMs();
    if (delayed_.empty()) {
      wake_.wait(lock, stop, [this] { return !delayed_.empty(); });
    } else if (const int64_t due_ms = delayed_.begin()->first; due_ms > now_ms) {
      wake_.wait_for(lock, stop, std::chrono::milliseconds(due_ms - now_ms), [this, due_ms] {
        return !delayed_.empty() && delayed_.begin()->first < due_ms;
      });
    } else {
      delayed_.extract(delayed_.begin()).mapped()();
    }
  }
}

}  // namespace weir::integration
