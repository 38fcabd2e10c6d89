// SPDX-License-Identifier: Apache-2.0
#include "dataplane/breaker/breaker.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::node::breaker {

Permit Breaker::Admit(int64_t now_ms) {
  if (state_ == State::kClosed) return Permit::kPass;
  if (state_ == State::kOpen) {
    if (now_ms < open_until_ms_) return Permit::kNone;
    state_ = State::kProbing;
    good_probes_ = 0;
  }
  if (is_probe_out_) return Permit::kNone;
  is_probe_out_ = true;
  return Permit::kProbe;
}

void Breaker::Answer(Permit permit, Outcome outcome, uint32_t key_hash, int64_t now_ms) {
  if (permit == Permit::kProbe) return Probed(outcome, now_ms);
  // What passed before it opened and ends only now has no say in whether it closes.
  if (permit == Permit::kNone || state_ != State::kClosed || outcome == Outcome::kNothing) return;
  unreached_ = outcome == Outcome::kUnreached ? unreached_ + 1 : 0;
  window_.Record(outcome != Outcome::kGood, key_hash, now_ms);
  if (unreached_ >= kUnreachedInARow) {
    return Open(now_ms, fmt::format("{} calls in a row reached nobody", unreached_));
  }
  if (const auto why = window_.WhyBad(now_ms)) Open(now_ms, *why);
}

void Breaker::Trip(const std::string& why, int64_t now_ms) {
  if (state_ == State::kClosed) Open(now_ms, why);
}

void Breaker::Reset() {
  const bool was_open = state_ != State::kClosed;
  state_ = State::kClosed;
  window_ = {};
  unreached_ = 0;
  open_for_ms_ = first_open_ms_;
  is_probe_out_ = false;
  if (was_open && on_change_) on_change_(false, "");
}

void Breaker::Open(int64_t now_ms, const std::string& why) {
  const bool was_closed = state_ == State::kClosed;
  state_ = State::kOpen;
  open_until_ms_ = now_ms + open_for_ms_ + JitterMs();
  if (was_closed && on_change_) on_change_(true, why);
}

// splitmix64
int64_t Breaker::JitterMs() {
  if (random_ == 0) return 0;
  uint64_t z = (random_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<int64_t>((z ^ (z >> 31)) % static_cast<uint64_t>(open_for_ms_ / 4 + 1));
}

void Breaker::Probed(Outcome outcome, int64_t now_ms) {
  // The probe of a breaker that was reset meanwhile.
  if (state_ != State::kProbing) return;
  is_probe_out_ = false;
  if (outcome == Outcome::kNothing) return;
  if (outcome != Outcome::kGood) {
    open_for_ms_ = std::min(open_for_ms_ * 2, kMaxOpenMs);
    return Open(now_ms, "");
  }
  if (++good_probes_ >= kGoodProbes) Reset();
}

}  // namespace weir::node::breaker
