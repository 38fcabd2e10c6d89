// SPDX-License-Identifier: Apache-2.0
#include "bench/slow_service.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "shared/base/clock.h"

namespace weir::bench {

SlowService::SlowService(size_t at_once, int64_t each_ms, std::string answer)
    : answer_(std::move(answer)), each_ns_(each_ms * 1'000'000), free_at_ns_(at_once) {}

SlowService::~SlowService() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    due_.clear();
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  server_.Stop();
}

Status SlowService::Start() {
  http::ServerOptions options;
  options.max_connections = 10'000;
  WEIR_RETURN_IF_ERROR(server_.Start(
      options, [this](std::shared_ptr<http::Exchange> exchange) { Handle(exchange); }));
  thread_ = std::thread([this] { Run(); });
  return OkStatus();
}

void SlowService::SetEachMs(int64_t each_ms) {
  const std::lock_guard lock(mutex_);
  each_ns_ = each_ms * 1'000'000;
}

void SlowService::AnswerAll() {
  const std::lock_guard lock(mutex_);
  std::fill(free_at_ns_.begin(), free_at_ns_.end(), 0);
  std::multimap<int64_t, std::shared_ptr<http::Exchange>> now;
  for (auto& [due_ns, exchange] : due_) now.emplace(0, std::move(exchange));
  due_.swap(now);
  wake_.notify_one();
}

void SlowService::Handle(const std::shared_ptr<http::Exchange>& exchange) {
  if (exchange->request().method != "POST") return exchange->Respond({200, {}, "{}", ""});
  const std::lock_guard lock(mutex_);
  int64_t& slot = *std::min_element(free_at_ns_.begin(), free_at_ns_.end());
  slot = std::max(slot, Clock::System().MonotonicNs()) + each_ns_;
  due_.emplace(slot, exchange);
  wake_.notify_one();
}

void SlowService::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (due_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const int64_t left_ns = due_.begin()->first - Clock::System().MonotonicNs();
    if (left_ns > 0) {
      wake_.wait_for(lock, std::chrono::nanoseconds(left_ns));
      continue;
    }
    const auto exchange = std::move(due_.extract(due_.begin()).mapped());
    server_.worker(0).Post([this, exchange] {
      exchange->Respond({200, {}, answer_, "application/json"});
    });
  }
}

}  // namespace weir::bench
