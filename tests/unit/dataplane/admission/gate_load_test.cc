// SPDX-License-Identifier: Apache-2.0
// A gate under load, simulated: requests come at random (exponential gaps, one generator), a
// version takes 50 ms for each, and time is an argument.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/admission/gate.h"

namespace weir::node::admission {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kSlots = 16;
constexpr int64_t kStart = 100 * kSecond;

struct Now0 final : Executor {
  void Post(std::function<void()> task) override { task(); }
};

struct Phase {
  int64_t until_ns = 0;
  double load = 1;  // of what the slots can do in 50 ms each
  int64_t service_ns = 50 * kMs;
};

struct Figures {
  double goodput = 0;  // of the capacity
  double shed = 0;     // of what came
  double p99_ms = 0;   // of what was answered
  uint64_t most_waiting = 0;
};

class Load {
 public:
  explicit Load(bool governed, int64_t time_out_ns = 10 * kSecond) : time_out_ns_(time_out_ns) {
    limit_.max_concurrent = limit_.most_concurrent = kSlots;
    limit_.max_queue = 2 * kSlots;
    limit_.min_concurrent = 1;
    gate_.Configure(&limit_, governed ? kSlots : 0, At(kStart));
  }

  // What happened from `from_ns` after the start to the end of the phases.
  Figures Run(const std::vector<Phase>& phases, int64_t from_ns) {
    const double capacity = static_cast<double>(kSlots) / 0.05;
    double arrives_s = 0;
    for (const Phase& phase : phases) {
      service_ns_ = phase.service_ns;
      std::exponential_distribution<double> gap(capacity * phase.load);
      while (true) {
        arrives_s += gap(random_);
        const auto at_ns = static_cast<int64_t>(arrives_s * 1e9);
        if (at_ns >= phase.until_ns) break;
        RunUntil(kStart + at_ns);
        is_counted_ = at_ns >= from_ns;
        Arrive();
      }
      arrives_s = static_cast<double>(phase.until_ns) / 1e9;
    }
    const double seconds = static_cast<double>(phases.back().until_ns - from_ns) / 1e9;
    std::sort(latencies_.begin(), latencies_.end());
    Figures figures{.most_waiting = most_waiting_};
    if (latencies_.empty()) return figures;
    const double in_time = static_cast<double>(latencies_.size());
    const double able = static_cast<double>(kSlots) / (static_cast<double>(service_ns_) / 1e9);
    figures.goodput = in_time / (able * seconds);
    figures.shed = static_cast<double>(refused_) / static_cast<double>(arrived_);
    figures.p99_ms = latencies_[latencies_.size() * 99 / 100] / 1e6;
    return figures;
  }
  const Gate& gate() const { return gate_; }
  GateView View() { return gate_.View(); }

 private:
  struct Request {
    int64_t arrived_ns = 0;
    int64_t entered_ns = 0;
    bool is_counted = false;
  };

  Now At(int64_t ns) const { return {ns, 1'700'000'000'000 + ns / kMs}; }

  void Arrive() {
    auto request = std::make_shared<Request>(Request{now_ns_, now_ns_, is_counted_});
    if (is_counted_) ++arrived_;
    const auto caller = static_cast<uint32_t>(random_());
    const Outcome outcome =
        gate_.Enter({.priority = kDefaultPriority,
                     .caller = caller,
                     .caller_hash = caller,
                     .deadline_ns = now_ns_ + time_out_ns_},
                    At(now_ns_), [&] {
                      return Waiter{&executor_, [this, request](Refusal refusal) {
                                      if (refusal == Refusal::kNone) return Begin(request);
                                      if (request->is_counted) ++refused_;
                                    }};
                    });
    most_waiting_ = std::max(most_waiting_, gate_.View().waiting);
    if (outcome.kind == Outcome::Kind::kEntered) Begin(request);
    if (outcome.kind == Outcome::Kind::kRefused && is_counted_) ++refused_;
  }

  void Begin(const std::shared_ptr<Request>& request) {
    request->entered_ns = now_ns_;
    events_.emplace(now_ns_ + service_ns_, [this, request] {
      if (request->is_counted) latencies_.push_back(double(now_ns_ - request->arrived_ns));
      gate_.Leave(0, request->entered_ns, At(now_ns_));
    });
  }

  void RunUntil(int64_t ns) {
    while (true) {
      const int64_t event_ns = events_.empty() ? ns : std::min(ns, events_.begin()->first);
      if (tick_ns_ <= event_ns) {
        now_ns_ = tick_ns_;
        gate_.Tick(At(now_ns_));
        tick_ns_ += 50 * kMs;
        continue;
      }
      if (events_.empty() || events_.begin()->first > ns) break;
      const auto event = events_.extract(events_.begin());
      now_ns_ = event.key();
      event.mapped()();
    }
    now_ns_ = ns;
  }

  const int64_t time_out_ns_;
  domain::LimitEntry limit_;
  Gate gate_{"m"};
  Now0 executor_;
  std::mt19937_64 random_{7};
  std::multimap<int64_t, std::function<void()>> events_;
  int64_t now_ns_ = kStart;
  int64_t tick_ns_ = kStart;
  int64_t service_ns_ = 50 * kMs;
  bool is_counted_ = false;
  uint64_t arrived_ = 0;
  uint64_t refused_ = 0;
  uint64_t most_waiting_ = 0;
  std::vector<double> latencies_;  // ns
};

Figures Steady(bool governed, double load) {
  return Load(governed).Run({{.until_ns = 17 * kSecond, .load = load}}, 5 * kSecond);
}

TEST(GateLoad, AGovernedModelDoesWhatItCanAtAnyOverload) {
  for (const double load : {2.0, 5.0, 10.0}) {
    const Figures figures = Steady(true, load);
    EXPECT_GE(figures.goodput, 0.95) << load;
    EXPECT_LE(figures.p99_ms, 50 + 2 * 50 + 1) << load;
    EXPECT_LE(figures.most_waiting, 2 * kSlots);
    EXPECT_NEAR(figures.shed, 1 - 1 / load, 0.03) << load;
    RecordProperty("goodput_at_" + std::to_string(int(load)), std::to_string(figures.goodput));
  }
}

TEST(GateLoad, BelowItsCapacityAGovernorTurnsNobodyAway) {
  const Figures figures = Steady(true, 0.8);
  EXPECT_LE(figures.shed, 0.001);
  EXPECT_NEAR(figures.goodput, 0.8, 0.02);
}

TEST(GateLoad, AStaticLimitKeepsTheQueueBounded) {
  const Figures figures = Steady(false, 10);
  EXPECT_GE(figures.goodput, 0.98);  // what came last is not answered yet
  EXPECT_EQ(figures.most_waiting, 2 * kSlots);
  EXPECT_LE(figures.p99_ms, 50 + 2 * 50 + 1);
}

TEST(GateLoad, AGovernorTurnsAwayWhatIsTooMuch) {
  Load load(true);
  load.Run({{.until_ns = 15 * kSecond, .load = 5}}, 10 * kSecond);
  const GateView view = load.View();
  EXPECT_GT(*view.u, 0.7);
  EXPECT_LT(*view.u, 0.9);
}

TEST(GateLoad, HalfTheCapacityIsUsedInFullTwoSecondsLater) {
  const Figures figures =
      Load(true).Run({{.until_ns = 15 * kSecond, .load = 0.8},
                      {.until_ns = 30 * kSecond, .load = 0.8, .service_ns = 100 * kMs}},
                     17 * kSecond);
  EXPECT_GE(figures.goodput, 0.9);
  EXPECT_LE(figures.p99_ms, 100 + 2 * 100 + 1);
}

TEST(GateLoad, AfterAnOverloadEverybodyIsLetInWithinTwoSeconds) {
  const Figures figures = Load(true).Run(
      {{.until_ns = 10 * kSecond, .load = 10}, {.until_ns = 25 * kSecond, .load = 0.5}},
      12 * kSecond);
  EXPECT_EQ(figures.shed, 0);
}

TEST(GateLoad, WhoseTimeRanOutIsNotServed) {
  Load load(false, 60 * kMs);
  const Figures figures = load.Run({{.until_ns = 10 * kSecond, .load = 3}}, kSecond);
  // A slot was given within the 60 ms or not at all.
  EXPECT_LE(figures.p99_ms, 60 + 50);
  EXPECT_GE(figures.goodput, 0.95);
  EXPECT_GT(load.View().refused[static_cast<size_t>(Refusal::kDeadline)], 0u);
}

}  // namespace
}  // namespace weir::node::admission
