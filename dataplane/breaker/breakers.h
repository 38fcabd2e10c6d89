// SPDX-License-Identifier: Apache-2.0
// All breakers of one worker, by model and version; on that worker's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "dataplane/breaker/breaker.h"

namespace weir::node::breaker {

// On /metrics: 0 closed, 1 open, 0.5 probing.
double ShownState(State state);

using VersionKey = std::pair<std::string, std::string>;  // model, version

struct Change {
  VersionKey key;
  bool is_open = false;
  std::string why;  // of an open one
};

class Breakers {
 public:
  // Told of each breaker that opens or closes, Prune included.
  using OnChange = std::function<void(const Change&)>;
  void Listen(OnChange on_change) { on_change_ = std::move(on_change); }

  // The same breaker for the same version for as long as somebody holds it, and until the next
  // Prune after that. Nobody holds one longer than this object.
  std::shared_ptr<Breaker> Prepare(const std::string& model, const std::string& version);
  // Drops breakers that nobody holds any more; an open one is closed by that.
  void Prune();

  // For /metrics, of each version the highest of all workers.
  using States = std::map<VersionKey, double>;
  void AddTo(States& states) const;

 private:
  OnChange on_change_;
  std::map<VersionKey, std::shared_ptr<Breaker>> breakers_;
};

}  // namespace weir::node::breaker
