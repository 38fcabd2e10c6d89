// SPDX-License-Identifier: Apache-2.0
#include "dataplane/breaker/breakers.h"

#include <algorithm>

#include "shared/base/text.h"

namespace weir::node::breaker {

double ShownState(State state) {
  return state == State::kOpen ? 1 : state == State::kProbing ? 0.5 : 0;
}

std::shared_ptr<Breaker> Breakers::Prepare(const std::string& model, const std::string& version) {
  const VersionKey key{model, version};
  std::shared_ptr<Breaker>& breaker = breakers_[key];
  if (breaker == nullptr) {
    breaker = std::make_shared<Breaker>(
        [this, key](bool is_open, const std::string& why) {
          if (on_change_) on_change_({key, is_open, why});
        },
        RandomU64());
  }
  return breaker;
}

void Breakers::Prune() {
  for (auto it = breakers_.begin(); it != breakers_.end();) {
    if (it->second.use_count() > 1) {
      ++it;
      continue;
    }
    it->second->Reset();
    it = breakers_.erase(it);
  }
}

void Breakers::AddTo(States& states) const {
  for (const auto& [key, breaker] : breakers_) {
    double& all = states[key];
    all = std::max(all, ShownState(breaker->state()));
  }
}

}  // namespace weir::node::breaker
