// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/governor.h"

#include <algorithm>
#include <cmath>

namespace weir::node::admission {
namespace {

constexpr double kTickS = Governor::kTickMs / 1000.0;
constexpr double kProportional = 0.3;
constexpr double kIntegral = 0.8;  // per second
constexpr double kQueueWeight = 0.5;
constexpr double kDeadBand = 0.02;
constexpr double kLeastError = -2;
constexpr double kMostError = 1;
constexpr double kLeastRelease = 0.25;  // of the step when u falls
constexpr double kRecovery = 1.5;       // of the accepted share, per idle tick
constexpr int kIdleTicks = 2;

bool IsComplete(const Reading& reading, double limit, double target_delay_ms) {
  const auto is_known = [](double value) { return std::isfinite(value) && value >= 0; };
  return is_known(reading.in) && is_known(reading.out) && is_known(reading.queue) &&
         is_known(reading.least_queue) && is_known(reading.inflight) &&
         is_known(reading.service_ms) && reading.service_ms > 0 && is_known(limit) && limit > 0 &&
         is_known(target_delay_ms);
}

}  // namespace

// splitmix64's finalizer
double ShareOf(uint32_t caller_hash) {
  uint64_t z = caller_hash + 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

void Governor::Tick(const Reading& reading, double limit, double target_delay_ms) {
  if (!IsComplete(reading, limit, target_delay_ms)) return;
  standing_ticks_ = reading.least_queue > 0 ? standing_ticks_ + 1 : 0;
  if (!is_active_) {
    if (standing_ticks_ < kStandingTicks) return;
    is_active_ = true;
    last_error_ = 0;
    idle_ticks_ = 0;
  }
  const double error = ErrorOf(reading, limit, target_delay_ms);
  const double step = kProportional * (error - last_error_) + kIntegral * kTickS * error;
  u_ += step * (error > 0 ? 1 - u_ : std::max(1 - u_, kLeastRelease));
  u_ = std::clamp(u_, 0.0, kMaxU);
  last_error_ = error;
  Recover(reading, limit);
  if (u_ == 0 && reading.queue == 0) is_active_ = false;
}

// By which share of what it can do in a tick the node got too much.
double Governor::ErrorOf(const Reading& reading, double limit, double target_delay_ms) const {
  const double wanted_queue = reading.out / kTickS * target_delay_ms / 1000;
  const double surplus = reading.in - reading.out + kQueueWeight * (reading.queue - wanted_queue) -
                         std::max(0.0, limit - reading.inflight);
  const double least = 0.1 * limit * static_cast<double>(kTickMs) / reading.service_ms;
  const double error = surplus / std::max({reading.out, least, 1.0});
  if (std::abs(error) < kDeadBand) return 0;
  return std::clamp(error, kLeastError, kMostError);
}

void Governor::Recover(const Reading& reading, double limit) {
  const bool is_idle = reading.queue == 0 && limit - reading.inflight >= limit / 4;
  idle_ticks_ = is_idle ? idle_ticks_ + 1 : 0;
  if (idle_ticks_ >= kIdleTicks) u_ = 1 - std::min(1.0, kRecovery * (1 - u_));
}

bool Governor::LetsIn(int priority, uint32_t caller_hash) {
  const auto tier = static_cast<size_t>(std::clamp(priority, 0, kPriorities - 1));
  if (kept_count_ == kKeptPriorities) {
    --by_priority_[kept_[next_]];
  } else {
    ++kept_count_;
  }
  kept_[next_] = static_cast<uint8_t>(tier);
  ++by_priority_[tier];
  next_ = (next_ + 1) % kKeptPriorities;
  if (u_ <= 0) return true;

  const double turned_away = u_ * static_cast<double>(kept_count_);
  double below = 0;  // of less important requests
  for (size_t i = 0; i < tier; ++i) below += by_priority_[i];
  const double share = (turned_away - below) / by_priority_[tier];
  return ShareOf(caller_hash) >= share;
}

}  // namespace weir::node::admission
