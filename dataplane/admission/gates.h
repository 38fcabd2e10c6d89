// SPDX-License-Identifier: Apache-2.0
// The gates of a node, by model: which models have one, and what it is set to. A model has one
// while it has a Limit, or while the flag `adaptive_governor` is on for this node, which gives
// every model a governor. Any thread; a mutex, since snapshots set what workers look up when they
// make their plans. Nobody looks anything up for a request.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/admission/gate.h"
#include "shared/decision/ruleset.h"

namespace weir::node::admission {

inline constexpr char kGovernorFlag[] = "adaptive_governor";

class Gates {
 public:
  // Requests of one model that a governor lets in at once where no Limit says how many. A version
  // in this process computes on its worker, all that one poll round brought in one call: what is
  // too much for it waits in the sockets. A service computes elsewhere.
  static constexpr uint64_t kSlotsPerWorker = 64;
  static constexpr uint64_t kServiceSlotsPerWorker = 16;

  explicit Gates(uint64_t workers) : workers_(workers) {}

  // In the order of the rulesets. `node` is this node's id, for the flag; "" while it is unknown.
  void Set(const decision::Ruleset& rules, const std::string& node, Now now);
  // The same if the flag has changed by itself since: by a schedule, or as the node has a name now.
  void Recheck(const decision::Ruleset& rules, const std::string& node, Now now);
  // Grows whenever Find may have another answer than before.
  uint64_t revision() const { return revision_.load(); }
  // Null: this model's requests pass nothing.
  std::shared_ptr<Gate> Find(std::string_view model) const;

  // See Gate::Tick. False: there is nothing to tick.
  bool Tick(Now now);
  std::vector<GateView> Views() const;
  // Forgets who waits; before the workers go.
  void Clear();

 private:
  struct Held {
    std::shared_ptr<Gate> gate;
    bool is_wanted = false;  // or only waited for, until its requests have left
  };
  std::vector<std::shared_ptr<Gate>> All() const;

  const uint64_t workers_;
  std::atomic<uint64_t> revision_{0};
  mutable std::mutex mutex_;
  bool is_governed_ = false;
  std::map<std::string, Held, std::less<>> gates_;
};

}  // namespace weir::node::admission
