// SPDX-License-Identifier: Apache-2.0
// What the answers of the last seconds were, and whether they are bad enough to leave whoever gave
// them. Pure: time is an argument (monotonic). One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace weir::node::breaker {

class Window {
 public:
  static constexpr int64_t kSeconds = 10;
  static constexpr uint32_t kMinAnswers = 20;
  static constexpr size_t kMinKeys = 3;

  // `key_hash`: whose request it was.
  void Record(bool bad, uint32_t key_hash, int64_t now_ms);
  // Where at least kMinAnswers answers of the last kSeconds seconds came and at least half of them
  // failed, those of at least kMinKeys callers: "10 of 20 answers within 10 s failed".
  std::optional<std::string> WhyBad(int64_t now_ms) const;

 private:
  // The first kMinKeys callers that something is counted for.
  struct Keys {
    void Add(uint32_t key_hash);
    std::array<uint32_t, kMinKeys> hashes{};
    size_t count = 0;
  };
  struct Second {
    int64_t second = -1;
    uint32_t answers = 0;
    uint32_t bad = 0;
    Keys bad_keys = {};
  };

  std::array<Second, kSeconds> seconds_;
};

}  // namespace weir::node::breaker
