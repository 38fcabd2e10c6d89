// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/loader.h"

#include <chrono>
#include <optional>

#include "dataplane/runtime/shelf.h"
#include "shared/base/clock.h"

namespace weir::node::runtime {

Loader::Loader(std::vector<std::shared_ptr<Runtime>> runtimes, FetchBlob fetch, OnChange on_change,
               LoaderOptions options)
    : shelf_(std::make_unique<Shelf>(std::move(runtimes), std::move(fetch), std::move(on_change),
                                     std::move(options))) {}

Loader::~Loader() { Stop(); }

void Loader::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Loader::SetWanted(std::shared_ptr<const decision::Ruleset> rules) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = std::move(rules);
  }
  wake_.notify_one();
}

void Loader::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  shelf_->RequestStop();
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Loader::Run() {
  while (true) {
    std::shared_ptr<const decision::Ruleset> wanted;
    const int64_t now_ms = Clock::System().MonotonicMs();
    const std::optional<int64_t> next_ms = shelf_->NextStepMs(now_ms);
    {
      std::unique_lock lock(mutex_);
      const auto awake = [this] { return stop_ || wanted_ != nullptr; };
      if (!next_ms.has_value()) {
        wake_.wait(lock, awake);
      } else if (*next_ms > now_ms) {
        wake_.wait_for(lock, std::chrono::milliseconds(*next_ms - now_ms), awake);
      }
      if (stop_) break;
      wanted = std::exchange(wanted_, nullptr);
    }
    if (wanted != nullptr) shelf_->Apply(*wanted);
    shelf_->Step(Clock::System().MonotonicMs());
  }
  shelf_->Clear();
}

}  // namespace weir::node::runtime
