// SPDX-License-Identifier: Apache-2.0
// Times two sides in one run: their batches alternate, so that what disturbs the machine disturbs
// both, and the medians of many batches are compared.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "bench/report.h"
#include "shared/base/clock.h"

namespace weir::bench {

struct Rounds {
  size_t batches = 300;
  size_t per_batch = 4000;  // calls of a side
};

// The compiler must make the value, and may not guess memory behind it.
template <class T>
inline void Keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// Nanoseconds per call of side(i), i from 0 to per_batch.
template <class Side>
double BatchNs(size_t calls, Side& side) {
  const int64_t start = Clock::System().MonotonicNs();
  for (size_t i = 0; i < calls; ++i) side(i);
  return static_cast<double>(Clock::System().MonotonicNs() - start) / static_cast<double>(calls);
}

// Medians of both.
template <class A, class B>
std::pair<double, double> Interleave(const Rounds& rounds, A a, B b) {
  std::vector<double> of_a;
  std::vector<double> of_b;
  for (size_t i = 0; i < rounds.batches; ++i) {
    if (i % 2 == 0) of_a.push_back(BatchNs(rounds.per_batch, a));
    of_b.push_back(BatchNs(rounds.per_batch, b));
    if (i % 2 == 1) of_a.push_back(BatchNs(rounds.per_batch, a));
  }
  return {Median(std::move(of_a)), Median(std::move(of_b))};
}

}  // namespace weir::bench
