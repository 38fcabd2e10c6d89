// SPDX-License-Identifier: Apache-2.0
// Threads for what blocks: a command, a call to somebody's server. Each piece of work runs on one
// of at most `threads` threads, in the order of Run, and gives a task that is posted to `back`, the
// executor of the pool's owner. Threads are made when there is work for them.
//
// Stop waits a bounded time; a thread that hangs longer (in a name lookup, say) is left behind.
// Therefore work holds values and shared_ptrs, never a pointer to something that may end before it.
// Run and Stop: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "shared/base/executor.h"

namespace weir {

class WorkPool {
 public:
  using Done = std::function<void()>;  // posted to `back`; may be empty
  using Work = std::function<Done()>;  // on a thread of the pool; must not throw

  // `back` is not touched any more once Stop has returned.
  WorkPool(int threads, Executor& back);
  ~WorkPool();  // Stop(0)
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  void Run(Work work);  // after Stop: dropped
  // Drops what has not begun, lets what runs end within so many ms, posts nothing more. Idempotent.
  void Stop(int64_t deadline_ms);

 private:
  struct Shared;
  static void Loop(const std::shared_ptr<Shared>& shared);

  const int most_;
  const std::shared_ptr<Shared> shared_;
  std::vector<std::thread> threads_;
};

}  // namespace weir
