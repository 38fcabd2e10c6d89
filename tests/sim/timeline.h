// SPDX-License-Identifier: Apache-2.0
// One simulated run's time, chance and story. Everything happens as an event on this timeline, in
// order of time and then of scheduling; every choice is drawn from its one generator: the same seed
// makes the same run, to the last byte. One thread.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "shared/base/clock.h"

namespace weir::sim {

// SplitMix64: small, good enough for choices, the same everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint64_t Next();
  int64_t Between(int64_t low, int64_t high);  // both included
  bool Chance(double probability);

 private:
  uint64_t state_;
};

class Timeline {
 public:
  // With `verbose` the whole story is printed as it happens; with `records` its end is kept.
  Timeline(uint64_t seed, bool verbose, bool records)
      : random_(seed), verbose_(verbose), records_(records) {}

  int64_t now_ms() const { return now_ms_; }
  Random& random() { return random_; }
  void After(int64_t delay_ms, std::function<void()> task);
  // Until then, or until an invariant is violated. `after_each` runs after every event.
  void RunUntil(int64_t end_ms, const std::function<void()>& after_each);

  // What happened, for people; formatted only when somebody reads it.
  template <class... Args>
  void Tell(fmt::format_string<Args...> format, Args&&... args) {
    if (verbose_ || records_) Add(fmt::format(format, std::forward<Args>(args)...));
  }
  // The run is over: this does not hold.
  void Violate(const std::string& invariant, const std::string& what);
  bool is_violated() const { return !violated_.empty(); }
  const std::string& violated() const { return violated_; }
  uint64_t step() const { return step_; }
  const std::deque<std::string>& story() const { return story_; }

 private:
  struct Event {
    int64_t at_ms;
    uint64_t order;
    std::shared_ptr<std::function<void()>> task;
    bool operator>(const Event& other) const {
      return at_ms != other.at_ms ? at_ms > other.at_ms : order > other.order;
    }
  };
  void Add(std::string line);

  Random random_;
  const bool verbose_;
  const bool records_;
  int64_t now_ms_ = 0;
  uint64_t next_order_ = 0;
  uint64_t step_ = 0;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<std::string> story_;
  std::string violated_;
};

// A machine's two clocks: the monotonic one starts anew with the machine, the wall clock can jump.
class MachineClock : public Clock {
 public:
  MachineClock(const Timeline& timeline, int64_t booted_ms)
      : timeline_(timeline), booted_ms_(booted_ms) {}
  int64_t MonotonicNs() const override {
    return (timeline_.now_ms() - booted_ms_ + 1000) * 1'000'000;
  }
  int64_t WallMs() const override { return kStartMs + timeline_.now_ms() + offset_ms_; }
  void Reboot() { booted_ms_ = timeline_.now_ms(); }
  void StepWallMs(int64_t ms) { offset_ms_ += ms; }

 private:
  static constexpr int64_t kStartMs = 1'763'683'200'000;
  const Timeline& timeline_;
  int64_t booted_ms_;
  int64_t offset_ms_ = 0;
};

}  // namespace weir::sim
