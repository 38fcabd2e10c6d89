// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/remote/checker.h"

#include <chrono>

namespace weir::node::runtime::remote {

Status Checker::WarmUp(const std::shared_ptr<Service>& service, const std::stop_token& stop) {
  WEIR_RETURN_IF_ERROR(service->WarmUp(warm_ups_, stop));
  Watch(service);
  return OkStatus();
}

void Checker::Watch(std::weak_ptr<Service> service) {
  const std::lock_guard lock(mutex_);
  watched_.push_back(std::move(service));
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  }
}

std::vector<std::weak_ptr<Service>> Checker::Watched() {
  const std::lock_guard lock(mutex_);
  std::erase_if(watched_, [](const auto& service) { return service.expired(); });
  return watched_;
}

void Checker::Run(const std::stop_token& stop) {
  const auto interval = std::chrono::milliseconds(interval_ms_);
  auto due = std::chrono::steady_clock::now() + interval;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, stop, due, [] { return false; });
    }
    for (const std::weak_ptr<Service>& weak : Watched()) {
      const std::shared_ptr<Service> service = weak.lock();
      if (service != nullptr) service->BeginChecks(checks_);
    }
    due = std::max(due + interval, std::chrono::steady_clock::now());
  }
}

}  // namespace weir::node::runtime::remote
