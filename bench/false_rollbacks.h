// SPDX-License-Identifier: Apache-2.0
// How often a healthy canary is taken back: simulated canaries that are as good as stable, through
// the judge that judges real rollouts, with all default triggers on and the documents' limits.
#pragma once

#include <cstdint>
#include <utility>

#include "bench/report.h"
#include "shared/base/status.h"

namespace weir::bench {

// Each canary and its stable version get 100,000 requests, 100 a second, looked at every 100 ms.
// Shares of 1, 10 and 50 % and error rates of 0.1, 1 and 3 % take turns. The figure is the share of
// canaries taken back beside the declared one, with its 95 % confidence interval as a note. About
// 20 ms of one core a canary.
Status MeasureFalseRollbacks(int canaries, Report& report);

// The exact (Clopper-Pearson) 95 % confidence interval of a rate of which `count` of `n` were seen.
std::pair<double, double> ConfidenceInterval(uint64_t count, uint64_t n);

}  // namespace weir::bench
