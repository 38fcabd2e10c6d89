// SPDX-License-Identifier: Apache-2.0
// What objectives measure, by name, over what a window of one subject counted. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared/telemetry/series.h"
#include "shared/telemetry/tdigest.h"

namespace weir::control::analysis {

// One of domain::PolicyMetrics().
struct SloMetric {
  enum class Kind {
    kErrorRate,    // bad / requests
    kShedRate,     // shed / (requests + shed)
    kQuantile,     // of a quantity, from merged digests
    kThroughput,   // requests a second
    kTokens,       // tokens a second
    kDrift,        // population stability index of the canary's outputs (drift.h)
    kDegradation,  // p95 of the canary / p95 of stable - 1, at least 0
    kStaleness,    // of nodes: the most seconds that one lacks the newest snapshot
    kMemory        // of nodes: the most bytes that one takes
  };
  enum class Quantity { kNone, kLatency, kTtft, kQueue, kOutputs };

  Kind kind = Kind::kErrorRate;
  Quantity quantity = Quantity::kNone;
  double q = 0;
  uint64_t min_samples = 0;  // where the objective says nothing

  bool IsOfNodes() const { return kind == Kind::kStaleness || kind == Kind::kMemory; }
  bool ComparesArms() const { return kind == Kind::kDrift || kind == Kind::kDegradation; }
  // Says something only once a whole window was watched.
  bool IsRate() const { return kind == Kind::kThroughput || kind == Kind::kTokens; }
};

// Absent for a name that is no metric of policies.
std::optional<SloMetric> SloMetricOf(const std::string& name);

// The digest of a quantity; null where the series has none. A series without times to first tokens
// is of a version that answers in one piece: there they are its latency, unless every answer was
// bad.
const telemetry::TDigest* DigestOf(const telemetry::Series& series, SloMetric::Quantity quantity);

// What a window of series adds up to, as far as metrics need it.
struct SloSums {
  uint64_t requests = 0;
  uint64_t bad = 0;
  uint64_t shed = 0;
  uint64_t tokens = 0;
  telemetry::TDigest values{};  // of the metric's quantity; where arms are compared, the canary's
  telemetry::TDigest stable{};  // where arms are compared, stable's

  // `is_stable` matters where arms are compared.
  void Add(const telemetry::Series& series, const SloMetric& metric, bool is_stable);
  void Merge(const SloSums& other);
  bool Empty() const { return requests + shed + tokens == 0 && values.Empty() && stable.Empty(); }
};

// How much data there is for it: requests, values of the quantity, of the arm with fewer.
uint64_t SamplesOf(const SloSums& sums, const SloMetric& metric);
// Finite, or absent without data. Not for metrics of nodes.
std::optional<double> SloValueOf(const SloSums& sums, const SloMetric& metric, int64_t covered_ms);

}  // namespace weir::control::analysis
