// SPDX-License-Identifier: Apache-2.0
// Internal: the thread that checks services at an interval, one after the other, until nobody else
// holds them. It starts with the first service and ends with the checker.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "dataplane/runtime/remote/service.h"

namespace weir::node::runtime::remote {

class Checker {
 public:
  explicit Checker(int64_t interval_ms) : interval_ms_(interval_ms) {}

  // Any thread.
  void Watch(std::weak_ptr<Service> service);

 private:
  void Run(const std::stop_token& stop);
  std::vector<std::weak_ptr<Service>> Watched();

  const int64_t interval_ms_;

  // The thread sleeps on it, and others hand it services.
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<std::weak_ptr<Service>> watched_;

  std::jthread thread_;  // last: it uses the above
};

}  // namespace weir::node::runtime::remote
