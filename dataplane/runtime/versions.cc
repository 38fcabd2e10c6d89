// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/versions.h"

#include <algorithm>

namespace weir::node::runtime {

const char* StateName(State state) {
  switch (state) {
    case State::kLoading:
      return "LOADING";
    case State::kReady:
      return "READY";
    case State::kFailed:
      return "FAILED";
    case State::kUnloading:
      return "UNLOADING";
  }
  return "?";
}

std::shared_ptr<Version> VersionTable::Find(std::string_view model,
                                            std::string_view version) const {
  const auto found = ready_.find({std::string(model), std::string(version)});
  return found == ready_.end() ? nullptr : found->second;
}

const VersionStatus* VersionTable::FindStatus(std::string_view model,
                                              std::string_view version) const {
  const auto found = std::find_if(statuses_.begin(), statuses_.end(), [&](const auto& status) {
    return status.model == model && status.version == version;
  });
  return found == statuses_.end() ? nullptr : &*found;
}

}  // namespace weir::node::runtime
