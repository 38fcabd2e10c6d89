// SPDX-License-Identifier: Apache-2.0
// An executor whose tasks the test runs, on its own thread, when it wants.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "shared/base/executor.h"

namespace weir::fakes {

class Mailbox : public Executor {
 public:
  void Post(std::function<void()> task) override {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    came_.notify_all();
  }
  // Waits until so many have come, and runs all; false when they did not within 10 s.
  bool RunAll(size_t count) {
    std::vector<std::function<void()>> tasks;
    {
      std::unique_lock lock(mutex_);
      if (!came_.wait_for(lock, std::chrono::seconds(10), [&] { return tasks_.size() >= count; }))
        return false;
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) task();
    return true;
  }

 private:
  std::mutex mutex_;  // others post
  std::condition_variable came_;
  std::vector<std::function<void()>> tasks_;
};

}  // namespace weir::fakes
