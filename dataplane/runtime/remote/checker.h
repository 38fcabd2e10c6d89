// SPDX-License-Identifier: Apache-2.0
// Internal: checks services before they serve, and then at an interval until nobody else holds
// them. A thread of its own begins the checks, threads of a pool wait for the answers: one that
// hangs delays no other. It starts with the first service and ends with the checker, which waits
// for no check that is under way.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "dataplane/runtime/remote/service.h"
#include "shared/base/executor.h"
#include "shared/base/work_pool.h"

namespace weir::node::runtime::remote {

class Checker {
 public:
  explicit Checker(int64_t interval_ms) : interval_ms_(interval_ms) {}

  // The loader's thread. As Service::WarmUp; watched from then on if that is OK.
  Status WarmUp(const std::shared_ptr<Service>& service, const std::stop_token& stop);

 private:
  // Checks hand nothing back.
  struct Nobody final : Executor {
    void Post(std::function<void()> /*task*/) override {}
  };
  static constexpr int kAtOnce = 16;  // checks of a pool; a version has no more urls

  void Watch(std::weak_ptr<Service> service);
  void Run(const std::stop_token& stop);
  std::vector<std::weak_ptr<Service>> Watched();

  const int64_t interval_ms_;
  Nobody nobody_;
  WorkPool warm_ups_{kAtOnce, nobody_};  // the loader's thread
  WorkPool checks_{kAtOnce, nobody_};    // thread_

  // The thread sleeps on it, and others hand it services.
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<std::weak_ptr<Service>> watched_;

  std::jthread thread_;  // last: it uses the above
};

}  // namespace weir::node::runtime::remote
