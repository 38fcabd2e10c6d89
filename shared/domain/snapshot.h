// SPDX-License-Identifier: Apache-2.0
// What a node gets: entries that hold only what it needs to decide. The control plane compiles
// resources into entries (entries.h); nodes never see resources.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/domain/resource.h"
#include "shared/domain/units.h"

namespace weir::domain {

enum class EntryKind : uint8_t {
  kFlag = 1,
  kModel = 2,
  kSplit = 3,
  kExperiment = 4,
  kObservability = 5,
  kToken = 6,
  kLimit = 7
};
const char* EntryKindName(EntryKind kind);  // "flag", …, "limit"

struct VariantEntry {
  std::string name;
  JsonText value;
  bool operator==(const VariantEntry&) const = default;
};

struct ScheduledEntry {
  int64_t at_wall_ms = 0;
  std::optional<bool> enabled;
  std::optional<FinePercent> threshold;
  std::string default_variant;
  bool operator==(const ScheduledEntry&) const = default;
};

// With variants: a variant flag; threshold, seed and allowlist mean nothing there.
struct FlagEntry {
  std::string name;
  bool enabled = false;
  FinePercent threshold = 0;
  std::string seed;
  bool random = false;  // strategy: random
  bool allowlist_only = false;
  std::vector<std::string> allowlist;
  std::vector<std::string> parents;  // all must be on for the same key
  bool rolled_back = false;
  std::vector<VariantEntry> variants;
  std::string default_variant;
  std::string off_variant;
  JsonText targeting;
  JsonText metadata;
  std::string malformed;                 // the flag answers an error that says this
  std::vector<ScheduledEntry> schedule;  // ascending
  bool IsVariant() const { return !variants.empty() || !malformed.empty(); }
  bool operator==(const FlagEntry&) const = default;
};

struct FaultEntry {
  double error_rate = 0;
  int64_t delay_ms = 0;
  int64_t expires_wall_ms = 0;
  bool operator==(const FaultEntry&) const = default;
};

struct VersionEntry {
  std::string version{};
  std::string runtime{};
  std::string sha256;  // 64 hex digits of the blob; "" of a service
  std::optional<FaultEntry> fault{};
  std::vector<std::string> urls{};  // of a service
  std::string remote_model{};
  std::string remote_version{};
  int64_t timeout_ms = 0;  // 0: the node's request time-out
  std::string health{};
  uint64_t max_connections = kDefaultMaxConnections;
  std::string blocked{};  // why it may answer nobody
  bool unloaded = false;  // is let go
  bool operator==(const VersionEntry&) const = default;
};

struct ModelEntry {
  std::string name{};
  std::string stable{};
  std::string pinned{};
  std::vector<VersionEntry> versions{};
  std::vector<TensorSpec> inputs{};
  std::vector<std::string> flags{};  // decided for each request's key
  bool operator==(const ModelEntry&) const = default;
};

// A rollout in force. Named after the rollout.
struct SplitEntry {
  std::string rollout{};
  std::string model{};  // one of model, flag
  std::string flag{};
  std::string candidate{};
  FinePercent threshold = 0;
  std::string hash_key{};
  std::string seed{};
  bool random = false;
  Labels nodes{};
  bool shadow = false;               // stable answers; the candidate gets a copy of the share
  bool fallback = false;             // stable answers what failed on the canary
  int64_t unwatched_after_ms = 0;    // without a control plane: canary keys to stable; 0: never
  std::vector<std::string> flags{};  // on for the canary's keys, by the same bucket
  std::string log_level{};           // of nodes that the split applies to
  int64_t since_wall_ms = 0;         // the percentage holds since
  int64_t attribution_ms = 0;        // outcomes count this long after the answer
  bool operator==(const SplitEntry&) const = default;
};

struct ExperimentEntry {
  std::string name;
  std::string hash_key;
  std::string seed;
  std::vector<ExperimentGroup> groups;
  bool operator==(const ExperimentEntry&) const = default;
};

// Named "default".
struct ObservabilityEntry {
  std::string name;
  ObservabilitySpec settings;
  bool operator==(const ObservabilityEntry&) const = default;
};

// A bearer token that opens surfaces of nodes. Named after its resource.
struct TokenEntry {
  std::string name;
  std::string hash;                 // SHA-256 of the token, 64 hex digits
  std::vector<std::string> scopes;  // token.h
  int64_t expires_wall_ms = 0;      // 0: never
  bool operator==(const TokenEntry&) const = default;
};

// What a policy laid over a limit. Nodes end it by themselves.
struct LimitActEntry {
  std::string action;
  std::string version;
  std::string node;
  double value = 0;
  double caller_requests_per_second = 0;
  uint64_t caller_concurrent = 0;
  int64_t until_wall_ms = 0;  // 0: until it is taken back
  std::string reason;
  bool operator==(const LimitActEntry&) const = default;
};

// What a node lets in of one model, after which it is named. All numbers are of one node; 0 is no
// limit. What they amount to now: limit.h.
struct LimitEntry {
  std::string name{};
  uint64_t max_concurrent = 0;
  uint64_t max_queue = 0;
  uint64_t min_concurrent = 0;
  uint64_t most_concurrent = 0;
  double requests_per_second = 0;
  double caller_requests_per_second = 0;
  uint64_t caller_concurrent = 0;
  int64_t target_delay_ms = 50;
  std::vector<LimitActEntry> acts{};
  bool operator==(const LimitEntry&) const = default;
};

// The overlay of WIRE section Versions, 7: in force as soon as it is newer than what a node has.
struct EmergencyOverlay {
  uint64_t epoch = 0;
  uint64_t version = 0;
  bool kill_switch = false;
  bool baseline = false;
  bool freeze = false;
  bool IsNewerThan(const EmergencyOverlay& other) const {
    return epoch != other.epoch ? epoch > other.epoch : version > other.version;
  }
  bool operator==(const EmergencyOverlay&) const = default;
};

}  // namespace weir::domain
