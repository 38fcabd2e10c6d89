// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/plan.h"

#include <fmt/format.h>

#include <utility>

namespace weir::node::routing {
namespace {

using decision::Overrides;
using decision::Reason;
using decision::Ruleset;

std::string WhyUnready(const runtime::VersionTable* versions, const std::string& model,
                       const std::string& version) {
  const runtime::VersionStatus* status =
      versions == nullptr ? nullptr : versions->FindStatus(model, version);
  const runtime::State state = status == nullptr ? runtime::State::kLoading : status->state;
  std::string why = fmt::format("{} {} is {}", model, version, runtime::StateName(state));
  if (status != nullptr && !status->detail.empty()) why += ": " + status->detail;
  return why;
}

// The version that `arm` of a split asks for, "" if there is no such split.
std::string CandidateOf(const Ruleset& rules, const std::string& model, const std::string& arm) {
  const decision::Split* split = rules.model_splits().Find(model);
  return arm == "canary" && split != nullptr ? split->candidate : "";
}

// The rules without what is forced and cannot be followed here.
std::shared_ptr<const Ruleset> Followable(std::shared_ptr<const Ruleset> rules,
                                          const runtime::VersionTable* versions,
                                          std::vector<std::string>& not_followed) {
  if (rules->overrides == nullptr) return rules;
  Overrides kept = *rules->overrides;
  const auto is_unready = [&](const std::string& name, const std::string& version) {
    const decision::Model* model = rules->models().Find(name);
    if (model == nullptr || model->FindVersion(version) == nullptr) return false;
    return versions == nullptr || versions->Find(name, version) == nullptr;
  };
  std::erase_if(kept.pins, [&](const auto& pin) {
    if (!is_unready(pin.first, pin.second)) return false;
    not_followed.push_back(fmt::format("{} is not pinned to {} as forced: {}", pin.first,
                                       pin.second, WhyUnready(versions, pin.first, pin.second)));
    return true;
  });
  std::erase_if(kept.splits, [&](const auto& split) {
    const std::string candidate = CandidateOf(*rules, split.first, split.second);
    if (candidate.empty() || !is_unready(split.first, candidate)) return false;
    not_followed.push_back(fmt::format("split of {} is not at canary as forced: {}", split.first,
                                       WhyUnready(versions, split.first, candidate)));
    return true;
  });
  if (not_followed.empty()) return rules;
  auto followed = std::make_shared<Ruleset>(*rules);
  followed->overrides = std::make_shared<const Overrides>(std::move(kept));
  return followed;
}

class Builder {
 public:
  Builder(const runtime::VersionTable* versions, Recorders& recorders)
      : versions_(versions), recorders_(recorders) {}

  std::shared_ptr<const ModelPlan> Build(const decision::Ruleset& rules,
                                         const decision::Model& model) {
    auto plan = std::make_shared<ModelPlan>();
    plan->model = &model;
    const decision::Split* split = rules.model_splits().Find(model.name);
    const decision::ArmDecision anyone = decision::DecideArm(rules, model, {}, 0);
    if (anyone.reason == Reason::kPinned || anyone.reason == Reason::kOverride) {
      plan->pinned = anyone.version;
    }
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
    if (target.handle == nullptr) target.unready = WhyUnready(versions_, model.name, version);
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
  const auto found = by_version.find(pinned);
  return found == by_version.end() ? stable : found->second;
}

std::shared_ptr<const Plan> Plan::Build(std::shared_ptr<const decision::Ruleset> rules,
                                        const runtime::VersionTable* versions,
                                        Recorders& recorders) {
  auto plan = std::make_shared<Plan>();
  rules = Followable(std::move(rules), versions, plan->not_followed_);
  Builder builder(versions, recorders);
  rules->models().ForEach(
      [&](const decision::Model& model) { plan->models_.Set(builder.Build(*rules, model)); });
  plan->snapshot_ = fmt::format("{}.{}", rules->epoch, rules->version);
  plan->rules_ = std::move(rules);
  return plan;
}

Route Plan::Decide(const ModelPlan& model, const decision::Keys& keys, uint64_t random) const {
  Route route;
  route.decision = decision::DecideArm(*rules_, *model.model, keys, random);
  const Reason reason = route.decision.reason;
  if (reason == Reason::kPinned || reason == Reason::kOverride) {
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
