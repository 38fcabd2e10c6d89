// SPDX-License-Identifier: Apache-2.0
// The evidence that a canary is worse, valid however often one looks: block e-processes after
// Turner, Ly and Grünwald (arXiv 2106.02693) and a CUSUM over them. Formulas and the choice of odds
// ratios are JUDGEMENT's. Pure: counts in, numbers out; no clock.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <nlohmann/json.hpp>

#include "shared/base/status.h"

namespace weir::control::analysis {

// Alternatives: a canary whose odds of a bad request are this many times those of the null.
inline constexpr std::array<double, 9> kOddsRatios = {1.5, 2, 3, 5, 10, 30, 100, 300, 1000};

// What one look at the counters brought. bad <= requests in both arms.
struct Block {
  uint64_t stable_requests = 0;
  uint64_t stable_bad = 0;
  uint64_t canary_requests = 0;
  uint64_t canary_bad = 0;
};

// The probability whose odds are `ratio` times those of `probability`, both within (0, 1).
double OddsTimes(double probability, double ratio);

// (bad + 1/2) / (requests + 1).
double SmoothedRate(uint64_t bad, uint64_t requests);

// What the canary may be while stable is not there to compare: max(1.5 theta, theta + 0.005).
double FrozenNull(double theta_stable);

// ln e of one block, two samples: theta_a from stable's past, theta_b the alternative for the
// canary. 0 when an arm had no requests. E[e] <= 1 while the canary is no worse.
double LnTwoSample(const Block& block, double theta_a, double theta_b);

// ln e of one block, one sample: null p0, alternative q > p0.
double LnOneSample(uint64_t requests, uint64_t bad, double p0, double q);

// The mean of S over the odds ratios at which `detectors` detectors together raise one false alarm
// per `false_alarm_interval_ms`.
double AlarmThreshold(double detectors, int64_t false_alarm_interval_ms, int64_t tick_ms);

// One detector: per odds ratio R a CUSUM S <- max(1, S) e for alarms, and a product M of all e for
// gates, both kept as logarithms, and what was counted since that S was last <= 1.
// Save and Restore carry every bit, so that a restarted detector goes on as if it had not stopped.
class Detector {
 public:
  static constexpr size_t kMaxKeys = 16;

  struct Span {
    Block counts;
    std::vector<uint32_t> bad_keys;  // distinct, the first kMaxKeys
  };

  // `bad_keys` are the hashed keys of the block's bad canary requests. Blocks without canary
  // requests, and two-sample blocks without stable requests, say nothing and change nothing.
  void AddTwoSample(const Block& block, double theta_a, const std::vector<uint32_t>& bad_keys);
  void AddOneSample(uint64_t requests, uint64_t bad, double p0,
                    const std::vector<uint32_t>& bad_keys);

  double LnMeanS() const;     // alarm at ln AlarmThreshold
  double LargestLnS() const;  // at least LnMeanS, and cheaper
  double LnMeanM() const;     // "worse" at ln(1 / alpha)
  // The span of the odds ratio with the largest S: its canary rate is the effect.
  const Span& Leading() const;

  nlohmann::json Save() const;
  static Result<Detector> Restore(const nlohmann::json& saved);

 private:
  void Add(size_t i, double ln_e, const Block& block, const std::vector<uint32_t>& bad_keys);

  std::array<double, kOddsRatios.size()> ln_s_{};
  std::array<double, kOddsRatios.size()> ln_m_{};
  std::array<Span, kOddsRatios.size()> spans_;
};

}  // namespace weir::control::analysis
