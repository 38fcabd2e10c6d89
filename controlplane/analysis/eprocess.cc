// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/eprocess.h"

#include <algorithm>
#include <cmath>

namespace weir::control::analysis {
namespace {

constexpr double kLeastProbability = 1e-12;

double LnMeanExp(const std::array<double, kOddsRatios.size()>& logs) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double value : logs) sum += std::exp(value - largest);
  return largest + std::log(sum / static_cast<double>(logs.size()));
}

// n ln(p / q), without the logarithm where there is nothing: mostly nothing is bad.
double Times(double n, double p, double q) { return n == 0 ? 0 : n * std::log(p / q); }

double Clamped(double probability) {
  return std::clamp(probability, kLeastProbability, 1 - kLeastProbability);
}

}  // namespace

double OddsTimes(double probability, double ratio) {
  return Clamped(ratio * probability / (1 - probability + ratio * probability));
}

double SmoothedRate(uint64_t bad, uint64_t requests) {
  return (static_cast<double>(bad) + 0.5) / (static_cast<double>(requests) + 1);
}

double FrozenNull(double theta_stable) {
  return Clamped(std::max(1.5 * theta_stable, theta_stable + 0.005));
}

double LnTwoSample(const Block& block, double theta_a, double theta_b) {
  const auto a = static_cast<double>(block.stable_requests);
  const auto b = static_cast<double>(block.canary_requests);
  if (a == 0 || b == 0) return 0;
  const auto x_a = static_cast<double>(block.stable_bad);
  const auto x_b = static_cast<double>(block.canary_bad);
  const double theta_0 = (a * theta_a + b * theta_b) / (a + b);
  return Times(x_a, theta_a, theta_0) + Times(a - x_a, 1 - theta_a, 1 - theta_0) +
         Times(x_b, theta_b, theta_0) + Times(b - x_b, 1 - theta_b, 1 - theta_0);
}

double LnOneSample(uint64_t requests, uint64_t bad, double p0, double q) {
  const auto x = static_cast<double>(bad);
  const auto n = static_cast<double>(requests);
  return Times(x, q, p0) + Times(n - x, 1 - q, 1 - p0);
}

double AlarmThreshold(double detectors, int64_t false_alarm_interval_ms, int64_t tick_ms) {
  return detectors * static_cast<double>(false_alarm_interval_ms) / static_cast<double>(tick_ms);
}

void Detector::AddTwoSample(const Block& block, double theta_a,
                            const std::vector<uint32_t>& bad_keys) {
  if (block.canary_requests == 0 || block.stable_requests == 0) return;
  theta_a = Clamped(theta_a);
  for (size_t i = 0; i < kOddsRatios.size(); ++i) {
    Add(i, LnTwoSample(block, theta_a, OddsTimes(theta_a, kOddsRatios[i])), block, bad_keys);
  }
}

void Detector::AddOneSample(uint64_t requests, uint64_t bad, double p0,
                            const std::vector<uint32_t>& bad_keys) {
  if (requests == 0) return;
  p0 = Clamped(p0);
  const Block block{0, 0, requests, bad};
  for (size_t i = 0; i < kOddsRatios.size(); ++i) {
    Add(i, LnOneSample(requests, bad, p0, OddsTimes(p0, kOddsRatios[i])), block, bad_keys);
  }
}

double Detector::LnMeanS() const { return LnMeanExp(ln_s_); }

double Detector::LargestLnS() const { return *std::max_element(ln_s_.begin(), ln_s_.end()); }

double Detector::LnMeanM() const { return LnMeanExp(ln_m_); }

const Detector::Span& Detector::Leading() const {
  return spans_[static_cast<size_t>(std::max_element(ln_s_.begin(), ln_s_.end()) - ln_s_.begin())];
}

nlohmann::json Detector::Save() const {
  nlohmann::json spans = nlohmann::json::array();
  for (const Span& span : spans_) {
    const Block& c = span.counts;
    spans.push_back({c.stable_requests, c.stable_bad, c.canary_requests, c.canary_bad,
                     nlohmann::json(span.bad_keys)});
  }
  return {{"ln_s", ln_s_}, {"ln_m", ln_m_}, {"spans", spans}};
}

Result<Detector> Detector::Restore(const nlohmann::json& saved) {
  try {
    Detector out;
    saved.at("ln_s").get_to(out.ln_s_);
    saved.at("ln_m").get_to(out.ln_m_);
    const nlohmann::json& spans = saved.at("spans");
    if (spans.size() != out.spans_.size()) return DataLoss("a detector has 9 spans");
    for (size_t i = 0; i < out.spans_.size(); ++i) {
      Block& c = out.spans_[i].counts;
      c.stable_requests = spans[i].at(0).get<uint64_t>();
      c.stable_bad = spans[i].at(1).get<uint64_t>();
      c.canary_requests = spans[i].at(2).get<uint64_t>();
      c.canary_bad = spans[i].at(3).get<uint64_t>();
      spans[i].at(4).get_to(out.spans_[i].bad_keys);
    }
    return out;
  } catch (const nlohmann::json::exception& e) {
    return DataLoss(std::string("saved detector: ") + e.what());
  }
}

void Detector::Add(size_t i, double ln_e, const Block& block,
                   const std::vector<uint32_t>& bad_keys) {
  Span& span = spans_[i];
  if (ln_s_[i] <= 0) span = {};
  ln_s_[i] = std::max(0.0, ln_s_[i]) + ln_e;
  ln_m_[i] += ln_e;
  span.counts.stable_requests += block.stable_requests;
  span.counts.stable_bad += block.stable_bad;
  span.counts.canary_requests += block.canary_requests;
  span.counts.canary_bad += block.canary_bad;
  for (const uint32_t key : bad_keys) {
    if (span.bad_keys.size() >= kMaxKeys) break;
    if (std::find(span.bad_keys.begin(), span.bad_keys.end(), key) == span.bad_keys.end()) {
      span.bad_keys.push_back(key);
    }
  }
}

}  // namespace weir::control::analysis
