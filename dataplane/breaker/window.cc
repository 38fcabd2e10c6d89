// SPDX-License-Identifier: Apache-2.0
#include "dataplane/breaker/window.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::node::breaker {

void Window::Keys::Add(uint32_t key_hash) {
  const auto end = hashes.begin() + static_cast<ptrdiff_t>(count);
  if (count < hashes.size() && std::find(hashes.begin(), end, key_hash) == end) {
    hashes[count++] = key_hash;
  }
}

void Window::Record(bool bad, uint32_t key_hash, int64_t now_ms) {
  const int64_t now_s = now_ms / 1000;
  Second& second = seconds_[static_cast<size_t>(now_s % kSeconds)];
  if (second.second != now_s) second = {.second = now_s};
  ++second.answers;
  if (!bad) return;
  ++second.bad;
  second.bad_keys.Add(key_hash);
}

std::optional<std::string> Window::WhyBad(int64_t now_ms) const {
  const int64_t oldest = now_ms / 1000 - kSeconds + 1;
  uint32_t answers = 0;
  uint32_t bad = 0;
  Keys bad_keys;
  for (const Second& second : seconds_) {
    if (second.second < oldest) continue;
    answers += second.answers;
    bad += second.bad;
    for (size_t i = 0; i < second.bad_keys.count; ++i) bad_keys.Add(second.bad_keys.hashes[i]);
  }
  if (answers < kMinAnswers || bad * 2 < answers || bad_keys.count < kMinKeys) return std::nullopt;
  return fmt::format("{} of {} answers within {} s failed", bad, answers, kSeconds);
}

}  // namespace weir::node::breaker
