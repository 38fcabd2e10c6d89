// SPDX-License-Identifier: Apache-2.0
#include "bench/digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "bench/interleave.h"
#include "shared/telemetry/tdigest.h"

namespace weir::bench {
namespace {

constexpr int kRepeats = 5;     // of what is timed; the median counts
constexpr size_t kParts = 100;  // digests that are merged into one
constexpr double kGoodInsertNs = 40;

struct Distribution {
  std::string name;
  std::vector<double> values;
};

std::vector<Distribution> Distributions(size_t count) {
  std::mt19937_64 random(6);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::lognormal_distribution<double> skewed(3, 1);
  std::normal_distribution<double> quick(10, 1);
  std::normal_distribution<double> slow(1000, 50);
  const auto make = [&](const char* name, auto value) {
    Distribution made{name, {}};
    for (size_t i = 0; i < count; ++i) made.values.push_back(value());
    return made;
  };
  std::vector<Distribution> all = {
      make("uniform", [&] { return uniform(random); }),
      make("log-normal", [&] { return skewed(random); }),
      make("bimodal", [&] { return uniform(random) < 0.6 ? quick(random) : slow(random); }),
      make("sorted", [&] { return uniform(random); })};
  std::sort(all.back().values.begin(), all.back().values.end());
  return all;
}

template <class Run>
double MedianNs(Run run) {
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    const int64_t start = Clock::System().MonotonicNs();
    run();
    times.push_back(static_cast<double>(Clock::System().MonotonicNs() - start));
  }
  return Median(std::move(times));
}

telemetry::TDigest DigestOf(const double* begin, const double* end) {
  telemetry::TDigest digest;
  for (const double* value = begin; value != end; ++value) digest.Add(*value);
  digest.Fold();
  return digest;
}

void MeasureInserts(const Distribution& of, Report& report) {
  const double count = static_cast<double>(of.values.size());
  const double ns = MedianNs(
      [&] { Keep(DigestOf(of.values.data(), of.values.data() + of.values.size()).Count()); });
  report.Add({.name = fmt::format("t-digest insert, {}, folds included", of.name),
              .value = ns / count,
              .unit = "ns",
              .yardstick = "a good implementation in C++",
              .yardstick_value = kGoodInsertNs,
              .goal = 1});
}

void MeasureMerges(const Distribution& of, Report& report) {
  std::vector<telemetry::TDigest> parts;
  size_t centroids = 0;
  const size_t each = of.values.size() / kParts;
  for (size_t i = 0; i < kParts; ++i) {
    parts.push_back(DigestOf(of.values.data() + i * each, of.values.data() + (i + 1) * each));
    centroids += parts.back().Centroids().size();
  }
  const double ns = MedianNs([&] {
    telemetry::TDigest all;
    for (const telemetry::TDigest& part : parts) all.Merge(part);
    all.Fold();
    Keep(all.Count());
  });
  report.Add({.name = fmt::format("t-digest merge of {} into one, {}, a centroid", kParts, of.name),
              .value = ns / static_cast<double>(centroids),
              .unit = "ns",
              .yardstick = "",
              .yardstick_value = 0});
}

// The share of `sorted` below `value`, half of what equals it included.
double RankOf(const std::vector<double>& sorted, double value) {
  const auto [low, high] = std::equal_range(sorted.begin(), sorted.end(), value);
  const auto below = static_cast<double>(low - sorted.begin());
  const auto equal = static_cast<double>(high - low);
  return (below + equal / 2) / static_cast<double>(sorted.size());
}

void MeasureRanks(const Distribution& of, Report& report) {
  const telemetry::TDigest digest = DigestOf(of.values.data(), of.values.data() + of.values.size());
  std::vector<double> sorted = of.values;
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [name, q] : {std::pair("p50", 0.5), std::pair("p95", 0.95),
                                std::pair("p99", 0.99), std::pair("p99.9", 0.999)}) {
    const double said = digest.Quantile(q);
    report.Add({.name = fmt::format("t-digest {}, {}, error in rank", name, of.name),
                .value = std::abs(RankOf(sorted, said) - q) * 1e6,
                .unit = "ppm",
                .yardstick = fmt::format("exact: {:.5g}, and the digest says {:.5g}",
                                         Quantile(sorted, q), said),
                .yardstick_value = 0});
  }
}

void MeasureBytes(const Distribution& of, Report& report) {
  const telemetry::TDigest digest = DigestOf(of.values.data(), of.values.data() + of.values.size());
  report.Add({.name = fmt::format("t-digest of {} values, {}", of.values.size(), of.name),
              .value = static_cast<double>(digest.Centroids().size() *
                                           sizeof(telemetry::TDigest::Centroid)),
              .unit = "bytes",
              .yardstick = "the values",
              .yardstick_value = static_cast<double>(of.values.size() * sizeof(double))});
}

}  // namespace

void MeasureDigest(size_t values, Report& report) {
  for (const Distribution& distribution : Distributions(values)) {
    MeasureInserts(distribution, report);
    MeasureMerges(distribution, report);
    MeasureBytes(distribution, report);
    MeasureRanks(distribution, report);
  }
}

}  // namespace weir::bench
