// SPDX-License-Identifier: Apache-2.0
// What one worker compiles from a ruleset and a version table when either arrives, so that a
// request costs one look-up, one hash and a few pointers. Immutable but for the recorders it points
// to; belongs to its worker's thread. A request keeps the plan it started with.
//
// What an operator forces on this node (Reason::kOverride), a pin as well as an arm of a split,
// answers and counts as `pinned`: judged arms hold only keys that chance put there. It is followed
// where the version is READY here; where it is not, the request goes where it would have gone
// without, and not_followed() says so.
//
// A blocked version (an emergency rollback) answers nobody, whoever asks for it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/admission/gates.h"
#include "dataplane/breaker/breakers.h"
#include "dataplane/routing/recorder.h"
#include "dataplane/runtime/versions.h"
#include "shared/decision/decide.h"
#include "shared/decision/ruleset.h"

namespace weir::node::routing {

// kDiverted: a canary key whose candidate is not READY here, or whose breaker is open. Stable
// answers it, and it counts in neither arm.
enum class Arm : uint8_t { kStable, kCanary, kPinned, kDiverted };
const char* ArmName(Arm arm);  // "stable"

// One version as one arm serves it.
struct Target {
  std::string version;
  std::shared_ptr<runtime::Version> handle;  // null unless READY
  std::string unready;                       // why, if it is null
  bool is_service = false;                   // called over HTTP
  bool is_predict = false;                   // takes what is posted to /predict, and nothing else
  std::optional<domain::FaultEntry> fault;
  std::shared_ptr<Recorder> recorder;         // of this version under this arm
  std::shared_ptr<breaker::Breaker> breaker;  // of a canary; else null
};

struct DeclaredInput {
  std::string name;
  runtime::DataType datatype;
  std::vector<int64_t> shape;  // -1: any size
};

// A flag that is decided for each of a model's requests.
struct FlagPlan {
  std::string name;
  std::string_view hash_key;  // which of a request's keys it is decided for
  // Of subject split/<flag>, while a rollout of the flag is under way here; else null.
  std::shared_ptr<Recorder> on;
  std::shared_ptr<Recorder> off;
};

struct ModelPlan {
  const decision::Model* model = nullptr;  // of the plan's ruleset
  const decision::Split* split = nullptr;  // that is under way on this node; of the same
  Target stable;
  std::optional<Target> canary;                           // of a split that is no shadow
  std::optional<Target> shadow;                           // of one that is
  std::map<std::string, Target, std::less<>> by_version;  // explicitly asked for, or pinned
  std::string pinned;  // the one of by_version that answers all; "": none
  std::vector<DeclaredInput> inputs;
  // Only services answer, and nothing is declared: inputs are theirs to understand.
  bool takes_anything = false;
  std::vector<FlagPlan> flags;
  std::shared_ptr<admission::Gate> gate;  // what its requests pass first; null: nothing

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
  // `versions` may be null: nothing is READY then. Without `breakers` canaries have none, without
  // `gates` no model has one.
  static std::shared_ptr<const Plan> Build(std::shared_ptr<const decision::Ruleset> rules,
                                           const runtime::VersionTable* versions,
                                           Recorders& recorders,
                                           breaker::Breakers* breakers = nullptr,
                                           const admission::Gates* gates = nullptr);

  const ModelPlan* Find(std::string_view model) const { return models_.Find(model); }
  // Views in the answer live as long as the plan and the keys. `random` is drawn by the caller.
  // Breakers are not asked: they want to know what becomes of what they let through.
  Route Decide(const ModelPlan& model, const decision::Keys& keys, uint64_t random) const;
  // Sends a canary's request to stable.
  static void Divert(const ModelPlan& model, Route& route);

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
