// SPDX-License-Identifier: Apache-2.0
#include "ops/fraud_models/transactions.h"

#include <bit>

namespace weir::ops {
namespace {

uint64_t SplitMix64(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Cut to a whole number of steps: 0.01 gives two decimals.
double Cut(double value, int steps_per_unit) {
  return static_cast<double>(static_cast<int64_t>(value * steps_per_unit)) / steps_per_unit;
}

}  // namespace

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = SplitMix64(seed);
}

uint64_t Random::Next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

int Random::Geometric(double success, int limit) {
  int n = 0;
  while (n < limit && Unit() < success) ++n;
  return n;
}

std::array<float, kAllFeatures> Transaction::Features() const {
  const auto f = [](auto value) { return static_cast<float>(value); };
  return {f(amount),           f(hour),          f(country_risk),
          f(velocity_1h),      f(velocity_24h),  f(device_age_days),
          f(merchant_risk),    f(card_present),  f(distance_from_home_km),
          f(account_age_days), f(failed_logins), f(is_night),
          f(chargebacks_90d),  f(ip_reputation), f(shipping_mismatch)};
}

Transaction MakeTransaction(Random& random) {
  Transaction t;
  double u = random.Unit();
  t.amount = Cut(4 + 45 * u / (1.02 - u), 100);
  t.hour = random.Unit() < 0.8 ? 8 + random.Below(15) : random.Below(24);
  t.is_night = t.hour < 6;
  u = random.Unit();
  t.country_risk = Cut(u * u * u, 100);
  t.velocity_1h = random.Geometric(0.35, 12);
  u = random.Unit();
  t.velocity_24h = t.velocity_1h + static_cast<int>(10 * u * u);
  u = random.Unit();
  t.device_age_days = static_cast<int>(900 * u * u);
  u = random.Unit();
  t.merchant_risk = Cut(u * u, 100);
  t.card_present = random.Unit() < 0.6;
  u = random.Unit();
  t.distance_from_home_km = Cut(2 + 8 * u / (1.005 - u), 10);
  t.account_age_days = random.Below(3000);
  t.failed_logins = random.Geometric(0.15, 8);
  t.chargebacks_90d = random.Geometric(0.06, 5);
  u = random.Unit();
  t.ip_reputation = Cut(u * u, 100);
  t.shipping_mismatch = random.Unit() < 0.08;
  return t;
}

double RiskPoints(const Transaction& t) {
  double points = 2 * t.merchant_risk;
  if (!t.card_present) {
    points += 1;
    if (t.amount > 150) points += 2;
    if (t.device_age_days < 14) points += 2.5;
  }
  if (t.velocity_1h >= 3) points += 2;
  if (t.velocity_24h >= 8) points += 1;
  if (t.country_risk > 0.6) points += t.is_night ? 3 : 1.5;
  if (t.failed_logins >= 2) points += t.device_age_days < 14 ? 4 : 2;
  if (t.distance_from_home_km > 300) points += t.card_present ? 3 : 0.5;
  if (t.account_age_days < 60) points += t.amount > 400 ? 3 : 1.5;
  if (t.chargebacks_90d >= 1) points += 2;
  if (t.ip_reputation > 0.8) points += 1.5;
  if (t.shipping_mismatch) points += 1.5;
  return points;
}

double FraudProbability(double points) {
  const double square = points * points;
  const double sixth = square * square * square;
  constexpr double kHalfway = 7.0 * 7.0 * 7.0 * 7.0 * 7.0 * 7.0;  // 7 points: one in two
  return 0.002 + 0.97 * sixth / (sixth + kHalfway);
}

Dataset Dataset::Narrowed(size_t width) const {
  Dataset narrow{width, {}, labels};
  narrow.values.reserve(Rows() * width);
  for (size_t row = 0; row < Rows(); ++row) {
    const auto begin = values.begin() + static_cast<ptrdiff_t>(row * columns);
    narrow.values.insert(narrow.values.end(), begin, begin + static_cast<ptrdiff_t>(width));
  }
  return narrow;
}

Dataset MakeDataset(uint64_t seed, size_t rows) {
  Random random(seed);
  Dataset data{kAllFeatures, {}, {}};
  for (size_t row = 0; row < rows; ++row) {
    const Transaction t = MakeTransaction(random);
    const auto features = t.Features();
    data.values.insert(data.values.end(), features.begin(), features.end());
    const bool fraud = random.Unit() < FraudProbability(RiskPoints(t));
    data.labels.push_back(fraud ? 1.0F : 0.0F);
  }
  return data;
}

}  // namespace weir::ops
