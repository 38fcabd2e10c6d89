// SPDX-License-Identifier: Apache-2.0
// The vocabulary of telemetry: what is counted, under which key, and how counts of several workers,
// nodes and ticks become one.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/telemetry/log_histogram.h"
#include "shared/telemetry/tdigest.h"

namespace weir::telemetry {

// Counters. `requests` are answers that are judged: a client's own error, a shed and a cancelled
// request are counted under their own names and stand neither in `requests` nor in `bad`.
inline constexpr char kRequests[] = "requests";
inline constexpr char kBad[] = "bad";
inline constexpr char kDiverted[] = "diverted";
inline constexpr char kShed[] = "shed";
inline constexpr char kCancelled[] = "cancelled";
inline constexpr char kClientErrors[] = "client_errors";
inline constexpr char kTokens[] = "tokens";
inline constexpr char kFallback[] = "fallback";   // bad ones of the canary that stable answered
inline constexpr char kCompared[] = "compared";   // shadow answers held against stable's
inline constexpr char kDiffered[] = "differed";   // of them, other than stable's
inline constexpr char kLate[] = "late_outcomes";  // beyond the attribution window, not counted

inline constexpr char kArmStable[] = "stable";
inline constexpr char kArmCanary[] = "canary";
inline constexpr char kArmShadow[] = "shadow";
inline constexpr char kArmPinned[] = "pinned";

// A flag's decisions: subject "flag/<name>", as version that of the snapshot they were made by (""
// for none), and as arm the outcome: on, off, or the variant ("" for a variant flag that gave no
// value). Only `requests` is counted.
inline constexpr char kFlagSubject[] = "flag/";
inline constexpr char kArmOn[] = "on";
inline constexpr char kArmOff[] = "off";

// What a flag's rollout is judged on: subject "split/<flag>", as version the rollout's name, arms
// stable (off) and canary (on): requests whose handling evaluated the flag, and outcomes.
inline constexpr char kSplitSubject[] = "split/";

// One tenant's requests of one model: subject "tenant/<tenant>/<model>", version and arm as of the
// model's own series, which counts them too.
inline constexpr char kTenantSubject[] = "tenant/";

struct SeriesKey {
  std::string subject;  // "model/fraud_detection"
  std::string version;  // "1.1.0"
  std::string arm;      // kArm…
  auto operator<=>(const SeriesKey&) const = default;
};

// What became of answers, as told afterwards (clicks, revenue, late labels).
struct Outcome {
  uint64_t n = 0;
  double sum = 0;
  double sum_squares = 0;

  void Add(double value) {
    ++n;
    sum += value;
    sum_squares += value * value;
  }
  void Merge(const Outcome& other) {
    n += other.n;
    sum += other.sum;
    sum_squares += other.sum_squares;
  }
  bool operator==(const Outcome&) const = default;
};

// What one key's requests were, over any span of time. Merging is associative on counts exactly, on
// digests within their accuracy.
struct Series {
  static constexpr size_t kMaxBadKeys = 8;
  static constexpr size_t kMaxOutcomes = 32;  // metrics

  std::map<std::string, uint64_t> counters;
  LogHistogram latency;            // ms; one value per request counted in `requests`
  TDigest latency_digest;          // the same values, for showing percentiles
  std::vector<uint32_t> bad_keys;  // distinct HashKey of bad requests' keys, the first kMaxBadKeys
  TDigest outputs;                 // the first number of each good answer, for drift
  TDigest queue;                   // ms that answered requests waited for a slot, where they may
  // ms from the request to the first token of each good answer whose first token came before its
  // end. Versions that answer in one piece leave it empty: their latency is the same.
  TDigest ttft;
  std::map<std::string, Outcome> outcomes;  // by metric, at most kMaxOutcomes

  uint64_t Counter(const std::string& name) const;  // 0 if absent
  void AddBadKey(uint32_t hash);
  void Merge(const Series& other);
  bool operator==(const Series&) const = default;
};

using Window = std::map<SeriesKey, Series>;

void Merge(Window& into, const Window& from);

// FNV-1a, 32 bits: enough to count distinct keys, and no way back to the key.
uint32_t HashKey(std::string_view key);

// The cheap end of a Series: where a worker records. Filled by the worker's thread only.
class Cell {
 public:
  enum Counter {
    kDiverted,
    kShed,
    kCancelled,
    kClientErrors,
    kTokens,
    kFallback,
    kCompared,
    kDiffered,
    kLate,
    kCounterCount
  };

  // A judged answer. Allocates nothing after warm-up. `key_hash` matters for bad ones only.
  void RecordAnswer(double latency_ms, bool bad, uint32_t key_hash) {
    ++requests_;
    latency_.Add(latency_ms);
    digest_.Add(latency_ms);
    if (bad) RecordBad(key_hash);
  }
  void Count(Counter counter, uint64_t n = 1) { counters_[counter] += n; }
  void RecordOutput(double value) { outputs_.Add(value); }
  // How long the request of an answer just recorded had waited for a slot.
  void RecordQueue(double waited_ms) { queue_.Add(waited_ms); }
  // From the request of a good answer just recorded to the answer's first token.
  void RecordTtft(double ttft_ms) { ttft_.Add(ttft_ms); }
  // False when there are kMaxOutcomes others already.
  bool RecordOutcome(const std::string& metric, double value);

  bool Empty() const;
  // What was recorded since the last call, and starts anew. Counters that are 0 are left out.
  Series Take();

 private:
  void RecordBad(uint32_t key_hash);

  uint64_t requests_ = 0;
  uint64_t bad_ = 0;
  std::array<uint64_t, kCounterCount> counters_{};
  DenseLogHistogram latency_;
  TDigest digest_;
  TDigest outputs_;
  TDigest queue_;
  TDigest ttft_;
  std::map<std::string, Outcome> outcomes_;
  std::array<uint32_t, Series::kMaxBadKeys> bad_keys_{};
  size_t bad_key_count_ = 0;
};

// One worker's recorder; everything on that worker's thread. Prepare a cell per (subject, version,
// arm) when a snapshot arrives and keep the pointer with what was compiled from the snapshot; Take
// hands over what was recorded and drops cells that nobody else holds any more.
class Shard {
 public:
  // The same cell for the same key for as long as somebody holds it.
  std::shared_ptr<Cell> Prepare(const SeriesKey& key);
  // Only keys with something recorded.
  Window Take();
  size_t CellCount() const { return cells_.size(); }

 private:
  std::map<SeriesKey, std::shared_ptr<Cell>> cells_;
};

}  // namespace weir::telemetry
