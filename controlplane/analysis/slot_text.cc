// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/slot_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "controlplane/analysis/metric.h"

namespace weir::control::analysis {
namespace {

using telemetry::TDigest;

using Out = std::back_insert_iterator<std::string>;

void AppendDigest(const TDigest& digest, Out out) {
  bool is_first = true;
  for (const TDigest::Centroid& c : digest.Centroids()) {
    fmt::format_to(out, "{}{}:{}", is_first ? "" : ",", static_cast<float>(c.mean),
                   static_cast<uint64_t>(c.weight));
    is_first = false;
  }
}

// The next part up to `separator`, taken off the front of `text`.
std::string_view Take(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

template <class Number>
bool Parse(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

bool ParseCounters(std::string_view text, telemetry::Series& out) {
  for (const char* name : kSlotCounters) {
    uint64_t n = 0;
    if (!Parse(Take(text, ','), n)) return false;
    if (n > 0) out.counters[name] = n;
  }
  return text.empty();
}

bool ParseHistogram(std::string_view text, telemetry::LogHistogram& out) {
  std::vector<telemetry::LogHistogram::Entry> entries;
  while (!text.empty()) {
    std::string_view entry = Take(text, ',');
    auto& [bucket, count] = entries.emplace_back();
    if (!Parse(Take(entry, ':'), bucket) || !Parse(entry, count)) return false;
  }
  auto histogram = telemetry::LogHistogram::FromEntries(std::move(entries));
  if (histogram.ok()) out = *std::move(histogram);
  return histogram.ok();
}

bool ParseDigest(std::string_view text, TDigest& out) {
  std::vector<TDigest::Centroid> centroids;
  while (!text.empty()) {
    std::string_view centroid = Take(text, ',');
    float mean = 0;
    uint64_t weight = 0;
    if (!Parse(Take(centroid, ':'), mean) || !Parse(centroid, weight)) return false;
    centroids.push_back({mean, static_cast<double>(weight)});
  }
  auto digest = TDigest::FromCentroids(std::move(centroids));
  if (digest.ok()) out = *std::move(digest);
  return digest.ok();
}

bool ParseOutcomes(std::string_view text, std::map<std::string, telemetry::Outcome>& out) {
  while (!text.empty()) {
    std::string_view entry = Take(text, ',');
    const std::string name(Take(entry, ':'));
    telemetry::Outcome o;
    if (!IsOutcomeName(name) || !Parse(Take(entry, ':'), o.n) || !Parse(Take(entry, ':'), o.sum) ||
        !Parse(entry, o.sum_squares) || !std::isfinite(o.sum) || !std::isfinite(o.sum_squares)) {
      return false;
    }
    out[name] = o;
  }
  return true;
}

}  // namespace

std::string ToText(const telemetry::Series& series) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const char* name : kSlotCounters) {
    fmt::format_to(out, "{}{}", text.empty() ? "" : ",", series.Counter(name));
  }
  text += ';';
  bool is_first = true;
  for (const auto& [bucket, count] : series.latency.Entries()) {
    fmt::format_to(out, "{}{}:{}", is_first ? "" : ",", bucket, count);
    is_first = false;
  }
  text += ';';
  AppendDigest(series.latency_digest, out);
  text += ';';
  AppendDigest(series.outputs, out);
  text += ';';
  is_first = true;
  for (const auto& [name, o] : series.outcomes) {
    fmt::format_to(out, "{}{}:{}:{}:{}", is_first ? "" : ",", name, o.n, o.sum, o.sum_squares);
    is_first = false;
  }
  return text;
}

Result<telemetry::Series> FromText(std::string_view text) {
  telemetry::Series out;
  const std::string_view whole = text;
  if (!ParseCounters(Take(text, ';'), out) || !ParseHistogram(Take(text, ';'), out.latency) ||
      !ParseDigest(Take(text, ';'), out.latency_digest) ||
      !ParseDigest(Take(text, ';'), out.outputs) || !ParseOutcomes(text, out.outcomes)) {
    return DataLoss(fmt::format("\"{}\" is not what a slot is written as", whole.substr(0, 80)));
  }
  return out;
}

TDigest Rounded(const TDigest& digest) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  std::vector<TDigest::Centroid> centroids = digest.Centroids();
  for (TDigest::Centroid& c : centroids) {
    c.mean = static_cast<float>(std::clamp(c.mean, -kLargest, kLargest));
    c.weight = std::floor(c.weight);
  }
  auto rounded = TDigest::FromCentroids(std::move(centroids));
  return rounded.ok() ? *std::move(rounded) : digest;
}

}  // namespace weir::control::analysis
