// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace weir {

// Runs tasks on the thread that owns something. Post may be called from any thread, never blocks,
// and keeps order; tasks posted after the owner stopped are dropped.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Post(std::function<void()> task) = 0;
};

}  // namespace weir
