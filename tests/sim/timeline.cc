// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/timeline.h"

#include <algorithm>

namespace weir::sim {
namespace {

constexpr size_t kStoryLines = 80;

}  // namespace

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

int64_t Random::Between(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(Next() % static_cast<uint64_t>(high - low + 1));
}

bool Random::Chance(double probability) {
  return static_cast<double>(Next() >> 11) < probability * static_cast<double>(1ULL << 53);
}

void Timeline::After(int64_t delay_ms, std::function<void()> task) {
  events_.push({now_ms_ + std::max<int64_t>(delay_ms, 0), next_order_++,
                std::make_shared<std::function<void()>>(std::move(task))});
}

void Timeline::RunUntil(int64_t end_ms, const std::function<void()>& after_each) {
  while (!is_violated() && !events_.empty() && events_.top().at_ms <= end_ms) {
    const Event event = events_.top();
    events_.pop();
    now_ms_ = event.at_ms;
    ++step_;
    (*event.task)();
    after_each();
  }
  if (!is_violated()) now_ms_ = std::max(now_ms_, end_ms);
}

void Timeline::Violate(const std::string& invariant, const std::string& what) {
  if (is_violated()) return;
  violated_ = invariant + ": " + what;
  Tell("VIOLATED {}", violated_);
}

void Timeline::Add(std::string line) {
  line = fmt::format("{:>7} ms {:>6}  {}", now_ms_, step_, line);
  if (verbose_) fmt::print("{}\n", line);
  story_.push_back(std::move(line));
  if (story_.size() > kStoryLines) story_.pop_front();
}

}  // namespace weir::sim
