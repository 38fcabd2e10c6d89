// SPDX-License-Identifier: Apache-2.0
// What one worker compiles from a ruleset and a version table when either arrives, so that a
// request costs one look-up, one hash and a few pointers. Immutable but for the recorders it points
// to; belongs to its worker's thread. A request keeps the plan it started with.
//
// What an operator forces on this node (Reason::kOverride), a pin as well as an arm of a split,
// answers and counts as `pinned`: judged arms hold only keys that chance put there. It is followed
// where the version is READY here; where it is not, the request goes where it would have gone
// without, and not_followed() says so.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/routing/recorder.h"
#include "dataplane/runtime/versions.h"
#include "shared/decision/decide.h"
#include "shared/decision/ruleset.h"

namespace weir::node::routing {

// kDiverted: a canary key whose candidate is not READY here. Stable answers it, and it counts in
// neither arm.
enum class Arm : uint8_t { kStable, kCanary, kPinned, kDiverted };
const char* ArmName(Arm arm);  // "stable"

// One version as one arm serves it.
struct Target {
  std::string version;
  std::shared_ptr<runtime::Version> handle;  // null unless READY
  std::string unready;                       // why, if it is null
  std::optional<domain::FaultEntry> fault;
  std::shared_ptr<Recorder> recorder;  // of this version under this arm
};

struct DeclaredInput {
  std::string name;
  runtime::DataType datatype;
  std::vector<int64_t> shape;  // -1: any size
};

struct ModelPlan {
  const decision::Model* model = nullptr;  // of the plan's ruleset
  Target stable;
  std::optional<Target> canary;
  std::map<std::string, Target, std::less<>> by_version;  // explicitly asked for, or pinned
  std::string pinned;  // the one of by_version that answers all; "": none
  std::vector<DeclaredInput> inputs;

  std::string_view key() const { return model->name; }
  // What answers a request without a version of its own, when nothing rolls out.
  const Target& Serving() const;
};

struct Route {
  const Target* target = nullptr;  // its handle may be null: nothing can answer now
  Arm arm = Arm::kStable;
  decision::ArmDecision decision;
};

class Plan {
 public:
  // `versions` may be null: nothing is READY then.
  static std::shared_ptr<const Plan> Build(std::shared_ptr<const decision::Ruleset> rules,
                                           const runtime::VersionTable* versions,
                                           Recorders& recorders);

  const ModelPlan* Find(std::string_view model) const { return models_.Find(model); }
  // Views in the answer live as long as the plan and the keys. `random` is drawn by the caller.
  Route Decide(const ModelPlan& model, const decision::Keys& keys, uint64_t random) const;

  // Without the overrides that cannot be followed.
  const decision::Ruleset& rules() const { return *rules_; }
  // One sentence for each of these.
  const std::vector<std::string>& not_followed() const { return not_followed_; }
  const std::string& snapshot() const { return snapshot_; }  // "epoch.version"
  template <class F>
  void ForEach(F&& visit) const {
    models_.ForEach(visit);
  }

 private:
  std::shared_ptr<const decision::Ruleset> rules_;
  std::vector<std::string> not_followed_;
  std::string snapshot_;
  decision::EntryTable<ModelPlan> models_;
};

}  // namespace weir::node::routing
