// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/traffic.h"

#include <fmt/format.h>

#include <chrono>

#include "shared/base/clock.h"
#include "shared/http/client.h"
#include "tests/integration/harness/fraud.h"

namespace weir::integration {

uint64_t TrafficCounts::Arm(const std::string& arm) const {
  uint64_t sum = 0;
  for (const auto& [key, count] : by_arm) sum += key.second == arm ? count : 0;
  return sum;
}

Traffic::Traffic(std::vector<std::string> nodes, int per_second, int users)
    : nodes_(std::move(nodes)), per_second_(per_second), users_(users) {
  for (size_t i = 0; i < nodes_.size(); ++i) threads_.emplace_back([this, i] { Send(i); });
}

TrafficCounts Traffic::Counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Traffic::Mark() {
  const std::lock_guard lock(mutex_);
  counts_ = {};
}

TrafficCounts Traffic::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  return Counts();
}

void Traffic::Send(size_t sender) {
  http::Client client("http://" + nodes_[sender]);
  const std::string target = fmt::format("/v2/models/{}/infer", kModel);
  const auto period =
      std::chrono::nanoseconds(1'000'000'000LL * static_cast<int64_t>(nodes_.size()) / per_second_);
  auto due = std::chrono::steady_clock::now();
  for (size_t i = sender; !stop_; i += nodes_.size()) {
    std::this_thread::sleep_until(due);
    due += period;
    const std::string user = fmt::format("user-{}", i % static_cast<size_t>(users_) + 1);
    const int64_t began_ms = Clock::System().WallMs();
    const Result<http::ClientResponse> answer =
        client.Do("POST", target, {{"X-User-Id", user}, {"Content-Type", "application/json"}},
                  Requests()[i % Requests().size()]);
    const std::lock_guard lock(mutex_);
    ++counts_.sent;
    counts_.last_began_ms = began_ms;
    if (!answer.ok()) {
      ++counts_.unanswered;
      counts_.last_problem = answer.status().ToString();
      continue;
    }
    const std::string arm(answer->Header("x-weir-arm"));
    if (!arm.empty()) ++counts_.by_arm[{std::string(answer->Header("x-weir-version")), arm}];
    if (arm == "canary") counts_.last_canary_began_ms = began_ms;
    counts_.served += answer->status == 200 ? 1 : 0;
    counts_.refused += answer->status >= 400 && answer->status < 500 ? 1 : 0;
    if (answer->status >= 500) {
      ++counts_.failed;
      counts_.last_failed_began_ms = began_ms;
    }
    if (answer->status != 200) {
      counts_.last_problem = fmt::format("{} {}", answer->status, answer->body);
    }
  }
}

}  // namespace weir::integration
