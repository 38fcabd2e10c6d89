// SPDX-License-Identifier: Apache-2.0
#include "shared/wire/telemetry_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace weir::wire {
namespace {

Status CheckKeyText(const char* field, const std::string& text) {
  const bool is_printable = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
  });
  if (!text.empty() && text.size() <= kMaxKeyText && is_printable) return OkStatus();
  return InvalidArgument(
      field, fmt::format("has {} bytes, but 1..{} without blanks and control characters are wanted",
                         text.size(), kMaxKeyText));
}

bool IsFlag(const Series& series) { return series.subject.starts_with(telemetry::kFlagSubject); }

// A flag's outcome is on, off or a variant, whose name people choose freely; "" is no value.
Status CheckOutcome(const Series& series) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (!ReadSnapshotVersion(series.version).has_value())
    return InvalidArgument("version", "of a flag is neither empty nor a snapshot's number");
  if (series.arm.size() > kMaxKeyText ||
      std::any_of(series.arm.begin(), series.arm.end(), is_control))
    return InvalidArgument("arm", fmt::format("has {} bytes, but 0..{} without control characters "
                                              "are wanted",
                                              series.arm.size(), kMaxKeyText));
  for (const auto& [name, count] : series.counters) {
    if (name != telemetry::kRequests)
      return InvalidArgument("counters", "other than requests are not for a flag");
  }
  return OkStatus();
}

bool IsCounterName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxCounterName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
         });
}

Status CheckCounters(const Series& series) {
  if (series.counters.size() > kMaxCounters)
    return InvalidArgument(
        "counters", fmt::format("{} are more than {}", series.counters.size(), kMaxCounters));
  for (const auto& [name, count] : series.counters) {
    if (!IsCounterName(name))
      return InvalidArgument("counters",
                             fmt::format("a name of {} bytes is not of [a-z0-9_.]", name.size()));
    if (count > kMaxCount)
      return InvalidArgument("counters." + name, fmt::format("{} is above 2^53", count));
  }
  return OkStatus();
}

Result<telemetry::LogHistogram> ReadBuckets(const std::vector<int64_t>& flat) {
  if (flat.size() % 2 != 0) return InvalidArgument("latency_buckets", "has a bucket without count");
  std::vector<telemetry::LogHistogram::Entry> entries;
  for (size_t i = 0; i < flat.size(); i += 2) {
    if (flat[i] < telemetry::kMinBucket || flat[i] > telemetry::kMaxBucket || flat[i + 1] < 1)
      return InvalidArgument("latency_buckets",
                             fmt::format("bucket {} with count {}", flat[i], flat[i + 1]));
    entries.emplace_back(static_cast<int>(flat[i]), static_cast<uint64_t>(flat[i + 1]));
  }
  return telemetry::LogHistogram::FromEntries(std::move(entries));
}

Result<telemetry::TDigest> ReadDigest(const char* field, const std::vector<double>& flat) {
  if (flat.size() % 2 != 0) return InvalidArgument(field, "has a mean without weight");
  std::vector<telemetry::TDigest::Centroid> centroids;
  for (size_t i = 0; i < flat.size(); i += 2) centroids.push_back({flat[i], flat[i + 1]});
  return telemetry::TDigest::FromCentroids(std::move(centroids));
}

std::vector<double> Flat(const telemetry::TDigest& digest) {
  std::vector<double> flat;
  for (const auto& centroid : digest.Centroids()) {
    flat.push_back(centroid.mean);
    flat.push_back(centroid.weight);
  }
  return flat;
}

Result<std::map<std::string, telemetry::Outcome>> ReadOutcomes(
    const std::vector<OutcomeSum>& sums) {
  if (sums.size() > telemetry::Series::kMaxOutcomes)
    return InvalidArgument("outcomes", fmt::format("{} are more than {}", sums.size(),
                                                   telemetry::Series::kMaxOutcomes));
  std::map<std::string, telemetry::Outcome> outcomes;
  for (const OutcomeSum& sum : sums) {
    if (!IsCounterName(sum.metric))
      return InvalidArgument(
          "outcomes", fmt::format("a name of {} bytes is not of [a-z0-9_.]", sum.metric.size()));
    if (sum.n == 0 || sum.n > kMaxCount || !std::isfinite(sum.sum) ||
        !std::isfinite(sum.sum_squares) || sum.sum_squares < 0)
      return InvalidArgument(
          "outcomes." + sum.metric,
          fmt::format("n {}, sum {}, sum of squares {}", sum.n, sum.sum, sum.sum_squares));
    outcomes[sum.metric].Merge({sum.n, sum.sum, sum.sum_squares});
  }
  return outcomes;
}

Status CheckTotals(const telemetry::Series& series) {
  const uint64_t requests = series.Counter(telemetry::kRequests);
  if (series.Counter(telemetry::kBad) > requests)
    return InvalidArgument("counters.bad", fmt::format("{} of {} requests",
                                                       series.Counter(telemetry::kBad), requests));
  if (series.latency.Count() != requests)
    return InvalidArgument("latency_buckets", fmt::format("hold {} values of {} requests",
                                                          series.latency.Count(), requests));
  if (series.latency_digest.Count() != static_cast<double>(requests))
    return InvalidArgument("latency_digest", fmt::format("holds {} values of {} requests",
                                                         series.latency_digest.Count(), requests));
  for (const auto& [field, digest] :
       {std::pair("queue_digest", &series.queue), std::pair("ttft_digest", &series.ttft)}) {
    if (digest->Count() > static_cast<double>(requests))
      return InvalidArgument(
          field, fmt::format("holds {} values of {} requests", digest->Count(), requests));
  }
  if (series.outputs.Count() > static_cast<double>(requests) * kMaxOutputsPerRequest)
    return InvalidArgument("output_digest", fmt::format("holds {} values of {} requests",
                                                        series.outputs.Count(), requests));
  return OkStatus();
}

}  // namespace

std::string SnapshotVersionText(uint64_t version) {
  return version == 0 ? "" : std::to_string(version);
}

std::optional<uint64_t> ReadSnapshotVersion(std::string_view text) {
  constexpr size_t kMaxDigits = 20;  // of 64 bits
  uint64_t version = 0;
  if (text.empty()) return version;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, version);
  if (text.size() > kMaxDigits || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return version;
}

Series ToWire(const telemetry::SeriesKey& key, const telemetry::Series& series) {
  Series out;
  out.subject = key.subject;
  out.version = key.version;
  out.arm = key.arm;
  out.counters = series.counters;
  for (const auto& [bucket, count] : series.latency.Entries()) {
    out.latency_buckets.push_back(bucket);
    out.latency_buckets.push_back(static_cast<int64_t>(count));
  }
  out.latency_digest = Flat(series.latency_digest);
  out.bad_keys = series.bad_keys;
  out.output_digest = Flat(series.outputs);
  for (const auto& [metric, outcome] : series.outcomes)
    out.outcomes.push_back({metric, outcome.n, outcome.sum, outcome.sum_squares});
  out.queue_digest = Flat(series.queue);
  out.ttft_digest = Flat(series.ttft);
  return out;
}

std::vector<Series> ToWire(const telemetry::Window& window) {
  std::vector<Series> out;
  for (const auto& [key, series] : window) out.push_back(ToWire(key, series));
  return out;
}

Result<std::pair<telemetry::SeriesKey, telemetry::Series>> FromWire(const Series& series) {
  WEIR_RETURN_IF_ERROR(CheckKeyText("subject", series.subject));
  if (IsFlag(series)) {
    WEIR_RETURN_IF_ERROR(CheckOutcome(series));
  } else {
    WEIR_RETURN_IF_ERROR(CheckKeyText("version", series.version));
    WEIR_RETURN_IF_ERROR(CheckKeyText("arm", series.arm));
  }
  WEIR_RETURN_IF_ERROR(CheckCounters(series));
  if (series.bad_keys.size() > telemetry::Series::kMaxBadKeys)
    return InvalidArgument("bad_keys", fmt::format("{} are more than {}", series.bad_keys.size(),
                                                   telemetry::Series::kMaxBadKeys));
  telemetry::Series out;
  out.counters = series.counters;
  WEIR_ASSIGN_OR_RETURN(out.latency, ReadBuckets(series.latency_buckets));
  WEIR_ASSIGN_OR_RETURN(out.latency_digest, ReadDigest("latency_digest", series.latency_digest));
  WEIR_ASSIGN_OR_RETURN(out.outputs, ReadDigest("output_digest", series.output_digest));
  WEIR_ASSIGN_OR_RETURN(out.outcomes, ReadOutcomes(series.outcomes));
  WEIR_ASSIGN_OR_RETURN(out.queue, ReadDigest("queue_digest", series.queue_digest));
  WEIR_ASSIGN_OR_RETURN(out.ttft, ReadDigest("ttft_digest", series.ttft_digest));
  if (!IsFlag(series)) WEIR_RETURN_IF_ERROR(CheckTotals(out));  // decisions are not timed
  for (const uint32_t key : series.bad_keys) out.AddBadKey(key);
  return std::pair{telemetry::SeriesKey{series.subject, series.version, series.arm},
                   std::move(out)};
}

}  // namespace weir::wire
