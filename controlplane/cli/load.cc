// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/load.h"

#include <fmt/format.h>

#include <chrono>

#include "shared/base/clock.h"
#include "shared/http/client.h"

namespace weir::control::cli {

Load::Load(LoadOptions options) : options_(std::move(options)) {
  for (size_t i = 0; i < options_.nodes.size(); ++i) threads_.emplace_back([this, i] { Send(i); });
}

Load::~Load() { Stop(); }

void Load::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

LoadCounts Load::Counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Load::Mark() {
  const std::lock_guard lock(mutex_);
  counts_ = {};
}

void Load::Send(size_t sender) {
  http::Client client("http://" + options_.nodes[sender]);
  const std::string target = fmt::format("/v2/models/{}/infer", options_.model);
  const auto period = std::chrono::nanoseconds(
      1'000'000'000LL * static_cast<int64_t>(options_.nodes.size()) / options_.requests_per_second);
  auto due = std::chrono::steady_clock::now();
  for (size_t i = sender; !stop_; i += options_.nodes.size()) {
    std::this_thread::sleep_until(due);
    due += period;
    const std::string user = fmt::format("user-{}", i % static_cast<size_t>(options_.users) + 1);
    const auto response =
        client.Do("POST", target, {{"X-User-Id", user}, {"Content-Type", "application/json"}},
                  options_.bodies[i % options_.bodies.size()]);
    const std::lock_guard lock(mutex_);
    ++counts_.requests;
    if (response.ok() && response->status == 200) {
      ++counts_.by_version[std::string(response->Header("x-weir-version"))];
      counts_.canary += response->Header("x-weir-arm") == "canary" ? 1 : 0;
      continue;
    }
    if (response.ok() && response->status < 500) {
      counts_.last_error = response->body;
      continue;
    }
    ++counts_.failed;
    counts_.unanswered += response.ok() ? 0 : 1;
    counts_.canary += response.ok() && response->Header("x-weir-arm") == "canary" ? 1 : 0;
    counts_.last_error = response.ok() ? response->body : response.status().ToString();
    counts_.last_failed_wall_ms = Clock::System().WallMs();
    if (counts_.first_failed_wall_ms == 0)
      counts_.first_failed_wall_ms = counts_.last_failed_wall_ms;
  }
}

}  // namespace weir::control::cli
