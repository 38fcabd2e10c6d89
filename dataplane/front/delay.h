// SPDX-License-Identifier: Apache-2.0
// Posts tasks to executors later: rehearsed delays, and the timers of event streams. One thread,
// which starts with the first task and does nothing but wait; the tasks run on their executors.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "shared/base/executor.h"

namespace weir::node::front {

class DelayLine {
 public:
  DelayLine() = default;
  ~DelayLine();  // Stop()
  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;

  // Any thread. `executor` lives until Stop.
  void PostAfter(int64_t delay_ms, Executor& executor, std::function<void()> task);
  // Drops what waits and joins the thread. Idempotent.
  void Stop();

 private:
  struct Item {
    Executor* executor;
    std::function<void()> task;
  };
  void Run();

  // Several workers feed one sleeping thread, hence a mutex.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::multimap<int64_t, Item> items_;  // by monotonic time due, ns
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace weir::node::front
