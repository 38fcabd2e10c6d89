// SPDX-License-Identifier: Apache-2.0
// Keeps what fails from failing everybody: a canary, until the control plane has judged it (one
// worker's breaker for one version), or one address of a service. Pure: time is an argument
// (monotonic), nothing is read or sent. One thread at a time.
//
//   closed   every request passes. Opens when at least half of the answers of the last seconds
//            failed (window.h), those of several callers, so that no caller opens it alone; when
//            kUnreachedInARow calls in a row reached nobody, whoever asked; or by Trip.
//   open     nobody passes for a while: `first_open_ms`, doubled by each failed probe up to
//            kMaxOpenMs, and up to a quarter longer by chance, so that not all workers of all nodes
//            try again in the same moment.
//   probing  one request at a time passes as a probe. kGoodProbes good ones in a row close it, a
//            bad one opens it again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "dataplane/breaker/window.h"

namespace weir::node::breaker {

enum class State : uint8_t { kClosed, kOpen, kProbing };

// What a request was let through as; it belongs to the request until its Answer.
enum class Permit : uint8_t { kNone, kPass, kProbe };

// kNothing: it says nothing about the version (the client's error or departure, a shed).
enum class Outcome : uint8_t { kGood, kBad, kUnreached, kNothing };

class Breaker {
 public:
  static constexpr int kUnreachedInARow = 5;
  static constexpr int64_t kFirstOpenMs = 5'000;
  static constexpr int64_t kMaxOpenMs = 60'000;
  static constexpr int kGoodProbes = 3;

  // Told when it leaves kClosed, with the reason, and when it is closed again, with "". May be
  // empty.
  using OnChange = std::function<void(bool is_open, const std::string& why)>;
  // `seed`: of the chance; 0: without.
  explicit Breaker(OnChange on_change = {}, uint64_t seed = 0, int64_t first_open_ms = kFirstOpenMs)
      : on_change_(std::move(on_change)), first_open_ms_(first_open_ms), random_(seed) {}

  // kNone: not now. Every kPass and kProbe is followed by one Answer.
  Permit Admit(int64_t now_ms);
  // `key_hash`: whose request it was.
  void Answer(Permit permit, Outcome outcome, uint32_t key_hash, int64_t now_ms);
  // Opens a closed one, on evidence that the caller has.
  void Trip(const std::string& why, int64_t now_ms);
  // Closes it without further ado: nobody asks it any more.
  void Reset();

  State state() const { return state_; }
  int64_t open_until_ms() const { return open_until_ms_; }  // of an open one

 private:
  void Open(int64_t now_ms, const std::string& why);
  void Probed(Outcome outcome, int64_t now_ms);
  int64_t JitterMs();

  OnChange on_change_;
  int64_t first_open_ms_;
  uint64_t random_;
  State state_ = State::kClosed;
  Window window_;
  int unreached_ = 0;  // in a row
  int64_t open_for_ms_ = first_open_ms_;
  int64_t open_until_ms_ = 0;
  bool is_probe_out_ = false;
  int good_probes_ = 0;
};

}  // namespace weir::node::breaker
