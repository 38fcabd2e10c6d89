// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/crowd.h"

#include <fmt/format.h>

#include <utility>

#include "shared/http/client.h"
#include "tests/integration/harness/fraud.h"

namespace weir::integration {

Crowd::Crowd(std::string address, int clients) : address_(std::move(address)) {
  counts_.is_served.resize(static_cast<size_t>(clients));
  for (int i = 0; i < clients; ++i) threads_.emplace_back([this, i] { Ask(i); });
}

Crowd::Counts Crowd::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Crowd::Mark() {
  const std::lock_guard lock(mutex_);
  counts_.served = counts_.shed = counts_.other = 0;
}

Crowd::Counts Crowd::Stop() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return counts();
}

void Crowd::Ask(int client) {
  http::Client http("http://" + address_);
  const std::vector<http::Header> headers = {{"x-user-id", fmt::format("user-{}", client)}};
  while (!stop_) {
    const auto answer =
        http.Do("POST", fmt::format("/v2/models/{}/infer", kModel), headers, Requests()[0]);
    const std::lock_guard lock(mutex_);
    const bool served = answer.ok() && answer->status == 200;
    counts_.is_served[static_cast<size_t>(client)] = served;
    if (served) {
      ++counts_.served;
    } else if (answer.ok() && answer->status == 429) {
      ++counts_.shed;
      counts_.last_shed = answer->body;
      counts_.every_shed_says_when &=
          !answer->Header("Retry-After").empty() && !answer->Header("retry-after-ms").empty();
    } else {
      ++counts_.other;
      counts_.last_other = answer.ok() ? answer->body : answer.status().ToString();
    }
  }
}

}  // namespace weir::integration
