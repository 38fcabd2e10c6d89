// SPDX-License-Identifier: Apache-2.0
// Whose requests a phase rests on, so that no node forces a judgement alone. Pure.
//
// Three rules, for a phase that is to be passed:
// - quorum: the canary's requests came from at least `min_nodes` nodes;
// - cap: of the requests that count towards `min_requests`, at most `max_node_share` are of one
//   node; what it has beyond does not count;
// - nobody hides errors: where the canary is worse without one node's counts, and only so, the
//   phase waits and that node is named.
// Errors count in full, whoever has them. Where one node alone has them, and the others see the
// candidate well, the verdict names it, and rollback.one_node says what becomes of the rollout.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/telemetry/node_counts.h"

namespace weir::control::rollout {

// Of both arms of a rollout, on one node or on several.
struct ArmCounts {
  telemetry::NodeCount canary;
  telemetry::NodeCount stable;

  ArmCounts& operator+=(const ArmCounts& other);
  ArmCounts Without(const ArmCounts& other) const;  // `other` is part of it
  bool operator==(const ArmCounts&) const = default;
};

using CountsByNode = std::map<std::string, ArmCounts>;
ArmCounts SumOf(const CountsByNode& nodes);

// What a phase asks for. `selected`: live nodes that take part in it.
struct Quorum {
  uint64_t min_nodes = 1;     // 1: none is asked for
  double max_node_share = 1;  // ratio
};
Quorum QuorumOf(const domain::RolloutSpec& spec, const domain::Phase& phase, int selected);

// The most requests of which no node has more than `max_share`.
uint64_t CountedRequests(const CountsByNode& nodes, double max_share);

// "2 nodes: so far only n1 sent requests of the canary …"; "" when the quorum is met.
std::string MissingNodes(const CountsByNode& nodes, const Quorum& quorum);

// "without n1, 100 of 500 requests …": a node whose counts hide what the others see; "" for none.
// `error_rate` is the phase's absolute limit, if it has one.
std::string HiddenBy(const CountsByNode& nodes, std::optional<double> error_rate);

// The one node that has the errors while the others, with at least 100 requests, do not; "" for
// none.
std::string LoneWitness(const CountsByNode& nodes);

// The others, with at least 100 requests, see the candidate well; false where there are none.
bool IsWellWithout(const CountsByNode& nodes, const std::string& node);

// The only node with requests of the canary; "" if they are more, or none.
std::string AloneOf(const CountsByNode& nodes);

// "n1 12 of 40, n2 9 of 38": where the canary failed, the worst first, at most three; and how many
// such nodes there are.
struct BadNodes {
  size_t count = 0;
  std::string text;
};
BadNodes WhereBad(const CountsByNode& nodes);

// Counts of nodes in a phase, and of the last half to whole minute. Bounded: from kMaxNodes on,
// further nodes are counted together, as one without a name. Monotonic ms.
class Shares {
 public:
  static constexpr size_t kMaxNodes = 128;
  static constexpr int64_t kHalfMs = 30'000;

  void Add(const CountsByNode& nodes, int64_t now_ms);
  // Of what came since the phase began, but is not known of whom.
  void AddUnknown(const ArmCounts& counts) { Put(phase_, "", counts); }
  void BeginPhase() { phase_.clear(); }

  const CountsByNode& phase() const { return phase_; }
  CountsByNode Recent() const;

  // {phase, half, before: {node: [requests, bad, stable's requests, stable's bad]}, half_age_ms}.
  codec::Json Save() const;
  // Into an empty one, the phase's only if it is the same. What is not as Save writes it is left
  // out.
  void Restore(const codec::Json& saved, bool same_phase, int64_t now_ms);

 private:
  static void Put(CountsByNode& into, const std::string& node, const ArmCounts& counts);

  CountsByNode phase_;
  CountsByNode half_;    // of this half minute
  CountsByNode before_;  // of the one before
  int64_t half_since_ms_ = 0;
  int64_t added_ms_ = 0;  // last
};

}  // namespace weir::control::rollout
