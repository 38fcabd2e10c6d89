// SPDX-License-Identifier: Apache-2.0
// Whose telemetry arrives, so that nobody's silence is taken for a model that nobody asks. Pure;
// times in ms, monotonic. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/analysis/slo.h"
#include "controlplane/rollout/driver.h"
#include "shared/codec/json.h"

namespace weir::control::remedy {

// What the driver must know of a node.
struct NodeFacts {
  std::string id;
  bool live = false;             // not gone
  uint64_t applied_version = 0;  // of the current epoch
  double memory_bytes = 0;       // 0: it does not say
  std::vector<rollout::NodeFacts::Version> versions{};
  bool lost = false;             // it is silent, or gone without having said so
  uint64_t pending_batches = 0;  // of telemetry that nobody has acknowledged, as it says
};

class Hearing {
 public:
  // What waits on a node that is heard arrives within a second or two.
  static constexpr int64_t kOverdueMs = 5000;

  // Telemetry of these nodes arrived.
  void OnBatches(const std::set<std::string>& nodes, int64_t now_ms);
  // At every look, before Of.
  void Look(const std::vector<NodeFacts>& nodes, int64_t now_ms);
  // Of the nodes that have a version of the model, as of the last Look.
  analysis::SloHearing Of(const std::string& model) const;

  // {node: [model, …]} of those that have not left, for the next process: it misses them until they
  // are seen again, for an hour.
  codec::Json Save() const { return serving_; }
  void Load(const codec::Json& saved, int64_t now_ms);

 private:
  static constexpr int64_t kMissMs = 3'600'000;
  struct Tally {
    size_t serving = 0;
    size_t silent = 0;
    std::string gap;  // of the first that is silent
  };
  void Count(const std::string& node, const std::set<std::string>& models, const std::string& why);
  // "n2 was silent", "" where all of it arrives.
  std::string WhySilent(const NodeFacts& node, int64_t now_ms) const;

  size_t live_ = 0;
  std::map<std::string, Tally> tallies_;  // by model
  std::map<std::string, int64_t>
      waits_since_ms_;  // by node: something does, and nothing came since
  std::map<std::string, std::set<std::string>> serving_;  // by node: models
  // Of the process before, by node, and until when they are missed.
  std::map<std::string, std::set<std::string>> missed_;
  int64_t miss_until_ms_ = 0;
};

}  // namespace weir::control::remedy
