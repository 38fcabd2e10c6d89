// SPDX-License-Identifier: Apache-2.0
// Keeps a canary that fails from failing everybody until the control plane has judged it: one
// worker's breaker for one version. Pure: time is an argument (monotonic), nothing is read or sent.
//
//   closed   every request passes. Opens when at least kMinAnswers answers of the last kWindowS
//            seconds came and at least half of them failed, those of at least kMinKeys callers,
//            so that no caller opens it alone; or when kUnreachedInARow calls in a row reached
//            nobody, whoever asked.
//   open     nobody passes for a while: kFirstOpenMs, doubled by each failed probe up to
//            kMaxOpenMs, and up to a quarter longer by chance, so that not all workers of all nodes
//            try again in the same moment.
//   probing  one request at a time passes as a probe. kGoodProbes good ones in a row close it, a
//            bad one opens it again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace weir::node::breaker {

enum class State : uint8_t { kClosed, kOpen, kProbing };

// What a request was let through as; it belongs to the request until its Answer.
enum class Permit : uint8_t { kNone, kPass, kProbe };

// kNothing: it says nothing about the version (the client's error or departure, a shed).
enum class Outcome : uint8_t { kGood, kBad, kUnreached, kNothing };

class Breaker {
 public:
  static constexpr int64_t kWindowS = 10;
  static constexpr uint32_t kMinAnswers = 20;
  static constexpr size_t kMinKeys = 3;
  static constexpr int kUnreachedInARow = 5;
  static constexpr int64_t kFirstOpenMs = 5'000;
  static constexpr int64_t kMaxOpenMs = 60'000;
  static constexpr int kGoodProbes = 3;

  // Told when it leaves kClosed, with the reason, and when it is closed again, with "". May be
  // empty.
  using OnChange = std::function<void(bool is_open, const std::string& why)>;
  // `seed`: of the chance; 0: without.
  explicit Breaker(OnChange on_change = {}, uint64_t seed = 0)
      : on_change_(std::move(on_change)), random_(seed) {}

  // kNone: not now. Every kPass and kProbe is followed by one Answer.
  Permit Admit(int64_t now_ms);
  // `key_hash`: whose request it was.
  void Answer(Permit permit, Outcome outcome, uint32_t key_hash, int64_t now_ms);
  // Closes it without further ado: nobody asks it any more.
  void Reset();

  State state() const { return state_; }

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
  void Record(bool bad, uint32_t key_hash, int64_t now_ms);
  void Open(int64_t now_ms, const std::string& why);
  void Probed(Outcome outcome, int64_t now_ms);
  int64_t JitterMs();

  OnChange on_change_;
  uint64_t random_;
  State state_ = State::kClosed;
  std::array<Second, kWindowS> seconds_;
  int unreached_ = 0;  // in a row
  int64_t open_for_ms_ = kFirstOpenMs;
  int64_t open_until_ms_ = 0;
  bool is_probe_out_ = false;
  int good_probes_ = 0;
};

}  // namespace weir::node::breaker
