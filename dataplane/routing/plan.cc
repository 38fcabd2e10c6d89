// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/plan.h"

#include <fmt/format.h>

#include <utility>

namespace weir::node::routing {
namespace {

class Builder {
 public:
  Builder(const runtime::VersionTable* versions, Recorders& recorders)
      : versions_(versions), recorders_(recorders) {}

  std::shared_ptr<const ModelPlan> Build(const decision::Model& model,
                                         const decision::Split* split) {
    auto plan = std::make_shared<ModelPlan>();
    plan->model = &model;
    plan->stable = MakeTarget(model, model.stable, telemetry::kArmStable);
    if (split != nullptr) {
      plan->canary = MakeTarget(model, split->candidate, telemetry::kArmCanary);
    }
    for (const domain::VersionEntry& entry : model.versions) {
      plan->by_version.emplace(entry.version,
                               MakeTarget(model, entry.version, telemetry::kArmPinned));
    }
    for (const domain::TensorSpec& input : model.inputs) {
      // The control plane lets no other datatypes in; FP32 then refuses what does not look like it.
      plan->inputs.push_back(
          {input.name, runtime::ParseDataType(input.datatype).value_or(runtime::DataType::kFp32),
           input.shape});
    }
    return plan;
  }

 private:
  Target MakeTarget(const decision::Model& model, const std::string& version, const char* arm) {
    Target target;
    target.version = version;
    target.recorder = recorders_.Prepare(model.name, version, arm);
    if (const domain::VersionEntry* entry = model.FindVersion(version)) target.fault = entry->fault;
    if (versions_ != nullptr) target.handle = versions_->Find(model.name, version);
    if (target.handle != nullptr) return target;
    const runtime::VersionStatus* status =
        versions_ == nullptr ? nullptr : versions_->FindStatus(model.name, version);
    const runtime::State state = status == nullptr ? runtime::State::kLoading : status->state;
    target.unready = fmt::format("{} {} is {}", model.name, version, runtime::StateName(state));
    if (status != nullptr && !status->detail.empty()) target.unready += ": " + status->detail;
    return target;
  }

  const runtime::VersionTable* versions_;
  Recorders& recorders_;
};

}  // namespace

const char* ArmName(Arm arm) {
  switch (arm) {
    case Arm::kStable:
      return telemetry::kArmStable;
    case Arm::kCanary:
      return telemetry::kArmCanary;
    case Arm::kPinned:
      return telemetry::kArmPinned;
    case Arm::kDiverted:
      return "diverted";
  }
  return "?";
}

const Target& ModelPlan::Serving() const {
  const auto pinned = by_version.find(model->pinned);
  return pinned == by_version.end() ? stable : pinned->second;
}

std::shared_ptr<const Plan> Plan::Build(std::shared_ptr<const decision::Ruleset> rules,
                                        const runtime::VersionTable* versions,
                                        Recorders& recorders) {
  auto plan = std::make_shared<Plan>();
  Builder builder(versions, recorders);
  rules->models().ForEach([&](const decision::Model& model) {
    plan->models_.Set(builder.Build(model, rules->model_splits().Find(model.name)));
  });
  plan->snapshot_ = fmt::format("{}.{}", rules->epoch, rules->version);
  plan->rules_ = std::move(rules);
  return plan;
}

Route Plan::Decide(const ModelPlan& model, const decision::Keys& keys, uint64_t random) const {
  Route route;
  route.decision = decision::DecideArm(*rules_, *model.model, keys, random);
  if (route.decision.reason == decision::Reason::kPinned) {
    route.arm = Arm::kPinned;
    route.target = &model.Serving();
  } else if (!route.decision.is_canary) {
    route.target = &model.stable;
  } else if (model.canary->handle != nullptr) {
    route.arm = Arm::kCanary;
    route.target = &*model.canary;
  } else {
    route.arm = Arm::kDiverted;
    route.target = &model.stable;
  }
  return route;
}

}  // namespace weir::node::routing
