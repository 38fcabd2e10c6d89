// SPDX-License-Identifier: Apache-2.0
// Evidence on outcomes, whose values have any scale and whose distribution nobody knows: an
// asymptotic confidence sequence, valid however often one looks once there are many values
// (I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, arXiv 2103.06476).
//
// With n values of mean m and variance v of the mean, the one-sided sequence at alpha ends at
//   m - sqrt(v) sqrt(2 (n rho^2 + 1) / (n rho^2) ln(1 + sqrt(n rho^2 + 1) / (2 alpha)))
// (the paper's, with v = sigma^2 / n). It excludes the threshold exactly when
//   E = 2 (exp(z^2 n rho^2 / (2 (n rho^2 + 1))) - 1) / sqrt(n rho^2 + 1),  z = (m - threshold) /
//   sqrt(v)
// reaches 1 / alpha. E (0 when z points the other way) is what is kept: it is at most the Gaussian
// mixture over positive drifts, 2 Phi(x) exp(x^2 / 2) / sqrt(n rho^2 + 1), a martingale of mean 1.
//
// A canary may turn bad late, so a new sequence begins every period and at most kSpans are kept:
// the first and the latest. The sum of their E is an e-detector (J. Shin, A. Ramdas, A. Rinaldo,
// arXiv 2203.03532): alarms at c are on average at least c periods apart while the canary is as it
// should be.
#pragma once

#include <cstdint>
#include <deque>

#include <nlohmann/json.hpp>

#include "controlplane/analysis/metric.h"
#include "shared/base/status.h"
#include "shared/telemetry/series.h"

namespace weir::control::analysis {

// What is tested: the canary's value against `threshold`, or, where the metric is a ratio, against
// `threshold` times stable's.
struct OutcomeClaim {
  Metric metric;  // IsOutcome()
  double threshold = 0;
  bool is_below = false;  // bad is below the threshold
};

// An arm's estimate of a metric. `variance` is that of the estimate.
struct Estimate {
  uint64_t n = 0;
  double value = 0;
  double variance = 0;
};

// Fewer values of an arm than this say nothing: the sequence is valid for many.
inline constexpr uint64_t kLeastOutcomes = 100;

// ln E of the two arms' outcomes; -infinity without evidence. How the variances come about:
// - a mean: sigma^2 / n, with the larger of the two arms' sigma^2 and, where all of the canary's
//   values are 0 or 1, of t (1 - t) at the value t that it is held against: so that a canary of
//   which only zeros have been seen yet is not taken for one without chance;
// - a quotient A / B of sums of independent values: (sum a^2 + q^2 sum b^2) / B^2 (compound
// Poisson),
//   with the larger of the quotient itself and what it is held against as q.
// A variance of 0 is no evidence.
double LnOutcomeEvidence(const Arms& arms, const OutcomeClaim& claim, double rho_squared);

// The estimate itself, as above; `against` is the value it is held against. Absent below
// kLeastOutcomes or without a finite value.
std::optional<Estimate> EstimateOf(const telemetry::Series& arm, const telemetry::Series& other,
                                   const Metric& metric, double against);

// rho^2 at which the sequence is narrowest about `n` values: (L + ln L + 1) / n, L = -2 ln(2
// alpha).
double BestRhoSquared(double alpha, double n);
// How far below the mean the sequence ends, in standard errors of the mean, at n values.
double OneSidedMargin(double n, double rho_squared, double alpha);

// Belongs to one thread. Restore takes up exactly what Save left.
class OutcomeDetector {
 public:
  static constexpr size_t kSpans = 8;

  struct Span {
    int64_t start_ms = 0;
    Arms arms;  // outcomes only
    double ln_e = 0;
  };

  // `alarm_at` is the sum of E at which the caller alarms; it sets rho.
  OutcomeDetector(OutcomeClaim claim, int64_t period_ms, double alarm_at);

  // What was counted since the last call. Time must not go back.
  void Add(int64_t now_ms, const telemetry::Series& stable, const telemetry::Series& canary);

  double LnSum() const { return ln_sum_; }
  double LnRatio() const;  // to alarm_at
  // The span with the most evidence; null before the first outcome.
  const Span* Leading() const;

  nlohmann::json Save(int64_t now_ms) const;
  // Throws nlohmann's exceptions or std::invalid_argument; the judge's Restore catches them.
  void Restore(const nlohmann::json& saved, int64_t now_ms);

 private:
  void Weigh(Span& span) const;
  void Sum();

  OutcomeClaim claim_;
  int64_t period_ms_;
  double alarm_at_;
  double rho_squared_;
  std::deque<Span> spans_;
  double ln_sum_;
};

}  // namespace weir::control::analysis
