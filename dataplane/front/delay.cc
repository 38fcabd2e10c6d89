// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/delay.h"

#include <chrono>
#include <utility>

#include "shared/base/clock.h"

namespace weir::node::front {

DelayLine::~DelayLine() { Stop(); }

void DelayLine::PostAfter(int64_t delay_ms, Executor& executor, std::function<void()> task) {
  const int64_t due_ns = Clock::System().MonotonicNs() + delay_ms * 1'000'000;
  const std::lock_guard lock(mutex_);
  if (stop_) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  items_.emplace(due_ns, Item{&executor, std::move(task)});
  wake_.notify_one();
}

void DelayLine::Stop() {
  std::multimap<int64_t, Item> dropped;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    dropped.swap(items_);
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void DelayLine::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (items_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const int64_t left_ns = items_.begin()->first - Clock::System().MonotonicNs();
    if (left_ns > 0) {
      wake_.wait_for(lock, std::chrono::nanoseconds(left_ns));
      continue;
    }
    Item item = std::move(items_.extract(items_.begin()).mapped());
    lock.unlock();
    item.executor->Post(std::move(item.task));
    lock.lock();
  }
}

}  // namespace weir::node::front
