// SPDX-License-Identifier: Apache-2.0
#include "shared/base/work_pool.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace weir {

// Where the owner and the threads meet; it lives as long as the last of them.
struct WorkPool::Shared {
  explicit Shared(Executor& to) : back(&to) {}

  std::mutex mutex;
  std::condition_variable changed;
  Executor* back;  // null once stopped
  std::deque<Work> waiting;
  int idle = 0;  // threads that wait for work
  int live = 0;
};

WorkPool::WorkPool(int threads, Executor& back)
    : most_(threads), shared_(std::make_shared<Shared>(back)) {}

WorkPool::~WorkPool() { Stop(0); }

void WorkPool::Run(Work work) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->back == nullptr) return;
  shared_->waiting.push_back(std::move(work));
  if (static_cast<int>(shared_->waiting.size()) > shared_->idle && shared_->live < most_) {
    ++shared_->live;
    threads_.emplace_back([shared = shared_] { Loop(shared); });
  }
  shared_->changed.notify_one();
}

void WorkPool::Loop(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  for (;;) {
    ++shared->idle;
    shared->changed.wait(lock, [&] { return shared->back == nullptr || !shared->waiting.empty(); });
    --shared->idle;
    if (shared->back == nullptr) break;
    Work work = std::move(shared->waiting.front());
    shared->waiting.pop_front();
    lock.unlock();
    Done done = work();
    work = nullptr;
    lock.lock();
    if (shared->back != nullptr && done) shared->back->Post(std::move(done));
  }
  --shared->live;
  shared->changed.notify_all();
}

void WorkPool::Stop(int64_t deadline_ms) {
  bool all_ended = false;
  {
    std::unique_lock lock(shared_->mutex);
    shared_->back = nullptr;
    shared_->waiting.clear();
    shared_->changed.notify_all();
    all_ended = shared_->changed.wait_for(lock, std::chrono::milliseconds(deadline_ms),
                                          [&] { return shared_->live == 0; });
  }
  for (std::thread& thread : threads_) {
    if (all_ended) {
      thread.join();
    } else {
      thread.detach();
    }
  }
  threads_.clear();
}

}  // namespace weir
