// SPDX-License-Identifier: Apache-2.0
// Made-up traffic for the judge's tests: what both arms count in one tick.
#pragma once

#include <cstdint>
#include <random>

#include "shared/telemetry/series.h"

namespace weir::control::analysis {

class Traffic {
 public:
  explicit Traffic(uint64_t seed) : random_(seed) {}

  // Requests with lognormal latency around `median_ms`; bad requests come from `keys` users.
  telemetry::Series Tick(int requests, double bad_rate, double median_ms = 20,
                         uint32_t keys = 1000) {
    telemetry::Series out;
    std::bernoulli_distribution bad(bad_rate);
    std::lognormal_distribution<double> noise(0, 0.4);
    for (int i = 0; i < requests; ++i) {
      const double ms = median_ms * noise(random_);
      out.counters[telemetry::kRequests] += 1;
      out.latency.Add(ms);
      out.latency_digest.Add(ms);
      if (bad(random_)) {
        out.counters[telemetry::kBad] += 1;
        out.AddBadKey(static_cast<uint32_t>(random_() % keys));
      }
    }
    return out;
  }

  // With outputs around `output`, outcomes and a comparison each.
  telemetry::Series Full(int requests, double bad_rate, double output, double satisfied) {
    telemetry::Series out = Tick(requests, bad_rate);
    std::normal_distribution<double> noise(output, 1);
    std::bernoulli_distribution yes(satisfied);
    for (int i = 0; i < requests; ++i) {
      out.outputs.Add(noise(random_));
      out.outcomes["user_satisfaction"].Add(yes(random_) ? 1 : 0);
      out.outcomes["revenue"].Add(noise(random_) / 3);
      out.counters[telemetry::kCompared] += 1;
      if (yes(random_)) out.counters[telemetry::kDiffered] += 1;
    }
    return out;
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace weir::control::analysis
