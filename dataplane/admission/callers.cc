// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/callers.h"

#include <algorithm>
#include <cmath>

namespace weir::node::admission {
namespace {

constexpr double kBurstS = 0.25;
constexpr double kLongestWaitMs = 60'000;

double Burst(double rate) { return std::max(1.0, rate * kBurstS); }

}  // namespace

double TokenBucket::Level(double rate, int64_t now_ns) const {
  if (at_ns_ == 0) return Burst(rate);
  const double passed_s = static_cast<double>(std::max<int64_t>(0, now_ns - at_ns_)) / 1e9;
  return std::min(Burst(rate), tokens_ + passed_s * rate);
}

bool TokenBucket::Take(double rate, int64_t now_ns) {
  tokens_ = Level(rate, now_ns);
  at_ns_ = now_ns;
  // What rounding takes away is given.
  if (tokens_ < 1 - 1e-9) return false;
  tokens_ = std::max(0.0, tokens_ - 1);
  return true;
}

int64_t TokenBucket::WaitMs(double rate) const {
  const double missing = std::max(0.0, 1 - tokens_);
  return static_cast<int64_t>(std::ceil(std::min(kLongestWaitMs, missing / rate * 1000)));
}

bool TokenBucket::IsFull(double rate, int64_t now_ns) const {
  return Level(rate, now_ns) >= Burst(rate);
}

Callers::Caller* Callers::Find(uint32_t caller) {
  const auto found = callers_.find(caller);
  if (found != callers_.end()) return &found->second;
  if (callers_.size() >= kMaxCallers) return nullptr;
  return &callers_[caller];
}

void Callers::Entered(uint32_t caller) {
  if (Caller* known = Find(caller)) ++known->inside;
}

void Callers::Left(uint32_t caller) {
  const auto found = callers_.find(caller);
  if (found != callers_.end() && found->second.inside > 0) --found->second.inside;
}

void Callers::Prune(double rate, int64_t now_ns) {
  std::erase_if(callers_, [&](const auto& item) {
    const Caller& caller = item.second;
    return caller.inside == 0 && (rate <= 0 || caller.bucket.IsFull(rate, now_ns));
  });
}

}  // namespace weir::node::admission
