// SPDX-License-Identifier: Apache-2.0
// What the loader publishes: which versions can answer, and how every wanted one fares.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/runtime/runtime.h"

namespace weir::node::runtime {

enum class State : uint8_t { kLoading, kReady, kFailed, kUnloading };
const char* StateName(State state);  // "LOADING", as in reports

struct VersionStatus {
  std::string model;
  std::string version;
  State state = State::kLoading;
  std::string detail;  // why FAILED, or what LOADING waits for
  bool operator==(const VersionStatus&) const = default;
};

// Immutable once published; any thread.
class VersionTable {
 public:
  using Ready = std::map<std::pair<std::string, std::string>, std::shared_ptr<Version>>;
  VersionTable(Ready ready, std::vector<VersionStatus> statuses)
      : ready_(std::move(ready)), statuses_(std::move(statuses)) {}

  // Null unless READY, or LOADING a new blob while the one before it serves.
  std::shared_ptr<Version> Find(std::string_view model, std::string_view version) const;
  // Null if the version is neither wanted nor on its way out.
  const VersionStatus* FindStatus(std::string_view model, std::string_view version) const;
  // Sorted by model and version.
  const std::vector<VersionStatus>& statuses() const { return statuses_; }

 private:
  const Ready ready_;
  const std::vector<VersionStatus> statuses_;
};

}  // namespace weir::node::runtime
