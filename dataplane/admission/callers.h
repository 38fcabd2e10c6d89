// SPDX-License-Identifier: Apache-2.0
// Token buckets, and what each caller of a model has at one node's gate. Pure; whoever owns it
// serializes the calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace weir::node::admission {

// At most `rate` requests a second, and bursts of a quarter of a second's (at least one request).
class TokenBucket {
 public:
  // Takes one if there is one. The rate may be another at each call.
  bool Take(double rate, int64_t now_ns);
  // Until there is one again.
  int64_t WaitMs(double rate) const;
  // Nothing was taken lately.
  bool IsFull(double rate, int64_t now_ns) const;

 private:
  double Level(double rate, int64_t now_ns) const;

  double tokens_ = 0;
  int64_t at_ns_ = 0;  // when it had these; 0: it is full
};

// Bounded: what more than kMaxCallers callers do at once is not limited by caller, since who makes
// up that many names would make up more.
class Callers {
 public:
  static constexpr size_t kMaxCallers = 4096;

  struct Caller {
    TokenBucket bucket;
    uint64_t inside = 0;  // requests at the gate or behind it
  };
  // Null: there are too many. The pointer holds until the next call.
  Caller* Find(uint32_t caller);
  void Entered(uint32_t caller);
  void Left(uint32_t caller);
  // Forgets those about whom there is nothing to remember. `rate`: what each may have a second.
  void Prune(double rate, int64_t now_ns);
  void Clear() { callers_.clear(); }
  size_t size() const { return callers_.size(); }

 private:
  std::unordered_map<uint32_t, Caller> callers_;
};

}  // namespace weir::node::admission
