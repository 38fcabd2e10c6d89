// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "dataplane/runtime/versions.h"

namespace weir::node::runtime {

// The last published table, and a way to wait for one.
class Tables {
 public:
  void Set(std::shared_ptr<const VersionTable> table) {
    const std::lock_guard lock(mutex_);
    table_ = std::move(table);
    const VersionStatus* first = table_ == nullptr ? nullptr : table_->FindStatus("fraud", "1");
    if (first != nullptr && (states_.empty() || states_.back() != first->state)) {
      states_.push_back(first->state);
    }
    changed_.notify_all();
  }
  template <class Condition>
  std::shared_ptr<const VersionTable> WaitFor(Condition condition) {
    std::unique_lock lock(mutex_);
    const bool held = changed_.wait_for(lock, std::chrono::seconds(20),
                                        [&] { return table_ != nullptr && condition(*table_); });
    EXPECT_TRUE(held) << "the table did not become what was waited for";
    return table_;
  }
  std::shared_ptr<const VersionTable> WaitForState(const char* version, State state) {
    return WaitFor([&](const VersionTable& table) {
      const VersionStatus* status = table.FindStatus("fraud", version);
      return status != nullptr && status->state == state;
    });
  }
  // What version 1 went through.
  std::vector<State> states() {
    const std::lock_guard lock(mutex_);
    return states_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<State> states_;
  std::shared_ptr<const VersionTable> table_;
};

}  // namespace weir::node::runtime
