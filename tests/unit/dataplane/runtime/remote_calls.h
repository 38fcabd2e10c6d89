// SPDX-License-Identifier: Apache-2.0
// Calls of versions that are services, from the workers of a real server.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/runtime/remote/remote_runtime.h"
#include "shared/http/server.h"

namespace weir::node::runtime {

struct Outcome {
  Status status;
  Usage usage;
  bool head = false;
  int ends = 0;
  std::string outputs, parameters, body;
  std::optional<double> first_value;
};

// One call; destroyed on any thread once it has ended.
class TestCall final : public Sink {
 public:
  void OnHead() override { outcome_.head = true; }
  void OnChunk(std::span<const TensorView>) override { ADD_FAILURE() << "a service has no chunks"; }
  void OnJson(const JsonAnswer& answer) override {
    EXPECT_TRUE(outcome_.head);
    outcome_.outputs = answer.outputs;
    outcome_.parameters = answer.parameters;
    outcome_.body = answer.body;
    outcome_.first_value = answer.first_value;
  }
  void OnEnd(Status status, const Usage& usage) override {
    outcome_.status = std::move(status);
    outcome_.usage = usage;
    if (++outcome_.ends == 1) ended_.set_value();
  }
  // Waits for the end.
  Outcome Wait() {
    const bool ended = done_.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    EXPECT_TRUE(ended) << "the call did not end";
    return outcome_;
  }
  bool HasEnded() const {
    return done_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  Request request;
  std::string body;  // what request.body points to
  std::stop_source stop;

 private:
  Outcome outcome_;
  std::promise<void> ended_;
  std::future<void> done_ = ended_.get_future();
};

class Workers {
 public:
  explicit Workers(int count = 1) {
    const Status started =
        server_.Start({.workers = count}, [](const auto& exchange) { exchange->Respond({}); });
    EXPECT_TRUE(started.ok()) << started.ToString();
  }
  // No task runs any more.
  void Stop() { server_.Stop(); }

  // `change` may set what else the request has.
  std::unique_ptr<TestCall> Start(const std::shared_ptr<Version>& version, Request request = {},
                                  int64_t timeout_ms = 10'000, size_t worker = 0) {
    auto call = std::make_unique<TestCall>();
    call->body = std::string(request.body.empty() && request.inputs.empty() ? kBody : request.body);
    request.body = call->body;
    request.worker = &server_.worker(static_cast<int>(worker));
    request.worker_index = worker;
    call->request = request;
    const int64_t deadline_ns = Clock::System().MonotonicNs() + timeout_ms * 1'000'000;
    request.worker->Post([version, deadline_ns, call = call.get()] {
      version->Start(call->request, deadline_ns, call->stop.get_token(), *call);
    });
    return call;
  }
  Outcome Ask(const std::shared_ptr<Version>& version, Request request = {},
              int64_t timeout_ms = 10'000, size_t worker = 0) {
    return Start(version, request, timeout_ms, worker)->Wait();
  }
  // On a worker's thread, and over when this returns.
  void Run(const std::function<void()>& task, size_t worker = 0) {
    std::promise<void> done;
    server_.worker(static_cast<int>(worker)).Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  static constexpr char kBody[] = R"({"inputs":[{"name":"x","shape":[1],"data":["any"]}]})";

 private:
  http::Server server_;
};

}  // namespace weir::node::runtime
