// SPDX-License-Identifier: Apache-2.0
// Card transactions made from a seed: the same rows on every platform, because the generator
// (xoshiro256**, seeded by SplitMix64) is our own and only + - * / and comparisons follow it.
// config/models/README.md has the table of features and the rule behind the labels.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::ops {

// Blackman and Vigna's xoshiro256**; its state is filled by SplitMix64 from one number.
class Random {
 public:
  explicit Random(uint64_t seed);
  uint64_t Next();
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }  // in [0, 1)
  int Below(int n) { return static_cast<int>(Unit() * n); }
  // Successes before the first failure, at most `limit`.
  int Geometric(double success, int limit);

 private:
  std::array<uint64_t, 4> state_;
};

// The columns in their order. The first kServedFeatures are what clients send; the others are known
// to the team that trained 1.2.0 only.
inline constexpr std::array kFeatureNames = {
    "amount",           "hour",          "country_risk",
    "velocity_1h",      "velocity_24h",  "device_age_days",
    "merchant_risk",    "card_present",  "distance_from_home_km",
    "account_age_days", "failed_logins", "is_night",
    "chargebacks_90d",  "ip_reputation", "shipping_mismatch",
};
inline constexpr size_t kServedFeatures = 12;
inline constexpr size_t kAllFeatures = kFeatureNames.size();

// One transaction; fields stand in the order of kFeatureNames.
struct Transaction {
  double amount = 0;  // EUR
  int hour = 0;       // 0..23, local time
  double country_risk = 0;
  int velocity_1h = 0;   // earlier transactions of the card in the last hour
  int velocity_24h = 0;  // and in the last day
  int device_age_days = 0;
  double merchant_risk = 0;
  bool card_present = false;
  double distance_from_home_km = 0;
  int account_age_days = 0;
  int failed_logins = 0;
  bool is_night = false;
  int chargebacks_90d = 0;
  double ip_reputation = 0;  // 0 good .. 1 bad
  bool shipping_mismatch = false;

  std::array<float, kAllFeatures> Features() const;
};

Transaction MakeTransaction(Random& random);

// The points of the documented rule and the probability of fraud (0..1) that they mean.
double RiskPoints(const Transaction& t);
double FraudProbability(double points);

// Rows of equal width, one after the other, with a label (1 fraud, 0 not) each.
struct Dataset {
  size_t columns = 0;
  std::vector<float> values;
  std::vector<float> labels;

  size_t Rows() const { return labels.size(); }
  // The same rows with the first `columns` columns only.
  Dataset Narrowed(size_t columns) const;
};

Dataset MakeDataset(uint64_t seed, size_t rows);

}  // namespace weir::ops
